"""Every page there is, in both languages, on a desk and on a phone: accessible, and no wider than the screen."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from tests.browser.pictures import PICTURES
from tests.browser.scenery import furnish
from tests.server import Server
from tests.world import World


@pytest.mark.parametrize("language", ["en", "fa"])
@pytest.mark.parametrize("width", [1280, 360])
def test_it_is_accessible_and_fits(
    world: World,
    server: Server,
    open_window: Callable[..., object],
    accessible: Callable[[Page], None],
    language: str,
    width: int,
) -> None:
    people, ids = furnish(world)
    for who in {picture.who for picture in PICTURES}:
        guest = open_window(server, language=language, width=width)
        if who:
            guest.become(people[who])
        for picture in PICTURES:
            if picture.who != who:
                continue
            guest.go(None if who == "root" else "acme", picture.path.format(**ids))
            page = guest.page
            assert page.locator("h1").count() == 1, picture
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), picture
            accessible(page)
            assert guest.complaints == [], picture
