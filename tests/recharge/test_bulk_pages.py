"""Selling many recharges on the pages: rows are read, looked at, sold a slice at a time and followed to their end."""

import csv
import io
import re
import uuid
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.test import Client

from recharge.delivery.settlement import settle_recharge
from recharge.models import OperatorSettings, Recharge, Settings
from recharge.pages.bulk_files import LARGEST_FILE, Unreadable, text_of
from recharge.pages.bulk_rows import MOST_ROWS, read_items, read_rows, write_items
from recharge.selling.errors import REFUSALS, NotSold
from tests.support.client import Answer
from tests.support.locks import holding_lock
from tests.support.queries import captured_queries, counted
from tests.support.visitor import Visitor, session_of
from tests.support.world import Organization, World, give_credit

BATCH = "0" * 32


@pytest.fixture
def seller(acme: Organization) -> Visitor:
    give_credit(acme.row, acme.member.id, 1_000_000)
    return Visitor.signed_in(acme.member)


def lines(count: int, amount: int = 1000, prefix: str = "0935") -> str:
    return "\n".join(f"{prefix}{number:07},{amount}" for number in range(count))


def preview(visitor: Visitor, text: str, batch: str | None = None) -> Answer:
    return visitor.submit("/bulk", {"text": text, "batch": batch or uuid.uuid4().hex})


def form_of(answer: Answer) -> dict[str, str]:
    """The hidden fields of the form that goes on selling, as a browser sends them."""
    page = answer.body.decode()
    form = re.search(r'<form method="post" action="/bulk/sell".*?</form>', page, re.DOTALL)
    assert form, page
    return {
        name: unescape(value)
        for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form[0])
    }


def by_htmx(visitor: Visitor, path: str, fields: dict[str, Any], target: str = "main") -> Answer:
    headers = visitor._headers(
        {"Content-Type": "application/x-www-form-urlencoded", "HX-Request": "true", "HX-Target": target}
    )
    body = urlencode(fields, doseq=True).encode()
    return visitor.client.request("POST", path, body=body, headers=headers, is_page=True)


def upload(visitor: Visitor, file: bytes, name: str = "rows.csv") -> Answer:
    page = visitor.get("/bulk").body.decode()
    token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[0]
    parts = "".join(
        f'--border\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in (("csrfmiddlewaretoken", token), ("batch", uuid.uuid4().hex), ("text", ""))
    )
    body = (
        parts.encode()
        + f'--border\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'.encode()
        + b"Content-Type: text/csv\r\n\r\n"
        + file
        + b"\r\n--border--\r\n"
    )
    headers = visitor._headers({"Content-Type": "multipart/form-data; boundary=border"})
    return visitor.client.request("POST", "/bulk", body=body, headers=headers, is_page=True)


def sold(acme: Organization) -> list[Recharge]:
    with acme.context:
        return list(Recharge.objects.order_by("pk"))


def figures(answer: Answer) -> dict[str, str]:
    return dict(re.findall(r"<dt>([^<]+)</dt><dd[^>]*>([^<]+)</dd>", answer.body.decode()))


