"""Lists as their readers want them: sorted, added up, with as many rows and columns as they like; and their exports."""

import base64
import csv
import io
import json
import re
import time
import uuid
from html import unescape
from urllib.parse import quote

import pytest
from django.db import connection
from django.test import RequestFactory

from recharge.models import Recharge
from shared import pagination
from shared.console import lists
from shared.database import TookTooLong, within
from tests.recharge.test_commissions import set_rate
from tests.support.client import Answer
from tests.support.visitor import Visitor, in_process, shown, text_of, value_of, words_of
from tests.support.world import Organization, ask, give_credit, make_seller

AMOUNTS = [3_000, 1_000, 2_000, 2_000, 9_000, 4_000, 2_000]


@pytest.fixture
def sold(acme: Organization) -> Organization:
    give_credit(acme.row, acme.member.id, 1_000_000)
    for amount in AMOUNTS:
        assert acme.member.sell(amount).status == 201
    return acme


def amounts_on(page: Answer) -> list[int]:
    """The amounts of the rows of a page, in their order."""
    return [int(one) for one in re.findall(r'data-amount="(\d+)"', text_of(page))]


def link(page: Answer, rel: str) -> str:
    found = re.search(rf'rel="{rel}" href="([^"]*)"', text_of(page))
    return unescape(found[1]) if found else ""


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("-time", AMOUNTS[::-1]),
        ("time", AMOUNTS),
        ("-amount", sorted(AMOUNTS, reverse=True)),
        ("amount", sorted(AMOUNTS)),
    ],
)
def test_it_is_sorted_over_all_its_pages_there_and_back(
    sold: Organization, sort: str, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "SIZES", (2, 25, 50, 100, 200))

    def page(query: str) -> Answer:
        response = in_process(sold.owner, f"/recharges{query}")
        return Answer(response.status_code, response.headers, response.content, None)

    shown_page, seen, pages = page(f"?sort={sort}&size=2"), [], []
    while True:
        seen += amounts_on(shown_page)
        pages.append(amounts_on(shown_page))
        if not (on := link(shown_page, "next")):
            break
        assert f"sort={sort}" in on or sort == "-time"
        shown_page = page(on)
    assert seen == expected
    for before in pages[-2::-1]:
        shown_page = page(link(shown_page, "prev"))
        assert amounts_on(shown_page) == before
    assert not link(shown_page, "prev")


def test_the_heading_says_how_it_is_sorted_and_turns_it_round(sold: Organization) -> None:
    visitor = Visitor.signed_in(sold.owner)
    page = text_of(visitor.get("/recharges?status=succeeded"))
    assert re.search(r'aria-sort="descending"><a class="sort" href="[^"]*sort=time"', page)
    assert page.count("aria-sort") == 1
    (by_amount,) = re.findall(r'<a class="sort" href="([^"]*sort=-amount[^"]*)"', page)
    assert "status=succeeded" in by_amount, "with its filters"
    page = text_of(visitor.get(unescape(by_amount)))
    assert re.search(r'aria-sort="descending"><a class="sort" href="[^"]*sort=amount"', page)
    assert '<input type="hidden" name="sort" value="-amount">' in page, "another filter keeps the order"


@pytest.mark.parametrize(
    "path", ["/recharges", "/ledger", "/credit-requests", "/adjustments", "/sellers", "/transfers"]
)
def test_what_cannot_be_is_refused(acme: Organization, path: str) -> None:
    visitor = Visitor.signed_in(acme.owner)
    for query in ("sort=phone_number", "sort=--amount", "sort=%00", "size=26", "size=x", "size=99999999999999999999"):
        assert visitor.get(f"{path}?{query}").status == 400, query
    field = "balance" if path == "/sellers" else "amount"
    for cursor in ("", "%00", "x", "W10", "bnVsbA", quote("WyJhbW91bnQiLHRydWUsZmFsc2UsMV0")):
        assert visitor.get(f"{path}?sort=-{field}&cursor={cursor}").status == 400, cursor
    assert visitor.get(f"{path}?sort=-{field}").status == 200


