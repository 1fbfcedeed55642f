"""Lists in a browser: rows that are chosen and decided together, in place; what waits, shown as it comes."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.people import Guest
from tests.support.server import Server
from tests.support.world import Organization, World, ask

Window = Callable[..., Guest]


class Counted:
    """A page whose clicks and loads are counted."""

    def __init__(self, page: Page) -> None:
        self.page, self.clicks, self.loads = page, 0, 0
        page.on("load", lambda _: self._loaded())

    def _loaded(self) -> None:
        self.loads += 1

    def click(self, selector: str) -> None:
        self.clicks += 1
        self.page.click(selector)


def test_twenty_are_approved_by_a_few_clicks_on_one_page(
    world: World, open_window: Window, server: Server, accessible: Callable[[Page], None]
) -> None:
    acme: Organization = world.acme
    ids = [ask(acme.member if number % 2 else acme.neighbour, 1_000 + number) for number in range(20)]
    for language, width in (("en", 1280), ("fa", 360)):
        guest = open_window(server, language=language, width=width).become(acme.owner)
        page = guest.go("acme", "/credit-requests?status=pending").page
        counted = Counted(page)
        bar = page.locator(".selection-bar")
        expect(bar).to_be_hidden()
        counted.click("[data-selects-all]")
        expect(bar).to_be_visible()
        sum_ = {"en": "20 selected, sum 20,190 Tomans", "fa": "۲۰٬۱۹۰"}[language]
        expect(bar).to_contain_text(sum_)
        accessible(page)
        counted.click(".selection-bar button[value=approve]")
        dialog = page.locator("dialog[open]")
        expect(dialog).to_contain_text({"en": "Selected: 20 · Sum: 20,190 Tomans", "fa": "۲۰٬۱۹۰"}[language])
        for name in ("member", "neighbour"):
            expect(dialog).to_contain_text(name)
        expect(dialog.locator("[data-closes]")).to_be_focused()
        accessible(page)
        if language == "en":  # nothing was done
            page.keyboard.press("Escape")
            expect(dialog).to_be_hidden()
            assert acme.member.balance() + acme.neighbour.balance() == 0
            continue
        height = page.evaluate("document.documentElement.scrollTop")
        counted.click("dialog[open] form .btn-primary")
        expect(page.locator("#decided")).to_contain_text("۲۰٬۱۹۰")
        expect(page.locator("#decided")).to_be_focused()
        for one in ids:
            expect(page.locator(f"#row-{one} .state-good")).to_have_count(1)
        expect(page.locator("dialog[open]")).to_have_count(0)
        expect(bar).to_be_hidden()
        assert page.evaluate("document.documentElement.scrollTop") == height, "it has jumped"
        accessible(page)
        assert guest.complaints == []
        assert (counted.clicks, counted.loads) == (3, 0)
    assert acme.member.balance() + acme.neighbour.balance() == 20_190


def test_one_after_the_other_in_place_and_with_the_keyboard(world: World, open_window: Window, server: Server) -> None:
    first, second, third = (ask(world.acme.member, amount) for amount in (1_000, 2_000, 4_000))
    page = open_window(server).become(world.acme.owner).go("acme", "/credit-requests").page
    page.focus(f'a[hx-get$="approve&ids={third}"]')
    page.keyboard.press("Enter")
    expect(page.locator("dialog[open]")).to_contain_text("Balance after")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(f"#row-{third}")).to_contain_text("Approved")
    expect(page.locator(f'a[hx-get$="approve&ids={second}"]')).to_be_focused()
    page.click(f'a[hx-get$="reject&ids={second}"]')
    page.fill("dialog[open] #id_reason", "not paid")
    page.keyboard.press("Enter")
    expect(page.locator(f"#row-{second}")).to_contain_text("not paid")
    expect(page.locator(f'a[hx-get$="approve&ids={first}"]')).to_be_focused()
    assert world.acme.member.balance() == 4_000


def test_without_script_it_is_a_page_more(world: World, open_window: Window, server: Server) -> None:
    ids = [ask(world.acme.member, amount) for amount in (1_000, 2_000)]
    page = open_window(server, script=False).become(world.acme.owner).go("acme", "/credit-requests").page
    for one in ids:
        page.check(f'input[name=ids][value="{one}"]')
    page.click("button[value=approve]")
    page.click("main form .btn-primary")
    expect(page.locator("main")).to_contain_text("Approved: 2 · 3,000 Tomans")
    assert world.acme.member.balance() == 3_000


def test_what_waits_is_shown_as_it_comes_and_a_tab_that_nobody_sees_asks_nothing(
    world: World, open_window: Window, server: Server
) -> None:
    guest = open_window(server).become(world.acme.owner)
    page = guest.page
    with page.expect_response("**/live?*"):  # it has asked once
        guest.go("acme", "/today")
    link = page.locator('.menu a[href="/credit-requests"]')
    expect(page.locator("#today")).to_contain_text("Nothing")
    request = ask(world.acme.member, 7_000)
    expect(link.locator(".menu-badge")).to_contain_text("1", timeout=20_000)
    expect(page.locator("#today")).to_contain_text("7,000 Tomans")
    assert page.locator(f"#row-{request}").count() == 1
    # Another tab is before it: what it asked until then is all.
    page.evaluate(
        "() => { Object.defineProperty(document, 'hidden', { value: true, configurable: true });"
        " document.dispatchEvent(new Event('visibilitychange')); }"
    )
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url))
    page.evaluate("() => window.dispatchEvent(new Event('focus'))")
    ask(world.acme.neighbour, 9_000)
    page.evaluate("() => new Promise((on) => requestAnimationFrame(on))")
    assert asked == []
    page.evaluate(
        "() => { Object.defineProperty(document, 'hidden', { value: false, configurable: true });"
        " document.dispatchEvent(new Event('visibilitychange')); }"
    )
    expect(link.locator(".menu-badge")).to_contain_text("2", timeout=20_000)
    expect(page.locator("#today")).to_contain_text("9,000 Tomans")
    page.context.clear_cookies()
    page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#alerts")).to_contain_text("signed out")
