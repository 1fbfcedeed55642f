"""What a seller earns: which rate wins, what it comes to, that it goes with its amount, and ``/commissions``."""

import json
import uuid
from collections import Counter
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django_tenants.utils import tenant_context

from credit.models import Entry
from recharge.commissions.services import set_commission
from recharge.delivery.settlement import settle_recharge
from recharge.models import CommissionRate, Recharge, Settings
from recharge.selling.sale import Item
from recharge.selling.services import sell_recharges
from tenants.models import Organization as OrganizationRow
from tests.support.bad_input import JSON, SOME_BODIES, Refusal, invalid
from tests.support.client import Answer
from tests.support.crowd import in_processes, together
from tests.support.locks import sell_pending, sell_through_sandbox
from tests.support.world import Organization, World, give_credit, make_member, make_person

MCI, IRANCELL = "09121234567", "09351234567"
LARGEST_BALANCE = 2**53 - 1


def put(organization: Organization, **given: Any) -> Answer:
    """Sets a rate over HTTP."""
    answer = organization.owner.client.put("/commissions", given)
    assert answer.status == 200, answer
    return answer


def set_rate(organization: Organization, **given: Any) -> None:
    """The same by the service."""
    with organization.context:
        set_commission(organization=organization.row, by="owner", **given)


def entries_of(organization: Organization, recharge_id: Any) -> list[tuple[str, int, int]]:
    with organization.context:
        rows = Entry.objects.filter(reference=recharge_id).order_by("number")
        return list(rows.values_list("kind", "amount", "commission"))


def adjust(organization: Organization, seller_id: int, amount: int) -> None:
    """Puts so many Tomans on a balance that credit requests can't make so large."""
    with organization.context, connection.cursor() as cursor:
        posted = "SELECT (ledger_post(%s, %s, 'adjustment', %s, gen_random_uuid())).posted"
        cursor.execute(posted, [organization.row.pk, seller_id, amount])
        assert cursor.fetchone() == (True,)


@pytest.mark.breaks_the_books  # adjustments without a document
def test_the_largest_balance_earns_too_and_comes_back_to_the_toman(acme: Organization) -> None:
    sell_through_sandbox(acme.row)
    adjust(acme, acme.member.id, LARGEST_BALANCE)
    set_rate(acme, basis_points=9999)
    recharge_id = sell_pending(acme.row, acme.member.id, 10**12)
    assert acme.member.balance() == LARGEST_BALANCE - 10**12 + 999_900_000_000
    with acme.context:
        settle_recharge(organization=acme.row, recharge_id=recharge_id, status=Recharge.Status.FAILED, failure="no")
    assert acme.member.balance() == LARGEST_BALANCE


