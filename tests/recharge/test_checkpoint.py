"""A proof of the books reads what came since the last one: what it finds, what it can't, and when everything is read
again. (That it finds all that a proof of everything finds, of what it reads: test_reconcile.py.)"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta

import psycopg2
import pytest
from django.db import connection, transaction
from django_tenants.utils import tenant_context

from credit.models import Account, Entry
from recharge.delivery.settlement import settle_recharge
from recharge.margins.services import post_margins
from recharge.models import Checkpoint, ProvedAccount, Recharge
from recharge.reports.books import EVERYTHING_EVERY, Proof, find_faults, prove_books
from tenants.models import Organization
from tenants.working_role import as_owner
from tests.credit.test_chain import REWRITE, ROOTS_TOO
from tests.support.commands import run
from tests.support.dealers import make_path, set_rate
from tests.support.earlier import earlier
from tests.support.locks import sell_pending
from tests.support.scripts import run_script
from tests.support.sessions import somebody_waits
from tests.support.waiting import wait_until
from tests.support.world import database_url, make_seller

# The triggers that keep what these tests change; what is found of that is left out.
_LOOSE = """
    ALTER TABLE credit_entry DISABLE TRIGGER USER;
    ALTER TABLE credit_chainroot DISABLE TRIGGER USER;
    ALTER TABLE recharge_recharge DISABLE TRIGGER USER;
    ALTER TABLE recharge_margin DISABLE TRIGGER USER;
