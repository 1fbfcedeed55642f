"""The guard against slips: the same seller, number and amount within the window that the organization has set."""

import uuid
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from recharge.delivery.settlement import settle_recharge
from recharge.models import Recharge
from tests.support.bad_input import table
from tests.support.client import Answer
from tests.support.crowd import together
from tests.support.earlier import earlier
from tests.support.locks import sell_pending
from tests.support.rewriting import rewriting_recharges
from tests.support.tables import nothing_written
from tests.support.world import Organization, Person, give_credit

pytestmark = pytest.mark.usefixtures("way")

WINDOW = 600
"""Seconds."""

NUMBER, OTHER = "09121234567", "09127654321"
CREATED, REPLAYED, DUPLICATE, POOR, NOT_SOLD = (
    "created",
    "replayed",
    "possible_duplicate",
    "insufficient_credit",
    "not_sold",
)


@pytest.fixture
def guarded(acme: Organization) -> Organization:
    """acme, which guards against slips, and whose two sellers have 100,000 Tomans each."""
    assert acme.owner.client.patch("/settings", {"duplicate_window": WINDOW}).status == 200
    for seller in (acme.member, acme.neighbour):
        give_credit(acme.row, seller.id, 100_000)
    return acme


def sell(seller: Person, amount: int = 5000, phone_number: str = NUMBER, *, key: str = "", **more: Any) -> Answer:
    body = {"phone_number": phone_number, "amount": amount, **more}
    return seller.client.post("/recharges", body, key=key or uuid.uuid4().hex)


def item(key: str, amount: int = 5000, phone_number: str = NUMBER, **more: Any) -> dict[str, Any]:
    return {"idempotency_key": key, "phone_number": phone_number, "amount": amount, **more}


def bulk(seller: Person, *items: dict[str, Any], **more: Any) -> Answer:
    return seller.client.post("/recharges/bulk", {"items": list(items), **more})


def outcomes(answer: Answer) -> list[str]:
    return [result.get("problem", {}).get("code", result["outcome"]) for result in answer.json["results"]]


def age(organization: Organization, seconds: float) -> None:
    """Moves all recharges so many seconds into the past."""
    with organization.context, rewriting_recharges():
        Recharge.objects.update(created_at=earlier("created_at", timedelta(seconds=seconds)))


def test_without_a_window_anything_is_sold_twice(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 100_000)
    assert [sell(acme.member).status for _ in range(3)] == [201] * 3
    assert outcomes(bulk(acme.member, item("a"), item("b"))) == [CREATED] * 2


def test_the_same_a_moment_later_is_refused_and_nothing_is_written(guarded: Organization) -> None:
    assert sell(guarded.member).status == 201
    with nothing_written():
        again = sell(guarded.member)
    assert (again.status, again.code) == (409, "possible_duplicate")
    assert guarded.member.balance() == 95_000


def test_it_is_sold_if_it_is_meant(guarded: Organization) -> None:
    sell(guarded.member)
    assert sell(guarded.member, key="k").status == 409
    assert sell(guarded.member, key="k", allow_duplicate=False).status == 409
    assert sell(guarded.member, key="k", allow_duplicate=True).status == 201  # a refused key may be used again
    assert sell(guarded.member).status == 409


@pytest.mark.parametrize(
    "differs",
    table(
        ("another amount", {"amount": 5001}),
        ("another number", {"phone_number": OTHER}),
    ),
)
def test_what_differs_is_no_duplicate(guarded: Organization, differs: dict[str, Any]) -> None:
    sell(guarded.member)
    assert sell(guarded.member, **differs).status == 201


def test_another_seller_is_no_duplicate_and_another_organization_has_a_window_of_its_own(
    guarded: Organization, globex: Organization
) -> None:
    give_credit(globex.row, globex.member.id, 100_000)
    assert sell(guarded.member).status == 201
    assert sell(guarded.neighbour).status == 201
    assert [sell(globex.member).status for _ in range(2)] == [201] * 2


def test_the_same_number_with_another_operator_is_a_duplicate(guarded: Organization) -> None:
    """The buyer has one SIM card, whoever's it is."""
    sell(guarded.member)
    assert sell(guarded.member, operator="irancell").code == "possible_duplicate"


def test_the_same_number_in_another_writing_is_a_duplicate(guarded: Organization) -> None:
    sell(guarded.member)
    assert sell(guarded.member, phone_number="+98 912 123 4567").code == "possible_duplicate"


def test_the_same_key_is_a_replay_and_no_duplicate(guarded: Organization) -> None:
    first = sell(guarded.member, key="k")
    again = sell(guarded.member, key="k")
    assert (again.status, again.json) == (200, first.json)
    assert outcomes(bulk(guarded.member, item("k"))) == [REPLAYED]


@pytest.mark.parametrize(("seconds", "status"), [(WINDOW - 20, 409), (WINDOW + 1, 201)])
def test_the_window_passes(guarded: Organization, seconds: float, status: int) -> None:
    sell(guarded.member)
    age(guarded, seconds)
    assert sell(guarded.member).status == status
    assert outcomes(bulk(guarded.member, item("a", allow_duplicate=False))) == [DUPLICATE]  # of what was sold last