@pytest.mark.usefixtures("way")
def test_the_most_specific_rate_wins_for_whoever_asks(acme: Organization, globex: Organization) -> None:
    """A sale, a bulk sale, the dry run, the list of operators and the recharge all have the same."""
    for seller in (acme.member, acme.neighbour, globex.member):
        give_credit(seller.row, seller.id, 10_000_000)

    def earned(seller: Any, number: str, operator: str) -> tuple[int, int | None]:
        sold = seller.sell(10_001, phone_number=number).json
        item = {"phone_number": number, "amount": 10_001}
        asked = seller.client.post("/recharges/validate", item).json
        bulk = seller.client.post("/recharges/bulk", {"items": [item | {"idempotency_key": uuid.uuid4().hex}]}).json
        in_bulk = bulk["results"][0]["recharge"]
        assert {sold["commission"], asked["commission"], in_bulk["commission"]} == {sold["commission"]}
        assert bulk["balance"] == in_bulk["balance_after"] == sold["balance_after"] - 10_001 + sold["commission"]
        organization = acme if seller.row == acme.row else globex
        with organization.context:
            rows = Recharge.objects.filter(pk__in=[sold["id"], in_bulk["id"]])
            (kept,) = {(row.commission, row.basis_points) for row in rows}
        told = seller.client.get(f"/operators/{operator}").json["commission"]
        assert (told or {}).get("basis_points") == kept[1]
        assert entries_of(organization, sold["id"]) == [("recharge", -10_001, kept[0])]
        return kept

    def all_four() -> list[tuple[int, int | None]]:
        return [
            earned(seller, number, operator)
            for seller in (acme.member, acme.neighbour)
            for number, operator in ((MCI, "mci"), (IRANCELL, "irancell"))
        ]

    nothing: tuple[int, int | None] = (0, None)
    assert all_four() == [nothing] * 4
    put(acme, seller_id=None, operator=None, basis_points=100)
    assert all_four() == [(100, 100)] * 4
    put(acme, operator="irancell", basis_points=200)
    assert all_four() == [(100, 100), (200, 200)] * 2
    put(acme, seller_id=acme.member.id, basis_points=300)
    assert all_four() == [(300, 300), (300, 300), (100, 100), (200, 200)]
    put(acme, seller_id=acme.member.id, operator="mci", fixed=71)
    assert all_four() == [(71, None), (300, 300), (100, 100), (200, 200)]
    # Nothing is more than a rate of all, where it is more specific.
    put(acme, seller_id=acme.member.id, operator="irancell", basis_points=0)
    assert all_four() == [(71, None), (0, 0), (100, 100), (200, 200)]
    assert acme.member.client.get("/operators/mci").json["commission"] == {"basis_points": None, "fixed": 71}
    assert acme.owner.client.get("/operators/mci").json["commission"] == {"basis_points": 100, "fixed": None}
    # What ends, leaves the field to the next.
    put(acme, seller_id=acme.member.id, operator="irancell", basis_points=None)
    put(acme, seller_id=acme.member.id, operator="mci", fixed=None)
    put(acme, seller_id=acme.member.id, basis_points=None, fixed=None)
    put(acme, operator=None, basis_points=None)
    assert all_four() == [nothing, (200, 200)] * 2
    # Another organization has its own, or none.
    assert earned(globex.member, IRANCELL, "irancell") == nothing
    put(acme, operator="irancell", basis_points=None)
    assert all_four() == [nothing] * 4


@pytest.mark.usefixtures("way")
def test_it_is_rounded_down_and_never_more_than_the_amount(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 1_000_000)
    for given, amount, commission in [
        ({"basis_points": 9999}, 1, 0),
        ({"basis_points": 9999}, 3, 2),
        ({"basis_points": 9999}, 10_000, 9999),
        ({"basis_points": 1}, 9999, 0),
        ({"basis_points": 1}, 10_000, 1),
        ({"basis_points": 333}, 5000, 166),
        ({"basis_points": 0}, 5000, 0),
        ({"fixed": 0}, 5000, 0),
        ({"fixed": 150}, 150, 150),
        ({"fixed": 150}, 149, 149),
        ({"fixed": 10**12}, 5000, 5000),
    ]:
        put(acme, **given)
        before = acme.member.balance()
        sold = acme.member.sell(amount).json
        assert (sold["commission"], sold["balance_after"]) == (commission, before - amount + commission), given
        assert acme.member.balance() == sold["balance_after"]


@pytest.mark.usefixtures("way")
def test_a_sale_needs_a_balance_of_its_whole_amount(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 5000)
    put(acme, basis_points=300)
    refused = acme.member.sell(5001)
    assert (refused.status, refused.json["balance"], refused.json["required"]) == (402, 5000, 5001)
    item = {"phone_number": MCI, "amount": 5001, "idempotency_key": "k"}
    bulk = acme.member.client.post("/recharges/bulk", {"items": [item]}).json
    assert bulk["results"][0]["problem"]["code"] == "insufficient_credit"
    assert not acme.member.client.post("/recharges/validate", {"phone_number": MCI, "amount": 5001}).json["suffices"]
    sold = acme.member.sell(5000, key="once")
    assert (sold.status, sold.json["commission"], sold.json["balance_after"]) == (201, 150, 150)
    put(acme, basis_points=500)
    # The same again is what was sold, and earns nothing more.
    again = acme.member.sell(5000, key="once")
    assert (again.status, again.json) == (200, sold.json)
    assert acme.member.balance() == 150
    # Of several, each may spend what those before it have earned.
    give_credit(acme.row, acme.neighbour.id, 10_000)
    items = [item | {"idempotency_key": f"k{i}", "amount": amount} for i, amount in enumerate((9500, 976, 975, 48))]
    bulk = acme.neighbour.client.post("/recharges/bulk", {"items": items}).json
    # 10,000 − 9,500 + 475 = 975; − 975 + 48 = 48; − 48 + 2 = 2
    assert [row["outcome"] for row in bulk["results"]] == ["created", "refused", "created", "created"]
    assert bulk["balance"] == acme.neighbour.balance() == 2


