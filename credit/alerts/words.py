"""What alerts say, for people: on pages, in mails and in short messages."""

from collections.abc import Callable, Mapping
from typing import Any

from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from credit.models import Alert
from shared.console.formats import format_number, in_digits, is_persian, isolated
from shared.phones import national

KINDS: dict[str, Promise] = {
    Alert.Kind.BALANCE_LOW: _("Low balance"),
    Alert.Kind.UNKNOWN_OUTCOMES: _("Unknown outcomes"),
    Alert.Kind.OPERATOR_FAILING: _("An operator's recharges fail"),
    Alert.Kind.REQUESTS_WAITING: _("Credit requests waiting"),
    Alert.Kind.CLAIMS_OVERDUE: _("Not received: overdue"),
    Alert.Kind.CLAIM_ANSWERED: _("Not received: answer"),
    Alert.Kind.REFUNDED_TWICE: _("Refunded twice"),
}


TEST = ""
"""The kind of a test message, which is of no alert."""


def said(kind: str, data: Mapping[str, Any]) -> str:
    """An alert in a sentence, in the language that is active."""
    if kind == TEST:
        return gettext("This is a test: alerts of your organization arrive like this.")
    if kind not in _SENTENCES:  # one of a newer release, whose processes have begun
        return gettext("An alert that this version has no words for: %(kind)s.") % {"kind": kind}
    return _SENTENCES[kind](data)


def operator_in(data: Mapping[str, Any]) -> str:
    """What the operator that an alert is about is called."""
    return str((data.get("name_fa") if is_persian() else data.get("name")) or data.get("operator", ""))


def _balance_low(data: Mapping[str, Any]) -> str:
    return gettext("Your balance is %(balance)s Tomans, less than %(threshold)s. Ask for credit in time.") % {
        "balance": format_number(data["balance"]),
        "threshold": format_number(data["threshold"]),
    }


def _unknown(data: Mapping[str, Any]) -> str:
    count = data["count"]
    sentence = ngettext(
        "%(count)s recharge has had no outcome for more than %(minutes)s minutes. Check with the operator.",
        "%(count)s recharges have had no outcome for more than %(minutes)s minutes. Check with the operator.",
        count,
    )
    return sentence % {"count": _up_to(data), "minutes": format_number(data["minutes"])}


def _failing(data: Mapping[str, Any]) -> str:
    sentence = gettext("%(operator)s: %(failed)s of %(total)s recharges failed within %(minutes)s minutes.")
    return sentence % {
        "operator": operator_in(data),
        "failed": format_number(data["failed"]),
        "total": format_number(data["total"]),
        "minutes": format_number(data["minutes"]),
    }


def _waiting(data: Mapping[str, Any]) -> str:
    count = data["count"]
    sentence = ngettext(
        "%(count)s credit request has waited for more than %(minutes)s minutes.",
        "%(count)s credit requests have waited for more than %(minutes)s minutes.",
        count,
    )
    return sentence % {"count": _up_to(data), "minutes": format_number(data["minutes"])}


def _claims_overdue(data: Mapping[str, Any]) -> str:
    count = data["count"]
    sentence = ngettext(
        "%(count)s question about a recharge that was not received is past its deadline.",
        "%(count)s questions about recharges that were not received are past their deadline.",
        count,
    )
    return sentence % {"count": _up_to(data)}


def _claim_answered(data: Mapping[str, Any]) -> str:
    sentence = CLAIM_STATES_TOLD[data["state"]] % {"number": national(data["phone_number"])}
    return f"{in_digits(sentence)} {isolated(data['text'])}".strip()


def _refunded_twice(data: Mapping[str, Any]) -> str:
    sentence = gettext(
        "The recharge of %(number)s was refunded to %(seller)s twice: by an adjustment, and by the operator's reversal."
        " Take back %(amount)s Tomans by an adjustment."
    )
    return sentence % {
        "number": in_digits(national(data["phone_number"])),
        "seller": data["seller"],
        "amount": format_number(data["amount"]),
    }


CLAIM_STATES_TOLD: dict[str, Promise] = {
    "open": _("Your question about the recharge of %(number)s has an answer."),
    "answered": _("Your question about the recharge of %(number)s was answered."),
    "delivered": _("The operator confirms that the recharge of %(number)s was delivered."),
    "refunded": _("The recharge of %(number)s was refunded to you."),
}
"""What a seller is told of a claim of his, by the state that it is in then."""


def _up_to(data: Mapping[str, Any]) -> str:
    """They are counted up to a bound, and "99+" then."""
    more = "+" if data.get("is_more") else ""
    return format_number(data["count"]) + more


_SENTENCES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    Alert.Kind.BALANCE_LOW: _balance_low,
    Alert.Kind.UNKNOWN_OUTCOMES: _unknown,
    Alert.Kind.OPERATOR_FAILING: _failing,
    Alert.Kind.REQUESTS_WAITING: _waiting,
    Alert.Kind.CLAIMS_OVERDUE: _claims_overdue,
    Alert.Kind.CLAIM_ANSWERED: _claim_answered,
    Alert.Kind.REFUNDED_TWICE: _refunded_twice,
}


def letter_text(kind: str, data: Mapping[str, Any], *, name: str, host: str, language: str) -> tuple[str, str]:
    """What is sent of an alert: a line, which is a mail's subject and all of a short message; and a mail's text.
    ``name`` and ``host`` are the organization's."""
    with translation.override(language):
        sentence = said(kind, data)
    return " ".join(f"{name}: {sentence}".split())[:200], f"{sentence}\n\n{name}\n{host}\n"