def test_sums_are_those_of_the_filter(sold: Organization) -> None:
    assert sold.neighbour.sell(5_000).status == 402
    give_credit(sold.row, sold.neighbour.id, 50_000)
    assert sold.neighbour.sell(5_000).status == 201
    visitor = Visitor.signed_in(sold.owner)
    assert "Sum of all 8 rows 28,000" in shown(visitor.get("/recharges"))
    assert "Sum of all 7 rows 23,000" in shown(visitor.get("/recharges?seller=member"))
    assert "Sum of all 7 rows 23,000" in shown(Visitor.signed_in(sold.member).get("/recharges"))
    # Of a list of several pages the database adds up, and says the same.
    for _ in range(30):
        ask(sold.member, 1_000)
    assert "Sum of all 30 rows 30,000" in shown(visitor.get("/credit-requests?status=pending"))
    assert "Sum of all 2 rows 1,022,000 Tomans" in shown(visitor.get("/sellers"))


def foot_of(page: Answer) -> list[str]:
    """What stands below each column that is shown."""
    foot = text_of(page).partition("<tfoot")[2].partition("</tfoot>")[0]
    return [words_of(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", foot)]


def test_each_sum_stands_below_its_column_and_is_of_all_pages(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.owner)
    for number in range(30):
        ask(acme.member, 1_000 + number)
    page = visitor.get("/credit-requests")
    assert len(amounts_on(page)) == 25
    headings = [words_of(cell) for cell in re.findall(r"<th scope=\"col\".*?</th>", text_of(page))]
    foot = dict(zip(headings, foot_of(page), strict=True))
    assert (foot["Seller"], foot["Tomans"], foot["State"]) == ("Sum of all 30 rows", "30,435", "")


def test_a_sum_is_told_also_where_its_column_is_hidden(sold: Organization) -> None:
    set_rate(sold, basis_points=100)
    assert sold.member.sell(10_000).status == 201
    visitor = Visitor.signed_in(sold.owner)
    ((*_, time, _number, amount, commission, _state, _operator, _seller),) = [foot_of(visitor.get("/recharges"))]
    assert (time, amount, commission) == ("Sum of all 8 rows Commission: 100", "33,000", "100")
    assert '<div class="d-xl-none small fw-normal">Commission: ' in text_of(visitor.get("/recharges"))
    visitor.get("/recharges?columns=&columns=state&columns=seller&columns=operator")
    page = visitor.get("/recharges")
    assert foot_of(page)[1] == "Sum of all 8 rows Commission: 100"
    assert '<div class=" small fw-normal">Commission: ' in text_of(page), "at every width"


def test_what_changes_something_else_keeps_all_there_is_in_the_address() -> None:
    request = RequestFactory().get("/recharges?status=a&status=b&sort=amount&cursor=x&columns=time&size=50")
    listing = lists.listing_of(request, "recharges", {"amount": "amount"})
    assert listing.kept == [("status", "a"), ("status", "b"), ("sort", "amount"), ("size", "50")]


def test_of_very_many_rows_the_newest_are_sorted_and_added_up(
    sold: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "MOST_SORTED", 3)
    response = in_process(sold.owner, "/recharges?sort=-amount")
    page = Answer(response.status_code, response.headers, response.content, None)
    assert amounts_on(page) == [9_000, 4_000, 2_000]
    assert "Sorted: the newest 10,000 rows." in shown(page)
    monkeypatch.setattr(lists, "MOST_SORTED", len(AMOUNTS))
    response = in_process(sold.owner, "/recharges?sort=-amount")
    page = Answer(response.status_code, response.headers, response.content, None)
    assert len(amounts_on(page)) == len(AMOUNTS)
    assert "Sorted: the newest" not in shown(page), "there are no others"
    monkeypatch.setattr(lists, "SIZES", (2, 25))
    response = in_process(sold.owner, "/recharges?size=2")
    foot = foot_of(Answer(response.status_code, response.headers, response.content, None))
    assert f"Sum of the newest {len(AMOUNTS)} rows" in foot, foot


def test_what_takes_too_long_is_ended(acme: Organization) -> None:
    began = time.monotonic()
    with acme.context, pytest.raises(TookTooLong), within(50), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(30)")
    assert time.monotonic() - began < 10
    with acme.context:
        assert Recharge.objects.count() == 0, "the connection works on"


def test_a_slow_sort_says_so_and_shows_the_rows_by_time(sold: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_args: object, **_more: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(30)")

    monkeypatch.setattr(lists, "newest", slow)
    monkeypatch.setattr(lists, "MOST_MILLISECONDS", 20)
    response = in_process(sold.owner, "/recharges?sort=amount")
    page = Answer(response.status_code, response.headers, response.content, None)
    assert (page.status, amounts_on(page)) == (200, AMOUNTS[::-1])
    assert "They are shown by time" in shown(page)

    # What is older is reached by time, too.
    monkeypatch.setattr(lists, "SIZES", (3, 25))
    response = in_process(sold.owner, "/recharges?sort=amount&size=3")
    older = link(Answer(response.status_code, response.headers, response.content, None), "next")
    response = in_process(sold.owner, f"/recharges{older}")
    page = Answer(response.status_code, response.headers, response.content, None)
    assert (page.status, amounts_on(page)) == (200, AMOUNTS[::-1][3:6])


def test_a_cursor_of_what_is_no_text_or_no_key_is_none(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.owner)
    for place in (["\ud800", 1], ["x", None], ["x", "\ud800"], ["x", [1]]):
        cursor = base64.urlsafe_b64encode(json.dumps(["name", False, False, *place]).encode()).decode().rstrip("=")
        assert visitor.get(f"/sellers?sort=name&cursor={cursor}").status == 400, place


def test_the_size_of_a_page_is_remembered(acme: Organization) -> None:
    for _ in range(30):
        ask(acme.member)
    visitor = Visitor.signed_in(acme.owner)
    assert len(amounts_on(visitor.get("/credit-requests"))) == 25
    assert len(amounts_on(visitor.get("/credit-requests?size=50"))) == 30
    assert len(amounts_on(visitor.get("/credit-requests"))) == 30
    visitor.cookies[lists.SIZE_COOKIE] = "1000000"
    assert len(amounts_on(visitor.get("/credit-requests"))) == 25, "a cookie that nobody can read is none"


def test_columns_are_left_out_and_come_back(sold: Organization) -> None:
    visitor = Visitor.signed_in(sold.owner)
    head = text_of(visitor.get("/recharges")).partition("</thead>")[0]
    assert "Operator</th>" in head
    chosen = visitor.get("/recharges?status=succeeded&columns=&columns=state&columns=seller")
    assert (chosen.status, chosen.headers["Location"]) == (302, "/recharges?status=succeeded")
    page = text_of(visitor.get("/recharges?status=succeeded"))
    assert "Operator</th>" not in page
    assert "Seller</th>" in page
    assert 'value="operator" id="column-operator">' in page, "it is there to be chosen"
    assert "Operator</th>" in text_of(Visitor.signed_in(sold.owner).get("/recharges")), "another browser has its own"
    visitor.get("/recharges?columns=&columns=state&columns=seller&columns=operator")
    assert "Operator</th>" in text_of(visitor.get("/recharges"))


def test_sellers_by_name_and_by_balance(acme: Organization) -> None:
    for name in ("بهار", "Aria", "zed", "آفتاب"):
        make_seller(acme.row, name)
    give_credit(acme.row, acme.neighbour.id, 500)
    visitor = Visitor.signed_in(acme.owner)

    def names(query: str) -> list[str]:
        return re.findall(r'<td class=""><a href="/sellers/\d+"><bdi>([^<]*)</bdi>', text_of(visitor.get(query)))

    by_name = names("/sellers?sort=name")
    assert sorted(by_name) == sorted(["member", "neighbour", "بهار", "Aria", "zed", "آفتاب"])
    assert names("/sellers?sort=-name") == by_name[::-1]
    assert names("/sellers?sort=-balance")[0] == "neighbour"


# --- Exports ----------------------------------------------------------------------------------------------------------


def rows_of(answer: Answer) -> list[dict[str, str]]:
    assert answer.status == 200, answer
    return list(csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig"))))


def test_an_export_has_the_order_of_the_list(sold: Organization) -> None:
    visitor = Visitor.signed_in(sold.owner)
    page = text_of(visitor.get("/recharges?sort=amount&status=succeeded"))
    assert 'href="/recharges.csv?status=succeeded&amp;sort=amount"' in page
    for sort, expected in (("amount", sorted(AMOUNTS)), ("time", AMOUNTS), ("-time", AMOUNTS[::-1])):
        found = rows_of(visitor.get(f"/recharges.csv?status=succeeded&sort={sort}"))
        assert [int(row["amount"]) for row in found] == expected
    assert visitor.get("/recharges.csv?sort=x").status == 400
    amounts = [abs(int(row["amount"])) for row in rows_of(visitor.get("/ledger.csv?sort=-amount&kind=recharge"))]
    assert amounts == sorted(AMOUNTS)


def test_those_that_were_chosen_are_exported(sold: Organization, globex: Organization) -> None:
    with sold.context:
        ids = [str(one) for one in Recharge.objects.order_by("pk").values_list("pk", flat=True)]
    visitor = Visitor.signed_in(sold.owner)
    found = rows_of(visitor.submit("/recharges", {"ids": ids[1:3]}, to="/recharges.csv"))
    assert [row["id"] for row in found] == [ids[2], ids[1]]
    book = visitor.submit("/recharges", {"ids": ids[1:3]}, to="/recharges.xlsx")
    assert (book.status, book.body[:2]) == (200, b"PK")
    token = value_of(visitor.get("/recharges"), "csrfmiddlewaretoken")
    for wrong in (["x"], ["\x00"], [str(uuid.uuid4()) for _ in range(201)]):
        assert visitor.post("/recharges.csv", {"ids": wrong, "csrfmiddlewaretoken": token}).status == 400
    back = visitor.post("/recharges.csv", {"csrfmiddlewaretoken": token})
    assert (back.status, back.headers["Location"]) == (302, "/recharges")
    # Nobody's others, whatever is sent.
    give_credit(sold.row, sold.neighbour.id, 10_000)
    assert sold.neighbour.sell(5_000).status == 201
    neighbour = Visitor.signed_in(sold.neighbour)
    assert rows_of(neighbour.submit("/recharges", {"ids": ids}, to="/recharges.csv")) == []
    give_credit(globex.row, globex.member.id, 10_000)
    assert globex.member.sell(5_000).status == 201
    stranger = Visitor.signed_in(globex.owner)
    assert rows_of(stranger.submit("/recharges", {"ids": ids}, to="/recharges.csv")) == []


def test_a_cursor_of_another_order_is_none(sold: Organization) -> None:
    with sold.context:
        page = pagination.sorted_page(Recharge.objects.all(), field="amount", descending=True, limit=2)
    visitor = Visitor.signed_in(sold.owner)
    assert amounts_on(visitor.get(f"/recharges?sort=-amount&cursor={page.older}")) == sorted(AMOUNTS, reverse=True)[2:]
    for other in ("amount", "time", "-time"):
        assert visitor.get(f"/recharges?sort={other}&cursor={page.older}").status == 400
