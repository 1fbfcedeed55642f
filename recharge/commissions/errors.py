"""What can be refused about commissions."""

from django.utils.translation import gettext_lazy as _

from shared.errors import InvalidRequest


class InvalidCommission(InvalidRequest):
    """400: a commission can't be so; ``errors`` says why."""

    field_messages = {
        **InvalidRequest.field_messages,
        "rate_and_sum": _("Write a rate or a fixed sum, not both."),
        "invalid_choice": _("There is no such operator. Choose another one."),
    }
