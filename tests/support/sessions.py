"""What goes on in the tests' database at every server that has it: the one, or all nodes of a cluster. There an
organization's locks are at the node that holds it, and its sales may have come in there or at the coordinator."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import psycopg2
from django.db import connection

from shared.database import entered
from tests.support import citus
from tests.support.world import database_url


@contextmanager
def sessions(**address: Any) -> Iterator[list[Any]]:
    """One of the driver's at each of the servers, the coordinator's first. ``address``: other words of it than those
    of the tests' database."""
    with ExitStack() as opened:
        yield [
            opened.enter_context(closing(_connected(host=host, port=port, **address)))
            for host, port in citus.nodes() or [(None, None)]
        ]


def everywhere(statement: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """What each of the servers answers, in sessions of their own. So who is in a transaction sees what goes on now."""
    rows: list[tuple[Any, ...]] = []
    with sessions() as opened:
        for session in opened:
            with session.cursor() as cursor:
                cursor.execute(statement, arguments)
                rows += cursor.fetchall()
    return rows


def session_at(schema: str) -> Any:
    """A session of the driver's at the server that has this schema. Of what is set in it, a cluster's coordinator would
    tell the node nothing."""
    at_node = entered(schema).settings_dict if citus.nodes() else {"HOST": None, "PORT": None}
    return _connected(host=at_node["HOST"], port=at_node["PORT"])


def _connected(**address: Any) -> Any:
    session = psycopg2.connect(database_url(), **address)
    if citus.nodes():
        with session.cursor() as cursor:
            # It hides what has the rows: tables and indexes with a number behind their names.
            cursor.execute("SET citus.override_table_visibility = off")
        session.commit()
    return session


_HERE = "pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())"


def somebody_waits(kind: str | None = None) -> bool:
    """Whether somebody waits for a lock of this kind (``locktype`` of pg_locks), or of any. Who waits for a row that
    another has changed waits for his "transactionid"."""
    return bool(
        everywhere(f"SELECT FROM pg_locks WHERE NOT granted AND locktype = coalesce(%s, locktype) AND {_HERE}", [kind])
    )


def somebody_waits_for_table(schema: str, table: str) -> bool:
    """Whether somebody waits for a lock of this table."""
    return bool(
        everywhere(
            f"SELECT FROM pg_locks WHERE NOT granted AND {_HERE} AND relation IN"
            " (SELECT oid FROM pg_class WHERE relnamespace = to_regnamespace(%s) AND relname ~ %s)",
            [schema, rf"^{table}(_\d+)?$"],
        )
    )


def deadlocks() -> int:
    """How many there have been."""
    return sum(
        count for (count,) in everywhere("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    )


def end_sessions(*kept: Any) -> None:
    """Ends the sessions of all others, and waits until they are gone: all but those of Django's connection and the
    driver's that are given."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pids = [cursor.fetchone()[0], *(one.info.backend_pid for one in kept)]
    # A session that a cluster's node keeps to another one ends with the session that it is for.
    everywhere(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND usename LIKE 'recharge%%' AND backend_type = 'client backend'"
        " AND application_name NOT LIKE 'citus_internal%%' AND pid <> pg_backend_pid() AND pid <> ALL (%s)",
        [pids],
    )
