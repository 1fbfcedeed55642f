"""``POST /recharges/bulk``: each item decided in its order, the rows written as sets, all of it or nothing of it."""

import json
import random
import socket
import uuid
from collections import Counter
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from django.db import connection

from credit.models import Entry
from recharge.models import Recharge
from tests.support.client import Answer
from tests.support.crowd import together
from tests.support.locks import sell_pending
from tests.support.tables import nothing_written
from tests.support.world import Organization, Person, give_credit


@pytest.fixture
def member(acme: Organization) -> Person:
    """A seller with 10,000 Tomans."""
    give_credit(acme.row, acme.member.id, 10_000)
    return acme.member


def item(key: str, amount: Any = 1000, phone_number: Any = "09121234567", **more: Any) -> dict[str, Any]:
    return {"idempotency_key": key, "phone_number": phone_number, "amount": amount, **more}


def bulk(member: Person, *items: Any, **more: Any) -> Answer:
    return member.client.post("/recharges/bulk", {"items": list(items), **more})


def outcomes(answer: Answer) -> list[str]:
    """Of each item: created, replayed, or the code of its problem."""
    assert [result["index"] for result in answer.json["results"]] == list(range(len(answer.json["results"])))
    return [result.get("problem", {}).get("code", result["outcome"]) for result in answer.json["results"]]


CREATED, REPLAYED, POOR, REUSED, WRONG, NOT_SOLD = (
    "created",
    "replayed",
    "insufficient_credit",
    "idempotency_key_reused",
    "invalid_request",
    "not_sold",
)


@pytest.mark.parametrize(
    ("items", "expected", "balance"),
    [
        ([item("a")], [CREATED], 9000),
        ([item("a"), item("b", 2000)], [CREATED, CREATED], 7000),
        # In the order given: what does not fit is passed over, and what still fits is sold.
        ([item("a", 9000), item("b", 2000), item("c", 1000), item("d", 1)], [CREATED, POOR, CREATED, POOR], 0),
        # One key twice in one call.
        ([item("a"), item("a")], [CREATED, REPLAYED], 9000),
        ([item("a"), item("a", 2000)], [CREATED, REUSED], 9000),
        ([item("a"), item("a", phone_number="09351234567")], [CREATED, REUSED], 9000),
        ([item("a"), item("a", operator="irancell")], [CREATED, REUSED], 9000),
        ([item("a"), item("a", operator="mci")], [CREATED, REPLAYED], 9000),
        # A refusal stores nothing: the key is free for the next item.
        ([item("a", 20_000), item("a", 1000)], [POOR, CREATED], 9000),
        ([item("a", -1), item("a", 1000), item("a", 1000)], [WRONG, CREATED, REPLAYED], 9000),
        # Keys of the sales "old" (1,000 for 09121234567) and "pending" from before.
        ([item("old"), item("old", 2000), item("new")], [REPLAYED, REUSED, CREATED], 9000),
        # Bad items in the middle.
        ([item("a"), 5, item("b")], [CREATED, WRONG, CREATED], 8000),
        ([item("a"), None, [], "x", {}], [CREATED, WRONG, WRONG, WRONG, WRONG], 9000),
        ([item("a", 10**12)] * 2, [POOR, POOR], 10_000),
        ([item(str(number), 10**12) for number in range(1000)], [POOR] * 1000, 10_000),
        ([5], [WRONG], 10_000),
    ],
)
def test_it_decides_item_after_item(
    acme: Organization, member: Person, items: list[Any], expected: list[str], balance: int
) -> None:
    give_credit(acme.row, member.id, 1000)
    assert member.sell(1000, key="old").status == 201
    answer = bulk(member, *items)
    assert answer.status == 200
    assert outcomes(answer) == expected
    counted = Counter(result["outcome"] for result in answer.json["results"])
    assert {name: answer.json[name] for name in ("created", "replayed", "refused")} == {
        name: counted[name] for name in ("created", "replayed", "refused")
    }
    assert answer.json["balance"] == balance == member.balance()


