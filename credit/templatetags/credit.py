"""What kinds and states are called, in templates: see credit/pages/words.py."""

from typing import Any

from django import template
from django.utils.safestring import SafeString

from credit.alerts.services import lines
from credit.alerts.words import said
from credit.models import CreditRequest
from credit.pages import words
from credit.transfers import requests_to
from shared.console.views import signed_in
from shared.identity.roles import seller_in_view
from shared.templatetags.console import pill, signed, tomans

register = template.Library()

_LOOKS = {"pending": "wait", "approved": "good", "rejected": "bad"}

_PENDING = CreditRequest.Status.PENDING
_MOST_COUNTED = 100
"""Of the credit requests that a dealer's sellers wait for."""

register.filter("kind_name", words.kind_name)


@register.filter
def amount_in(amount: int, name: str) -> str:
    """An amount as the list of this name shows it: adjustments have both signs, and all else none."""
    return signed(amount) if name == "adjustments" else tomans(amount)


@register.filter
def request_state(status: str) -> SafeString:
    """The state of a credit request, as a coloured word."""
    return pill(_LOOKS[status], words.STATES[status])


@register.inclusion_tag("credit/alert_lines.html", takes_context=True)
def alert_lines(context: dict[str, Any]) -> dict[str, Any]:
    """What whoever is signed in is to be told now: what is neither over nor read, and what his sellers ask a dealer."""
    seller_id = seller_in_view(signed_in(context["request"]))
    found = lines(seller_id=seller_id)
    asked = 0
    if seller_id is not None and "view_branch" in context["may"] and context["balance_now"].has_children:
        asked = len(requests_to(seller_id, status=_PENDING)[:_MOST_COUNTED])
    return {
        "lines": [(alert, said(alert.kind, alert.data)) for alert in found],
        "asked": asked,
        "may": context["may"],
        "csrf_token": context.get("csrf_token"),
    }
