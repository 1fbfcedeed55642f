"""Where the organizations live on a cluster of databases (Citus): each schema at one node, which the coordinator knows.

It is looked up for all schemas that are in use together, and remembered for some seconds. Who goes by what is no longer
so is not wrong, only slower: every node has the cluster's metadata, and passes on to where a schema is now. So what is
known stays good while the coordinator does not answer, too.
"""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, connection

from tenants.functions import MIGRATIONS

PLACE_SECONDS = 5.0
"""After which it is looked up again where the schemas are."""

REST_SECONDS = 1.0
"""For how long a node that did not answer is not tried again."""

TRY_SECONDS = 10.0
"""For how long nobody else tries meanwhile: a machine that is gone says nothing until the time to connect is over, and
all threads would wait for it."""

_log = structlog.get_logger("recharge.tenants")


@dataclass(frozen=True, slots=True)
class Node:
    """A server of the cluster, by the address that the cluster itself knows it by."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


# By a table that each organization's schema has. Group 0 is the coordinator itself.
_WHERE = """
    SELECT wanted.schema, node.nodename, node.nodeport
    FROM unnest(%s::text[]) AS wanted (schema)
    INNER JOIN pg_dist_shard AS shard ON shard.logicalrelid = to_regclass(format('%%I.%%I', wanted.schema, %s::text))
    INNER JOIN pg_dist_placement AS placement ON placement.shardid = shard.shardid
    INNER JOIN pg_dist_node AS node ON node.groupid = placement.groupid
    WHERE node.noderole = 'primary' AND node.groupid <> 0
"""


@dataclass
class _Look:
    """What was found at one moment (of the monotonic clock). None: with the coordinator, or nowhere."""

    moment: float
    found: dict[str, Node | None]


_look = _Look(float("-inf"), {})
_looking = threading.Lock()
_rests_until: dict[Node, float] = {}
"""Those that have not answered since."""
_resting = threading.Lock()


def node_of(coordinator: Any, schema: str) -> Node | None:
    """The node that holds this schema, or held it some seconds ago; None: it is none that lives at a node. Looked up on
    ``coordinator``, a connection of tenants/placed/base.py.

    Raises:
        django.db.OperationalError: it is not known, and the coordinator does not answer.
    """
    look = _look
    if time.monotonic() >= look.moment + PLACE_SECONDS and _looking.acquire(blocking=False):
        # One looks, and the others go on by what was found before.
        try:
            look = _look_again(coordinator)
        finally:
            _looking.release()
    if schema not in look.found:
        look.found[schema] = _places_of(coordinator, [schema]).get(schema)
    return look.found[schema]


def _look_again(coordinator: Any) -> _Look:
    global _look
    known = dict(_look.found)
    moment = time.monotonic()
    if known:
        try:
            places = _places_of(coordinator, known)
        except (DatabaseError, InterfaceError) as error:
            _log.warning("places_not_looked_up", exc_info=error)
            moment = time.monotonic()  # to find out may have taken as long as what is known is good for
        else:
            known = {schema: places.get(schema) for schema in known}
    _look = _Look(moment, known)
    return _look


def places_now(schemas: Iterable[str]) -> dict[str, Node]:
    """Where these schemas live, as this thread's connection finds it; one that is not at a node is left out."""
    with connection.cursor() as cursor:
        return _places(cursor, schemas)


def _places(cursor: Any, schemas: Iterable[str]) -> dict[str, Node]:
    cursor.execute(_WHERE, [list(schemas), MIGRATIONS])
    return {schema: Node(host, port) for schema, host, port in cursor.fetchall()}


def _places_of(coordinator: Any, schemas: Iterable[str]) -> dict[str, Node]:
    """The same, on a connection that may have died since it was used last."""
    for is_repeated in (False, True):
        coordinator.ensure_connection()
        try:
            with coordinator.wrap_database_errors, coordinator.connection.cursor() as cursor:
                return _places(cursor, schemas)
        except (OperationalError, InterfaceError):
            if is_repeated or coordinator.is_usable():
                raise
            coordinator.close_own()
    raise AssertionError


def look_again_soon() -> None:
    """Something at a node is not as it should be: the next one who enters looks up where everything is."""
    _look.moment = float("-inf")


def forget_places() -> None:
    """Makes this process look everything up again. For tests."""
    global _look
    _look = _Look(float("-inf"), {})
    _rests_until.clear()


def may_be_tried(node: Node) -> bool:
    """Whether this thread may connect to it. One that did not answer rests, and is then tried by one thread."""
    with _resting:
        until = _rests_until.get(node)
        if until is None:
            return True
        if time.monotonic() < until:
            return False
        _rests_until[node] = time.monotonic() + TRY_SECONDS
        return True


def answered(node: Node) -> None:
    """It has let somebody in."""
    _rests_until.pop(node, None)


def rest(node: Node) -> None:
    """It did not answer. It may have another address by now."""
    _rests_until[node] = time.monotonic() + REST_SECONDS
    look_again_soon()
