"""Tells a person of a problem, in their language.

The words belong to the problem's class (``Problem.message``, ``InvalidRequest.field_messages``); here they are
filled in.
"""

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise

from shared.console.formats import format_number
from shared.errors import InvalidRequest, Problem


def message_for(problem: Problem, *, instead: Mapping[type[Problem], str | Promise] | None = None) -> str:
    """What a person is told of this problem. ``instead`` has what a page says of some classes in place of their words,
    where it knows better who reads it."""
    found = (instead or {}).get(type(problem), problem.message)
    return _filled(found, problem.members) if found else problem.detail or problem.title


def field_message_for(problem: InvalidRequest, error: Mapping[str, Any]) -> str:
    """What a person is told of one of the ``errors``."""
    return str(problem.field_messages.get(error["code"], error["detail"]))


def _filled(message: str | Promise, members: Mapping[str, Any]) -> str:
    shown = {
        name: format_number(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for name, value in members.items()
    }
    return str(message) % shown if shown else str(message)
