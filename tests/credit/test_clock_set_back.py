"""The host's clock is set back between two things that a seller does: the seller's lists stay in the order in which it
happened, which is that of the entries' numbers."""

import csv
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from django.db import connection

from credit.models import Account, Entry
from recharge.delivery.settlement import settle_recharge
from recharge.models import Recharge
from tests.support.client import Client
from tests.support.clock import SetClock, clock_of
from tests.support.locks import sell_through_sandbox
from tests.support.visitor import Visitor, text_of
from tests.support.visitor import shown as words_on
from tests.support.world import Organization, Person, ask, give_credit


@pytest.fixture
def set_clock(acme: Organization) -> Iterator[SetClock]:
    """Sets the clock that acme's money functions read so many seconds before (or after) the right one."""
    with clock_of(acme) as set_it:
        yield set_it


@pytest.fixture
def seller(acme: Organization) -> Person:
    give_credit(acme.row, acme.member.id, 10_000_000)
    return acme.member


def bulk(seller: Person, name: str, count: int) -> None:
    items = [
        {"idempotency_key": f"{name}-{index}", "phone_number": "09121234567", "amount": 10 + index}
        for index in range(count)
    ]
    assert seller.client.post("/recharges/bulk", {"items": items}).json["created"] == count


def everything(acme: Organization, name: str) -> None:
    """One of each kind of entry that there is."""
    sell_through_sandbox(acme.row, "telekish")
    sale = {"phone_number": "09121234567", "amount": 1000, "operator": "telekish"}
    assert acme.member.client.post("/recharges", sale, key=f"{name} alone").status == 201
    bulk(acme.member, name, 3)
    assert acme.owner.client.post(f"/credit-requests/{ask(acme.member)}/approve").status == 200
    with acme.context:
        sold = Recharge.objects.get(idempotency_key=f"{name} alone").pk
    for status in ("failed", "succeeded", "failed"):
        settle_recharge(
            organization=acme.row,
            recharge_id=sold,
            status=Recharge.Status(status),
            failure="x" if status == "failed" else "",
        )


def statement(client: Client, query: str) -> list[dict[str, Any]]:
    """All of it, two entries a page, newest first; walked there and back."""
    page = client.get(f"/entries?limit=2&{query}").json
    there, pages = list(page["results"]), [page]
    while page["next"]:
        target = urlsplit(page["next"])
        page = client.get(f"{target.path}?{target.query}").json
        there += page["results"]
        pages.append(page)
    for before in reversed(pages[:-1]):
        target = urlsplit(page["previous"])
        page = client.get(f"{target.path}?{target.query}").json
        assert page["results"] == before["results"]
    return there


def numbers(rows: list[dict[str, Any]]) -> list[int]:
    return [int(row["number"]) for row in rows]


@pytest.mark.parametrize("seconds", [5, 55])
def test_what_a_seller_does_after_it_is_later_by_its_time_too(
    acme: Organization, seller: Person, set_clock: SetClock, seconds: int
) -> None:
    everything(acme, "before")
    set_clock(-seconds)
    everything(acme, "after")
    with acme.context:
        entries = list(Entry.objects.filter(seller=seller.id).order_by("number"))
        recharges = list(Recharge.objects.order_by("pk").values_list("idempotency_key", "created_at"))
    assert [entry.pk for entry in entries] == sorted(entry.pk for entry in entries)
    assert all(one.created_at < other.created_at for one, other in pairwise(entries))
    sales = ["alone", *(f"{index}" for index in range(3))]
    names = [name.replace(" ", "-").rsplit("-", 1) for name, _ in recharges]
    assert names == [[name, sale] for name in ("before", "after") for sale in sales]
    assert [moment for _, moment in recharges] == sorted(moment for _, moment in recharges)
    listed = [row["id"] for row in seller.client.get("/recharges").json["results"]]
    assert listed == sorted(listed, reverse=True)


def test_a_bulk_call_is_followed_at_once_by_a_sale_of_a_later_time(acme: Organization, seller: Person) -> None:
    """A thousand entries are a microsecond apart: the last one is a millisecond ahead of the clock."""
    for round_ in range(3):
        bulk(seller, f"bulk {round_}", 1000)
        seller.sell(10, key=f"alone {round_}")
    with acme.context:
        moments = list(Entry.objects.filter(seller=seller.id).order_by("number").values_list("created_at", flat=True))
    assert moments == sorted(moments)


