"""The filters of recharges, of the statement and of credit requests: each finds exactly what it says."""

from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest

from recharge.delivery.settlement import settle_recharge
from recharge.models import Recharge
from tests.support.bad_input import table
from tests.support.client import Client
from tests.support.locks import sell_pending
from tests.support.waiting import wait_until
from tests.support.world import Organization, give_credit


@pytest.fixture
def sold(acme: Organization) -> dict[str, str]:
    """Recharges of acme in every state, by name: their ids."""
    give_credit(acme.row, acme.member.id, 1_000_000)
    give_credit(acme.row, acme.neighbour.id, 1_000_000)
    made = {
        "mci": acme.member.sell(5000, key="one key").json["id"],
        "irancell": acme.member.sell(6000, phone_number="09351234567").json["id"],
        "neighbours": acme.neighbour.sell(7000, key="one key").json["id"],
    }
    for name in ("pending", "failed", "unknown"):
        recharge = sell_pending(acme.row, acme.member.id, 8000)
        made[name] = str(recharge)
        if name != "pending":
            settle_recharge(
                organization=acme.row,
                recharge_id=UUID(str(recharge)),
                status=Recharge.Status(name),
                failure="refused" if name == "failed" else "",
            )
    return made


RECHARGES = table(
    ("all", "", {"mci", "irancell", "neighbours", "pending", "failed", "unknown"}),
    ("succeeded", "status=succeeded", {"mci", "irancell", "neighbours"}),
    ("pending", "status=pending", {"pending"}),
    ("failed", "status=failed", {"failed"}),
    ("unknown", "status=unknown", {"unknown"}),
    ("an operator", "operator=irancell", {"irancell"}),
    ("another operator", "operator=rightel", set()),
    ("a number", "phone_number=%2B989351234567", {"irancell"}),
    ("a number as people write it", f"phone_number={quote('۰۹۳۵ ۱۲۳ ۴۵۶۷')}", {"irancell"}),
    ("a number nobody recharged", "phone_number=09350000000", set()),
    ("a key, of whomever", "idempotency_key=one%20key", {"mci", "neighbours"}),
    ("a key nobody used", "idempotency_key=one%20Key", set()),
    ("two filters", "operator=mci&status=succeeded", {"mci", "neighbours"}),
    ("two that exclude each other", "operator=irancell&status=failed", set()),
    ("the past", "created_to=2020-01-01T00:00:00Z", set()),
    ("the future", "created_from=2999-01-01T00:00:00Z", set()),
    ("the first year", "created_to=0001-01-01T00:00:00Z", set()),
    ("the last year", "created_from=9999-12-31T23:59:59Z", set()),
    ("all time", "created_from=0001-01-01T00:00:00Z&created_to=9999-12-31T23:59:59.999999Z&status=failed", {"failed"}),
)


@pytest.mark.parametrize(("query", "names"), RECHARGES)
def test_recharges_are_found_by_each_filter(
    acme: Organization, sold: dict[str, str], query: str, names: set[str]
) -> None:
    def found_by(client: Client) -> set[str]:
        return {row["id"] for row in client.get(f"/recharges?{query}").json["results"]}

    # On a cluster, of which clocks may differ, who asks from a moment on is told what is older than a second.
    everyones = {sold[name] for name in names}
    wait_until(lambda: found_by(acme.owner.client) == everyones, "they are found")
    assert found_by(acme.member.client) == {sold[name] for name in names - {"neighbours"}}


@pytest.fixture
def told_late(acme: Organization, sold: dict[str, str]) -> dict[str, str]:
    """Recharges of acme to which something came after their end, by what it was: their ids. One is the neighbour's."""
    stories = {"charged": ("failed", "succeeded"), "owed": ("failed", "succeeded"), "reversed": ("succeeded", "failed")}
    made = {}
    for late, story in stories.items():
        seller = acme.neighbour if late == "reversed" else acme.member
        recharge_id = sell_pending(acme.row, seller.id, 300)
        for told in story:
            if late == "owed" and told == "succeeded":
                assert acme.member.sell(acme.member.balance()).status == 201
            settle_recharge(
                organization=acme.row,
                recharge_id=recharge_id,
                status=Recharge.Status(told),
                failure="refused" if told == "failed" else "",
            )
        made[late] = str(recharge_id)
    return made


@pytest.mark.parametrize(
    ("query", "names"),
    table(
        ("charged again", "late=charged", {"charged"}),
        ("owed", "late=owed", {"owed"}),
        ("taken back", "late=reversed", {"reversed"}),
        ("anything", "late=any", {"charged", "owed", "reversed"}),
        ("anything that succeeded", "late=any&status=succeeded", {"charged", "owed"}),
        ("anything that failed", "late=any&status=failed", {"reversed"}),
        ("anything in the past", "late=any&created_to=2020-01-01T00:00:00Z", set()),
    ),
)
def test_recharges_are_found_by_what_came_late(
    acme: Organization, told_late: dict[str, str], query: str, names: set[str]
) -> None:
    def found_by(client: Client) -> set[str]:
        exported = {line.partition(",")[0] for line in client.get(f"/recharges.csv?{query}").body.decode().split()[1:]}
        listed = client.get(f"/recharges?{query}").json["results"]
        assert exported == {row["id"] for row in listed}
        assert all(row["id"] == told_late[row["late"]] for row in listed)
        return {row["late"] for row in listed}

    assert found_by(acme.owner.client) == names
    assert found_by(acme.member.client) == names - {"reversed"}