# --- Reading rows -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sale"),
    [
        ("09121234567,50000", ("+989121234567", 50_000, "mci")),
        ("0912 123 4567;50,000", ("+989121234567", 50_000, "mci")),
        ("+98 912-123-4567\t50٬000\tirancell", ("+989121234567", 50_000, "irancell")),
        ("۰۹۱۲۱۲۳۴۵۶۷,۵۰۰۰۰,ایرانسل", ("+989121234567", 50_000, "irancell")),
        ("9121234567,50000", ("+989121234567", 50_000, "mci")),  # a spreadsheet took the zero
        ('"09121234567","50,000","Irancell (MTN)"', ("+989121234567", 50_000, "irancell")),
        ("09121234567,50000,MCI,,,", ("+989121234567", 50_000, "mci")),
        ("\ufeff09121234567,50000", ("+989121234567", 50_000, "mci")),
        ("number,amount\n09121234567,50000", ("+989121234567", 50_000, "mci")),
        ("شماره;مبلغ\r\n\r\n09121234567;50000\r\n", ("+989121234567", 50_000, "mci")),
    ],
)
def test_rows_are_read_as_people_write_them(text: str, sale: tuple[str, int, str]) -> None:
    (row,) = read_rows(text, BATCH).rows
    assert row.problems == []
    assert row.item
    assert (row.item.phone_number, row.item.amount, row.item.operator) == sale
    number, amount, operator = row.item.phone_number, row.item.amount, row.item.operator
    assert row.item.idempotency_key == f"page-{BATCH}-{number}-{amount}-{operator}-1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("09121234567", "Write an amount"),
        ("09121234567,", "Write an amount"),
        (",50000", "Iranian mobile number"),
        ("0912,50000", "Iranian mobile number"),
        ("9.12E+09,50000", "7 of its 10 digits are lost"),
        ("02188776655,50000", "Only mobile numbers"),
        ("09121234567,0", "at least 1"),
        ("09121234567,5.5", "no decimals"),
        ("09121234567,=1+1", "whole Tomans"),
        ("09121234567,5000,vodafone", "no such operator"),
        ("09951000000,5000", "is not detected"),
        ("09121234567,50,000", "no such operator"),  # and never 50 Tomans
        ("09121234567,50,000,000", "no such operator"),
        ("09121234567,50,,000", "too many columns"),
        ("09121234567,50000,mci,x,y", "too many columns"),
        ("0\x00912,\ud800,\u202e", "Iranian mobile number"),
        ("0912" * 50_000 + ",1", "Iranian mobile number"),
        ("0," + '"' * 200_000, "Iranian mobile number"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(text: str, said: str) -> None:
    (row,) = read_rows(text, BATCH).rows
    assert row.item is None
    assert said in " ".join(row.problems)


def test_all_that_is_wrong_with_a_row_is_said_at_once() -> None:
    (row,) = read_rows("0912,x,y", BATCH).rows
    assert len(row.problems) == 3


def test_lines_keep_their_numbers() -> None:
    rows = read_rows("phone;amount\n\n09121234567;1000\n \nx;1\n09121234567;1000", BATCH).rows
    assert [row.line for row in rows] == [3, 5, 6]
    assert [row.same_as for row in rows] == [None, None, 3]


@pytest.mark.parametrize("text", ["", " \n\r\n\t", ",,,\n;;", "number,amount", "\ufeff"])
def test_nothing_is_no_rows(text: str) -> None:
    with pytest.raises(Unreadable, match="No rows found"):
        read_rows(text, BATCH)


def test_only_the_first_line_may_be_names() -> None:
    rows = read_rows("number\nnames\n09121234567,1000", BATCH).rows
    assert [row.item is None for row in rows] == [True, False]


def test_there_are_at_most_so_many_rows_and_bytes() -> None:
    assert len(read_rows(lines(MOST_ROWS), BATCH).rows) == MOST_ROWS
    with pytest.raises(Unreadable, match="1,000"):
        read_rows(lines(MOST_ROWS + 1), BATCH)
    with pytest.raises(Unreadable, match="1 MiB"):
        read_rows("0" * (LARGEST_FILE + 1), BATCH)
    with pytest.raises(Unreadable, match="1 MiB"):
        text_of(b"0" * (LARGEST_FILE + 1))


def test_what_a_form_carries_comes_back_as_it_was() -> None:
    rows = read_rows(lines(20) + "\nwrong\n09121234567,5,irancell", BATCH).rows
    items = read_items(write_items(rows), BATCH, allow_duplicate=False)
    assert items == [(row.line, row.item) for row in rows if row.item]


@pytest.mark.parametrize(
    "written",
    [
        "",
        "x",
        "1:+989121234567:5000",
        "1:+989121234567:0:mci",
        "1:+989121234567:9999999999999:mci",
        "1:+989121234567:5000:Vodafone",
        "1:+982188776655:5000:mci",
        "0:+989121234567:5000:mci",
        "1:+989121234567:5000:mci ",
        "1:+989121234567:5000:mci 1:+989121234568:5000:mci",
        "١:+989121234567:5000:mci",
        "1:+989121234567:5000:mci\x00",
        " ".join(f"{line}:+989121234567:5000:mci" for line in range(1, MOST_ROWS + 2)),
    ],
)
def test_what_a_form_did_not_carry_is_refused(seller: Visitor, acme: Organization, written: str) -> None:
    fields = {"batch": BATCH, "items": written}
    assert seller.submit("/bulk", fields, to="/bulk/sell").status == 400
    assert seller.submit("/bulk", fields, to="/bulk/results.csv").status == 400
    assert sold(acme) == []


@pytest.mark.parametrize("batch", ["", "x", "\x00" * 32, "A" * 32, "0" * 33])
def test_a_batch_needs_its_key(seller: Visitor, acme: Organization, batch: str) -> None:
    fields = {"batch": batch, "items": "1:+989121234567:5000:mci", "in_flight": "1:pending"}
    assert seller.submit("/bulk", fields, to="/bulk/sell").status == 400
    assert seller.submit("/bulk", fields, to="/bulk/states").status == 200
    assert sold(acme) == []


# --- The pages --------------------------------------------------------------------------------------------------------


def test_rows_are_looked_at_before_anything_is_sold(seller: Visitor, acme: Organization) -> None:
    with acme.context:
        OperatorSettings.objects.create(operator="rightel", amounts=[10_000])
    answer = preview(seller, "09121234567,50000\n0912,1\n09211234567,7000\n09351234567,20000,mci\n09121234567,50000")
    assert answer.status == 200
    page = answer.body.decode()
    shown = figures(answer)
    assert (shown["Rows to sell"], shown["Rows with errors"]) == ("3", "2")
    assert (shown["Total"], shown["Balance after"]) == ("120,000 Tomans", "880,000 Tomans")
    assert "0912 123 4567" in page
    assert "Iranian mobile number" in page
    assert "not sold for this operator" in page
    assert "the same as row 1" in page
    assert "Sell these 3 for 120,000 Tomans" in page
    assert sold(acme) == []


def test_what_the_credit_does_not_bear_is_said_before(seller: Visitor) -> None:
    answer = preview(seller, "09121234567,900000\n09121234568,200000\n09121234569,100000")
    assert "Your credit is enough for 2 of these rows" in answer.body.decode()
    shown = figures(answer)
    assert shown["Credit short by"] == "200,000 Tomans"
    assert "Balance after" not in shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "No rows found"),
        (lines(MOST_ROWS + 1), "More than 1,000 rows"),
        ("0" * (LARGEST_FILE + 1), "Larger than 1 MiB"),
        ("\x00", "Null characters"),
    ],
    ids=["nothing", "rows", "bytes", "null"],
)
def test_what_can_not_be_read_is_said_at_the_form(seller: Visitor, text: str, said: str) -> None:
    answer = preview(seller, text)
    assert answer.status == 422
    assert said in answer.body.decode()


