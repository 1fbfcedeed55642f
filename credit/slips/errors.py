"""What can be refused about slips."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from shared.errors import Problem


class InvalidSlip(Problem):
    """400: what was sent is no picture that can be kept; nothing was stored."""

    status, code, title = 400, "invalid_slip", "Invalid slip"
    message: str | Promise | None = _("The slip's picture can't be read. Use a JPEG, PNG or WebP picture.")

    def __init__(self, detail: str = "This is no JPEG, PNG or WebP picture that can be read.") -> None:
        super().__init__(detail)


class SlipTooLarge(InvalidSlip):
    """413: the picture has more bytes than a slip may have."""

    status = 413
    code, title = "payload_too_large", "Payload too large"
    message = _("The slip's picture is too large: at most 5 MB.")

    def __init__(self, *, most: int) -> None:
        super().__init__(f"The picture has more than {most} bytes.")


class TooManyPixels(InvalidSlip):
    """400: decoding it would take more memory than one picture may."""

    message = _("The slip's picture has too many pixels. Make it smaller.")

    def __init__(self, *, most: int) -> None:
        super().__init__(f"The picture has more than {most} pixels.")
