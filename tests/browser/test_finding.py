"""The box in the bar, by the keyboard: to it, through what it finds, and away from it."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from recharge.pages.recharges import ROWS as ROWS_OF_RECHARGES
from tests.browser.people import Guest
from tests.support.server import Server
from tests.support.world import World, give_credit


@pytest.fixture
def admin(world: World, server: Server, open_window: Callable[..., Guest]) -> Guest:
    for person, number in ((world.acme.member, "09121234567"), (world.acme.neighbour, "09367654567")):
        give_credit(world.acme.row, person.id, 100_000)
        assert person.sell(5000, phone_number=number).status == 201
    return open_window(server).become(world.acme.owner).go("acme", "/recharges")


def focused(page: Page) -> str:
    text: str = page.evaluate("document.activeElement.id || document.activeElement.tagName")
    return text


def test_a_sale_is_found_by_its_last_digits_with_seven_keys(admin: Guest, accessible: Callable[[Page], None]) -> None:
    page, box = admin.page, admin.page.locator("#find")
    page.keyboard.press("/")
    expect(box).to_be_focused()
    assert box.input_value() == ""
    page.keyboard.type("4567")
    lines = page.locator("#find-found [role=option]")
    expect(lines).to_have_count(2)
    expect(box).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#announcer")).to_contain_text("2")
    accessible(page)
    page.keyboard.press("ArrowDown")
    expect(box).to_have_attribute("aria-activedescendant", "find-found-0")
    expect(lines.first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowUp")
    expect(lines.last).to_have_attribute("aria-selected", "true")  # round
    assert focused(page) == "find"
    page.keyboard.press("Enter")
    page.wait_for_url("**/recharges/*")
    expect(page.locator("h1")).to_contain_text("0912 123 4567")
    assert admin.complaints == []


def test_escape_closes_what_was_found_and_then_leads_back(admin: Guest) -> None:
    page = admin.page
    page.locator("table a").first.focus()
    before = page.evaluate("document.activeElement.href")
    page.keyboard.press("/")
    page.keyboard.type("4567")
    found = page.locator("#find-found")
    expect(found).to_be_visible()
    page.keyboard.press("Escape")
    expect(found).to_be_hidden()
    assert (focused(page), page.locator("#find").input_value()) == ("find", "4567")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.href") == before


def test_a_slash_is_written_where_one_is_typing(admin: Guest) -> None:
    field = admin.page.locator("#id_from_day")
    field.focus()
    admin.page.keyboard.type("1405/")
    expect(field).to_have_value("1405/")
    expect(field).to_be_focused()


def test_no_number_has_a_slash_so_it_leads_away_from_one_which_stays(
    world: World, server: Server, open_window: Callable[..., Guest]
) -> None:
    give_credit(world.acme.row, world.acme.member.id, 100_000)
    page = open_window(server).become(world.acme.member).go("acme", "/sell").page
    number = page.locator("#id_phone_number")
    expect(number).to_be_focused()
    page.keyboard.type("0912/45")
    expect(page.locator("#find")).to_be_focused()
    assert (number.input_value(), page.locator("#find").input_value()) == ("0912", "45")
    page.keyboard.press("Escape")
    if page.locator("#find-found").is_visible():
        page.keyboard.press("Escape")
    expect(number).to_be_focused()


def test_enter_alone_leads_to_all_results_and_needs_no_script(
    admin: Guest, world: World, server: Server, open_window: Callable[..., Guest]
) -> None:
    for guest in (admin, open_window(server, script=False).become(world.acme.owner).go("acme", "/today")):
        guest.page.fill("#find", "۴۵۶۷")
        guest.page.press("#find", "Enter")
        guest.page.wait_for_url("**/search?q=*")
        expect(guest.page.locator(".found-lines a")).to_have_count(2)
        expect(guest.page.locator("#find")).to_have_value("۴۵۶۷")


def test_on_a_phone_a_link_leads_to_the_page_with_the_box(
    world: World, server: Server, open_window: Callable[..., Guest]
) -> None:
    guest = open_window(server, width=360, language="fa").become(world.acme.owner).go("acme", "/today")
    guest.page.click(".find-link")
    guest.page.fill("#find-here", "memb")
    expect(guest.page.locator("#find-here-found [role=option]")).to_have_count(1)
    assert guest.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


# --- A calendar to choose a day from ----------------------------------------------------------------------------------


def day_after(page: Page, keys: str) -> str:
    """What the field has after the calendar was opened and these keys were pressed in it."""
    for key in keys.split():
        page.keyboard.press(key)
    written: str = page.locator("#id_from_day").input_value()
    return written


@pytest.mark.parametrize(
    ("language", "written", "moves"),
    [
        # Esfand has 29 days in 1405 and 30 in 1403; a year is left and entered, and days are clamped to the month.
        ("fa", "1405/12/29", {"ArrowLeft": "۱۴۰۶/۰۱/۰۱", "ArrowRight": "۱۴۰۵/۱۲/۲۸", "ArrowDown": "۱۴۰۶/۰۱/۰۷"}),
        ("fa", "۱۴۰۵/۰۶/۳۱", {"PageDown": "۱۴۰۵/۰۷/۳۰", "PageUp": "۱۴۰۵/۰۵/۳۱", "Shift+PageUp": "۱۴۰۴/۰۶/۳۱"}),
        ("fa", "1403/12/30", {"Shift+PageDown": "۱۴۰۴/۱۲/۲۹", "Home": "۱۴۰۳/۱۲/۲۵", "End": "۱۴۰۴/۰۱/۰۱"}),
        ("fa", "2026-11-26", {"ArrowUp": "۱۴۰۵/۰۸/۲۸"}),
        ("en", "2028-01-31", {"ArrowRight": "2028-02-01", "PageDown": "2028-02-29", "Home": "2028-01-31"}),
        ("en", "1405/09/05", {"ArrowUp": "2026-11-19", "End": "2026-11-29"}),
    ],
)
def test_a_day_is_chosen_by_the_keyboard(
    world: World,
    server: Server,
    open_window: Callable[..., Guest],
    accessible: Callable[[Page], None],
    language: str,
    written: str,
    moves: dict[str, str],
) -> None:
    guest = open_window(server, language=language, width=360).become(world.acme.owner).go("acme", "/recharges")
    page, field, dialog = guest.page, guest.page.locator("#id_from_day"), guest.page.locator("dialog.days")
    for keys, expected in moves.items():
        field.fill(written)
        field.focus()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(dialog).to_be_visible()
        assert day_after(page, f"{keys} Enter") == expected, keys
        expect(dialog).to_be_hidden()
        expect(field).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    accessible(page)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(field).to_have_value(expected)
    assert focused(page) == "BUTTON"
    assert guest.complaints == []


def test_what_the_calendar_writes_is_read_and_its_today_is_the_readers(
    world: World, server: Server, open_window: Callable[..., Guest]
) -> None:
    guest = open_window(server, language="fa").become(world.acme.owner).go("acme", "/recharges")
    for name in ("from_day", "to_day"):
        guest.page.locator(f"#id_{name}").focus()
        guest.page.keyboard.press("Tab")
        guest.page.keyboard.press("Enter")
        guest.page.locator("dialog.days .dialog-actions button").first.click()
    guest.page.click(".filters .btn-outline-primary")
    expect(guest.page.locator(".spans [aria-current=true]").first).to_have_text(guest.t("Today"))
    expect(guest.page.locator(".field-errors")).to_have_count(0)


def test_a_day_is_written_where_there_is_no_script(
    world: World, server: Server, open_window: Callable[..., Guest]
) -> None:
    guest = open_window(server, language="fa", script=False).become(world.acme.owner).go("acme", "/recharges")
    expect(guest.page.locator(".day-opener")).to_have_count(0)
    guest.page.fill("#id_from_day", "۱۴۰۵/۰۹/۰۱")
    guest.page.press("#id_from_day", "Enter")
    expect(guest.page.locator("#id_from_day")).to_have_value("۱۴۰۵/۰۹/۰۱")


# --- Back to the list -------------------------------------------------------------------------------------------------


def test_the_link_back_leads_to_the_list_as_it_was(admin: Guest, world: World) -> None:
    page, acme = admin.page, world.acme
    for _ in range(ROWS_OF_RECHARGES):
        assert acme.member.sell(1000).status == 201
    admin.go("acme", "/recharges?status=succeeded&phone_number=4567")
    page.click("nav.paging a[rel=next]")
    page.wait_for_url("**cursor=**")
    before = page.url
    page.click("table tbody a >> nth=0")
    page.click("a[data-back]")
    page.wait_for_url(before)
    # Also where the browser has come from elsewhere meanwhile.
    page.click("table tbody a >> nth=0")
    address = page.url
    admin.go("acme", "/today")
    page.goto(address)
    page.click("a[data-back]")
    page.wait_for_url(before)


def test_whoever_signs_in_next_begins_with_the_whole_list(admin: Guest, world: World) -> None:
    page = admin.go("acme", "/recharges?status=succeeded").page
    row = page.locator("table tbody a").first.get_attribute("href")
    page.context.clear_cookies()
    admin.go("acme", "/sign-in").become(world.acme.owner).go("acme", row or "")
    page.click("a[data-back]")
    page.wait_for_url("**/recharges")
