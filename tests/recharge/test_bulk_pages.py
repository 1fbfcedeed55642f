"""Selling many recharges on the pages: rows are read, looked at, sold a slice at a time and followed to their end."""

import csv
import io
import re
import uuid
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.test import Client

from credit.pages.exports import FORMATS
from recharge.batches.rows import BatchRow
from recharge.commissions.services import set_commission
from recharge.delivery.settlement import settle_recharge
from recharge.models import BulkBatch, OperatorSettings, Recharge, Settings
from recharge.pages.bulk_files import LARGEST_FILE, Unreadable, text_of
from recharge.pages.bulk_rows import MOST_ROWS, mark_equals, read_items, read_rows, write_items
from recharge.pages.words import refusal_words
from recharge.selling.errors import REFUSALS, NotSold
from tests.support.client import Answer
from tests.support.earlier import earlier
from tests.support.locks import holding_lock
from tests.support.queries import captured_queries, counted
from tests.support.sheets import sheet_of
from tests.support.visitor import Visitor, session_of, shown, value_of
from tests.support.world import Organization, World, give_credit

BATCH = "0" * 32


@pytest.fixture
def seller(acme: Organization) -> Visitor:
    give_credit(acme.row, acme.member.id, 1_000_000)
    return Visitor.signed_in(acme.member)


def lines(count: int, amount: int = 1000, prefix: str = "0935") -> str:
    return "\n".join(f"{prefix}{number:07},{amount}" for number in range(count))


def preview(visitor: Visitor, text: str, batch: str | None = None, *, again: bool = False) -> Answer:
    fields = {"text": text, "batch": batch or uuid.uuid4().hex}
    return visitor.submit("/bulk", fields | ({"again": "on"} if again else {}))


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


def results(visitor: Visitor, fields: dict[str, Any]) -> Answer:
    """Sells without script, and goes where that leads."""
    answer = visitor.post("/bulk/sell", fields)
    assert answer.status == 303, answer
    return visitor.get(answer.headers["Location"])


def token_of(answer: Answer) -> str:
    return value_of(answer, "csrfmiddlewaretoken")


def counts(answer: Answer) -> dict[str, str]:
    """What became of how many rows."""
    return {name: count for name, count in figures(answer).items() if name in _OUTCOMES}


_OUTCOMES = {"Delivered", "Failed", "Waiting", "Not sold"}


def reckoning(answer: Answer) -> dict[str, str]:
    """How they agree with the balance: lines that add up to the last."""
    _before, _table, rest = answer.body.decode().partition("reckoning")
    found = re.findall(
        r'<tr><th scope="row">(.*?)</th><td class="amount">(.*?)</td></tr>', rest.partition("</table>")[0]
    )
    lines = {_plain(name): _plain(amount) for name, amount in found}
    *moved, now = (int(re.sub("[,+]", "", amount).replace("−", "-")) for amount in lines.values())
    assert sum(moved) == now
    return lines


def _plain(markup: str) -> str:
    return re.sub("<[^>]*>|\u200e", "", markup)


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
    mark_equals(rows)
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
    rows = read_rows(lines(20) + "\nwrong\n09121234567,5,irancell,فروشگاه ۱۲: =1+1", BATCH).rows
    items = read_items(write_items(rows), BATCH, allow_duplicate=False)
    assert items == [BatchRow(row.line, row.item, row.reference) for row in rows if row.item]


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
    assert sold(acme) == []


@pytest.mark.parametrize("batch", ["", "x", "\x00" * 32, "A" * 32, "0" * 33])
def test_a_batch_needs_its_key(seller: Visitor, acme: Organization, batch: str) -> None:
    fields = {"batch": batch, "items": "1:+989121234567:5000:mci", "in_flight": "1:pending"}
    assert seller.submit("/bulk", fields, to="/bulk/sell").status == 400
    assert seller.submit("/bulk", {"batch": batch}, to="/bulk/sell").status == 400
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
    answer = results(seller, fields)
    assert counts(answer) == {"Delivered": "250", "Failed": "0", "Not sold": "1"}
    assert "Not enough credit" in answer.body.decode()
    assert reckoning(answer) == {"Balance before": "1,000,000", "Sold": "−250,000", "Balance now": "750,000"}
    assert acme.member.balance() == 750_000
    again = results(seller, fields)  # a reload of what sent it
    assert counts(again) == counts(answer)
    assert len(sold(acme)) == 250
    assert acme.member.balance() == 750_000


