"""Who acts: the person or the program whose request a thread answers. What is written of an act (shared/audit.py) names
them, without every service being handed them.

The outermost middleware begins and ends it; whoever finds out who is asking says so.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Actor:
    """A user, or an API key, and from where."""

    user_id: int | None = None
    key_id: UUID | None = None
    name: str = ""
    """The username, or the key's name. Empty: it is looked up when it is written."""
    address: str = ""
    request_id: str = ""


COMMAND = Actor()
"""Somebody at the server's own shell, or a timer there."""

_acting: ContextVar[Actor] = ContextVar("acting", default=COMMAND)


def acting() -> Actor:
    """Who acts now."""
    return _acting.get()


@contextmanager
def acting_as(actor: Actor) -> Iterator[None]:
    """What is done in this block is this actor's act."""
    before = _acting.set(actor)
    try:
        yield
    finally:
        _acting.reset(before)


def known_as(*, user_id: int | None = None, key_id: UUID | None = None, name: str = "") -> None:
    """Until the request ends: its address and id stay, and this is who it is from. Outside of a request it says
    nothing: there, nothing would end it."""
    if _acting.get() is COMMAND:
        return
    _acting.set(replace(_acting.get(), user_id=user_id, key_id=key_id, name=name))