@pytest.mark.parametrize(
    "file",
    [
        b"09121234567,50000\r\n",
        "\ufeffشماره;مبلغ\r\n۰۹۱۲۱۲۳۴۵۶۷;۵۰۰۰۰".encode(),
        b"09121234567\t50000\tmci",
    ],
)
def test_a_file_is_read(seller: Visitor, file: bytes) -> None:
    answer = upload(seller, file)
    assert answer.status == 200
    assert figures(answer)["Total"] == "50,000 Tomans"


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (b"", "No rows found"),
        (b"\xff\xfe0\x00", "Iranian mobile"),
        (b"0" * (LARGEST_FILE + 1), "Larger than 1 MiB"),
        (b"0" * (3 * LARGEST_FILE), "Too large to be sent at once"),
        (b"\x00\x01\x02" * 50, "neither an Excel workbook (.xlsx) nor a CSV file"),
    ],
    ids=["empty", "utf16", "large", "larger", "binary"],
)
def test_a_file_that_can_not_be_read_is_said(seller: Visitor, file: bytes, said: str) -> None:
    answer = upload(seller, file)
    assert answer.status in (200, 413, 422)
    assert said in answer.body.decode()


def test_without_script_all_are_sold_at_once(seller: Visitor, acme: Organization) -> None:
    fields = form_of(preview(seller, lines(250) + "\n09121234567,900000"))
    answer = seller.post("/bulk/sell", fields)
    assert answer.status == 200
    shown = figures(answer)
    assert (shown["Sold now"], shown["Sold before"], shown["Not sold"]) == ("250", "0", "1")
    assert shown["Balance"] == "750,000 Tomans"
    assert "Not enough credit" in answer.body.decode()
    assert acme.member.balance() == 750_000
    again = figures(seller.post("/bulk/sell", fields))  # a reload
    assert (again["Sold now"], again["Sold before"], again["Not sold"]) == ("0", "250", "1")
    assert len(sold(acme)) == 250