def test_with_htmx_a_slice_at_a_time_is_sold(seller: Visitor, acme: Organization) -> None:
    fields, target = form_of(preview(seller, lines(250))), "main"
    for count in (100, 200):
        answer = by_htmx(seller, "/bulk/sell", fields, target)
        assert answer.status == 200
        assert len(sold(acme)) == count
        page = answer.body.decode()
        assert ("<html" in page) == (target == "main")  # of which htmx takes the content alone
        assert f'<progress id="bulk-bar" class="bar" value="{count}" max="250">' in page
        assert answer.headers["HX-Trigger"] == "balance-changed"
        assert (figures(answer)["Sold"], figures(answer)["Not sold"]) == (str(count), "0")
        # Its answer is lost, and it is sent again.
        assert figures(by_htmx(seller, "/bulk/sell", fields, target))["Sold"] == str(count)
        assert 'hx-trigger="load, submit"' in page
        fields, target = form_of(answer), "bulk-progress"
        assert "items" not in fields  # the batch is kept
    answer = by_htmx(seller, "/bulk/sell", fields, target)
    assert (answer.status, len(sold(acme))) == (204, 250)
    assert counts(seller.get(answer.headers["HX-Redirect"]))["Delivered"] == "250"


def test_a_batch_that_was_left_in_the_middle_goes_on(seller: Visitor, acme: Organization) -> None:
    fields = form_of(preview(seller, lines(150)))
    by_htmx(seller, "/bulk/sell", fields)
    page = seller.get(f"/bulk/sales/{uuid.UUID(hex=fields['batch'])}")
    assert counts(page) == {"Delivered": "100", "Failed": "0", "Not sold": "50"}
    assert "50 rows are not sold yet." in shown(page)
    assert counts(results(seller, form_of(page))) == {"Delivered": "150", "Failed": "0"}
    assert len(sold(acme)) == 150


def test_a_corrected_text_goes_on_where_it_stopped_and_forgets_nothing(seller: Visitor, acme: Organization) -> None:
    batch, text = uuid.uuid4().hex, lines(3)
    seller.post("/bulk/sell", form_of(preview(seller, text, batch)))
    answer = preview(seller, "09121239999,5\n" + lines(2), batch)
    shown_figures = figures(answer)
    assert (shown_figures["Rows to sell"], shown_figures["Sold already"]) == ("1", "2")
    answer = results(seller, form_of(answer))
    assert counts(answer)["Delivered"] == "4"  # with the row that is not in the text any more
    assert sold(acme)[-1].phone_number == "+989121239999"
    assert len(sold(acme)) == 4


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


