"""Statements as files for people: every row, shaped and in order, in the reader's language."""

import csv
import io
import json
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from django.utils import timezone
from PIL import ImageFont
from pypdf import PdfReader
from reportlab.pdfbase.ttfonts import TTFont

from credit.models import Entry, Seller
from recharge.models import Statement
from recharge.papers import pdf
from recharge.papers.printing import LARGE, print_pdf
from recharge.papers.words import totals_of
from recharge.statements.queries import Row, row_pages
from shared import aside
from shared.errors import Unavailable
from tests.recharge.test_statements import make, today
from tests.support.client import Answer
from tests.support.history import sell_many
from tests.support.world import Organization, give_credit

CREDIT, AMOUNT = 1_000_000, 5000
SOLD = 40
"""More than one page of a PDF."""


@pytest.fixture
def made(acme: Organization) -> dict[str, Any]:
    """A statement of credit and of so many sales, each with a commission."""
    with acme.context:
        Seller.objects.filter(pk=acme.member.id).update(name="فروشگاه پژوهش (تهران)")
    give_credit(acme.row, acme.member.id, CREDIT)
    items = [{"idempotency_key": f"k{n}", "phone_number": f"0912123{n:04}", "amount": AMOUNT} for n in range(SOLD)]
    assert acme.member.client.post("/recharges/bulk", {"items": items}).json["created"] == SOLD
    answer = make(acme.member, today(), today())
    assert answer.status == 201
    made: dict[str, Any] = answer.json
    return made


def file_of(organization: Organization, made: dict[str, Any], ending: str, **options: Any) -> Answer:
    answer = organization.member.client.get(f"/statements/{made['id']}.{ending}", **options)
    assert answer.status == 200, answer
    assert answer.headers["Content-Disposition"].endswith(
        f'filename="statement-{made["seller_id"]}-{made["from"]}-{made["to"]}.{ending.partition("?")[0]}"'
    )
    return answer


def texts_of(content: bytes) -> list[list[str]]:
    """Each page's texts, as they are drawn: letters in the order in which they are seen, from left to right."""
    pages = []
    for page in PdfReader(io.BytesIO(content)).pages:
        texts: list[str] = []

        def visit(text: str, *_: Any, texts: list[str] = texts) -> None:
            texts.extend(text.strip("\n").split("\n"))

        page.extract_text(visitor_text=visit)
        pages.append([text for text in texts if text.strip()])
    return pages


