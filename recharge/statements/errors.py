"""What can be refused about statements."""

from collections.abc import Mapping
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from shared.errors import FIELD_MESSAGES, InvalidRequest


class InvalidPeriod(InvalidRequest):
    """400: there can be no statement of these days; ``errors`` says why."""

    field_messages: ClassVar[Mapping[str, str | Promise]] = {
        **FIELD_MESSAGES,
        "from_after_to": _("The last day is before the first. Swap them."),
        "period_too_long": _("A statement covers at most 366 days. Choose a shorter period."),
        "too_early": _("This day is too long ago. Choose a later one."),
        "day_not_begun": _("This day has not begun yet. Choose an earlier one."),
        "too_many_entries": _("Too many entries for one statement. Choose a shorter period."),
    }
