"""How much may be sold: what an admin settles, what a sale beyond is told, and what gives room back."""

import uuid
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, transaction

from credit.models import AuditRecord
from recharge.delivery.settlement import settle_recharge
from recharge.models import Limit, Recharge, SellerDay
from tests.support.bad_input import SOME_BODIES, table
from tests.support.client import Answer
from tests.support.clock import OF_MONEY, SetClock, clock_of
from tests.support.locks import sell_through_sandbox
from tests.support.tables import nothing_written
from tests.support.world import Organization, Person, give_credit

NONE = dict.fromkeys(("per_sale", "per_day", "sales_per_day", "per_number_per_day", "from_hour", "to_hour"))
TEHRAN = ZoneInfo("Asia/Tehran")
NOON = datetime.combine(datetime.now(TEHRAN).date(), time(12), TEHRAN)
MIDNIGHT = datetime.combine(NOON.date() + timedelta(days=1), time(), TEHRAN)


def put(organization: Organization, seller_id: int | None = None, **limits: int | None) -> Answer:
    body = {"seller_id": seller_id, **(limits or {"per_sale": None})}
    answer = organization.owner.client.request("PUT", "/limits", json=body)
    assert answer.status == 200, answer.json
    return answer


def passed(answer: Answer) -> tuple[str, int, int]:
    """What a sale beyond a limit is told of it."""
    assert (answer.status, answer.code) == (409, "limit_exceeded"), answer.json
    return answer.json["limit"], answer.json["allowed"], answer.json["used"]


def bulk(seller: Person, *amounts: int, atomic: bool = False) -> Answer:
    items = [
        {"idempotency_key": uuid.uuid4().hex, "phone_number": "09121234567", "amount": amount} for amount in amounts
    ]
    return seller.client.post("/recharges/bulk", {"items": items, "atomic": atomic})


def settle(organization: Organization, sold: str, status: Recharge.Status) -> None:
    failure = "no such number" if status == Recharge.Status.FAILED else ""
    with organization.context:
        settle_recharge(organization=organization.row, recharge_id=uuid.UUID(sold), status=status, failure=failure)


def used(seller: Person) -> int:
    """The Tomans of today that a seller's limit has counted, as a sale beyond it is told; nothing is sold."""
    limit, _allowed, used = passed(seller.sell(10**12))
    assert limit == "per_day"
    return used


@pytest.fixture
def clock(acme: Organization) -> Iterator[SetClock]:
    """The clock of acme's functions, which runs from noon on."""
    with clock_of(acme, (*OF_MONEY, "recharge_room")) as clock:
        clock.run_from(NOON)
        yield clock


@pytest.fixture
def seller(acme: Organization, clock: SetClock) -> Person:
    give_credit(acme.row, acme.member.id, 1_000_000)
    return acme.member


# --- What is settled --------------------------------------------------------------------------------------------------


def test_limits_are_settled_of_all_and_of_one_and_replaced_whole(acme: Organization, globex: Organization) -> None:
    client = acme.owner.client
    assert client.get("/limits").json["results"] == []
    of_all = put(acme, per_sale=50_000, per_day=900_000, from_hour=8, to_hour=24).json
    assert of_all == NONE | {"seller_id": None, "per_sale": 50_000, "per_day": 900_000, "from_hour": 8, "to_hour": 24}
    of_one = put(acme, acme.member.id, sales_per_day=3, per_number_per_day=7, from_hour=0, to_hour=1).json
    assert client.get("/limits").json["results"] == [of_one, of_all]
    replaced = put(acme, per_day=1).json
    assert replaced == NONE | {"seller_id": None, "per_day": 1}
    assert client.get("/limits").json["results"] == [replaced, of_one]
    assert put(acme, acme.member.id).json == NONE | {"seller_id": acme.member.id}
    assert globex.owner.client.get("/limits").json["results"] == []
    assert acme.member.client.get("/limits").status == 403
    with acme.context:
        told = list(
            AuditRecord.objects.filter(action="limits.set").order_by("pk").values_list("object", "before", "after")
        )
    assert [whose for whose, _before, _after in told] == ["", str(acme.member.id), "", str(acme.member.id)]
    assert told[2][1:] == (
        {"per_sale": 50_000, "per_day": 900_000, "from_hour": 8, "to_hour": 24},
        {"per_sale": None, "per_day": 1, "from_hour": None, "to_hour": None},
    )


