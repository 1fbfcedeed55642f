"""What measures whether a page fits, itself: it finds each way in which one does not."""

from collections.abc import Callable

import pytest

from shared.money import LARGEST_AMOUNT
from tests.browser.fitting import misfits
from tests.browser.people import Guest
from tests.support.server import Server
from tests.support.world import Organization, give_credit

_CARD = '<div class="table-card" tabindex="0" role="region" aria-label="Sales" style="{}">{}</div>'
_TABLE = "<table><tr><td>Sale</td><td class=amount>{}</td></tr></table>"
_HINT = "overflow-x: auto; background: linear-gradient(#fff, #fff) local"


LONG = 111_111_111_111
PAGES = (
    "/sell",
    "/earnings",
    "/ledger",
    "/recharges",
    "/recharges/{sale}",
    "/recharges/{sale}/receipt",
    "/statements/new",
)


@pytest.mark.parametrize("language", ["en", "fa"])
def test_the_largest_amounts_fit_the_smallest_phones(
    acme: Organization, open_window: Callable[..., Guest], server: Server, language: str
) -> None:
    """A thousand billion Tomans, and their balances: on each page that a seller looks at."""
    give_credit(acme.row, acme.member.id, LARGEST_AMOUNT)
    sale = acme.member.sell(LONG)
    assert sale.status == 201, sale
    guest = open_window(server, language=language, width=320).become(acme.member)
    for path in PAGES:
        guest.go("acme", path.format(sale=sale.json["id"]))
        for width in (320, 360):
            guest.page.set_viewport_size({"width": width, "height": 800})
            assert misfits(guest.page) == [], (path, width)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("<p>3,862,200 Tomans</p>", []),
        (_CARD.format(_HINT, _TABLE.format("3,862,200")), []),
        ("<div style='width: 500px'>wide</div>", ["the page is"]),
        ("<p style='width: 4rem; overflow: hidden'><span style='margin: 2rem'>3,862,200</span></p>", ["hidden"]),
        ("<p style='width: 3rem'>3,862,200</p>", ["wider than"]),
        ("<p style='width: 5rem'>2026-10-29 to 2026-11-27</p>", ["a day on two lines"]),
        ("<p style='width: 5rem'>until <span style='white-space: nowrap'>2026-11-27</span></p>", []),
        ("<p class=amount style='width: 3rem'>3,862,200<wbr>,500</p>", ["wider than"]),
        ("<p style='width: 4rem; word-break: break-all'>3,862,200,500</p>", ["on two lines"]),
        ("<p style='position: fixed; left: -2rem'>3,862,200</p>", ["outside of the window"]),
        (
            "<div style='width: 6rem; overflow: auto'><p style='margin-left: 4rem; width: 6rem'>3,862,200</p></div>",
            ["cut"],
        ),
        (
            "<div style='width: 6rem; overflow: auto'><p style='margin-left: -2rem; width: 6rem'>3,862,200</p></div>",
            ["out of reach"],
        ),
        (
            "<table style='table-layout: fixed; width: 6rem'><tr><td>unbreakable</td><td>b</td></tr></table>",
            ["out of its cell"],
        ),
        (
            "<div style='overflow-x: auto'><table style='width: 30rem'><tr><td>Sale</td></tr></table></div>",
            ["scrolls without"],
        ),
    ],
)
def test_each_misfit_is_found(open_window: Callable[..., Guest], server: Server, body: str, found: list[str]) -> None:
    page = open_window(server, width=320).page
    page.set_content(f"<body style='margin: 0'>{body}</body>")
    assert [any(fault.startswith(one) for fault in misfits(page)) for one in found] == [True] * len(found), misfits(
        page
    )
    assert bool(misfits(page)) == bool(found), misfits(page)