@pytest.mark.parametrize("seconds", [120, 3600])
@pytest.mark.parametrize("who", ["member", "owner"])
def test_a_statement_is_in_the_order_of_its_numbers_however_far_it_is_set_back(
    acme: Organization, seller: Person, set_clock: SetClock, seconds: int, who: str
) -> None:
    person: Person = getattr(acme, who)
    own = "" if who == "member" else f"seller_id={seller.id}"
    everything(acme, "before")
    set_clock(-seconds)
    everything(acme, "after")
    with acme.context:
        count = Account.objects.get(pk=seller.id).last_number
    rows = statement(person.client, own)
    assert numbers(rows) == list(range(count, 0, -1))

    # By time and by kind, too: what is of this time, by number.
    moment = datetime.now(UTC) - timedelta(seconds=seconds / 2)
    earlier = [datetime.fromisoformat(row["created_at"]) < moment for row in rows]
    before = [row for row, is_earlier in zip(rows, earlier, strict=True) if is_earlier]
    after = [row for row, is_earlier in zip(rows, earlier, strict=True) if not is_earlier]
    assert len(before) == len(after) - 1  # which the credit to begin with is among
    assert statement(person.client, f"{own}&created_to={quote(moment.isoformat())}") == before
    assert statement(person.client, f"{own}&created_from={quote(moment.isoformat())}") == after
    refunds = [row for row in rows if row["kind"] == "refund"]
    assert statement(person.client, f"{own}&kind=refund") == refunds
    assert len(refunds) == 2

    answer = person.client.get(f"/entries.csv?{own}", headers={"Accept": "text/csv"})
    assert numbers(list(csv.DictReader(io.StringIO(answer.body.decode())))) == list(range(count, 0, -1))


def test_the_pages_show_them_in_this_order(acme: Organization, seller: Person, set_clock: SetClock) -> None:
    everything(acme, "before")
    set_clock(-3600)
    everything(acme, "after")
    with acme.context:
        balances = [
            f"{balance:,}"
            for balance in Entry.objects.filter(seller=seller.id)
            .order_by("-number")
            .values_list("balance_after", flat=True)
        ]
    own = Visitor.signed_in(seller)
    admin = Visitor.signed_in(acme.owner)
    for visitor, path, shown in (
        (own, "/ledger", balances),
        (admin, f"/ledger?seller={seller.id}", balances),
        (admin, f"/sellers/{seller.id}", balances[:5]),
        (admin, f"/credit-requests/{ask(seller)}", balances[:5]),
    ):
        page = words_on(visitor.get(path))
        assert re.findall(r"(?<![+\d,])\d{1,2},\d{3},\d{3}\b", page)[-len(shown) :] == shown, path
    exported = list(csv.DictReader(io.StringIO(text_of(own.get("/ledger.csv")).removeprefix("\ufeff"))))
    assert numbers(exported) == list(range(len(balances), 0, -1))


def test_a_clock_that_was_a_day_ahead_does_not_keep_a_seller_in_tomorrow(
    acme: Organization, seller: Person, set_clock: SetClock
) -> None:
    set_clock(86_400)
    seller.sell(1000)
    bulk(seller, "tomorrow", 2)
    set_clock(0)
    began = datetime.now(UTC) - timedelta(seconds=30)
    sold = seller.sell(1000).json
    assert began < datetime.fromisoformat(sold["created_at"]) < began + timedelta(hours=1)
    with acme.context:
        assert Account.objects.get(pk=seller.id).ran_back
    assert numbers(statement(seller.client, "")) == [5, 4, 3, 2, 1]


def test_what_is_sold_after_it_is_due_at_once(acme: Organization, seller: Person, set_clock: SetClock) -> None:
    """Its time is after the last sale's, but nobody waits until then to deliver it."""
    seller.sell(1000)
    set_clock(-50)
    sell_through_sandbox(acme.row, "mci")
    assert seller.sell(1001).json["status"] == "pending"
    bulk(seller, "due", 2)
    with acme.context, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM recharge_recharge WHERE due_at <= clock_timestamp() - interval '40 s'")
        assert cursor.fetchone() == (3,)