def test_all_is_as_before_where_no_rate_is_in_force(acme: Organization) -> None:
    set_rate(acme, basis_points=300)
    set_rate(acme)  # it has ended
    give_credit(acme.row, acme.member.id, 1_000_000)
    for key in range(30):
        acme.member.sell(5000, key=f"one-{key}")
    items = [{"idempotency_key": f"k{i}", "phone_number": MCI, "amount": 5000} for i in range(30)]
    acme.member.client.post("/recharges/bulk", {"items": items})
    assert acme.member.balance() == 700_000
    with acme.context:
        assert not Settings.objects.get().has_commissions
        assert Counter(Entry.objects.values_list("amount", "commission")) == {(1_000_000, 0): 1, (-5000, 0): 60}


@pytest.mark.parametrize("rate_then", [{"basis_points": 9000}, {"fixed": 1}, {}], ids=["more", "a sum", "none"])
def test_what_was_sold_keeps_its_rate_whatever_becomes_of_it(acme: Organization, rate_then: dict[str, Any]) -> None:
    """A refund, a late charge and a reversal carry the mirror of the sale, to the Toman."""
    row, seller_id = acme.row, acme.member.id
    give_credit(row, seller_id, 5001)
    set_rate(acme, basis_points=333)
    recharge_id = sell_pending(row, seller_id, 5001)
    set_rate(acme, **rate_then)
    assert acme.member.balance() == 166

    def becomes(status: str) -> None:
        with acme.context:
            settle_recharge(organization=row, recharge_id=recharge_id, status=Recharge.Status(status), failure="no")

    sale, back = ("recharge", -5001, 166), ("refund", 5001, -166)
    becomes("failed")
    assert (acme.member.balance(), entries_of(acme, recharge_id)) == (5001, [sale, back])
    becomes("succeeded")
    charged = [sale, back, ("late_charge", -5001, 166)]
    assert (acme.member.balance(), entries_of(acme, recharge_id)) == (166, charged)
    becomes("failed")
    assert (acme.member.balance(), entries_of(acme, recharge_id)) == (5001, [*charged, ("reversal", 5001, -166)])
    assert acme.member.client.get(f"/recharges/{recharge_id}").json["commission"] == 166


def test_what_is_owed_is_what_it_costs_with_the_rate_of_then(acme: Organization) -> None:
    row, seller_id = acme.row, acme.member.id
    give_credit(row, seller_id, 5000)
    set_rate(acme, basis_points=300)
    recharge_id = sell_pending(row, seller_id, 5000)
    with acme.context:
        settle_recharge(organization=row, recharge_id=recharge_id, status=Recharge.Status.FAILED, failure="no")
    set_rate(acme)
    sell_pending(row, seller_id, 5000)
    assert acme.member.balance() == 0
    with acme.context:
        settle_recharge(organization=row, recharge_id=recharge_id, status=Recharge.Status.SUCCEEDED, failure="")
    assert acme.member.client.get("/balance").json["owed"] == 4850
    give_credit(row, seller_id, 4850)
    assert acme.member.balance() == 0
    assert entries_of(acme, recharge_id)[-1] == ("late_charge", -5000, 150)


# --- At once ----------------------------------------------------------------------------------------------------------


def test_two_who_set_a_rate_at_once_leave_one_in_force_and_every_change(world: World) -> None:
    acme = world.acme
    second = make_person(acme.row, "second-owner", acme.owner.client.address)
    admins = [acme.owner.client, second.client]
    rates = range(1, 17)
    answers = together(
        [partial(admins[rate % 2].put, "/commissions", {"seller_id": None, "basis_points": rate}) for rate in rates]
    )
    assert [answer.status for answer in answers] == [200] * 16
    with acme.context:
        rows = list(CommissionRate.objects.order_by("pk"))
    assert sorted(row.basis_points or 0 for row in rows) == list(rates)
    assert [row.valid_until for row in rows] == [*(row.valid_from for row in rows[1:]), None]
    assert [row.ended_by for row in rows] == [*(row.set_by for row in rows[1:]), ""]
    in_force = acme.owner.client.get("/commissions").json["results"]
    assert [row["basis_points"] for row in in_force] == [rows[-1].basis_points]


_BULK = 40


