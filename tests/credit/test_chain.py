"""The ledger's hash chain: nobody rewrites the past unseen, not even who owns the database."""

import errno
import hashlib
import json
import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace

import psycopg2
import pytest
from django.db import connection, transaction

from credit.chain import services, work
from credit.chain.export import ledger_lines
from credit.chain.hashes import ChainedEntry, entry_hash
from credit.chain.services import Root, append_roots
from credit.chain.verification import NotALedger, Proof
from credit.chain.work import RootWork
from credit.models import Account, ChainRoot, Entry, WebhookEndpoint, WebhookMessage
from credit.webhooks.services import create_webhook, events_for
from recharge.delivery.settlement import settle_recharge
from recharge.models import Recharge
from recharge.reports.books import find_faults
from tenants import direct
from tenants.wakeups import CHANNEL
from tenants.worker import IDLE_SWEEP_SECONDS, JITTER, Worker
from tests.support import commands
from tests.support.chain import FORGET
from tests.support.environment import database_at
from tests.support.locks import sell_pending
from tests.support.scripts import run_script
from tests.support.server import working_url
from tests.support.sessions import session_at
from tests.support.world import Organization, give_credit


@pytest.fixture
def ledger(acme: Organization) -> Organization:
    """Two sellers: each kind of entry but adjustments, and 1,000 of them posted by one call."""
    give_credit(acme.row, acme.member.id, 10_000_000)
    give_credit(acme.row, acme.neighbour.id, 5_000)
    acme.member.sell(5000)
    recharge_id = sell_pending(acme.row, acme.member.id, 4000)
    for status in ("failed", "succeeded", "failed"):
        settle_recharge(
            organization=acme.row,
            recharge_id=recharge_id,
            status=Recharge.Status(status),
            failure="no" if status == "failed" else "",
        )
    items = [{"idempotency_key": f"k{n}", "phone_number": "09121234567", "amount": 10 + n} for n in range(1000)]
    assert acme.member.client.post("/recharges/bulk", {"items": items}).json["created"] == 1000
    with acme.context, connection.cursor() as cursor:
        cursor.execute("SELECT commission_set(NULL, '', 250, NULL, 'owner')")
    acme.neighbour.sell(2000)
    return acme


@pytest.fixture
def the_day_is_over(acme: Organization) -> Iterator[None]:
    """For chain_root_make of acme, today is."""
    with acme.context, connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_functiondef('chain_root_make'::regproc)")
        (definition,) = cursor.fetchone()
        assert "clock_timestamp()" in definition
        later = "(clock_timestamp() + interval '1 day' + interval '5 minutes')"
        cursor.execute(definition.replace("clock_timestamp()", later))
        yield
        cursor.execute(definition)


def lines_of(organization: Organization) -> list[str]:
    with organization.context:
        return list(ledger_lines(organization=organization.row))


def faults_of(lines: list[str], known: list[tuple[date, bytes]] | None = None) -> list[str]:
    return list(Proof().faults(lines, known or []))


def today() -> date:
    return datetime.now(UTC).date()


