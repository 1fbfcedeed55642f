"""What a seller owes is collected first when something comes, and whoever looks is told of it."""

import uuid
from functools import partial

import pytest
from django.db import connection

from credit.models import Entry, WebhookMessage
from credit.webhooks.services import create_webhook
from recharge.delivery.settlement import settle_recharge
from recharge.models import Recharge
from recharge.selling.queries import balance_of
from tests.support.crowd import in_threads
from tests.support.dealers import set_rate
from tests.support.locks import sell_pending
from tests.support.visitor import Visitor
from tests.support.visitor import shown as words_on
from tests.support.world import Organization, Person, ask, give_credit, place

FAILED, SUCCEEDED = Recharge.Status.FAILED, Recharge.Status.SUCCEEDED


def settle(organization: Organization, recharge_id: uuid.UUID, status: Recharge.Status) -> None:
    failure = "no such number" if status == FAILED else ""
    with organization.context:
        settle_recharge(organization=organization.row, recharge_id=recharge_id, status=status, failure=failure)


def owe(organization: Organization, seller: Person, *amounts: int) -> list[uuid.UUID]:
    """Has the seller, who has nothing, owe so many Tomans each: the recharges, the oldest first."""
    give_credit(organization.row, seller.id, sum(amounts))
    owed = [sell_pending(organization.row, seller.id, amount) for amount in amounts]
    for one in owed:
        settle(organization, one, FAILED)
    sell_pending(organization.row, seller.id, seller.balance())
    for one in owed:
        settle(organization, one, SUCCEEDED)
    return owed


def late(organization: Organization, *recharges: uuid.UUID) -> list[str]:
    with organization.context:
        found = dict(Recharge.objects.filter(pk__in=recharges).values_list("pk", "late"))
    return [found[one] for one in recharges]


def last_entries(organization: Organization, seller: Person, count: int) -> list[tuple[str, int, int]]:
    with organization.context:
        entries = Entry.objects.filter(seller=seller.id).order_by("-number")[:count]
        return [(entry.kind, entry.amount, entry.balance_after) for entry in entries][::-1]


def test_it_is_collected_from_credit_the_oldest_first_and_whole(acme: Organization) -> None:
    member = acme.member
    first, second, third = owe(acme, member, 3000, 5000, 1000)
    assert acme.owner.client.post(f"/credit-requests/{ask(member, 2999)}/approve").status == 200
    assert (late(acme, first, second, third), member.balance()) == (["owed"] * 3, 2999)
    assert acme.owner.client.post(f"/credit-requests/{ask(member, 2000)}/approve").status == 200
    # What is left bears the third, but the second comes before it.
    assert (late(acme, first, second, third), member.balance()) == (["charged", "owed", "owed"], 1999)
    assert last_entries(acme, member, 2) == [("credit", 2000, 4999), ("late_charge", -3000, 1999)]
    correction = {"seller_id": member.id, "amount": 4001, "reason": "Counted anew."}
    assert acme.owner.client.post("/adjustments", correction, key="k").status == 201
    assert (late(acme, second, third), member.balance()) == (["charged", "charged"], 0)
    assert [kind for kind, _, _ in last_entries(acme, member, 3)] == ["adjustment", "late_charge", "late_charge"]
    for one in (first, second, third):  # told again, it changes nothing
        settle(acme, one, SUCCEEDED)
    assert member.balance() == 0
    settle(acme, second, FAILED)
    assert (late(acme, second), member.balance()) == (["reversed"], 5000)


def test_a_webhook_is_told_of_what_was_collected(acme: Organization) -> None:
    with acme.context:
        for seller_id in (acme.member.id, acme.neighbour.id):
            create_webhook(
                organization=acme.row,
                seller_id=seller_id,
                url="https://hooks.example.com/x",
                events=["recharge.charged"],
            )
    first, second = owe(acme, acme.member, 3000, 5000)
    with acme.context:
        assert not WebhookMessage.objects.exists()
    assert acme.owner.client.post(f"/credit-requests/{ask(acme.member, 4000)}/approve").status == 200
    assert late(acme, first, second) == ["charged", "owed"]
    with acme.context:
        (message,) = WebhookMessage.objects.all()
        assert (message.endpoint.seller_id, message.event) == (acme.member.id, "recharge.charged")
    shown = acme.member.client.get(f"/recharges/{first}").json
    assert shown["late"] == "charged"
    assert message.data == shown


def test_a_webhook_is_told_of_what_an_operator_had_charged(acme: Organization) -> None:
    """What comes goes to the oldest first, and waits for it; a success that is told again charges its own recharge."""
    with acme.context:
        create_webhook(
            organization=acme.row, seller_id=None, url="https://hooks.example.com/x", events=["recharge.charged"]
        )
    first, second = owe(acme, acme.member, 5000, 3000)
    assert acme.owner.client.post(f"/credit-requests/{ask(acme.member, 4000)}/approve").status == 200
    assert late(acme, first, second) == ["owed", "owed"]
    settle(acme, second, SUCCEEDED)
    assert (late(acme, first, second), acme.member.balance()) == (["owed", "charged"], 1000)
    with acme.context:
        (message,) = WebhookMessage.objects.all()
    assert (message.event, message.data["id"]) == ("recharge.charged", str(second))


