"""What the database itself enforces about money, whoever asks."""

import uuid
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django_tenants.utils import tenant_context

from credit.models import Account, Entry
from shared.money import LARGEST_BALANCE
from tenants.models import Organization
from tests.support.world import database_url, give_credit, make_seller


@pytest.fixture
def acme_row() -> Organization:
    return Organization.objects.get(slug="acme")


@pytest.fixture
def seller_id(acme_row: Organization) -> int:
    """A seller with 1,000 Tomans."""
    return make_seller(acme_row, "seller", 1000).pk


def post(row: Organization, seller_id: int, kind: str, amount: int, reference: uuid.UUID | None = None):
    """Calls the one money function: (posted, balance, number)."""
    with tenant_context(row), connection.cursor() as cursor:
        cursor.execute(
            "SELECT * FROM ledger_post(%s, %s, %s, %s, %s)",
            [row.pk, seller_id, kind, amount, reference or uuid.uuid4()],
        )
        return cursor.fetchone()


@pytest.mark.breaks_the_books  # entries without a recharge: the function is called alone here
@pytest.mark.parametrize(
    ("kind", "amount", "expected"),
    [
        ("recharge", -1, (True, 999, 2)),
        ("recharge", -1000, (True, 0, 2)),
        ("recharge", -1001, (False, 1000, None)),
        ("refund", 1, (True, 1001, 2)),
        ("credit", 10**12, (True, 10**12 + 1000, 2)),
        ("adjustment", -1000, (True, 0, 2)),
        ("adjustment", -1001, (False, 1000, None)),
        ("adjustment", LARGEST_BALANCE - 1000, (True, LARGEST_BALANCE, 2)),
        ("adjustment", LARGEST_BALANCE - 999, (False, 1000, None)),
    ],
)
def test_it_posts_what_the_balance_bears(
    acme_row: Organization, seller_id: int, kind: str, amount: int, expected: tuple[bool, int, int | None]
) -> None:
    assert post(acme_row, seller_id, kind, amount) == expected
    with tenant_context(acme_row):
        account = Account.objects.get(seller=seller_id)
        assert (account.balance, account.last_number) == (expected[1], expected[2] or 1)
        assert Entry.objects.filter(seller=seller_id).count() == account.last_number


@pytest.mark.parametrize(
    ("kind", "amount"), [("recharge", 1), ("refund", -1), ("credit", -1), ("credit", 0), ("adjustment", 0), ("gift", 5)]
)
def test_it_refuses_an_entry_with_the_wrong_sign_or_kind(
    acme_row: Organization, seller_id: int, kind: str, amount: int
) -> None:
    with pytest.raises(IntegrityError, match="entry_sign"):
        post(acme_row, seller_id, kind, amount)


def test_it_refuses_a_second_entry_for_one_reference(acme_row: Organization, seller_id: int) -> None:
    with tenant_context(acme_row):
        reference = Entry.objects.get(kind="credit").reference
    with pytest.raises(IntegrityError, match="entry_reference"):
        post(acme_row, seller_id, "credit", 1000, reference)


def test_it_refuses_a_seller_without_an_account(acme_row: Organization) -> None:
    with pytest.raises(DatabaseError, match="no rows"):
        post(acme_row, 999, "credit", 1)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE credit_entry SET amount = amount + 1",
        "UPDATE credit_entry SET amount = amount WHERE false",
        "DELETE FROM credit_entry",
        "TRUNCATE credit_entry",
        "TRUNCATE credit_account CASCADE",
    ],
)
def test_entries_can_not_be_changed_or_removed(acme_row: Organization, seller_id: int, statement: str) -> None:
    with tenant_context(acme_row), connection.cursor() as cursor:
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            cursor.execute(statement)
        assert Entry.objects.get(seller=seller_id).amount == 1000


def test_a_balance_can_not_be_set_below_zero_by_any_statement(acme_row: Organization, seller_id: int) -> None:
    with tenant_context(acme_row), connection.cursor() as cursor:
        with pytest.raises(IntegrityError, match="account_balance_not_negative"), transaction.atomic():
            cursor.execute("UPDATE credit_account SET balance = -1")
        assert Account.objects.get(seller=seller_id).balance == 1000