def test_a_window_holds_for_what_was_sold_before_it_was_set(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 100_000)
    sell(acme.member)
    acme.owner.client.patch("/settings", {"duplicate_window": WINDOW})
    assert sell(acme.member).status == 409
    acme.owner.client.patch("/settings", {"duplicate_window": 0})
    assert sell(acme.member).status == 201


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ([], "possible_duplicate"),
        (["unknown"], "possible_duplicate"),
        (["succeeded"], "possible_duplicate"),
        (["failed"], None),
        (["succeeded", "failed"], None),
        (["failed", "succeeded"], "possible_duplicate"),
    ],
    ids=str,
)
def test_what_failed_does_not_count(guarded: Organization, told: list[str], code: str | None) -> None:
    recharge_id = sell_pending(guarded.row, guarded.member.id, 5000)
    for status in told:
        settle_recharge(
            organization=guarded.row,
            recharge_id=recharge_id,
            status=Recharge.Status(status),
            failure="barred" if status == "failed" else "",
        )
    assert sell(guarded.member).code == code
    assert outcomes(bulk(guarded.member, item("k"))) == [DUPLICATE]  # now at the latest


def test_a_duplicate_is_told_before_the_credit_is_looked_at(guarded: Organization) -> None:
    sell(guarded.member, 60_000)
    assert sell(guarded.member, 60_000).code == "possible_duplicate"
    assert sell(guarded.member, 60_000, allow_duplicate=True).code == "insufficient_credit"
    assert outcomes(bulk(guarded.member, item("a", 60_000), item("b", 60_000, allow_duplicate=True))) == [
        DUPLICATE,
        POOR,
    ]


@pytest.mark.parametrize(
    ("items", "expected"),
    table(
        ("twice in one call", [item("a"), item("b")], [CREATED, DUPLICATE]),
        (
            "three times, the last is meant",
            [item("a"), item("b"), item("c", allow_duplicate=True)],
            [CREATED, DUPLICATE, CREATED],
        ),
        ("the first is meant", [item("a", allow_duplicate=True), item("b")], [CREATED, DUPLICATE]),
        ("both are meant", [item("a", allow_duplicate=True), item("b", allow_duplicate=True)], [CREATED, CREATED]),
        ("another amount", [item("a"), item("b", 5001)], [CREATED, CREATED]),
        ("another number", [item("a"), item("b", phone_number=OTHER)], [CREATED, CREATED]),
        ("one key twice", [item("a"), item("a")], [CREATED, REPLAYED]),
        ("one key twice, and another", [item("a"), item("a"), item("b")], [CREATED, REPLAYED, DUPLICATE]),
        ("a refused one leaves none behind", [item("a", 200_000), item("b", 200_000)], [POOR, POOR]),
        (
            "a duplicate's key is free",
            [item("a"), item("b"), item("b", phone_number=OTHER)],
            [CREATED, DUPLICATE, CREATED],
        ),
        ("a refused key used again", [item("a", 200_000), item("a"), item("b")], [POOR, CREATED, DUPLICATE]),
        ("of a sale before", [item("a", 7000)], [DUPLICATE]),
        ("of a sale before, meant", [item("a", 7000, allow_duplicate=True), item("b", 7000)], [CREATED, DUPLICATE]),
    ),
)
def test_a_bulk_call_is_decided_item_after_item(
    guarded: Organization, items: list[dict[str, Any]], expected: list[str]
) -> None:
    sell(guarded.member, 7000)
    assert outcomes(bulk(guarded.member, *items)) == expected
    assert guarded.member.balance() == 93_000 - sum(
        given["amount"] for given, outcome in zip(items, expected, strict=True) if outcome == CREATED
    )


def test_a_bulk_call_of_all_or_none_is_refused_for_a_duplicate(guarded: Organization) -> None:
    with nothing_written():
        answer = bulk(guarded.member, item("a"), item("b"), item("c", phone_number=OTHER), atomic=True)
    assert (answer.status, outcomes(answer)) == (400, [NOT_SOLD, DUPLICATE, NOT_SOLD])
    meant = bulk(guarded.member, item("a"), item("b", allow_duplicate=True), atomic=True)
    assert outcomes(meant) == [CREATED, CREATED]


def test_of_the_same_from_many_at_once_one_is_sold(guarded: Organization) -> None:
    answers = together([lambda: sell(guarded.member)] * 12)
    assert Counter((answer.status, answer.code) for answer in answers) == {(201, None): 1, (409, DUPLICATE): 11}
    assert guarded.member.balance() == 95_000


def test_of_the_same_alone_and_in_bulk_at_once_one_is_sold(guarded: Organization) -> None:
    calls: list[Any] = [lambda: sell(guarded.member)] * 4
    calls += [lambda key=key: bulk(guarded.member, item(f"{key}a"), item(f"{key}b")) for key in range(4)]
    answers = together(calls)
    sold = sum(answer.status == 201 for answer in answers) + sum(
        answer.json["created"] for answer in answers if answer.status == 200
    )
    assert sold == 1
    assert guarded.member.balance() == 95_000
