"""What spreadsheets do to numbers on their way to the page of bulk sales: what is mended, what is explained."""

import io
import re
import zipfile
from datetime import date
from typing import Any

import openpyxl
import pytest

from recharge.pages.bulk_files import Unreadable, text_of
from recharge.pages.bulk_rows import read_rows
from tests.recharge.test_bulk_pages import BATCH, figures, preview, upload
from tests.recharge.test_bulk_pages import seller as seller  # a fixture
from tests.support.visitor import Visitor, shown

NUMBER = "0912 345 6789"


@pytest.mark.parametrize(
    ("written", "read", "said"),
    [
        # Mended, and said.
        ("9123456789\t50000", (NUMBER, "50,000"), "The zero that a spreadsheet took away was put back."),
        ("989123456789\t50000", (NUMBER, "50,000"), "The country code was recognized."),
        ("9809123456789\t50000", (NUMBER, "50,000"), "The country code was recognized."),
        ("09123456789.0\t50000", (NUMBER, "50,000"), "The decimals that a spreadsheet added were left out."),
        ("9123456789.00\t50000", (NUMBER, "50,000"), "The decimals that a spreadsheet added were left out."),
        ("9.123456789E+09\t50000", (NUMBER, "50,000"), "which has all its digits"),
        ("'0912 345 6789\t50000", (NUMBER, "50,000"), "The apostrophe was left out."),
        ("09123456789\t50000.00", (NUMBER, "50,000"), "The decimals that a spreadsheet added were left out."),
        ("09123456789\t5.0000E+04", (NUMBER, "50,000"), "which has all its digits"),
        # Read as people write it.
        ('="09123456789"\t50000', (NUMBER, "50,000"), ""),
        ("+98 912 345 6789\t'50,000'", (NUMBER, "50,000"), "The apostrophe was left out."),
        ("۰۹۱۲۳۴۵۶۷۸۹\t۵۰٬۰۰۰ تومان", (NUMBER, "50,000"), ""),
        ("09123456789\t50،000 تومن", (NUMBER, "50,000"), ""),
        ("09123456789\t 50000 Tomans ", (NUMBER, "50,000"), ""),
        # Only a remark.
        ("09120000000\t50000", ("0912 000 0000", "50,000"), "Check that no spreadsheet has cut its digits."),
        ("+98 912 000 0000\t50000", ("0912 000 0000", "50,000"), "Check that no spreadsheet has cut its digits."),
        ("9120000001\t50000", ("0912 000 0001", "50,000"), "The zero that a spreadsheet took away was put back."),
        ("09123456789\t500000", (NUMBER, "500,000"), "Amounts are in Tomans, not rials."),
        # Not to be known: what to do.
        ("9.12E+09\t50000", None, "7 of its 10 digits are lost, and can't be known. Format the column as text"),
        ("9.12345E+09\t50000", None, "4 of its 10 digits are lost"),
        ("9,12E+09\t50000", None, "7 of its 10 digits are lost"),
        ("9.89123E+11\t50000", None, "6 of its 12 digits are lost"),
        ("9120000000\t50000", None, "It ends in six zeros: a spreadsheet has probably rounded it"),
        ("9120000000.0\t50000", None, "It ends in six zeros: a spreadsheet has probably rounded it"),
        ("9.120000000E+09\t50000", None, "It ends in six zeros: a spreadsheet has probably rounded it"),
        ("989123000000\t50000", None, "It ends in six zeros: a spreadsheet has probably rounded it"),
        ("9809123000000\t50000", None, "It ends in six zeros: a spreadsheet has probably rounded it"),
        ("912345678\t50000", None, "This has 9 digits; a mobile number has 11"),
        ("0912345678\t50000", None, "This has 10 digits; a mobile number has 11"),
        ("09123456789\t5E+04", None, "A spreadsheet has shortened this amount to"),
        ("09123456789\t-50000", None, "An amount can't be negative."),
        ("09123456789\t−50,000", None, "An amount can't be negative."),
        ("09123456789\t(50,000)", None, "An amount can't be negative."),
        ("09123456789\t500,000 ریال", None, "This is in rials. Write it in Tomans: 50,000."),
        ("09123456789\t500000 IRR", None, "This is in rials. Write it in Tomans: 50,000."),
        ("09123456789\t50.5", None, "no decimals"),
        ("09123456789\t2026-11-26", None, "A spreadsheet took this for a date."),
        ("50000\t09123456789", None, "Number and amount have changed places."),
        ("0912\t50000", None, "Enter an 11-digit|This is no Iranian mobile number"),
    ],
)
def test_what_a_spreadsheet_does_to_a_row_is_mended_or_explained(
    seller: Visitor, written: str, read: tuple[str, str] | None, said: str
) -> None:
    answer = preview(seller, written)
    assert answer.status == 200
    body = re.search("<tbody>(.*?)</tbody>", answer.body.decode(), re.DOTALL)
    assert body
    if read:
        # On a phone the amount stands below the number.
        on_a_desk = re.sub(r'<div class="d-md-none">.*?</div>', "", body[1])
        cells = re.findall(r"<td[^>]*>(.*?)</td>", on_a_desk, re.DOTALL)
        assert [re.sub("<[^>]*>", "", cell) for cell in cells[:2]] == list(read)
        assert "Rows with errors" not in figures(answer)
        assert said in shown(answer)
        assert ("row-remark" in body[1]) == bool(said)
    else:
        assert figures(answer)["Rows with errors"] == "1"
        assert re.search(said.replace("(", r"\("), shown(answer)), shown(answer)


