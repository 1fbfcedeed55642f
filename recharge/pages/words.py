"""What a recharge's states, reasons and amounts are called in the consoles, and what settling one by hand means."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from credit.errors import InsufficientCredit
from recharge.commissions.queries import Rate
from recharge.delivery.gateways import kinds
from recharge.delivery.settlement import Settlement
from recharge.models import Attempt, Claim, CommissionRate, Recharge
from recharge.operators import Operator
from recharge.selling.errors import REFUSALS, PossibleDuplicate
from recharge.selling.queries import Sold
from recharge.terms.queries import added_operators, name_of_added_operator, operators_on_offer
from shared.console.formats import in_digits, is_persian
from shared.errors import Problem
from shared.templatetags.console import tomans

Status, Late = Recharge.Status, Recharge.Late

STATUSES: dict[str, Promise] = {
    Status.PENDING: _("Being sent"),
    Status.SUCCEEDED: _("Delivered"),
    Status.FAILED: _("Failed, refunded"),
    Status.UNKNOWN: _("Not known yet"),
}
TRAINING = "training"
"""In place of ``succeeded``, for people: it was sold in training, and delivered to nobody."""
SOLD_IN_TRAINING = _("Sold in training: nothing was delivered.")
STATES: dict[str, Promise] = {**STATUSES, TRAINING: _("Delivered (training)")}
LOOKS: dict[str, str] = {
    Status.PENDING: "wait",
    Status.SUCCEEDED: "good",
    Status.FAILED: "bad",
    Status.UNKNOWN: "wait",
    TRAINING: "plain",
}
"""The colour of a state: a class of console.css."""

LATE: dict[str, Promise] = {
    Late.CHARGED: _("Charged again"),
    Late.OWED: _("Owed"),
    Late.REVERSED: _("Reversed"),
}
LATE_LOOKS: dict[str, str] = {Late.CHARGED: "plain", Late.OWED: "bad", Late.REVERSED: "plain"}
LATE_EXPLAINED: dict[str, Promise] = {
    Late.CHARGED: _(
        "It failed and was refunded. Later the operator reported that it was delivered, so its "
        "amount was charged again."
    ),
    Late.OWED: _(
        "It failed and was refunded. Later the operator reported that it was delivered, but the "
        "balance was too low to charge it again: its amount is owed. Once there is credit, "
        "record its outcome as delivered to charge it."
    ),
    Late.REVERSED: _("It succeeded. Later the operator reversed it, so its amount was returned."),
}
LATE_TO_SELLERS: dict[str, Promise] = {
    Late.CHARGED: _(
        "It failed and was refunded; then the operator reported that it was delivered. Its amount was charged again."
    ),
    Late.OWED: _(
        "It failed and was refunded; then the operator reported that it was delivered. There was "
        "not enough credit to charge it again, so you owe its amount. Ask an admin of your "
        "organization."
    ),
    Late.REVERSED: _("It was delivered; then the operator reversed it. Its amount is back on your balance."),
}
"""The same for the seller whose balance it is, who can't resolve it."""

FAILURES: dict[str, Promise] = {
    "number_barred": _("The operator does not allow this number to be recharged."),
    "number_not_found": _("The operator does not know this number."),
    "wrong_operator": _("The number is with another operator."),
    "amount_refused": _("The operator refused this amount."),
    "operator_credit_exhausted": _("The operator's credit for us was used up."),
    "operator_unavailable": _("The operator could not do it at that time."),
    "reversed_by_operator": _("The operator reversed it."),
    "not_sent": _("The operator could not be reached."),
}
"""By the reason that a gateway gives; what an admin wrote, or a gateway of its own makes up, is shown as it is."""
FAILURES_TO_SELLERS: dict[str, Promise] = {
    "number_barred": _(
        "The operator does not accept recharges for this number. Ask your customer to call the operator."
    ),
    "number_not_found": _("The operator does not know this number. Check it with your customer."),
    "wrong_operator": _("The number is now with another operator. Sell it again and choose that operator."),
    "amount_refused": _("The operator does not accept this amount for this number. Try another amount."),
    "operator_credit_exhausted": _("The operator can't deliver now. Try again later, or tell an admin."),
    "operator_unavailable": _("The operator could not be reached. Try again in a while."),
    "not_sent": _("It could not be sent to the operator. Try again later."),
    "reversed_by_operator": _("The operator reversed it."),
}
"""The same for who sells: what to do now, or what to tell the customer."""

