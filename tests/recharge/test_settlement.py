"""What becomes of a recharge: the table of outcomes of ``recharge_settle``, and what each does to the balance."""

import uuid

import pytest
from django.db import connection
from django_tenants.utils import tenant_context

from recharge.models import Recharge
from recharge.queries import balance_of
from recharge.services import AlreadySettled, settle_recharge
from shared.errors import NotFound
from tenants.models import Organization
from tests.locks import sell_pending
from tests.world import World, give_credit, make_seller


@pytest.fixture
def acme_row() -> Organization:
    return Organization.objects.get(slug="acme")


def balance(row: Organization, seller_id: int) -> int:
    with tenant_context(row):
        return balance_of(seller_id).balance


P, U, S, F = "pending", "unknown", "succeeded", "failed"


@pytest.mark.parametrize(
    ("before", "status", "outcome", "balance_after"),
    [
        ([], S, "settled", 0),
        ([], F, "settled", 5000),
        ([], U, "settled", 0),
        ([U], S, "settled", 0),
        ([U], F, "settled", 5000),
        ([U], U, "replayed", 0),
        ([S], S, "replayed", 0),
        ([S], F, "already_settled", 0),
        ([S], U, "already_settled", 0),
        ([F], F, "replayed", 5000),
        ([F], S, "already_settled", 5000),
        ([F], U, "already_settled", 5000),
        ([U, F], S, "already_settled", 5000),
    ],
)
def test_it_settles_once(
    acme_row: Organization, before: list[str], status: str, outcome: str, balance_after: int
) -> None:
    seller_id = make_seller(acme_row, "seller", 5000).pk
    recharge_id = sell_pending(acme_row, seller_id, 5000)

    def settle(status: str) -> str:
        reason = "no such number" if status == F else ""
        try:
            written = settle_recharge(
                organization=acme_row, recharge_id=recharge_id, status=Recharge.Status(status), failure=reason
            )
        except AlreadySettled:
            return "already_settled"
        return "replayed" if written.is_replay else "settled"

    for earlier in before:
        assert settle(earlier) == "settled"
    assert settle(status) == outcome
    assert balance(acme_row, seller_id) == balance_after


def test_it_does_not_settle_what_is_not_there(acme_row: Organization) -> None:
    with pytest.raises(NotFound):
        settle_recharge(organization=acme_row, recharge_id=uuid.uuid4(), status=Recharge.Status.SUCCEEDED)


def test_what_is_pending_or_unknown_is_in_flight_and_a_refund_brings_it_back(world: World) -> None:
    row, member = world.acme.row, world.acme.member
    give_credit(row, member.id, 20_000)
    pending, unknown, failed = (sell_pending(row, member.id, amount) for amount in (1000, 2000, 4000))
    member.sell(500)
    settle_recharge(organization=row, recharge_id=unknown, status=Recharge.Status.UNKNOWN)
    settle_recharge(organization=row, recharge_id=failed, status=Recharge.Status.FAILED, failure="barred")

    balance = member.client.get("/balance").json
    assert (balance["balance"], balance["in_flight"], balance["last_entry"]) == (16_500, 3000, 6)
    assert member.client.get(f"/recharges/{pending}").json["completed_at"] is None
    shown = member.client.get(f"/recharges/{failed}").json
    assert (shown["status"], shown["failure"], shown["balance_after"]) == ("failed", "barred", 13_000)
    refund = member.client.get("/entries?kind=refund").json["results"]
    assert [(entry["amount"], entry["reference"]) for entry in refund] == [(4000, str(failed))]


def test_a_clock_that_was_set_back_stops_no_money(world: World) -> None:
    """What was sold or asked for "in the future" is settled and decided all the same."""
    row, member = world.acme.row, world.acme.member
    give_credit(row, member.id, 5000)
    recharge_id = sell_pending(row, member.id)
    request = member.client.post("/credit-requests", {"amount": 70}, key="k").json
    with world.acme.context, connection.cursor() as cursor:
        cursor.execute("UPDATE recharge_recharge SET created_at = now() + interval '1 hour'")
        cursor.execute(
            "UPDATE credit_creditrequest SET created_at = now() + interval '1 hour' WHERE status = 'pending'"
        )
    failed = settle_recharge(
        organization=row, recharge_id=recharge_id, status=Recharge.Status.FAILED, failure="barred"
    ).row
    assert failed.completed_at == failed.created_at
    approved = world.acme.owner.client.post(f"/credit-requests/{request['id']}/approve")
    assert approved.json["decided_at"] == approved.json["created_at"]
    assert member.balance() == 5070
