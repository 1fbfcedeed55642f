"""Whether a page is accessible, as axe-core sees it."""

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

# Rules that find nothing grave are left out, and what is right is not described: half of an audit's CPU. Of a table's
# rows that differ in nothing but their texts it looks at ten.
_AUDIT = """
async (tags) => {
    const isGrave = ({impact}) => impact !== "minor" && impact !== "moderate";
    const light = axe._audit.rules.filter((rule) => !isGrave(rule));
    const seen = {};
    const stated = (element) => [...element.attributes]
        .map(({name, value}) => name === "class" || name === "role" ? value : name + (value.trim() === ""));
    const shape = (row) => JSON.stringify([row, ...row.querySelectorAll("*")]
        .map((element) => [element.localName, element.textContent.trim() === "", ...stated(element)]));
    const alike = [...document.querySelectorAll("tbody > tr")].filter((row) => {
        const it = shape(row);
        seen[it] = (seen[it] ?? 0) + 1;
        return seen[it] > 10;
    });
    const found = await axe.run({include: [document], exclude: alike}, {
        runOnly: tags,
        rules: Object.fromEntries(light.map((rule) => [rule.id, {enabled: false}])),
        resultTypes: ["violations"],
        selectors: false,
    });
    return found.violations
        .filter(isGrave)
        .map((fault) => [fault.id, fault.help, fault.nodes.map((node) => node.html.slice(0, 200))]);
}
"""


def prepare_for_audits(page: Page) -> None:
    """For a window in which many pages are audited: it keeps axe, and half a megabyte is not sent for each of them."""
    page.add_init_script(AXE_SCRIPT)


def grave_faults(page: Page) -> list[object]:
    """The serious and critical violations of WCAG 2.2 A and AA on a page as it is now."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    faults: list[object] = page.evaluate(_AUDIT, _TAGS)
    return faults
