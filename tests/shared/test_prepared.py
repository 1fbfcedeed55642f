"""Statements that call the money functions are prepared on their connection from the second use on; whoever takes that
away takes nothing else."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection as django_connection
from django.db import transaction
from django_tenants.utils import tenant_context

from recharge.selling.sale import Item
from recharge.selling.services import sell_recharge
from shared import database
from tenants.working_role import as_owner
from tests.support.world import Organization, give_credit

connection: Any = django_connection


@pytest.fixture(autouse=True)
def session() -> Iterator[None]:
    """One of the test's own: behind a pooler nothing is prepared."""
    with as_owner():
        yield


def sell(acme: Organization, amount: int = 1000) -> None:
    item = Item("+989121234567", "mci", amount, uuid.uuid4().hex)
    sell_recharge(organization=acme.row, seller_id=acme.member.id, item=item)


def entered() -> Any:
    """The connection by which acme's sales go in: on a cluster one to its node."""
    return database.entered("org_acme")


def prepared() -> list[str]:
    """The statements of this session that sell."""
    with entered().cursor() as cursor:
        cursor.execute("SELECT name FROM pg_prepared_statements WHERE statement LIKE '%recharge_sell%'")
        return [name for (name,) in cursor.fetchall()]


@pytest.fixture
def selling(acme: Organization) -> Organization:
    """acme, for whose member this connection has sold often enough."""
    connection.close()
    give_credit(acme.row, acme.member.id, 100_000)
    for _ in range(3):
        sell(acme)
    return acme


def test_the_second_use_prepares_it_once(acme: Organization) -> None:
    connection.close()
    give_credit(acme.row, acme.member.id, 100_000)
    sell(acme)
    assert prepared() == []
    for _ in range(5):
        sell(acme)
    assert len(prepared()) == 1


@pytest.mark.parametrize("taken_by", ["DISCARD ALL", "DEALLOCATE ALL", "ROLLBACK; DEALLOCATE ALL"])
def test_a_session_that_has_lost_it_sells_on(selling: Organization, taken_by: str) -> None:
    with entered().connection.cursor() as cursor:
        cursor.execute(taken_by)
    for _ in range(4):
        sell(selling)
    assert selling.member.balance() == 93_000
    assert len(prepared()) == 1


def test_a_new_connection_begins_anew(selling: Organization) -> None:
    connection.close()
    sell(selling)
    assert prepared() == []


def test_a_function_with_another_result_is_called_all_the_same(selling: Organization) -> None:
    """As after an upgrade that this process does not know of: its statement stays, and what it selects has another
    type."""
    calls = [("text", "'a'"), ("integer", "1"), ("boolean", "true")]
    with connection.cursor() as cursor:
        for kind, value in calls:
            cursor.execute("DROP FUNCTION IF EXISTS org_acme.changing()")
            cursor.execute(
                f"CREATE FUNCTION org_acme.changing(OUT answer_of {kind}) LANGUAGE plpgsql"
                f" AS $$BEGIN answer_of := {value}; END$$"
            )
            for _ in range(3):
                found = database.call_function("org_acme", "changing", "answer_of", [])
            assert found == ({"text": "a", "integer": 1, "boolean": True}[kind],)
        cursor.execute("DROP FUNCTION org_acme.changing()")


def test_within_a_transaction_nothing_is_prepared_and_nothing_that_is_prepared_is_used(selling: Organization) -> None:
    with entered().connection.cursor() as cursor:
        cursor.execute("DISCARD ALL")
    with tenant_context(selling.row), transaction.atomic():
        sell(selling)
        sell(selling)
    assert selling.member.balance() == 95_000


def test_no_more_are_kept_than_may_be(selling: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "MOST_PREPARED", 0)
    connection.close()
    for _ in range(3):
        sell(selling)
    assert prepared() == []
