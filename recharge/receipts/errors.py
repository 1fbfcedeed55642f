"""What can be refused about receipts."""

from django.utils.translation import gettext_lazy as _

from shared.errors import Problem


class ReceiptNotSent(Problem):
    """409: no receipt is sent of this recharge; nothing was written."""

    status, code, title = 409, "receipt_not_sent", "Receipt not sent"
    message = _("No receipt was sent: only a delivered recharge has one.")

    def __init__(self) -> None:
        super().__init__("Only of a recharge that was delivered a receipt is sent.")


class ReceiptNumberMasked(Problem):
    """409: the number of the recharge is masked, as the organization wants of old ones; nothing was written."""

    status, code, title = 409, "number_masked", "Number masked"
    message = _("The number of this recharge is masked by now, so no receipt can be sent to it.")

    def __init__(self) -> None:
        super().__init__("The number of this recharge is masked, so that no receipt can be sent to it.")


class ReceiptsNotAllowed(Problem):
    """409: the organization does not send receipts: it has not allowed it, or has no SMS gateway."""

    status, code, title = 409, "receipts_not_allowed", "Receipts by SMS are off"
    message = _("Your organization does not send receipts by SMS. Show, print or share it instead.")

    def __init__(self) -> None:
        super().__init__("The organization has not allowed receipts by SMS, or has no SMS gateway.")