def test_a_key_is_kept_as_it_was_sent(acme: Organization, member: Person) -> None:
    """Also one that would end the array which the keys are sent in."""
    printable = [chr(code) for code in range(32, 127)]
    keys = [
        *printable[1:],
        *(f"{one}{other}." for one in '"\\{},' for other in printable),
        "NULL",
        "{}",
        '","',
        "a  b",
        '\\"',
    ]
    items = [item(key, 1) for key in dict.fromkeys(keys)]
    assert set(outcomes(bulk(member, *items))) == {CREATED}
    with acme.context:
        assert set(Recharge.objects.values_list("idempotency_key", flat=True)) == set(keys)
    assert set(outcomes(bulk(member, *items))) == {REPLAYED}


def test_blanks_around_a_header_make_no_other_key(member: Person) -> None:
    """The server takes them away, as it must (RFC 9110 section 5.5): so no key of a body may have any."""
    body = {"phone_number": "09121234567", "amount": 1000}
    assert outcomes(bulk(member, item("order-7 "))) == [WRONG]
    assert outcomes(bulk(member, item("order-7"))) == [CREATED]
    for key in ("order-7 ", "  order-7", "order-7"):
        answer = member.client.post("/recharges", body, key=key)
        assert (answer.status, answer.headers.get("Idempotent-Replayed")) == (200, "true")
    assert member.balance() == 9000


def test_a_key_is_its_sellers_own(acme: Organization, member: Person) -> None:
    give_credit(acme.row, acme.neighbour.id, 10_000)
    assert outcomes(bulk(acme.neighbour, item("a", 2000))) == [CREATED]
    assert outcomes(bulk(member, item("a"))) == [CREATED]


@pytest.mark.parametrize(
    ("items", "status", "code", "expected"),
    [
        ([item("a", 9000), item("b", 2000)], 402, POOR, [NOT_SOLD, POOR]),
        ([item("a"), item("a", 2000)], 400, WRONG, [NOT_SOLD, REUSED]),
        ([item("a"), item("b", "5")], 400, WRONG, [NOT_SOLD, WRONG]),
        ([item("a", 20_000), 5], 400, WRONG, [POOR, WRONG]),
        # What another call has sold is sold, whatever becomes of this one.
        ([item("old"), item("old", 2000), item("a"), 5], 400, WRONG, [REPLAYED, REUSED, NOT_SOLD, WRONG]),
        # A repeat of what is not sold is not sold.
        ([item("a"), item("a"), item("b", 20_000)], 402, POOR, [NOT_SOLD, NOT_SOLD, POOR]),
        ([5], 400, WRONG, [WRONG]),
        ([item("old"), item("b", 20_000)], 402, POOR, [REPLAYED, POOR]),
    ],
)
def test_an_atomic_call_that_is_refused_writes_nothing(
    acme: Organization, member: Person, items: list[Any], status: int, code: str, expected: list[str]
) -> None:
    give_credit(acme.row, member.id, 1000)
    member.sell(1000, key="old")
    with nothing_written():
        answer = bulk(member, *items, atomic=True)
    assert (answer.status, answer.code) == (status, code)
    assert outcomes(answer) == expected
    replayed = expected.count(REPLAYED)
    assert [answer.json[name] for name in ("created", "replayed", "refused")] == [0, replayed, len(items) - replayed]
    assert answer.json["balance"] == 10_000


def test_an_atomic_call_that_fits_is_sold_whole_and_replayed_whole(member: Person) -> None:
    items = [item(str(number), 1000) for number in range(10)]
    first = bulk(member, *items, atomic=True)
    assert outcomes(first) == [CREATED] * 10
    again = bulk(member, *items, atomic=True)
    assert outcomes(again) == [REPLAYED] * 10
    assert [result["recharge"] for result in again.json["results"]] == [
        result["recharge"] for result in first.json["results"]
    ]
    assert member.balance() == 0