def sell_bulks(schema_name: str, seller_id: int, name: str, calls: int) -> list[list[int]]:
    """Bulk calls in a process of its own: the commissions of each."""
    row = OrganizationRow.objects.get(schema_name=schema_name)
    found = []
    for call in range(calls):
        items = [Item("+989121234567", "mci", 5000, f"{name}-{call}-{item}") for item in range(_BULK)]
        with tenant_context(row):
            bulk = sell_recharges(organization=row, seller_id=seller_id, items=items, atomic=False)
        found.append([result.row.commission for result in bulk.results])  # type: ignore[union-attr]
    return found


def change_rates(schema_name: str, seller_id: int, name: str, calls: int) -> list[list[int]]:
    row = OrganizationRow.objects.get(schema_name=schema_name)
    for call in range(calls * 4):
        with tenant_context(row):
            set_commission(organization=row, by=name, basis_points=(100, 200, 300, None)[call % 4])
    return []


def do(what: str, *arguments: Any) -> list[list[int]]:
    return {"sell": sell_bulks, "change": change_rates}[what](*arguments)


def test_a_rate_changed_in_the_middle_leaves_each_bulk_call_one_rate(world: World) -> None:
    acme = world.acme
    give_credit(acme.row, acme.member.id, 100_000_000)
    arguments = [acme.row.schema_name, acme.member.id]
    crowd = [
        ("sell", *arguments, "one", 25),
        ("sell", *arguments, "two", 25),
        ("change", *arguments, "first", 25),
        ("change", *arguments, "second", 25),
    ]
    calls = [call for found in in_processes(do, crowd, 4) for call in found]
    assert [len(set(call)) for call in calls] == [1] * 50
    assert {call[0] for call in calls} <= {0, 50, 100, 150}
    assert len({call[0] for call in calls}) > 1  # it was changed while they sold
    earned = sum(sum(call) for call in calls)
    assert acme.member.balance() == 100_000_000 - 50 * _BULK * 5000 + earned
    with acme.context:
        assert Settings.objects.get().has_commissions == CommissionRate.objects.filter(valid_until=None).exists()


# --- Over HTTP --------------------------------------------------------------------------------------------------------


def test_what_is_set_is_answered_listed_and_told(acme: Organization) -> None:
    client, seller = acme.owner.client, acme.member.id
    answer = put(acme, seller_id=seller, operator="mci", basis_points=250)
    row = answer.json
    since = row.pop("since")
    assert row == {"seller_id": seller, "operator": "mci", "basis_points": 250, "fixed": None, "set_by": "owner"}
    # The same again changes nothing.
    assert put(acme, seller_id=seller, operator="mci", basis_points=250).json["since"] == since
    put(acme, fixed=70)
    listed = client.get("/commissions").json["results"]
    assert [(one["seller_id"], one["operator"], one["basis_points"], one["fixed"]) for one in listed] == [
        (None, None, None, 70),
        (seller, "mci", 250, None),
    ]
    (_, older) = client.get("/commissions?limit=1").json["next"].split("/api/v1")
    assert client.get(older).json["results"] == listed[1:]
    assert client.get(f"/commissions?seller_id={seller}").json["results"] == listed[1:]
    ended = put(acme, seller_id=seller, operator="mci", basis_points=None).json
    assert ended == {
        "seller_id": seller,
        "operator": "mci",
        "basis_points": None,
        "fixed": None,
        "since": None,
        "set_by": None,
    }
    put(acme, seller_id=seller, operator="mci", fixed=None)  # it has ended already
    told = client.get("/audit?action=commission.set").json["results"]
    assert [(one["actor"], one["object"], one["before"], one["after"]) for one in told] == [
        (
            "owner",
            f"seller {seller} mci",
            {"basis_points": 250, "fixed": None},
            {"seller_id": seller, "operator": "mci", "basis_points": None, "fixed": None},
        ),
        (
            "owner",
            "all",
            {"basis_points": None, "fixed": None},
            {"seller_id": None, "operator": None, "basis_points": None, "fixed": 70},
        ),
        (
            "owner",
            f"seller {seller} mci",
            {"basis_points": None, "fixed": None},
            {"seller_id": seller, "operator": "mci", "basis_points": 250, "fixed": None},
        ),
    ]
    # A seller knows the own rate by the operators; the rates of all are not for him.
    assert acme.member.client.get("/commissions").status == 403
    accountant = make_member(acme.row, "accountant", "accountant", client.address).client
    assert accountant.get("/commissions").json["results"] == listed[:1]
    assert accountant.put("/commissions", {"basis_points": 1}).status == 403