def test_what_was_sold_elsewhere_since_the_preview_must_be_meant(seller: Visitor, acme: Organization) -> None:
    with acme.context:
        Settings.objects.create(pk=1, duplicate_window=600)
    fields = form_of(preview(seller, "09121234567,1000\n09121234568,1000"))
    assert acme.member.sell(1000, phone_number="09121234567").status == 201
    answer = results(seller, fields)
    assert counts(answer)["Not sold"] == "1"
    assert "One row was not sold: the same amount" in shown(answer)
    assert form_of(answer).keys() >= {"allow_duplicate"}
    assert counts(results(seller, form_of(answer))) == {"Delivered": "2", "Failed": "0"}
    assert len(sold(acme)) == 3


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
    answer = results(seller, fields)
    first, second, third, _instant = sold(acme)
    waiting = [f"{place}:pending:{one.pk.hex}" for place, one in enumerate((first, second, third), start=1)]
    assert f'name="in_flight" value="{" ".join(waiting)}"' in answer.body.decode()
    assert counts(answer) == {"Delivered": "1", "Failed": "0", "Waiting": "3"}
    assert "Try this one again" not in shown(answer)  # before all have ended
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
    assert counts(looked) == {"Delivered": "1", "Failed": "1", "Waiting": "2"}
    assert reckoning(looked) == {
        "Balance before": "1,000,000", "Sold": "−4,000", "Refunded": "+1,000", "Balance now": "997,000",
    }  # fmt: skip
    assert "One row has failed in the meantime: show it first" in page
    followed = {**asked, "in_flight": left, "failed_since": "1"}
    unchanged = by_htmx(seller, "/bulk/states", followed).body.decode()
    assert "bulk-summary" not in unchanged
    assert "One row has failed in the meantime: show it first" in unchanged
    assert 'name="failed_since" value="1"' in unchanged
    # Whoever opens the page, or loads it anew, finds the failed ones first, also while others are in flight.
    with acme.context:
        settle_recharge(organization=acme.row, recharge_id=third.pk, status=Recharge.Status.FAILED, failure="barred")
    (address,) = set(re.findall(r'<a href="(/bulk/sales/[^"]+)">', unchanged))
    loaded = seller.get(address)
    assert re.findall(r'id="state-(\d)"', loaded.body.decode()) == ["1", "3", "2", "4"]
    assert "in the meantime" not in shown(loaded)
    with acme.context:
        settle_recharge(organization=acme.row, recharge_id=second.pk, status=Recharge.Status.SUCCEEDED)
    page = by_htmx(seller, "/bulk/states", {**asked, "in_flight": left}).body.decode()
    assert "hx-trigger" not in page
    assert 'data-announce="All rows have their outcome."' in page
    assert '<tbody id="bulk-rows" hx-swap-oob="true">' in page  # in their order, what failed first
    assert re.findall(r'id="state-(\d)"', page) == ["1", "3", "2", "4"]
    assert "Try these 2 again" in page


@pytest.mark.usefixtures("slow")
def test_what_failed_is_tried_again_with_new_keys_and_nothing_else_is(seller: Visitor, acme: Organization) -> None:
    text = "number,amount,ref\n" + "\n".join(f"0912000000{number},1000,shop {number}" for number in range(4))
    fields = form_of(preview(seller, text))
    results(seller, fields)
    with acme.context:
        for recharge, failed in zip(sold(acme), (False, True, True, False), strict=True):
            status = Recharge.Status.FAILED if failed else Recharge.Status.SUCCEEDED
            settle_recharge(
                organization=acme.row, recharge_id=recharge.pk, status=status, failure="x" if failed else ""
            )
    answer = seller.get(f"/bulk/sales/{uuid.UUID(hex=fields['batch'])}")
    assert "Try these 2 again" in shown(answer)
    order = re.findall(r'<tr><th scope="row">(\d)</th>', answer.body.decode())
    assert order == ["3", "4", "2", "5"]  # what failed first
    again = seller.post("/bulk", {"take": "failed", "from": fields["batch"], "csrfmiddlewaretoken": token_of(answer)})
    assert (again.status, figures(again)["Rows to sell"]) == (200, "2")
    assert "shop 1" in shown(again)
    new = form_of(again)
    assert new["batch"] != fields["batch"]
    answer = results(seller, new)  # the guard against duplicates does not refuse what was refunded
    assert counts(answer)["Waiting"] == "2"
    assert [one.phone_number[-1] for one in sold(acme)] == ["0", "1", "2", "3", "1", "2"]
    assert acme.member.balance() == 1_000_000 - 4 * 1000


def test_rows_that_were_refused_are_tried_again_and_those_with_mistakes_are_corrected(
    seller: Visitor, acme: Organization
) -> None:
    rows = "09121234567;900000;a\n09121234568;200000;b\n9.12E+09;1000;c\n0912;1000;d"
    fields = form_of(preview(seller, "number;rials;x\n".replace("rials", "amount") + rows))
    answer = results(seller, fields)
    assert counts(answer)["Not sold"] == "1"
    token = {"csrfmiddlewaretoken": token_of(answer), "from": fields["batch"]}
    assert "Try this one again" in shown(answer)
    again = seller.post("/bulk", {"take": "failed", **token})
    assert figures(again)["Credit short by"] == "100,000 Tomans"
    assert "Correct the 2 rows with errors" in shown(answer)
    wrong = seller.post("/bulk", {"take": "mistakes", **token})
    assert figures(wrong)["Rows with errors"] == "2"
    assert "number;amount;x\n9.12E+09;1000;c\n0912;1000;d</textarea>" in unescape(wrong.body.decode())
    assert len(sold(acme)) == 1


