"""Every page there is, in both languages, on a desk and on a phone: accessible, and no wider than the screen."""

import re
from collections.abc import Callable
from importlib import import_module
from uuid import UUID

import pytest
from django.urls import URLPattern, URLResolver, resolve
from playwright.sync_api import Page

from tests.browser.pictures import PICTURES, ROOT
from tests.browser.scenery import furnish
from tests.support.server import Server
from tests.support.world import World

AUDITED = [(1280, "en"), (360, "fa")]
"""An audit of a page takes two seconds. The others differ from these in nothing that it looks at."""


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
            if (width, language) in AUDITED:
                accessible(page)
            assert guest.complaints == [], picture


# What no picture can show: parts of pages, what only does something, files, and addresses that only lead on.
_NO_PAGES = {
    "start", "sign_out", "set_language", "balance_now", "sell_number", "bulk_sell", "bulk_states", "bulk_results",
    "entries_csv", "entries_xlsx", "recharges_csv", "recharges_xlsx", "reports_csv", "report_chart", "check_new_slug",
    "progress", "suspend", "activate", "reconcile", "enable_webhook", "disable_webhook", "rotate_webhook_secret",
    "delete_webhook", "held_form", "resend_delivery", "duplicate_window", "send_within", "schema",
}  # fmt: skip


def _names(urlconf: str) -> set[str]:
    names: set[str] = set()

    def walk(patterns: list[URLPattern | URLResolver]) -> None:
        for pattern in patterns:
            if isinstance(pattern, URLPattern) and pattern.name:
                names.add(pattern.name)
            elif isinstance(pattern, URLResolver) and not pattern.namespace:
                walk(pattern.url_patterns)

    walk(import_module(urlconf).urlpatterns)
    return names


def test_every_page_has_its_picture() -> None:
    rows = ("recharge", "failed", "own_failed", "request", "rejected", "unknown", "late", "webhook")
    ids = dict.fromkeys(rows, UUID(int=1))
    shown = set()
    for picture in PICTURES:
        urlconf = "saas.urls_platform" if picture.who == "root" else "saas.urls_organization"
        path = picture.path.format(**ids, seller=1, switched_off=1, key="k").partition("?")[0]
        if picture.name != "nothing-there":
            shown.add(resolve(path, urlconf).url_name)
    known = _names("saas.urls_platform") | _names("saas.urls_organization")
    assert known - shown == _NO_PAGES


def test_the_readmes_pictures_are_there_and_small() -> None:
    pictures = re.findall(r"!\[[^]]+\]\((\S+)\)", (ROOT / "README.md").read_text())
    assert len(pictures) == 3
    assert sum((ROOT / picture).stat().st_size for picture in pictures) < 300_000