BEYOND_AN_INTEGER, NO_ID = 10**12 + 1, 2**63
REFUSED = table(
    *(
        (f"{name}: {value!r}", {name: value}, (name, code))
        for name in ("per_sale", "per_day", "sales_per_day", "per_number_per_day")
        for value, code in (
            (0, "too_small"),
            (-1, "too_small"),
            (12.5, "not_an_integer"),
            (5.0, "not_an_integer"),
            ("5", "not_an_integer"),
            ("۵", "not_an_integer"),
            (True, "not_an_integer"),
            ([5], "not_an_integer"),
            (BEYOND_AN_INTEGER, "too_large"),
        )
    ),
    ("an hour before the day", {"from_hour": -1}, ("from_hour", "too_small")),
    ("an hour after it", {"from_hour": 24}, ("from_hour", "too_large")),
    ("ends as the day begins", {"to_hour": 0}, ("to_hour", "too_small")),
    ("ends after the day", {"to_hour": 25}, ("to_hour", "too_large")),
    ("half an hour", {"to_hour": 7.5}, ("to_hour", "not_an_integer")),
    ("ends as it begins", {"from_hour": 8, "to_hour": 8}, ("to_hour", "hours_not_in_order")),
    ("passes midnight", {"from_hour": 22, "to_hour": 6}, ("to_hour", "hours_not_in_order")),
    ("a seller there is not", {"seller_id": 10**9, "per_day": 5}, ("seller_id", "no_such_seller")),
    ("no id", {"seller_id": 0}, ("seller_id", "too_small")),
    ("beyond an id", {"seller_id": NO_ID}, ("seller_id", "too_large")),
    ("a name", {"seller_id": "member"}, ("seller_id", "not_an_integer")),
    ("a misspelt limit", {"per_dai": 5}, ("per_dai", "unknown_field")),
    ("nothing", {}, ("per_sale", "required")),
    ("a seller alone", {"seller_id": None}, ("per_sale", "required")),
)


def test_what_can_be_no_limit_is_refused(acme: Organization) -> None:
    put(acme, per_sale=7)
    client = acme.owner.client
    with nothing_written():
        for case in REFUSED:
            body, fault = case.values
            answer = client.request("PUT", "/limits", json=body)
            assert (answer.status, answer.code, answer.faults) == (400, "invalid_request", {fault}), case.id
        for case in SOME_BODIES:
            body, refusal = case.values
            refusal.check(client.request("PUT", "/limits", body=body))
        assert client.get("/limits?limit=0").status == 400
        assert client.get("/limits?seller_id=1").status == 400


@pytest.mark.parametrize(
    "values",
    [{"per_sale": 0}, {"per_day": -1}, {"from_hour": 24}, {"to_hour": 25}, {"from_hour": 9, "to_hour": 9}],
    ids=str,
)
def test_the_database_refuses_it_too(acme: Organization, values: dict[str, int]) -> None:
    with acme.context, pytest.raises(IntegrityError, match="violates check constraint"), transaction.atomic():
        Limit.objects.create(**values)


# --- What a sale is told ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("way")
def test_a_sale_beyond_a_limit_is_refused_and_leaves_nothing(seller: Person, acme: Organization) -> None:
    put(acme, per_sale=10_000, per_day=25_000, sales_per_day=4, per_number_per_day=19_000)
    with nothing_written(but=("org_acme.recharge_sellerday",)):  # what was counted is kept
        answer = seller.sell(10_001)
    assert passed(answer) == ("per_sale", 10_000, 0)
    assert answer.json["resets_at"] is None
    assert seller.sell(10_000, key="first").status == 201
    with nothing_written():
        answer = seller.sell(10_000)
    assert passed(answer) == ("per_number_per_day", 19_000, 10_000)
    assert datetime.fromisoformat(answer.json["resets_at"]) == MIDNIGHT
    assert seller.sell(10_000, phone_number="09121234568").status == 201
    assert passed(seller.sell(5001, phone_number="09121234569")) == ("per_day", 25_000, 20_000)
    assert seller.sell(2000).status == 201
    assert seller.sell(1).status == 201
    assert passed(seller.sell(1)) == ("sales_per_day", 4, 4)
    assert seller.sell(10_000, key="first").headers["Idempotent-Replayed"] == "true"
    give_credit(acme.row, acme.neighbour.id, 1)
    assert acme.neighbour.sell(1).status == 201  # each seller has room of his own
    assert seller.balance() == 1_000_000 - 22_001