EQUAL = "09121234567,1000\n09351234567,2000\n0912 123 4567,1000\n09351234567,3000\n+989121234567,1000"


def test_equal_rows_must_be_meant(seller: Visitor, acme: Organization) -> None:
    answer = preview(seller, EQUAL)
    assert "0912 123 4567 · 1,000 Tomans (rows 1 · 3 · 5)" in shown(answer)
    assert shown(answer).count("the same as row 1") == 2
    assert 'name="equal_rows" value="on" id="id_equal_rows" required' in answer.body.decode()
    fields = form_of(answer)
    for refused in (seller.post("/bulk/sell", fields), by_htmx(seller, "/bulk/sell", fields)):
        assert "Some rows have the same number and amount." in shown(refused)
        assert 'name="equal_rows"' in refused.body.decode()
        assert sold(acme) == []
        with acme.context:
            assert not BulkBatch.objects.exists()
    meant = {**form_of(refused), "equal_rows": "on"}
    assert counts(results(seller, meant))["Delivered"] == "5"
    assert acme.member.balance() == 1_000_000 - 8000
    # Sent again, it is the same batch.
    assert counts(results(seller, meant))["Delivered"] == "5"
    assert len(sold(acme)) == 5


def test_one_of_equal_rows_that_is_taken_out_needs_no_tick(seller: Visitor, acme: Organization) -> None:
    answer = preview(seller, "09121234567,1000\n09121234567,2000\n09121234567,1000,vodafone\n09121234568,1000")
    assert "equal_rows" not in answer.body.decode()
    assert counts(results(seller, form_of(answer)))["Delivered"] == "3"


def test_equal_rows_of_two_operators_are_equal(seller: Visitor, acme: Organization) -> None:
    """As for the guard against duplicates: a number has one operator."""
    answer = preview(seller, "09121234567,1000,mci\n09121234567,1000,irancell")
    assert "(rows 1 · 2)" in shown(answer)
    assert seller.post("/bulk/sell", form_of(answer)).status == 200
    assert sold(acme) == []


def test_equal_rows_that_are_meant_are_no_duplicates(seller: Visitor, acme: Organization) -> None:
    """Also where the organization refuses a repetition within a time."""
    with acme.context:
        Settings.objects.create(pk=1, duplicate_window=600)
    fields = {**form_of(preview(seller, EQUAL)), "equal_rows": "on"}
    assert counts(results(seller, fields))["Delivered"] == "5"


def test_a_file_that_is_equal_in_itself_and_sold_before_needs_both_ticks(seller: Visitor, acme: Organization) -> None:
    results(seller, {**form_of(preview(seller, EQUAL)), "equal_rows": "on"})
    answer = preview(seller, EQUAL, again=True)
    assert {"sold_before", "equal_rows"} <= set(re.findall(r'name="(\w+)" value="on"', answer.body.decode()))
    refused = seller.post("/bulk/sell", {**form_of(answer), "sold_before": "on"})
    assert "Some rows have the same number and amount." in shown(refused)
    assert len(sold(acme)) == 5
    # What was ticked once goes with the form.
    assert counts(results(seller, {**form_of(refused), "equal_rows": "on"}))["Delivered"] == "5"
    refused = seller.post("/bulk/sell", {**form_of(preview(seller, EQUAL, again=True)), "equal_rows": "on"})
    assert "The same rows were sold before." in shown(refused)
    assert counts(results(seller, {**form_of(refused), "sold_before": "on"}))["Delivered"] == "5"
    assert len(sold(acme)) == 15


def test_above_many_equal_rows_some_are_named(seller: Visitor) -> None:
    page = shown(preview(seller, lines(12) + "\n" + lines(12) + "\n" + "09121234567,1\n" * 25))
    assert page.count("(rows ") == 10
    assert "The remarks below tell of the others." in page
    assert "…" not in shown(preview(seller, "09121234567,1\n" * 20))
    assert " · 20 …)" in shown(preview(seller, "09121234567,1\n" * 21))


