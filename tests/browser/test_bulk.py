"""A file of Excel in a browser: uploaded, looked at, sold, followed to the end, and what failed tried again."""

import io
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest
from playwright.sync_api import expect

from credit.slips.errors import SlipTooLarge
from credit.slips.pictures import LARGEST_SLIP
from recharge.models import BulkBatch, GatewaySettings, OperatorSettings
from recharge.pages.bulk_files import LARGEST_FILE, TOO_LARGE
from tests.browser.people import Guest
from tests.support.server import Server
from tests.support.world import Organization, World, give_credit

SELL = "form[action='/bulk/sell'] button"
FAILS, IS_DELIVERED = "21", "20"  # the sandbox's endings


@pytest.fixture
def acme(delivering: Server) -> Organization:
    world = World.build(delivering.address)
    give_credit(world.acme.row, world.acme.member.id, 1_000_000)
    with world.acme.context:
        gateway = GatewaySettings.objects.create(name="sandbox", kind="simulator")
        OperatorSettings.objects.create(operator="irancell", gateway=gateway)
    return world.acme


@pytest.fixture(params=["en", "fa"])
def window(request: pytest.FixtureRequest, delivering: Server, acme: Organization, open_window: Callable) -> Guest:
    return open_window(delivering, language=request.param, width=360).become(acme.member)


def workbook() -> bytes:
    """Ten rows that are delivered, two that fail, and one of which a spreadsheet has cut the number."""
    book = openpyxl.Workbook()
    rows = [(9350000000 + number * 100 + int(IS_DELIVERED), 10_000, f"shop {number}") for number in range(10)]
    rows += [(9350001000 + number * 100 + int(FAILS), 20_000, f"shop {number}") for number in (10, 11)]
    for row in (("موبایل", "مبلغ", "توضیحات"), *rows, ("9.35E+09", 5000, "")):
        book.active.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def test_a_workbook_is_sold_and_what_failed_is_tried_again(
    window: Guest, acme: Organization, accessible: Callable, tmp_path: Path
) -> None:
    file = tmp_path / "azar.xlsx"
    file.write_bytes(workbook())
    page = window.go("acme", "/bulk").page
    page.set_input_files("#id_file", file)
    page.click("main form button.btn-primary")
    page.wait_for_selector(SELL)
    accessible(page)
    assert page.locator(".row-wrong").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 360

    page.click(SELL)
    page.wait_for_url("**/bulk/sales/*")
    page.wait_for_selector("p#bulk-in-flight")  # all have their outcome, without a reload
    accessible(page)
    assert acme.member.balance() == 900_000
    rows = page.locator("#bulk-rows tr")
    expect(rows).to_have_count(12)
    assert [rows.nth(place).locator(".state-bad").count() for place in range(3)] == [1, 1, 0]  # what failed first
    cells = page.locator(".reckoning td.amount").all_inner_texts()
    latin = [cell.translate(str.maketrans("۰۱۲۳۴۵۶۷۸۹", "0123456789")) for cell in cells]
    amounts = [int("".join(one for one in cell if one.isdigit())) * (-1 if "−" in cell else 1) for cell in latin]
    assert amounts == [1_000_000, -140_000, 40_000, 900_000]

    page.click("#bulk-next form[action='/bulk'] button.btn-primary")
    page.wait_for_selector(SELL)
    page.click(SELL)
    page.wait_for_url("**/bulk/sales/*")
    page.wait_for_selector("p#bulk-in-flight")
    expect(page.locator("#bulk-rows tr")).to_have_count(2)
    with acme.context:
        assert list(BulkBatch.objects.order_by("pk").values_list("file_name", "count")) == [
            ("azar.xlsx", 12),
            ("azar.xlsx", 2),
        ]

    # The same file once more says so, and its button does nothing without the tick.
    page = window.go("acme", "/bulk").page
    page.set_input_files("#id_file", file)
    page.click("main form button.btn-primary")
    page.wait_for_selector("#id_sold_before")
    accessible(page)
    page.click(SELL)
    assert page.evaluate("document.querySelector('#id_sold_before').matches(':invalid')")
    with acme.context:
        assert BulkBatch.objects.count() == 2
    assert window.complaints == []


@pytest.mark.parametrize(
    ("path", "largest", "said"),
    [
        ("/bulk", LARGEST_FILE, TOO_LARGE),
        ("/credit-requests/new", LARGEST_SLIP, SlipTooLarge.message),
    ],
)
def test_a_file_that_is_too_large_is_refused_where_it_is_chosen(
    window: Guest, tmp_path: Path, path: str, largest: int, said: str
) -> None:
    page = window.go("acme", path).page
    file = page.locator("main input[type=file]")
    text = page.locator("#id_text, #id_amount")
    text.fill("5000")
    large = tmp_path / "photo.jpeg"
    large.write_bytes(b"0" * (largest + 1))
    address = page.url
    file.set_input_files(large)
    assert file.evaluate("(field) => field.validationMessage") == window.t(str(said))
    page.click("main form[method=post] button.btn-primary")  # the browser says it, and sends nothing
    expect(file).to_be_focused()
    assert page.url == address
    expect(text).to_have_value("5000")
    smaller = tmp_path / "smaller.jpeg"
    smaller.write_bytes(b"0" * largest)
    file.set_input_files(smaller)
    assert file.evaluate("(field) => field.checkValidity()")
    with page.expect_navigation():
        page.click("main form[method=post] button.btn-primary")
    assert window.complaints == []
