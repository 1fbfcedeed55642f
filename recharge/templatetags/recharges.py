"""Filters that say what became of a recharge: see recharge/wording.py."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from recharge import wording
from recharge.models import Recharge
from recharge.operators import Operator

register = template.Library()


@register.filter
def state(recharge: Recharge) -> SafeString:
    """Its status, as a coloured word."""
    return format_html(
        '<span class="state {}">{}</span>', wording.STATE_CLASSES[recharge.status], wording.STATUSES[recharge.status]
    )


@register.filter
def failure(reason: str) -> str:
    """Why it failed."""
    return wording.failure_of(reason)


@register.filter
def late(recharge: Recharge) -> str:
    """What came after its end; nothing, if nothing did."""
    return str(wording.LATE[recharge.late]) if recharge.late else ""


@register.filter
def operator(value: str) -> SafeString:
    """An operator's name."""
    name = Operator(value).label if value in Operator else value
    return format_html("<bdi>{}</bdi>", name)
