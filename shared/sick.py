"""Tells whether a database can't work for now, whatever it is asked."""

import time
from typing import Any

import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from psycopg2 import errorcodes

from shared.metrics import count_database_error

DISK_FULL_SECONDS = 30.0
"""For how long after a write that found no room this process says that it is not ready."""

STANDBY_SECONDS = 3.0
"""After which a commit that waits for a standby says that it is gone. It usually takes some milliseconds."""

_MOVED = {errorcodes.READ_ONLY_SQL_TRANSACTION}
"""It is a standby, or a primary that was failed over and is read only now. Who connects anew may find the new one."""

_NO_ROOM = {errorcodes.DISK_FULL}

_log = structlog.get_logger("recharge.database")

_full_until = 0.0


def is_sick(error: BaseException) -> bool:
    """Whether this error says that the database can't be reached, can't write, or has no room, connections or memory;
    what was asked may be asked again. Notes what readiness and the next request should know.

    psycopg2 makes an OperationalError of most of it (classes 08, 53, 57 and 58 of SQLSTATE), but not of all.
    """
    global _full_until
    code = sqlstate_of(error)
    if code in _NO_ROOM:
        _full_until = time.monotonic() + DISK_FULL_SECONDS
    is_closed = (
        isinstance(error, DatabaseError) and "connection" in str(error).lower() and "closed" in str(error).lower()
    )
    if not (isinstance(error, OperationalError | InterfaceError) or code in _MOVED or is_closed):
        return False
    count_database_error(code)
    _log.error("database_unavailable", sqlstate=code, exc_info=error)
    if code in _MOVED and not connection.in_atomic_block:
        connection.close()
    return True


def needs_new_connection(error: BaseException) -> bool:
    """Whether who met this error should close the connection: it is dead, or the database at its end is read only. A
    primary that became a standby answers as before, so that it looks usable for ever."""
    return sqlstate_of(error) in _MOVED or not connection.is_usable()


def sqlstate_of(error: BaseException) -> str | None:
    """PostgreSQL's code for what went wrong, where it is known."""
    code: str | None = getattr(error.__cause__, "pgcode", None) or getattr(error, "pgcode", None)
    return code


def has_no_room() -> bool:
    """Whether a write of this process found the disk full a moment ago."""
    return time.monotonic() < _full_until


def schema_is_gone() -> bool:
    """Whether the schema that this thread works on is not there: dropped, to be put back from a backup."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regnamespace(quote_ident(%s)) IS NULL", [connection.schema_name])  # type: ignore[attr-defined]
            answer: bool = cursor.fetchone()[0]
            return answer
    except (DatabaseError, InterfaceError):
        return False


def is_read_only(cursor: Any) -> bool:
    """Whether nothing can be written on this connection."""
    cursor.execute("SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean")
    answer: bool = cursor.fetchone()[0]
    return answer


def waits_for_standby(cursor: Any) -> bool:
    """Whether commits have waited for a synchronous standby for some seconds: it is gone, or too slow. Looks at the
    sessions of this role: those of the web processes, and of the workers, who write every few seconds that they run."""
    cursor.execute(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'SyncRep'"
        " AND query_start < clock_timestamp() - make_interval(secs => %s))",
        [STANDBY_SECONDS],
    )
    answer: bool = cursor.fetchone()[0]
    return answer


def has_recovered() -> None:
    """Forgets what was noted. For tests."""
    global _full_until
    _full_until = 0.0