def test_what_came_late_is_in_the_statement(acme: Organization, told_late: dict[str, str]) -> None:
    for kind, late, amount in (("late_charge", "charged", -300), ("reversal", "reversed", 300)):
        (entry,) = acme.owner.client.get(f"/entries?kind={kind}").json["results"]
        assert (entry["kind"], entry["amount"], entry["reference"]) == (kind, amount, told_late[late])
        (line,) = acme.owner.client.get(f"/entries.csv?kind={kind}").body.decode().splitlines()[1:]
        assert line.split(",")[2:4] == [kind, str(amount)]


def test_recharges_and_entries_are_found_by_the_seller(acme: Organization, sold: dict[str, str]) -> None:
    rows = acme.owner.client.get(f"/recharges?seller_id={acme.neighbour.id}").json["results"]
    assert [row["id"] for row in rows] == [sold["neighbours"]]
    entries = acme.owner.client.get(f"/entries?seller_id={acme.neighbour.id}").json["results"]
    assert [(entry["number"], entry["kind"], entry["amount"], entry["balance_after"]) for entry in entries] == [
        (2, "recharge", -7000, 993_000),
        (1, "credit", 1_000_000, 1_000_000),
    ]
    assert acme.owner.client.get("/recharges?seller_id=9223372036854775807").json["results"] == []


@pytest.mark.parametrize(
    ("kind", "amounts"),
    [("credit", [1_000_000]), ("recharge", [-8000] * 3 + [-6000, -5000]), ("refund", [8000]), ("adjustment", [])],
)
def test_entries_are_found_by_their_kind(
    acme: Organization, sold: dict[str, str], kind: str, amounts: list[int]
) -> None:
    entries = acme.member.client.get(f"/entries?kind={kind}").json["results"]
    assert [entry["amount"] for entry in entries] == amounts
    assert {entry["kind"] for entry in entries} <= {kind}


def test_the_statement_is_numbered_without_a_gap_and_refers_to_what_caused_it(
    acme: Organization, sold: dict[str, str]
) -> None:
    entries = acme.member.client.get("/entries").json["results"]
    assert [entry["number"] for entry in entries] == list(range(7, 0, -1))
    balance = 0
    for entry in reversed(entries):
        balance += entry["amount"]
        assert entry["balance_after"] == balance
    assert {entry["reference"] for entry in entries if entry["kind"] == "refund"} == {sold["failed"]}
    summary = acme.member.client.get("/balance").json
    assert (summary["balance"], summary["in_flight"], summary["last_entry"]) == (balance, 16_000, 7)
    assert acme.owner.client.get(f"/sellers/{acme.member.id}/balance").json | {"as_of": 0} == summary | {"as_of": 0}


@pytest.mark.parametrize(
    ("query", "amounts"),
    table(
        ("all", "", [4, 3, 2, 1]),
        ("pending", "status=pending", [4, 1]),
        ("approved", "status=approved", [2]),
        ("rejected", "status=rejected", [3]),
        ("of the first seller", "seller_id={member}", [3, 2, 1]),
        ("of the second who wait", "seller_id={neighbour}&status=pending", [4]),
        ("of nobody", "seller_id=4711", []),
    ),
)
def test_credit_requests_are_found_by_each_filter(acme: Organization, query: str, amounts: list[int]) -> None:
    def ask(client: Client, amount: int) -> str:
        return client.post("/credit-requests", {"amount": amount}, key=str(amount)).json["id"]

    owner, member = acme.owner.client, acme.member.client
    ask(member, 1)
    owner.post(f"/credit-requests/{ask(member, 2)}/approve")
    owner.post(f"/credit-requests/{ask(member, 3)}/reject", {"reason": "no"})
    ask(acme.neighbour.client, 4)
    query = query.format(member=acme.member.id, neighbour=acme.neighbour.id)
    assert [row["amount"] for row in owner.get(f"/credit-requests?{query}").json["results"]] == amounts
    if "seller_id" not in query:
        own = [row["amount"] for row in member.get(f"/credit-requests?{query}").json["results"]]
        assert own == [amount for amount in amounts if amount != 4]


MICROSECOND = timedelta(microseconds=1)
TEHRAN = timezone(timedelta(hours=3, minutes=30))


@pytest.mark.parametrize(
    ("name", "shift", "is_found"),
    table(
        ("from that microsecond", "created_from", timedelta(0), True),
        ("from the one after", "created_from", MICROSECOND, False),
        ("from the one before", "created_from", -MICROSECOND, True),
        ("to that microsecond", "created_to", timedelta(0), False),
        ("to the one after", "created_to", MICROSECOND, True),
        ("to the one before", "created_to", -MICROSECOND, False),
    ),
)
def test_a_range_of_time_is_exact_to_the_microsecond(
    acme: Organization, name: str, shift: timedelta, is_found: bool
) -> None:
    give_credit(acme.row, acme.member.id, 5000)
    acme.member.sell(5000)
    for path in ("/recharges", "/entries"):
        kind = "kind=recharge" if path == "/entries" else ""
        written = acme.member.client.get(f"{path}?{kind}").json["results"][0]["created_at"]
        moment = datetime.fromisoformat(written) + shift
        for shown in (moment.isoformat(), moment.astimezone(TEHRAN).isoformat()):
            for form in ("", ".csv"):
                answer = acme.member.client.get(f"{path}{form}?{name}={quote(shown)}&{kind}")
                assert answer.status == 200
                assert rows_in(answer) == (1 if is_found else 0), (path, form, shown)


def rows_in(answer: Any) -> int:
    return len(answer.json["results"]) if answer.json else len(answer.body.splitlines()) - 1
