"""The ledger, as a page and as files of it: filters, CSV, workbooks."""

import re
from contextlib import ExitStack, closing
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.utils import timezone

from credit.models import Entry, Seller
from credit.pages.exports import FORMATS
from shared.console import workbooks
from shared.models import User
from tenants import exports
from tests.support.client import Answer
from tests.support.sheets import Sheet, sheet_of
from tests.support.visitor import MARKUP, Visitor, in_process, shown, text_of
from tests.support.world import Organization, give_credit


@pytest.fixture
def traded(acme: Organization) -> Organization:
    """acme, whose sellers were credited and sold."""
    give_credit(acme.row, acme.member.id, 1_000_000)
    give_credit(acme.row, acme.neighbour.id, 2_000_000)
    acme.member.sell(5000)
    acme.neighbour.sell(7000)
    return acme


def amounts(answer: Answer) -> list[str]:
    """What was booked, from the newest, as a ledger's page shows it."""
    assert answer.status == 200
    rows = text_of(answer).partition("<tfoot")[0]
    return re.findall(r'<td class="amount"><span class="(?:debit|credit)">\u200e?([^<]*)</span></td>', rows)


def test_the_ledger_has_running_balances_and_leads_to_causes(traded: Organization) -> None:
    page = Visitor.signed_in(traded.owner).get("/ledger")
    assert amounts(page) == ["−7,000", "−5,000", "+2,000,000", "+1,000,000"]
    assert "neighbour Recharge" in shown(page)
    assert "995,000" in shown(page)
    with traded.context:
        credit = Entry.objects.filter(kind="credit").first()
    assert f'href="/credit-requests/{credit.reference}"' in text_of(page)
    assert amounts(Visitor.signed_in(traded.member).get("/ledger")) == ["−5,000", "+1,000,000"]


def test_the_ledger_takes_filters(traded: Organization) -> None:
    visitor = Visitor.signed_in(traded.owner)
    today = timezone.now().astimezone(timezone.get_fixed_timezone(210)).date()  # Tehran's
    jalali = "۱۴۰۴/۰۱/۰۱"
    everything = ["−7,000", "−5,000", "+2,000,000", "+1,000,000"]
    for query, expected in {
        "kind=credit": ["+2,000,000", "+1,000,000"],
        f"seller={traded.member.id}": ["−5,000", "+1,000,000"],
        f"kind=recharge&seller={traded.neighbour.id}": ["−7,000"],
        "seller=Neigh": ["−7,000", "+2,000,000"],
        f"from_day={today}&to_day={today}": everything,
        f"from_day={quote(jalali)}": everything,
        f"to_day={quote(jalali)}": [],
        f"from_day={today + timedelta(days=1)}": [],
        f"to_day={today - timedelta(days=1)}": [],
        "to_day=9999-12-31": everything,
        "kind=refund": [],
        "nonsense=5": everything,
    }.items():
        assert amounts(visitor.get(f"/ledger?{query}")) == expected, query
        exported = text_of(visitor.get(f"/ledger.csv?{query}")).splitlines()[1:]
        assert len(exported) == len(expected), query
        assert len(sheet_of(visitor.get(f"/ledger.xlsx?{query}")).rows) == len(expected) + 1, query
    assert "No entry matches." in shown(visitor.get("/ledger?kind=refund"))


@pytest.mark.parametrize(
    "query",
    [
        "from_day=yesterday",
        "to_day=2026-13-01",
        "from_day=0000/00/00",
        "kind=theft",
        "seller=nobody",
        "seller=99999999999999999999",
        "seller=9223372036854775807",
        "seller=%D9%A1%00",
        "seller=e",
        "from_day=2026-02-02&to_day=2026-02-01",
        "kind=%00",
        "kind=%ED%A0%80",
        "from_day=%00",
    ],
)
def test_a_filter_that_can_t_be_read_shows_nothing_and_says_so(traded: Organization, query: str) -> None:
    visitor = Visitor.signed_in(traded.owner)
    page = visitor.get(f"/ledger?{query}")
    assert amounts(page) == []
    assert 'aria-invalid="true"' in text_of(page)
    assert "Correct it above" in text_of(page)
    for export in ("/ledger.csv", "/ledger.xlsx"):
        back = visitor.get(f"{export}?{query}")
        assert (back.status, back.headers["Location"].partition("?")[0]) == (302, "/ledger")
    assert visitor.get(f"/credit-requests?{query.replace('kind', 'status')}").status == 200


# --- Exports ----------------------------------------------------------------------------------------------------------