def test_it_is_collected_from_a_refund_and_from_a_reversal(acme: Organization) -> None:
    member = acme.member
    give_credit(acme.row, member.id, 9000)
    refunded, reversed_ = (sell_pending(acme.row, member.id, amount) for amount in (4000, 5000))
    settle(acme, reversed_, SUCCEEDED)
    first, second = owe(acme, member, 4000, 3000)
    settle(acme, refunded, FAILED)
    assert (late(acme, first, second), member.balance()) == (["charged", "owed"], 0)
    settle(acme, reversed_, FAILED)
    assert (late(acme, first, second), member.balance()) == (["charged", "charged"], 2000)
    assert last_entries(acme, member, 2) == [("reversal", 5000, 5000), ("late_charge", -3000, 2000)]


def test_what_is_owed_is_the_amount_less_the_commission_of_then(acme: Organization) -> None:
    member = acme.member
    with acme.context:
        set_rate(acme.row, None, 1000)
    give_credit(acme.row, member.id, 10_000)
    sold = sell_pending(acme.row, member.id, 10_000)
    settle(acme, sold, FAILED)
    with acme.context:
        set_rate(acme.row, None, 500)
    spent = sell_pending(acme.row, member.id, 10_000)
    settle(acme, sold, SUCCEEDED)
    assert (member.balance(), member.client.get("/balance").json["owed"]) == (500, 9000)
    with acme.context:
        set_rate(acme.row, None, None)
    give_credit(acme.row, member.id, 8500)
    assert (late(acme, sold), member.balance()) == (["charged"], 0)
    settle(acme, spent, FAILED)
    assert member.balance() == 9500


@pytest.mark.usefixtures("way")
def test_who_owes_sells_nothing_where_the_organization_says_so(acme: Organization) -> None:
    member, owner = acme.member, acme.owner.client
    owe(acme, member, 5000)
    give_credit(acme.row, member.id, 2000)
    assert member.sell(1000, key="before").status == 201
    assert owner.patch("/settings", {"refuses_owing": True}).json["refuses_owing"] is True
    refused = member.sell(1000)
    assert (refused.status, refused.code) == (409, "seller_owes")
    item = {"idempotency_key": "k", "phone_number": "09121234567", "amount": 1000}
    (result,) = member.client.post("/recharges/bulk", {"items": [item]}).json["results"]
    assert result["problem"]["code"] == "seller_owes"
    sale = {"phone_number": "09121234567", "amount": 1000}
    told = member.client.post("/recharges/validate", sale).json
    assert (told["would_be_sold"], told["refusal"]) == (False, "seller_owes")
    assert member.sell(1000, key="before").status == 200
    place(acme.row, acme.neighbour.id, member.id)
    transfer = {"to": acme.neighbour.id, "amount": 1000}
    refused = member.client.post("/transfers", transfer, key="k")
    assert (refused.status, refused.code, member.balance()) == (409, "seller_owes", 1000)
    give_credit(acme.row, member.id, 6000)
    assert (member.balance(), member.sell(1000).status) == (2000, 201)
    assert member.client.post("/transfers", transfer, key="k").status == 201
    assert owner.patch("/settings", {"refuses_owing": False}).json["refuses_owing"] is False


def test_what_is_owed_is_shown(acme: Organization) -> None:
    member, owner = acme.member, acme.owner.client
    owe(acme, member, 3000, 4000)
    with acme.context:
        balance = balance_of(member.id)
        since = Recharge.objects.filter(late="owed").order_by("completed_at").values_list("completed_at", flat=True)[0]
    assert (balance.owed, balance.owed_since) == (7000, since)
    assert owner.get(f"/sellers/{member.id}").json["owed"] == 7000
    assert owner.get(f"/sellers/{member.id}/balance").json["owed"] == 7000
    assert {row["id"]: row["owed"] for row in owner.get("/sellers").json["results"]} == {
        member.id: 7000,
        acme.neighbour.id: 0,
    }
    admin, seller = Visitor.signed_in(acme.owner), Visitor.signed_in(member)
    assert "owes 7,000 Tomans" in words_on(admin.get("/sellers"))
    assert "Owes 7,000 Tomans since " in words_on(admin.get(f"/sellers/{member.id}"))
    assert "Owed by sellers 7,000 Tomans 1 seller" in words_on(admin.get("/today"))
    told = words_on(seller.get("/sell"))
    assert "You owe 7,000 Tomans since " in told
    assert (
        "It is taken by the first credit that makes your balance large enough for it." in told
    )  # not by a smaller one
    assert "owes 7,000 Tomans" in seller.get("/sell/balance").body.decode()
    give_credit(acme.row, member.id, 7000)
    assert "owe" not in words_on(admin.get("/sellers")) + words_on(seller.get("/sell"))
    assert "Owed by sellers" not in words_on(admin.get("/today"))


def test_credit_sales_and_the_worker_at_once_charge_each_once(acme: Organization) -> None:
    """16 threads give credit and sell while workers and admins settle the very recharges that are being collected."""
    member, row = acme.member, acme.row
    owed = owe(acme, member, *[1000] * 12)

    def collect(index: int) -> None:
        give_credit(row, member.id, 1000)
        connection.close()

    calls = [partial(collect, index) for index in range(12)]
    calls += [partial(settle, acme, one, SUCCEEDED) for one in owed for _ in range(2)]
    calls += [partial(settle, acme, one, FAILED) for one in owed[::3]]
    calls += [partial(member.sell, 300)] * 12
    results = in_threads(calls, 16)
    faults = [one for one in results if isinstance(one, Exception) and type(one).__name__ != "AlreadySettled"]
    assert faults == []
    give_credit(row, member.id, 20_000)
    with acme.context:
        assert not Recharge.objects.filter(late="owed").exists()
        charged = Entry.objects.filter(seller=member.id, kind="late_charge", reference__in=owed)
        assert charged.count() == Recharge.objects.filter(pk__in=owed).exclude(late="").count()
