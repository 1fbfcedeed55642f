"""Proving organizations' books: first whether their schemas have what this release works with, then the books.

Of the books, everything is read, or what came since they were last proved (sql/checkpoint.sql and
sql/reconcile_since.sql): that costs what a day has brought, and not what years have. What was proved and then rewritten
past the functions, only a proof of everything is sure to see.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import DatabaseError, OperationalError, connection, transaction
from django.utils import timezone
from django_tenants.utils import schema_context, tenant_context
from psycopg2 import errorcodes

from credit.queries import members_without_seller
from recharge.models import Checkpoint
from shared.database import entered
from shared.sick import sqlstate_of
from tenants.collation import changed_collation
from tenants.functions import PUBLIC, differs_at
from tenants.memory import bound_memory
from tenants.models import Organization
from tenants.schemas import Condition, State, states_of

EVERYTHING_EVERY = timedelta(days=6, hours=12)
"""After so long a nightly proof reads everything again: once a week, whatever the minute of the night."""

_SQL = Path(__file__).parents[1] / "sql"
_ALL, _SINCE, _RULES, _GUARDS = (
    (_SQL / f"reconcile{part}.sql").read_text() for part in ("_all", "_since", "", "_guards")
)
_DAYS = """
    SELECT
        10, 'day_sums_differ', day.seller_id, rfc3339(day.begins),
        format(
            '%%s of the sums that reports of this day read differ from its recharges and entries (the first: %%s);'
            ' SELECT %%I.days_forget(%%L) has reports read these, and a worker sum them up anew',
            day.differing, day.what, current_schema(), rfc3339(day.begins)
        )
    FROM days_differ(%s) AS day
"""
_NO_TABLES = "SELECT NULL::text, NULL::text WHERE false"  # each table has its rows itself
_VERSION = hashlib.sha256((_ALL + _SINCE + _RULES + _GUARDS + _DAYS).encode()).digest()
"""Of the rules."""

# Every row is read anyway, so loops win nothing. Where the planner takes a table for empty that was filled since it was
# last looked at, they cost minutes: 40,000 rows were compared with 40,000.
_READING_ALL = "SET LOCAL enable_nestloop = off"

# From each row on by the indexes, whatever the planner guesses how many rows there are. (It guesses a third of the
# table, and would compile the statement, which takes longer than to carry it out.)
_READING_SINCE = """
    SET LOCAL enable_seqscan = off;
    SET LOCAL enable_hashjoin = off;
    SET LOCAL enable_mergejoin = off;
    SET LOCAL jit = off
