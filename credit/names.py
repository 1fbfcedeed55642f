"""What the kinds of entries and the states of credit requests are called, for people."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from credit.models import CreditRequest, Entry

KINDS: dict[str, Promise] = {
    Entry.Kind.CREDIT: _("Credit"),
    Entry.Kind.RECHARGE: _("Recharge"),
    Entry.Kind.REFUND: _("Refund of a failed recharge"),
    Entry.Kind.LATE_CHARGE: _("Charge of a recharge delivered late"),
    Entry.Kind.REVERSAL: _("Return of a recharge taken back"),
    Entry.Kind.ADJUSTMENT: _("Adjustment"),
}

STATES: dict[str, Promise] = {
    CreditRequest.Status.PENDING: _("Waiting"),
    CreditRequest.Status.APPROVED: _("Approved"),
    CreditRequest.Status.REJECTED: _("Rejected"),
}


def kind_name(kind: str) -> str:
    """What a kind of entry is called in the reader's language."""
    return str(KINDS[kind])
