"""The dialog of an approval, fetched when it is asked for: what is confirmed is what is read, in whatever order answers
come."""

from collections.abc import Callable

from playwright.sync_api import Route, expect

from tests.browser.people import Guest
from tests.support.server import Server
from tests.support.world import World, ask

Window = Callable[..., Guest]


def test_of_two_that_were_asked_for_the_last_is_shown(world: World, open_window: Window, server: Server) -> None:
    first, second = ask(world.acme.member, 1_000), ask(world.acme.neighbour, 9_000_000)
    page = open_window(server).become(world.acme.owner).go("acme", "/credit-requests").page
    held: list[Route] = []
    page.route(lambda url: url.endswith(f"decision=approve&ids={second}"), lambda route: held.append(route))
    with page.expect_request(lambda request: request.url.endswith(f"ids={second}")) as asked:
        page.click(f'a[hx-get$="approve&ids={second}"]')
    expect(page.locator(f'a[hx-get$="approve&ids={second}"]')).to_have_attribute("aria-busy", "true")
    with page.expect_event("requestfailed", lambda request: request == asked.value):  # nobody waits for it any longer
        page.click(f'a[hx-get$="approve&ids={first}"]')
    expect(page.locator("dialog[open]")).to_contain_text("1,000 Tomans")
    expect(page.locator("a[aria-busy]")).to_have_count(0)
    page.click("dialog[open] form button.btn-primary")
    expect(page.locator(f"#row-{first}")).to_contain_text("Approved")
    assert (world.acme.member.balance(), world.acme.neighbour.balance()) == (1_000, 0)


def test_it_does_not_open_over_another(world: World, open_window: Window, server: Server) -> None:
    request = ask(world.acme.member, 1_000)
    page = open_window(server).become(world.acme.owner).go("acme", f"/credit-requests/{request}").page
    held: list[Route] = []
    page.route(f"**/credit-requests/{request}/approve", lambda route: held.append(route))
    with page.expect_request(f"**/credit-requests/{request}/approve"):
        page.click(f'a[hx-get$="{request}/approve"]')
    page.click("a[data-asks]")
    expect(page.locator("#danger #id_reason")).to_be_focused()
    page.evaluate(
        "() => { window.answered = new Promise((on) => document.addEventListener('htmx:afterRequest', () => on(1))) }"
    )
    held[0].continue_()
    assert page.evaluate("window.answered")
    page.keyboard.type("not paid yet")
    assert page.evaluate("[...document.querySelectorAll('dialog[open]')].map((one) => one.id)") == ["danger"]
    expect(page.locator("#danger #id_reason")).to_have_value("not paid yet")