def test_with_htmx_a_slice_at_a_time_is_sold(seller: Visitor, acme: Organization) -> None:
    fields, target, rows = form_of(preview(seller, lines(250))), "main", 0
    for count in (100, 200, 250):
        answer = by_htmx(seller, "/bulk/sell", fields, target)
        assert answer.status == 200
        assert len(sold(acme)) == count
        page = answer.body.decode()
        assert ("<html" in page) == (target == "main")  # of which htmx takes the content alone
        assert f'<progress id="bulk-bar" class="bar" value="{count}" max="250">' in page
        assert answer.headers["HX-Trigger"] == "balance-changed"
        rows += page.count('<th scope="row">')
        assert figures(answer)["Sold now"] == str(count)
        if count < 250:
            # Its answer is lost, and it is sent again.
            assert figures(by_htmx(seller, "/bulk/sell", fields, target))["Sold now"] == str(count - 100)
            assert 'hx-trigger="load, submit"' in page
            fields, target = form_of(answer), "bulk-progress"
    assert rows == 250
    assert "bulk/results.csv" in page
    assert len(sold(acme)) == 250


def test_a_reload_in_the_middle_goes_on_where_it_stopped(seller: Visitor, acme: Organization) -> None:
    batch, text = uuid.uuid4().hex, lines(150)
    by_htmx(seller, "/bulk/sell", form_of(preview(seller, text, batch)))
    assert len(sold(acme)) == 100
    answer = preview(seller, text, batch)
    shown = figures(answer)
    assert (shown["Rows to sell"], shown["Sold already"], shown["Total"]) == ("50", "100", "50,000 Tomans")
    assert (figures(seller.post("/bulk/sell", form_of(answer)))["Sold now"]) == "50"
    assert len(sold(acme)) == 150
    assert "bulk/sell" not in preview(seller, text, batch).body.decode()


def test_a_text_that_is_corrected_after_it_was_sold_sells_what_is_new_in_it(
    seller: Visitor, acme: Organization
) -> None:
    batch = uuid.uuid4().hex
    seller.post("/bulk/sell", form_of(preview(seller, lines(3) + "\n" + lines(1), batch)))
    assert len(sold(acme)) == 4  # the first of them twice, since it was written twice
    answer = preview(seller, "09121239999,1000\n" + lines(1) + "\n" + lines(3), batch)
    shown = figures(answer)
    assert (shown["Rows to sell"], shown["Sold already"]) == ("1", "4")
    assert figures(seller.post("/bulk/sell", form_of(answer)))["Sold now"] == "1"
    assert sold(acme)[-1].phone_number == "+989121239999"
    assert len(sold(acme)) == 5


def test_a_new_form_leaves_out_what_was_sold_a_moment_ago_unless_it_is_meant(
    seller: Visitor, acme: Organization
) -> None:
    seller.post("/bulk/sell", form_of(preview(seller, lines(3))))
    text = lines(4)
    answer = preview(seller, text)
    assert figures(answer)["Rows to sell"] == "1"
    assert "They are left out" in answer.body.decode()
    seller.post("/bulk/sell", form_of(answer))
    assert len(sold(acme)) == 4
    fields = form_of(answer)
    meant = seller.post(
        "/bulk",
        {"text": text, "batch": fields["batch"], "again": "on"}
        | {"csrfmiddlewaretoken": fields["csrfmiddlewaretoken"]},
    )
    assert figures(meant)["Rows to sell"] == "3"  # the fourth is of this very form
    seller.post("/bulk/sell", form_of(meant))
    assert len(sold(acme)) == 7


def test_a_repetition_in_a_batch_must_be_meant(seller: Visitor, acme: Organization) -> None:
    with acme.context:
        Settings.objects.create(pk=1, duplicate_window=600)
    fields = form_of(preview(seller, "09121234567,1000\n09121234567,1000"))
    assert figures(seller.post("/bulk/sell", fields))["Not sold"] == "1"
    answer = seller.post("/bulk/sell", {**fields, "allow_duplicate": "on"})
    assert (figures(answer)["Sold now"], figures(answer)["Sold before"]) == ("1", "1")


def test_a_busy_seller_is_told_and_can_go_on(seller: Visitor, acme: Organization) -> None:
    fields = form_of(preview(seller, lines(3)))
    with holding_lock(acme.row, acme.member.id):
        answers = [by_htmx(seller, "/bulk/sell", fields), seller.post("/bulk/sell", fields)]
    for answer in answers:
        assert answer.status == 200
        page = answer.body.decode()
        assert "Other sales of yours are still in progress, and nothing was done." in page
        assert 'hx-trigger="submit"' in page  # and not by itself, again and again
    assert sold(acme) == []
    by_htmx(seller, "/bulk/sell", form_of(answers[0]), "bulk-progress")
    assert len(sold(acme)) == 3


