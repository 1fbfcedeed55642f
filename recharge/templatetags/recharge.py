"""Filters that say in words what recharges have as codes: see recharge/pages/words.py."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from recharge.claims.queries import is_overdue
from recharge.models import Claim, Recharge
from recharge.pages import words
from recharge.selling.queries import Sold
from shared.templatetags.console import pill

register = template.Library()

for _name in (
    "operator_name",
    "rate_words",
    "format_percent",
    "late_words",
    "late_explained",
    "late_to_sellers",
    "not_sold",
    "state_of",
    "state_words",
    "status_words",
    "failure_words",
    "failure_to_sellers",
    "refusal_words",
    "action_words",
    "kind_words",
    "kind_explained",
):
    register.filter(_name, getattr(words, _name))


@register.filter
def state(recharge: Recharge | Sold) -> SafeString:
    """What became of it, as a coloured word; of what was sold in training and failed since, two."""
    found = words.state_of(recharge)
    shown = pill(words.LOOKS[found], words.state_words(found))
    if recharge.training and found != words.TRAINING:
        return format_html("{} {}", shown, pill(words.LOOKS[words.TRAINING], gettext("Training")))
    return shown


@register.filter
def late_state(recharge: Recharge) -> SafeString | str:
    """What came after its end, as a coloured word; nothing, if nothing did."""
    return pill(words.LATE_LOOKS[recharge.late], words.late_words(recharge.late)) if recharge.late else ""


@register.filter
def outcome_state(outcome: str) -> SafeString:
    """What an attempt came to, as a coloured word."""
    return pill(words.OUTCOME_LOOKS.get(outcome, "wait"), words.outcome_words(outcome))


@register.filter
def claim_state(claim: Claim) -> SafeString:
    """What has become of a question about a recharge, as a coloured word; overdue, a second one."""
    shown = pill(words.CLAIM_LOOKS[claim.state], words.claim_words(claim.state))
    return format_html("{} {}", shown, overdue_state(claim)) if is_overdue(claim) else shown


@register.filter
def overdue_state(claim: Claim) -> SafeString | str:
    """That a question was not answered by its deadline, as a coloured word; nothing, if that is not so."""
    return pill("bad", gettext("Overdue")) if is_overdue(claim) else ""
