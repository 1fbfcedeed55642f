"""The box in the bar, by the keyboard: to it, through what it finds, and away from it."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

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