ACTIONS: dict[str, Promise] = {
    Attempt.Action.SUBMIT: _("Submitted"),
    Attempt.Action.INQUIRE: _("Inquired"),
    Attempt.Action.RESOLVE: _("Recorded by hand"),
}
OUTCOMES: dict[str, Promise] = {
    Attempt.Outcome.OPEN: _("No answer yet"),
    Attempt.Outcome.ACCEPTED: _("Accepted"),
    Attempt.Outcome.SUCCEEDED: _("Succeeded"),
    Attempt.Outcome.FAILED: _("Failed"),
    Attempt.Outcome.UNKNOWN: _("No certain answer"),
    Attempt.Outcome.UNSENT: _("Not sent"),
    Attempt.Outcome.MISSING: _("Not received"),
}
OUTCOME_LOOKS: dict[str, str] = {
    Attempt.Outcome.SUCCEEDED: "good",
    Attempt.Outcome.FAILED: "bad",
    Attempt.Outcome.ACCEPTED: "plain",
}

# Their texts are marked where they are written.
KINDS: dict[str, Promise] = {kind.name: translation.gettext_lazy(kind.label) for kind in kinds.KINDS.values()}
KINDS_EXPLAINED: dict[str, Promise] = {
    kind.name: translation.gettext_lazy(kind.explanation) for kind in kinds.KINDS.values()
}


CLAIMS: dict[str, Promise] = {
    Claim.State.OPEN: _("Being looked into"),
    Claim.State.ANSWERED: _("Answered"),
    Claim.State.DELIVERED: _("Delivery confirmed"),
    Claim.State.REFUNDED: _("Refunded"),
    Claim.State.WITHDRAWN: _("Withdrawn"),
}
"""What has become of a question about a recharge that a customer did not get."""
CLAIM_LOOKS: dict[str, str] = {
    Claim.State.OPEN: "wait",
    Claim.State.ANSWERED: "plain",
    Claim.State.DELIVERED: "good",
    Claim.State.REFUNDED: "good",
    Claim.State.WITHDRAWN: "plain",
}


# --- Rows of a bulk sale ----------------------------------------------------------------------------------------------

_OF_A_ROW: dict[type[Problem], str | Promise] = {
    InsufficientCredit: _("Not enough credit. Ask for credit, and send the rows again."),
    PossibleDuplicate: _("The same amount was sold to this number a moment ago."),
}
"""What is said of a row in place of a refusal's own words, which are those of a single sale."""

_REFUSALS = {one.code: _OF_A_ROW.get(one, one.message) for one in REFUSALS}


def refusal_words(code: str) -> str:
    """Why a row was not sold; nothing for a code that is none."""
    return str(_REFUSALS.get(code) or "")


# --- Settling by hand -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Resolution:
    """One way to settle a recharge by hand. ``looks`` is the colour of its button (Bootstrap's)."""

    status: str
    label: Promise
    meaning: Promise
    looks: str


_DELIVERED, _NOT_DELIVERED = _("It was delivered"), _("It was not delivered")


def resolutions_of(recharge: Recharge) -> list[Resolution]:
    """What may be said about it by hand, and what recharge_settle (sql/recharges.sql) then does about the money."""

    def delivered(meaning: Promise) -> Resolution:
        return Resolution(Status.SUCCEEDED, _DELIVERED, meaning, "primary")

    def not_delivered(meaning: Promise) -> Resolution:
        return Resolution(Status.FAILED, _NOT_DELIVERED, meaning, "danger")

    match recharge.status, recharge.late:
        case ((Status.PENDING | Status.UNKNOWN), _late):
            return [
                delivered(
                    _("The recharge is recorded as succeeded. The seller has already paid for it: no money moves.")
                ),
                not_delivered(_("The recharge is recorded as failed, and its amount is refunded at once.")),
            ]
        case Status.FAILED, Late.NO:
            return [
                delivered(
                    _(
                        "The recharge failed and was refunded. It is recorded as succeeded, and its amount is "
                        "charged again; if the balance is too low, the seller owes it."
                    )
                )
            ]
        case Status.SUCCEEDED, Late.OWED:
            return [
                delivered(
                    _("Its amount is owed. It is charged now if the balance is high enough; otherwise it stays owed.")
                ),
                not_delivered(
                    _(
                        "The recharge is recorded as failed. It was refunded before and never charged again: no "
                        "money moves."
                    )
                ),
            ]
        case Status.SUCCEEDED, _late:
            return [
                not_delivered(
                    _("The recharge succeeded. It is recorded as failed, and its amount is returned to the seller.")
                )
            ]
    return []  # it was taken back by the operator: nothing changes that


