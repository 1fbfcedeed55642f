"""Who sends again what was done learns that it was done, whatever was switched off, limited or suspended since."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import psycopg2
import pytest
from django_tenants.utils import tenant_context

from credit.services import approve_credit_request, create_credit_request, reject_credit_request, update_seller
from recharge.delivery.settlement import resolve_recharge
from recharge.models import Recharge
from recharge.selling.sale import Item
from recharge.selling.services import sell_recharge
from tenants import models
from tenants.services import provision_organization
from tests.support.bad_input import table
from tests.support.client import Answer
from tests.support.locks import advisory_locks, holding_lock, sell_through_sandbox
from tests.support.server import Server
from tests.support.tables import nothing_written
from tests.support.waiting import wait_until
from tests.support.world import PASSWORD, Organization, Person, database_url, give_credit, make_organization

pytestmark = pytest.mark.usefixtures("way")

NUMBER = "09121234567"
SALE = {"phone_number": NUMBER, "amount": 5000}
REQUEST = {"amount": 7000, "note": "paid"}


def item(key: str, amount: int = 5000) -> dict[str, Any]:
    return {"idempotency_key": key, "phone_number": NUMBER, "amount": amount}


def bulk(seller: Person, *items: Any, **more: Any) -> Answer:
    return seller.client.post("/recharges/bulk", {"items": list(items), **more})


def outcomes(answer: Answer) -> list[str]:
    return [result.get("problem", {}).get("code", result["outcome"]) for result in answer.json["results"]]


@pytest.fixture
def seller(acme: Organization) -> Person:
    """A seller of 100,000 Tomans who has sold with the key ``sold`` and asked for credit with the key ``asked``."""
    give_credit(acme.row, acme.member.id, 100_000)
    assert acme.member.client.post("/recharges", SALE, key="sold").status == 201
    assert acme.member.client.post("/credit-requests", REQUEST, key="asked").status == 201
    return acme.member


# --- Whatever was changed since ---------------------------------------------------------------------------------------


def switch_off(acme: Organization) -> None:
    assert acme.owner.client.patch(f"/sellers/{acme.member.id}", {"is_active": False}).status == 200


def sell_other_amounts(acme: Organization) -> None:
    assert acme.owner.client.patch("/operators/mci", {"amounts": [10_000]}).status == 200


def guard_against_slips(acme: Organization) -> None:
    assert acme.owner.client.patch("/settings", {"duplicate_window": 600}).status == 200


def spend_all(acme: Organization) -> None:
    left = acme.member.balance()
    assert acme.member.sell(left, phone_number="09127654321").status == 201


def deliver_through_another_gateway(acme: Organization) -> None:
    sell_through_sandbox(acme.row, "mci")


def take_the_gateway_away(acme: Organization) -> None:
    deliver_through_another_gateway(acme)
    assert acme.owner.client.patch("/operators/mci", {"gateway": "instant"}).status == 200
    assert acme.owner.client.request("DELETE", "/gateways/sandbox").status == 204


CHANGES = [
    switch_off,
    sell_other_amounts,
    guard_against_slips,
    spend_all,
    deliver_through_another_gateway,
    take_the_gateway_away,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_sale_that_was_made_is_answered_as_it_was_made(
    acme: Organization, seller: Person, change: Callable[[Organization], None]
) -> None:
    first = seller.client.post("/recharges", SALE, key="sold")
    change(acme)
    with nothing_written():
        again = seller.client.post("/recharges", SALE, key="sold")
        in_bulk = bulk(seller, item("sold"))
        at_once = bulk(seller, item("sold"), item("sold"), atomic=True)
        other = seller.client.post("/recharges", SALE | {"amount": 5001}, key="sold")
    assert (again.status, again.headers.get("Idempotent-Replayed"), again.json) == (200, "true", first.json)
    assert (in_bulk.status, outcomes(in_bulk)) == (200, ["replayed"])
    assert in_bulk.json["results"][0]["recharge"] == first.json
    assert in_bulk.json["balance"] == seller.balance()
    assert (at_once.status, outcomes(at_once)) == (200, ["replayed"] * 2)
    assert (other.status, other.code) == (422, "idempotency_key_reused")


def test_a_credit_request_is_answered_as_it_was_made_though_its_seller_is_switched_off(
    acme: Organization, seller: Person
) -> None:
    first = seller.client.post("/credit-requests", REQUEST, key="asked")
    switch_off(acme)
    with nothing_written():
        again = seller.client.post("/credit-requests", REQUEST, key="asked")
        other = seller.client.post("/credit-requests", REQUEST | {"note": ""}, key="asked")
        new = seller.client.post("/credit-requests", REQUEST, key="new")
    assert (again.status, again.headers.get("Idempotent-Replayed"), again.json) == (200, "true", first.json)
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    assert (new.status, new.code) == (403, "seller_inactive")


@pytest.mark.parametrize(
    ("items", "atomic", "status", "expected"),
    table(
        ("what was sold, and what was not", ["sold", "new"], False, 200, ["replayed", "seller_inactive"]),
        ("a new key twice", ["new", "sold", "new"], False, 200, ["seller_inactive", "replayed", "seller_inactive"]),
        ("what can't be read beside it", ["sold", 5], False, 200, ["replayed", "invalid_request"]),
        ("all or none, and one is new", ["sold", "new"], True, 400, ["replayed", "seller_inactive"]),
        ("nothing that was sold", ["new"], False, 403, None),
        ("a key that was used for something else", [item("sold", 1)], False, 403, None),
    ),
)
def test_a_bulk_call_of_a_seller_who_is_switched_off_answers_for_what_was_sold(
    acme: Organization, seller: Person, items: list[Any], atomic: bool, status: int, expected: list[str] | None
) -> None:
    switch_off(acme)
    with nothing_written():
        answer = bulk(seller, *[item(one) if isinstance(one, str) else one for one in items], atomic=atomic)
    assert answer.status == status
    if expected is None:
        assert answer.code == "seller_inactive"
    else:
        assert outcomes(answer) == expected


def test_a_replay_waits_for_the_sale_and_the_switch_off_that_came_before_it(acme: Organization) -> None:
    """The first request is on its way when the seller is switched off, and its answer is lost."""
    member = acme.member
    give_credit(acme.row, member.id, 10_000)
    with ThreadPoolExecutor(2) as pool, psycopg2.connect(database_url()) as sale, sale.cursor() as cursor:
        cursor.execute(
            "SELECT outcome FROM org_acme.recharge_sell(%s, %s, 'k', '+989121234567', 'mci', 5000, false)",
            [acme.row.pk, member.id],
        )
        off = pool.submit(acme.owner.client.patch, f"/sellers/{member.id}", {"is_active": False})
        waiting = (acme.row.pk, member.id, False)
        wait_until(lambda: waiting in advisory_locks(), "the switch-off waits for the sale")
        again = pool.submit(member.sell, 5000, key="k")
        sale.commit()
        assert off.result(10).status == 200
        assert again.result(10).status == 200
    sale.close()
    assert member.sell(5000, key="k").headers["Idempotent-Replayed"] == "true"
    assert member.balance() == 5000


# --- A suspended organization -----------------------------------------------------------------------------------------


@pytest.fixture
def suspended(server: Server) -> Iterator[Organization]:
    """An organization that was suspended after its member sold (key ``sold``) and asked for credit (key ``asked``).

    What it did, it did in this process, and its name is its own: the server remembers nothing else of it.
    """
    slug = f"closing-{uuid.uuid4().hex[:8]}"
    row = provision_organization(slug=slug, name="Closing", admin_username="first", admin_password=PASSWORD)
    organization = make_organization(slug, server.address)
    member = organization.member
    give_credit(row, member.id, 100_000)
    with tenant_context(row):
        sell_recharge(
            organization=row,
            seller_id=member.id,
            item=Item("+989121234567", "mci", 5000, "sold"),
        )
        create_credit_request(organization=row, seller_id=member.id, idempotency_key="asked", **REQUEST)
    models.Organization.objects.filter(pk=row.pk).update(status="suspended")
    yield organization
    models.Organization.objects.filter(pk=row.pk).update(status="active")  # so that its books are proved


def test_what_was_sold_before_an_organization_was_suspended_is_answered(suspended: Organization) -> None:
    seller = suspended.member
    with nothing_written():
        for _ in range(3):  # the first through REST framework's view, the others with a token that is remembered
            again = seller.client.post("/recharges", SALE, key="sold")
            assert (again.status, again.headers.get("Idempotent-Replayed")) == (200, "true")
            assert (again.json["amount"], again.json["balance_after"]) == (5000, 95_000)
        other = seller.client.post("/recharges", SALE | {"amount": 1}, key="sold")
        in_bulk = bulk(seller, item("sold"), item("new"), item("sold", 1), 5)
        at_once = bulk(seller, item("sold"), item("sold"), atomic=True)
        asked = seller.client.post("/credit-requests", REQUEST, key="asked")
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    assert (in_bulk.status, in_bulk.json["balance"]) == (200, 95_000)
    assert outcomes(in_bulk) == ["replayed", "organization_suspended", "idempotency_key_reused", "invalid_request"]
    assert in_bulk.json["results"][0]["recharge"] == again.json
    assert (at_once.status, outcomes(at_once)) == (200, ["replayed"] * 2)
    assert (asked.status, asked.headers.get("Idempotent-Replayed"), asked.json["note"]) == (200, "true", "paid")


def test_nothing_else_is_answered_by_a_suspended_organization(suspended: Organization) -> None:
    seller, neighbour = suspended.member.client, suspended.neighbour.client
    calls: dict[str, Callable[[], Answer]] = {
        "a new sale": partial(seller.post, "/recharges", SALE, key="new"),
        "another seller's key": partial(neighbour.post, "/recharges", SALE, key="sold"),
        "a sale with a fault": partial(seller.post, "/recharges", {"amount": 0}, key="sold"),
        "a sale without a key": partial(seller.post, "/recharges", SALE),
        "a sale without a token": partial(suspended.anyone.post, "/recharges", SALE, key="sold"),
        "a sale by an admin": partial(suspended.owner.client.post, "/recharges", SALE, key="sold"),
        "a new bulk call": partial(bulk, suspended.member, item("new")),
        "a bulk call with a fault": partial(bulk, suspended.member),
        "some of a bulk call of all or none": partial(bulk, suspended.member, item("sold"), item("new"), atomic=True),
        "a part that can't be read": partial(bulk, suspended.member, item("sold"), 5, atomic=True),
        "a new credit request": partial(seller.post, "/credit-requests", REQUEST, key="new"),
        "the list": partial(seller.get, "/recharges"),
        "the balance": partial(seller.get, "/balance"),
        "a look ahead": partial(seller.post, "/recharges/validate", SALE),
        "an address of nothing": partial(seller.post, "/nothing", {}),
        "an approval": partial(suspended.owner.client.post, f"/credit-requests/{uuid.uuid4()}/approve"),
    }
    with nothing_written():
        answers = {name: call() for name, call in calls.items()}
    assert {name: (answer.status, answer.code) for name, answer in answers.items()} == dict.fromkeys(
        calls, (403, "organization_suspended")
    )


def test_a_replay_to_a_suspended_organization_waits_for_a_sale_that_was_let_in_before(suspended: Organization) -> None:
    row, seller = suspended.row, suspended.member
    with ThreadPoolExecutor(1) as pool, psycopg2.connect(database_url()) as sale, sale.cursor() as cursor:
        cursor.execute(
            f"SELECT outcome FROM {row.schema_name}.recharge_sell(%s, %s, 'k', '+989121234567', 'mci', 5000, true)",
            [row.pk, seller.id],
        )
        again = pool.submit(seller.sell, 5000, key="k")
        wait_until(lambda: (row.pk, seller.id, False) in advisory_locks(), "the replay waits for the sale")
        sale.commit()
        answer = again.result(10)
    sale.close()
    assert (answer.status, answer.headers.get("Idempotent-Replayed")) == (200, "true")


def test_a_suspended_organizations_seller_who_is_busy_is_told_to_try_again(suspended: Organization) -> None:
    """403 would say that nothing was sold, and that isn't known."""
    with holding_lock(suspended.row, suspended.member.id):
        answer = suspended.member.sell(5000, key="sold")
    assert (answer.status, answer.code) == (503, "seller_busy")