# --- Columns ----------------------------------------------------------------------------------------------------------

ONE = ("+989123456789", 50_000, "irancell", "shop 12")


def sale(text: str) -> tuple[str, int, str, str]:
    (row,) = read_rows(text, BATCH).rows
    assert row.item, row.problems
    return row.item.phone_number, row.item.amount, row.item.operator, row.reference


@pytest.mark.parametrize(
    "text",
    [
        "09123456789,50000,irancell,shop 12",
        "reference,operator,amount,number\nshop 12,Irancell,50000,09123456789",
        "مبلغ (تومان)\tشمارهٔ موبایل\tاپراتور\tتوضیحات\n۵۰٬۰۰۰\t۰۹۱۲۳۴۵۶۷۸۹\tايرانسل\tshop 12".replace("هٔ", "ه"),
        "شماره;شماره موبایل;مبلغ;شبکه;شرح\n1;09123456789;50,000;ایرانسل;shop 12",
        "Sales of Azar\n\nMobile Number;Amount_Tomans;Operator;Note\n09123456789;50000;mci;x".replace(
            "mci;x", "irancell;shop 12"
        ),
        'sep=;\nNumber;Amount;Operator;Ref;Ignored\n09123456789;"50,000";irancell;shop 12;x',
        "row,phone_number,operator,amount,status,reason,id,reference\n7,+989123456789,irancell,50000,failed,,,shop 12",
    ],
)
def test_columns_are_known_by_their_names_in_any_order(text: str) -> None:
    assert sale(text) == ONE


