"""Reconciliation finds each way in which books can be wrong, and says which row."""

import json
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import psycopg2
import pytest
from django.db import connection, transaction
from django_tenants.utils import tenant_context

from credit.adjustments import create_adjustment
from recharge.delivery.settlement import settle_recharge
from recharge.margins.services import post_margins
from recharge.models import Recharge
from recharge.reports import books
from recharge.reports.books import find_faults, prove_books
from tenants.models import Organization
from tenants.schemas import update_schema
from tests.support.commands import run
from tests.support.dealers import make_path, set_rate
from tests.support.locks import sell_pending
from tests.support.schemas import run_sql
from tests.support.sessions import session_at
from tests.support.world import database_url, give_credit, make_seller

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("credit_creditrequest", "credit_adjustment", "credit_transfer", "recharge_margin", "recharge_marginbatch")

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
        "UPDATE credit_entry SET created_at = (created_at AT TIME ZONE 'UTC' - interval '1 day') AT TIME ZONE 'UTC'"
        " WHERE number = 5",
        {"entry_hash"},
    ),
    "two documents changed for each other": (
        """
        UPDATE credit_entry SET reference = '00000000-0000-0000-0000-000000000002', number = number WHERE number = 1;
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
        DO $$
        DECLARE
            v_hashes bytea[] := ARRAY(SELECT hash FROM credit_entry WHERE number = 1);
            v_root bytea := chain_root_hash('2026-11-25', NULL, '{1}', '{2}', v_hashes);
        BEGIN
            INSERT INTO credit_chainroot (day, root, accounts, entries, sellers, numbers, created_at)
            VALUES ('2026-11-25', v_root, 1, 2, '{1}', '{2}', now());
        END $$
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


# A credit request (its seller, parent, amount and status), and that the transfer answers it.
ANSWERED = """
    INSERT INTO credit_creditrequest (
        id, idempotency_key, note, reason, created_at, decided_at, decided_by, seller_id, parent_id, amount, status
    ) VALUES ('00000000-0000-0000-0000-000000000001', 'x', '', '', now(), now(), '', %s);
    UPDATE credit_transfer SET credit_request_id = '00000000-0000-0000-0000-000000000001'
"""

# The same with what sellers earn. Below seller 2 is seller 3, and below that seller 4, who sold five times 1,000.
# By each he has 20, seller 3 has 30 and seller 2 has 40. One stands; one was taken back, and its margins with it; one
# failed at once; one had failed and was charged late; and one is pending. Seller 2 gave seller 3 a transfer of 700.
# There is a limit by day.
EARNING = {
    "a commission on no entry": (
        "UPDATE recharge_recharge SET commission = commission + 1 WHERE status = 'succeeded' AND late = ''",
        {"recharge_without_debit"},
    ),
    "a refund that leaves the commission": (
        "UPDATE credit_entry SET commission = 0 WHERE kind = 'refund' AND commission <> 0",
        {
            "entry_hash",
            "balance_differs_from_entries",
            "entry_balance_after",
            "failed_without_refund",
            "recharge_entries_do_not_add_up",
        },
    ),
    "a reversal that leaves the commission": (
        "UPDATE credit_entry SET commission = 0 WHERE kind = 'reversal'",
        {
            "entry_hash",
            "balance_differs_from_entries",
            "entry_balance_after",
            "recharge_entries_do_not_add_up",
            "late_without_entry",
        },
    ),
    "a late charge without its commission": (
        "UPDATE credit_entry SET commission = 0 WHERE kind = 'late_charge'",
        {
            "entry_hash",
            "balance_differs_from_entries",
            "entry_balance_after",
            "recharge_entries_do_not_add_up",
            "late_without_entry",
        },
    ),
    "a commission on a credit": (
        "ALTER TABLE credit_entry DROP CONSTRAINT entry_sign;"
        "UPDATE credit_entry SET commission = 1 WHERE kind = 'credit' AND seller_id = 4",
        {
            "commission_unsound",
            "constraint_missing",
            "entry_hash",
            "balance_differs_from_entries",
            "entry_balance_after",
        },
    ),
    "a transfer of more than was moved": (
        "UPDATE credit_transfer SET amount = amount + 1",
        {"transfer_without_entries"},
    ),
    "a transfer between others": ("UPDATE credit_transfer SET receiver_id = 4", {"transfer_without_entries"}),
    "a request given twice": (
        "UPDATE credit_transfer SET credit_request_id = (SELECT id FROM credit_creditrequest WHERE seller_id = 2)",
        {"request_given_twice", "transfer_differs_from_request"},
    ),
    "a transfer of a request that was rejected": (
        ANSWERED % "3, 2, 700, 'rejected'",
        {"transfer_differs_from_request"},
    ),
    **{
        f"a transfer of a request {what}": (
            ANSWERED % values,
            {"transfer_differs_from_request", "approval_without_credit"},
        )
        for what, values in (
            ("to another", "3, 1, 700, 'approved'"),
            ("by another", "4, 2, 700, 'approved'"),
            ("of another amount", "3, 2, 701, 'approved'"),
        )
    },
    "a transfer gone": ("DELETE FROM credit_transfer", {"entry_without_transfer"}),
    "half of a transfer": (
        "DELETE FROM credit_entry WHERE kind = 'transfer_in'",
        {
            "transfer_without_entries",
            "balance_differs_from_entries",
            "balance_differs_from_last_entry",
            "last_number_differs",
            "last_hash_differs",
        },
    ),
    "a batch of another amount": (
        "UPDATE recharge_marginbatch SET amount = amount + 1 WHERE NOT is_back AND seller_id = 2",
        {"batch_without_entry", "batch_does_not_add_up"},
    ),
    "a batch of more recharges": (
        "UPDATE recharge_marginbatch SET recharges = recharges + 1 WHERE is_back AND seller_id = 2",
        {"batch_does_not_add_up"},
    ),
    "a batch of another dealer": (
        "UPDATE recharge_marginbatch SET seller_id = 3 WHERE NOT is_back AND seller_id = 2",
        {"batch_without_entry", "batch_does_not_add_up"},
    ),
    "a batch gone, and what it names": (
        "UPDATE recharge_margin SET back_batch_id = NULL; DELETE FROM recharge_marginbatch WHERE is_back",
        {"margin_without_batch", "margin_without_charge"},
    ),
    "a margin moved from one recharge to another": (
        """
        UPDATE recharge_margin
        SET recharge_id = (
            SELECT id FROM recharge_recharge WHERE status = 'failed' AND late = '' AND seller_id = 4
        )
        WHERE seller_id = 2 AND recharge_id = (
            SELECT id FROM recharge_recharge WHERE status = 'succeeded' AND late = '' AND seller_id = 4
        )
        """,
        {"margin_missing", "margin_without_charge"},
    ),
    "a margin of a stranger": (
        "UPDATE recharge_recharge SET dealers = '{3}' WHERE seller_id = 4 AND late = 'charged'",
        {"margin_of_a_stranger"},
    ),
    "a margin posted twice": (
        "ALTER TABLE recharge_margin DROP CONSTRAINT margin_once;"
        "INSERT INTO recharge_margin (recharge_id, seller_id, amount, batch_id)"
        " SELECT recharge_id, seller_id, 1000, batch_id FROM recharge_margin"
        " WHERE seller_id = 2 AND back_batch_id IS NULL LIMIT 1",
        {"constraint_missing", "margin_twice", "batch_does_not_add_up", "more_earned_than_paid"},
    ),
    "a margin taken back of what stands": (
        "UPDATE recharge_margin AS margin SET back_batch_id = batch.id FROM recharge_marginbatch AS batch"
        " WHERE batch.is_back AND batch.seller_id = margin.seller_id AND margin.seller_id = 2",
        {"margin_without_charge", "batch_does_not_add_up"},
    ),
    "margins that were never posted": (
        "DELETE FROM recharge_margin WHERE back_batch_id IS NULL;"
        " DELETE FROM recharge_marginbatch WHERE NOT is_back AND id NOT IN (SELECT batch_id FROM recharge_margin)",
        {"margin_missing", "margin_without_batch", "batch_does_not_add_up"},
    ),
    "margins that are not due": (
        "UPDATE recharge_recharge SET status = 'succeeded', completed_at = now()"
        " WHERE status = 'pending' AND seller_id = 4",
        {"margin_missing"},
    ),
    "margins that are due for a day": (
        """
        DELETE FROM recharge_sellerday;
        UPDATE recharge_recharge SET
            status = 'succeeded', margin_due = true, created_at = now() - interval '25 hours',
            completed_at = now() - interval '25 hours'
        WHERE status = 'pending' AND seller_id = 4
        """,
        {"margin_overdue"},
    ),
    "margins that are due since the last entry": (
        """
        DELETE FROM recharge_sellerday;
        UPDATE recharge_recharge SET
            status = 'succeeded', margin_due = true, created_at = now() - interval '25 hours',
            completed_at = now() - interval '25 hours'
        WHERE status = 'pending' AND seller_id = 4;
        UPDATE credit_entry SET created_at = now() - interval '2 hours'
        """,
        {"entry_hash"},
    ),
    "margins of what was collected just now": (
        """
        DELETE FROM recharge_sellerday;
        UPDATE recharge_recharge SET
            margin_due = true, created_at = now() - interval '25 hours', completed_at = now() - interval '25 hours'
        WHERE seller_id = 4 AND late = 'charged'
        """,
        set(),
    ),
    "margins due to nobody": (
        "UPDATE recharge_recharge SET margin_due = true, dealers = NULL WHERE seller_id = 4 AND status = 'failed'"
        " AND late = ''",
        {"margin_due_without_dealers"},
    ),
    "a batch that can be rewritten": (
        "DROP TRIGGER recharge_margin_batch_kept ON recharge_marginbatch",
        {"documents_not_kept"},
    ),
    "a margin that can be rewritten": (
        "ALTER TABLE recharge_margin DISABLE TRIGGER recharge_margin_kept",
        {"documents_not_kept"},
    ),
    "a parent who is not among the ancestors": (
        "ALTER TABLE credit_seller DROP CONSTRAINT seller_ancestors;"
        "UPDATE credit_seller SET parent_id = 2 WHERE id = 4",
        {"ancestors_differ", "constraint_missing"},
    ),
    "a branch moved without those below": (
        "UPDATE credit_seller SET parent_id = NULL, ancestors = NULL WHERE id = 3",
        {"ancestors_differ"},
    ),
    "a circle": (
        "UPDATE credit_seller SET parent_id = 4, ancestors = '{4,3,2}' WHERE id = 2",
        {"ancestors_differ"},
    ),
    "a sixth level": (
        "ALTER TABLE credit_seller DROP CONSTRAINT seller_ancestors;"
        "INSERT INTO credit_seller (name, is_active, created_at) SELECT 'deep', true, now() FROM generate_series(1, 3);"
        "INSERT INTO credit_account (seller_id, balance, last_number) VALUES (5, 0, 0), (6, 0, 0), (7, 0, 0);"
        "UPDATE credit_seller SET parent_id = 4, ancestors = '{4,3,2}' WHERE id = 5;"
        "UPDATE credit_seller SET parent_id = 5, ancestors = '{5,4,3,2}' WHERE id = 6;"
        "UPDATE credit_seller SET parent_id = 6, ancestors = '{6,5,4,3,2}' WHERE id = 7",
        {"tree_too_deep", "constraint_missing"},
    ),
    "a day that counts one sale more": (
        "UPDATE recharge_sellerday SET sales = sales + 1",
        {"day_differs"},
    ),
    "a day that counts less": ("UPDATE recharge_sellerday SET amount = amount - 1", {"day_differs"}),
    "two rates that may be in force": ("DROP INDEX commission_once", {"constraint_missing"}),
    **{
        f"{constraint} gone": (f"ALTER TABLE {table} DROP CONSTRAINT {constraint}", {"constraint_missing"})
        for table, constraint in (
            ("recharge_commissionrate", "commission_time"),
            ("recharge_limit", "limit_once"),
            ("recharge_limit", "limit_hours"),
            ("recharge_limit", "limit_positive"),
            ("recharge_statement", "statement_once"),
            ("recharge_statement", "statement_period"),
        )
    },
    **{
        f"{trigger} gone": (f"DROP TRIGGER {trigger} ON {table}", {"documents_not_kept"})
        for table, trigger in (
            ("recharge_recharge", "recharge_content"),
            ("recharge_attempt", "recharge_attempt_once"),
            ("recharge_statement", "recharge_statement_append_only"),
            ("recharge_settings", "recharge_settings_noted"),
            ("recharge_settings", "recharge_settings_stay"),
            ("credit_creditrequest", "credit_creditrequest_not_emptied"),
            ("recharge_statement", "recharge_statement_not_emptied"),
        )
    },
    **{
        f"{trigger} gone": (f"DROP TRIGGER {trigger} ON {table}", {"append_only_not_enforced"})
        for table, trigger in (
            ("credit_entry", "credit_entry_not_emptied"),
            ("recharge_closedperiod", "recharge_closedperiod_not_emptied"),
        )
    },
}


@pytest.fixture
def acme_row() -> Organization:
    """Whose books were proved before anything was in them."""
    row = Organization.objects.get(slug="acme")
    (proof,) = prove_books([row])
    assert proof.faults == []
    return row


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
    assert _faults_after(acme_row, statements) == expected


def _faults_after(row: Organization, statements: str) -> set[str]:
    """Those of everything; what came since a checkpoint at the very beginning, which is as much, has the same."""
    with tenant_context(row):
        assert find_faults() == find_faults(since_checkpoint=True) == []
        # In a transaction that is undone: what broke the books never was.
        with transaction.atomic(), connection.cursor() as cursor:
            if "TRIGGER" not in statements:
                cursor.execute("ALTER TABLE credit_entry DISABLE TRIGGER credit_entry_append_only")
                for table in DOCUMENTS:
                    cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
                cursor.execute("ALTER TABLE recharge_recharge DISABLE TRIGGER recharge_content")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
            cursor.execute(statements)
            found = find_faults()
            assert find_faults(since_checkpoint=True) == found
            transaction.set_rollback(True)
    faults = {fault.fault for fault in found}
    if "TRIGGER" not in statements:
        faults -= {"append_only_not_enforced", "documents_not_kept"}
    assert all(fault.row and fault.detail and fault.invariant in range(1, 11) for fault in found)
    return faults


@pytest.fixture
def earning(acme_row: Organization, seller_id: int) -> None:
    """What EARNING is about."""
    top, dealer, kiosk = make_path(acme_row, "top", "dealer", "kiosk", credit=50_000)
    assert (seller_id, top, dealer, kiosk) == (1, 2, 3, 4)
    give_credit(acme_row, top, 10_000)
    for dealer_id, basis_points in ((top, 900), (dealer, 500), (kiosk, 200)):
        set_rate(acme_row, dealer_id, basis_points)
    with tenant_context(acme_row), connection.cursor() as cursor:
        cursor.execute("SELECT recharge_limits_set(%s, NULL, 1000000, NULL, NULL, NULL, NULL)", [kiosk])
    stories: list[list[str]] = [
        ["succeeded"],
        ["succeeded", "post", "failed"],
        ["failed"],
        ["failed", "succeeded"],
        [],
    ]
    for story in stories:
        recharge_id = sell_pending(acme_row, kiosk, 1_000)
        for what in story:
            if what == "post":
                post_margins(organization=acme_row)
            else:
                status = Recharge.Status(what)
                failure = "barred" if what == "failed" else ""
                settle_recharge(organization=acme_row, recharge_id=recharge_id, status=status, failure=failure)
    post_margins(organization=acme_row)
    _transfer(acme_row, top, dealer, 700)


def _transfer(row: Organization, giver: int, receiver: int, amount: int) -> None:
    with tenant_context(row), transaction.atomic(), connection.cursor() as cursor:
        reference = str(uuid.uuid4())
        cursor.execute("SELECT ledger_post(%s, %s, 'transfer_out', %s, %s)", [row.pk, giver, -amount, reference])
        cursor.execute("SELECT ledger_post(%s, %s, 'transfer_in', %s, %s)", [row.pk, receiver, amount, reference])
        cursor.execute(
            "INSERT INTO credit_transfer (id, giver_id, receiver_id, idempotency_key, amount, note, created_at,"
            " made_by) VALUES (%s, %s, %s, 'k', %s, '', now(), '')",
            [reference, giver, receiver, amount],
        )


@pytest.mark.usefixtures("earning")
def test_it_finds_what_is_earned_wrongly(acme_row: Organization) -> None:
    """All of them in one world."""
    found = {name: _faults_after(acme_row, statements) for name, (statements, _) in EARNING.items()}
    assert found == {name: expected for name, (_, expected) in EARNING.items()}


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


def test_how_it_is_to_be_read_is_known_where_the_rows_are(acme_row: Organization) -> None:
    """At a cluster's node, too."""
    with tenant_context(acme_row), transaction.atomic(), connection.cursor() as cursor:
        for value in ("off", "on"):  # before a transaction has begun there, and after
            cursor.execute(f"SET LOCAL enable_nestloop = {value}")
            cursor.execute("SELECT current_setting('enable_nestloop') FROM (SELECT count(*) FROM credit_seller) AS one")
            assert cursor.fetchone() == (value,)


# How it is found, taken away and put back. At a cluster's node a table's rows are in another one, whose name is longer.
_TRIGGER = (
    "SELECT tgrelid::regclass, tgname, ''"
    " FROM pg_trigger INNER JOIN pg_class ON pg_class.oid = tgrelid WHERE tgname ~ %s",
    "ALTER TABLE {table} DISABLE TRIGGER {name}",
    "ALTER TABLE {table} ENABLE TRIGGER {name}",
)
_CONSTRAINT = (
    "SELECT conrelid::regclass, conname, pg_get_constraintdef(pg_constraint.oid)"
    " FROM pg_constraint INNER JOIN pg_class ON pg_class.oid = conrelid WHERE conname ~ %s",
    "ALTER TABLE {table} DROP CONSTRAINT {name}",
    "ALTER TABLE {table} ADD CONSTRAINT {name} {definition}",
)
_WHERE_THE_ROWS_ARE = " AND relnamespace = 'org_acme'::regnamespace ORDER BY length(relname) DESC LIMIT 1"


@pytest.mark.parametrize(
    ("guard", "kind", "expected"),
    [
        ("credit_entry_append_only", _TRIGGER, "append_only_not_enforced"),
        ("credit_entry_not_emptied", _TRIGGER, "append_only_not_enforced"),
        ("recharge_transition", _TRIGGER, "transitions_not_enforced"),
        ("recharge_content", _TRIGGER, "documents_not_kept"),
        ("account_balance_not_negative", _CONSTRAINT, "constraint_missing"),
        ("entry_reference", _CONSTRAINT, "constraint_missing"),
    ],
)
def test_it_finds_what_is_not_in_force_where_the_rows_are(
    acme_row: Organization, guard: str, kind: tuple[str, str, str], expected: str
) -> None:
    """At a cluster's node somebody takes it away there alone: the coordinator's catalogue is as it was."""
    find, change, undo = kind
    with closing(session_at("org_acme")) as session, session.cursor() as cursor:
        session.autocommit = True
        cursor.execute("SET citus.enable_ddl_propagation = off; SET citus.enable_manual_changes_to_shards = on")
        cursor.execute(find + _WHERE_THE_ROWS_ARE, [rf"^{guard}(_\d+)?$"])
        table, name, definition = cursor.fetchone()
        names = {"table": table, "name": name, "definition": definition}
        cursor.execute(change.format(**names))
        try:
            (since,) = prove_books([acme_row])
            (all_of_it,) = prove_books([acme_row], everything=True)
        finally:
            cursor.execute(undo.format(**names))
    for proof in (since, all_of_it):
        faults = [fault for fault in proof.faults if fault.fault != "functions_differ"]  # one server says that, too
        assert [fault.fault for fault in faults] == [expected]
        assert table.removeprefix("org_acme.") in faults[0].row + faults[0].detail
    (proof,) = prove_books([acme_row])
    assert proof.faults == []


@pytest.mark.parametrize(
    ("function", "before", "after"),
    [("credit_entry_refuse_change", "BEGIN", "BEGIN NULL;"), ("seller_lock", "2147483647", "1")],
    ids=["its text", "what is parsed of it"],
)
def test_it_finds_a_function_that_is_another_one_where_the_rows_are(
    acme_row: Organization, function: str, before: str, after: str
) -> None:
    """At a cluster's node that was recovered to an earlier moment than the coordinator, too."""
    with closing(session_at("org_acme")) as session, session.cursor() as cursor:
        session.autocommit = True
        cursor.execute("SET citus.enable_ddl_propagation = off")
        cursor.execute("SELECT pg_get_functiondef(%s::regproc)", [f"org_acme.{function}"])
        (definition,) = cursor.fetchone()
        cursor.execute(definition.replace(before, after))
        try:
            (proof,) = prove_books([acme_row])
            # As deploy/README.md says.
            run_sql("DELETE FROM installed_functions", schema="org_acme")
            update_schema("org_acme", verbosity=0)
            (after_it,) = prove_books([acme_row])
        finally:
            cursor.execute(definition)
    assert [fault.fault for fault in proof.faults] == ["functions_differ"]
    assert after_it.faults == []


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
    assert json.loads(result.stdout) == {
        "clean": True,
        "organizations": {"acme": [], "globex": []},
        "since": {"acme": ANY, "globex": None},
    }


def test_what_keeps_the_books_true_is_looked_up_and_not_read_whole(acme_row: Organization) -> None:
    """The catalogue has the triggers of all organizations: joined with them, each proof took the longer."""
    with tenant_context(acme_row), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(books._READING_ALL)
        head = f"WITH of_rows (table_name, number) AS ({books._NO_TABLES})"
        cursor.execute(f"EXPLAIN (FORMAT JSON) {head}, {books._GUARDS}", {"schema": acme_row.schema_name})
        (((plan,),),) = cursor.fetchall()
    assert sorted(relations_of(plan["Plan"], is_looked_up=False)) == [
        ("pg_constraint", True),
        ("pg_index", True),
        ("pg_trigger", True),
    ]


def relations_of(node: dict[str, Any], *, is_looked_up: bool) -> Iterator[tuple[str, bool]]:
    """The tables that a plan reads, and whether for one row at a time."""
    is_looked_up = is_looked_up or node.get("Parent Relationship") == "SubPlan"
    if "Relation Name" in node:
        yield node["Relation Name"], is_looked_up
    for inner in node.get("Plans", []):
        yield from relations_of(inner, is_looked_up=is_looked_up)
