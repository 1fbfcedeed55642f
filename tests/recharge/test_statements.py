"""Statements: documents of what was on a seller's account, which add up, stay the same, and can be proved."""

import hashlib
import io
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from credit.models import Account, Entry, Policy
from recharge.delivery.settlement import settle_recharge
from recharge.models import Recharge, Statement
from recharge.statements.digests import prove
from tests.support.bad_input import table
from tests.support.chain import FORGET
from tests.support.client import Answer
from tests.support.earlier import earlier, move_entries_back
from tests.support.locks import sell_pending
from tests.support.scripts import run_script
from tests.support.tables import nothing_written
from tests.support.world import Organization, Person, give_credit, make_member

CREDIT, AMOUNT = 1_000_000, 5000


def today() -> date:
    with timezone.override("Asia/Tehran"):
        return timezone.localdate()


def yesterday() -> date:
    return today() - timedelta(days=1)


def make(person: Person, first: date | str, last: date | str, **more: Any) -> Answer:
    answer = person.client.post("/statements", {"from": str(first), "to": str(last), **more})
    assert answer.status < 500, answer
    return answer


def move_to_yesterday(organization: Organization) -> None:
    """All that has been posted until now."""
    a_day = timedelta(days=1)
    with organization.context:
        move_entries_back(a_day)
        Account.objects.update(last_moment=earlier("last_moment", a_day))


def tamper(organization: Organization, statement: str) -> None:
    """As whoever owns the tables can."""
    with organization.context:
        run_script(f"""
            ALTER TABLE credit_entry DISABLE TRIGGER credit_entry_append_only;
            {statement};
            ALTER TABLE credit_entry ENABLE TRIGGER credit_entry_append_only;
        """)


def test_it_says_what_was_there_what_came_and_what_is_left(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, CREDIT)
    give_credit(acme.row, acme.neighbour.id, CREDIT)  # another's, in none of it
    for _ in range(3):
        assert acme.member.sell(AMOUNT).status == 201
    failed = sell_pending(acme.row, acme.member.id, AMOUNT)
    settle_recharge(organization=acme.row, recharge_id=failed, status=Recharge.Status.FAILED, failure="no")

    answer = make(acme.member, today(), today())
    assert answer.status == 201
    assert (
        answer.json.items()
        >= {
            "seller_id": acme.member.id,
            "from": str(today()),
            "to": str(today()),
            "time_zone": "Asia/Tehran",
            "opening_balance": 0,
            "closing_balance": CREDIT - 3 * AMOUNT,
            "first_entry": 1,
            "last_entry": 6,
            "entries": 6,
            "totals": {"credit": CREDIT, "recharge": -4 * AMOUNT, "refund": AMOUNT},
            "commissions": {},
            "made_by": "member",
        }.items()
    )
    assert acme.member.balance() == answer.json["closing_balance"]

    again = make(acme.owner, today(), today(), seller_id=acme.member.id)
    assert (again.status, again.headers["Idempotent-Replayed"], again.json) == (200, "true", answer.json)
    path = f"/statements/{answer.json['id']}"
    assert acme.member.client.get(path).json == answer.json
    proof = acme.member.client.get(f"{path}/proof").json
    assert proof == {"holds": True, "digest": answer.json["digest"], "computed": answer.json["digest"]}

    assert acme.member.sell(AMOUNT).status == 201
    more = make(acme.member, today(), today())
    assert (more.status, more.json["last_entry"]) == (201, 7)
    assert more.json["digest"] != answer.json["digest"]
    assert acme.member.client.get(path).json == answer.json  # it stays as it was
    listed = acme.owner.client.get(f"/statements?seller_id={acme.member.id}").json["results"]
    assert listed == [more.json, answer.json]


def test_the_digest_is_that_of_the_text_that_is_documented(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, CREDIT)
    assert acme.member.sell(AMOUNT).status == 201
    answer = make(acme.member, today(), today())
    with acme.context:
        made, (credit, sold) = Statement.objects.get(), Entry.objects.order_by("number")

    def moment(at: Any) -> int:
        return round(at.timestamp() * 1_000_000)

    rows = (
        f"1|credit|{CREDIT}|0|{CREDIT}|{credit.reference}|{moment(credit.created_at)}||{bytes(credit.hash).hex()}\n"
        f"2|recharge|-5000|0|995000|{sold.reference}|{moment(sold.created_at)}|+989121234567|{bytes(sold.hash).hex()}"
    )
    text = (
        f"statement v1|{acme.member.id}|{today()}|{today()}|{moment(made.starts_at)}|{moment(made.ends_at)}"
        "|1|2|0|995000"
        f"|credit:1:{CREDIT}:0,recharge:1:-5000:0|{bytes(sold.hash).hex()}|member"
        f"\n{hashlib.sha256(rows.encode()).hexdigest()}"
    )
    assert answer.json["digest"] == hashlib.sha256(text.encode()).hexdigest()


def test_made_at_once_it_is_made_once(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, CREDIT)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: make(acme.member, today(), today()), range(16)))
    assert sorted(answer.status for answer in answers) == [200] * 15 + [201]
    assert len({answer.json["id"] for answer in answers}) == 1