@pytest.mark.usefixtures("slow")
def test_rows_in_flight_are_followed_to_their_end(seller: Visitor, acme: Organization) -> None:
    fields = form_of(preview(seller, lines(3, prefix="0912") + "\n09350000000,1000"))
    answer = by_htmx(seller, "/bulk/sell", fields)
    page = answer.body.decode()
    first, second, third, _instant = sold(acme)
    waiting = [f"{line}:pending:{one.pk.hex}" for line, one in enumerate((first, second, third), start=1)]
    assert f'name="in_flight" value="{" ".join(waiting)}"' in page
    with acme.context:
        settle_recharge(organization=acme.row, recharge_id=first.pk, status=Recharge.Status.FAILED, failure="x" * 20)
        settle_recharge(organization=acme.row, recharge_id=second.pk, status=Recharge.Status.UNKNOWN)
    asked = {**fields, "in_flight": " ".join(waiting), "round": "0"}
    looked = by_htmx(seller, "/bulk/states", asked, "bulk-in-flight")
    page = looked.body.decode()
    assert looked.headers["HX-Trigger"] == "balance-changed"
    left = f"2:unknown:{second.pk.hex} {waiting[2]}"
    assert f'name="in_flight" value="{left}"' in page
    assert set(re.findall(r'id="(state-\d+)" hx-swap-oob="true"', page)) == {"state-1", "state-2"}
    assert "x" * 20 in page
    with acme.context:
        for recharge in sold(acme)[1:3]:
            settle_recharge(organization=acme.row, recharge_id=recharge.pk, status=Recharge.Status.SUCCEEDED)
    page = by_htmx(seller, "/bulk/states", {**asked, "in_flight": left}).body.decode()
    assert "hx-trigger" not in page
    assert 'data-announce="All rows have their outcome."' in page


@pytest.mark.parametrize(
    "in_flight",
    [
        "",
        "x",
        "1",
        "1:succeeded",
        "0:pending",
        "9" * 100 + ":pending",
        "\x001:pending",
        f"1:pending:{'0' * 32} " * 9999,
        f"1:pending:{'g' * 32}",
    ],
)
def test_odd_states_are_no_states(seller: Visitor, in_flight: str) -> None:
    answer = seller.submit("/bulk", {"batch": BATCH, "in_flight": in_flight, "round": "9" * 99}, to="/bulk/states")
    assert answer.status == 200
    assert "state-" not in answer.body.decode()


def test_results_are_a_file(seller: Visitor, acme: Organization) -> None:
    fields = form_of(preview(seller, "09121234567,1000\n09121234568,999999999"))
    seller.post("/bulk/sell", fields)
    refused = ["2:insufficient_credit", "3:nonsense", '4:"><b>', ":", "x"]
    answer = seller.post("/bulk/results.csv", {**fields, "refused": refused})
    assert answer.headers["Content-Disposition"] == 'attachment; filename="sales.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig"))))
    assert [(row["row"], row["phone_number"], row["amount"], row["status"]) for row in rows] == [
        ("1", "+989121234567", "1000", "succeeded"),
        ("2", "+989121234568", "999999999", "not_sold"),
    ]
    assert rows[0]["id"] == str(sold(acme)[0].pk)
    assert rows[1]["reason"].startswith("Not enough credit")


def test_every_refusal_of_a_row_is_said(seller: Visitor) -> None:
    fields = form_of(preview(seller, lines(len(REFUSALS))))
    refused = [f"{line}:{one.code}" for line, one in enumerate(REFUSALS, start=1)]
    answer = seller.post("/bulk/results.csv", {**fields, "refused": refused})
    rows = csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig")))
    said = {one.code: row["reason"] for one, row in zip(REFUSALS, rows, strict=True)}
    assert [code for code, reason in said.items() if not reason] == [NotSold.code]  # which is of atomic calls alone
    assert said["operator_not_sold"].startswith("Recharges of this operator are not sold")
    assert said["possible_duplicate"] == "The same amount was sold to this number a moment ago."