def test_an_item_is_the_recharge_that_a_single_sale_would_be(acme: Organization, member: Person) -> None:
    answer = bulk(member, item("a", 300), item("b", 200, "۰۹۳۵ ۱۲۳ ۴۵۶۷"), item("c", 100, operator="rightel"))
    made = [result["recharge"] for result in answer.json["results"]]
    assert [member.client.get(f"/recharges/{recharge['id']}").json for recharge in made] == made
    assert [recharge["balance_after"] for recharge in made] == [9700, 9500, 9400]
    assert [recharge["operator"] for recharge in made] == ["mci", "irancell", "rightel"]
    times = [datetime.fromisoformat(recharge["created_at"]) for recharge in made]
    assert times == sorted(set(times))
    assert [uuid.UUID(recharge["id"]).int >> 80 for recharge in made] == [
        int(time.timestamp() * 1_000_000) // 1000 for time in times
    ]
    listed = member.client.get("/recharges").json["results"]
    assert listed == made[::-1]
    assert member.sell(300, key="a").headers["Idempotent-Replayed"] == "true"
    entries = member.client.get("/entries?kind=recharge").json["results"]
    assert [(entry["number"], entry["amount"], entry["balance_after"]) for entry in entries] == [
        (4, -100, 9400),
        (3, -200, 9500),
        (2, -300, 9700),
    ]


@pytest.mark.parametrize("duplicate_window", [0, 3600])
@pytest.mark.parametrize("seed", range(2))
def test_any_call_decides_as_its_items_would_be_decided_one_by_one(
    acme: Organization, duplicate_window: int, seed: int
) -> None:
    """Keys, numbers and amounts are few, and the credit is soon at its end, so that most items have to do with others;
    and of the operator's three amounts one is not sold."""
    acme.owner.client.patch("/settings", {"duplicate_window": duplicate_window})
    acme.owner.client.patch("/operators/mci", {"amounts": [1000, 2000]})
    rng = random.Random(seed)
    singly, at_once = acme.member, acme.neighbour
    met: Counter[str] = Counter()
    for call in range(1, 41):
        credit = rng.choice([100, 1000, 12_000])
        for person in (singly, at_once):
            give_credit(acme.row, person.id, credit)
        items = [
            item(
                f"{call - rng.randrange(2)} {rng.randrange(8)}",
                rng.choice([1000, 2000, 3000]),
                f"0912 000 00{call - rng.randrange(2):02}",
                allow_duplicate=rng.random() < 0.3,
            )
            for _ in range(rng.randrange(1, 20))
        ]
        answer = bulk(at_once, *items)
        decided = list(zip(outcomes(answer), answer.json["results"], strict=True))
        for sent, (outcome, result) in zip(items, decided, strict=True):
            single = singly.client.post(
                "/recharges",
                {name: value for name, value in sent.items() if name != "idempotency_key"},
                key=sent["idempotency_key"],
            )
            expected = {201: CREATED, 200: REPLAYED}.get(single.status) or single.json["code"]
            assert outcome == expected, (sent, result, single.json)
            met[outcome] += 1
            if "recharge" in result:
                own = ("id", "seller_id", "created_at", "completed_at")
                shown, shown_singly = (
                    {name: value for name, value in recharge.items() if name not in own}
                    for recharge in (result["recharge"], single.json)
                )
                assert shown == shown_singly
        assert answer.json["balance"] == at_once.balance() == singly.balance()
    refusals = {POOR, REUSED, "amount_not_sold", *(["possible_duplicate"] if duplicate_window else [])}
    assert set(met) == {CREATED, REPLAYED} | refusals


def test_an_atomic_call_that_is_refused_says_what_is_needed_up_to_the_item_beyond_the_balance(member: Person) -> None:
    bulk(member, item("used", 1000))
    answer = bulk(member, item("a", 8000), item("used", 500), item("b", 2000), atomic=True)
    assert outcomes(answer) == [NOT_SOLD, REUSED, POOR]
    assert (answer.status, answer.json["balance"], answer.json["required"]) == (402, 9000, 10_000)
    assert "balance is 9000; up to and with the first item beyond it, 10000 Tomans are needed" in answer.json["detail"]


