"""Tells whether the schemas are ready for this process to work with."""

import threading
import time

import structlog

from tenants.functions import PUBLIC
from tenants.models import Organization
from tenants.queries import working_organizations
from tenants.schemas import Condition, State, states_of

LEAST_REST = 2.0
"""Seconds between two looks at the schemas, at least."""

REST = 50.0
"""How much longer than a look the rest after it is: looking takes up at most a fiftieth of the time."""

_log = structlog.get_logger("recharge.tenants")

_looking = threading.Lock()
_hindrance: str | None = "The schemas have not been looked at yet."
_was_ready = False
_rest_until = 0.0
_named: frozenset[tuple[str, str]] = frozenset()


def hindrance() -> str | None:
    """Why this process can't take requests, in words that name no organization; None: it can.

    One look at a time: whoever asks meanwhile is told what was found before. An organization whose schema is broken
    keeps nobody else's requests out; it is named in the log.

    Raises:
        django.db.DatabaseError, django.db.InterfaceError: the database does not answer.
    """
    global _hindrance, _rest_until, _was_ready
    if _hindrance is None and time.monotonic() < _rest_until:
        return None
    if not _looking.acquire(blocking=False):
        return _hindrance
    try:
        began = time.monotonic()
        _hindrance = _look()
        _was_ready = _was_ready or _hindrance is None
        ended = time.monotonic()
        _rest_until = ended + max(LEAST_REST, REST * (ended - began))
        return _hindrance
    finally:
        _looking.release()


def is_looking() -> bool:
    """Whether this process looks at the schemas at this moment."""
    return _looking.locked()


def named() -> str:
    """Which schemas were not as they should be at the last look, and how: for who runs the server. Empty: none."""
    return "; ".join(f"{schema}: {detail}" for schema, detail in sorted(_named))


def _look() -> str | None:
    public = states_of([PUBLIC])[PUBLIC]
    if _keeps_out(public) or public.condition is Condition.BROKEN:
        _name({PUBLIC: public})
        return "Migrations are to be applied (public)."
    answers = {
        schema: status != Organization.Status.SUSPENDED
        for schema, status in working_organizations().values_list("schema_name", "status")
    }
    states = states_of(list(answers))
    _name(states)
    # One that is suspended may be on its way back from a backup, of an older release: nobody waits for that.
    hindered = [state for schema, state in states.items() if answers[schema] and _keeps_out(state)]
    if any(state.condition is Condition.DIFFERENT for state in hindered):
        return "The functions of an organization's schema are not those that were installed (see the log)."
    return "Migrations are to be applied (an organization)." if hindered else None


def _keeps_out(state: State) -> bool:
    # Once ready, a schema is never behind: it is a later release that has installed other functions, and this process
    # goes on until it is restarted.
    return state.condition is Condition.DIFFERENT or (state.condition is Condition.BEHIND and not _was_ready)


def _name(states: dict[str, State]) -> None:
    """Writes to the log which schemas are not as they should be; once."""
    global _named
    found = {(schema, state.detail): state for schema, state in states.items() if state.detail}
    for (schema, detail), state in found.items():
        if (schema, detail) not in _named:
            _log.error("schema_not_ready", schema=schema, condition=state.condition.value, detail=detail)
    _named = frozenset(found)


def forget() -> None:
    """Makes this process look again at once. For tests."""
    global _hindrance, _was_ready, _named
    _hindrance, _was_ready, _named = "The schemas have not been looked at yet.", False, frozenset()
