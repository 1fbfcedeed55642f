"""Bounds what connections gather. PostgreSQL keeps what it has read of a schema, its catalogue and the plans of its
functions, for as long as a connection lives: a proof of the books, say, 1.3 MiB of each. What requests gather is in
deploy/README.md, "Processes, threads, connections".
"""

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections


def bound_memory(*schemas: str) -> None:
    """Closes this thread's connection if it has worked on too many schemas, these among them, unless it is in a
    transaction. The next statement opens another."""
    current: Any = connections[DEFAULT_DB_ALIAS]
    if not current.in_atomic_block:
        close_when_full(current, schemas)


def close_when_full(current: Any, schemas: Iterable[str]) -> None:
    """Closes a connection of Django's that has worked on too many schemas, these among them."""
    seen: tuple[Any, set[str]] | None = getattr(current, "seen", None)
    if seen is None or seen[0] is not current.connection:
        seen = current.seen = (current.connection, set())
    seen[1].update(schemas)
    if len(seen[1]) > settings.ORGANIZATIONS_PER_CONNECTION:
        current.close()
        current.seen = None
