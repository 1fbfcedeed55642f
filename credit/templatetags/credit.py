"""What kinds and states are called, in templates: see credit/pages/words.py."""

from typing import Any

from django import template
from django.utils.safestring import SafeString

from credit.alerts.services import lines
from credit.alerts.words import said
from credit.pages import words
from shared.console.views import signed_in
from shared.identity.roles import seller_in_view
from shared.templatetags.console import pill

register = template.Library()

_LOOKS = {"pending": "wait", "approved": "good", "rejected": "bad"}

register.filter("kind_name", words.kind_name)


@register.filter
def request_state(status: str) -> SafeString:
    """The state of a credit request, as a coloured word."""
    return pill(_LOOKS[status], words.STATES[status])


@register.inclusion_tag("credit/alert_lines.html", takes_context=True)
def alert_lines(context: dict[str, Any]) -> dict[str, Any]:
    """What whoever is signed in is to be told now: what is neither over nor read."""
    found = lines(seller_id=seller_in_view(signed_in(context["request"])))
    return {
        "lines": [(alert, said(alert.kind, alert.data)) for alert in found],
        "may": context["may"],
        "csrf_token": context.get("csrf_token"),
    }