def test_columns_that_are_not_used_are_named() -> None:
    assert read_rows("number,amount,colour\n09123456789,5000,red", BATCH).notes == [
        "Columns that were not used: colour."
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("number,colour\n09123456789,5000", "names no column for the amount"),
        ("amount,colour\n5000,09123456789", "names no column for the number"),
    ],
)
def test_columns_of_which_one_is_missing_are_not_guessed(text: str, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        read_rows(text, BATCH)


def test_a_column_of_rials_is_never_sold_as_tomans() -> None:
    (row,) = read_rows("شماره,مبلغ (ریال)\n09123456789,500000", BATCH).rows
    assert row.item is None
    assert row.problems == ["The column's name says rials. Write the amounts in Tomans, and call the column “Tomans”."]


# --- Files ------------------------------------------------------------------------------------------------------------

HEADER = ("شماره", "مبلغ", "اپراتور")


def workbook(*rows: tuple[Any, ...], **sheets: list[tuple[Any, ...]]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for title, content in sheets.items():
        sheet = book.create_sheet(title)
        for row in content:
            sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def repacked(file: bytes, change: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(file)) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name not in change:
                new.writestr(name, old.read(name))
        for name, content in change.items():
            new.writestr(name, content)
    return packed.getvalue()


def test_a_workbook_is_read_with_its_numbers_as_they_are_kept(seller: Visitor) -> None:
    file = workbook(
        HEADER,
        (9123456789, 50000, "ایرانسل"),
        (),
        ("0912 345 6780", 20000.0, None),
        (989123456781, "۱۰٬۰۰۰ تومان", "mci"),
        (9.123456782e9, date(2026, 11, 26), None),
        (True, None, "x"),
        ("09123456783", "=1000*5", None),
        (9120000000, 50000, None),
        (9.89123e11, 50000, None),
        (9123456789.5, 50000, None),
        ("9.12E+09", 50000, None),
    )
    answer = upload(seller, file, "فروش.xlsx")
    assert answer.status == 200
    assert figures(answer)["Rows to sell"] == "3"
    assert figures(answer)["Total"] == "80,000 Tomans"
    assert figures(answer)["Rows with errors"] == "7"
    assert "took this for a date" in shown(answer)
    assert shown(answer).count("It ends in six zeros: a spreadsheet has probably rounded it") == 2
    assert "7 of its 10 digits are lost" in shown(answer)
    lines = [int(line) for line in re.findall(r'<th scope="row"[^>]*>(\d+)</th>', answer.body.decode())]
    assert sorted(lines) == [2, 4, 5, 6, 7, 8, 9, 10, 11, 12]  # the rows' numbers in the sheet
    assert "9123456789\t50000\tایرانسل" in answer.body.decode()  # to be corrected as text


def test_only_the_first_sheet_with_rows_that_is_not_hidden_is_read() -> None:
    read = text_of(workbook(Second=[("09123456789", 5000)], Third=[("09123456780", 1)]))
    assert read.text == "09123456789\t5000"
    assert read.notes == ["Only the sheet “Second” was read."]


def test_a_formula_has_the_value_that_it_was_saved_with() -> None:
    plain = workbook(("09123456789", 5000))
    with zipfile.ZipFile(io.BytesIO(plain)) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml").decode()
    with_formula = sheet.replace("<v>5000</v>", "<f>SUM(1,2)</f><v>7000</v>")
    assert with_formula != sheet
    changed = repacked(plain, {"xl/worksheets/sheet1.xml": with_formula.encode()})
    assert text_of(changed).text == "09123456789\t7000"


_SHEET = b"""<?xml version="1.0"?>%s<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">
<dimension ref="A1:XFD1048576"/><sheetData>%s</sheetData></worksheet>"""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (_SHEET % (b"", b" " * 20_000_000), "too large when it is unpacked"),
        (_SHEET % (b'<!DOCTYPE x [<!ENTITY a "b">]>', b""), "can't be read as an Excel workbook"),
        (_SHEET % (b"", b'<row r="1048576"><c r="A1048576"><v>1</v></c></row>'), "No rows found"),
        (_SHEET % (b"", b'<row r="1"><c r="A1"><v>1e999</v></c><c r="B1"><v>5</v></c></row>'), ""),
        (_SHEET % (b"", b'<row r="x"><c r="?"><v>1</v></c></row>'), "can't be read as an Excel workbook"),
        (b"not XML", "can't be read as an Excel workbook"),
        (
            _SHEET % (b"", b"".join(b'<row r="%d"><c r="A%d"><v>1</v></c></row>' % (i, i) for i in range(1, 5003))),
            "More than 1,000 rows",
        ),
    ],
    ids=["bomb", "entities", "far away", "infinite", "no reference", "no XML", "long"],
)
def test_a_workbook_made_to_do_harm_is_only_unreadable(content: bytes, said: str) -> None:
    file = repacked(workbook(("09123456789", 5000)), {"xl/worksheets/sheet1.xml": content})
    if said:
        with pytest.raises(Unreadable, match=said):
            read_rows(text_of(file).text, BATCH)
    else:
        assert read_rows(text_of(file).text, BATCH).rows[0].item is None


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 512, "Excel file of the old kind"),
        (b"PK\x03\x04" + b"x" * 100, "can't be read as an Excel workbook"),
        (b"%PDF-1.7\n\x00\x01\x02", "neither an Excel workbook"),
    ],
    ids=["xls", "no archive", "pdf"],
)
def test_other_files_are_named_for_what_they_are(seller: Visitor, file: bytes, said: str) -> None:
    answer = upload(seller, file, "rows.xlsx")
    assert answer.status == 422
    assert said in shown(answer)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1256"])
def test_text_is_read_in_the_encodings_that_spreadsheets_write(encoding: str) -> None:
    text = "شماره;مبلغ;اپراتور;شرح\r\n09123456789;50000;ايرانسل;shop 12\r\n"
    assert sale(text_of(text.encode(encoding)).text) == ONE