def test_a_replay_shows_the_recharge_as_it_is_now(acme: Organization, member: Person) -> None:
    recharge_id = sell_pending(acme.row, member.id, 1000)
    with acme.context:
        key = Recharge.objects.get(pk=recharge_id).idempotency_key
    answer = bulk(member, item(key, operator="telekish"))
    assert outcomes(answer) == [REPLAYED]
    assert answer.json["results"][0]["recharge"]["status"] == "pending"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({}, ("items", "required")),
        ({"items": None}, ("items", "not_a_list")),
        ({"items": {}}, ("items", "not_a_list")),
        ({"items": []}, ("items", "empty")),
        ({"items": [1] * 1001}, ("items", "too_many")),
        ({"items": [1] * 100_000}, ("items", "too_many")),
        ({"items": [item("a")], "atomic": 1}, ("atomic", "invalid")),
        ({"items": [item("a")], "atomic": None}, ("atomic", "invalid")),
        ({"items": [item("a")], "atomc": True}, ("atomc", "unknown_field")),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_call_that_is_malformed_as_a_whole_is_400(member: Person, body: Any, fault: tuple[str, str]) -> None:
    with nothing_written():
        answer = member.client.post("/recharges/bulk", body)
    assert (answer.status, answer.code, answer.faults) == (400, "invalid_request", {fault})


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (item("a", 5000.0), ("amount", "not_an_integer")),
        (item("a", True), ("amount", "not_an_integer")),
        (item("a", None), ("amount", "null")),
        (item("a", 2**63), ("amount", "too_large")),
        (item("a", phone_number="02122334455"), ("phone_number", "not_a_mobile_number")),
        (item("a", phone_number=9121234567), ("phone_number", "not_a_string")),
        (item("a", operator="verizon"), ("operator", "invalid_choice")),
        (item(""), ("idempotency_key", "invalid")),
        (item("k" * 256), ("idempotency_key", "invalid")),
        (item("order-7 "), ("idempotency_key", "invalid")),
        (item(" order-7"), ("idempotency_key", "invalid")),
        (item(" "), ("idempotency_key", "invalid")),
        (item("كليد"), ("idempotency_key", "invalid")),
        (item("a\n"), ("idempotency_key", "invalid")),
        (item(5), ("idempotency_key", "invalid")),  # type: ignore[arg-type]
        ({"phone_number": "09121234567", "amount": 5}, ("idempotency_key", "required")),
        (item("a", extra=1), ("extra", "unknown_field")),
        ("a", ("item", "not_an_object")),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_item_is_told_in_its_place(member: Person, wrong: Any, fault: tuple[str, str]) -> None:
    answer = bulk(member, item("first"), wrong, item("last"))
    assert outcomes(answer) == [CREATED, WRONG, CREATED]
    problem = answer.json["results"][1]["problem"]
    assert {(error["field"], error["code"]) for error in problem["errors"]} == {fault}
    assert problem["status"] == 400


def test_two_megabytes_and_no_more(member: Person) -> None:
    body = json.dumps({"items": [item(str(number)) for number in range(1000)]}).encode()
    body += b" " * (2 * 1024 * 1024 - len(body))
    assert member.client.request("POST", "/recharges/bulk", body=body).status == 200
    with nothing_written():
        answer = member.client.request("POST", "/recharges/bulk", body=body + b" ")
    assert (answer.status, answer.code) == (413, "payload_too_large")


def test_an_inactive_seller_sells_nothing(acme: Organization, member: Person) -> None:
    acme.owner.client.patch(f"/sellers/{member.id}", {"is_active": False})
    for items in ([item("a")], [5]):
        with nothing_written():
            answer = bulk(member, *items)
        assert (answer.status, answer.code) == (403, "seller_inactive")