"""

_FAULT_OF = {
    Condition.BROKEN: "schema_broken",
    Condition.BEHIND: "schema_behind",
    Condition.DIFFERENT: "functions_differ",
}


_UNREADABLE = "books_unreadable"
_NOT_READ = {_FAULT_OF[Condition.BROKEN], _UNREADABLE}


@dataclass(frozen=True, slots=True)
class Fault:
    """A row that breaks one of the invariants of the books; or (``invariant`` is None) something else that is wrong."""

    invariant: int | None
    fault: str
    seller_id: int | None
    row: str
    detail: str

    @property
    def is_unread(self) -> bool:
        """Whether it says that the books could not be read, so that nobody knows of them: the schema is broken, or its
        node of a cluster is away."""
        return self.fault in _NOT_READ


@dataclass(frozen=True, slots=True)
class Proof:
    """What the books of an organization were found to be."""

    organization: Organization
    faults: list[Fault] = field(default_factory=list)
    since: datetime | None = None
    """Up to then they had been proved before, and what is older was not read. None: everything was read."""


def find_faults(*, since_checkpoint: bool = False) -> list[Fault]:
    """Proves the books of the current organization; what is returned is wrong with them (see sql/reconcile.sql).
    ``since_checkpoint``: what came since the checkpoint, which must be there; else everything."""
    head, reading = (_SINCE, _READING_SINCE) if since_checkpoint else (_ALL, _READING_ALL)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(reading)
        cursor.execute(head + _RULES)
        rows = cursor.fetchall()
        cursor.execute(_DAYS, [since_checkpoint])
        rows += cursor.fetchall()
        # Each of these statements has found what it says in one snapshot.
        return _in_order([*(Fault(*row) for row in rows), *_guards_missing(cursor, _NO_TABLES)])


def _faults_at_node() -> list[Fault]:
    """On a cluster: what is not in force where the rows of the current organization are, or is not as at the
    coordinator. A node may have been recovered to an earlier moment."""
    schema = connection.schema_name  # type: ignore[attr-defined]
    node = entered(schema)
    if not hasattr(node, "tables_with_rows"):
        return []
    try:
        with node.cursor() as cursor:
            faults = _guards_missing(cursor, node.tables_with_rows)
        if differs_at(node, schema):
            what = "functions, triggers or types at its node are not those that the coordinator has"
            faults.append(Fault(None, "functions_differ", None, schema, what))
    except OperationalError as error:
        node.has_left(error)  # for the next organization
        raise
    return faults


def _guards_missing(cursor: Any, tables_with_rows: str) -> list[Fault]:
    cursor.execute(
        f"WITH of_rows (table_name, number) AS ({tables_with_rows}), {_GUARDS}",
        {"schema": connection.schema_name},  # type: ignore[attr-defined]
    )
    return [Fault(*row) for row in cursor.fetchall()]


def _in_order(faults: Iterable[Fault]) -> list[Fault]:
    """Each once; no seller stands last."""
    return sorted(
        set(faults),
        key=lambda one: (one.invariant or 0, one.fault, one.seller_id is None, one.seller_id or 0, one.row, one.detail),
    )


def prove_books(
    organizations: Sequence[Organization], *, everything: bool = False, everything_every: timedelta | None = None
) -> Iterator[Proof]:
    """What is wrong with each of these organizations. One whose schema is broken is at fault, and the next follows.

    What came since the last proof is read; everything if there was none by these rules, or the last one of everything
    found something wrong, or ``everything``, or if everything was last read so long ago (``everything_every``; None:
    however long). Inside a transaction everything is read, and nothing kept for the next proof.

    Raises:
        django.db.OperationalError: the database does not answer.
    """
    states = states_of([organization.schema_name for organization in organizations], thorough=True)
    for organization in organizations:
        state = states[organization.schema_name]
        faults = _faults_of_state(organization.schema_name, state)
        since = None
        if state.condition is not Condition.BROKEN:
            proof = _prove(organization, everything, everything_every)
            faults, since = faults + proof.faults, proof.since
            if state.condition is Condition.BEHIND and any(fault.is_unread for fault in proof.faults):
                # Nobody can read it with this code; that it is not migrated says why.
                faults = [Fault(None, _UNREADABLE, None, organization.schema_name, state.detail)]
        yield Proof(organization, faults, since)
        bound_memory(organization.schema_name)


def _faults_of_state(schema: str, state: State) -> list[Fault]:
    if state.condition not in _FAULT_OF:
        return []
    return [Fault(None, _FAULT_OF[state.condition], None, schema, state.detail)]


def _prove(organization: Organization, everything: bool, every: timedelta | None) -> Proof:
    try:
        with tenant_context(organization):
            if connection.in_atomic_block:
                faults, since = find_faults(), None
            else:
                faults, since = _prove_from_checkpoint(everything, every)
            faults += [
                Fault(
                    None, "member_without_seller", seller_id, username,
                    "the seller is not in the schema; a new seller of this username gets the old id back",
                )
                for seller_id, username in members_without_seller(organization)
            ]  # fmt: skip
            return Proof(organization, faults, since)
    except DatabaseError as error:
        if not connection.is_usable():
            raise
        return Proof(
            organization,
            [Fault(None, _UNREADABLE, None, organization.schema_name, str(error).strip().splitlines()[0])],
        )


def _prove_from_checkpoint(everything: bool, every: timedelta | None) -> tuple[list[Fault], datetime | None]:
    """The faults, and since when was read (None: everything)."""
    faults_at_node = _faults_at_node()
    with transaction.atomic(), connection.cursor() as cursor:
        # One snapshot: what is kept is what was proved, and what is committed meanwhile is left for the next proof.
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        checkpoint = Checkpoint.objects.first()
        if checkpoint is not None and (
            everything
            or bytes(checkpoint.rules) != _VERSION
            or (every is not None and checkpoint.all_at < timezone.now() - every)
        ):
            checkpoint = None
        faults = _in_order([*faults_at_node, *find_faults(since_checkpoint=checkpoint is not None)])
        if not faults:
            _keep_checkpoint(is_all=checkpoint is None)
    if faults and checkpoint is None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT books_unproved()")
    return faults, checkpoint.at if checkpoint else None


def _keep_checkpoint(*, is_all: bool) -> None:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT books_proved(%s, %s)", [_VERSION, is_all])
    except OperationalError as error:
        if sqlstate_of(error) != errorcodes.SERIALIZATION_FAILURE:
            raise  # else somebody has proved them at the same time, and kept that


def prove_platform() -> list[Fault]:
    """What is wrong beside the organizations: with the public schema and with the database itself."""
    with schema_context(PUBLIC):
        faults = _faults_of_state(PUBLIC, states_of([PUBLIC])[PUBLIC])
        if changed := changed_collation():
            faults.append(Fault(None, "collation_changed", None, *changed))
    return faults
