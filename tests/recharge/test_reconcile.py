"""Reconciliation finds each way in which books can be wrong, and says which row."""

import json
import subprocess
from pathlib import Path

import psycopg2
import pytest
from django.db import connection, transaction
from django_tenants.utils import tenant_context

from credit.adjustments import create_adjustment
from recharge.delivery.settlement import settle_recharge
from recharge.models import Recharge
from recharge.reports.books import find_faults
from tenants.models import Organization
from tests.support.commands import run
from tests.support.locks import sell_pending
from tests.support.world import database_url, give_credit, make_seller

ROOT = Path(__file__).resolve().parents[2]

# Statements that wrong the books of a seller (id 1) with one credit of 10,000, a recharge of 1,000 that succeeded, one
# of 2,000 that failed and was refunded, one of 4,000 that is pending, and (where they name it) an adjustment of -500;
# and the faults that must be found.
DROP_KEYS = """
    DO $$
    DECLARE
        v_key text;
    BEGIN
        FOR v_key IN SELECT conname FROM pg_constraint WHERE conrelid = 'credit_entry'::regclass AND contype = 'f' LOOP
            EXECUTE format('ALTER TABLE credit_entry DROP CONSTRAINT %I', v_key);
        END LOOP;
    END;
    $$;
"""

TAMPERINGS = {
    "a balance raised": (
        "UPDATE credit_account SET balance = balance + 1",
        {"balance_differs_from_entries", "balance_differs_from_last_entry"},
    ),
    "a number skipped": ("UPDATE credit_account SET last_number = 9", {"last_number_differs"}),
    "an account gone": (DROP_KEYS + "DELETE FROM credit_account", {"account_missing", "entries_without_account"}),
    "an entry changed": (
        "UPDATE credit_entry SET amount = -999 WHERE number = 2",
        {"entry_hash", "balance_differs_from_entries", "entry_balance_after", "recharge_without_debit"},
    ),
    "the running balance changed": (
        "UPDATE credit_entry SET balance_after = 1 WHERE number = 3",
        {"entry_hash", "entry_balance_after", "recharge_balance_after"},
    ),
    "the last entry gone": (
        "DELETE FROM credit_entry WHERE number = 5",
        {
            "last_hash_differs",
            "balance_differs_from_entries",
            "balance_differs_from_last_entry",
            "last_number_differs",
            "recharge_without_debit",
        },
    ),
    "an entry in the middle gone": (
        "DELETE FROM credit_entry WHERE number = 2",
        {"entry_hash", "balance_differs_from_entries", "entry_number", "entry_balance_after", "recharge_without_debit"},
    ),
    "a recharge gone": ("DELETE FROM recharge_recharge WHERE status = 'succeeded'", {"debit_without_recharge"}),
    "a recharge's amount changed": (
        "UPDATE recharge_recharge SET amount = 1001 WHERE status = 'succeeded'",
        {"recharge_without_debit"},
    ),
    "a recharge's balance changed": (
        "UPDATE recharge_recharge SET balance_after = 1 WHERE status = 'succeeded'",
        {"recharge_balance_after"},
    ),
    "a failure without a refund": (
        "UPDATE recharge_recharge SET status = 'failed', failure = 'x' WHERE status = 'succeeded'",
        {"failed_without_refund"},
    ),
    "a refund of what succeeded": (
        "UPDATE recharge_recharge SET status = 'succeeded', failure = '' WHERE status = 'failed'",
        {"refund_without_failure"},
    ),
    "a failed recharge gone": (
        "DELETE FROM recharge_recharge WHERE status = 'failed'",
        {"refund_without_failure", "debit_without_recharge"},
    ),
    "an approval taken back": (
        "UPDATE credit_creditrequest SET status = 'rejected'",
        {"credit_without_approval"},
    ),
    "a request gone": ("DELETE FROM credit_creditrequest", {"credit_without_approval"}),
    "an approval of more than was credited": (
        "UPDATE credit_creditrequest SET amount = amount + 1",
        {"approval_without_credit"},
    ),
    "an approval without a posting": (
        """
        INSERT INTO credit_creditrequest (
            id, seller_id, idempotency_key, amount, note, status, reason, created_at, decided_at, decided_by
        ) VALUES (gen_random_uuid(), 1, 'x', 5, '', 'approved', '', now(), now(), '')
        """,
        {"approval_without_credit"},
    ),
    "the debit under another seller": (
        """
        INSERT INTO credit_seller (name, is_active, created_at) VALUES ('other', true, now());
        INSERT INTO credit_account (seller_id, balance, last_number) VALUES (2, 0, 0);
        UPDATE recharge_recharge SET seller_id = 2 WHERE status = 'succeeded'
        """,
        {"recharge_without_debit"},
    ),
    "a negative balance": (
        """
        ALTER TABLE credit_account DROP CONSTRAINT account_balance_not_negative;
        UPDATE credit_account SET balance = -1
        """,
        {
            "balance_negative",
            "balance_differs_from_entries",
            "balance_differs_from_last_entry",
            "constraint_missing",
        },
    ),
    "a reference posted twice": (
        """
        ALTER TABLE credit_entry DROP CONSTRAINT entry_reference;
        INSERT INTO credit_entry (id, seller_id, number, kind, amount, balance_after, reference, created_at)
        SELECT gen_random_uuid(), 1, 6, kind, amount, 2000, reference, now() FROM credit_entry WHERE number = 2;
        UPDATE credit_account SET balance = 2000, last_number = 6
        """,
        {
            "entry_without_hash",
            "last_hash_differs",
            "posted_twice",
            "constraint_missing",
            "entry_balance_after",
            "balance_differs_from_entries",
            "recharge_balance_after",
        },
    ),
    "an adjustment's approval taken back": (
        "UPDATE credit_adjustment SET status = 'rejected'",
        {"adjustment_without_approval"},
    ),
    "an adjustment gone": ("DELETE FROM credit_adjustment", {"adjustment_without_approval"}),
    "an adjustment of another amount": (
        "UPDATE credit_adjustment SET amount = amount - 1",
        {"approval_without_adjustment"},
    ),
    "an adjustment without a posting": (
        """
        INSERT INTO credit_adjustment (
            id, seller_id, idempotency_key, amount, reason, reference, status, created_at, asked_by, asked_by_id,
            decided_at, decided_by, decided_by_id, decision_reason
        ) VALUES (gen_random_uuid(), 1, 'x', -5, 'x', '', 'approved', now(), 'a', 1, now(), 'b', 2, '')
        """,
        {"approval_without_adjustment"},
    ),
    "a first approval by the second person": (
        """
        UPDATE credit_creditrequest
        SET first_approved_at = decided_at, first_approved_by = decided_by, first_approved_by_id = decided_by_id
        """,
        {"approved_twice_by_one"},
    ),
    "a document that can be rewritten": (
        "ALTER TABLE credit_adjustment DISABLE TRIGGER credit_adjustment_kept",
        {"documents_not_kept"},
    ),
    "a document that can be removed": (
        "DROP TRIGGER credit_request_stays ON credit_creditrequest",
        {"documents_not_kept"},
    ),
    # What the sums and the documents alone call right.
    "an approval forged, with its entry and the balance": (
        """
        INSERT INTO credit_creditrequest (
            id, seller_id, idempotency_key, amount, note, status, reason, created_at, decided_at, decided_by
        ) VALUES ('00000000-0000-0000-0000-000000000001', 1, 'x', 1000000, '', 'approved', '', now(), now(), 'owner');
        INSERT INTO credit_entry (id, seller_id, number, kind, amount, balance_after, reference, created_at)
        SELECT
            gen_random_uuid(), 1, last_number + 1, 'credit', 1000000, balance + 1000000,
            '00000000-0000-0000-0000-000000000001', now()
        FROM credit_account WHERE seller_id = 1;
        UPDATE credit_account SET balance = balance + 1000000, last_number = last_number + 1
        """,
        {"entry_without_hash", "last_hash_differs"},
    ),
    "a credit and its approval raised, and all that was left since": (
        """
        UPDATE credit_creditrequest SET amount = amount + 7;
        UPDATE credit_entry SET amount = amount + 7 WHERE kind = 'credit';
        UPDATE credit_entry SET balance_after = balance_after + 7;
        UPDATE recharge_recharge SET balance_after = balance_after + 7;
        UPDATE credit_account SET balance = balance + 7
        """,
        {"entry_hash"},
    ),
    "an entry moved to another day": (
        "UPDATE credit_entry SET created_at = created_at - interval '1 day' WHERE number = 5",
        {"entry_hash"},
    ),
    "two documents changed for each other": (
        """
        UPDATE credit_entry SET reference = gen_random_uuid(), number = number WHERE number = 1;
        UPDATE credit_creditrequest SET id = (SELECT reference FROM credit_entry WHERE number = 1)
        """,
        {"entry_hash"},
    ),
    "hashes taken away from the last entries": (
        "UPDATE credit_entry SET hash = NULL WHERE number > 3; UPDATE credit_account SET last_hash = NULL",
        {"entry_without_hash"},
    ),
    "a root of what is not so": (
        """
        INSERT INTO credit_chainroot (day, root, accounts, entries, sellers, numbers, created_at)
        SELECT '2026-11-25', chain_root_hash('2026-11-25', NULL, '{1}', '{2}', ARRAY[hash]), 1, 2, '{1}', '{2}', now()
        FROM credit_entry WHERE number = 1
        """,
        {"root_differs"},
    ),
    "a root without what it covers": (
        """
        INSERT INTO credit_chainroot (day, root, accounts, entries, sellers, numbers, created_at)
        VALUES ('2026-11-25', sha256(''), 0, 0, '{}', '{}', now())
        """,
        {"root_differs"},
    ),
    "the roots' trigger disabled": (
        "ALTER TABLE credit_chainroot DISABLE TRIGGER credit_root_append_only",
        {"append_only_not_enforced"},
    ),
    "the trigger disabled": (
        "ALTER TABLE credit_entry DISABLE TRIGGER credit_entry_append_only",
        {"append_only_not_enforced"},
    ),
    "the trigger dropped": ("DROP TRIGGER credit_entry_append_only ON credit_entry", {"append_only_not_enforced"}),
}