def test_csv_has_every_row_in_the_statements_time(acme: Organization, made: dict[str, Any]) -> None:
    answer = file_of(acme, made, "csv")
    assert answer.body.startswith("\ufeffnumber,created_at,kind,".encode())
    rows = list(csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig"))))
    assert [int(row["number"]) for row in rows] == list(range(1, SOLD + 2))
    with acme.context:
        first = Entry.objects.get(number=2)
    with timezone.override("Asia/Tehran"):
        local = timezone.localtime(first.created_at)
    assert rows[1] == {
        "number": "2",
        "created_at": local.isoformat(),
        "kind": "recharge",
        "phone_number": "+989121230000",
        "debit": "5000",
        "credit": "0",
        "commission": "0",
        "balance_after": str(CREDIT - AMOUNT),
        "reference": str(first.reference),
    }
    assert local.isoformat().endswith("+03:30")
    assert sum(int(row["credit"]) - int(row["debit"]) for row in rows) == made["closing_balance"]


def test_workbook_has_numbers_dates_and_jalali_days(acme: Organization, made: dict[str, Any]) -> None:
    answer = file_of(acme, made, "xlsx?language=fa")
    book = openpyxl.load_workbook(io.BytesIO(answer.body))
    rows, facts = book.worksheets
    assert rows.sheet_view.rightToLeft
    lines = list(rows.iter_rows(values_only=True))
    assert len(lines) == SOLD + 2
    _, day, moment, kind, phone_number, debit, credit, commission, balance, _ = lines[2]
    assert re.fullmatch("۱[۴۵][۰-۹]{2}/[۰-۹]{2}/[۰-۹]{2}", day)
    assert moment.date() == today()
    assert (phone_number, debit, credit, commission, balance) == ("+989121230000", 5000, None, None, CREDIT - AMOUNT)
    assert kind == "شارژ"
    values = [value for _, value in facts.iter_rows(values_only=True)]
    assert made["digest"] in values
    assert made["closing_balance"] in values
    english = openpyxl.load_workbook(io.BytesIO(file_of(acme, made, "xlsx?language=en").body)).worksheets[0]
    assert (english["A1"].value, english["B3"].value, english["D3"].value) == ("Number", str(today()), "Recharge")


def test_pdf_in_persian(acme: Organization, made: dict[str, Any]) -> None:
    answer = file_of(acme, made, "pdf?language=fa")
    assert answer.headers["Content-Type"] == "application/pdf"
    assert answer.body == file_of(acme, made, "pdf?language=fa").body  # the same, byte by byte
    reader = PdfReader(io.BytesIO(answer.body))
    assert reader.trailer["/Root"]["/Lang"] == "fa"
    fonts = [font.get_object() for font in reader.pages[0]["/Resources"]["/Font"].values()]
    embedded = [font["/BaseFont"] for font in fonts if "/FontFile2" in font.get("/FontDescriptor", {})]
    assert {name.partition("+")[2] for name in embedded} == {"Vazirmatn-Regular", "Vazirmatn-Bold"}

    pages = texts_of(answer.body)
    assert len(pages) == 2
    everything = "\n".join("\n".join(page) for page in pages)
    # Joined letters are other characters than those that were written: the forms of their places in a word.
    assert any("\ufe70" <= character <= "\ufeff" for character in everything)
    # The reader of these tests turns right-to-left text around: so it was drawn in the order in which it is seen.
    read = unicodedata.normalize("NFKC", everything)
    for text in ("مانده ابتدای دوره", "فروشگاه پژوهش", "صفحه ۲ از ۲", "شارژ"):
        assert text in read, text
    for page in pages:
        assert any(made["digest"] in text for text in page)
    # Digits are drawn as they are written. (That reader turns these around as well.)
    assert "۹۹۵٬۰۰۰"[::-1] in read.split("\n")


def test_figures_of_a_pdf_stand_below_each_other() -> None:
    fonts = Path(pdf.__file__).parent / "fonts"
    for name in (pdf.REGULAR, pdf.BOLD):
        font = TTFont(name, fonts / f"{name}.ttf")
        for digits in ("0123456789", "۰۱۲۳۴۵۶۷۸۹"):
            assert len({font.stringWidth(digit, 100) for digit in digits}) == 1, (name, digits)
        # Lining figures, all as high as capitals: old-style ones, of which 0 looks like an o, are for running text.
        drawn = ImageFont.truetype(fonts / f"{name}.ttf", 1000)
        tops = {digit: drawn.getbbox(digit, anchor="ls")[1] for digit in "0123456789"}
        assert all(abs(top - drawn.getbbox("H", anchor="ls")[1]) < 20 for top in tops.values()), (name, tops)


def test_totals_are_what_the_columns_add_up_to(acme: Organization) -> None:
    with acme.context:
        Seller.objects.filter(pk=acme.member.id).update(name="Kiosk 9")
    give_credit(acme.row, acme.member.id, CREDIT)
    for number, amount in enumerate((70_000, -30_000, -1000)):
        given = {"seller_id": acme.member.id, "amount": amount, "reason": "counted again"}
        headers = {"Idempotency-Key": f"adjustment-{number}"}
        assert acme.owner.client.post("/adjustments", given, headers=headers).status == 201
    made = make(acme.member, today(), today()).json
    rows = list(csv.DictReader(io.StringIO(file_of(acme, made, "csv").body.decode("utf-8-sig"))))
    added_up = [sum(int(row[column]) for row in rows) for column in ("debit", "credit")]
    assert added_up == [31_000, CREDIT + 70_000]
    with acme.context:
        of_kinds = {one.kind: (one.entries, one.debit, one.credit) for one in totals_of(Statement.objects.get())}
    assert of_kinds == {
        "adjustment": (3, 31_000, 70_000),
        "credit": (1, 0, CREDIT),
        "": (4, 31_000, CREDIT + 70_000),
    }
    (page,) = texts_of(file_of(acme, made, "pdf", headers={"Accept-Language": "en"}).body)
    texts = [text.strip() for text in page]
    assert texts.count("31,000") == 2  # of the adjustments, and of all
    assert texts.count("1,070,000") == 2  # of all, and a balance
    # A name stands alone, without what a paragraph of the other direction would tear away from it.
    assert any(text.strip() == "Kiosk 9" for text in texts_of(file_of(acme, made, "pdf?language=fa").body)[0])


def test_pdf_in_english(acme: Organization, made: dict[str, Any]) -> None:
    pages = texts_of(file_of(acme, made, "pdf", headers={"Accept-Language": "en"}).body)
    everything = [text.strip() for page in pages for text in page]
    for text in (
        "Acme",
        "Opening balance",
        "Closing balance",
        "1,000,000",
        "800,000",
        f"+98912123{SOLD - 1:04}",
        "Page 1 of 2",
        "Page 2 of 2",
    ):
        assert text in everything, (text, everything)
    assert [int(text) for text in everything if re.fullmatch("[0-9]{1,2}", text)].count(SOLD + 1) >= 1
    assert everything.count("Recharge") == SOLD + 1  # and their total


def test_an_empty_statement_is_a_file_too(acme: Organization) -> None:
    made = make(acme.member, "2026-01-01", "2026-01-31").json
    assert len(file_of(acme, made, "csv").body.splitlines()) == 1
    assert len(texts_of(file_of(acme, made, "pdf").body)) == 1
    assert openpyxl.load_workbook(io.BytesIO(file_of(acme, made, "xlsx").body)).worksheets[0].max_row == 1


def test_files_are_for_those_who_see_the_statement(acme: Organization, globex: Organization) -> None:
    made = make(acme.member, today(), today()).json
    for ending in ("pdf", "xlsx", "csv"):
        for person in (acme.neighbour, globex.member, globex.owner):
            assert person.client.get(f"/statements/{made['id']}.{ending}").status == 404
        assert acme.owner.client.get(f"/statements/{made['id']}.{ending}").status == 200
        refused = acme.member.client.get(f"/statements/{made['id']}.{ending}?language=de")
        assert (refused.status, refused.code) == (400, "invalid_request")


HEADING: dict[str, Any] = {
    "language": "fa",
    "is_rtl": True,
    "is_persian": True,
    "time_zone": "Asia/Tehran",
    "title": "نام " * 60,
    "organization": "acme",
    "facts": [["فروشنده", "نامی که در هیچ سطری جا نمی‌شود " * 8], ["一", "no letter of the font: 一"]],
    "columns": [str(column) for column in range(9)],
    "kinds": {},
    "entries": 0,
    "opening": "opening",
    "opening_balance": 9_007_199_254_740_991,
    "totals": [],
    "closing": "closing",
    "closing_balance": -1,
    "digest": "ab" * 32,
    "page": "%(page)s/%(pages)s",
}


@pytest.mark.parametrize("entries", [0, 32, 33, 69, 70])
def test_pages_are_as_many_as_was_counted(entries: int) -> None:
    row = [1, 0, "kind", "+989121234567", -(10**12), 10**12, 9_007_199_254_740_991, "0" * 36]
    lines = [HEADING | {"entries": entries}, [row] * entries, None]
    target = io.BytesIO()
    pdf.write_pdf(io.StringIO("".join(f"{json.dumps(line)}\n" for line in lines)), target)
    pages = texts_of(target.getvalue())
    assert len(pages) == 1 + (entries > 32) + (entries > 69)


@pytest.mark.parametrize("lines", [[], [HEADING], [HEADING | {"entries": 1}, None], [HEADING | {"entries": 1}, []]])
def test_a_pdf_of_rows_that_did_not_all_come_is_none(lines: list[Any]) -> None:
    given = "".join(f"{json.dumps(line)}\n" for line in lines)
    child = subprocess.run(
        [sys.executable, "-I", pdf.__file__], input=given.encode(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert (child.returncode, child.stdout) == (1, b"")


def test_what_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "DEADLINE_SECONDS", 0.01)
    with pytest.raises(Unavailable):
        print_pdf(HEADING, iter([[]]))


def test_of_large_ones_one_is_written_at_a_time() -> None:
    def pages() -> Iterator[list[Row]]:
        with pytest.raises(Unavailable):
            print_pdf(HEADING | {"entries": LARGE + 1}, iter([[]]))
        with print_pdf(HEADING, iter([[]])) as small:
            assert small.read(5) == b"%PDF-"
        yield []
        raise ConnectionError

    for _ in range(2):  # the place is free again, whatever became of the first
        with pytest.raises(ConnectionError):
            print_pdf(HEADING | {"entries": LARGE + 1}, pages())


@pytest.mark.slow
def test_a_statement_of_many_entries(acme: Organization) -> None:
    """All rows, in pages."""
    sell_many(acme.row, acme.member.id, 3_000)
    made = make(acme.member, date(2025, 1, 1), date(2025, 1, 2)).json
    assert made["entries"] >= 3_000
    assert acme.member.client.get(f"/statements/{made['id']}/proof").json["holds"]
    assert len(file_of(acme, made, "csv").body.splitlines()) == made["entries"] + 1
    reader = PdfReader(io.BytesIO(file_of(acme, made, "pdf").body))
    assert len(reader.pages) > made["entries"] / 40
    with acme.context:
        row = Statement.objects.get()
    assert sum(len(page) for page in row_pages(acme.row, row)) == made["entries"]