def test_items_of_a_bulk_call_count_for_each_other_in_their_order(seller: Person, acme: Organization) -> None:
    put(acme, per_sale=6000, per_day=10_000)
    with nothing_written(but=("org_acme.recharge_sellerday",)):
        atomic = bulk(seller, 6000, 4001, atomic=True)
        assert (atomic.status, atomic.json["refused"]) == (400, 2)
    sold = bulk(seller, 5000, 6001, 5001, 4000, 1000, 1)
    results = sold.json["results"]
    refused = [index for index, result in enumerate(results) if result["outcome"] == "refused"]
    assert (refused, sold.json["created"]) == ([1, 2, 5], 3)
    told = [
        (result["problem"]["code"], result["problem"]["limit"], result["problem"]["used"])
        for result in results
        if result["outcome"] == "refused"
    ]
    assert told == [
        ("limit_exceeded", "per_sale", 0),
        ("limit_exceeded", "per_day", 5000),
        ("limit_exceeded", "per_day", 10_000),
    ]
    assert_counted_right(acme, seller)
    put(acme, sales_per_day=4, per_number_per_day=10_500)
    results = bulk(seller, 501, 500, 1).json["results"]
    limits = [result.get("problem", {}).get("limit") for result in results]
    assert limits == ["per_number_per_day", None, "sales_per_day"]
    assert used_sales(acme, seller) == 4


def used_sales(organization: Organization, seller: Person) -> int:
    with organization.context:
        return SellerDay.objects.get(pk=seller.id).sales


def test_what_would_become_of_a_sale_says_which_limit(seller: Person, acme: Organization) -> None:
    put(acme, per_day=5000)
    assert seller.sell(2000).status == 201
    sale = {"phone_number": "09121234567", "amount": 3001}
    with nothing_written():
        told = seller.client.post("/recharges/validate", sale).json
    assert (told["would_be_sold"], told["refusal"]) == (False, "limit_exceeded")
    assert told["limit_exceeded"] | {"resets_at": None} == {
        "limit": "per_day",
        "allowed": 5000,
        "used": 2000,
        "resets_at": None,
    }
    told = seller.client.post("/recharges/validate", sale | {"amount": 3000}).json
    assert (told["would_be_sold"], told["refusal"], told["limit_exceeded"]) == (True, None, None)


def test_a_sellers_own_limit_goes_over_that_of_all_and_hours_go_together(seller: Person, acme: Organization) -> None:
    put(acme, per_sale=1000, per_day=2000, from_hour=20, to_hour=21)
    assert passed(seller.sell(1)) == ("from_hour", 20, 12)
    put(acme, seller.id, per_sale=5000, to_hour=14)  # and so from midnight on
    assert passed(seller.sell(5001)) == ("per_sale", 5000, 0)
    assert passed(seller.sell(2001)) == ("per_day", 2000, 0)
    put(acme, seller.id, per_day=9000, to_hour=14)
    assert passed(seller.sell(1001)) == ("per_sale", 1000, 0)
    assert seller.sell(1000).status == 201
    put(acme, seller.id)
    assert passed(seller.sell(1)) == ("from_hour", 20, 12)
    put(acme)
    assert seller.sell(500_000).status == 201


def test_nothing_is_sold_outside_of_the_hours(seller: Person, acme: Organization, clock: SetClock) -> None:
    put(acme, from_hour=8, to_hour=20)
    day = MIDNIGHT - timedelta(days=1)
    for at, said in (
        (day + timedelta(hours=7, minutes=59, seconds=59), (("from_hour", 8, 7), day + timedelta(hours=8))),
        (day + timedelta(hours=8), None),
        (day + timedelta(hours=19, minutes=59, seconds=59), None),
        (day + timedelta(hours=20), (("to_hour", 20, 20), MIDNIGHT + timedelta(hours=8))),
        (day + timedelta(hours=23, minutes=59), (("to_hour", 20, 23), MIDNIGHT + timedelta(hours=8))),
    ):
        clock.stop_at(at)
        answer = seller.sell(1)
        if said is None:
            assert answer.status == 201, at
        else:
            assert (passed(answer), datetime.fromisoformat(answer.json["resets_at"])) == said
    put(acme, from_hour=23)
    assert seller.sell(1).status == 201
    put(acme, to_hour=23)
    assert datetime.fromisoformat(seller.sell(1).json["resets_at"]) == MIDNIGHT