def test_what_admins_decided_before_the_suspension_is_answered_and_nothing_is_decided(suspended: Organization) -> None:
    row, owner = suspended.row, suspended.owner.client
    active = row  # as it was read before
    with tenant_context(active):
        approved, rejected, waiting = (
            create_credit_request(
                organization=active,
                seller_id=suspended.member.id,
                idempotency_key=key,
                amount=1000,
                note="",
            ).row.pk
            for key in ("to approve", "to reject", "to leave")
        )
        by: dict[str, Any] = {"decided_by": "owner", "decided_by_id": 1}
        approve_credit_request(organization=active, request_id=approved, **by)
        reject_credit_request(organization=active, request_id=rejected, reason="no", **by)
        recharge = Recharge.objects.get(idempotency_key="sold").pk
        resolve_recharge(
            organization=active, recharge_id=recharge, status=Recharge.Status.FAILED, reason="barred", by="owner"
        )
    no = {"reason": "no"}
    with nothing_written():
        answers = [
            owner.post(f"/credit-requests/{approved}/approve"),
            owner.post(f"/credit-requests/{rejected}/reject", no),
            owner.post(f"/recharges/{recharge}/resolve", {"status": "failed", "reason": "barred"}),
        ]
        refused = [
            owner.post(f"/credit-requests/{approved}/reject", no),
            owner.post(f"/credit-requests/{rejected}/approve"),
            owner.post(f"/credit-requests/{waiting}/approve"),
            owner.post(f"/recharges/{recharge}/resolve", {"status": "succeeded", "reason": "it was"}),
            owner.post(f"/recharges/{uuid.uuid4()}/resolve", {"status": "succeeded", "reason": "it was"}),
        ]
    assert [(answer.status, answer.headers.get("Idempotent-Replayed")) for answer in answers] == [(200, "true")] * 3
    assert {answer.code for answer in refused} == {"organization_suspended"}


def test_deciding_again_is_answered_though_the_seller_was_switched_off(acme: Organization, seller: Person) -> None:
    asked = seller.client.get("/credit-requests").json["results"][0]["id"]
    path = f"/credit-requests/{asked}/approve"
    assert acme.owner.client.post(path).status == 200
    with tenant_context(acme.row):
        update_seller(organization=acme.row, seller_id=seller.id, is_active=False)
    again = acme.owner.client.post(path)
    assert (again.status, again.headers.get("Idempotent-Replayed")) == (200, "true")
