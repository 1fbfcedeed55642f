"""How figures, charts and colours look: measured in the browser, since nothing else knows."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from credit.webhooks.services import create_webhook
from tests.browser.fitting import misfits
from tests.browser.people import Guest
from tests.support.server import Server
from tests.support.world import Organization, World, give_credit

Window = Callable[..., Guest]

# How wide each digit is in a table, twenty times in a row, and text in both weights; and which fonts were loaded.
_WIDTHS = """
async () => {
    const cell = document.querySelector("td.amount").appendChild(document.createElement("span"));
    const width = (text, weight = 400) => {
        cell.textContent = text.repeat(20);
        cell.style.fontWeight = weight;
        return Math.round(cell.getBoundingClientRect().width * 10) / 10;
    };
    width("۰0"); width("۰0", 700);
    await document.fonts.ready;
    const widths = (digits) => [...new Set([...digits].map((digit) => width(digit)))];
    const found = {
        persian: widths("۰۱۲۳۴۵۶۷۸۹"), arabic: widths("٠١٢٣٤٥٦٧٨٩"), latin: widths("0123456789"),
        regular: width("تومان"), bold: width("تومان", 700),
        loaded: [...document.fonts]
            .filter(({status}) => status === "loaded").map(({family}) => family.replaceAll('"', "")),
    };
    cell.remove();
    return found;
}
"""

# The right edges of what is written in each column of amounts, its heading and its sum included.
_EDGES = """
() => [...document.querySelectorAll("main table")].flatMap((table) => {
    const columns = {};
    for (const row of table.rows) for (const cell of row.querySelectorAll(".amount")) {
        const written = document.createRange();
        written.selectNodeContents(cell);
        const {right, width} = written.getBoundingClientRect();
        if (width) (columns[cell.cellIndex] ??= []).push(Math.round(right));
    }
    return Object.values(columns).map((edges) => edges.length > 1 ? [...new Set(edges)] : []);
})
"""

# How far from its line's beginning each name beside a bar begins, written in either direction below a longer one.
_STARTS = """
() => [...document.querySelectorAll(".chart-bars li > bdi")].flatMap((name) => {
    const line = name.parentElement, longer = line.cloneNode(true), written = document.createRange();
    longer.querySelector("bdi").textContent = "The longest name of all";
    line.before(longer);
    return ["Bahar", "بهار"].map((text) => {
        name.textContent = text;
        written.selectNodeContents(name);
        const {left, right} = written.getBoundingClientRect(), whole = line.getBoundingClientRect();
        return Math.round(document.dir === "rtl" ? whole.right - right : left - whole.left);
    });
})
"""

# Whether each sign is left of its number.
_SIGNS = """
() => {
    const found = [];
    const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
    for (let node; node = walker.nextNode();) {
        const sign = node.data.search(/[+−][0-9۰-۹]/);
        if (sign < 0) continue;
        const box = (at) => {
            const one = document.createRange();
            one.setStart(node, at);
            one.setEnd(node, at + 1);
            return one.getBoundingClientRect();
        };
        if (box(sign).width) found.push([node.data[sign], box(sign).right <= box(sign + 1).left + 1]);
    }
    return found;
}
"""


@pytest.fixture
def traded(acme: Organization) -> Organization:
    """acme, whose member has sold: credits and debits, of more and of fewer digits."""
    give_credit(acme.row, acme.member.id, 1_111_111)
    for amount in (1_000, 20_000, 171_000):
        assert acme.member.sell(amount).status == 201
    return acme


@pytest.mark.parametrize("language", ["en", "fa"])
def test_figures_stand_below_each_other(
    traded: Organization, open_window: Window, server: Server, language: str
) -> None:
    guest = open_window(server, language=language).become(traded.owner)
    page = guest.go("acme", "/ledger").page
    widths = page.evaluate(_WIDTHS)
    assert len(widths["persian"]) == len(widths["arabic"]) == len(widths["latin"]) == 1, widths
    assert widths["regular"] != widths["bold"]  # a weight of its own: one that is made up is as wide
    assert ("Vazirmatn" if language == "fa" else "Vazirmatn Persian") in widths["loaded"]
    signs = page.evaluate(_SIGNS)
    assert {sign for sign, _is_left in signs} == {"−", "+"}
    assert all(is_left for _sign, is_left in signs), signs
    for path in ("/ledger", "/reports"):
        edges = guest.go("acme", path).page.evaluate(_EDGES)
        assert len(edges) >= 2
        assert all(len(column) == 1 for column in edges), (path, edges)


@pytest.mark.parametrize("language", ["en", "fa"])
def test_names_beside_bars_begin_at_one_edge_in_both_directions(
    traded: Organization, open_window: Window, server: Server, language: str
) -> None:
    page = open_window(server, language=language).become(traded.owner).go("acme", "/reports").page
    starts = page.evaluate(_STARTS)
    assert len(starts) >= 4
    assert set(starts) == {0}


@pytest.mark.parametrize("language", ["en", "fa"])
def test_an_address_is_broken_only_where_its_table_has_no_room(
    acme: Organization, open_window: Window, server: Server, language: str
) -> None:
    url = "https://hooks.example.com/a/long/path/to/where/each/recharge/is/told"
    with acme.context:
        create_webhook(organization=acme.row, seller_id=None, url=url, events=["recharge.succeeded"])
    page = open_window(server, language=language, width=1440).become(acme.owner).go("acme", "/webhooks").page
    address = page.get_by_text(url)
    lines = "(it) => it.getClientRects().length"
    assert address.evaluate(lines) == 1
    page.set_viewport_size({"width": 360, "height": 800})
    assert address.evaluate(lines) > 1
    assert misfits(page) == []


def _value_told(page: Page) -> str:
    """What a chart of columns says above itself."""
    return page.locator(".chart-told").filter(visible=True).inner_text()


@pytest.mark.parametrize("script", [True, False])
def test_a_charts_values_are_told_by_pointer_by_keyboard_and_by_touch(
    traded: Organization, open_window: Window, server: Server, script: bool
) -> None:
    guest = open_window(server, width=360, script=script, touch=True).become(traded.owner)
    page = guest.go("acme", "/reports").page
    columns = page.locator(".chart-column")
    expect(columns).to_have_count(7)
    assert _value_told(page).endswith("192,000 Tomans")  # today
    columns.nth(2).hover()
    assert _value_told(page).endswith(": 0 Tomans")
    page.mouse.move(1, 1)
    assert _value_told(page).endswith("192,000 Tomans")
    page.locator(".chart-column input").last.focus()
    page.keyboard.press("ArrowLeft")
    assert _value_told(page).endswith(": 0 Tomans")
    page.keyboard.press("ArrowRight")
    assert _value_told(page).endswith("192,000 Tomans")
    page.keyboard.press("ArrowRight")  # around to the first
    assert _value_told(page).endswith(": 0 Tomans")
    columns.last.tap()
    assert _value_told(page).endswith("192,000 Tomans")
    # It is no picture that shrinks: what is written keeps its size, and what it says stands in the chart.
    written = page.locator(".chart-short").filter(has_text="-").first.evaluate("(it) => getComputedStyle(it).fontSize")
    assert written == "12px"
    chart, told = page.locator(".chart").first.bounding_box(), page.locator(".chart-told").last.bounding_box()
    assert chart
    assert told
    assert chart["x"] < told["x"]
    assert told["x"] + told["width"] < chart["x"] + chart["width"]


def _colours(page: Page) -> tuple[int, int]:
    """How light the page and its text are, of 255."""
    shades: Any = page.evaluate(
        """() => [["body", "backgroundColor"], ["h1", "color"]].map(([where, what]) =>
            Math.round(getComputedStyle(document.querySelector(where))[what].match(/\\d+/g)
                .slice(0, 3).reduce((sum, one) => sum + Number(one), 0) / 3))"""
    )
    return shades[0], shades[1]


def test_the_scheme_is_the_systems_and_paper_is_light(world: World, open_window: Window, server: Server) -> None:
    page = open_window(server, script=False).go("acme", "/sign-in").page
    ground, text = _colours(page)
    assert ground > 240
    assert text < 60
    page.emulate_media(color_scheme="dark")
    ground, text = _colours(page)
    assert ground < 40
    assert text > 200
    page.emulate_media(color_scheme="dark", media="print")
    ground, text = _colours(page)
    assert ground > 240
    assert text < 60
