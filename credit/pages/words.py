"""What the kinds of entries and the states of credit requests are called, for people."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from credit.models import CreditRequest, Entry

KINDS: dict[str, Promise] = {
    Entry.Kind.CREDIT: _("Credit"),
    Entry.Kind.RECHARGE: _("Recharge"),
    # Of a recharge that failed.
    Entry.Kind.REFUND: _("Refund"),
    # Of one that had been refunded, and was delivered after all.
    Entry.Kind.LATE_CHARGE: _("Late charge"),
    # Of one that the operator has taken back.
    Entry.Kind.REVERSAL: _("Reversal"),
    Entry.Kind.ADJUSTMENT: _("Adjustment"),
    # Between a dealer and those who sell for him.
    Entry.Kind.TRANSFER_OUT: _("Transfer given"),
    Entry.Kind.TRANSFER_IN: _("Transfer received"),
    Entry.Kind.MARGIN: _("Margin"),
    Entry.Kind.MARGIN_BACK: _("Margin taken back"),
}

STATES: dict[str, Promise] = {
    CreditRequest.Status.PENDING: _("Waiting"),
    CreditRequest.Status.APPROVED: _("Approved"),
    CreditRequest.Status.REJECTED: _("Rejected"),
}


def kind_name(kind: str) -> str:
    """What a kind of entry is called in the reader's language."""
    return str(KINDS.get(kind, kind))  # one of a newer release, whose processes have begun
