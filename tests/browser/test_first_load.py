"""A first visit takes few bytes and requests (of every page: test_every_page.py), and menus need no script."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.people import Guest
from tests.browser.traffic import MOST_BYTES, Traffic
from tests.support.server import Server
from tests.support.world import World, give_credit

MOST_REQUESTS = 12


@pytest.mark.parametrize("language", ["en", "fa"])
def test_a_first_visit_is_small(world: World, server: Server, open_window: Callable[..., Guest], language: str) -> None:
    give_credit(world.acme.row, world.acme.member.id, 50_000)
    for person, path in ((None, "/sign-in"), (world.acme.owner, "/today"), (world.acme.member, "/sell")):
        guest = open_window(server, language=language, width=360)
        if person:
            guest.become(person)
        traffic = Traffic(guest.page, slow=True)
        guest.page.goto(guest.url("acme", path), wait_until="networkidle")
        painted = guest.page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1")
        size, requests = traffic.size, traffic.requests
        print(f"{path} {language}: {size / 1024:.1f} KB, {requests} requests, first paint after {painted / 1000:.2f} s")
        assert size <= MOST_BYTES, path
        assert requests <= MOST_REQUESTS, path
        assert guest.complaints == []


@pytest.mark.parametrize("script", [True, False])
def test_menus_open_and_close_without_a_script(
    world: World, server: Server, open_window: Callable[..., Guest], script: bool
) -> None:
    guest = open_window(server, width=360, script=script).become(world.acme.owner)
    page = guest.go("acme", "/today").page
    menu = page.get_by_role("navigation", name="Menu")
    expect(menu).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    expect(menu).to_be_visible()
    page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    menu.get_by_role("button", name="Close").click()
    expect(menu).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    menu.get_by_role("link", name="Sellers").click()
    expect(page).to_have_url(guest.url("acme", "/sellers"))
    page.get_by_role("button", name="Account").click()
    page.get_by_role("link", name="Preferences").click()
    expect(page).to_have_url(guest.url("acme", "/account/preferences"))


def test_the_menu_of_a_desk_stands(world: World, server: Server, open_window: Callable[..., Guest]) -> None:
    guest = open_window(server).become(world.acme.owner)
    page = guest.go("acme", "/today").page
    expect(page.get_by_role("navigation", name="Menu").get_by_role("link", name="Sellers")).to_be_visible()
    expect(page.get_by_role("button", name="Close")).to_be_hidden()
    account = page.get_by_role("button", name="Account")
    account.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Preferences")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Preferences")).to_be_hidden()
    expect(account).to_be_focused()
