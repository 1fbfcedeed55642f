"""``POST /recharges/validate``: says what would become of a sale, and writes nothing."""

from typing import Any

import pytest

from tests.recharge.test_bad_input import PHONES
from tests.support.bad_input import AMOUNTS, BODIES, CONTENT_TYPES, NOT_JSON, Refusal, invalid, table
from tests.support.client import Answer
from tests.support.tables import nothing_written
from tests.support.world import Organization, Person, give_credit


@pytest.fixture
def member(acme: Organization) -> Person:
    """A seller with 10,000 Tomans in an organization that sells 1,000 to 50,000 of MCI and guards against slips."""
    give_credit(acme.row, acme.member.id, 15_000)
    acme.owner.client.patch("/operators/mci", {"least_amount": 1000, "most_amount": 50_000})
    acme.owner.client.patch("/settings", {"duplicate_window": 3600})
    assert acme.member.sell(5000, phone_number="09120000000").status == 201
    return acme.member


def validate(member: Person, amount: Any = 4000, phone_number: Any = "09121234567", **more: Any) -> Answer:
    with nothing_written():
        return member.client.post("/recharges/validate", {"phone_number": phone_number, "amount": amount, **more})


def test_it_says_all_there_is_to_say(member: Person) -> None:
    answer = validate(member, phone_number="۰۹۱۲ ۱۲۳ ۴۵۶۷")
    assert (answer.status, answer.json) == (
        200,
        {
            "phone_number": "+989121234567",
            "operator": "mci",
            "amount": 4000,
            "amount_is_sold": True,
            "balance": 10_000,
            "suffices": True,
            "possible_duplicate": False,
            "would_be_sold": True,
            "commission": 0,
            "refusal": None,
            "limit_exceeded": None,
        },
    )


@pytest.mark.parametrize(
    ("sale", "but"),
    table(
        ("the last Toman", {"amount": 10_000}, set()),
        ("short by one", {"amount": 10_001}, {"suffices"}),
        ("an amount that is not sold", {"amount": 999}, {"amount_is_sold"}),
        ("neither sold nor borne", {"amount": 50_001}, {"amount_is_sold", "suffices"}),
        ("sold of another operator", {"amount": 999, "operator": "irancell"}, set()),
        ("the same as a moment ago", {"amount": 5000, "phone_number": "09120000000"}, {"possible_duplicate"}),
        (
            "the same, and meant",
            {"amount": 5000, "phone_number": "09120000000", "allow_duplicate": True},
            {"possible_duplicate"},
        ),
    ),
)
def test_it_says_what_the_sale_does(member: Person, sale: dict[str, Any], but: set[str]) -> None:
    foretold = validate(member, **sale).json
    assert {
        name
        for name, good in (("amount_is_sold", True), ("suffices", True), ("possible_duplicate", False))
        if foretold[name] != good
    } == but
    sold = member.client.post("/recharges", {"phone_number": "09121234567", **sale}, key="k")
    assert foretold["would_be_sold"] == (sold.status == 201)


@pytest.mark.parametrize(("amount", "code"), AMOUNTS)
def test_it_refuses_the_amount_as_a_sale_does(acme: Organization, amount: str, code: str) -> None:
    body = f'{{"phone_number": "09121234567", "amount": {amount}}}'.encode()
    invalid(("amount", code)).check(acme.member.client.request("POST", "/recharges/validate", body=body))


@pytest.mark.parametrize(("phone_number", "code"), PHONES)
def test_it_refuses_the_phone_number_as_a_sale_does(acme: Organization, phone_number: object, code: str) -> None:
    invalid(("phone_number", code)).check(validate(acme.member, phone_number=phone_number))


@pytest.mark.parametrize(("body", "refusal"), BODIES)
def test_it_refuses_the_body_as_a_sale_does(acme: Organization, body: bytes, refusal: Refusal) -> None:
    refusal.check(acme.member.client.request("POST", "/recharges/validate", body=body))


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_it_refuses_another_content_type(acme: Organization, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    NOT_JSON.check(acme.member.client.request("POST", "/recharges/validate", body=b"{}", headers=headers))


@pytest.mark.parametrize(
    ("change", "fault"),
    table(
        ("no operator of that name", {"operator": "vodafone"}, ("operator", "invalid_choice")),
        ("a word for a flag", {"allow_duplicate": "yes"}, ("allow_duplicate", "invalid")),
        ("a key in the body", {"idempotency_key": "k"}, ("idempotency_key", "unknown_field")),
    ),
)
def test_it_refuses_what_a_sale_refuses(acme: Organization, change: dict[str, Any], fault: tuple[str, str]) -> None:
    invalid(fault).check(validate(acme.member, **change))
