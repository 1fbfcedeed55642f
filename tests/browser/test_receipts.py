"""Receipts and questions about recharges in a browser: what is printed and shared, and what works without script."""

import re
import uuid
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from recharge.claims.queries import claims_of
from tests.browser.people import Guest
from tests.support.server import Server
from tests.support.world import Organization, World, give_credit, make_member

POINTS_OF_MM = 72 / 25.4


@pytest.fixture
def acme(world: World) -> Organization:
    give_credit(world.acme.row, world.acme.member.id, 1_000_000)
    return world.acme


def sold(acme: Organization) -> str:
    return str(acme.member.sell(50_000).json["id"])


def sheets(page: Page) -> list[tuple[int, int]]:
    """The pages that are printed: their widths and heights, in mm."""
    written = page.pdf(prefer_css_page_size=True, print_background=True)
    boxes = re.findall(rb"/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)\s*\]", written)
    return [(round(float(width) / POINTS_OF_MM), round(float(height) / POINTS_OF_MM)) for width, height in boxes]


@pytest.mark.parametrize("language", ["en", "fa"])
def test_a_receipt_is_one_piece_of_the_paper_that_was_chosen(
    acme: Organization, server: Server, open_window: Callable[..., Guest], language: str
) -> None:
    address = f"/recharges/{sold(acme)}/receipt"
    window = open_window(server, language=language, width=360).become(acme.member).go("acme", address)
    page = window.page
    assert sheets(page) == [(80, 90)]
    with page.expect_navigation():
        page.select_option("#paper", "58")
    assert sheets(page) == [(58, 90)]
    window.go("acme", address)  # it is remembered
    assert sheets(page) == [(58, 90)]
    page.emulate_media(media="print")
    for hidden in ("header.topbar", "#menu", "h1", "#paper", "footer"):
        assert page.locator(hidden).first.is_hidden(), hidden
    expect(page.locator(".receipt-number")).to_be_visible()
    colours = page.evaluate(
        "[...document.querySelectorAll('.receipt *')].map((one) => getComputedStyle(one)).map((style) => style.color)"
    )
    assert set(colours) == {"rgb(0, 0, 0)"}
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert window.complaints == []


def test_a_receipt_is_shared_where_the_browser_can_and_copied_elsewhere(
    acme: Organization, server: Server, open_window: Callable[..., Guest]
) -> None:
    address = f"/recharges/{sold(acme)}/receipt"
    window = open_window(server).become(acme.member)
    window.page.add_init_script("Object.defineProperty(navigator, 'share', {value: undefined})")
    window.go("acme", address)
    share = window.page.get_by_role("button", name=window.t("Share"), exact=True)
    expect(share).to_be_hidden()
    expect(window.page.get_by_role("button", name=window.t("Copy as text"))).to_be_visible()
    other = open_window(server).become(acme.member)
    other.page.add_init_script(
        "Object.defineProperty(navigator, 'share', {value: async (given) => { window.given = given.text; }});"
        "Object.defineProperty(navigator, 'canShare', {value: () => true})"
    )
    other.go("acme", address)
    other.page.get_by_role("button", name=other.t("Share"), exact=True).click()
    given = other.page.evaluate("window.given")
    assert given.splitlines()[0] == "member"
    assert "50,000 Tomans" in given


@pytest.mark.parametrize(("language", "script"), [("en", True), ("fa", False)])
def test_a_question_is_asked_answered_and_closed(
    acme: Organization,
    server: Server,
    open_window: Callable[..., Guest],
    accessible: Callable[[Page], None],
    language: str,
    script: bool,
) -> None:
    recharge = sold(acme)
    support = make_member(acme.row, "support", "support", acme.anyone.address)
    seller = open_window(server, language=language, width=360, script=script).become(acme.member)
    desk = open_window(server, language=language, script=script).become(support)
    seller.go("acme", f"/recharges/{recharge}")
    seller.page.get_by_role("link", name=seller.t("My customer didn't get it")).click()
    seller.page.fill("textarea", "the balance is as before")
    if script:
        accessible(seller.page)
    seller.page.get_by_role("button", name=seller.t("Ask"), exact=True).click()
    seller.page.wait_for_url("**/claims/*")
    desk.go("acme", "/claims")
    desk.page.locator("tbody a").first.click()
    desk.page.fill("textarea", "Which SIM is it?")
    desk.page.get_by_role("button", name=desk.t("Answer"), exact=True).click()
    expect(desk.page.get_by_text("Which SIM is it?")).to_be_visible()
    seller.go("acme", "/sell")
    seller.page.get_by_role("link", name=seller.t("Look")).click()
    expect(seller.page.get_by_text("Which SIM is it?")).to_be_visible()
    if script:
        accessible(seller.page)
        accessible(desk.page)
    desk.page.get_by_role("link", name=desk.t("Close as delivered")).click()
    desk.page.fill("input[name=reference]", "MCI-77")
    desk.page.get_by_role("button", name=desk.t("Close it")).click()
    desk.page.wait_for_url(re.compile("/claims/[0-9a-f-]+$"))
    seller.page.reload()
    expect(seller.page.get_by_text("MCI-77")).to_be_visible()
    with acme.context:
        assert [one.state for one in claims_of(uuid.UUID(recharge))] == ["delivered"]
    assert seller.complaints == desk.complaints == []