@pytest.mark.usefixtures("slow")
def test_a_reason_that_is_a_formula_is_none_in_the_file(seller: Visitor, acme: Organization) -> None:
    fields = form_of(preview(seller, "09121234567,1000"))
    seller.post("/bulk/sell", fields)
    with acme.context:
        settle_recharge(
            organization=acme.row, recharge_id=sold(acme)[0].pk, status=Recharge.Status.FAILED, failure="=1+1"
        )
    assert ",'=1+1," in seller.post("/bulk/results.csv", fields).body.decode()


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("markup", ["<script>alert(1)</script>", '"><img src=x>', "</textarea><b>"])
def test_markup_is_shown_as_text(seller: Visitor, acme: Organization, markup: str) -> None:
    answer = preview(seller, f"{markup};{markup};{markup}\n09121234567;1000")
    assert markup not in answer.body.decode()
    assert markup in unescape(answer.body.decode())
    fields = form_of(answer)
    seller.post("/bulk/sell", fields)
    with acme.context:
        settle_recharge(
            organization=acme.row, recharge_id=sold(acme)[0].pk, status=Recharge.Status.FAILED, failure=markup
        )
    for page in (
        seller.post("/bulk/sell", fields),
        seller.post("/bulk/states", {**fields, "in_flight": f"2:pending:{sold(acme)[0].pk.hex}"}),
        preview(seller, "", markup),
    ):
        assert markup not in page.body.decode()


def test_another_sellers_batch_is_nobodys(seller: Visitor, world: World) -> None:
    acme = world.acme
    fields = form_of(preview(seller, "09121234567,1000"))
    seller.post("/bulk/sell", fields)
    (recharge,) = sold(acme)
    for person in (acme.neighbour, world.globex.member):
        other = Visitor.signed_in(person)
        states = other.submit(
            "/bulk",
            {**fields, "in_flight": f"1:unknown:{recharge.pk.hex}"} | {"csrfmiddlewaretoken": ""},
            to="/bulk/states",
        )
        assert states.status == 403
        token = form_of(preview(other, "09121234567,1000"))["csrfmiddlewaretoken"]
        mine = {**fields, "csrfmiddlewaretoken": token, "in_flight": f"1:unknown:{recharge.pk.hex}"}
        for path in ("/bulk/states", "/bulk/results.csv"):
            answer = other.post(path, mine)
            assert answer.status == 200
            assert str(recharge.pk) not in answer.body.decode()
            assert "state-1" not in answer.body.decode()
        answer = other.post("/bulk/sell", mine)
        assert figures(answer)["Not sold"] == "1"  # for want of credit, not of anything of the first seller's
    assert len(sold(acme)) == 1


@pytest.mark.parametrize("path", ["/bulk", "/bulk/sell", "/bulk/states", "/bulk/results.csv"])
def test_the_pages_are_sellers_alone(world: World, path: str) -> None:
    fields = {"batch": BATCH, "items": "1:+989121234567:5000:mci", "in_flight": "1:pending"}
    owner = Visitor.signed_in(world.acme.owner)
    assert owner.submit("/account/preferences", fields, to=path).status == 404
    assert Visitor(world.acme.anyone).submit("/sign-in", fields, to=path).headers["Location"].startswith("/sign-in")
    stranger = Visitor.signed_in(world.globex.member)
    stranger.client = world.acme.anyone
    assert stranger.submit("/sign-in", fields, to=path).status == 302
    assert sold(world.acme) == []


def test_without_its_token_nothing_is_sold(seller: Visitor, acme: Organization) -> None:
    fields = form_of(preview(seller, lines(3)))
    del fields["csrfmiddlewaretoken"]
    assert seller.post("/bulk/sell", fields).status == 403
    assert sold(acme) == []


def test_the_pages_cost_the_same_for_one_row_and_for_a_thousand(seller: Visitor, acme: Organization) -> None:
    def queries(path: str, fields: dict[str, str], **headers: str) -> int:
        client = Client(headers={"host": acme.host, "accept": "text/html", **headers})
        client.cookies[settings.SESSION_COOKIE_NAME] = session_of(acme.member)
        client.post(path, fields)  # what a process remembers, it remembers now
        with captured_queries() as captured:
            response = client.post(path, fields)
        assert response.status_code == 200
        return len(counted(captured))

    for count in (1, MOST_ROWS):
        text = lines(count, amount=1)
        fields = form_of(preview(seller, text))
        seller.post("/bulk/sell", fields)
        known = " ".join(f"{line}:pending:{one.pk.hex}" for line, one in enumerate(sold(acme)[:count], start=1))
        # The session, the account, the balance; and the operators that were added, what would become of the rows.
        assert queries("/bulk", {"text": text, "batch": fields["batch"]}) == 5
        assert queries("/bulk/states", {**fields, "in_flight": known}) == 3
        assert queries("/bulk/results.csv", fields) == 3