def test_commissions_are_totals_of_their_own(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, CREDIT)
    with acme.context, connection.cursor() as cursor:
        cursor.execute("SELECT commission_set(NULL, '', 300, NULL, 'owner')")
    assert acme.member.sell(AMOUNT).json["commission"] == 150
    made = make(acme.member, today(), today()).json
    assert made["totals"] == {"credit": CREDIT, "recharge": -AMOUNT, "commission": 150}
    assert made["commissions"] == {"recharge": 150}
    assert made["opening_balance"] + sum(made["totals"].values()) == made["closing_balance"] == acme.member.balance()


def test_what_comes_late_is_in_the_statement_of_its_day(acme: Organization) -> None:
    """Periods that follow each other have each entry once, and the balance between them in common."""
    give_credit(acme.row, acme.member.id, CREDIT)
    sold = sell_pending(acme.row, acme.member.id, AMOUNT)
    move_to_yesterday(acme)
    before = make(acme.member, yesterday(), yesterday())
    assert before.json.items() >= {"first_entry": 1, "last_entry": 2, "closing_balance": CREDIT - AMOUNT}.items()

    settle_recharge(organization=acme.row, recharge_id=sold, status=Recharge.Status.FAILED, failure="no")
    assert make(acme.member, yesterday(), yesterday()).json == before.json
    after = make(acme.member, today(), today()).json
    assert (
        after.items()
        >= {
            "opening_balance": CREDIT - AMOUNT,
            "closing_balance": CREDIT,
            "first_entry": 3,
            "last_entry": 3,
            "totals": {"refund": AMOUNT},
        }.items()
    )
    both = make(acme.member, yesterday(), today()).json
    assert (both["first_entry"], both["last_entry"], both["opening_balance"]) == (1, 3, 0)

    # Days without entries, before and after.
    early = make(acme.member, "2026-01-01", "2026-01-31").json
    assert early.items() >= {"first_entry": None, "last_entry": None, "entries": 0, "totals": {}}.items()
    assert (early["opening_balance"], early["closing_balance"]) == (0, 0)
    quiet = make(acme.neighbour, today(), today()).json
    for person, one in ((acme.member, early), (acme.member, before.json), (acme.neighbour, quiet)):
        assert person.client.get(f"/statements/{one['id']}/proof").json["holds"]


def test_a_clock_that_was_set_back_puts_no_entry_into_two_periods(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, CREDIT)
    assert acme.member.sell(AMOUNT).status == 201
    # The second entry's moment is a day before the first one's.
    tamper(
        acme,
        """
        UPDATE credit_entry
        SET created_at = (created_at AT TIME ZONE 'UTC' - interval '1 day') AT TIME ZONE 'UTC',
            id = uuid7_floor((created_at AT TIME ZONE 'UTC' - interval '1 day') AT TIME ZONE 'UTC')
        WHERE number = 2;
        UPDATE credit_account SET ran_back = true
        """
        + ";"
        + FORGET,
    )
    first, second = (make(acme.member, day, day).json for day in (yesterday(), today()))
    assert (first["first_entry"], first["last_entry"], second["entries"]) == (1, 2, 0)
    assert first["closing_balance"] == second["opening_balance"] == CREDIT - AMOUNT


def test_days_are_the_organizations(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, CREDIT)
    with acme.context:
        Policy.objects.update_or_create(pk=1, defaults={"time_zone": "Pacific/Kiritimati"})
    with timezone.override("Pacific/Kiritimati"):
        there = timezone.localdate()
    made = make(acme.member, there, there)
    assert (made.status, made.json["time_zone"], made.json["last_entry"]) == (201, "Pacific/Kiritimati", 1)
    with acme.context:
        row = Statement.objects.get()
    assert (row.ends_at - row.starts_at, row.starts_at.hour) == (timedelta(days=1), 10)
    assert make(acme.member, there, there + timedelta(days=1)).faults == {("to", "day_not_begun")}


TAMPERED = table(
    ("an amount", "UPDATE credit_entry SET amount = amount - 1 WHERE number = 2"),
    ("a commission", "UPDATE credit_entry SET commission = 1 WHERE number = 2"),
    ("a balance", "UPDATE credit_entry SET balance_after = balance_after + 1 WHERE number = 2"),
    ("a document", "UPDATE credit_entry SET reference = '00000000-0000-0000-0000-000000000002' WHERE number = 2"),
    ("a moment", "UPDATE credit_entry SET created_at = now() - interval '1 second' WHERE number = 2"),
    ("a hash", "UPDATE credit_entry SET hash = sha256('') WHERE number = 2"),
    ("an entry that is gone", "DELETE FROM credit_entry WHERE number = 2"),
)


@pytest.mark.breaks_the_books
@pytest.mark.parametrize("statement", [row.values[0] for row in TAMPERED], ids=[row.id for row in TAMPERED])
def test_what_is_tampered_with_is_told(acme: Organization, statement: str) -> None:
    give_credit(acme.row, acme.member.id, CREDIT)
    for _ in range(2):
        assert acme.member.sell(AMOUNT).status == 201
    made = make(acme.member, today(), today()).json
    tamper(acme, statement)
    proof = acme.owner.client.get(f"/statements/{made['id']}/proof").json
    assert (proof["holds"], proof["digest"]) == (False, made["digest"])


