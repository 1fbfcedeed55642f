"""What was sold and what was tried is not rewritten: not by a statement on the tables, whoever's it is."""

import uuid
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest

from recharge.delivery.settlement import settle_recharge
from recharge.models import Attempt, Recharge
from shared.database import call_function
from tests.support.locks import sell_pending
from tests.support.world import Organization, database_url, give_credit

NEVER = {
    "seller_id": "seller_id + 1",
    "phone_number": "'+989129999999'",
    "operator": "'rightel'",
    "amount": "1",
    "balance_after": "0",
    "user_id": "1",
    "key_id": "'00000000-0000-0000-0000-000000000001'",
    "commission": "commission + 1",
    "basis_points": "7",
    "dealers": "ARRAY[seller_id]",
}
"""What a recharge says from the beginning."""

ENDED = {
    "id": "'00000000-0000-0000-0000-000000000001'",
    "idempotency_key": "'another'",
    "created_at": "now()",
    "gateway": "'another'",
    "training": "true",
    "status": "'pending', completed_at = NULL, failure = ''",
}
"""What it says for good once it has ended."""


@pytest.fixture
def pending(acme: Organization) -> uuid.UUID:
    give_credit(acme.row, acme.member.id, 50_000)
    return sell_pending(acme.row, acme.member.id)


@pytest.fixture
def owner_of_tables(acme: Organization) -> Iterator[psycopg2.extensions.cursor]:
    with closing(psycopg2.connect(database_url())) as opened:
        opened.autocommit = True
        with opened.cursor() as cursor:
            cursor.execute("SET search_path = org_acme, public")
            yield cursor


def refused(cursor: psycopg2.extensions.cursor, statement: str) -> bool:
    try:
        cursor.execute(statement)
    except psycopg2.errors.RestrictViolation:
        return True
    return False


def test_a_recharge_keeps_what_was_sold_and_once_ended_all_it_says(
    acme: Organization, pending: uuid.UUID, owner_of_tables: psycopg2.extensions.cursor
) -> None:
    def rewrites(columns: dict[str, str]) -> set[str]:
        update = f"UPDATE recharge_recharge SET {{}} = {{}} WHERE id = '{pending}'"
        return {name for name, value in columns.items() if not refused(owner_of_tables, update.format(name, value))}

    assert rewrites(NEVER) == set()
    for status in (Recharge.Status.SUCCEEDED, Recharge.Status.FAILED):
        settle_recharge(organization=acme.row, recharge_id=pending, status=status, failure="taken back")
        assert rewrites(NEVER | ENDED) == set(), status
    owner_of_tables.execute(f"UPDATE recharge_recharge SET amount = amount, due_at = NULL WHERE id = '{pending}'")


def test_an_attempt_is_completed_once(
    acme: Organization, pending: uuid.UUID, owner_of_tables: psycopg2.extensions.cursor
) -> None:
    def record(outcome: str, answer: str) -> str:
        arguments = [acme.row.pk, pending, 1, outcome, "", "", answer, 5, None]
        (said,) = call_function("org_acme", "recharge_record", "answer", arguments)
        return str(said)

    with acme.context:
        owner_of_tables.execute("SELECT number FROM recharge_claim(10, interval '1 minute')")
        assert owner_of_tables.fetchall() == [(1,)]
        for column, value in {"gateway": "'another'", "started_at": "now()", "number": "7", "by": "'owner'"}.items():
            assert refused(owner_of_tables, f"UPDATE recharge_attempt SET {column} = {value}"), column
        assert record("accepted", "first") == "noted"
        assert record("accepted", "first") == "noted"  # the same once more, after a lost connection
        assert record("accepted", "second") == "noted"
        assert Attempt.objects.get().answer == "first"
    for column, value in {"outcome": "'failed'", "answer": "''", "latency_ms": "1", "reason": "'x'"}.items():
        assert refused(owner_of_tables, f"UPDATE recharge_attempt SET {column} = {value}"), column