_NOT_WHOLE, _SMALL, _LARGE = "not_an_integer", "too_small", "too_large"


REFUSED: list[tuple[str, dict[str, Any], Refusal]] = [
    ("nothing", {}, invalid(("basis_points", "required"))),
    ("no rate", {"seller_id": None}, invalid(("basis_points", "required"))),
    ("below 0", {"basis_points": -1}, invalid(("basis_points", _SMALL))),
    ("all of it", {"basis_points": 10_000}, invalid(("basis_points", _LARGE))),
    ("a fraction", {"basis_points": 12.5}, invalid(("basis_points", _NOT_WHOLE))),
    ("a whole float", {"basis_points": 250.0}, invalid(("basis_points", _NOT_WHOLE))),
    ("a string", {"basis_points": "250"}, invalid(("basis_points", _NOT_WHOLE))),
    ("Persian digits", {"basis_points": "۲۵۰"}, invalid(("basis_points", _NOT_WHOLE))),
    ("true", {"basis_points": True}, invalid(("basis_points", _NOT_WHOLE))),
    ("huge", {"basis_points": 10**30}, invalid(("basis_points", _LARGE))),
    ("a list", {"basis_points": [1]}, invalid(("basis_points", _NOT_WHOLE))),
    ("a sum below 0", {"fixed": -1}, invalid(("fixed", _SMALL))),
    ("too large a sum", {"fixed": 10**12 + 1}, invalid(("fixed", _LARGE))),
    ("a sum in a string", {"fixed": "70"}, invalid(("fixed", _NOT_WHOLE))),
    ("both", {"basis_points": 1, "fixed": 1}, invalid(("fixed", "rate_and_sum"))),
    ("no such seller", {"seller_id": 2**62, "fixed": 1}, invalid(("seller_id", "no_such_seller"))),
    ("seller 0", {"seller_id": 0, "fixed": 1}, invalid(("seller_id", _SMALL))),
    ("a seller beyond a bigint", {"seller_id": 2**63, "fixed": 1}, invalid(("seller_id", _LARGE))),
    ("a seller in a string", {"seller_id": "1", "fixed": 1}, invalid(("seller_id", _NOT_WHOLE))),
    ("no such operator", {"operator": "nobody", "fixed": 1}, invalid(("operator", "invalid_choice"))),
    ("an empty operator", {"operator": "", "fixed": 1}, invalid(("operator", "blank"))),
    ("NUL", {"operator": "mci\0", "fixed": 1}, invalid(("body", "not_readable"))),
    ("an operator that is a number", {"operator": 7, "fixed": 1}, invalid(("operator", "invalid"))),
    (
        "a long operator",
        {"operator": "m" * 5000, "fixed": 1},
        invalid(("operator", "invalid_choice"), ("operator", "max_length")),
    ),
    ("surprise", {"fixed": 1, "surprise": 1}, invalid(("surprise", "unknown_field"))),
]


def test_what_is_no_rate_is_refused(acme: Organization) -> None:
    for _name, body, refusal in REFUSED:
        refusal.check(acme.owner.client.put("/commissions", body))
    with acme.context:
        assert not CommissionRate.objects.exists()


@pytest.mark.parametrize(("body", "refusal"), SOME_BODIES)
def test_what_is_no_body_is_refused(acme: Organization, body: bytes, refusal: Refusal) -> None:
    answer = acme.owner.client.request("PUT", "/commissions", body=body, headers={"Content-Type": JSON})
    refusal.check(answer)


def test_an_added_operator_has_rates_too(acme: Organization) -> None:
    owner = acme.owner.client
    owner.post("/operators", {"operator": "shatel", "name": "Shatel Mobile"})
    put(acme, operator="shatel", fixed=100)
    give_credit(acme.row, acme.member.id, 10_000)
    sale = {"phone_number": MCI, "amount": 5000, "operator": "shatel"}
    assert acme.member.client.post("/recharges", sale, key="k").json["commission"] == 100
    listed = json.loads(acme.member.client.get("/operators").body)["results"]
    assert {one["operator"]: one["commission"] for one in listed if one["commission"]} == {
        "shatel": {"basis_points": None, "fixed": 100}
    }
