"""Cursor pages: newest first, no row twice and none missing, whatever is written while somebody reads."""

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.bad_input import table
from tests.support.client import Client
from tests.support.waiting import wait_until
from tests.support.world import Organization, World, give_credit, make_seller


def ask_for_credit(acme: Organization, amount: int) -> None:
    assert acme.member.client.post("/credit-requests", {"amount": amount}, key=str(amount)).status == 201


def sell(acme: Organization, amount: int) -> None:
    assert acme.member.sell(amount).status == 201


def add_seller(acme: Organization, number: int) -> None:
    make_seller(acme.row, f"seller {number:04}")


def add_gateway(acme: Organization, number: int) -> None:
    body = {"name": f"gateway-{number:04}", "kind": "simulator"}
    assert acme.owner.client.post("/gateways", body).status == 201


# A list, what writes the nth row of it, and what shows which row that is.
LISTS = table(
    ("recharges", "/recharges", sell, lambda row: row["amount"]),
    ("credit requests", "/credit-requests", ask_for_credit, lambda row: row["amount"]),
    ("statement", "/entries?kind=recharge", sell, lambda row: -row["amount"]),
    ("sellers", "/sellers", add_seller, lambda row: int(row["name"].removeprefix("seller "))),
    ("gateways", "/gateways", add_gateway, lambda row: int(row["name"].removeprefix("gateway-"))),
)
Write = Callable[[Organization, int], None]
Number = Callable[[dict[str, object]], int]


def follow(client: Client, link: str) -> dict[str, object]:
    """What a link of a page leads to. It must be absolute, and lead to the host that was asked."""
    target = urlsplit(link)
    assert (target.scheme, target.netloc) == ("http", client.host)
    return client.get(f"{target.path}?{target.query}").json


def wait_until_settled(client: Client, path: str) -> None:
    """Until the way back leads to what is newest: on a cluster it does a second after that was written."""
    first = client.get(path).json
    wait_until(
        lambda: follow(client, follow(client, first["next"])["previous"])["results"] == first["results"], "it is shown"
    )


@pytest.fixture
def owner(acme: Organization) -> Client:
    """An admin of acme, whose member can pay for what the tests sell."""
    give_credit(acme.row, acme.member.id, 1_000_000)
    return acme.owner.client


@pytest.mark.parametrize(("path", "write", "number"), LISTS)
def test_it_walks_there_and_back_while_rows_are_added(
    acme: Organization, owner: Client, path: str, write: Write, number: Number
) -> None:
    known = owner.get(path).json["results"]  # what the base of every test has made
    newest = 15 - len(known)
    for n in range(1, newest + 1):
        write(acme, n)
    query = f"{path}{'&' if '?' in path else '?'}limit=3"

    def shown(page: dict[str, object]) -> list[int | None]:
        return [None if row in known else number(row) for row in page["results"]]

    wait_until_settled(owner, query)
    page = owner.get(query).json
    assert page["previous"] is None
    there = [page]
    added = newest
    while page["next"]:
        write(acme, added := added + 1)
        page = follow(owner, page["next"])
        there.append(page)
    assert [len(page["results"]) for page in there] == [3] * 5
    seen = [n for page in there for n in shown(page)]
    assert seen == [*range(newest, 0, -1), *[None] * len(known)], "none twice, none missing, nothing new in between"

    def walked_back() -> list[dict[str, object]]:
        back = [page]
        while back[-1]["previous"]:
            back.append(follow(owner, back[-1]["previous"]))
        return back

    wait_until(lambda: sum(len(one["results"]) for one in walked_back()) >= added + len(known), "all are shown")
    back = walked_back()
    # Newer rows are found on the way back, and each page is full but for the first.
    seen = [n for page in reversed(back) for n in shown(page)]
    assert seen == [*range(added, 0, -1), *[None] * len(known)]
    assert back[0] == there[-1]
    assert shown(back[1]) == shown(there[-2])