@pytest.mark.breaks_the_books
def test_the_command_names_what_does_not_hold(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, CREDIT)
    made = make(acme.member, today(), today()).json
    assert "acme: 1 statements looked at" in proved()[1]
    tamper(acme, "UPDATE credit_entry SET amount = amount + 1")
    status, said = proved()
    assert (status, made["id"] in said) == (1, True)


def proved() -> tuple[int, str]:
    said, status = io.StringIO(), 0
    try:
        call_command("prove_statements", organization="acme", stdout=said)
    except SystemExit as end:
        status = int(end.code or 0)
    return status, said.getvalue()


def test_a_statement_itself_can_t_be_changed_nor_what_it_says_of_its_entries(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, CREDIT)
    assert make(acme.member, today(), today()).status == 201
    with acme.context:
        with connection.cursor() as cursor, pytest.raises(Exception, match="append-only"):
            cursor.execute("UPDATE recharge_statement SET closing_balance = 1")
        row = Statement.objects.get()
        for name, value in (("closing_balance", 1), ("opening_balance", 1), ("totals", {}), ("seller_name", "another")):
            row.refresh_from_db()
            setattr(row, name, value)
            assert not prove(acme.row, row).holds, name


REFUSED = table(
    ("the days the wrong way round", {"from": "2026-02-02", "to": "2026-02-01"}, ("to", "from_after_to")),
    ("ten years", {"from": "2016-01-01", "to": "2025-12-31"}, ("to", "period_too_long")),
    ("a year and two days", {"from": "2025-01-01", "to": "2026-01-02"}, ("to", "period_too_long")),
    ("the future", {"from": "2026-01-01", "to": "{tomorrow}"}, ("to", "day_not_begun")),
    ("the end of the calendar", {"from": "9999-12-31", "to": "9999-12-31"}, ("to", "day_not_begun")),
    ("its beginning", {"from": "0001-01-01", "to": "0001-01-01"}, ("from", "too_early")),
    ("the Jalali calendar", {"from": "1405-08-01", "to": "1405-08-30"}, ("from", "too_early")),
    ("no such day", {"from": "2026-02-30", "to": "2026-03-01"}, ("from", "invalid")),
    ("Persian digits", {"from": "۲۰۲۶-۰۱-۰۱", "to": "2026-01-02"}, ("from", "invalid")),
    ("a moment", {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02"}, ("from", "invalid")),
    ("a day of a week", {"from": "2026-W01-1", "to": "2026-01-02"}, ("from", "invalid")),
    ("a number", {"from": 20260101, "to": "2026-01-02"}, ("from", "invalid")),
    ("NUL", {"from": "2026-01-01\0", "to": "2026-01-02"}, ("body", "not_readable")),
    ("nothing", {"from": None, "to": "2026-01-02"}, ("from", "null")),
    ("no days", {}, ("to", "required")),
    ("a misspelt field", {"from": "2026-01-01", "to": "2026-01-02", "seller": 1}, ("seller", "unknown_field")),
    ("a seller as text", {"from": "2026-01-01", "to": "2026-01-02", "seller_id": "1"}, ("seller_id", "not_an_integer")),
)


@pytest.mark.parametrize(("body", "fault"), REFUSED)
def test_what_can_be_no_statement_is_refused(acme: Organization, body: dict[str, Any], fault: tuple[str, str]) -> None:
    tomorrow = str(today() + timedelta(days=1))
    with nothing_written():
        answer = acme.member.client.post(
            "/statements", {name: tomorrow if value == "{tomorrow}" else value for name, value in body.items()}
        )
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert fault in answer.faults


def test_a_year_of_366_days_is_one(acme: Organization) -> None:
    assert make(acme.member, "2024-01-01", "2024-12-31").status == 201


def test_whose_statement_it_is_is_theirs_alone(acme: Organization, globex: Organization) -> None:
    give_credit(acme.row, acme.member.id, CREDIT)
    made = make(acme.member, today(), today()).json["id"]
    for person in (acme.neighbour, globex.member, globex.owner):
        for ending in ("", "/proof"):
            assert person.client.get(f"/statements/{made}{ending}").status == 404
    assert acme.neighbour.client.get("/statements").json["results"] == []
    with nothing_written():
        assert make(acme.neighbour, today(), today(), seller_id=acme.member.id).status == 404
        assert make(acme.owner, today(), today(), seller_id=987654321).status == 404
        assert make(acme.owner, today(), today()).faults == {("seller_id", "required")}
    auditor = make_member(acme.row, "auditor", "auditor", acme.anyone.address)
    assert auditor.client.get(f"/statements/{made}").status == 200
    assert make(auditor, today(), today(), seller_id=acme.member.id).status == 403
    assert acme.owner.client.get(f"/statements/{uuid.uuid4()}").status == 404
