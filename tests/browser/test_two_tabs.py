"""Two tabs of one browser, one of which signs in anew."""

from collections.abc import Callable

from recharge.models import Recharge
from tests.browser.people import Guest
from tests.support.server import Server
from tests.support.world import PASSWORD, World, give_credit


def test_the_second_tab_at_sign_in_gets_to_the_start_page(
    world: World, server: Server, open_window: Callable[..., Guest]
) -> None:
    guest = open_window(server).go("acme", "/sign-in")
    second = guest.page.context.new_page()
    second.goto(guest.url("acme", "/sign-in"))
    for tab in (guest.page, second):
        tab.fill("#id_username", "member")
        tab.fill("#id_password", PASSWORD)
        tab.click("form[data-once] button")
        tab.wait_for_url(lambda url: "/sign-in" not in url)
        assert tab.locator(".account-name").inner_text() == "member"
    assert guest.complaints == []


def test_a_sale_that_waited_in_a_tab_is_confirmed_after_a_new_session(
    world: World, server: Server, open_window: Callable[..., Guest], accessible: Callable[..., None]
) -> None:
    acme = world.acme
    give_credit(acme.row, acme.member.id, 10_000)
    guest = open_window(server).sign_in("acme", "member").go("acme", "/sell")
    page = guest.page
    page.fill("[name=phone_number]", "09121234567")
    page.fill("[name=amount]", "5000")
    page.press("[name=amount]", "Enter")
    page.wait_for_selector("#sale form[method=post]")
    other = page.context.new_page()
    other.goto(guest.url("acme", "/account/preferences"))
    other.click(".btn-account")
    other.click("form[action='/sign-out'] button")
    other.wait_for_url("**/sign-in")
    other.fill("#id_username", "member")
    other.fill("#id_password", PASSWORD)
    other.click("form[data-once] button")
    other.wait_for_url(lambda url: "/sign-in" not in url)

    page.click("#sale form[method=post] button")  # which htmx sends
    page.wait_for_selector("#sale .alert-warning")
    assert "You are signed in as member." in page.inner_text("#sale .alert-warning")
    accessible(page)
    with acme.context:
        assert not Recharge.objects.exists()
    page.click("#sale form[method=post] button")
    page.wait_for_selector("#last-sale section")
    with acme.context:
        assert Recharge.objects.count() == 1
    assert guest.complaints == []
