"""Whether a page fits its window: it does not scroll sideways, and no cell of a table is cut."""

from playwright.sync_api import Page

# What stands in a cell is within it, and within whatever clips it; figures are not broken. A table that is wider than
# its card scrolls in it: the card has a name, the keyboard gets there, and a shadow at its edge says that it goes on.
# Texts that only screen readers are to have are cut on purpose.
_MISFITS = r"""
() => {
    const found = [], root = document.scrollingElement;
    if (root.scrollWidth > root.clientWidth) found.push(`the page is ${root.scrollWidth - root.clientWidth} too wide`);
    const isOutside = (rects, {left, right}) => rects.some((one) => one.left < left - 1 || one.right > right + 1);
    const clips = (element) => getComputedStyle(element).overflowX !== "visible";
    const scrolls = (element) => /auto|scroll/.test(getComputedStyle(element).overflowX);
    for (const cell of document.querySelectorAll("td, th")) {
        const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
        for (let text; text = texts.nextNode();) {
            const parent = text.parentElement;
            if (!text.data.trim() || !parent.checkVisibility()) continue;
            if (parent.closest("option, .visually-hidden, pre")) continue;
            const range = document.createRange();
            range.selectNodeContents(text);
            const rects = [...range.getClientRects()].filter(({width}) => width > 1);
            if (isOutside(rects, cell.getBoundingClientRect())) found.push(`out of its cell: ${text.data}`);
            const lines = new Set(rects.map(({top}) => Math.round(top)));
            if (parent.closest("td.amount") && lines.size > 1 && !/\p{L}/u.test(text.data))
                found.push(`broken: ${text.data}`);
            let around = parent;
            while (around !== document.body && !clips(around)) around = around.parentElement;
            if (clips(around) && !scrolls(around) && isOutside(rects, around.getBoundingClientRect()))
                found.push(`cut: ${text.data}`);
        }
    }
    for (const table of document.querySelectorAll("table")) {
        let card = table;
        while (card !== document.body && !clips(card)) card = card.parentElement;
        if (!scrolls(card) || card.scrollWidth <= card.clientWidth) continue;
        const name = card.ariaLabel || document.getElementById(card.getAttribute("aria-labelledby"))?.textContent;
        const hasHint = getComputedStyle(card).backgroundAttachment.includes("local");
        if (!name || card.tabIndex < 0 || card.role !== "region" || !hasHint)
            found.push(`scrolls without a name, a hint, or for the mouse alone: ${name}`);
    }
    return [...new Set(found)];
}
"""


def misfits(page: Page) -> list[str]:
    """What does not fit, in words."""
    found: list[str] = page.evaluate(_MISFITS)
    return found