@pytest.fixture
def acme_row() -> Organization:
    return Organization.objects.get(slug="acme")


@pytest.fixture
def seller_id(acme_row: Organization) -> int:
    seller_id = make_seller(acme_row, "seller", 10_000).pk
    for amount, status, failure in ((1000, "succeeded", ""), (2000, "failed", "barred"), (4000, None, "")):
        recharge_id = sell_pending(acme_row, seller_id, amount)
        if status:
            settle_recharge(
                organization=acme_row, recharge_id=recharge_id, status=Recharge.Status(status), failure=failure
            )
    return seller_id


@pytest.mark.parametrize(("statements", "expected"), TAMPERINGS.values(), ids=TAMPERINGS.keys())
def test_it_finds(acme_row: Organization, seller_id: int, statements: str, expected: set[str]) -> None:
    with tenant_context(acme_row):
        if "credit_adjustment" in statements:
            create_adjustment(
                organization=acme_row,
                seller_id=seller_id,
                idempotency_key="k",
                amount=-500,
                reason="paid twice",
                asked_by="owner",
                asked_by_id=1,
            )
        assert find_faults() == []
        # In a transaction that is undone: what broke the books never was.
        with transaction.atomic(), connection.cursor() as cursor:
            if "TRIGGER" not in statements:
                cursor.execute("ALTER TABLE credit_entry DISABLE TRIGGER credit_entry_append_only")
                for table in ("credit_creditrequest", "credit_adjustment"):
                    cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            cursor.execute("ALTER TABLE recharge_recharge DISABLE TRIGGER recharge_content")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
            cursor.execute(statements)
            found = find_faults()
            transaction.set_rollback(True)
        faults = {fault.fault for fault in found}
        if "TRIGGER" not in statements:
            faults -= {"append_only_not_enforced", "documents_not_kept"}
        assert faults == expected
        assert all(fault.row and fault.detail and fault.invariant in {1, 2, 3, 4, 5} for fault in found)