"""
_OF_TRIGGERS = {"append_only_not_enforced", "documents_not_kept", "transitions_not_enforced"}


@pytest.fixture
def row() -> Organization:
    return Organization.objects.get(slug="acme")


def prove(row: Organization, **how: bool | timedelta) -> Proof:
    (proof,) = prove_books([row], **how)  # type: ignore[arg-type]
    return proof


def settle(row: Organization, recharge_id: object, status: str) -> None:
    failure = "barred" if status == "failed" else ""
    settle_recharge(organization=row, recharge_id=recharge_id, status=Recharge.Status(status), failure=failure)  # type: ignore[arg-type]


@pytest.fixture
def stories(row: Organization) -> dict[str, str]:
    """What was proved: seller 1 with a credit, a recharge that has succeeded, one that has failed, and three that are
    open. Since then: one of the open ones has succeeded, one has failed, what had succeeded was taken back, what had
    failed was charged late, and sellers 2 and 3 came, one below the other, with a credit and a recharge that has a
    margin. Ids by what became of them."""
    seller = make_seller(row, "seller", 100_000).pk
    ids = {name: sell_pending(row, seller, 1_000) for name in ("reversed", "charged", "succeeded", "failed", "open")}
    settle(row, ids["reversed"], "succeeded")
    settle(row, ids["charged"], "failed")
    with tenant_context(row), connection.cursor() as cursor:
        cursor.execute("SELECT chain_root_write('2999-12-31')")
    assert (proof := prove(row)).faults == []
    assert proof.since is None
    with tenant_context(row):
        # What was proved is older now than what is read beside what is new.
        Checkpoint.objects.update(at=earlier("at", timedelta(hours=-1)))

    for name, status in (
        ("succeeded", "succeeded"),
        ("failed", "failed"),
        ("reversed", "failed"),
        ("charged", "succeeded"),
    ):
        settle(row, ids[name], status)
    dealer, kiosk = make_path(row, "dealer", "kiosk", credit=50_000)
    set_rate(row, dealer, 900)
    set_rate(row, kiosk, 200)
    ids["margin"] = sell_pending(row, kiosk, 1_000)
    settle(row, ids["margin"], "succeeded")
    post_margins(organization=row)
    return {name: str(id) for name, id in ids.items()}


def faults_after(row: Organization, statements: str, *, since_checkpoint: bool = True) -> set[str]:
    """In a transaction that is undone."""
    with tenant_context(row), transaction.atomic():
        run_script(_LOOSE + statements)
        faults = {fault.fault for fault in find_faults(since_checkpoint=since_checkpoint)}
        transaction.set_rollback(True)
    return faults - _OF_TRIGGERS


def test_what_goes_on_after_a_checkpoint_is_proved_from_there(row: Organization, stories: dict[str, str]) -> None:
    with tenant_context(row):
        before = Checkpoint.objects.get()
    proof = prove(row)
    assert (proof.faults, proof.since) == ([], before.at)
    with tenant_context(row):
        now = Checkpoint.objects.get()
        assert now.at != before.at
        assert (now.all_at, now.rules) == (before.all_at, before.rules)
        assert [str(id) for id in now.open] == [stories["open"]]
        proved = {one.seller_id: (one.number, one.balance, one.hash) for one in ProvedAccount.objects.all()}
        assert proved == {one.seller_id: (one.last_number, one.balance, one.last_hash) for one in Account.objects.all()}
    assert prove(row).since == now.at
    assert prove(row, everything=True).faults == []


# What is wrong since the checkpoint, although it concerns what was sold before it; and what is found.
WRONG_SINCE = {
    "an open one that failed without a refund": (
        "UPDATE recharge_recharge SET status = 'failed', failure = 'x', completed_at = now() WHERE id = '{open}'",
        {"failed_without_refund"},
    ),
    "a refund of what has succeeded": (
        "UPDATE recharge_recharge SET status = 'succeeded', failure = '' WHERE id = '{failed}'",
        {"refund_without_failure"},
    ),
    "one that was taken back without its entry": (
        "DELETE FROM credit_entry WHERE kind = 'reversal' AND reference = '{reversed}'",
        {"recharge_entries_do_not_add_up", "late_without_entry", "entry_number", "entry_balance_after", "entry_hash"}
        | {"balance_differs_from_entries"},
    ),
    "one that is said to be owed, and was charged": (
        "UPDATE recharge_recharge SET late = 'owed' WHERE id = '{charged}'",
        {"entry_without_lateness", "recharge_entries_do_not_add_up"},
    ),
    "an old one's refund posted twice": (
        "ALTER TABLE credit_entry DROP CONSTRAINT entry_reference;"
        "UPDATE credit_entry SET reference = '{charged}' WHERE kind = 'refund' AND reference = '{failed}'",
        {"posted_twice", "constraint_missing", "failed_without_refund", "recharge_entries_do_not_add_up", "entry_hash"},
    ),
    "an open one that is gone": (
        "SET CONSTRAINTS ALL DEFERRED; DELETE FROM recharge_recharge WHERE id = '{succeeded}'",
        set(),  # its debit is older; a proof of everything finds it
    ),
    "one without a debit": (
        "INSERT INTO recharge_recharge SELECT * FROM jsonb_populate_record(NULL::recharge_recharge,"
        " (SELECT to_jsonb(sold) FROM recharge_recharge AS sold WHERE id = '{open}')"
        " || jsonb_build_object('id', uuid7_at(now()), 'idempotency_key', 'x'))",
        {"recharge_without_debit"},
    ),
    "a margin of more": (
        "UPDATE recharge_margin SET amount = amount + 1 WHERE recharge_id = '{margin}'",
        {"batch_does_not_add_up"},
    ),
    "the new seller's balance raised": (
        "UPDATE credit_account SET balance = balance + 1 WHERE seller_id = 2",
        {"balance_differs_from_entries", "balance_differs_from_last_entry"},
    ),
    "the last entries gone, up to one that was proved": (
        "DELETE FROM credit_entry WHERE seller_id = 1 AND number >= 7",
        {
            "proved_entry_differs",
            "balance_differs_from_entries",
            "balance_differs_from_last_entry",
            "last_number_differs",
        }
        | {"last_hash_differs", "root_differs", "recharge_entries_do_not_add_up", "late_without_entry"}
        | {"failed_without_refund"},
    ),
}


def test_it_finds_what_is_wrong_since(row: Organization, stories: dict[str, str]) -> None:
    """All of them in one world."""
    with tenant_context(row):
        assert ProvedAccount.objects.get().number == 7
    found = {name: faults_after(row, statements.format(**stories)) for name, (statements, _) in WRONG_SINCE.items()}
    assert found == {name: expected for name, (_, expected) in WRONG_SINCE.items()}
    # As a proof of everything does, which reads more.
    for name, (statements, expected) in WRONG_SINCE.items():
        everything = faults_after(row, statements.format(**stories), since_checkpoint=False)
        assert everything >= expected, name
        assert everything, name


CARRIED_ON = {"entry_hash", "entry_balance_after", "balance_differs_from_entries"}
"""What the first entry after the checkpoint, and the account, say of what was proved before them."""

# What was proved and is wrong now; what is found from the checkpoint on, and in everything.
WRONG_BEFORE = {
    "an amount": (
        "UPDATE credit_entry SET amount = amount + 1 WHERE seller_id = 1 AND number = 1",
        set(),
        {"entry_hash", "entry_balance_after", "balance_differs_from_entries", "approval_without_credit"},
    ),
    "a number that was sold to, and how much": (
        "UPDATE recharge_recharge SET amount = amount + 1 WHERE id = '{succeeded}'",
        {"recharge_without_debit"},  # it was open
        {"recharge_without_debit"},
    ),
    "the entry that was the last": (
        "UPDATE credit_entry SET balance_after = balance_after + 1 WHERE seller_id = 1 AND number = 7",
        {"proved_entry_differs"},
        {"proved_entry_differs", "entry_hash", "entry_balance_after"},
    ),
    "all of the past, with its hashes": (
        REWRITE,
        {"proved_entry_differs", "root_differs", *CARRIED_ON},
        {"proved_entry_differs", "root_differs"},
    ),
    "all of the past, with its hashes and roots": (
        REWRITE + ROOTS_TOO,
        {"proved_entry_differs", *CARRIED_ON},
        {"proved_entry_differs"},
    ),
    "all of it, and what was proved, without the roots": (
        REWRITE + "UPDATE recharge_provedaccount AS proved SET balance = entry.balance_after, hash = entry.hash"
        " FROM credit_entry AS entry WHERE entry.seller_id = proved.seller_id AND entry.number = proved.number",
        {"root_differs"},
        {"root_differs"},
    ),
}


@pytest.mark.parametrize(("statements", "since", "everything"), WRONG_BEFORE.values(), ids=WRONG_BEFORE.keys())
def test_what_it_tells_of_a_past_that_was_rewritten(
    row: Organization, stories: dict[str, str], statements: str, since: set[str], everything: set[str]
) -> None:
    statements = statements if statements.startswith(REWRITE) else statements.format(**stories)
    assert faults_after(row, statements) == since
    assert faults_after(row, statements, since_checkpoint=False) == everything


@pytest.mark.breaks_the_books
def test_what_everything_was_found_wrong_by_is_not_forgotten(row: Organization, stories: dict[str, str]) -> None:
    with tenant_context(row), connection.cursor() as cursor:
        cursor.execute("UPDATE credit_seller SET name = 'x' WHERE id = 1")  # what no proof is about
        cursor.execute("ALTER TABLE credit_entry DISABLE TRIGGER USER")
        change = "UPDATE credit_entry SET amount = amount + %s WHERE seller_id = 1 AND number = 1"
        cursor.execute(change, [1])
        try:
            assert {fault.fault for fault in find_faults(since_checkpoint=True)} == {"append_only_not_enforced"}
        finally:
            cursor.execute("ALTER TABLE credit_entry ENABLE TRIGGER USER")
    assert prove(row).faults == []  # it does not read what is older …
    for how in ({"everything": True}, {}, {}):  # … but once it has been found, it is found again
        proof = prove(row, **how)
        assert "entry_hash" in {fault.fault for fault in proof.faults}
        assert proof.since is None
    with tenant_context(row), connection.cursor() as cursor:
        assert not Checkpoint.objects.exists()
        cursor.execute("ALTER TABLE credit_entry DISABLE TRIGGER USER")
        cursor.execute(change, [-1])
        cursor.execute("ALTER TABLE credit_entry ENABLE TRIGGER USER")
    assert (proof := prove(row)).faults == []
    assert proof.since is None
    assert prove(row).since


@pytest.mark.breaks_the_books
def test_what_was_found_since_is_found_again(row: Organization, stories: dict[str, str]) -> None:
    with tenant_context(row), connection.cursor() as cursor:
        before = Checkpoint.objects.get()
        cursor.execute("UPDATE credit_account SET balance = balance + 1 WHERE seller_id = 1")
        for _ in range(2):
            assert prove(row).since == before.at
            assert prove(row).faults
        assert Checkpoint.objects.get() == before
        cursor.execute("UPDATE credit_account SET balance = balance - 1 WHERE seller_id = 1")
    assert prove(row).faults == []


def test_everything_is_read_again_once_a_week_and_by_new_rules(row: Organization, stories: dict[str, str]) -> None:
    assert prove(row, everything_every=EVERYTHING_EVERY).since
    with tenant_context(row):
        Checkpoint.objects.update(all_at=Checkpoint.objects.get().all_at - timedelta(days=7))
    assert prove(row).since  # whoever does not ask for it
    assert prove(row, everything_every=EVERYTHING_EVERY).since is None
    assert prove(row, everything_every=EVERYTHING_EVERY).since
    with tenant_context(row):
        Checkpoint.objects.update(rules=b"others")
    assert prove(row).since is None
    assert prove(row).since


def test_the_command_says_since_when_it_has_read(row: Organization, stories: dict[str, str]) -> None:
    with tenant_context(row):
        at = Checkpoint.objects.get().at
    done = run("reconcile", "--incremental", "--organization", "acme")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == f"acme: clean since {at.isoformat(timespec='seconds')}"
    assert run("reconcile", "--organization", "acme").stdout.splitlines()[0] == "acme: clean"
    with tenant_context(row):
        at = Checkpoint.objects.get().at
    done = run("reconcile", "--incremental", "--json")
    assert json.loads(done.stdout)["since"] == {"acme": at.isoformat(), "globex": None}


def test_what_was_written_before_a_checkpoint_and_committed_after_it_is_read(row: Organization) -> None:
    """Of two sellers, so that neither waits for the other."""
    first, second = (make_seller(row, name, 10_000).pk for name in ("first", "second"))
    with closing(psycopg2.connect(database_url())) as slow, slow.cursor() as cursor:
        cursor.execute(
            "SELECT (sold).id FROM org_acme.recharge_sell(%s, %s, 'k', '+989121234567', 'mci', 100, true)",
            [row.pk, first],
        )
        (id,) = cursor.fetchone()
        sell_pending(row, second)
        assert prove(row).faults == []
        slow.commit()
    with tenant_context(row):
        assert not ProvedAccount.objects.filter(seller_id=first, number=2).exists()
    assert faults_after(row, f"UPDATE recharge_recharge SET amount = 99 WHERE id = '{id}'") == {
        "recharge_without_debit"
    }
    assert prove(row).faults == []


@pytest.fixture
def hands() -> Iterator[Callable[[str], None]]:
    """Statements of somebody else, in a transaction that is open until "COMMIT"."""
    with closing(psycopg2.connect(database_url())) as other, other.cursor() as cursor:
        cursor.execute("SET search_path = org_acme, public")
        yield cursor.execute


def prove_meanwhile(row: Organization, then: Callable[[], None]) -> list[Proof]:
    """Proves in a thread, does ``then`` as soon as it waits for a lock, and gives what it proved."""
    proofs: list[Proof] = []

    def proving() -> None:
        try:
            proofs.extend(prove_books([row]))
        finally:
            connection.close()

    thread = threading.Thread(target=proving)
    thread.start()
    wait_until(lambda: somebody_waits("transactionid"), "the proof keeps its checkpoint")
    then()
    thread.join()
    return proofs


def test_of_two_who_prove_at_once_one_keeps_the_checkpoint(
    row: Organization, stories: dict[str, str], hands: Callable[[str], None]
) -> None:
    hands("UPDATE recharge_checkpoint SET root_day = '2000-01-01'")
    (proof,) = prove_meanwhile(row, lambda: hands("COMMIT"))
    assert proof.faults == []
    with tenant_context(row):
        assert str(Checkpoint.objects.get().root_day) == "2000-01-01"


def test_a_checkpoint_that_was_taken_away_meanwhile_stays_away(
    row: Organization, stories: dict[str, str], hands: Callable[[str], None]
) -> None:
    """A proof of everything has found something that the other one does not read."""
    hands("SELECT books_unproved()")
    (proof,) = prove_meanwhile(row, lambda: hands("COMMIT"))
    assert proof.faults == []
    with tenant_context(row):
        assert not Checkpoint.objects.exists()
    assert prove(row).since is None


def test_a_checkpoint_is_of_the_moment_of_its_proof(
    row: Organization, stories: dict[str, str], hands: Callable[[str], None]
) -> None:
    """A sale that is committed when the entries have been read is left for the next proof."""

    def proved_and_there() -> tuple[int, int]:
        with tenant_context(row):
            return ProvedAccount.objects.get(seller_id=1).number, Account.objects.get(seller_id=1).last_number

    _, before = proved_and_there()
    hands("UPDATE recharge_checkpoint SET root_day = '2000-01-01'")

    def sell_then_let_go() -> None:
        with as_owner():  # past a pooler, where the proof waits
            sell_pending(row, 1)
        hands("ROLLBACK")

    (proof,) = prove_meanwhile(row, sell_then_let_go)
    assert proof.faults == []
    assert proved_and_there() == (before, before + 1)
    assert prove(row).faults == []
    assert proved_and_there() == (before + 1, before + 1)


def test_sales_that_go_on_meanwhile_are_no_faults_and_none_is_left_out(row: Organization) -> None:
    sellers = [make_seller(row, f"seller {number}", 1_000_000).pk for number in range(4)]
    assert prove(row).faults == []
    over = threading.Event()
    sold: list[int] = []

    def selling(seller_id: int) -> None:
        count = 0
        while not over.is_set():
            count += 1
            recharge_id = sell_pending(row, seller_id, 100)
            if count % 3:
                settle(row, recharge_id, "failed" if count % 3 == 1 else "succeeded")
        sold.append(count)
        connection.close()

    threads = [threading.Thread(target=selling, args=(seller_id,)) for seller_id in sellers]
    for thread in threads:
        thread.start()
    try:
        seen = []
        for _ in range(12):
            proof = prove(row)
            assert proof.faults == []
            assert proof.since
            with tenant_context(row):
                seen.append(sum(ProvedAccount.objects.values_list("number", flat=True)))
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert len(set(seen)) > 1
    assert sum(sold) > 12
    proof = prove(row)
    assert proof.since
    assert proof.faults == []
    with tenant_context(row):
        assert sum(ProvedAccount.objects.values_list("number", flat=True)) == Entry.objects.count()
    assert prove(row, everything=True).faults == []
