"""The amounts that an organization sells of an operator: looked at before the seller is debited."""

import uuid
from typing import Any

import pytest

from tests.support.bad_input import table
from tests.support.client import Answer
from tests.support.tables import nothing_written
from tests.support.world import Organization, Person, give_credit

pytestmark = pytest.mark.usefixtures("way")

LIST = {"amounts": [5000, 10_000, 20_000]}
RANGE = {"least_amount": 5000, "most_amount": 20_000}
MCI, IRANCELL = "09121234567", "09351234567"


@pytest.fixture
def member(acme: Organization) -> Person:
    """A seller with 100,000 Tomans."""
    give_credit(acme.row, acme.member.id, 100_000)
    return acme.member


def settle_on(organization: Organization, terms: dict[str, Any]) -> None:
    assert organization.owner.client.patch("/operators/mci", terms).status == 200


def sell(member: Person, amount: int, phone_number: str = MCI, *, key: str = "", **more: Any) -> Answer:
    body = {"phone_number": phone_number, "amount": amount, **more}
    return member.client.post("/recharges", body, key=key or uuid.uuid4().hex)


def bulk(member: Person, *amounts: int, phone_number: str = MCI, **more: Any) -> Answer:
    items = [
        {"idempotency_key": uuid.uuid4().hex, "phone_number": phone_number, "amount": amount} for amount in amounts
    ]
    return member.client.post("/recharges/bulk", {"items": items, **more})


def outcomes(answer: Answer) -> list[str]:
    return [result.get("problem", {}).get("code", result["outcome"]) for result in answer.json["results"]]


TERMS = table(
    ("of a list, the first", LIST, 5000, True),
    ("of a list, the last", LIST, 20_000, True),
    ("of a list, one between", LIST, 10_001, False),
    ("of a list, below", LIST, 4999, False),
    ("of a list, above", LIST, 20_001, False),
    ("of a range, the least", RANGE, 5000, True),
    ("of a range, the most", RANGE, 20_000, True),
    ("of a range, one between", RANGE, 10_001, True),
    ("of a range, below", RANGE, 4999, False),
    ("of a range, above", RANGE, 20_001, False),
    ("below one end alone", {"least_amount": 5000}, 4999, False),
    ("above one end alone", {"most_amount": 5000}, 5001, False),
)


@pytest.mark.parametrize(("terms", "amount", "is_sold"), TERMS)
def test_only_these_are_sold(
    acme: Organization, member: Person, terms: dict[str, Any], amount: int, is_sold: bool
) -> None:
    settle_on(acme, terms)
    if is_sold:
        assert sell(member, amount).status == 201
        assert outcomes(bulk(member, amount)) == ["created"]
        assert member.balance() == 100_000 - 2 * amount
        return
    with nothing_written():
        single, several = sell(member, amount), bulk(member, amount)
    assert (single.status, single.code) == (409, "amount_not_sold")
    assert outcomes(several) == ["amount_not_sold"]
    assert several.json["results"][0]["problem"]["status"] == 409


def test_the_limits_are_of_one_operator_and_one_organization(
    acme: Organization, member: Person, globex: Organization
) -> None:
    settle_on(acme, LIST)
    give_credit(globex.row, globex.member.id, 100_000)
    assert sell(member, 7).status == 409
    assert sell(member, 7, IRANCELL).status == 201
    assert sell(globex.member, 7).status == 201
    # A ported number is of the operator that is named.
    assert sell(member, 7, operator="irancell").status == 201
    assert sell(member, 7, IRANCELL, operator="mci").status == 409


def test_a_sale_of_before_is_replayed_although_its_amount_is_no_longer_sold(acme: Organization, member: Person) -> None:
    first = sell(member, 7, key="k")
    settle_on(acme, LIST)
    again = sell(member, 7, key="k")
    assert (again.status, again.json) == (200, first.json)
    items = [{"idempotency_key": "k", "phone_number": MCI, "amount": 7}]
    assert outcomes(member.client.post("/recharges/bulk", {"items": items})) == ["replayed"]


def test_a_refused_key_may_be_used_again(acme: Organization, member: Person) -> None:
    settle_on(acme, LIST)
    assert sell(member, 7, key="k").code == "amount_not_sold"
    assert sell(member, 5000, key="k").status == 201


def test_the_amount_is_told_before_the_credit(acme: Organization, member: Person) -> None:
    settle_on(acme, LIST)
    assert sell(member, 10**12).code == "amount_not_sold"
    assert sell(member, 10**12, IRANCELL).code == "insufficient_credit"


def test_a_bulk_call_sells_the_others(acme: Organization, member: Person) -> None:
    settle_on(acme, RANGE)
    answer = bulk(member, 5000, 4999, 20_000, 20_001, 5001)
    assert outcomes(answer) == ["created", "amount_not_sold", "created", "amount_not_sold", "created"]
    assert (answer.json["created"], answer.json["refused"], answer.json["balance"]) == (3, 2, 69_999)


def test_a_bulk_call_of_all_or_none_sells_none(acme: Organization, member: Person) -> None:
    settle_on(acme, LIST)
    with nothing_written():
        answer = bulk(member, 5000, 4999, 10_000, atomic=True)
    assert (answer.status, outcomes(answer)) == (400, ["not_sold", "amount_not_sold", "not_sold"])
    assert (answer.json["created"], answer.json["refused"], answer.json["balance"]) == (0, 3, 100_000)
    assert outcomes(bulk(member, 5000, 10_000, atomic=True)) == ["created", "created"]
    assert member.balance() == 85_000


def test_a_bulk_call_of_several_operators_keeps_each_ones_limits(acme: Organization, member: Person) -> None:
    settle_on(acme, LIST)
    items = [
        {"idempotency_key": str(number), "phone_number": phone_number, "amount": amount}
        for number, (phone_number, amount) in enumerate([(MCI, 7), (IRANCELL, 7), (MCI, 5000), (IRANCELL, 5000)])
    ]
    answer = member.client.post("/recharges/bulk", {"items": items})
    assert outcomes(answer) == ["amount_not_sold", "created", "created", "created"]