def test_the_same_call_from_16_threads_is_sold_once(acme: Organization, member: Person) -> None:
    items = [item(str(number), 10) for number in range(100)]
    answers = together([partial(bulk, member, *items)] * 16)
    assert Counter(answer.json["created"] for answer in answers) == {100: 1, 0: 15}
    assert member.balance() == 9000


def test_calls_and_single_sales_at_once_spend_exactly_what_there_is(acme: Organization, member: Person) -> None:
    def one_call() -> int:
        return bulk(member, *[item(uuid.uuid4().hex, 10) for _ in range(100)]).json["created"]

    def one_sale() -> int:
        return int(member.sell(10).status == 201)

    sold = sum(together([one_call] * 8 + [one_sale] * 24 + [one_call] * 4))
    assert sold == 1000
    assert member.balance() == 0
    with acme.context:
        assert Entry.objects.filter(kind="recharge").count() == Recharge.objects.count() == 1000


@pytest.mark.parametrize("ago", ["1 second", "-1 hour"])
def test_a_replay_of_what_still_waits_wakes_a_worker_as_a_single_one_does(
    acme: Organization, member: Person, ago: str
) -> None:
    """Whoever sold it may have died between its COMMIT and the call of a worker."""
    sell_pending(acme.row, member.id, 1000)
    with acme.context, connection.cursor() as cursor:
        cursor.execute("UPDATE recharge_recharge SET idempotency_key = 'k', due_at = now() - %s::interval", [ago])
        cursor.execute(
            "SELECT outcome, is_due FROM recharge_sell(%s, %s, 'k', '+989121234567', 'telekish', 1000, false)",
            [acme.row.pk, member.id],
        )
        single = cursor.fetchall()
        cursor.execute(
            "SELECT outcome, is_due FROM recharge_sell_bulk(%s, %s, '{k}', '{+989121234567}', '{telekish}', '{1000}', "
            "'{f}', false, false)",
            [acme.row.pk, member.id],
        )
        assert cursor.fetchall() == single == [("replayed", ago == "1 second")]


def test_a_sale_that_raises_an_alert_wakes_a_worker(acme: Organization, member: Person) -> None:
    one = "recharge_sell(%s, %s, '1', '+989121234567', 'mci', 1000, false)"
    two = "recharge_sell_bulk(%s, %s, '{2}', '{+989121234567}', '{mci}', '{1000}', '{f}', false, false)"
    with acme.context, connection.cursor() as cursor:
        for sale, threshold in ((one, 10_000), (two, 9000)):
            cursor.execute("SELECT account_alert_below(%s, %s)", [member.id, threshold])
            for key, is_low in (("", True), ("0", False)):  # it falls below, and is below
                cursor.execute(f"SELECT is_due FROM {_with_key(sale, key)}", [acme.row.pk, member.id])
                assert cursor.fetchall() == [(is_low,)], (sale, key)
            give_credit(acme.row, member.id, 1000)


def _with_key(sale: str, end: str) -> str:
    return sale.replace("'1'", f"'1{end}'").replace("'{2}'", f"'{{2{end}}}'")


@pytest.mark.parametrize("part", [1, 0.5])
def test_a_client_that_hangs_up_finds_all_of_its_call_or_nothing(
    acme: Organization, member: Person, part: float
) -> None:
    """Having sent the whole of it or a part."""
    host, port = member.client.address.split(":")
    for number in range(5):
        items = [item(f"{number}-{index}", 1) for index in range(500)]
        body = json.dumps({"items": items}).encode()
        head = (
            f"POST /api/v1/recharges/bulk HTTP/1.1\r\nHost: {member.client.host}\r\nAuthorization: Bearer "
            f"{member.client.token}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection((host, int(port))) as client:
            client.sendall(head.encode() + body[: int(len(body) * part)])
        answer = bulk(member, *items)
        nothing_or_all = {(500, 0), (0, 500)} if part == 1 else {(500, 0)}
        assert (answer.json["created"], answer.json["replayed"]) in nothing_or_all
    assert member.balance() == 10_000 - 2500