# --- What counts ------------------------------------------------------------------------------------------------------


def test_a_refund_gives_room_a_late_charge_takes_it_and_a_reversal_gives_it_back(
    seller: Person, acme: Organization
) -> None:
    sell_through_sandbox(acme.row, "mci")
    put(acme, per_day=10_000)
    sold = [seller.sell(amount).json["id"] for amount in (6000, 4000)]
    failed, succeeded = Recharge.Status.FAILED, Recharge.Status.SUCCEEDED
    assert used(seller) == 10_000
    for status, counted in ((failed, 4000), (failed, 4000), (succeeded, 10_000), (succeeded, 10_000), (failed, 4000)):
        settle(acme, sold[0], status)
        assert used(seller) == counted
        assert_counted_right(acme, seller)
    settle(acme, sold[1], succeeded)  # as was counted on
    assert used(seller) == 4000
    assert seller.sell(6000).status == 201
    assert seller.sell(1).code == "limit_exceeded"


def test_what_is_owed_is_counted_once(seller: Person, acme: Organization) -> None:
    sell_through_sandbox(acme.row, "mci")
    put(acme, per_day=5_000_000)
    sold = seller.sell(600_000).json["id"]
    settle(acme, sold, Recharge.Status.FAILED)
    assert seller.sell(900_000).status == 201
    for _ in range(2):
        settle(acme, sold, Recharge.Status.SUCCEEDED)
        assert used(seller) == 1_500_000
    give_credit(acme.row, seller.id, 500_000)  # and collected
    assert used(seller) == 1_500_000
    assert_counted_right(acme, seller)
    settle(acme, sold, Recharge.Status.FAILED)
    assert used(seller) == 900_000
    assert_counted_right(acme, seller)


def assert_counted_right(organization: Organization, seller: Person) -> None:
    """What the row says is what the recharges of its day add up to."""
    with organization.context:
        row = SellerDay.objects.get(pk=seller.id)
        sold = Recharge.objects.filter(
            seller_id=seller.id, created_at__gte=row.begins_at, created_at__lt=row.ends_at
        ).exclude(status=Recharge.Status.FAILED)
        amounts = list(sold.values_list("amount", flat=True))
    assert (row.sales, row.amount) == (len(amounts), sum(amounts))


def assert_kept(organization: Organization, seller: Person) -> None:
    """The row is of the limits as they are, and counted right."""
    with organization.context:
        assert SellerDay.objects.get(pk=seller.id).version == Limit.objects.order_by("-pk")[0].pk
    assert_counted_right(organization, seller)


def test_what_was_sold_before_and_between_counts(seller: Person, acme: Organization) -> None:
    assert seller.sell(1000).status == 201
    put(acme, per_day=10_000)
    assert used(seller) == 1000
    assert seller.sell(2000).status == 201
    put(acme, per_sale=100_000)  # no limit of a day: nobody counts
    assert seller.sell(5000).status == 201
    put(acme, per_day=10_000)
    assert used(seller) == 8000
    put(acme, seller.id, per_day=9000)
    assert used(seller) == 8000
    # A sale that is refused keeps what it has counted: the next counts nothing anew.
    assert_kept(acme, seller)
    put(acme, seller.id, per_day=9000)
    assert bulk(seller, 1001).json["results"][0]["outcome"] == "refused"
    assert_kept(acme, seller)
    assert passed(seller.sell(1001)) == ("per_day", 9000, 8000)
    assert seller.sell(1000).status == 201
    assert_counted_right(acme, seller)


