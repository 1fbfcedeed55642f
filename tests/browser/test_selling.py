"""Selling in a browser: what needs a script to be true. A lost answer, a double click, the Back button, slices."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import urllib3
from playwright.sync_api import Page, Route

from recharge.models import GatewaySettings, OperatorSettings, Recharge
from tests.browser.people import Guest
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.world import Organization, World, give_credit

SELL = "main form[method=post] button.btn-primary"


@pytest.fixture
def acme(delivering: Server) -> Organization:
    world = World.build(delivering.address)
    give_credit(world.acme.row, world.acme.member.id, 1_000_000)
    with world.acme.context:
        gateway = GatewaySettings.objects.create(name="sandbox", kind="simulator")
        OperatorSettings.objects.create(operator="irancell", gateway=gateway)
    return world.acme


@pytest.fixture(params=["en", "fa"])
def window(request: pytest.FixtureRequest, delivering: Server, acme: Organization, open_window: Callable) -> Guest:
    return open_window(delivering, language=request.param, width=360).become(acme.member)


def look(window: Guest, number: str) -> Page:
    page = window.go("acme", "/sell").page
    page.keyboard.type(number)  # the cursor is where it is needed
    page.wait_for_selector("#number-hint .hint-number")
    page.click("#amounts button >> nth=1")
    page.click("main form button.btn-primary")
    page.wait_for_url("**/sell/confirm**")
    return page


def said(page: Page) -> list[str]:
    """What the page has told to who does not see it, during the last seconds."""
    texts: list[str] = page.evaluate("[...document.querySelectorAll('#announcer div')].map((line) => line.textContent)")
    return texts


def sold(acme: Organization) -> int:
    with acme.context:
        return Recharge.objects.count()


def lose_the_answer(route: Route, acme: Organization) -> None:
    """What the browser sends arrives, and the connection breaks before the answer does."""
    sent = route.request
    url = urlsplit(sent.url)
    address = f"http://{acme.anyone.address}{url.path}"
    headers = {**sent.all_headers(), "Host": url.netloc}
    answer = urllib3.request("POST", address, body=sent.post_data_buffer, headers=headers, redirect=False)
    assert answer.status < 300, answer.status
    route.abort()


def test_a_sale_and_its_outcome(window: Guest, acme: Organization, accessible: Callable) -> None:
    page = look(window, "09351234521")
    accessible(page)
    page.dblclick(SELL)
    page.wait_for_url("**/outcome")
    accessible(page)
    assert page.locator(".outcome-pending").count() == 1
    page.wait_for_selector(".outcome-failed")  # and refunded, before the seller's eyes
    wait_until(lambda: len(said(page)) == 2)  # the outcome and the balance, each once
    assert page.locator("#outcome").get_attribute("hx-trigger") is None
    assert sold(acme) == 1
    page.go_back()
    page.wait_for_selector("main a[href$='/outcome']")
    assert page.locator("form[action='/sell/confirm']").count() == 0
    assert acme.member.balance() == 1_000_000
    assert window.complaints == []


def test_an_answer_that_is_lost_is_asked_for_again(window: Guest, acme: Organization) -> None:
    page = look(window, "09351234500")

    page.route("**/sell/confirm", lambda route: lose_the_answer(route, acme))
    page.click(SELL)
    page.wait_for_selector("#alerts .alert")
    assert sold(acme) == 1
    page.unroute("**/sell/confirm")
    assert page.is_enabled(SELL)
    page.click(SELL)
    page.wait_for_url("**/outcome")
    assert sold(acme) == 1


def test_many_are_sold_in_slices_that_may_be_lost(window: Guest, acme: Organization, accessible: Callable) -> None:
    page = window.go("acme", "/bulk").page
    accessible(page)
    page.fill("#id_text", "\n".join(f"0935{number:05}20,1000" for number in range(250)) + "\nwrong")
    page.click("main form button.btn-primary")
    page.wait_for_selector("form[action='/bulk/sell']")
    accessible(page)
    calls: list[str] = []

    def lose_the_second(route: Route) -> None:
        calls.append(route.request.url)
        if len(calls) == 2:
            lose_the_answer(route, acme)
        else:
            route.continue_()

    page.route("**/bulk/sell", lose_the_second)
    page.click("form[action='/bulk/sell'] button")
    page.wait_for_selector("#alerts .alert")
    assert sold(acme) == 200
    page.click("#bulk-progress form button")
    page.wait_for_selector("#bulk-results")
    accessible(page)
    assert page.locator("#bulk-rows tr").count() == 250
    assert sold(acme) == 250
    page.wait_for_selector("p#bulk-in-flight")
    assert page.locator("#bulk-rows .state-good").count() == 250
    with page.expect_download() as download:
        page.click("#bulk-results a[href$='.csv']")
    assert Path(download.value.path()).read_text("utf-8-sig").count("succeeded") == 250
    assert window.complaints == []


def test_why_a_row_is_not_sold_can_be_read_on_a_phone(window: Guest) -> None:
    page = window.go("acme", "/bulk").page
    page.fill("#id_text", "09121234567 5000\n0912,1\n09351234567,20000,vodafone\n09351234567,5000000\n")
    page.click("main form button.btn-primary")
    page.wait_for_selector(".row-problems")
    for reason in page.locator(".row-problems").all():
        box = reason.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
