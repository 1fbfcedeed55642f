"""Whether a page fits its window: it does not scroll sideways, no cell of a table is cut, and each figure is whole. One
that is cut reads as another: 3,862,200 without what is at its left is 862,200."""

from playwright.sync_api import Page

# Looked at are the texts of cells, and figures wherever they stand: grouped numbers, and all numbers of an amount.
# Neither may pass the edge of its cell, nor lie where nobody can bring it into sight. A day stands on one line. So does
# a figure, and within whatever holds it, and is seen before anybody has scrolled. A table that is wider than its card
# scrolls in it: the card has a name, the keyboard gets there, and a shadow at its edge says that it goes on. What only
# screen readers are to have is cut on purpose, and code is scrolled.
_MISFITS = r"""
() => {
    const found = new Set(), root = document.scrollingElement;
    if (root.scrollWidth > root.clientWidth) found.add(`the page is ${root.scrollWidth - root.clientWidth} too wide`);
    const isOutside = (inner, outer) => inner.left < outer.left - 1 || inner.right > outer.right + 1;

    const look = (holder, range, isFigure) => {
        const rects = [...range.getClientRects()].filter(({ width }) => width > 1);
        if (!rects.length) return;
        const lines = new Set(rects.map(({ bottom }) => Math.round(bottom)));
        const fault = (what) => found.add(`${what}: ${range} in ${holder.outerHTML.slice(0, 100)}`);
        const left = Math.min(...rects.map((one) => one.left)), right = Math.max(...rects.map((one) => one.right));
        let box = { left, right };
        const cell = holder.closest("td, th");
        if (cell && isOutside(box, cell.getBoundingClientRect())) fault("out of its cell");
        if (isFigure && lines.size > 1) fault("on two lines");
        for (let part = holder, style; part && part !== document.body;
             part = style.position === "absolute" ? part.offsetParent : part.parentElement) {
            style = getComputedStyle(part);
            if (style.display === "inline" || style.display === "contents") continue;
            const edges = part.getBoundingClientRect(), left = edges.left + part.clientLeft;
            const inside = { left, right: left + part.clientWidth };
            if (style.overflowX === "visible") {
                if (isFigure && isOutside(box, edges)) fault(`wider than its <${part.localName}> ${part.className}`);
            } else if (style.overflowX === "hidden" || style.overflowX === "clip") {
                if (isOutside(box, inside)) fault("hidden");
            } else {
                // From right to left, scrolling counts from the right edge, and below zero.
                const beyond = style.direction === "rtl" ? part.scrollWidth - part.clientWidth : 0;
                const first = left - part.scrollLeft - beyond;
                if (isOutside(box, { left: first, right: first + part.scrollWidth })) fault("out of reach");
                const shows = box.right > inside.left && box.left < inside.right;
                if (isFigure && shows && isOutside(box, inside)) fault("cut");
                box = edges; // from here on it is the part as a whole that may be outside of another
            }
        }
        if (isOutside(box, { left: 0, right: window.innerWidth })) fault("outside of the window");
    };

    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let text; text = texts.nextNode();) {
        const holder = text.parentElement;
        if (!text.data.trim() || holder.closest(".visually-hidden, option, pre, script")) continue;
        if (!holder.checkVisibility({ visibilityProperty: true })) continue;
        const range = document.createRange();
        range.selectNodeContents(text);
        if (holder.closest("td, th")) look(holder, range, false);
        const figures = holder.closest(".amount")
            ? /[+−]?[0-9۰-۹]+(?:[,٬.٫][0-9۰-۹]+)*/g : /[+−]?[0-9۰-۹]{1,3}(?:[,٬][0-9۰-۹]{3})+/g;
        for (const match of text.data.matchAll(figures)) {
            range.setStart(text, match.index);
            range.setEnd(text, match.index + match[0].length);
            look(holder, range, true);
        }
        for (const match of text.data.matchAll(/\b[0-9۰-۹]{4}[-/][0-9۰-۹]{2}[-/][0-9۰-۹]{2}\b/g)) {
            range.setStart(text, match.index);
            range.setEnd(text, match.index + match[0].length);
            const lines = new Set([...range.getClientRects()].map(({ bottom }) => Math.round(bottom)));
            if (lines.size > 1) found.add(`a day on two lines: ${range} in ${holder.outerHTML.slice(0, 100)}`);
        }
    }

    for (const table of document.querySelectorAll("table")) {
        let card = table;
        while (card !== document.body && getComputedStyle(card).overflowX === "visible") card = card.parentElement;
        if (!/auto|scroll/.test(getComputedStyle(card).overflowX) || card.scrollWidth <= card.clientWidth) continue;
        const name = card.ariaLabel || document.getElementById(card.getAttribute("aria-labelledby"))?.textContent;
        const hasHint = getComputedStyle(card).backgroundAttachment.includes("local");
        if (!name || card.tabIndex < 0 || card.role !== "region" || !hasHint)
            found.add(`scrolls without a name, a hint, or for the mouse alone: ${name}`);
    }
    return [...found];
}
"""


def misfits(page: Page) -> list[str]:
    """What does not fit, in words."""
    found: list[str] = page.evaluate(_MISFITS)
    return found
