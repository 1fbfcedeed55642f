"""``/operators``: what an organization sells of each, and through which gateway."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db import transaction
from django.utils import translation
from phonenumbers.carrierdata import CARRIER_DATA

from recharge import operators
from recharge.models import OperatorSettings
from recharge.operators import BUILT_IN_NAMES, Operator, folded_name
from recharge.pages import words
from tests.support.bad_input import AMOUNTS, invalid, table
from tests.support.client import Answer
from tests.support.crowd import together
from tests.support.sessions import somebody_waits
from tests.support.tables import nothing_written
from tests.support.waiting import wait_until
from tests.support.world import Organization, give_credit

LARGEST = 1_000_000_000_000
DEFAULTS = {"commission": None, "amounts": None, "least_amount": 1, "most_amount": LARGEST}


def change(organization: Organization, body: Any, operator: str = "mci") -> Answer:
    return organization.owner.client.patch(f"/operators/{operator}", body)


@pytest.fixture
def sandbox(acme: Organization) -> str:
    assert acme.owner.client.post("/gateways", {"name": "sandbox", "kind": "simulator"}).status == 201
    return "sandbox"


def test_all_operators_are_there_before_anything_is_settled(acme: Organization) -> None:
    operators = acme.owner.client.get("/operators").json["results"]
    assert {row["operator"]: row["name"] for row in operators} == {
        "mci": "Hamrah-e Aval (MCI)",
        "irancell": "Irancell (MTN)",
        "rightel": "RighTel",
        "aptel": "ApTel",
        "espadan": "Espadan (MTCE)",
        "telekish": "TeleKish",
    }
    for row in operators:
        assert (
            row == {"operator": row["operator"], "name": row["name"], "gateway": "instant", "is_sold": True} | DEFAULTS
        )


@pytest.mark.parametrize("operator", Operator, ids=str)
def test_a_row_is_all_that_is_said_of_an_operator(acme: Organization, operator: Operator) -> None:
    assert acme.owner.client.get(f"/operators/{operator.value}").json["name"] == operator.label
    for language, name in (("en", operator.label), ("fa", operator.persian)):
        with translation.override(language), acme.context:
            assert words.operator_name(operator.value) == name
            assert (operator.value, name) in words.operators_to_choose_from()
            assert (operator.value, name) in words.operators_to_sell()[0]
        assert BUILT_IN_NAMES[folded_name(str(name))] == operator.value
    assert re.match(operators.OPERATOR_CODE, operator.value)


def test_the_decision_of_a_sale_lists_the_same_operators() -> None:
    # In SQL, since it is decided there with the organization's own.
    sql = (Path(apps.get_app_config("recharge").path) / "sql" / "recharges.sql").read_text()
    (listed,) = re.findall(r"NOT IN \(([^)]*'mci'[^)]*)\)", sql)
    assert [code.strip("' ") for code in listed.split(",")] == Operator.values


def test_the_data_of_numbers_know_the_carriers() -> None:
    iranian = {prefix: names["en"] for prefix, names in CARRIER_DATA.items() if prefix.startswith("98")}
    assert {operator.carrier for operator in Operator} - {""} == set(iranian.values())
    assert max(map(len, iranian)) < operators._PREFIX  # which has a "+" in it


def test_a_seller_sees_the_amounts_and_not_the_gateway(acme: Organization, sandbox: str) -> None:
    changed = change(acme, {"gateway": sandbox, "amounts": [20_000, 10_000]}).json
    seen = acme.member.client.get("/operators/mci").json
    assert seen == {name: value for name, value in changed.items() if name != "gateway"}
    listed = acme.member.client.get("/operators").json["results"]
    assert seen in listed
    assert all("gateway" not in row for row in listed)
    assert acme.owner.client.get("/operators/mci").json == changed


@pytest.mark.parametrize(
    ("bodies", "shown"),
    table(
        ("a list, sorted", [{"amounts": [30, 10, 20]}], ([10, 20, 30], 10, 30)),
        ("a list of one", [{"amounts": [LARGEST]}], ([LARGEST], LARGEST, LARGEST)),
        ("a list of 100", [{"amounts": list(range(100, 0, -1))}], (list(range(1, 101)), 1, 100)),
        ("a range", [{"least_amount": 1000, "most_amount": 5000}], (None, 1000, 5000)),
        ("a range of one", [{"least_amount": 1000, "most_amount": 1000}], (None, 1000, 1000)),
        ("the widest", [{"least_amount": 1, "most_amount": LARGEST}], (None, 1, LARGEST)),
        ("one end of it", [{"least_amount": 1000}], (None, 1000, LARGEST)),
        ("its ends one by one", [{"least_amount": 1000}, {"most_amount": 5000}], (None, 1000, 5000)),
        ("both moved beyond", [{"most_amount": 9}, {"least_amount": 50, "most_amount": 60}], (None, 50, 60)),
        ("a list for a range", [{"least_amount": 1000, "most_amount": 5000}, {"amounts": [7]}], ([7], 7, 7)),
        ("a range for a list", [{"amounts": [7]}, {"most_amount": 5000}], (None, 1, 5000)),
        ("the list dropped", [{"amounts": [7]}, {"amounts": None}], (None, 1, LARGEST)),
        ("it for a range", [{"amounts": [7]}, {"amounts": None, "least_amount": 8}], (None, 8, LARGEST)),
        ("no list to drop", [{"most_amount": 5000}, {"amounts": None}], (None, 1, 5000)),
        ("nothing", [{"amounts": [7]}, {}], ([7], 7, 7)),
        ("only the gateway", [{"amounts": [7]}, {"gateway": None}], ([7], 7, 7)),
    ),
)
def test_a_list_or_a_range_of_amounts(acme: Organization, bodies: list[dict[str, Any]], shown: tuple[Any, ...]) -> None:
    for body in bodies:
        answer = change(acme, body)
        assert answer.status == 200, answer.json
    assert (answer.json["amounts"], answer.json["least_amount"], answer.json["most_amount"]) == shown
    others = [row for row in acme.owner.client.get("/operators").json["results"] if row["operator"] != "mci"]
    assert all(row.items() >= DEFAULTS.items() for row in others)


@pytest.mark.parametrize(
    ("body", "fault"),
    table(
        ("a list and a range", {"amounts": [7], "least_amount": 1}, ("amounts", "amounts_and_range")),
        ("a list and an end", {"amounts": [7], "most_amount": 9}, ("amounts", "amounts_and_range")),
        ("an empty list", {"amounts": []}, ("amounts", "empty")),
        ("101 amounts", {"amounts": list(range(1, 102))}, ("amounts", "max_length")),
        ("an amount twice", {"amounts": [7, 8, 7]}, ("amounts", "repeated")),
        ("no list", {"amounts": 7}, ("amounts", "not_a_list")),
        ("text", {"amounts": "7"}, ("amounts", "not_a_list")),
        ("an object", {"amounts": {"0": 7}}, ("amounts", "not_a_list")),
        ("a range upside down", {"least_amount": 9, "most_amount": 8}, ("least_amount", "least_above_most")),
        ("a least above the most there is", {"least_amount": 5001}, ("least_amount", "least_above_most")),
        ("a most below the least there is", {"most_amount": 999}, ("most_amount", "least_above_most")),
        ("a gateway that is not there", {"gateway": "nowhere"}, ("gateway", "unknown_gateway")),
        ("an empty name", {"gateway": ""}, ("gateway", "blank")),
        ("a number", {"gateway": 5}, ("gateway", "invalid")),
        ("a name of 51 characters", {"gateway": "g" * 51}, ("gateway", "max_length")),
        ("another operator", {"operator": "irancell"}, ("operator", "unknown_field")),
    ),
)
def test_it_refuses_a_change(acme: Organization, body: dict[str, Any], fault: tuple[str, str]) -> None:
    change(acme, {"least_amount": 1000, "most_amount": 5000})
    with nothing_written():
        invalid(fault).check(change(acme, body))


@pytest.mark.parametrize(("amount", "code"), AMOUNTS)
@pytest.mark.parametrize("field", ["least_amount", "most_amount", "amounts"])
def test_it_refuses_an_amount(acme: Organization, field: str, amount: str, code: str) -> None:
    listed = field == "amounts"
    body = f'{{"{field}": {f"[7, {amount}]" if listed else amount}}}'.encode()
    with nothing_written():
        answer = acme.owner.client.request("PATCH", "/operators/mci", body=body)
    invalid(("amounts.1" if listed else field, code)).check(answer)


@pytest.mark.parametrize("operator", ["MCI", "vodafone", "mci%00", "%D8%A8", "x" * 3000])
def test_an_operator_that_is_not_there_is_404(acme: Organization, operator: str) -> None:
    for answer in (acme.member.client.get(f"/operators/{operator}"), change(acme, {"amounts": 7}, operator)):
        assert (answer.status, answer.code) == (404, "not_found")


def test_the_list_has_no_filters(acme: Organization) -> None:
    invalid(("operator", "unknown_parameter")).check(acme.member.client.get("/operators?operator=mci"))


def test_what_is_sold_goes_through_the_gateway_from_the_next_sale_on(acme: Organization, sandbox: str) -> None:
    give_credit(acme.row, acme.member.id, 100_000)
    before = acme.member.sell().json
    assert change(acme, {"gateway": sandbox}).json["gateway"] == sandbox
    after = acme.member.sell().json
    other = acme.member.sell(phone_number="09351234567").json
    for back in (None, "instant"):
        change(acme, {"gateway": sandbox})
        assert change(acme, {"gateway": back}).json["gateway"] == "instant"
    again = acme.member.sell().json
    assert after["status"] == "pending"
    assert {sold["status"] for sold in (before, other, again)} == {"succeeded"}
    assert acme.owner.client.get(f"/recharges/{after['id']}").json["gateway"] == sandbox


def test_of_changes_at_once_each_is_made(acme: Organization) -> None:
    change(acme, {"gateway": None})
    with ThreadPoolExecutor(1) as pool:
        with acme.context, transaction.atomic():
            OperatorSettings.objects.filter(operator="mci").update(least_amount=1000)
            other = pool.submit(change, acme, {"most_amount": 5000})
            wait_until(lambda: somebody_waits("transactionid"), "the other change waits for this one")
        assert other.result(10).json["least_amount"] == 1000
    shown = acme.owner.client.get("/operators/mci").json
    assert (shown["least_amount"], shown["most_amount"]) == (1000, 5000)


def test_the_first_changes_of_an_operator_at_once_are_made(acme: Organization) -> None:
    bodies = [{"least_amount": 1000}, {"most_amount": 5000}] * 4
    answers = together([lambda body=body: change(acme, body) for body in bodies])
    assert {answer.status for answer in answers} == {200}
    shown = acme.owner.client.get("/operators/mci").json
    assert (shown["least_amount"], shown["most_amount"]) == (1000, 5000)


def test_a_gateway_is_given_or_deleted_whichever_comes_first(acme: Organization) -> None:
    for number in range(5):
        name = f"g{number}"
        acme.owner.client.post("/gateways", {"name": name, "kind": "simulator"})
        given, deleted = together(
            [
                lambda name=name: change(acme, {"gateway": name}),
                lambda name=name: acme.owner.client.request("DELETE", f"/gateways/{name}"),
            ]
        )
        outcome = (given.status, deleted.status)
        assert outcome in ((200, 409), (400, 204)), (given.json, deleted.json)