def test_each_day_of_the_organizations_begins_anew(seller: Person, acme: Organization, clock: SetClock) -> None:
    sell_through_sandbox(acme.row, "mci")
    put(acme, per_day=10_000)
    earlier = seller.sell(6000).json["id"]
    clock.stop_at(MIDNIGHT - timedelta(seconds=1))
    assert seller.sell(4000).status == 201
    assert used(seller) == 10_000
    clock.stop_at(MIDNIGHT)
    assert seller.sell(9000).status == 201
    settle(acme, earlier, Recharge.Status.FAILED)  # of yesterday: no room today
    assert used(seller) == 9000
    assert_counted_right(acme, seller)
    # Set back a little, a seller's sales still run forward, and so does the day; set back more, it is taken as it is.
    clock.stop_at(MIDNIGHT - timedelta(seconds=30))
    assert used(seller) == 9000
    assert seller.sell(1000).status == 201
    clock.stop_at(MIDNIGHT - timedelta(minutes=2))
    assert used(seller) == 4000
    assert seller.sell(6000).status == 201
    assert_counted_right(acme, seller)
    clock.stop_at(MIDNIGHT + timedelta(hours=1))
    assert used(seller) == 10_000
    clock.stop_at(MIDNIGHT + timedelta(days=1))
    assert used(seller) == 0


def test_all_items_of_a_bulk_call_count_for_one_day(seller: Person, acme: Organization, clock: SetClock) -> None:
    put(acme, per_day=600)
    clock.stop_at(MIDNIGHT - timedelta(microseconds=300))
    assert bulk(seller, *[1] * 600).json["created"] == 600
    with acme.context:
        assert not Recharge.objects.filter(created_at__lt=MIDNIGHT).exists()
    assert_counted_right(acme, seller)
    clock.stop_at(MIDNIGHT + timedelta(seconds=1))
    assert used(seller) == 600


def test_another_time_zone_has_other_days(seller: Person, acme: Organization, clock: SetClock) -> None:
    client = acme.owner.client
    put(acme, per_day=10_000)
    clock.stop_at(MIDNIGHT - timedelta(hours=23))  # of the day before by the clock of Greenwich
    assert seller.sell(6000).status == 201
    clock.run_from(NOON)
    assert seller.sell(4000).status == 201
    assert used(seller) == 10_000
    assert client.patch("/settings", {"time_zone": "UTC"}).json["time_zone"] == "UTC"
    assert used(seller) == 4000
    assert seller.sell(5000).status == 201
    answer = seller.sell(10**6)
    assert datetime.fromisoformat(answer.json["resets_at"]) == MIDNIGHT.replace(tzinfo=ZoneInfo("UTC"))
    assert client.patch("/settings", {"time_zone": "Asia/Tehran"}).status == 200
    assert used(seller) == 15_000
    assert client.patch("/settings", {"time_zone": "UTC"}).status == 200
    assert used(seller) == 9000


def test_what_can_be_no_time_zone_is_refused(acme: Organization) -> None:
    with nothing_written():
        for zone, code in (
            ("Asia/Teheran", "unknown_time_zone"),
            ("asia/tehran", "unknown_time_zone"),
            ("UTC+3", "unknown_time_zone"),
            ("../../etc/passwd", "unknown_time_zone"),
            ("", "blank"),
            ("x" * 61, "max_length"),
            ("Asia/Tehran ()", "unknown_time_zone"),
            (None, "null"),
            (3, "invalid"),
        ):
            answer = acme.owner.client.patch("/settings", {"time_zone": zone, "duplicate_window": 5})
            assert (answer.status, answer.faults) == (400, {("time_zone", code)}), zone
        answer = acme.owner.client.patch("/settings", {"refuses_owing": "yes"})
        assert answer.faults == {("refuses_owing", "invalid")}


# --- What is left -----------------------------------------------------------------------------------------------------


def test_a_seller_is_told_what_is_left(seller: Person, acme: Organization) -> None:
    nothing = NONE | dict.fromkeys(("sold_today", "sales_today", "left_today", "sales_left_today", "resets_at"))
    assert seller.client.get("/limits/mine").json == nothing
    put(acme, per_sale=5000)
    told = seller.client.get("/limits/mine").json
    assert datetime.fromisoformat(told["resets_at"]) == MIDNIGHT
    assert told | {"resets_at": None} == nothing | {"per_sale": 5000}
    put(acme, per_day=10_000, sales_per_day=2, from_hour=8)
    assert seller.sell(4000).status == 201
    for _ in range(2):  # by the recharges, and by the row that counts
        told = seller.client.get("/limits/mine").json
        assert (told["sold_today"], told["left_today"]) == (4000, 6000)
        assert (told["sales_today"], told["sales_left_today"], told["from_hour"]) == (1, 1, 8)
        put(acme, per_day=10_000, sales_per_day=2, from_hour=8)
    assert seller.client.get("/limits/mine?x=1").status == 400
