"""What becomes of a recharge, in the reader's words."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from recharge.models import Recharge

STATUSES: dict[str, Promise] = {
    Recharge.Status.PENDING: _("On its way"),
    Recharge.Status.SUCCEEDED: _("Delivered"),
    Recharge.Status.FAILED: _("Failed, refunded"),
    Recharge.Status.UNKNOWN: _("Not known yet"),
}
STATE_CLASSES: dict[str, str] = {
    Recharge.Status.PENDING: "state-wait",
    Recharge.Status.SUCCEEDED: "state-good",
    Recharge.Status.FAILED: "state-bad",
    Recharge.Status.UNKNOWN: "state-wait",
}
LATE: dict[str, Promise] = {
    Recharge.Late.CHARGED: _(
        "It had failed and was refunded; then the operator said that it was delivered after all. Its amount was "
        "charged again."
    ),
    Recharge.Late.OWED: _(
        "It had failed and was refunded; then the operator said that it was delivered after all. Your credit did not "
        "suffice to charge it again, so its amount is owed. Ask an admin of your organization."
    ),
    Recharge.Late.REVERSED: _("It was delivered; then the operator took it back. Its amount is on your balance again."),
}
FAILURES: dict[str, Promise] = {
    "number_barred": _("The operator does not take recharges for this number. Ask your customer to call the operator."),
    "number_not_found": _("The operator does not know this number. Check it with your customer."),
    "wrong_operator": _("The number is with another operator now. Sell it again and choose that operator."),
    "amount_refused": _("The operator does not take this amount for this number. Try another amount."),
    "operator_credit_exhausted": _("The operator can't deliver now. Try again later, or tell an admin."),
    "operator_unavailable": _("The operator could not be reached. Try again in a while."),
    "not_sent": _("It could not be sent to the operator. Try again in a while."),
    "reversed_by_operator": _("The operator took it back."),
}


def failure_of(reason: str) -> str:
    """Why a recharge failed; what an admin wrote, or an operator says of its own, stays as it is."""
    return str(FAILURES.get(reason, reason))
