"""What a first visit takes: few bytes of every page, few requests, and menus that need no script."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.people import Guest
from tests.browser.pictures import PICTURES
from tests.browser.scenery import furnish
from tests.support.server import Server
from tests.support.world import World, give_credit

MOST_BYTES = 120 * 1024
MOST_REQUESTS = 12

SLOW = {"offline": False, "latency": 400, "downloadThroughput": 400_000 / 8, "uploadThroughput": 400_000 / 8}
"""400 kbit/s and 400 ms, which browsers call slow 3G."""


def first_load(page: Page, url: str, *, slow: bool = False) -> tuple[int, int, float]:
    """Bytes and requests of a visit with an empty cache, and the seconds to the first contentful paint."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("Network.enable")
    devtools.send("Network.setCacheDisabled", {"cacheDisabled": True})
    if slow:
        devtools.send("Network.emulateNetworkConditions", SLOW)
    received: list[Any] = []
    devtools.on("Network.loadingFinished", lambda event: received.append(event))
    page.goto(url, wait_until="networkidle")
    painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1")
    devtools.detach()
    return sum(one["encodedDataLength"] for one in received), len(received), painted / 1000


@pytest.mark.parametrize("language", ["en", "fa"])
def test_a_first_visit_is_small(world: World, server: Server, open_window: Callable[..., Guest], language: str) -> None:
    give_credit(world.acme.row, world.acme.member.id, 50_000)
    for person, path in ((None, "/sign-in"), (world.acme.owner, "/today"), (world.acme.member, "/sell")):
        guest = open_window(server, language=language, width=360)
        if person:
            guest.become(person)
        size, requests, painted = first_load(guest.page, guest.url("acme", path), slow=True)
        print(f"{path} {language}: {size / 1024:.1f} KB, {requests} requests, first paint after {painted:.2f} s")
        assert size <= MOST_BYTES, path
        assert requests <= MOST_REQUESTS, path
        assert guest.complaints == []


@pytest.mark.parametrize("language", ["en", "fa"])
def test_a_first_visit_of_any_page_is_small(
    world: World, server: Server, open_window: Callable[..., Guest], language: str
) -> None:
    people, ids = furnish(world)
    sizes = {}
    for who in {picture.who for picture in PICTURES}:
        guest = open_window(server, language=language, width=360)
        if who:
            guest.become(people[who])
        for picture in PICTURES:
            if picture.who == who:
                url = guest.url(None if who == "root" else "acme", picture.path.format(**ids))
                sizes[picture.name], _requests, _painted = first_load(guest.page, url)
    largest = sorted(sizes, key=lambda name: -sizes[name])
    print(language, *(f"{name} {sizes[name] / 1024:.1f} KB" for name in largest[:8]), sep="; ")
    assert len(sizes) == len(PICTURES)
    assert {name: size for name, size in sizes.items() if size > MOST_BYTES} == {}


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
