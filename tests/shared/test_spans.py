"""Days that lists are asked for by name: today, this week, Jalali months."""

import re
from datetime import date, timedelta
from html import unescape
from itertools import pairwise
from urllib.parse import parse_qs, urlencode
from zoneinfo import ZoneInfo

import pytest
from django.http import QueryDict
from django.utils import timezone, translation

from credit.pages.filters import EntryFilters
from recharge.pages.reports import RangeForm
from shared.console.spans import month_spans, usual_spans
from tests.support.visitor import Visitor, shown
from tests.support.world import Organization, World, ask, give_credit

THURSDAY = date(2026, 11, 26)  # 1405/09/05


def test_the_usual_spans_are_those_of_the_reader() -> None:
    with translation.override("en"):
        spans = {str(span.name): (span.first.isoformat(), span.last.isoformat()) for span in usual_spans(THURSDAY)}
    assert spans == {
        "Today": ("2026-11-26", "2026-11-26"),
        "Yesterday": ("2026-11-25", "2026-11-25"),
        "This week": ("2026-11-21", "2026-11-26"),  # since Saturday
        "This month": ("2026-11-22", "2026-12-21"),  # Azar
        "Last month": ("2026-10-23", "2026-11-21"),  # Aban
    }


@pytest.mark.parametrize(("day", "saturday"), [("2026-11-20", "2026-11-14"), ("2026-11-21", "2026-11-21")])
def test_a_week_begins_on_saturday(day: str, saturday: str) -> None:
    week = usual_spans(date.fromisoformat(day))[2]
    assert (week.first.isoformat(), week.last.isoformat()) == (saturday, day)


def test_months_have_their_names_and_follow_one_another() -> None:
    with translation.override("fa"):
        spans = list(month_spans(THURSDAY))
    assert (spans[0].name, spans[-1].name) == ("آذر ۱۴۰۵", "آذر ۱۴۰۴")
    assert all((newer.first - older.last).days == 1 for newer, older in pairwise(spans))


@pytest.mark.parametrize("language", ["en", "fa"])
def test_a_span_keeps_the_other_filters_and_says_which_is_shown(acme: Organization, language: str) -> None:
    admin = Visitor.signed_in(acme.owner)
    page = admin.get("/recharges?status=failed&from_day=x", Accept_Language=language).body.decode()
    links = [unescape(one) for one in re.findall(r'href="(\?[^"]*from_day=[^"]*)"', page)]
    assert len(links) == 5 + 13
    for link in links:
        assert parse_qs(link[1:])["status"] == ["failed"]
        shown = admin.get(f"/recharges{link}", Accept_Language=language).body.decode()
        assert "field-errors" not in shown
        assert 'aria-current="true"' in shown.partition('class="spans')[2]


def test_each_list_with_days_has_them(world: World) -> None:
    pages = (
        (world.acme.owner, ("/recharges", "/ledger", "/audit-log", "/transfers", "/statements", "/reports")),
        (world.acme.owner, ("/credit-requests", "/adjustments")),
        (world.acme.member, ("/recharges", "/ledger", "/transfers", "/statements", "/credit-requests")),
        (world.platform_admin, ("/audit",)),
    )
    for person, paths in pages:
        visitor = Visitor.signed_in(person)
        for path in paths:
            page = visitor.get(path).body.decode()
            assert 'class="spans' in page, path
            (yesterday,) = re.findall(r'href="(\?[^"]*)">Yesterday<', page)
            answer = visitor.get(path + unescape(yesterday))
            assert (answer.status, "field-errors" in answer.body.decode()) == (200, False), path


@pytest.mark.parametrize("path", ["/credit-requests", "/adjustments"])
def test_what_is_decided_is_found_by_its_day(acme: Organization, path: str) -> None:
    ask(acme.member, 1_234)
    form = {"seller": "member", "direction": "more", "amount": "1234", "reason": "A gift.", "key": "page-1"}
    assert Visitor.signed_in(acme.owner).submit("/adjustments/new", form).status == 302
    visitor, day = Visitor.signed_in(acme.owner), timezone.localdate(timezone=ZoneInfo("Asia/Tehran"))
    for first, last, is_there in ((0, 0, True), (-1, None, True), (None, -2, False), (2, None, False)):
        ends = {"from_day": first, "to_day": last}
        given = {name: str(day + timedelta(days=days)) for name, days in ends.items() if days is not None}
        page = shown(visitor.get(f"{path}?{urlencode(given)}"))
        assert ("1,234" in page) is is_there, given
    assert "Write a day like" in shown(visitor.get(f"{path}?from_day=x"))


def test_a_report_may_be_of_any_of_them() -> None:
    for link in [*RangeForm({}).span_links, *RangeForm({}).month_links]:
        values = {name: value for name, (value,) in parse_qs(link.query[1:]).items()}
        assert RangeForm(values).is_valid(), values


def test_the_cursor_of_another_page_is_in_none_of_the_links() -> None:
    links = EntryFilters({"cursor": "abc", "kind": "credit"}, sees_all=True).month_links
    assert all("kind=credit" in link.query and "cursor" not in link.query for link in links)


def test_the_links_keep_what_else_was_chosen() -> None:
    given = QueryDict("kind=credit&kind=recharge&sort=-amount&size=50&from_day=2026-01-01&to_day=&cursor=abc")
    form = EntryFilters(given, sees_all=True)
    for link in [*form.span_links, *form.month_links]:
        query = parse_qs(link.query[1:])
        assert (query["kind"], query["sort"], query["size"]) == (["credit", "recharge"], ["-amount"], ["50"])
        assert (len(query["from_day"]), len(query["to_day"]), "cursor" in query) == (1, 1, False)


def test_the_link_back_has_the_filters_of_the_list_that_one_comes_from(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 10_000)
    row, visitor = acme.member.sell(5000).json["id"], Visitor.signed_in(acme.owner)
    list_of = f"http://{acme.host}/recharges"
    for came_from, address in (
        (f"{list_of}?status=failed&cursor=abc", "/recharges?status=failed&amp;cursor=abc"),
        (list_of, "/recharges"),
        (f"http://{acme.host}/ledger?kind=credit", "/recharges"),
        ("http://elsewhere.test/recharges?status=failed", "/recharges"),
        ("http://[", "/recharges"),
        (f'{list_of}?"><script>', "/recharges?&quot;&gt;&lt;script&gt;"),
    ):
        page = visitor.get(f"/recharges/{row}", Referer=came_from).body.decode()
        assert f'href="{address}" data-back' in page, came_from
