"""Numbers of small operators, and operators that an organization adds."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction

from recharge.operators import Operator, operator_of
from recharge.terms.services import add_operator
from shared.errors import InvalidRequest
from shared.phones import normalize_phone_number
from tenants.working_role import as_owner
from tests.support.client import Answer
from tests.support.sessions import somebody_waits
from tests.support.tables import nothing_written
from tests.support.visitor import Visitor
from tests.support.waiting import wait_until
from tests.support.world import Organization, give_credit

pytestmark = pytest.mark.usefixtures("way")

SHATEL = {"operator": "shatel", "name": "Shatel Mobile"}
NUMBER = "09981234567"


@pytest.fixture
def rich(acme: Organization) -> Organization:
    give_credit(acme.row, acme.member.id, 100_000)
    return acme


def sell(organization: Organization, number: str = NUMBER, *, key: str = "", **more: Any) -> Answer:
    body = {"phone_number": number, "amount": 5000, **more}
    return organization.member.client.post("/recharges", body, key=key or uuid.uuid4().hex)


@pytest.mark.parametrize(
    "block", ["09981", "09984", "09985", "09990", "09991", "09994", "09998", "09999", "0940", "0970"]
)
def test_a_number_of_a_shared_or_unknown_block_is_sold_once_its_operator_is_named(
    rich: Organization, block: str
) -> None:
    number = block.ljust(11, "1")
    with nothing_written():
        refused = sell(rich, number)
    assert (refused.status, [error["code"] for error in refused.json["errors"]]) == (400, ["unknown_operator"])
    sold = sell(rich, number, operator="rightel")
    assert (sold.status, sold.json["operator"], sold.json["phone_number"]) == (201, "rightel", "+98" + number[1:])


def test_every_mobile_shape_is_a_number_however_it_is_written() -> None:
    for block in range(900, 1000):
        for prefix in ("0", "+98", "0098", "98", ""):
            assert normalize_phone_number(f"{prefix}{block}1234567") == f"+98{block}1234567"


def test_the_operator_of_a_shared_block_is_not_known() -> None:
    for block in range(99800, 100_000):
        assert operator_of(f"+98{block}12345") is None


def test_an_added_operator_is_sold_and_listed_and_found(rich: Organization) -> None:
    assert sell(rich, operator="shatel").status == 400
    added = rich.owner.client.post("/operators", SHATEL)
    assert (added.status, added.json["operator"], added.json["name"]) == (201, "shatel", "Shatel Mobile")
    assert added.json in rich.owner.client.get("/operators").json["results"]
    sold = sell(rich, operator="shatel", key="k")
    assert (sold.status, sold.json["operator"]) == (201, "shatel")
    items = [{"idempotency_key": "b", "phone_number": NUMBER, "amount": 5000, "operator": "shatel"}]
    assert rich.member.client.post("/recharges/bulk", {"items": items}).json["created"] == 1
    assert len(rich.owner.client.get("/recharges?operator=shatel").json["results"]) == 2
    changed = rich.owner.client.patch("/operators/shatel", {"name": "Shatel", "amounts": [1000]})
    assert (changed.status, changed.json["name"], changed.json["amounts"]) == (200, "Shatel", [1000])
    assert sell(rich, operator="shatel").code == "amount_not_sold"
    assert sell(rich, operator="shatel", key="k").status == 200


def test_the_filter_of_a_list_has_its_own_organizations_operators(acme: Organization, globex: Organization) -> None:
    """What is cached of a page for all organizations must be the same for all; each process has a cache of its own."""
    name, others = f"Own {uuid.uuid4().hex}", f"Others {uuid.uuid4().hex}"
    assert acme.owner.client.post("/operators", {"operator": "own", "name": name}).status == 201
    assert globex.owner.client.post("/operators", {"operator": "own", "name": others}).status == 201
    for organization, shown, hidden in ((acme, name, others), (globex, others, name)):
        for person in (organization.owner, organization.member):
            visitor = Visitor.signed_in(person)
            for _ in range(5):
                page = visitor.get("/recharges").body.decode()
                assert shown in page
                assert hidden not in page


def test_an_operator_of_another_organization_is_none(rich: Organization, world: Any) -> None:
    assert world.globex.owner.client.post("/operators", SHATEL).status == 201
    with nothing_written():
        refused = sell(rich, operator="shatel")
    assert (refused.status, refused.code) == (400, "invalid_request")
    assert refused.json["errors"][0]["field"] == "operator"
    assert rich.owner.client.get("/operators/shatel").status == 404
    assert rich.owner.client.get("/recharges?operator=shatel").status == 400


@pytest.mark.parametrize("operator", ["shatel", *Operator.values])
def test_an_operator_is_added_once(acme: Organization, operator: str) -> None:
    acme.owner.client.post("/operators", SHATEL)
    again = acme.owner.client.post("/operators", SHATEL | {"operator": operator})
    assert (again.status, again.code) == (409, "operator_exists")


TAKEN = (
    "mci",
    "MCI",
    "hamrah-e aval (mci)",
    "همراه اول",
    "همراه‌اول",
    "همراه اول",
    "تله‌کيش",
    "TeleKish",
    "lorem",
    "Ipsum ٧",
    "ipsum 7",
)


@pytest.mark.parametrize("name", TAKEN)
def test_an_operator_takes_no_others_name(acme: Organization, name: str) -> None:
    client = acme.owner.client
    assert client.post("/operators", {"operator": "lorem", "name": "Ipsum 7"}).status == 201
    assert client.post("/operators", SHATEL).status == 201
    with nothing_written():
        added = client.post("/operators", {"operator": "another", "name": name})
        renamed = client.patch("/operators/shatel", {"name": name})
    for refused in (added, renamed):
        error = {"field": "name", "code": "operator_name_taken", "detail": "There is an operator of this name already."}
        assert (refused.status, refused.json["errors"]) == (400, [error])


def test_an_operators_own_name_and_code_are_not_anothers(acme: Organization) -> None:
    acme.owner.client.post("/operators", SHATEL)
    for name in ("Shatel", "SHATEL MOBILE", "shatel"):
        assert acme.owner.client.patch("/operators/shatel", {"name": name}).json["name"] == name


def test_a_code_that_is_anothers_name_is_refused(acme: Organization) -> None:
    acme.owner.client.post("/operators", {"operator": "other", "name": "Shatel"})
    refused = acme.owner.client.post("/operators", SHATEL)
    assert (refused.status, refused.code) == (409, "operator_exists")


@pytest.mark.parametrize("code", ["", "Shatel", "1shatel", "sha tel", "شاتل", "a" * 21, "sha-tel", 7, None])
def test_a_code_of_another_shape_is_refused(acme: Organization, code: Any) -> None:
    assert acme.owner.client.post("/operators", SHATEL | {"operator": code}).status == 400
    assert len(acme.owner.client.get("/operators").json["results"]) == len(Operator)


def test_a_seller_adds_no_operator(acme: Organization) -> None:
    assert acme.member.client.post("/operators", SHATEL).status == 403


def test_a_built_in_operator_keeps_its_name(acme: Organization) -> None:
    assert acme.owner.client.patch("/operators/mci", {"name": "MCI"}).status == 400


def test_of_two_admins_who_give_one_name_at_once_the_second_is_refused(acme: Organization) -> None:
    def add(code: str) -> None:
        with acme.context:
            add_operator(organization=acme.row, by="owner", operator=code, name="Shatel Mobile")

    with ThreadPoolExecutor(1) as threads:
        with as_owner(), acme.context, transaction.atomic():  # past a pooler, where the second waits
            add_operator(organization=acme.row, by="owner", operator="first", name="شاتل")
            add_operator(organization=acme.row, by="owner", operator="other", name="Shatel mobile")
            second = threads.submit(in_own_connection, add, "second")
            wait_until(lambda: second.done() or somebody_waits("advisory"), "the second has asked for its turn")
            assert not second.done()
        with pytest.raises(InvalidRequest):
            second.result(30)


def in_own_connection(function: Callable[..., None], *arguments: Any) -> None:
    """In a thread, whose connection nobody else closes."""
    try:
        function(*arguments)
    finally:
        connection.close()
