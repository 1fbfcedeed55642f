"""Reads what may be some seconds old from a standby (``REPLICA_DATABASE_URL``), so that it takes nothing from sales:
reports, downloads of lists, the platform's figures. Never what decides of money, nor a list in which somebody looks for
what he has just written.

Where there is none, where it can't be reached, or where it is further behind than ``REPLICA_MAX_AGE`` seconds, it is
read from the primary. How far it is behind is how long ago the last transaction was committed that it has: delivery
workers write every few seconds that they run, so without one it seems too old, and is not asked.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

import structlog
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, ProgrammingError, connections

from tenants.direct import connection_to
from tenants.memory import close_when_full

REST_SECONDS = 10.0
"""For how long a standby that could not be read is not asked again: nobody waits for it twice."""

_log = structlog.get_logger("recharge.tenants")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Read(Generic[T]):
    """What was read, and, where that was on a standby, of which moment; None: it is of now."""

    value: T
    as_of: datetime | None = None


class _Standby:
    """Its connections, as many as threads have read from it at once, and whether it is worth asking."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: list[Any] = []
        self._rests_until = float("-inf")

    def is_resting(self) -> bool:
        return time.monotonic() < self._rests_until

    def rest(self) -> None:
        self._rests_until = time.monotonic() + REST_SECONDS
        with self._lock:
            free, self._free = self._free, []
        for connection in free:
            connection.close()

    @contextmanager
    def connected(self, database: dict[str, Any]) -> Iterator[Any]:
        """In this block the thread's connection is one to the standby, on the same schema."""
        before: Any = connections[DEFAULT_DB_ALIAS]
        with self._lock:
            connection = self._free.pop() if self._free else None
        if connection is None:
            connection = connection_to(database)
            connection.inc_thread_sharing()
        connection.set_tenant(before.tenant, before.include_public_schema)
        connections[DEFAULT_DB_ALIAS] = connection
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        else:
            close_when_full(connection, [before.schema_name])
            with self._lock:
                self._free.append(connection)
        finally:
            connections[DEFAULT_DB_ALIAS] = before


_standby = _Standby()


def read_from_standby(read: Callable[[], T]) -> Read[T]:
    """What ``read`` gives, on the current schema: of the standby, or else of the primary. It only reads, leaves no lazy
    queryset behind, and may be called twice. Within a transaction it is a part of that."""
    database = settings.REPLICA_DATABASE
    if database is not None and not _standby.is_resting() and not connections[DEFAULT_DB_ALIAS].in_atomic_block:
        try:
            with _standby.connected(database) as connection:
                as_of = _moment_of(connection)
                if as_of is not None:
                    return Read(read(), as_of)
        except ProgrammingError as error:
            # It does not have yet what was migrated, or provisioned, a moment ago; or the primary says what is wrong.
            _log.info("standby_not_read", exc_info=error)
        except (OperationalError, InterfaceError) as error:
            # Gone, or it had to end the query for what it replays.
            _log.warning("standby_not_read", exc_info=error)
            _standby.rest()
    return Read(read())


def _moment_of(connection: Any) -> datetime | None:
    """Up to when it has everything; None: it is too old, or no standby."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_last_xact_replay_timestamp() WHERE pg_is_in_recovery()"
            " AND pg_last_xact_replay_timestamp() > clock_timestamp() - make_interval(secs => %s)",
            [settings.REPLICA_MAX_AGE],
        )
        row = cursor.fetchone()
    return row[0] if row else None
