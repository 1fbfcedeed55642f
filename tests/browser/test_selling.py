"""Selling in a browser: what needs a script to be true. A lost answer, a double click, the Back button, slices."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import urllib3
from django.conf import settings
from playwright.sync_api import Page, Route, expect

from recharge.models import GatewaySettings, OperatorSettings, Recharge
from tenants.services import suspend_organization
from tests.browser.counting import Counting
from tests.browser.people import Guest
from tests.support.knowing import wait_until_every_process_knows
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.world import PASSWORD, Organization, World, give_credit

SELL = "#sale form[method=post] button"


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


@pytest.fixture
def desk(delivering: Server, acme: Organization, open_window: Callable) -> Guest:
    return open_window(delivering).become(acme.member)


KEEP_WHAT_IS_SAID = """
    () => {
        window.said = [];
        new MutationObserver((changes) => {
            for (const change of changes) for (const line of change.addedNodes) window.said.push(line.textContent);
        }).observe(document.getElementById("announcer"), {childList: true});
    }
"""
"""The page itself takes it away after some seconds."""


def open_sell(window: Guest) -> Page:
    """The page to sell, and the cursor is where it is needed (which a browser sees to when it paints)."""
    page = window.go("acme", "/sell").page
    expect(page.locator("#id_phone_number")).to_be_focused()
    page.evaluate(KEEP_WHAT_IS_SAID)
    return page


def look(window: Guest, number: str) -> Page:
    page = open_sell(window)
    page.keyboard.type(number)
    page.wait_for_selector("#number-hint .hint-number", state="attached")
    page.click("#amounts button >> nth=1")
    page.wait_for_selector(SELL)
    return page


def said(page: Page) -> list[str]:
    """What the page has told to who does not see it."""
    texts: list[str] = page.evaluate("window.said")
    return texts


def sold(acme: Organization) -> int:
    with acme.context:
        return Recharge.objects.count()


def focused(page: Page) -> str:
    """The id of what has the focus, or its class."""
    where: str = page.evaluate("document.activeElement.id || document.activeElement.className || 'BODY'")
    return where


def press(page: Page, key: str) -> None:
    """Also of a Persian keyboard, which playwright does not have."""
    event = "new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true})"
    page.evaluate(f"(key) => document.activeElement.dispatchEvent({event})", key)


def hold_down(page: Page, key: str) -> None:
    """For as long as it takes to repeat itself a dozen times."""
    for _ in range(12):
        page.keyboard.down(key)
    page.keyboard.up(key)


def lose_the_answer(route: Route, acme: Organization) -> None:
    """What the browser sends arrives, and the connection breaks before the answer does."""
    sent = route.request
    url = urlsplit(sent.url)
    address = f"http://{acme.anyone.address}{url.path}"
    headers = {**sent.all_headers(), "Host": url.netloc}
    answer = urllib3.request("POST", address, body=sent.post_data_buffer, headers=headers, redirect=False)
    assert answer.status < 300, answer.status
    route.abort()


def test_sales_by_keyboard(desk: Guest, acme: Organization, accessible: Callable) -> None:
    """Eleven digits, Enter, the key of an amount, Enter; and the next number can be typed at once."""
    page, counting = desk.page, Counting(desk.page)
    open_sell(desk)
    for number, key in (("09351234500", "2"), ("09351234520", "۳")):
        before = counting.keys
        page.keyboard.type(number)
        page.keyboard.press("Enter")
        press(page, key)  # before it is known whose number it is: the amounts come first
        page.wait_for_selector(SELL)
        assert page.locator("#sale-number").inner_text() == f"{number[:4]} {number[4:7]} {number[7:]}"
        page.keyboard.press("Enter")
        page.wait_for_selector("[data-sold]")
        assert counting.keys - before == 14
        assert focused(page) == "id_phone_number"
        assert page.input_value("#id_phone_number") == ""
        assert page.url.endswith("/sell")
    assert sold(acme) == 2
    page.wait_for_selector("#last-sale .outcome-succeeded")
    assert any("50,000 Tomans: Delivered" in one for one in said(page))
    # Beside the form: the day and the last sales.
    page.wait_for_selector(".last-sales li:nth-child(2)")
    page.locator("#selling-day dd", has_text="70,000 Tomans").wait_for()
    page.locator(".last-sales li:first-child .state-good").wait_for()
    assert page.locator("#balance-now").inner_text().count("930,000") == 1
    accessible(page)

    # Typed amounts, and the way back from the look: 0 leads to the field.
    page.keyboard.type("09351234500")
    page.keyboard.press("Enter")
    page.keyboard.press("0")
    page.keyboard.type("12345")
    page.keyboard.press("Enter")
    page.wait_for_selector(SELL)
    page.keyboard.press("Escape")
    page.wait_for_selector(".sale-form")
    assert focused(page) == "id_phone_number"
    assert page.input_value("#id_phone_number") == "09351234500"
    assert page.input_value("#id_amount") == "12345"
    assert page.locator("#last-sale .outcome-succeeded").count() == 1  # the last one is still there
    # An operator that nobody knows is asked for; a number that is none is said to be.
    page.fill("#id_amount", "")
    page.fill("#id_phone_number", "")
    page.keyboard.type("09951000000")
    page.keyboard.press("Enter")
    page.wait_for_selector("#operator-fold[open]")
    page.wait_for_function("document.activeElement.id === 'id_operator'")
    page.keyboard.type("Irancell")
    page.keyboard.press("Enter")
    page.keyboard.press("1")
    page.wait_for_selector(SELL)
    page.keyboard.press("Escape")
    page.wait_for_selector(".sale-form")
    page.fill("#id_phone_number", "0912")
    page.keyboard.press("Enter")
    page.wait_for_selector("#id_phone_number[aria-invalid=true]")
    assert focused(page) == "id_phone_number"
    accessible(page)
    assert counting.lost_focus is None
    assert sold(acme) == 2
    assert desk.complaints == []


def test_what_is_typed_while_a_sale_is_under_way_is_the_next_number(desk: Guest, acme: Organization) -> None:
    page = desk.page
    open_sell(desk)
    page.keyboard.type("09351234500")
    page.keyboard.press("Enter")
    page.keyboard.press("2")
    page.wait_for_selector(SELL)
    sales = Holding(page, "**/sell/confirm")
    page.keyboard.press("Enter")
    page.wait_for_selector("#sale[aria-busy=true]")
    page.keyboard.type("09359")
    page.keyboard.press("Backspace")
    page.keyboard.press("Enter")  # sends nothing
    press(page, "۶")
    assert len(sales.held) == 1
    sales.let_go()
    page.wait_for_selector("[data-sold]")
    page.keyboard.type("765432")
    assert page.input_value("#id_phone_number") == "0935۶765432"
    page.wait_for_selector("#number-hint .hint-number", state="attached")
    page.keyboard.press("Enter")
    page.keyboard.press("1")
    page.wait_for_selector(SELL)
    assert page.locator("#sale-number").inner_text() == "0935 676 5432"
    # What is typed at a look is no number: nothing is under way there.
    page.keyboard.type("123")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-sold]")
    assert page.input_value("#id_phone_number") == ""
    assert sold(acme) == 2
    assert desk.complaints == []


def test_nothing_is_sold_twice_by_a_key_that_is_held_down(desk: Guest, acme: Organization) -> None:
    page, counting = desk.page, Counting(desk.page)
    open_sell(desk)
    page.keyboard.type("09351234500")
    hold_down(page, "Enter")
    page.wait_for_selector("#number-hint .hint-number", state="attached")
    assert focused(page) == "amount-1"  # it led to the amounts, and chose none of them
    hold_down(page, "2")
    page.wait_for_selector(SELL)
    assert sold(acme) == 0
    hold_down(page, "Enter")
    page.wait_for_selector("[data-sold]")
    hold_down(page, "Enter")
    assert sold(acme) == 1
    # The same again is asked about, and Enter does not go there.
    page.keyboard.type("09351234500")
    page.keyboard.press("Enter")
    page.keyboard.press("2")
    page.wait_for_selector("#sale .alert-warning")
    hold_down(page, "Enter")
    page.wait_for_selector(".sale-form")
    assert sold(acme) == 1
    assert counting.lost_focus is None


def test_a_sale_by_touch_and_its_outcome(window: Guest, acme: Organization, accessible: Callable) -> None:
    page = look(window, "09351234521")
    accessible(page)
    page.dblclick(SELL)
    page.wait_for_selector("#last-sale .outcome-pending")
    accessible(page)
    page.wait_for_selector("#last-sale .outcome-failed")  # and refunded, before the seller's eyes
    accessible(page)
    # The sale, its outcome, and the balance.
    wait_until(lambda: len([one for one in said(page) if "0935" in one or "۰۹۳۵" in one]) == 2)
    assert page.locator("#last-outcome").get_attribute("hx-trigger") is None
    assert sold(acme) == 1
    assert focused(page) == "id_phone_number"
    wait_until(lambda: acme.member.balance() == 1_000_000)
    assert window.complaints == []


def test_with_the_keyboard_on_the_screen_everything_is_seen(window: Guest) -> None:
    """On a phone of 360 by 640, of which the keyboard takes almost half."""
    page = window.page
    page.set_viewport_size({"width": 360, "height": 340})
    open_sell(window)

    def is_seen(selector: str) -> bool:
        box = page.locator(selector).bounding_box()
        return bool(box and box["y"] >= 0 and box["y"] + box["height"] <= 340)

    page.keyboard.type("09351234520")
    page.wait_for_selector("#number-hint .hint-number", state="attached")
    for seen in ("#id_phone_number", "#number-hint", "#amounts", "#id_amount", ".amount-line button"):
        assert is_seen(seen), seen
    page.click("#amounts button >> nth=1")
    page.wait_for_selector(SELL)
    for seen in ("#sale-number", "#sale-amount", SELL):
        assert is_seen(seen), seen
    page.click(SELL)
    page.wait_for_selector("#last-sale section")
    for seen in ("#id_phone_number", "#amounts", ".amount-line button", ".last-outcome-state"):
        assert is_seen(seen), seen


def test_an_answer_that_is_lost_is_asked_for_again(window: Guest, acme: Organization) -> None:
    page = look(window, "09351234500")

    page.route("**/sell/confirm", lambda route: lose_the_answer(route, acme))
    page.click(SELL)
    page.wait_for_selector("#alerts .alert")
    assert sold(acme) == 1
    page.unroute("**/sell/confirm")
    page.keyboard.press("Enter")  # the focus is where it was
    page.wait_for_selector("#last-sale section")
    assert sold(acme) == 1
    assert page.locator("#alerts .alert").count() == 0


def test_who_reloads_or_comes_back_after_a_lost_answer_sees_what_was_sold(desk: Guest, acme: Organization) -> None:
    page = look(desk, "09351234500")
    page.route("**/sell/confirm", lambda route: lose_the_answer(route, acme))
    page.click(SELL)
    page.wait_for_selector("#alerts .alert")
    page.unroute("**/sell/confirm")
    for again in (page.reload, lambda: (page.goto(desk.url("acme", "/recharges")), page.go_back())):
        again()
        assert page.input_value("#id_phone_number") == "09351234500"
        assert page.input_value("#id_amount") == "20000"
    page.keyboard.press("Enter")
    page.wait_for_selector("#last-sale section")
    assert "not sold again" in page.locator("#last-sale").inner_text()
    assert sold(acme) == 1
    # What came after it is another sale.
    assert page.input_value("#id_phone_number") == ""
    page.reload()
    assert page.input_value("#id_phone_number") == ""


def test_what_was_typed_survives_signing_in_again(desk: Guest, acme: Organization) -> None:
    def is_out() -> None:
        page.context.clear_cookies(name=settings.SESSION_COOKIE_NAME)

    def sign_in() -> None:
        page.wait_for_url("**/sign-in**")
        page.fill("#id_username", "member")
        page.fill("#id_password", PASSWORD)
        page.click("form[data-once] button")

    page = open_sell(desk)
    page.keyboard.type("09351234500")
    page.keyboard.press("Enter")
    page.wait_for_selector("#number-hint .hint-number", state="attached")
    is_out()
    page.keyboard.press("2")  # the look
    sign_in()
    page.wait_for_url("**/sell?**")
    assert page.input_value("#id_phone_number") == "09351234500"
    page.keyboard.press("Enter")
    page.wait_for_selector(SELL)
    is_out()
    page.click(SELL)  # the sale
    sign_in()
    page.wait_for_selector("text=Send it again?")
    assert sold(acme) == 0
    page.click("main form[data-once] button")
    page.wait_for_url("**/recharges/**")
    assert sold(acme) == 1


def test_a_spoiled_token_is_said_and_mended(desk: Guest, acme: Organization, accessible: Callable) -> None:
    counting = Counting(desk.page)
    page = look(desk, "09351234500")
    for spoil in (
        lambda: page.context.clear_cookies(name="csrftoken"),
        lambda: page.evaluate("document.querySelector('#sale [name=csrfmiddlewaretoken]').value = 'x'"),
    ):
        spoil()
        page.keyboard.press("Enter")
        page.wait_for_selector("#sale .alert-warning")
        assert "You are signed in as member." in page.locator("#sale .alert-warning").inner_text()
        assert page.locator("#sale .alert").count() == 1
        assert sold(acme) == 0
    accessible(page)
    page.keyboard.press("Enter")
    page.wait_for_selector("#last-sale section")
    assert sold(acme) == 1
    assert counting.lost_focus is None


def test_without_script_each_step_is_a_page(delivering: Server, acme: Organization, open_window: Callable) -> None:
    window = open_window(delivering, width=360, script=False).become(acme.member)
    page = window.go("acme", "/sell").page
    page.fill("#id_phone_number", "09351234500")
    page.fill("#id_amount", "20000")
    page.keyboard.press("Enter")
    page.wait_for_url("**/sell/confirm?**")
    page.click("main form[method=post] button")
    page.wait_for_url("**/outcome")
    assert sold(acme) == 1
    page.go_back()
    page.reload()
    assert page.locator("main a[href$='/outcome']").count() == 1
    assert page.locator("main form").count() == 0


def test_many_are_sold_in_slices_that_may_be_lost(window: Guest, acme: Organization, accessible: Callable) -> None:
    page = window.go("acme", "/bulk").page
    accessible(page)
    page.fill("#id_text", "\n".join(f"0935{number:05}20,1000" for number in range(250)) + "\nwrong")
    page.click("main form button.btn-primary")
    page.wait_for_selector("form[action='/bulk/sell']")
    accessible(page)
    calls: list[str] = []

    def lose_the_second(route: Route) -> None:
        calls.append(route.request.url)
        if len(calls) == 2:
            lose_the_answer(route, acme)
        else:
            route.continue_()

    page.route("**/bulk/sell", lose_the_second)
    page.click("form[action='/bulk/sell'] button")
    page.wait_for_selector("#alerts .alert")
    assert sold(acme) == 200
    page.click("#bulk-progress form button")
    page.wait_for_selector("#bulk-results")
    accessible(page)
    assert page.locator("#bulk-rows tr").count() == 250
    assert sold(acme) == 250
    page.wait_for_selector("p#bulk-in-flight")
    assert page.locator("#bulk-rows .state-good").count() == 250
    with page.expect_download() as download:
        page.click("#bulk-results a[href$='.csv']")
    assert Path(download.value.path()).read_text("utf-8-sig").count("succeeded") == 250
    assert window.complaints == []


ROWS_TO_BE_LOOKED_AT = """\
09121234567 5000
0912,1
09351234567,20000,vodafone
09351234567,5000000
09351234567,5000000
9121234567,۵۰٬۰۰۰,,a reference without end
9121234568,200000000000,,fakturanummer_2026_1234567890_abcdefghijklmnopqrstuvwxyz
091212345670912123456709121234567,onehundredandfiftythousandTomansandmore
9.12E+09,9.99E+15
50000,09121234567
09121234567,50,000,5,6,7
"""


def test_why_a_row_is_not_sold_can_be_read_on_a_phone(window: Guest) -> None:
    page = window.go("acme", "/bulk").page
    page.fill("#id_text", ROWS_TO_BE_LOOKED_AT)
    page.click("main form button.btn-primary")
    page.wait_for_selector(".row-problems")
    assert_inside(page, ".row-problems > div, .row-remark")


def assert_inside(page: Page, selector: str) -> None:
    """All of these texts are within the window and within the frame of their table, without scrolling sideways."""
    outside = page.evaluate(
        """(selector) => [...document.querySelectorAll(selector)].filter((one) => {
            const frame = one.closest(".table-card").getBoundingClientRect(), range = document.createRange();
            range.selectNodeContents(one);
            return [...range.getClientRects(), one.getBoundingClientRect()].some(({left, right}) =>
                left < Math.max(0, frame.left) || right > Math.min(innerWidth, frame.right));
        }).map((one) => one.textContent)""",
        selector,
    )
    assert page.locator(selector).count() > 0
    assert outside == []


class Holding:
    """Holds back what a page that is opened next asks of an address, until it is let go."""

    def __init__(self, page: Page, pattern: str) -> None:
        self._page, self._pattern = page, pattern
        self.held: list[Route] = []
        page.route(pattern, self._hold)

    def _hold(self, route: Route) -> None:
        self.held.append(route)

    def let_go(self) -> None:
        for route in self.held:
            route.continue_()
        self._page.unroute(self._pattern)


def test_an_amount_that_was_chosen_stays_until_it_is_looked_at(desk: Guest, acme: Organization) -> None:
    """Neither keys nor clicks that come before the look choose another amount."""
    looks = Holding(desk.page, "**/sell/confirm?**")
    page = open_sell(desk)
    page.keyboard.type("09351234500")
    page.keyboard.press("Enter")
    page.wait_for_selector("#number-hint .hint-number", state="attached")
    page.keyboard.press("2")
    for key in ("Enter", "1", "Enter"):
        page.keyboard.press(key)
    page.evaluate("document.querySelector('#amount-1').click()")
    assert focused(page) == "amount-2"
    assert page.input_value("#id_amount") == "20000"
    assert len(looks.held) == 1
    looks.let_go()
    page.wait_for_selector(SELL)
    assert "20,000" in page.locator("#sale-amount").inner_text()
    assert sold(acme) == 0


@pytest.mark.parametrize(("keys", "amount"), [(["Enter"], ""), (["2", "Enter"], "20,000")])
def test_keys_that_come_before_the_operator_is_known(desk: Guest, keys: list[str], amount: str) -> None:
    """Enter twice leads to the amounts and chooses none; Enter after an amount's key leaves that amount."""
    hints = Holding(desk.page, "**/sell/number?**")
    page = open_sell(desk)
    page.keyboard.type("09351234500")
    for key in ("Enter", *keys):
        page.keyboard.press(key)
    assert page.input_value("#id_amount") == ""
    hints.let_go()
    if amount:
        page.wait_for_selector(SELL)
        assert amount in page.locator("#sale-amount").inner_text()
    else:
        page.wait_for_selector("#number-hint .hint-number", state="attached")
        assert focused(page) == "amount-1"
        assert page.input_value("#id_amount") == ""


def test_fewer_amounts_take_no_focus_away(desk: Guest, acme: Organization) -> None:
    with acme.context:
        OperatorSettings.objects.filter(operator="irancell").update(amounts=[20_000])
    page, counting = desk.page, Counting(desk.page)
    open_sell(desk)
    page.focus("#amount-4")
    page.evaluate(
        "const field = document.querySelector('#id_phone_number'); field.value = '09351234500';"
        "field.dispatchEvent(new Event('input', { bubbles: true }))"
    )
    expect(page.locator("#amounts button")).to_have_count(1)
    expect(page.locator("#amount-1")).to_be_focused()
    assert counting.lost_focus is None


def test_the_reason_of_a_refusal_is_said_in_place(desk: Guest, acme: Organization) -> None:
    page = look(desk, "09351234500")
    suspend_organization(slug="acme")
    wait_until_every_process_knows()
    page.click(SELL)
    expect(page.locator("#alerts .alert")).to_contain_text("suspended")
    assert page.locator(SELL).count() == 1
    assert sold(acme) == 0
