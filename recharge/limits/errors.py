"""What can be refused about limits. What a sale is refused with: recharge/selling/errors.py."""

from django.utils.translation import gettext_lazy as _

from shared.errors import InvalidRequest


class InvalidLimits(InvalidRequest):
    """400: limits can't be so; ``errors`` says why."""

    field_messages = {
        **InvalidRequest.field_messages,
        "hours_not_in_order": _("Selling must begin before it ends, on the same day."),
    }
