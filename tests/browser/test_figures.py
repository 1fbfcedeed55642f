"""Figures on narrow screens. One that is cut reads as another: 3,862,200 without what is at its left is 862,200."""

from collections.abc import Callable

import pytest

from tests.browser.people import Guest
from tests.browser.pictures import PICTURES
from tests.browser.scenery import furnish
from tests.support.server import Server
from tests.support.world import World

WIDTHS = [320, 360, 768]

PAGES = [
    "seller-sell", "seller-confirm", "seller-outcome", "seller-receipt", "seller-claims", "seller-claim",
    "seller-bulk-sales", "seller-bulk-sale", "seller-recharges", "seller-recharge", "seller-margins",
    "seller-statement", "seller-statements", "seller-period-statement", "seller-credit-requests", "seller-earnings",
    "seller-alerts", "dealer-branch", "dealer-seller", "dealer-sales", "dealer-entries", "dealer-request",
    "dealer-transfers", "dealer-transfer", "dealer-confirm-transfer", "admin-home", "admin-credit-requests",
    "admin-credit-request", "admin-approve", "admin-decide", "admin-adjustments", "admin-adjustment", "admin-margins",
    "admin-sellers", "admin-seller", "admin-transfers", "admin-recharges", "admin-recharge", "admin-claims",
    "admin-ledger", "admin-statements", "admin-reports", "platform-organizations",
    "platform-organization",
]  # fmt: skip

SCROLLED = {"admin-reports", "platform-organization"}
"""Pages with tables that are wider than a phone: there a figure may lie across the edge until the table is scrolled."""

# How many figures show, and what is wrong with which: outside of the window, of what a part that scrolls can be
# scrolled to, or of a part that hides what is outside; cut by the edge of a part that scrolls, as it is before anybody
# has scrolled it; on two lines; wider than the box that it stands in.
_FAULTS = r"""
(isScrolled) => {
    const faults = [];
    let shown = 0;
    const outside = (inner, outer) => inner.left < outer.left - 1 || inner.right > outer.right + 1;
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node; node = walker.nextNode();) {
        const holder = node.parentElement, figures = holder.closest(".amount")
            ? /[+−]?[0-9۰-۹]+(?:[,٬.٫][0-9۰-۹]+)*/g : /[+−]?[0-9۰-۹]{1,3}(?:[,٬][0-9۰-۹]{3})+/g;
        if (holder.closest(".visually-hidden") || !holder.checkVisibility({ visibilityProperty: true })) continue;
        for (const match of node.data.matchAll(figures)) {
            const range = document.createRange();
            range.setStart(node, match.index);
            range.setEnd(node, match.index + match[0].length);
            let box = range.getBoundingClientRect();
            const fault = (what) => faults.push(`${match[0]} ${what}: ${holder.outerHTML.slice(0, 120)}`);
            shown += 1;
            const lines = new Set([...range.getClientRects()].map(({ bottom }) => Math.round(bottom)));
            if (lines.size > 1) fault("on two lines");
            for (let part = holder, look; part && part !== document.body;
                 part = look.position === "absolute" ? part.offsetParent : part.parentElement) {
                look = getComputedStyle(part);
                if (look.display === "inline" || look.display === "contents") continue;
                const edges = part.getBoundingClientRect(), left = edges.left + part.clientLeft;
                const inside = { left, right: left + part.clientWidth };
                if (look.overflowX === "visible") {
                    if (outside(box, edges)) fault(`wider than <${part.localName} class="${part.className}">`);
                } else if (look.overflowX === "hidden" || look.overflowX === "clip") {
                    if (outside(box, inside)) fault("hidden");
                } else {
                    // From right to left, scrolling counts from the right edge, and below zero.
                    const beyond = look.direction === "rtl" ? part.scrollWidth - part.clientWidth : 0;
                    const first = left - part.scrollLeft - beyond;
                    if (outside(box, { left: first, right: first + part.scrollWidth })) fault("out of reach");
                    const shows = box.right > inside.left && box.left < inside.right;
                    if (shows && !isScrolled && outside(box, inside)) fault("cut");
                    box = edges; // from here on it is the part as a whole that may be outside of another
                }
            }
            if (outside(box, { left: 0, right: window.innerWidth })) fault("outside of the window");
        }
    }
    return [shown, faults];
}
"""


@pytest.mark.parametrize("language", ["en", "fa"])
def test_no_figure_is_cut(world: World, open_window: Callable[..., Guest], server: Server, language: str) -> None:
    people, ids = furnish(world)
    chosen = [picture for picture in PICTURES if picture.name in PAGES]
    assert len(chosen) == len(PAGES)
    faults: list[object] = []
    for who in sorted({str(picture.who) for picture in chosen}):
        guest = open_window(server, language=language).become(people[who])
        for picture in chosen:
            if picture.who != who:
                continue
            guest.go(None if who == "root" else "acme", picture.path.format(**ids))
            for width in WIDTHS:
                guest.page.set_viewport_size({"width": width, "height": 800})
                shown, wrong = guest.page.evaluate(_FAULTS, picture.name in SCROLLED)
                assert shown, picture
                faults += [(picture.name, width, fault) for fault in wrong]
    import pathlib

    pathlib.Path(f"/tmp/w/dialogs/faults.{language}").write_text("\n".join(map(repr, faults)))
    assert faults == []