def test_a_file_that_comes_again_must_be_meant(seller: Visitor, acme: Organization) -> None:
    first = form_of(preview(seller, "09121234567,1000\n09351234567,2000\n1,1"))
    results(seller, first)
    with acme.context:  # longer ago than the guard against duplicates looks
        BulkBatch.objects.update(created_at=earlier("created_at", timedelta(days=29)))
    # The other way round, written otherwise, with another mistake.
    answer = preview(seller, "+98 935 123 4567;2,000\n9121234567;1000\nx;2", again=True)
    assert re.search("The same 2 rows were sold before: .* by member. Results", shown(answer)), shown(answer)
    assert f'href="/bulk/sales/{uuid.UUID(hex=first["batch"])}"' in answer.body.decode()
    fields = form_of(answer)
    assert 'name="sold_before" value="on" id="id_sold_before" required' in answer.body.decode()
    for refused in (seller.post("/bulk/sell", fields), by_htmx(seller, "/bulk/sell", fields)):
        assert "The same rows were sold before." in shown(refused)
        assert 'name="sold_before"' in refused.body.decode()
        assert len(sold(acme)) == 2
    assert counts(results(seller, {**form_of(refused), "sold_before": "on"}))["Delivered"] == "2"
    assert len(sold(acme)) == 4
    # Other rows, or the same a month later, are no such file.
    assert "sold before" not in shown(preview(seller, "09121234567,1000\n09351234567,2001", again=True))
    with acme.context:
        BulkBatch.objects.update(created_at=earlier("created_at", timedelta(days=31)))
    assert "sold before" not in shown(preview(seller, "09121234567,1000\n09351234567,2000", again=True))


@pytest.mark.usefixtures("slow")
def test_a_file_that_failed_as_a_whole_is_sold_again_without_more_ado(seller: Visitor, acme: Organization) -> None:
    results(seller, form_of(preview(seller, "09121234567,1000")))
    with acme.context:
        (recharge,) = sold(acme)
        settle_recharge(organization=acme.row, recharge_id=recharge.pk, status=Recharge.Status.FAILED, failure="x")
    answer = preview(seller, "09121234567,1000")
    assert "sold before" not in shown(answer)
    assert counts(results(seller, form_of(answer)))["Waiting"] == "1"


def test_what_a_batch_earned_and_what_else_moved_the_balance_is_reckoned(seller: Visitor, acme: Organization) -> None:
    with acme.context:
        set_commission(organization=acme.row, seller_id=None, operator=None, basis_points=100, by="owner")
    fields = form_of(preview(seller, "09121234567,50000\n09351234567,20000"))
    answer = results(seller, fields)
    assert figures(answer)["You earned"] == "700 Tomans"
    acme.member.sell(10_000, phone_number="09121230000")
    give_credit(acme.row, acme.member.id, 5000)
    answer = seller.get(f"/bulk/sales/{uuid.UUID(hex=fields['batch'])}")
    assert reckoning(answer) == {
        "Balance before": "1,000,000", "Sold": "−70,000", "Commission": "+700", "Other entries since": "−4,900",
        "Balance now": "925,800",
    }  # fmt: skip
    assert acme.member.balance() == 925_800


def test_batches_are_found_again(seller: Visitor, world: World) -> None:
    assert "Nothing was sold from a file" in shown(seller.get("/bulk/sales"))
    fields = form_of(upload(seller, b"09121234567,1000\n09351234567,2000000", "Azar.csv"))
    results(seller, fields)
    results(seller, form_of(preview(seller, "09121234568,1000")))
    page = seller.get("/bulk/sales").body.decode()
    rows = [re.sub(r"<[^>]+>", " ", row).split() for row in re.findall("<tr><td.*?</tr>", page, re.DOTALL)]
    assert [row[2:] for row in rows] == [
        ["Pasted", "rows", "member", "Delivered", "1", "1", "1", "1,000"],  # on a phone, the counts are below the name
        ["Azar.csv", "member", "Delivered", "1", "Not", "sold", "1", "2", "1", "1", "1,000"],
    ]
    assert page.index("Pasted rows") < page.index("Azar.csv")
    for other in (world.acme.neighbour, world.globex.member):
        visitor = Visitor.signed_in(other)
        assert "Azar.csv" not in shown(visitor.get("/bulk/sales"))
        for ending in ("", *(f".{one}" for one in FORMATS)):
            assert visitor.get(f"/bulk/sales/{uuid.UUID(hex=fields['batch'])}{ending}").status == 404


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
    assert answer.status in (200, 404)  # there may be no such batch
    assert "state-" not in answer.body.decode()


