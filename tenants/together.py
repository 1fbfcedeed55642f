"""Reads many organizations' schemas by few statements, each of which is about many of them: one that is broken takes
nothing from the others, nor do those at a node of a cluster that is away.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import structlog
from django.conf import settings
from django.db import DatabaseError, connection
from psycopg2 import errorcodes

from shared.sick import sqlstate_of
from tenants.memory import bound_memory
from tenants.nodes import places_now

_OF_ONE_SCHEMA = {
    errorcodes.UNDEFINED_TABLE,
    errorcodes.UNDEFINED_COLUMN,
    errorcodes.UNDEFINED_FUNCTION,
    errorcodes.INVALID_SCHEMA_NAME,
    errorcodes.INSUFFICIENT_PRIVILEGE,
    errorcodes.LOCK_NOT_AVAILABLE,
}

_log = structlog.get_logger("recharge.tenants")

T = TypeVar("T")


def read_together(schemas: Sequence[str], read: Callable[[Sequence[str]], Iterable[T]], *, batch: int) -> Iterator[T]:
    """What ``read`` finds in these schemas, of which it is given at most ``batch`` at a time, on a cluster those of one
    node. Those that can't be read are left out. Within a transaction none is: nothing more could be read in it.

    Raises:
        django.db.DatabaseError: the database does not answer as it should, beyond one schema or one node.
    """
    for at_one_node in _by_node(schemas):
        try:
            for first in range(0, len(at_one_node), batch):
                some = at_one_node[first : first + batch]
                yield from _read(some, read)
                bound_memory(*some)
        except DatabaseError as error:
            # The coordinator says so of the node; of a connection that is dead itself there is no such code.
            if connection.in_atomic_block or sqlstate_of(error) != errorcodes.CONNECTION_FAILURE:
                raise
            _log.warning("node_not_read", schemas=len(at_one_node), error=str(error).strip())


def _by_node(schemas: Sequence[str]) -> Iterator[Sequence[str]]:
    if not settings.DATABASE_CLUSTER:
        yield schemas
        return
    places = places_now(schemas)
    for node in dict.fromkeys(map(places.get, schemas)):
        yield [schema for schema in schemas if places.get(schema) == node]


def _read(schemas: Sequence[str], read: Callable[[Sequence[str]], Iterable[T]]) -> Iterator[T]:
    try:
        found = list(read(schemas))
    except DatabaseError as error:
        # One of them is broken, or has changed since it was looked up. Which, the statement does not say.
        if connection.in_atomic_block or sqlstate_of(error) not in _OF_ONE_SCHEMA:
            raise
        if len(schemas) > 1:
            half = len(schemas) // 2
            yield from _read(schemas[:half], read)
            yield from _read(schemas[half:], read)
    else:
        yield from found