def test_hashes_are_those_that_anyone_can_compute(ledger: Organization) -> None:
    with ledger.context:
        entries = list(Entry.objects.order_by("seller", "number"))
        last_hashes = {account.pk: bytes(account.last_hash) for account in Account.objects.all()}
        assert find_faults() == []
    before: dict[int, bytes] = {}
    for row in entries:
        entry = ChainedEntry(
            row.seller_id,
            row.number,
            row.kind,
            row.amount,
            row.commission,
            row.balance_after,
            row.reference,
            row.created_at,
        )
        assert bytes(row.hash) == entry_hash(entry, before.get(row.seller_id)), row.number
        before[row.seller_id] = bytes(row.hash)
    assert before == last_hashes
    assert {row.kind for row in entries} == {"credit", "recharge", "refund", "late_charge", "reversal"}
    assert len(entries) == 1008

    # As documented in sql/ledger.sql, by hand.
    first = entries[0]
    microseconds = round(first.created_at.timestamp()) * 1_000_000
    microseconds += first.created_at.microsecond - (microseconds - int(first.created_at.timestamp()) * 1_000_000)
    text = f"v1|{first.seller_id}|1|credit|10000000|10000000|{first.reference}|{microseconds}|"
    assert bytes(first.hash) == hashlib.sha256(text.encode()).digest()
    last = entries[-1]
    text = f"v2|{last.seller_id}|{last.number}|recharge|-2000|50|{last.balance_after}|{last.reference}|"
    microseconds = (last.created_at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    text += f"{microseconds}|{bytes(entries[-2].hash).hex()}"
    assert bytes(last.hash) == hashlib.sha256(text.encode()).digest()


def test_no_setting_of_a_session_changes_a_hash(ledger: Organization) -> None:
    with closing(session_at("org_acme")) as session, session.cursor() as cursor:
        cursor.execute("SET search_path = org_acme, public")
        cursor.execute(
            "SET TimeZone = 'Asia/Tehran'; SET DateStyle = 'SQL, DMY'; SET extra_float_digits = -15;"
            " SET bytea_output = 'escape'; SET IntervalStyle = 'sql_standard'; SET client_encoding = 'LATIN1';"
            " SET lc_numeric = 'C'"
        )
        cursor.execute(
            "SELECT (ledger_post(%s, %s, 'adjustment', -7, gen_random_uuid())).number",
            [ledger.row.pk, ledger.member.id],
        )
        cursor.execute("SELECT chain_root_write('2026-11-25') IS NULL, day FROM chain_root_write('3000-01-01')")
        session.rollback()
        cursor.execute("SET search_path = org_acme, public")
        cursor.execute("SET TimeZone = 'Asia/Tehran'; SET DateStyle = 'SQL, DMY'; SET bytea_output = 'escape'")
        cursor.execute(
            "SELECT count(*), count(*) FILTER (WHERE hash = entry_chain_hash(seller_id, number, kind, amount,"
            " commission, balance_after, reference, microseconds_of(created_at), before)), count(*) FILTER"
            # As the release before has it.
            " (WHERE (hash = entry_hash(seller_id, number, kind, amount, balance_after, reference, created_at,"
            " before)) = (commission = 0)) FROM (SELECT *, lag(hash) OVER"
            " (PARTITION BY seller_id ORDER BY number) AS before FROM credit_entry) AS entry"
        )
        assert cursor.fetchone() == (1008, 1008, 1008)


def test_an_account_from_before_the_chain_begins_one(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 50_000)
    with acme.context:
        run_script(FORGET)
        assert services.make_root(organization=acme.row) is None
        assert find_faults() == []
    acme.member.sell()
    acme.member.sell()
    with acme.context:
        assert find_faults() == []
        hashes = list(Entry.objects.order_by("number").values_list("hash", flat=True))
    assert [hash is None for hash in hashes] == [True, False, False]
    proof = Proof()
    assert list(proof.faults(lines_of(acme))) == []
    assert (proof.entries, proof.unhashed) == (3, 1)


def test_workers_who_come_at_once_make_one_root_and_tell_it(
    ledger: Organization, the_day_is_over: None, tmp_path: Path, settings: pytest.FixtureRequest
) -> None:
    settings.CHAIN_FILE = str(tmp_path / "roots")  # type: ignore[attr-defined]
    with ledger.context:
        create_webhook(
            organization=ledger.row, seller_id=None, url="https://example.com/", events=WebhookEndpoint.Event.values
        )
        create_webhook(
            organization=ledger.row,
            seller_id=ledger.member.id,
            url="https://example.com/",
            events=events_for(ledger.member.id),
        )
    beginning = threading.Barrier(4)

    def come() -> None:
        worker = Worker([RootWork()])
        beginning.wait()
        worker.run_once()
        connection.close()

    threads = [threading.Thread(target=come) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with ledger.context:
        root = ChainRoot.objects.get()
        message = WebhookMessage.objects.get()
        assert (root.day, root.accounts, root.entries) == (today(), 2, 1008)
        assert message.endpoint.seller_id is None
        assert (message.event, message.data["root"]) == ("chain.root", bytes(root.root).hex())
        assert services.make_root(organization=ledger.row) is None
        assert find_faults() == []
    (line,) = (tmp_path / "roots").read_text().splitlines()
    assert json.loads(line) == {
        "organization": "acme",
        "day": today().isoformat(),
        "root": bytes(root.root).hex(),
        "accounts": 2,
        "entries": 1008,
    }


def test_a_root_covers_what_was_posted_before_the_day_s_end(ledger: Organization) -> None:
    """And the next covers the rest; what goes on meanwhile changes neither."""
    with ledger.context, connection.cursor() as cursor:
        for day in ("2020-01-01", "3000-01-01", "3000-01-01", "2999-12-31"):
            cursor.execute("SELECT day FROM chain_root_write(%s)", [day])
        first = ChainRoot.objects.get()
        ledger.member.sell(100)
        cursor.execute("SELECT day FROM chain_root_write('3000-01-02')")
        second = ChainRoot.objects.get(day=date(3000, 1, 2))
        ledger.member.sell(100)
        assert (first.day, first.entries, second.entries) == (date(3000, 1, 1), 1008, 1009)
        assert find_faults() == []
        for statement in ("UPDATE credit_chainroot SET accounts = 0", "DELETE FROM credit_chainroot"):
            with pytest.raises(Exception, match="append-only"), transaction.atomic():
                cursor.execute(statement)
    assert faults_of(lines_of(ledger)) == []


def test_the_web_processes_role_makes_a_root_of_no_other_day(ledger: Organization) -> None:
    with closing(psycopg2.connect(working_url())) as session, session.cursor() as cursor:
        cursor.execute("SET search_path = org_acme, public")
        cursor.execute("SELECT * FROM chain_root_make()")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("SELECT * FROM chain_root_write('3000-01-01')")


# As the owner of everything, who has the functions at hand: raises a credit of long ago and all that follows from it,
# and makes the hashes anew.
WORKERS = 65534
"""Nobody's id, in the place of the user that workers run as."""

REWRITE = """
    ALTER TABLE credit_entry DISABLE TRIGGER USER;
    ALTER TABLE credit_creditrequest DISABLE TRIGGER USER;
    ALTER TABLE recharge_recharge DISABLE TRIGGER USER;
    UPDATE credit_creditrequest SET amount = amount + 7 WHERE seller_id = 1;
    UPDATE credit_entry SET amount = amount + 7 WHERE seller_id = 1 AND number = 1;
    UPDATE credit_entry SET balance_after = balance_after + 7 WHERE seller_id = 1;
    UPDATE recharge_recharge SET balance_after = balance_after + 7 WHERE seller_id = 1;
    UPDATE credit_account SET balance = balance + 7 WHERE seller_id = 1;
    DO $$
    DECLARE
        v_entry credit_entry;
        v_hash bytea;
    BEGIN
        FOR v_entry IN SELECT * FROM credit_entry WHERE seller_id = 1 ORDER BY number LOOP
            v_hash := entry_chain_hash(
                1, v_entry.number, v_entry.kind, v_entry.amount, v_entry.commission, v_entry.balance_after,
                v_entry.reference, microseconds_of(v_entry.created_at), v_hash
            );
            UPDATE credit_entry SET hash = v_hash WHERE id = v_entry.id;
        END LOOP;
        UPDATE credit_account SET last_hash = v_hash WHERE seller_id = 1;
    END;
    $$;
    ALTER TABLE credit_entry ENABLE TRIGGER USER;
    ALTER TABLE credit_creditrequest ENABLE TRIGGER USER;
    ALTER TABLE recharge_recharge ENABLE TRIGGER USER;
"""
ROOTS_TOO = """
    ALTER TABLE credit_chainroot DISABLE TRIGGER credit_root_append_only;
    DO $$
    DECLARE
        v_made credit_chainroot;
        v_hash bytea;
        v_hashes bytea[] := '{}';
    BEGIN
        SELECT * INTO v_made FROM credit_chainroot;
        FOR v_place IN 1 .. v_made.accounts LOOP
            SELECT hash INTO v_hash FROM credit_entry
            WHERE seller_id = v_made.sellers[v_place] AND number = v_made.numbers[v_place];
            v_hashes := v_hashes || v_hash;
        END LOOP;
        v_hash := chain_root_hash(v_made.day, NULL, v_made.sellers, v_made.numbers, v_hashes);
        UPDATE credit_chainroot SET root = v_hash;
    END;
    $$;
    ALTER TABLE credit_chainroot ENABLE TRIGGER credit_root_append_only;
"""


def test_a_root_that_a_command_makes_rings_for_the_workers_who_tell_webhooks(
    ledger: Organization, the_day_is_over: None
) -> None:
    with closing(direct.connect()) as heard, heard.cursor() as cursor:
        cursor.execute(f"LISTEN {CHANNEL}")
        for rings_for in ([str(ledger.row.pk)], []):  # the second time there is none to be made
            assert commands.run("chain_roots").returncode == 0
            heard.poll()
            assert [notice.payload for notice in heard.notifies] == rings_for
            heard.notifies.clear()


def test_a_root_is_in_the_file_whole_or_not_at_all(tmp_path: Path) -> None:
    file, root = tmp_path / "roots", Root("acme", date(2026, 1, 1), "00" * 32, 2, 10)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * len(root.line()) - 1, hard))  # as on a disk that gets full
    try:
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            append_roots(file, [root, root])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.read_text() == root.line()
    append_roots(file, [root])
    assert file.read_text() == 2 * root.line()