def test_the_function_works_in_its_own_schema_whatever_the_search_path(acme_row: Organization, seller_id: int) -> None:
    """Called on a connection that is on another organization's schema, as behind a connection pooler."""
    globex = Organization.objects.get(slug="globex")
    make_seller(globex, "same id")
    with tenant_context(globex), connection.cursor() as cursor:
        cursor.execute(
            "SELECT outcome FROM org_acme.recharge_sell(%s, %s, 'k', '+989121234567', 'mci', 400, true)",
            [acme_row.pk, seller_id],
        )
        assert cursor.fetchone() == ("created",)
        assert Account.objects.get().balance == 0
    with tenant_context(acme_row):
        assert Account.objects.get(seller=seller_id).balance == 600


def test_a_sellers_entries_are_in_order_of_number_id_and_time(acme_row: Organization, seller_id: int) -> None:
    for _ in range(20):
        give_credit(acme_row, seller_id, 1)
    with tenant_context(acme_row):
        entries = list(Entry.objects.order_by("number").values_list("number", "id", "created_at"))
    assert [number for number, _, _ in entries] == list(range(1, 22))
    assert sorted(entries, key=lambda entry: entry[1]) == entries
    assert sorted(entries, key=lambda entry: entry[2]) == entries


def test_ids_sort_as_their_times_to_the_microsecond(acme_row: Organization) -> None:
    moment = datetime(2026, 11, 24, 12, 0, 0, 999_990, tzinfo=UTC)
    moments = [moment + timedelta(microseconds=step) for step in range(30)]
    with tenant_context(acme_row), connection.cursor() as cursor:
        cursor.execute("SELECT uuid7_at(moment) FROM unnest(%s) AS moment", [moments])
        ids = [row[0] for row in cursor.fetchall()]
    assert sorted(ids) == ids
    assert {(value.version, value.variant) for value in ids} == {(7, uuid.RFC_4122)}
    assert [value.int >> 80 for value in ids] == [int(moment.timestamp() * 1_000_000) // 1000 for moment in moments]


def test_ids_made_together_are_those_of_the_microseconds_after(acme_row: Organization) -> None:
    """Over the end of a millisecond and of a second."""
    moment = datetime(2026, 11, 24, 12, 0, 0, 999_490, tzinfo=UTC)
    with tenant_context(acme_row), connection.cursor() as cursor:
        cursor.execute("SELECT uuid7s_after(%s, 1000), uuid7s_after(%s, 1000)", [moment, moment])
        ids, others = cursor.fetchone()
        moments = [moment + timedelta(microseconds=step) for step in range(1, 1001)]
        cursor.execute("SELECT uuid7_at(moment) FROM unnest(%s) AS moment ORDER BY moment", [moments])
        singly = [row[0] for row in cursor.fetchall()]
    assert sorted(ids) == ids
    assert [value.int >> 64 for value in ids] == [value.int >> 64 for value in singly]
    assert {(value.version, value.variant) for value in ids} == {(7, uuid.RFC_4122)}
    assert not set(ids) & set(others)


def test_the_application_is_no_superuser() -> None:
    """Or the append-only protection could be switched off for a session by anyone who got into it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (False,)


def test_a_transaction_that_is_rolled_back_leaves_no_lock_and_no_money(acme_row: Organization, seller_id: int) -> None:
    other = psycopg2.connect(database_url())
    try:
        with other.cursor() as cursor:
            cursor.execute(
                "SELECT outcome FROM org_acme.recharge_sell(%s, %s, 'k', '+989121234567', 'mci', 400, true)",
                [acme_row.pk, seller_id],
            )
            assert cursor.fetchone() == ("created",)
        other.rollback()
        assert lock_is_free(acme_row, seller_id)
    finally:
        other.close()
    with tenant_context(acme_row):
        assert Account.objects.get(seller=seller_id).balance == 1000
        assert Entry.objects.count() == 1


def lock_is_free(row: Organization, seller_id: int) -> bool:
    """Whether the seller's lock is free right now."""
    with tenant_context(row), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '1ms'")
        cursor.execute("SELECT seller_lock(%s, %s)", [row.pk, seller_id])
        return True
