"""The whole of a reseller's life in the consoles, in a real browser, in both languages; and what must never sell twice.

Elements are found by their ids and by where forms go, so that the same journey is walked in each language.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import openpyxl
import psycopg2
import pytest
from django_tenants.utils import tenant_context
from playwright.sync_api import Page, Route, expect

from recharge.models import Recharge
from recharge.operators import Operator
from recharge.terms.services import change_operator, create_gateway
from tenants.models import Organization as OrganizationRow
from tenants.services import suspend_organization
from tests.browser.people import Guest
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.world import Organization, World, database_url, give_credit

LANGUAGES = ["en", "fa"]
PASSWORD = "seven green hills"
OWN = "nine quiet rivers"
Window = Callable[..., Guest]


def send(page: Page, where: str = "main form[data-once]") -> None:
    """Presses the main button of the page's form."""
    page.locator(where).locator("button.btn-primary, button.btn-danger").first.click()


def amount(guest: Guest, value: int) -> str:
    """As the pages write it."""
    grouped = f"{value:,}"
    if guest.language == "fa":
        grouped = grouped.replace(",", "٬").translate(str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹"))
    return grouped


def balance_is(guest: Guest, value: int) -> None:
    """The balance above the page comes to this, by itself."""
    expect(guest.page.locator("#balance-now .balance-amount")).to_contain_text(amount(guest, value))


def deliver_through_simulator(row: OrganizationRow) -> None:
    with tenant_context(row):
        create_gateway(organization=row, by="test", name="sandbox", kind="simulator")
        change_operator(organization=row, by="test", operator=Operator.MCI, gateway="sandbox")


def to_confirmation(guest: Guest, slug: str, number: str, tomans: str) -> None:
    """Fills in the form of a sale and goes on to the page that asks whether it is right."""
    guest.go(slug, "/sell")
    guest.page.fill("#id_phone_number", number)
    guest.page.fill("#id_amount", tomans)
    send(guest.page, ".sale-form")
    guest.page.wait_for_selector(SELL)


@contextmanager
def held_up() -> Iterator[None]:
    """No user can be made meanwhile, and so no organization's first admin."""
    other = psycopg2.connect(database_url())
    try:
        other.cursor().execute("LOCK TABLE shared_user IN SHARE MODE")
        yield
    finally:
        other.close()


# In its place on the one page to sell, or on the page that it is without script.
SELL = "form[method=post][action='/sell/confirm'] button.btn-primary"


@pytest.mark.parametrize("language", LANGUAGES)
def test_from_provisioning_to_suspension(
    world: World,
    delivering: Server,
    open_window: Window,
    accessible: Callable[[Page], None],
    language: str,
    downloads: Path,
) -> None:
    slug = f"journey-{language}"

    # A platform admin provisions an organization, and sees how far it is.
    root = open_window(delivering, language=language).sign_in(None, "root", "correct horse battery")
    root.go(None, "/provision")
    for field, value in (
        ("slug", slug),
        ("name", "Journey <b>&</b>"),
        ("admin_username", "sara"),
        ("admin_password", PASSWORD),
    ):
        root.page.fill(f"#id_{field}", value)
    accessible(root.page)
    with held_up():
        send(root.page, "#provision-form")
        expect(root.page.locator("#progress .state-good")).to_be_visible()
        accessible(root.page)
    root.page.wait_for_url(f"**/organizations/{slug}")
    expect(root.page.locator("h1")).to_have_text("Journey <b>&</b>")
    row = OrganizationRow.objects.get(slug=slug)
    deliver_through_simulator(row)

    # Its admin signs in on the subdomain and adds a seller.
    sara = open_window(delivering, language=language).sign_in(slug, "sara", PASSWORD).choose_password(PASSWORD, OWN)
    sara.go(slug, "/sellers/new")
    for field, value in (("name", "Kiosk 7"), ("username", "omid"), ("password", PASSWORD)):
        sara.page.fill(f"#id_{field}", value)
    send(sara.page)
    expect(sara.page.locator("#password")).to_have_text(PASSWORD)
    accessible(sara.page)

    # The seller asks for credit, and sees by itself that it was approved.
    omid = open_window(delivering, language=language, width=360, height=740).sign_in(slug, "omid", PASSWORD)
    omid.choose_password(PASSWORD, OWN)
    omid.go(slug, "/credit-requests/new")
    omid.page.fill("#id_amount", "۱٬۰۰۰٬۰۰۰")
    omid.page.fill("#id_note", "<script>alert(1)</script>")
    send(omid.page)
    omid.page.wait_for_url("**/credit-requests**")
    sara.go(slug, "/credit-requests")
    expect(sara.page.get_by_text("<script>alert(1)</script>").first).to_be_visible()
    accessible(sara.page)
    sara.page.locator("a[hx-get*='decision=approve']").first.click()
    expect(sara.page.locator("dialog[open]")).to_be_visible()
    accessible(sara.page)
    sara.page.click("dialog[open] form .btn-primary")
    expect(sara.page.locator("#decided")).to_be_visible()
    expect(omid.page.locator("#credit-requests .state-good")).to_be_visible()
    balance_is(omid, 1_000_000)

    # The seller sells, sees the balance fall and the outcome arrive.
    omid.go(slug, "/sell")
    omid.page.locator("#id_phone_number").press_sequentially("۰۹۱۲۱۲۳۴۵۲۰")
    expect(omid.page.locator("#number-hint")).to_contain_text("0912" if language == "en" else "۰۹۱۲")
    accessible(omid.page)
    omid.page.fill("#id_amount", "5000")
    send(omid.page, ".sale-form")
    omid.page.wait_for_selector(SELL)
    accessible(omid.page)
    omid.page.click(SELL)
    omid.page.wait_for_selector("#last-outcome")
    balance_is(omid, 995_000)
    accessible(omid.page)
    expect(omid.page.locator("#last-outcome.outcome-succeeded")).to_be_visible(
        timeout=20_000
    )  # 3 seconds by the number

    # A number that fails is refunded before the seller's eyes.
    to_confirmation(omid, slug, "09121234521", "20000")
    omid.page.click(SELL)
    omid.page.wait_for_selector("#last-outcome")
    balance_is(omid, 975_000)
    expect(omid.page.locator("#last-outcome.outcome-failed")).to_be_visible(timeout=20_000)
    balance_is(omid, 995_000)

    # Many at once, from a file: one row has a mistake.
    file = downloads / "rows.csv"
    file.write_text("number;amount\n" + "".join(f"0912100{i:04};1000\n" for i in range(0, 1200, 10)) + "12345;1000\n")
    omid.go(slug, "/bulk")
    omid.page.set_input_files("#id_file", file)
    send(omid.page)
    expect(omid.page.locator(".row-wrong")).to_have_count(1)
    accessible(omid.page)
    send(omid.page, "form[action='/bulk/sell']")
    expect(omid.page.locator("#bulk-results")).to_be_visible(timeout=30_000)
    expect(omid.page.locator("#bulk-rows tr")).to_have_count(120)
    accessible(omid.page)

    # Export: what is in the file is what is on the books.
    omid.go(slug, "/ledger")
    with omid.page.expect_download() as downloading:
        omid.page.click("a[href^='/ledger.xlsx']")
    downloading.value.save_as(downloads / "ledger.xlsx")
    sheet = openpyxl.load_workbook(downloads / "ledger.xlsx").active
    rows = list(sheet.iter_rows(values_only=True))
    with tenant_context(row):
        sold = Recharge.objects.count()
    assert len(rows) >= 1 + 1 + sold

    # The platform suspends it: everybody is told so, and nothing is shown.
    root.page.locator("a[data-asks]").click()
    root.page.locator("dialog[open] #id_slug").fill(slug)
    root.page.locator("dialog[open] #id_reason").fill("Bills are not paid")
    send(root.page, "dialog[open] form")
    expect(root.page.locator("main .alert-success")).to_be_visible()

    def is_suspended() -> bool:
        answer = omid.page.goto(omid.url(slug, "/sell"))
        return bool(answer and answer.status == 403)

    wait_until(is_suspended)
    assert "1,000,000" not in omid.page.content()
    accessible(omid.page)
    for guest in (root, sara, omid):
        assert guest.complaints == []


@pytest.fixture
def seller(acme: Organization, delivering: Server, open_window: Window) -> Guest:
    """acme's member at a window, with 100,000 Tomans."""
    give_credit(acme.row, acme.member.id, 100_000)
    return open_window(delivering).become(acme.member)


def sold(acme: Organization) -> list[int]:
    """The amounts of all recharges there are."""
    with acme.context:
        return list(Recharge.objects.values_list("amount", flat=True))


@pytest.mark.parametrize("has_script", [True, False])
def test_a_double_click_sells_once(
    acme: Organization, delivering: Server, open_window: Window, has_script: bool
) -> None:
    give_credit(acme.row, acme.member.id, 100_000)
    guest = open_window(delivering, script=has_script).become(acme.member)
    to_confirmation(guest, "acme", "09211234567", "5000")
    guest.page.dblclick(SELL)
    guest.page.wait_for_selector("[id$=outcome]")
    assert sold(acme) == [5000]


def test_back_and_reload_sell_nothing_more(acme: Organization, seller: Guest) -> None:
    to_confirmation(seller, "acme", "09211234567", "5000")
    asked = seller.page.url
    seller.page.click(SELL)
    seller.page.wait_for_selector("#last-outcome")
    seller.page.reload()
    seller.page.go_back()
    # What it was typed in is there again with its key: it was sold already, and the page says so.
    seller.page.goto(asked)
    send(seller.page, ".sale-form")
    seller.page.wait_for_selector("#last-outcome")
    expect(seller.page.locator(SELL)).to_have_count(0)
    # So it is on the page of its own, that those without script are shown.
    seller.page.goto(asked.replace("/sell?", "/sell/confirm?"))
    expect(seller.page.locator(SELL)).to_have_count(0)
    seller.page.reload()
    expect(seller.page.locator(SELL)).to_have_count(0)
    assert sold(acme) == [5000]


def test_a_confirmation_that_was_kept_open_sells_nothing_more(acme: Organization, seller: Guest) -> None:
    to_confirmation(seller, "acme", "09211234567", "5000")
    other = Guest(seller.page.context.new_page(), seller.port, "en")
    other.page.goto(seller.page.url)
    send(other.page, ".sale-form")
    receipts = []
    for guest in (seller, other):
        guest.page.click(SELL)
        receipts.append(guest.page.locator("#last-outcome-receipt").get_attribute("href"))
    assert receipts[0] == receipts[1]
    assert sold(acme) == [5000]


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_a_lost_connection_is_told_and_sending_again_sells_once(acme: Organization, seller: Guest, lost: str) -> None:
    to_confirmation(seller, "acme", "09211234567", "5000")

    def lose(route: Route) -> None:
        if lost == "answer":
            # By address: playwright itself knows nothing of the tests' hosts.
            headers = {**route.request.all_headers(), "host": seller.page.url.split("/")[2]}
            route.fetch(url=f"http://127.0.0.1:{seller.port}/sell/confirm", headers=headers, max_redirects=0)
        route.abort("connectionreset")

    pattern = re.compile(r"/sell/confirm$")
    seller.page.route(pattern, lose)
    seller.page.click(SELL)
    expect(seller.page.locator("#alerts .alert-danger")).to_be_visible()
    assert sold(acme) == ([] if lost == "request" else [5000])
    seller.page.unroute(pattern)
    seller.page.click(SELL)
    seller.page.wait_for_selector("#last-outcome")
    assert sold(acme) == [5000]


def test_two_windows_of_one_account_sell_at_once(
    acme: Organization, seller: Guest, open_window: Window, delivering: Server
) -> None:
    other = open_window(delivering).become(acme.member)
    for guest, number in ((seller, "09211234567"), (other, "09211234568")):
        to_confirmation(guest, "acme", number, "60000")
    for guest in (seller, other):
        guest.page.click(SELL, no_wait_after=True)
    seller.page.wait_for_selector("#last-outcome")
    # Together they are more than there is: one was sold, and the other is told why not.
    expect(other.page.locator("main [role=alert]")).to_be_visible()
    assert sold(acme) == [60_000]
    balance_is(seller, 40_000)
    other.go("acme", "/sell")
    balance_is(other, 40_000)


def test_the_keyboard_is_enough_to_sell(acme: Organization, seller: Guest) -> None:
    seller.go("acme", "/sell")
    keyboard = seller.page.keyboard
    expect(seller.page.locator("#id_phone_number")).to_be_focused()
    keyboard.type("09211234567")
    keyboard.press("Tab")
    while not seller.page.evaluate("document.activeElement.id === 'id_amount'"):
        keyboard.press("Tab")
    keyboard.type("5000")
    keyboard.press("Enter")
    seller.page.wait_for_selector(SELL)
    while not seller.page.evaluate(f"document.activeElement.matches({SELL!r})"):
        keyboard.press("Tab")
    keyboard.press("Enter")
    seller.page.wait_for_selector("#last-outcome")
    assert sold(acme) == [5000]


def test_who_is_signed_out_elsewhere_is_told_and_keeps_the_page(acme: Organization, seller: Guest) -> None:
    seller.go("acme", "/sell")
    seller.page.context.clear_cookies()
    expect(seller.page.locator("#alerts .alert")).to_be_visible(timeout=20_000)  # the balance asks by itself
    expect(seller.page.locator("#balance-now")).to_have_count(1)
    assert sold(acme) == []


def test_a_balance_that_is_out_of_date_is_said_to_be(seller: Guest) -> None:
    seller.go("acme", "/sell")
    seller.page.context.set_offline(True)
    expect(seller.page.locator("#alerts .alert-danger")).to_be_visible(timeout=20_000)
    seller.page.context.set_offline(False)
    expect(seller.page.locator("#alerts .alert-danger")).to_have_count(0, timeout=20_000)


def test_an_open_page_shows_by_itself_that_its_organization_is_suspended(acme: Organization, seller: Guest) -> None:
    seller.go("acme", "/sell")
    suspend_organization(slug="acme")
    expect(seller.page.locator("#alerts .alert")).to_be_visible(timeout=20_000)


def test_after_a_refusal_the_keyboard_is_where_it_goes_on(acme: Organization, seller: Guest) -> None:
    to_confirmation(seller, "acme", "09211234567", "100000")
    acme.member.sell(5000)
    seller.page.focus(SELL)
    seller.page.keyboard.press("Enter")
    expect(seller.page.locator("main [role=alert]")).to_be_visible()
    assert seller.page.evaluate("document.activeElement.closest('main') !== null")
    seller.go("acme", "/account/password")
    for field in ("old", "new", "again"):
        seller.page.fill(f"#id_{field}", "wrong")
    send(seller.page)
    expect(seller.page.locator("[aria-invalid=true]").first).to_be_focused()