def test_results_are_a_file_which_can_be_sent_again(seller: Visitor, acme: Organization) -> None:
    fields = form_of(preview(seller, "09121234567,1000,,=1+1\n09121234568,999999999"))
    results(seller, fields)
    address = f"/bulk/sales/{uuid.UUID(hex=fields['batch'])}"
    answer = seller.get(f"{address}.csv")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="sales.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig"))))
    assert [(row["row"], row["phone_number"], row["amount"], row["status"], row["reference"]) for row in rows] == [
        ("1", "+989121234567", "1000", "succeeded", "'=1+1"),
        ("2", "+989121234568", "999999999", "not_sold", ""),
    ]
    assert rows[0]["id"] == str(sold(acme)[0].pk)
    assert rows[1]["reason"].startswith("Not enough credit")
    sheet = sheet_of(seller.get(f"{address}.xlsx"))
    assert sheet.rows[1][:6] == [1.0, "+989121234567", "Hamrah-e Aval (MCI)", 1000.0, "=1+1", "Delivered"]
    assert sheet.rows[2][5] == "Not sold"
    again = preview(seller, answer.body.decode("utf-8-sig"))
    assert "Columns that were not used: row, status, reason, commission, id." in shown(again)
    assert figures(again)["Rows to sell"] == "1"  # the other was sold a moment ago


@pytest.mark.parametrize("ending", FORMATS)
def test_results_are_to_be_had_in_each_format(seller: Visitor, ending: str) -> None:
    fields = form_of(preview(seller, "09121234567,1000"))
    page = results(seller, fields).body.decode()
    address = f"/bulk/sales/{uuid.UUID(hex=fields['batch'])}.{ending}"
    assert f'href="{address}" download>{FORMATS[ending].label_of_results}</a>' in page
    assert seller.get(address).headers["Content-Disposition"] == f'attachment; filename="sales.{ending}"'


def test_every_refusal_of_a_row_is_said() -> None:
    said = {one.code: refusal_words(one.code) for one in REFUSALS}
    assert [code for code, reason in said.items() if not reason] == [NotSold.code]  # which is of atomic calls alone
    assert said["operator_not_sold"].startswith("Recharges of this operator are not sold")
    assert said["possible_duplicate"] == "The same amount was sold to this number a moment ago."
    assert refusal_words('"><b>') == ""


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
        results(seller, fields),
        seller.post("/bulk/states", {**fields, "in_flight": f"1:pending:{sold(acme)[0].pk.hex}"}),
        preview(seller, "", markup),
        upload(seller, b"09121234568,1000", "markup.csv"),
    ):
        assert markup not in page.body.decode()


def test_another_sellers_batch_is_nobodys(seller: Visitor, world: World) -> None:
    acme = world.acme
    fields = form_of(preview(seller, "09121234567,1000"))
    seller.post("/bulk/sell", fields)
    (recharge,) = sold(acme)
    for person in (acme.neighbour, world.globex.member):
        other = Visitor.signed_in(person)
        token = token_of(other.get("/bulk"))
        mine = {**fields, "csrfmiddlewaretoken": token, "in_flight": f"1:unknown:{recharge.pk.hex}"}
        answer = other.post("/bulk/states", mine)
        assert answer.status == 404
        assert str(recharge.pk) not in answer.body.decode()
        assert other.post("/bulk", {"take": "failed", "from": fields["batch"], **mine}).status == 404
        answer = other.post("/bulk/sell", mine)
        assert counts(other.get(answer.headers["Location"]))["Not sold"] == "1"  # for want of credit alone
    assert len(sold(acme)) == 1


@pytest.mark.parametrize("path", ["/bulk", "/bulk/sell", "/bulk/states"])
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
        known = " ".join(f"{place}:pending:{one.pk.hex}" for place, one in enumerate(sold(acme)[:count], start=1))
        # The session, the account, the balance; the operators that were added, what would become of the rows, whether
        # they were sold before.
        assert queries("/bulk", {"text": text, "batch": fields["batch"]}) == 6
        # The session, the account; the batch, its recharges, the reckoning.
        assert queries("/bulk/states", {**fields, "in_flight": known}) == 5