def test_it_is_silent_about_sales_that_go_on_meanwhile(acme_row: Organization, seller_id: int) -> None:
    """The proof is one statement and so one snapshot; here it is taken beside an open sale."""
    other = psycopg2.connect(database_url())
    try:
        other.cursor().execute(
            "SELECT outcome FROM org_acme.recharge_sell(%s, %s, 'k', '+989121234567', 'mci', 100, true)",
            [acme_row.pk, seller_id],
        )
        with tenant_context(acme_row):
            assert find_faults() == []
        other.commit()
        with tenant_context(acme_row):
            assert find_faults() == []
    finally:
        other.close()


def reconcile(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return run("reconcile", *arguments)


@pytest.mark.breaks_the_books
def test_the_command_says_which_rows_and_exits_with_1(acme_row: Organization, seller_id: int) -> None:
    with tenant_context(acme_row), connection.cursor() as cursor:
        cursor.execute("UPDATE credit_account SET balance = balance + 1")
    result = reconcile()
    assert result.returncode == 1
    assert "balance_differs_from_entries" in result.stdout
    assert f"seller {seller_id}" in result.stdout
    assert "globex: clean" in result.stdout
    assert "THE BOOKS ARE WRONG" in result.stdout

    result = reconcile("--json", "--organization", "acme")
    assert result.returncode == 1
    report = json.loads(result.stdout)
    assert report["clean"] is False
    assert list(report["organizations"]) == ["acme"]
    assert report["organizations"]["acme"][0]["seller_id"] == seller_id
    assert reconcile("--organization", "globex").returncode == 0


def test_the_command_proves_suspended_organizations_too(acme_row: Organization) -> None:
    give_credit(acme_row, make_seller(acme_row, "seller").pk, 5)
    Organization.objects.filter(pk=acme_row.pk).update(status="suspended")
    result = reconcile("--json")
    assert result.returncode == 0
    assert json.loads(result.stdout) == {"clean": True, "organizations": {"acme": [], "globex": []}}
