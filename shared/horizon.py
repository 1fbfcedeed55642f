"""Finds up to which moment all rows of a list are there. A poller is shown no later ones, and so misses none for ever.

A row's id is made of a moment inside the transaction that writes it, after the seller's lock is held (credit/sql); the
row is seen when that transaction commits. Rows of one seller appear in the order of their ids, for the lock is held
until then. Rows of several sellers do not: while a bulk call of one is still writing, another's later sale may be there
already, and whoever goes on from that sale never sees the bulk call's rows, whose ids are lower.

So a poller is shown what is older than the oldest transaction that may still write such rows. A transaction can be seen
before its locks are gone: what holds none when this looks is either seen by the next statement, or has its moment still
to come. (That is why this is a statement of its own, before the one that reads the rows. Each must be in autocommit:
a transaction keeps what pg_stat_activity first said in it.)
"""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from django.db import connection
from psycopg2 import sql

from shared.database import entered
from shared.uuid7 import least_id

# A transaction of another role does not show since when it runs, unless ours may read all statistics
# (pg_read_all_stats): it is taken for one of a minute. One that has ended since its lock was seen shows none either
# (or that of the next one), and needs none.
#
# On a cluster (tenants/placed/base.py) it is asked where the rows are, of the relation that is written there, and
# clocks may differ. A transaction that came in at the coordinator is prepared at the node before it is committed: then
# it has no session. It was begun less than a minute before, since none takes longer.
_HORIZON = """
    SELECT -make_interval(secs => %(clocks_apart)s) + least(
        statement_timestamp(),
        min(
            CASE
                WHEN held.pid IS NULL
                    THEN (SELECT min(prepared) FROM pg_prepared_xacts WHERE database = current_database())
                        - interval '1 minute'
                WHEN coalesce(activity.state, 'disabled') = 'disabled' THEN statement_timestamp() - interval '1 minute'
                ELSE activity.xact_start
            END
        )
    )
    FROM pg_locks AS held
    LEFT JOIN pg_stat_activity AS activity ON activity.pid = held.pid
    WHERE held.granted
        AND (held.pid IS NULL OR activity.pid IS NOT NULL)
        AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (
            held.locktype = 'advisory' AND held.objsubid = 2 AND held.classid = (%(organization_id)s & 2147483647)::oid
            OR held.locktype = 'relation' AND held.mode = 'RowExclusiveLock' AND held.relation = {relation}
        )
"""


def horizon(*, organization_id: int, table: str | None) -> datetime:
    """The moment that whatever is still being written to ``table``, or under a lock of the organization's sellers, has
    its own moments after: what is earlier is committed. Not in a transaction."""
    current = entered(connection.schema_name)  # type: ignore[attr-defined]
    statement = _HORIZON.format(relation=getattr(current, "relation_written", "to_regclass(%(table)s)"))
    parameters = {
        "organization_id": organization_id,
        "schema": connection.schema_name,  # type: ignore[attr-defined]
        "table": table,
        "clocks_apart": getattr(current, "clocks_apart", 0),
    }
    with current.cursor() as cursor:
        cursor.execute(statement, parameters)
        moment: datetime = cursor.fetchone()[0]
        return moment


Horizon = Callable[[], UUID | int]
"""Asks for the least id that is not yet to be shown to a poller; one query, or two."""


def horizon_of(*, organization_id: int, seller_id: int | None = None, table: str | None = None) -> Horizon | None:
    """The horizon of an organization's list whose rows are written under their sellers' locks; or, where some are
    written without, of the list in ``table``, whose moments are taken while the table is held for writing.

    With ``seller_id``, the list is of one seller and all written under that lock: then there is none to heed.
    """
    if seller_id is not None:
        return None

    def ask() -> UUID:
        return least_id(horizon(organization_id=organization_id, table=table))

    return ask


# Of a list whose ids are a sequence's and whose moments are taken with them. A row that is not to be seen yet has taken
# its number after its transaction began, and so after the horizon: each row whose moment is before that has a lower
# one. (Two rows may have taken number and moment crosswise; hence the second bound.)
_NUMBER = """
    SELECT least(
        1 + coalesce((SELECT id FROM {table} WHERE {moment} < %(horizon)s ORDER BY id DESC LIMIT 1), 0),
        (SELECT min(id) FROM {table} WHERE {moment} >= %(horizon)s)
    )
"""


def horizon_of_numbered(*, table: str, moment: str) -> Horizon:
    """The horizon of a list in ``table`` whose ids are numbers, and whose rows have their time in column ``moment``, by
    the database's clock."""
    statement = sql.SQL(_NUMBER).format(table=sql.Identifier(table), moment=sql.Identifier(moment))

    def ask() -> int:
        # No organization has the id 0; besides, a table's own locks count, which are held for a moment.
        until = horizon(organization_id=0, table=table)
        with connection.cursor() as cursor:
            cursor.execute(statement, {"horizon": until})
            number: int = cursor.fetchone()[0]
        return number

    return ask
