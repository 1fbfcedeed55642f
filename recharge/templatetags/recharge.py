"""Filters that say in words what recharges have as codes: see recharge/words.py."""

from django import template

from recharge import words

register = template.Library()


@register.filter
def operator_name(code: str) -> str:
    return str(words.OPERATORS.get(code, code))


@register.filter
def status_words(code: str) -> str:
    return str(words.STATUSES.get(code, code))


@register.filter
def status_look(code: str) -> str:
    return words.LOOKS.get(code, "plain")


@register.filter
def late_words(code: str) -> str:
    return str(words.LATE.get(code, code))


@register.filter
def late_explained(code: str) -> str:
    return str(words.LATE_EXPLAINED.get(code, ""))


@register.filter
def failure_words(code: str) -> str:
    """Why a recharge failed: in words where the reason is a known one, else as it was given."""
    return str(words.FAILURES.get(code, code))


@register.filter
def entry_words(code: str) -> str:
    return str(words.ENTRIES.get(code, code))


@register.filter
def action_words(code: str) -> str:
    return str(words.ACTIONS.get(code, code))


@register.filter
def outcome_words(code: str) -> str:
    return str(words.OUTCOMES.get(code, code))


@register.filter
def outcome_look(code: str) -> str:
    return words.OUTCOME_LOOKS.get(code, "wait")


@register.filter
def kind_words(code: str) -> str:
    return str(words.KINDS.get(code, code))


@register.filter
def kind_explained(code: str) -> str:
    return str(words.KINDS_EXPLAINED.get(code, ""))