SETTLEMENTS: dict[Settlement, Promise] = {
    Settlement.SETTLED: _("The outcome is recorded."),
    Settlement.REPLAYED: _("Already done; nothing was changed."),
    Settlement.CHARGED_LATE: _("The outcome is recorded, and the amount was charged to the seller again."),
    Settlement.OWED: _("The outcome is recorded. The balance is too low for the amount: the seller owes it."),
    Settlement.REVERSED: _("The outcome is recorded."),
}


# --- One word ---------------------------------------------------------------------------------------------------------


def _in_words(texts: Mapping[str, Promise]) -> Callable[[str], str]:
    def words(code: str) -> str:
        return str(texts.get(code, code))

    return words


def operator_name(code: str) -> str:
    """A built-in operator's name in the reader's language, or the name that the organization has given its own."""
    return _built_in_name(Operator(code)) if code in Operator else name_of_added_operator(code)


def _built_in_name(operator: Operator) -> str:
    return operator.persian if is_persian() else str(operator.label)


def operators_to_choose_from() -> list[tuple[str, str]]:
    """Codes and names of the built-in operators and of those that the organization has added; one query."""
    return [*((one.value, _built_in_name(one)) for one in Operator), *added_operators().items()]


def operators_to_sell() -> tuple[list[tuple[str, str]], frozenset[str]]:
    """The same as they are offered to who sells, and the codes of those that are not sold; one query, too."""
    built_in = {operator.value: _built_in_name(operator) for operator in Operator}
    named = [(code, built_in.get(code, name), is_sold) for code, name, is_sold in operators_on_offer()]
    choices = [(code, name if is_sold else not_sold(name)) for code, name, is_sold in named]
    return choices, frozenset(code for code, _name, is_sold in named if not is_sold)


def not_sold(operator: str) -> str:
    """The name of an operator that is not sold."""
    return gettext("%(operator)s (not sold)") % {"operator": operator}


def rate_words(rate: Rate | CommissionRate | None) -> str:
    """What a recharge earns: 2.5%, or 70 Tomans."""
    if rate is None:
        return "–"
    return format_percent(rate.basis_points) if rate.basis_points is not None else tomans(rate.fixed)


def format_percent(basis_points: int) -> str:
    """Hundredths of a percent, with the reader's digits and without zeros at the end: 2.5%, or ٪ in Persian."""
    whole, rest = divmod(basis_points, 100)
    written = f"{whole}.{rest:02}".rstrip("0").rstrip(".") if rest else str(whole)
    return in_digits(written.replace(".", "٫") if is_persian() else written) + ("٪" if is_persian() else "%")


def state_of(recharge: Recharge | Sold) -> str:
    """Its status, or that it was sold in training; a code of ``STATES``."""
    return TRAINING if recharge.training and recharge.status == Status.SUCCEEDED else recharge.status


# What a code is called in the reader's language; a code without words, and what somebody wrote, stays as it is.
status_words = _in_words(STATUSES)
state_words = _in_words(STATES)
late_words = _in_words(LATE)
late_explained = _in_words(LATE_EXPLAINED)
late_to_sellers = _in_words(LATE_TO_SELLERS)
failure_words = _in_words(FAILURES)
failure_to_sellers = _in_words(FAILURES_TO_SELLERS)
action_words = _in_words(ACTIONS)
outcome_words = _in_words(OUTCOMES)
claim_words = _in_words(CLAIMS)
kind_words = _in_words(KINDS)
kind_explained = _in_words(KINDS_EXPLAINED)