def test_a_workbook_has_real_numbers_and_dates(traded: Organization) -> None:
    answer = Visitor.signed_in(traded.member).get("/ledger.xlsx")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="entries.xlsx"'
    assert "no-store" in answer.headers["Cache-Control"]
    sheet = sheet_of(answer)
    heading, sale, credit = sheet.rows
    amounts = ["Amount (Tomans)", "Commission (Tomans)", "Balance after (Tomans)"]
    assert heading == ["Number", "Time", "Kind", *amounts, "Reference"]
    assert (sale[0], sale[2:6]) == (2.0, ["Recharge", -5000.0, 0.0, 995_000.0])
    assert credit[2:6] == ["Credit", 1_000_000.0, 0.0, 1_000_000.0]
    with traded.context:
        entry = Entry.objects.get(seller_id=traded.member.id, number=2)
    assert sale[6] == str(entry.reference)
    # Days since 1899-12-30, on Tehran's clock.
    local = entry.created_at.astimezone(timezone.get_fixed_timezone(210)).replace(tzinfo=None)
    assert sale[1] == pytest.approx((local - local.replace(1899, 12, 30, 0, 0, 0, 0)) / timedelta(days=1), abs=1e-6)
    assert "yyyy-mm-dd hh:mm:ss" in sheet.styles
    assert "rightToLeft" not in sheet.xml


def test_a_workbook_in_persian_reads_from_the_right(traded: Organization) -> None:
    User.objects.filter(pk=traded.owner.user.pk).update(language="fa")
    sheet = sheet_of(Visitor.signed_in(traded.owner).get("/ledger.xlsx"))
    assert 'rightToLeft="1"' in sheet.xml
    assert len(sheet.rows) == 5


@pytest.mark.parametrize(
    "name", ["=1+1", "@SUM(A1)", "+98", "-2", "http://evil.example", "007", "{=1}", "\t=1", MARKUP]
)
def test_a_workbook_takes_no_text_for_anything_else(traded: Organization, name: str) -> None:
    with traded.context:
        Seller.objects.filter(pk=traded.member.id).update(name=name)
    sheet = sheet_of(Visitor.signed_in(traded.owner).get(f"/ledger.xlsx?seller={traded.member.id}"))
    assert [row[1] for row in sheet.rows[1:]] == [name, name]
    assert "hyperlink" not in sheet.xml


@pytest.mark.parametrize(("most", "shown_rows"), [(2, 2), (3, 3), (4, 4), (5, 4)])
def test_a_sheet_that_is_full_says_so_in_its_last_line(
    traded: Organization, monkeypatch: Any, most: int, shown_rows: int
) -> None:
    monkeypatch.setattr(workbooks, "LARGEST_SHEET", most)
    monkeypatch.setattr(exports, "ROWS_AT_A_TIME", 2)
    response = in_process(traded.owner, "/ledger.xlsx")
    sheet = Sheet(b"".join(response.streaming_content))
    is_full = shown_rows < 4
    assert ("the rest is left out" in str(sheet.rows[-1])) == is_full
    assert len(sheet.rows) - 1 - is_full == shown_rows


def test_a_person_writes_one_workbook_at_a_time_and_an_organization_two(traded: Organization) -> None:
    """So that nobody's exports take all threads from those who sell, and none keeps another from an own one."""
    slug, member, owner = traded.row.slug, traded.member, traded.owner
    with ExitStack() as under_way:
        workbooks._workbooks.enter(slug, member.user.pk)
        under_way.callback(workbooks._workbooks.leave, slug, member.user.pk)
        assert in_process(member, "/ledger.xlsx").status_code == 503
        with closing(in_process(owner, "/ledger.xlsx")) as response:
            assert response.status_code == 200
        workbooks._workbooks.enter(slug, None)
        under_way.callback(workbooks._workbooks.leave, slug, None)
        assert in_process(owner, "/ledger.xlsx").status_code == 503
    with closing(in_process(member, "/ledger.xlsx")) as response:
        assert response.status_code == 200


@pytest.mark.parametrize("ending", FORMATS)
def test_each_format_is_linked_with_the_lists_filters(traded: Organization, ending: str) -> None:
    visitor = Visitor.signed_in(traded.owner)
    for path, name in (("/ledger", "entries"), ("/recharges", "recharges")):
        query = f"?seller={traded.member.id}"
        assert f'href="{path}.{ending}{query}" download>{FORMATS[ending].label}</a>' in text_of(
            visitor.get(path + query)
        )
        answer = visitor.get(f"{path}.{ending}{query}")
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}.{ending}"'


def test_the_csv_is_the_apis_with_a_byte_order_mark(traded: Organization) -> None:
    for person in (traded.owner, traded.member):
        page = Visitor.signed_in(person).get("/ledger.csv")
        # With a byte order mark, by which spreadsheets know UTF-8.
        assert page.body == b"\xef\xbb\xbf" + person.client.get("/entries.csv").body
        assert page.headers["Content-Disposition"] == 'attachment; filename="entries.csv"'