@pytest.mark.parametrize(("path", "write", "number"), LISTS)
def test_a_page_that_holds_all_has_no_neighbours(
    acme: Organization, owner: Client, path: str, write: Write, number: Number
) -> None:
    write(acme, 1)
    page = owner.get(path).json
    assert number(page["results"][0]) == 1
    assert (page["next"], page["previous"]) == (None, None)


@pytest.mark.parametrize("path", ["/recharges", "/credit-requests", "/entries"])
def test_an_empty_list_is_an_empty_page(acme: Organization, path: str) -> None:
    assert acme.member.client.get(path).json == {"results": [], "next": None, "previous": None}


def test_a_last_page_that_is_exactly_full_has_no_next(acme: Organization, owner: Client) -> None:
    for amount in range(1, 5):
        sell(acme, amount)
    wait_until_settled(owner, "/recharges?limit=2")
    first = owner.get("/recharges?limit=2").json
    last = follow(owner, first["next"])
    assert [row["amount"] for row in last["results"]] == [2, 1]
    assert last["next"] is None
    assert follow(owner, last["previous"]) == first | {"previous": None}


def test_a_page_has_50_rows_unless_another_limit_is_given(acme: Organization, owner: Client) -> None:
    for n in range(1, 202 - 1):
        add_seller(acme, n)
    assert len(owner.get("/sellers").json["results"]) == 50
    for limit in (1, 200):
        page = owner.get(f"/sellers?limit={limit}").json
        assert len(page["results"]) == limit
        assert len(follow(owner, page["next"])["results"]) == min(limit, 202 - limit)


def test_a_link_keeps_the_filters_and_the_limit(acme: Organization, owner: Client) -> None:
    for amount in range(1, 6):
        sell(acme, amount)
        acme.member.sell(amount, phone_number="09351234567")
    newest = owner.get("/recharges?limit=2").json["results"][1]
    # A plus that is not written as %2B would come back as a blank.
    query = "limit=2&phone_number=%2B98%20912%20123%204567&created_from=2020-01-01T00:00:00%2B03:30&status=succeeded"
    wait_until(lambda: owner.get(f"/recharges?{query}").json["results"][:1] == [newest], "the newest is shown")
    page = owner.get(f"/recharges?{query}").json
    amounts = [row["amount"] for row in page["results"]]
    while page["next"]:
        given = parse_qs(urlsplit(page["next"]).query)
        assert given.pop("cursor")
        assert given == parse_qs(query)
        page = follow(owner, page["next"])
        amounts += [row["amount"] for row in page["results"]]
    assert amounts == [5, 4, 3, 2, 1]


def test_a_link_leads_to_the_port_that_was_asked(acme: Organization, owner: Client) -> None:
    sell(acme, 1)
    sell(acme, 2)
    client = Client(owner.address, f"acme.recharge.test:{owner.address.split(':')[1]}", owner.token)
    page = client.get("/recharges?limit=1").json
    assert [row["amount"] for row in follow(client, page["next"])["results"]] == [1]


def test_a_cursor_leads_nobody_to_anothers_rows(acme: Organization, owner: Client) -> None:
    give_credit(acme.row, acme.neighbour.id, 100)
    for amount in range(1, 4):
        sell(acme, amount)
        acme.neighbour.sell(amount)
    cursor = parse_qs(urlsplit(owner.get("/recharges?limit=1").json["next"]).query)["cursor"][0]
    rows = acme.neighbour.client.get(f"/recharges?cursor={cursor}").json["results"]
    assert rows
    assert {row["seller_id"] for row in rows} == {acme.neighbour.id}


def test_the_platforms_list_has_pages_too(world: World) -> None:
    client = world.platform_admin.client
    first = client.get("/organizations?limit=1").json
    second = follow(client, first["next"])
    assert [page["results"][0]["slug"] for page in (first, second)] == ["globex", "acme"]
    assert second["next"] is None
    assert follow(client, second["previous"]) == first
