"""Every page there is, in both languages, on a desk, a tablet and a phone, light and dark: accessible, no wider than
the screen, with every figure whole, and small at a first visit."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from uuid import UUID

import pytest
from django.urls import URLPattern, URLResolver, resolve

from credit.pages.exports import FORMATS
from recharge.papers.files import FORMATS as STATEMENT_FORMATS
from tests.browser.audit import grave_faults, prepare_for_audits
from tests.browser.fitting import misfits
from tests.browser.people import Guest
from tests.browser.pictures import PICTURES, ROOT, Picture
from tests.browser.scenery import furnish
from tests.browser.traffic import MOST_BYTES, Traffic
from tests.support.server import Server
from tests.support.world import World

WIDTHS = [1440, 768, 360, 320]
AUDITED = {"en": 1440, "fa": 360}
"""How wide the window is at the audit of a page. The other widths differ in nothing that an audit looks at."""
SCHEMES = {"en": "light", "fa": "dark"}
"""In which colours a page is audited. Those are the same in both languages."""


@dataclass(frozen=True)
class Look:
    """What was seen of a page in one language."""

    picture: Picture
    headings: int
    misfits: dict[int, list[str]]
    """By the width of the window."""
    faults: list[object]
    size: int
    """Bytes, of a visit with an empty cache."""


def look_at_every_page(world: World, open_window: Callable[..., Guest]) -> Iterator[Look]:
    """Each page at its width for the audit, and then in windows of the other widths."""
    people, ids = furnish(world)
    for who in {picture.who for picture in PICTURES}:
        guest = open_window()
        page = guest.page
        prepare_for_audits(page)
        if who:
            guest.become(people[who])
        traffic = Traffic(page)
        for picture in PICTURES:
            if picture.who != who:
                continue
            traffic.begin_anew()
            widths = sorted(WIDTHS, key=lambda width: width != AUDITED[guest.language])
            page.set_viewport_size({"width": widths[0], "height": 900})
            guest.go(None if who == "root" else "acme", picture.path.format(**ids))
            headings, faults = page.locator("h1").count(), grave_faults(page)
            found = {widths[0]: misfits(page)}
            for width in widths[1:]:
                page.set_viewport_size({"width": width, "height": 900})
                found[width] = misfits(page)
            assert guest.complaints == [], picture
            yield Look(picture, headings, found, faults, traffic.size)


@pytest.mark.slow  # it begins before the others (tests/support/order.py)
@pytest.mark.parametrize("language", AUDITED)
def test_it_is_accessible_and_fits_and_is_small(
    world: World, server: Server, open_window: Callable[..., Guest], language: str
) -> None:
    """A page is loaded once for all that is asked of it."""
    open_one = partial(open_window, server, language=language, scheme=SCHEMES[language])
    looks = {look.picture.name: look for look in look_at_every_page(world, open_one)}
    assert len(looks) == len(PICTURES)
    assert {name: look.headings for name, look in looks.items() if look.headings != 1} == {}
    assert {name: look.misfits for name, look in looks.items() if any(look.misfits.values())} == {}
    assert {name: look.faults for name, look in looks.items() if look.faults} == {}
    largest = sorted(looks.values(), key=lambda look: -look.size)[:8]
    print(language, *(f"{look.picture.name} {look.size / 1024:.1f} KB" for look in largest), sep="; ")
    assert {name: look.size for name, look in looks.items() if look.size > MOST_BYTES} == {}


# What no picture can show: parts of pages, what only does something, files, and addresses that only lead on.
_NO_PAGES = {
    "manifest", "worker",
    "audit_csv", "audit_log_csv", "four_eyes", "requests_to_parent",
    "claim_settings", "receipts_by_sms", "send_receipt", "answer_claim", "reply_to_claim", "withdraw_claim",
    "live", "alert_test", "read_alert", "selling_day", "slip",
    "start", "sign_out", "set_language", "balance_now", "sell_number", "bulk_sell", "bulk_states",
    "reports_csv", "check_new_slug",
    *(f"{name}_{ending}" for name in ("entries", "recharges", "bulk_sale") for ending in FORMATS),
    *(f"statement_{ending}" for ending in STATEMENT_FORMATS),
    "progress", "reconcile", "enable_webhook",
    "held_form", "resend_delivery", "duplicate_window", "send_within", "time_zone", "owing", "schema",
    "second_step", "remove_passkey", "recovery_codes_shown",
    "end_session",
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
    requests = ("request", "rejected", "first_approved", "adjustment", "margin_batch", "asked", "transfer")
    claims = ("claim", "overdue_claim", "closed_claim", "unclaimed")
    rows = (
        "batch",
        "statement",
        "recharge",
        "failed",
        "own_failed",
        "unknown",
        "late",
        "webhook",
        "api_key",
        *requests,
        *claims,
    )
    ids = dict.fromkeys(rows, UUID(int=1))
    shown = set()
    for picture in PICTURES:
        urlconf = "saas.urls_platform" if picture.who == "root" else "saas.urls_organization"
        path = picture.path.format(
            **ids, seller=1, child=1, switched_off=1, key="k", clerk=1, invited=1, invitation="x", month="1405-01"
        ).partition("?")[0]
        if picture.name != "nothing-there":
            shown.add(resolve(path, urlconf).url_name)
    known = _names("saas.urls_platform") | _names("saas.urls_organization")
    assert known - shown == _NO_PAGES


def test_the_readmes_pictures_are_there_and_small() -> None:
    pictures = re.findall(r"!\[[^]]+\]\((\S+)\)", (ROOT / "README.md").read_text())
    assert len(pictures) == 3
    assert sum((ROOT / picture).stat().st_size for picture in pictures) < 300_000
