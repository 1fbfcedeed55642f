"""What can be refused about claims."""

from django.utils.translation import gettext_lazy as _

from shared.errors import InvalidRequest, Problem


class StillWaiting(Problem):
    """409: the recharge is on its way, and there is nothing to ask yet; nothing was written."""

    status, code, title = 409, "still_waiting", "Still on its way"
    message = _("This recharge is still being sent to the operator. Wait until its outcome is known.")

    def __init__(self) -> None:
        super().__init__("This recharge is pending: its outcome is not known yet.")


class RefundedAlready(Problem):
    """409: the recharge has failed, or an adjustment gave it back before; nothing was written."""

    status, code, title = 409, "refunded_already", "Refunded already"
    message = _("This recharge was refunded: its amount is back on the seller's balance.")

    def __init__(self) -> None:
        super().__init__("This recharge was refunded before; nothing was done.")


class ClaimTooLate(Problem):
    """409: it was sold longer ago than ``days``, in which one may ask; nothing was written."""

    status, code, title = 409, "claim_too_late", "Too late to ask"
    message = _("It is too late to ask about this recharge: that can be done for %(days)s days after its sale.")

    def __init__(self, *, days: int) -> None:
        super().__init__(f"This recharge was sold more than {days} days ago.", days=days)


class ClaimClosed(Problem):
    """409: the claim is closed, otherwise than was asked now; nothing was written."""

    status, code, title = 409, "claim_closed", "Closed already"
    message = _("This was closed in the meantime, and nothing was done. See how it ended.")

    def __init__(self) -> None:
        super().__init__("This claim is closed; nothing was done.")


class TooManyMessages(Problem):
    """409: as much was said about the claim as there may be; nothing was written."""

    status, code, title = 409, "too_many_messages", "Too many messages"
    message = _("This question has reached its limit of messages. Close it, or phone.")

    def __init__(self) -> None:
        super().__init__("There are 50 messages about this claim, which is the most.")


class NotDelivered(Problem):
    """409: the recharge has not succeeded, so nobody can say that it was delivered; nothing was written."""

    status, code, title = 409, "not_delivered", "Not delivered"
    message = _("This recharge is not recorded as delivered. Record its final outcome first.")

    def __init__(self) -> None:
        super().__init__("This recharge has not succeeded; resolve it first.")


class NotRefunded(Problem):
    """409: nothing has given the amount back: neither has the recharge failed, nor is there such an adjustment;
    nothing was written."""

    status, code, title = 409, "not_refunded", "Not refunded"
    message = _(
        "Nothing has been refunded yet. Record the final outcome as not delivered, or choose an approved adjustment of "
        "this seller: made after the sale, not above its amount, and not used for another question."
    )

    def __init__(self) -> None:
        super().__init__("The recharge has not failed, and no adjustment is named that gives its amount back.")


class InvalidClaim(InvalidRequest):
    """400: what was written can't be so; ``errors`` says why."""

    field_messages = {
        **InvalidRequest.field_messages,
        "blank": _("Fill this in."),
    }
