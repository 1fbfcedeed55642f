"""Moves what was sold and posted into the past: a day is over only by the clock."""

from datetime import timedelta

from django.db import connection, transaction
from django.db.models.expressions import RawSQL

from tests.support.chain import FORGET
from tests.support.scripts import run_script

# Without a time zone, and so without one that a session has set: nothing else may stand in an UPDATE on Citus.
_EARLIER = "({0} AT TIME ZONE 'UTC' - %(by)s) AT TIME ZONE 'UTC'"
_EARLIER_ID = "(substring(uuid7_floor({0})::text FOR 13) || substring({1}id::text FROM 14))::uuid"

_ENTRIES = f"""
    UPDATE credit_entry AS entry SET
        id = {_EARLIER_ID.format(_EARLIER.format("entry.created_at"), "entry.")},
        created_at = {_EARLIER.format("entry.created_at")}
"""
_REFERENCES = f"""
    UPDATE credit_entry AS entry SET reference = {_EARLIER_ID.format(_EARLIER.format("sold.created_at"), "sold.")}
    FROM recharge_recharge AS sold WHERE entry.reference = sold.id
"""
_RECHARGES = f"""
    UPDATE recharge_recharge SET
        id = {_EARLIER_ID.format(_EARLIER.format("created_at"), "")},
        {", ".join(f"{one} = {_EARLIER.format(one)}" for one in ("created_at", "completed_at", "delivered_at"))}
"""


def earlier(column: str, by: timedelta) -> RawSQL:
    """The moment in a column, so much earlier, for an ``update()``."""
    return RawSQL(_EARLIER.format(column).replace("%(by)s", "%s"), [by])


def move_entries_back(by: timedelta, *, which: str = "true") -> None:
    """Those for which the condition on ``entry`` is true; the chain of hashes is forgotten. It runs on the
    organization's schema."""
    with transaction.atomic():
        _execute("ALTER TABLE credit_entry DISABLE TRIGGER credit_entry_append_only", by)
        _execute(f"{_ENTRIES} WHERE {which}", by)
        _execute("ALTER TABLE credit_entry ENABLE TRIGGER credit_entry_append_only", by)
        run_script(FORGET)


def move_back(by: timedelta) -> None:
    """All that was sold, with what was posted. It runs on the organization's schema."""
    with transaction.atomic():
        move_entries_back(by)
        _execute("ALTER TABLE credit_entry DISABLE TRIGGER credit_entry_append_only", by)
        _execute("ALTER TABLE recharge_recharge DISABLE TRIGGER recharge_content", by)
        _execute(_REFERENCES, by)
        _execute(_RECHARGES, by)
        _execute("ALTER TABLE recharge_recharge ENABLE TRIGGER recharge_content", by)
        _execute("ALTER TABLE credit_entry ENABLE TRIGGER credit_entry_append_only", by)


def _execute(statement: str, by: timedelta) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, {"by": by})