def test_each_look_at_a_quiet_organization_asks_whether_the_day_is_over(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    monkeypatch.setattr(work, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(work, "make_root", lambda **_: asked.append(now))
    roots, sooner = RootWork(), JITTER * IDLE_SWEEP_SECONDS
    for now in (0.0, 1.0, sooner, sooner + 1.0, 2 * sooner):  # noqa: B007 - it is the clock
        roots.claim(acme.row, 1)
    assert asked == [0.0, sooner, 2 * sooner]


def test_a_past_rewritten_with_its_hashes_is_told_by_the_root_that_was_kept(
    ledger: Organization, the_day_is_over: None, tmp_path: Path
) -> None:
    roots, file = tmp_path / "kept" / "roots", tmp_path / "acme.ledger"
    roots.parent.mkdir()
    workers = WORKERS if os.geteuid() == 0 else os.geteuid()
    os.chown(roots.parent, workers, -1)
    made = commands.run("chain_roots", "--file", str(roots))
    assert made.returncode == 0, made.stderr
    assert roots.stat().st_uid == workers, "who made it by a command leaves it to the workers"
    assert "acme: " in made.stdout
    assert "(made now)" in made.stdout
    kept = roots.read_text()
    assert kept.count("\n") == 1
    # Again there is nothing to make, and nothing to append; what the file has lost is brought.
    assert "made now" not in commands.run("chain_roots", "--file", str(roots)).stdout
    assert roots.read_text() == kept
    roots.write_text("")
    commands.run("chain_roots", environment={"CHAIN_FILE": str(roots)})
    assert roots.read_text() == kept

    day, root = (json.loads(kept)[name] for name in ("day", "root"))
    exported = commands.run("export_ledger", "acme", str(file))
    assert exported.returncode == 0, exported.stderr
    right = verify(file, "--roots", str(roots))
    assert right.returncode == 0, right.stdout + right.stderr
    assert "1 of the roots are those that were kept elsewhere." in right.stdout

    with ledger.context:
        run_script(REWRITE)
        faults = find_faults()
        assert {fault.fault for fault in faults} == {"root_differs"}
        assert faults_of(lines_of(ledger)) == [
            f"line 2: the root of {day} is not that of these entries and the root before it"
        ]
        run_script(ROOTS_TOO)
        assert find_faults() == []  # nothing in the database tells any more …
    assert commands.run("export_ledger", "acme", str(file)).returncode == 0
    assert verify(file).returncode == 0
    for arguments in (["--root", f"{day}={root}"], ["--roots", str(roots)]):  # … but who has kept the root knows
        told = verify(file, *arguments)
        assert told.returncode == 1
        assert f"{day}: the root {root} was kept elsewhere, and this ledger has " in told.stdout
    assert "has none of that day" in verify(file, "--root", f"2020-01-01={root}").stdout


def verify(file: Path, *arguments: str) -> CompletedProcess[str]:
    """On a machine that has no database."""
    nothing = "postgres://nobody@127.0.0.1:1/nothing"
    return commands.run("verify", str(file), *arguments, environment=database_at(nothing))


Change = Callable[[list[dict[str, object]]], object]

# What is changed in a file of: the ledger, a root, and two accounts with three entries and with two; and what is said.
CHANGES = (
    ("nothing", lambda lines: None, []),
    ("an amount", lambda lines: lines[4].update(amount=-999), ["line 5", "line 5", "line 6", "line 3"]),
    ("a hash", lambda lines: lines[3].update(hash="00" * 32), ["line 4", "line 5"]),
    ("a hash taken away", lambda lines: lines[4].update(hash=None), ["line 5", "line 6"]),
    ("a moment", lambda lines: lines[3].update(created_at="2026-01-01T00:00:00.000001Z"), ["line 4"]),
    ("an entry gone", lambda lines: lines.pop(4), ["line 5", "line 5", "line 5", "line 3", "line 9"]),
    ("the last entry gone", lambda lines: lines.pop(5), ["line 3", "line 3", "line 3", "line 9", "line 2", "line 2"]),
    ("a balance", lambda lines: lines[2].update(balance=1), ["line 3"]),
    (
        "entries exchanged",
        lambda lines: lines.insert(3, lines.pop(4)),
        ["line 4"] * 3 + ["line 5"] * 3 + ["line 6"] * 2,
    ),
    ("half of a transfer", lambda lines: lines[4].update(kind="transfer_out"), ["line 5", "line 5"]),
    ("an account twice", lambda lines: lines.insert(9, lines[6]), ["line 10"] * 4 + ["line 11"]),
    (
        "an entry elsewhere",
        lambda lines: lines.insert(6, lines.pop(7)),
        ["line 7", "line 8", "line 9", "line 9", "line 9", "line 10"],
    ),
    ("a root", lambda lines: lines[1].update(root="00" * 32), ["line 2"]),
    ("a root's numbers", lambda lines: lines[1].update(numbers=[2, 2]), ["line 2"]),
    ("a root of what is not there", lambda lines: lines[1].update(numbers=[3, 9]), ["line 2", "line 2"]),
)


@pytest.fixture
def small(acme: Organization) -> list[str]:
    """The lines of a small ledger."""
    for seller, sales in ((acme.member, 2), (acme.neighbour, 1)):
        give_credit(acme.row, seller.id, 50_000)
        for _ in range(sales):
            assert seller.sell().status == 201
    with acme.context, connection.cursor() as cursor:
        cursor.execute("SELECT day FROM chain_root_write('3000-01-01')")
    return lines_of(acme)


def test_a_changed_file_is_told_by_its_lines(small: list[str]) -> None:
    wrong = {}
    for name, change, expected in CHANGES:
        lines = [json.loads(line) for line in small]
        change(lines)
        said = faults_of([json.dumps(line) for line in lines])
        if sorted(fault.partition(":")[0].partition(" of")[0] for fault in said) != sorted(expected):
            wrong[name] = said
    assert wrong == {}, "\n".join(f"{name}: {said}" for name, said in wrong.items())


NO_LEDGERS = (
    ("nothing", lambda lines: [], "line 1: the file ends"),
    ("cut off", lambda lines: lines[:-1], "line 10: the file ends"),
    ("half a line", lambda lines: [*lines[:-1], lines[-1][:5]], "line 10 is not JSON"),
    ("another version", lambda lines: [lines[0].replace('"version":1', '"version":2')], "line 1: this release"),
    ("no first line", lambda lines: lines[1:], "line 1: the first line"),
    ("two", lambda lines: lines * 2, "line 11: there is something after the end"),
    ("a list", lambda lines: ["[]"], "line 1 is no object"),
    ("deep", lambda lines: ["[" * 100_000], "line 1 is not JSON"),
    ("not JSON", lambda lines: ["seller_id,number"], "line 1 is not JSON"),
    ("a member twice", lambda lines: ['{"type":"ledger","type":"ledger"}'], "line 1 is not JSON"),
    ("another type", lambda lines: [lines[0], '{"type":"x"}'], "line 2: nothing known"),
    ("true", lambda lines: [*lines[:2], lines[2].replace('"balance":40000', '"balance":true')], "line 3: balance"),
    ("a float", lambda lines: [*lines[:2], lines[2].replace('"balance":40000', '"balance":4e4')], "line 3: balance"),
    ("text", lambda lines: [*lines[:3], lines[3].replace('"amount":50000', '"amount":"5"')], "line 4: amount"),
    ("a short hash", lambda lines: [*lines[:3], lines[3].replace('"hash":"', '"hash":"00')], "line 4: hash"),
    ("no hash", lambda lines: [*lines[:3], lines[3].replace('"hash"', '"hush"')], "line 4: hash"),
    (
        "half a surrogate pair",
        lambda lines: [*lines[:3], lines[3].replace('"kind":"', '"kind":"\\ud800')],
        "line 4: kind",
    ),
    (
        "half a surrogate pair in the name",
        lambda lines: [lines[0].replace('"organization":"', '"organization":"\\udfff')],
        "line 1: organization",
    ),
    (
        "a reference",
        lambda lines: [*lines[:3], lines[3].replace('"reference":"', '"reference":"x')],
        "line 4: reference",
    ),
    (
        "a moment",
        lambda lines: [*lines[:3], lines[3].replace('"created_at":"', '"created_at":"x')],
        "line 4: reference",
    ),
    ("no zone", lambda lines: [*lines[:3], lines[3].replace('Z"', '"')], "line 4: created_at"),
    ("a day", lambda lines: [lines[0], lines[1].replace("3000", "30000")], "line 2: day"),
    ("a list of text", lambda lines: [lines[0], lines[1].replace('"numbers":[3', '"numbers":["3"')], "line 2: numbers"),
    ("uneven", lambda lines: [lines[0], lines[1].replace('"numbers":[3,', '"numbers":[')], "line 2: a root has"),
)


def test_what_is_no_ledger_is_said_to_be_none(small: list[str], tmp_path: Path) -> None:
    for name, change, expected in NO_LEDGERS:
        with pytest.raises(NotALedger) as raised:
            faults_of(change(small))
        assert str(raised.value).startswith(expected), name

    file, missing = tmp_path / "file", tmp_path / "missing"
    for content, arguments in (
        (b"{\xff", []),
        (b"\x00", []),
        ("".join(small).encode(), ["--root", "yesterday"]),
        ("".join(small).encode(), ["--root", "2026-11-25=0"]),
        ("".join(small).encode(), ["--roots", str(missing)]),
    ):
        file.write_bytes(content)
        refused = verify(file, *arguments)
        assert (refused.returncode, "Traceback" in refused.stderr) == (2, False), refused.stderr
    assert verify(missing).returncode == 2
    assert commands.run("export_ledger", "nobody", str(missing)).returncode == 2
    assert commands.run("export_ledger", "acme", str(missing / "there")).returncode == 2
    assert not missing.exists()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    refused = commands.run("export_ledger", "acme", str(pipe))
    assert (refused.returncode, "It is no regular file" in refused.stderr) == (2, True)
    assert pipe.is_fifo()  # and so a device stays one
