"""What kinds and states are called, in templates: see credit/pages/words.py."""

from django import template
from django.utils.safestring import SafeString

from credit.pages import words
from shared.templatetags.console import pill

register = template.Library()

_LOOKS = {"pending": "wait", "approved": "good", "rejected": "bad"}

register.filter("kind_name", words.kind_name)


@register.filter
def request_state(status: str) -> SafeString:
    """The state of a credit request, as a coloured word."""
    return pill(_LOOKS[status], words.STATES[status])
