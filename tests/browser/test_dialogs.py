"""Where the focus is when a dialog opens and when it closes: on what has to be written, else on the button that changes
nothing, until a key moves it; and then back on what opened the dialog."""

from collections.abc import Callable, Sequence

import pytest
from playwright.sync_api import Page

from tests.browser.people import Guest
from tests.shared.test_danger import dangers
from tests.support.server import Server
from tests.support.world import Person, World, ask, ask_for_adjustment

Window = Callable[..., Guest]

CANCEL = "[data-closes]"
REASON = "#id_reason"
_WRITTEN = {"reject": REASON, "resolve?status=failed": REASON, "suspend": "#id_slug"}
"""What has to be written for an act, by the end of its address."""

# Before a dialog is opened: what opens it, and a promise of the moment at which htmx is done and the screen is drawn.
# ``presses``: as soon as the dialog is there, the focus moves on to its last button, as a key moves it.
_BEFORE = """
(presses) => {
    window.openedBy = document.activeElement;
    window.settled = new Promise((done) => document.addEventListener(
        "htmx:afterSettle", () => requestAnimationFrame(() => requestAnimationFrame(done)), { once: true }));
    if (presses) document.addEventListener("htmx:afterSwap", () => {
        [...document.querySelectorAll("dialog[open] button")].at(-1).focus();
    }, { once: true });
}
"""
_FOCUS_IS_ON = "(selector) => document.activeElement.matches(selector)"
_FOCUSED = "() => document.activeElement.outerHTML.slice(0, 200)"


Opener = tuple[Person, str, Sequence[str], str, str]
"""Who opens a dialog, on which page, after clicks on what, by what, and where the focus is then."""


def _dangerous(world: World) -> list[Opener]:
    return [
        (person, page, (), f'a[data-asks][href="{address}"]', _WRITTEN.get(address.rpartition("/")[2], CANCEL))
        for person, page, address in dangers(world)
    ]


def _decisions(world: World) -> list[Opener]:
    acme = world.acme
    request, other = ask(acme.member), ask(acme.neighbour)
    requests = [f'input[value="{one}"]' for one in (request, other)]
    adjustment = [f'input[value="{ask_for_adjustment(acme.row, acme.member.id)}"]']
    return [
        (acme.owner, f"/credit-requests/{request}", (), 'a[hx-target="#approve"]', CANCEL),
        (acme.owner, "/credit-requests", (), 'a[hx-get*="decision=approve"]', CANCEL),
        (acme.owner, "/credit-requests", (), 'a[hx-get*="decision=reject"]', REASON),
        (acme.owner, "/credit-requests", requests, "button[value=approve]", CANCEL),
        (acme.owner, "/credit-requests", requests, "button[value=reject]", REASON),
        (acme.owner, "/adjustments", adjustment, "button[value=approve]", CANCEL),
        (acme.owner, "/adjustments", adjustment, "button[value=reject]", REASON),
    ]


def _open(page: Page, opener: str, *, presses: bool = False) -> None:
    """Opens a dialog with the keyboard, and waits until nothing comes after it."""
    button = page.locator(opener).first
    button.focus()
    page.evaluate(_BEFORE, presses)
    button.press("Enter")
    page.wait_for_selector("dialog[open]")
    page.evaluate("() => window.settled")


@pytest.mark.parametrize("openers", [_dangerous, _decisions])
def test_a_dialog_has_the_focus_where_it_belongs_and_gives_it_back(
    world: World, open_window: Window, server: Server, openers: Callable[[World], list[Opener]]
) -> None:
    astray = []
    for person, path, clicked, opener, expected in openers(world):
        page = open_window(server).become(person).go(person.row.slug if person.row else None, path).page
        for selector in clicked:
            page.click(selector)
        for presses, there in ((False, expected), (True, "button:last-of-type")):
            _open(page, opener, presses=presses)
            if not page.evaluate(_FOCUS_IS_ON, f"dialog[open] {there}"):
                astray.append((path, opener, there, page.evaluate(_FOCUSED)))
            page.keyboard.press("Escape")
            page.wait_for_selector("dialog[open]", state="detached")
            if not page.evaluate("() => document.activeElement === window.openedBy"):
                astray.append((path, opener, "back", page.evaluate(_FOCUSED)))
        page.context.close()
    assert astray == []


def test_nothing_that_can_be_decided_leaves_the_focus_on_the_way_out(
    world: World, open_window: Window, server: Server
) -> None:
    """What was left out is listed in a fold, which would be the first to take it."""
    request = ask(world.acme.member)
    page = open_window(server).become(world.acme.owner).go("acme", "/credit-requests").page
    page.check(f'input[value="{request}"]')
    assert world.acme.owner.client.post(f"/credit-requests/{request}/approve").status == 200
    _open(page, "button[value=reject]")
    assert page.evaluate(_FOCUS_IS_ON, f"dialog[open] {CANCEL}")


def test_the_calendar_begins_on_a_day(world: World, open_window: Window, server: Server) -> None:
    page = open_window(server).become(world.acme.owner).go("acme", "/statements/new").page
    opener = page.locator(".day-opener").first
    opener.press("Enter")
    assert page.evaluate(_FOCUS_IS_ON, "dialog.days[open] td button")
    page.keyboard.press("Escape")
    assert page.evaluate(_FOCUS_IS_ON, ".day-opener")
