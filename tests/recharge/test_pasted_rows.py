"""Rows as they really come: from messengers, spreadsheets and other people's programs."""

import csv
import io

import pytest

from recharge.pages.bulk_rows import read_rows
from tests.recharge.test_bulk_pages import BATCH, form_of, preview
from tests.support.visitor import Visitor
from tests.support.world import Organization, give_credit


@pytest.fixture
def seller(acme: Organization) -> Visitor:
    give_credit(acme.row, acme.member.id, 1_000_000)
    return Visitor.signed_in(acme.member)


def sale_of(line: str) -> tuple[str, int]:
    (row,) = read_rows(line, BATCH).rows
    assert row.item, row.problems
    return row.item.phone_number, row.item.amount


@pytest.mark.parametrize(
    "line",
    [
        "09121234567;50,000",
        "09121234567;50٬000",
        '09121234567,"50,000"',
        "۰۹۱۲۱۲۳۴۵۶۷؛۵۰٬۰۰۰",
        "۰۹۱۲۱۲۳۴۵۶۷،۵۰۰۰۰",
        "09121234567،50,000",
        "09121234567,50،000",
        "09121234567\t50 000",
        "\u200f09121234567\u200b;\u202a50000\u202c",
        "\u061c0912\u00a0123\u00a04567;\u206650000\u2069",
        "\ufeff09121234567,50000",
        "sep=;\n09121234567;50000",
        "SEP=|\n09121234567|50000",
        "sep=;\nmobile;amount\n09121234567;50000",
        "موبایل ۱;مبلغ\n09121234567;50000",
        "Number 1,Amount 2\n09121234567,50000",
        "موبایل،مبلغ\n۰۹۱۲۱۲۳۴۵۶۷،۵۰۰۰۰",
    ],
)
def test_these_are_one_sale_of_50000(line: str) -> None:
    assert sale_of(line) == ("+989121234567", 50_000)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("09121234567;5000,00", "groups of three"),
        ("09121234567;50.000", "groups of three"),
        ("09121234567;5000,0", "groups of three"),
        ('09121234567,"5000,00"', "groups of three"),
        ("09121234567;5E+05", "spreadsheet"),
        ("9.12E+09;50000", "spreadsheet"),
        ("9.89E+11;5E+05", "spreadsheet"),
        ("۹٫۸۹E+۱۱;50000", "spreadsheet"),
    ],
)
def test_what_may_be_meant_otherwise_is_refused_in_words(line: str, said: str) -> None:
    (row,) = read_rows(line, BATCH).rows
    assert row.item is None
    assert any(said in problem for problem in row.problems), row.problems


@pytest.mark.parametrize(
    "line",
    [
        "09121234567 5000",
        "0912 123 4567 5000",
        "۰۹۱۲۱۲۳۴۵۶۷ ۵۰۰۰",
        "09121234567|5000",
        "09121234567 - 5000",
        'sep="\n09121234567 5000',
    ],
)
def test_where_no_mark_stands_between_number_and_amount_that_alone_is_said(line: str) -> None:
    (row,) = read_rows(line, BATCH).rows
    assert (row.item, row.problems) == (None, ["Put a comma, a semicolon or a tab between number and amount."])


@pytest.mark.parametrize("line", ["09121234567", "0912 123 4567", "+98 912 123 4567"])
def test_a_number_alone_lacks_its_amount(line: str) -> None:
    (row,) = read_rows(line, BATCH).rows
    assert row.problems == ["Write an amount in Tomans."]


def test_an_amount_whose_first_group_is_zero_is_refused() -> None:
    (row,) = read_rows("09121234567;0,500", BATCH).rows
    assert row.problems == ["Only separate groups of three digits, like 50,000; no decimals."]


def test_a_first_row_that_is_wrong_is_told_and_not_taken_for_names() -> None:
    first, second = read_rows("0912123456x;5000\n09121234567;5000", BATCH).rows
    assert first.problems
    assert second.item


def test_the_file_of_a_thousand_refused_rows_is_given(seller: Visitor, acme: Organization) -> None:
    rows = "\n".join(f"0912{number:07},999999999" for number in range(1000))
    sale = seller.post("/bulk/sell", form_of(preview(seller, rows))).headers["Location"]
    answer = seller.get(f"{sale}.csv")
    assert answer.status == 200
    found = list(csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig"))))
    assert len(found) == 1000
    assert all(row["reason"].startswith("Not enough credit") for row in found)


@pytest.mark.parametrize("path", ["/sell/balance", "/credit-requests", "/recharges"])
def test_what_asks_by_itself_is_not_led_away_from_its_page(acme: Organization, path: str) -> None:
    nobody = Visitor(acme.anyone)
    answer = nobody.get(path, HX_Request="true", Polls="yes")
    assert answer.status == 401
    assert "HX-Redirect" not in answer.headers


def test_a_built_in_operator_wins_over_an_added_one_of_its_name_and_a_code_over_a_name() -> None:
    added = {"mine": "ایرانسل", "irancell2": "mci", "shatel": "Shatel Mobile", "other": "Shatel"}
    for named, meant in (
        ("ایرانسل", "irancell"),
        ("MCI", "mci"),
        ("irancell2", "irancell2"),
        ("Shatel", "shatel"),
        ("shatel mobile", "shatel"),
        ("mine", "mine"),
    ):
        (row,) = read_rows(f"09121234567,5000,{named}", BATCH, added).rows
        assert row.item, row.problems
        assert row.item.operator == meant
