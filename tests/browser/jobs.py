"""What the daily jobs cost in the consoles: keys, clicks, loads of a page, and seconds. One command, from the root:

    .venv/bin/python -m tests.browser.jobs [--only REGEX]

It starts a PostgreSQL and a server of its own, does each job in a browser as somebody does who knows the console, looks
in the database or on the page whether it is done, and prints a table beside the wanted figures. Its test fails above
them (tests/browser/test_jobs.py). A job has one or more ways, the newest first: where a page lacks what a way needs,
the next one is gone, so the command runs on older checkouts, too.

A chord (Control and V) is one key. Seconds are an estimate by the keystroke-level model (Card, Moran and Newell, 1980:
0.28 s a key, 1.1 s to point and 0.2 s to click) and what the pages themselves made one wait for.
"""

import argparse
import atexit
import os
import re
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

_KEY, _CLICK = 0.28, 1.3
NUMBERS = [f"0912{number:07}" for number in range(1_110_001, 1_110_061, 5)]
"""To be sold to; in the sandbox all of these are delivered at once or soon."""
SOUGHT = "09127777391"
"""The number of a sale of last Tuesday that is to be found again; nothing else ends like it."""
ANSWER = "Sent again"


class NotThere(Exception):
    """The pages do not have what this way of doing it needs."""


class Hands:
    """Somebody at a window: does, counts, and waits."""

    def __init__(self, page: Page, address: Callable[[str], str]) -> None:
        self.page, self._address = page, address
        self.keys = self.clicks = self.loads = 0
        self.waited = 0.0
        self.learned: Any = None
        """What the job was to find out, or what it was to get."""
        page.on("domcontentloaded", self._loaded)

    def _loaded(self, _page: Page) -> None:
        self.loads += 1

    def start(self, path: str) -> None:
        """Where the job begins; not counted."""
        self.page.goto(self._address(path))
        self.page.wait_for_load_state()
        self.keys = self.clicks = self.loads = 0
        self.waited = 0.0

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)
        self.keys += len(text)

    def press(self, key: str, times: int = 1) -> None:
        for _ in range(times):
            self.page.keyboard.press(key)
        self.keys += times

    def tab_to(self, selector: str) -> None:
        """By the Tab key alone."""
        for _ in range(100):
            if self.page.evaluate("(selector) => !!document.activeElement?.matches(selector)", selector):
                return
            self.press("Tab")
        raise NotThere(f"no Tab leads to {selector}")

    def click(self, selector: str) -> None:
        began = time.monotonic()
        self.page.click(selector)
        self.clicks += 1
        self.waited += time.monotonic() - began

    def choose(self, selector: str, value: str) -> None:
        """Of a list that folds out: one click to open it, one on what is chosen."""
        self.page.select_option(selector, value)
        self.clicks += 2

    def see(self, selector: str) -> None:
        """Waits until it is there to be seen."""
        began = time.monotonic()
        self.page.wait_for_selector(selector)
        self.waited += time.monotonic() - began

    def sees(self, selector: str) -> bool:
        return self.page.locator(selector).first.is_visible()

    def need(self, selector: str) -> None:
        """Raises: NotThere: the page as it is now has it not."""
        if not self.page.locator(selector).count():
            raise NotThere(selector)

    @property
    def seconds(self) -> float:
        return self.keys * _KEY + self.clicks * _CLICK + self.waited


@dataclass(frozen=True)
class Wanted:
    """At most; None: as many as it takes. Of keys and clicks the sum, where both do."""

    keys: int | None = None
    clicks: int | None = None
    loads: int | None = None
    both: int | None = None

    def exceeded(self, hands: Hands) -> list[str]:
        """What is above it, in words."""
        pairs = (
            ("keys", hands.keys, self.keys),
            ("clicks", hands.clicks, self.clicks),
            ("loads", hands.loads, self.loads),
            ("keys and clicks", hands.keys + hands.clicks, self.both),
        )
        return [f"{name}: {done}, wanted {most}" for name, done, most in pairs if most is not None and done > most]

    def __str__(self) -> str:
        parts = (("keys", self.keys), ("clicks", self.clicks), ("loads", self.loads), ("keys and clicks", self.both))
        return ", ".join(f"{most} {name}" for name, most in parts if most is not None) or "none"


Way = Callable[[Hands], None]


@dataclass
class Stage:
    """What the jobs are done with: the organization, its people by username, the sale that is sought, and what is asked
    for."""

    acme: Any
    people: dict[str, Any]
    sought: uuid.UUID
    asked_for: int
    """Tomans of the credit requests that wait."""


@dataclass(frozen=True)
class Job:
    """What is done, by whom (a username of the scenery below), how, what it may cost, and whether it is done: ``end``
    asserts that."""

    name: str
    who: str
    ways: tuple[Way, ...]
    wanted: Wanted
    end: Callable[[Hands, Stage], None]


# Selling.


def _sold_in_place(hands: Hands, numbers: list[str]) -> None:
    hands.start("/sell")
    hands.need("form[hx-get$='/sell/confirm'] #id_phone_number")
    for number in numbers:
        hands.see("#id_phone_number:focus")
        hands.type(number)
        hands.press("Enter")
        hands.see("#amounts :focus")
        hands.press("2")
        hands.see("#sale form[method=post] button:focus")
        hands.press("Enter")
        hands.see(f"#last-sale:has-text('{number[-4:]}')")


def _sold_by_pages(hands: Hands, numbers: list[str]) -> None:
    hands.start("/sell")
    for number in numbers:
        hands.see("#id_phone_number:focus")
        hands.type(number)
        hands.see("#number-hint .hint-number")
        hands.tab_to("#amounts button:nth-of-type(2), #amounts li:nth-of-type(2) button")
        hands.press("Enter")
        hands.tab_to("main form button.btn-primary")
        hands.press("Enter")
        hands.see("main form[method=post] button.btn-primary")
        hands.tab_to("main form[method=post] button.btn-primary")
        hands.press("Enter")
        hands.see("a.btn-primary[href^='/sell']")
        if number != numbers[-1]:
            hands.tab_to("a.btn-primary[href^='/sell']")
            hands.press("Enter")


def _one(way: Callable[[Hands, list[str]], None]) -> Way:
    return lambda hands: way(hands, NUMBERS[:1])


def _ten(way: Callable[[Hands, list[str]], None]) -> Way:
    return lambda hands: way(hands, NUMBERS[1:11])


def _are_sold(numbers: Iterable[str]) -> Callable[[Hands, Stage], None]:
    """Each of these once, and the seller has paid for it."""

    def end(_hands: Hands, stage: Stage) -> None:
        from recharge.models import Recharge

        wanted = [f"+98{number[1:]}" for number in numbers]
        member = stage.people["member"]
        with stage.acme.context:
            sold = list(Recharge.objects.filter(phone_number__in=wanted, seller_id=member.id))
        assert sorted(row.phone_number for row in sold) == sorted(wanted)
        assert all(row.amount > 0 for row in sold)

    return end


# Finding a sale of which the customer knows the last four digits.


def _found_by_search(hands: Hands) -> None:
    hands.start("/sell")
    hands.need("[role=search] input")
    hands.see("#id_phone_number:focus")
    hands.press("/")
    hands.type(SOUGHT[-4:])
    hands.see("[role=listbox] [role=option]")
    hands.press("ArrowDown")
    hands.press("Enter")
    hands.see("main .details, main dl")


def _found_by_looking(hands: Hands) -> None:
    hands.start("/sell")
    hands.click("a[href='/recharges'] >> visible=true")
    hands.see("#id_from_day")
    for bound in ("#id_from_day", "#id_to_day"):
        hands.click(bound)
        hands.type(last_tuesday().date().isoformat())
    hands.press("Enter")
    hands.page.wait_for_load_state()
    for _ in range(20):
        if SOUGHT[-4:] in hands.page.inner_text("main table"):
            break
        hands.click("a[rel=next]")
        hands.page.wait_for_load_state()
    hands.click(f"main tr:has-text('{SOUGHT[-4:]}') a")
    hands.see("main dl")


def _is_found(hands: Hands, stage: Stage) -> None:
    assert hands.page.url.endswith(f"/recharges/{stage.sought}"), hands.page.url
    said = hands.page.inner_text("main")
    assert SOUGHT[-4:] in said
    assert last_tuesday().date().isoformat() in said


# Approving.


def _approved_together(hands: Hands) -> None:
    hands.start("/today")
    hands.click("a[href^='/credit-requests']:not(main a) >> visible=true")
    hands.page.wait_for_load_state()
    hands.need("[data-selects-all]")
    hands.click("[data-selects-all]")
    hands.click("form[data-selection] button[value=approve]")
    hands.see("dialog[open] form .btn-primary")
    hands.click("dialog[open] form .btn-primary")
    hands.see("#decided :has-text('20')")


def _approved_one_by_one(hands: Hands) -> None:
    hands.start("/today")
    hands.click("a[href='/credit-requests']:not(main a) >> visible=true")
    for _ in range(20):
        hands.click("main tbody a[hx-get$='/approve'] >> nth=0")
        hands.see("dialog[open] form button.btn-primary")
        with hands.page.expect_navigation():
            hands.click("dialog[open] form button.btn-primary")


def _are_approved(_hands: Hands, stage: Stage) -> None:
    from credit.models import CreditRequest

    neighbour = stage.people["neighbour"]
    with stage.acme.context:
        approved = CreditRequest.objects.filter(seller_id=neighbour.id, status="approved").count()
        assert not CreditRequest.objects.filter(status="pending").exists()
    assert approved == 20
    assert neighbour.balance() == stage.asked_for


# Many at once.

BULK = [f"0912{2_000_000 + number:07},20000" for number in range(0, 1900, 10)] + ["0912,20000"] * 10


def _sold_in_bulk(hands: Hands) -> None:
    hands.start("/sell")
    hands.click("a[href='/bulk']")
    hands.click("#id_text")
    hands.page.evaluate("(text) => { document.querySelector('#id_text').value = text }", "\n".join(BULK))
    hands.press("Control+V")  # that is, what stands above
    hands.click("main form button.btn-primary")
    hands.see("form[action='/bulk/sell'] button")
    hands.click("form[action='/bulk/sell'] button")
    hands.see("#bulk-results")


def _are_sold_in_bulk(hands: Hands, stage: Stage) -> None:
    _are_sold(line.split(",")[0] for line in BULK if not line.startswith("0912,"))(hands, stage)


# Documents and reports.


def _statement_of_a_month(hands: Hands) -> None:
    hands.start("/sell")
    if not hands.sees("header a[href='/statements'], nav a[href='/statements']"):
        hands.click("[data-opens-menu], [popovertarget], .dropdown-toggle")
    hands.click("a[href='/statements'] >> visible=true")
    hands.click("main a[href='/statements/new']")
    # The one that is over: before it stand the empty choice and the month of today.
    month = hands.page.locator("#id_month option").nth(2).get_attribute("value")
    assert month
    hands.choose("#id_month", month)
    hands.click("main form button.btn-primary")
    hands.see("a[href$='.pdf']")
    with hands.page.expect_download() as got:
        hands.click("a[href$='.pdf']")
    hands.learned = got.value.path()


def _is_a_statement(hands: Hands, stage: Stage) -> None:
    from recharge.models import Statement

    assert Path(hands.learned).read_bytes().startswith(b"%PDF-")
    with stage.acme.context:
        (statement,) = Statement.objects.filter(seller_id=stage.people["member"].id)
    assert 28 <= (statement.last_day - statement.first_day).days + 1 <= 31  # a month, of either calendar
    assert statement.last_day < datetime.now(UTC).date()


def _who_loses_by_failures(hands: Hands) -> None:
    hands.start("/today")
    hands.click("a[href='/reports'] >> visible=true")
    hands.see("main table")
    hands.need("#by-failures")
    hands.click("a[href='#by-failures']")
    first = hands.page.locator("section.report:has(#by-failures) tbody tr").first
    name, *figures = first.locator("th, td").all_inner_texts()
    hands.learned = (name, int(figures[-1].replace(",", "")))


def _is_who_loses(hands: Hands, stage: Stage) -> None:
    """As the tables say it, without the report."""
    from django.db.models import Sum

    from recharge.models import Recharge

    since = datetime.combine(datetime.now(UTC).date() - timedelta(days=6), time_of_day(), UTC)
    with stage.acme.context:
        failed = Recharge.objects.filter(status="failed", created_at__gte=since)
        worst = failed.values_list("seller__name").annotate(lost=Sum("amount")).order_by("-lost")[0]
    assert hands.learned == worst


# What a customer did not receive. The answer is to the question that the job before has asked.


def _asked_what_became_of_it(hands: Hands) -> None:
    hands.start("/sell")
    hands.click("a[href='/recharges'] >> visible=true")
    hands.click("main tbody tr:has(.state-good) a >> nth=0")
    hands.click("main a[href$='/not-received']")
    hands.click("main form button.btn-primary")
    hands.see("main .said-seller")


def _is_asked(hands: Hands, stage: Stage) -> None:
    from recharge.models import Claim

    with stage.acme.context:
        (claim,) = Claim.objects.select_related("recharge")
    assert (claim.state, claim.seller_id) == ("open", stage.people["member"].id)
    assert claim.recharge.status == "succeeded"
    assert hands.page.url.endswith(f"/claims/{claim.pk}")


def _answered(hands: Hands) -> None:
    hands.start("/today")
    hands.click("a[href^='/claims']:not(main a) >> visible=true")
    hands.click("main tbody tr a >> nth=0")
    hands.click("main textarea")
    hands.type(ANSWER)
    hands.click("main button[name=close]")
    hands.see("main .said-organization")


def _is_answered(_hands: Hands, stage: Stage) -> None:
    from recharge.models import Claim, ClaimMessage

    with stage.acme.context:
        (claim,) = Claim.objects.all()
        (message,) = ClaimMessage.objects.filter(claim_id=claim.pk)
    assert (claim.state, claim.closed_by) == ("answered", "owner")
    assert message.text == ANSWER


JOBS = [
    Job(
        "A sale by keyboard",
        "member",
        (_one(_sold_in_place), _one(_sold_by_pages)),
        Wanted(keys=16, clicks=0),
        _are_sold(NUMBERS[:1]),
    ),
    Job(
        "Ten sales in a row",
        "member",
        (_ten(_sold_in_place), _ten(_sold_by_pages)),
        Wanted(keys=160, clicks=0),
        _are_sold(NUMBERS[1:11]),
    ),
    Job("Find last Tuesday's sale", "member", (_found_by_search, _found_by_looking), Wanted(both=8), _is_found),
    Job(
        "Approve 20 requests",
        "owner",
        (_approved_together, _approved_one_by_one),
        Wanted(both=8, loads=2),
        _are_approved,
    ),
    Job("A bulk sale of 200, 10 bad", "member", (_sold_in_bulk,), Wanted(both=8), _are_sold_in_bulk),
    Job("A month's statement as PDF", "member", (_statement_of_a_month,), Wanted(both=8), _is_a_statement),
    Job("Not received: asked", "member", (_asked_what_became_of_it,), Wanted(both=5), _is_asked),
    Job("Not received: answered", "owner", (_answered,), Wanted(both=5 + len(ANSWER)), _is_answered),
    Job("Who loses by failures", "owner", (_who_loses_by_failures,), Wanted(both=4), _is_who_loses),
]


def last_tuesday() -> datetime:
    """Noon of it, in UTC: yesterday at the latest."""
    today = datetime.now(UTC).date()
    return datetime.combine(today - timedelta(days=(today.weekday() - 1) % 7 or 7), time_of_day(12), UTC)


def furnish(address: str) -> Stage:
    """A seller with credit, a day's sales and those of last Tuesday; sellers of whom some lose by failures: neither who
    sells most nor whose sales fail most often loses most; 20 requests."""
    from tests.support.world import World, ask, give_credit

    world = World.build(address)
    acme, member = world.acme.row, world.acme.member
    sought = _sell_in_the_past(world.acme)
    give_credit(acme, member.id, 50_000_000)
    with world.acme.context:
        from recharge.models import GatewaySettings, OperatorSettings
        from recharge.selling.sale import Item
        from recharge.selling.services import sell_recharge

        gateway, _ = GatewaySettings.objects.get_or_create(name="sandbox", kind="simulator")
        OperatorSettings.objects.create(operator="mci", gateway=gateway)
        for number in [f"0912{3_000_000 + number:07}" for number in range(0, 1200, 10)]:
            item = Item(f"+98{number[1:]}", "mci", 20_000, uuid.uuid4().hex)
            sell_recharge(organization=acme, seller_id=member.id, item=item)
    amounts = [10_000 * (number + 1) for number in range(20)]
    for amount in amounts:
        ask(world.acme.neighbour, amount)
    people = {"member": member, "owner": world.acme.owner, "neighbour": world.acme.neighbour}
    return Stage(world.acme, people, sought, sum(amounts))


def _sell_in_the_past(acme: Any) -> uuid.UUID:
    """Gives the id of the sale that is sought, in the middle of others of its day."""
    from django.db import transaction

    from recharge.delivery.settlement import settle_recharge
    from tests.support.clock import OF_MONEY, clock_of
    from tests.support.locks import sell_pending
    from tests.support.world import give_credit, make_seller

    aria, bita = (make_seller(acme.row, name).pk for name in ("Kiosk Aria", "Kiosk Bita"))

    def sell(seller_id: int, number: str, amount: int, status: str = "succeeded") -> uuid.UUID:
        with transaction.atomic():  # no worker sees it as it waits
            recharge_id = sell_pending(acme.row, seller_id, amount, phone_number=f"+98{number[1:]}")
            failure = "no such number" if status == "failed" else ""
            settle_recharge(organization=acme.row, recharge_id=recharge_id, status=status, failure=failure)
        return recharge_id

    with clock_of(acme, (*OF_MONEY, "recharge_settle")) as clock:
        clock.run_from(last_tuesday())
        for seller_id in (acme.member.id, aria, bita):
            give_credit(acme.row, seller_id, 10_000_000)
        numbers = [f"0912{4_000_000 + number:07}" for number in range(0, 600, 10)]
        numbers.insert(30, SOUGHT)
        sold = {number: sell(acme.member.id, number, 20_000) for number in numbers}
        clock.run_from(datetime.combine(datetime.now(UTC).date() - timedelta(days=1), time_of_day(13), UTC))
        for number in numbers[:20]:
            sell(bita, number, 10_000, "failed")
        for number in numbers[20:22]:
            sell(aria, number, 900_000, "failed")
        sell(aria, numbers[22], 50_000)
    return sold[SOUGHT]


def do(job: Job, hands: Hands, stage: Stage) -> None:
    """Does it, by the first way that these pages have, and looks whether it is done.

    Raises:
        NotThere: by none.
        AssertionError: it is not.
    """
    for way in job.ways:
        try:
            way(hands)
        except NotThere:
            if way is job.ways[-1]:
                raise
        else:
            job.end(hands, stage)
            return


def main() -> None:
    from tests.browser import scenery

    parser = argparse.ArgumentParser(
        prog="tests.browser.jobs", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", default="", help="a regular expression that the job's name must match")
    parser.add_argument("--pictures", type=Path, help="a directory for a picture of where a job was not done")
    parser.add_argument("--width", default=1280, type=int)
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="recharge-jobs-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    scenery.prepare(directory)

    from playwright.sync_api import Error, sync_playwright

    from tenants.services import provision_organization
    from tests.browser.chromium import ARGUMENTS, chromium_path
    from tests.browser.people import Guest
    from tests.support.server import serving

    for slug, name in (("acme", "Acme Top-ups"), ("globex", "Globex Mobile")):
        provision_organization(slug=slug, name=name, admin_username="first", admin_password="correct horse battery")
    failed = False
    with serving(directory / "log", environment=dict(os.environ), delivery=True) as server:
        stage = furnish(server.address)
        with sync_playwright() as playwright:
            # The tests' own queries are quick; Django would refuse them beside playwright's event loop.
            os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
            browser = playwright.chromium.launch(executable_path=chromium_path(playwright), args=ARGUMENTS)
            print(f"{'job':32}{'keys':>6}{'clicks':>8}{'loads':>7}{'seconds':>9}  wanted")
            for job in JOBS:
                if not re.search(options.only, job.name):
                    continue
                context = browser.new_context(locale="en-GB", viewport={"width": options.width, "height": 900})
                guest = Guest(context.new_page(), server.address.split(":")[1], "en").become(stage.people[job.who])
                hands = Hands(guest.page, lambda path, guest=guest: guest.url("acme", path))
                try:
                    do(job, hands, stage)
                except (Error, NotThere, AssertionError) as error:
                    print(f"{job.name:32}not done: {(str(error) or 'it did not end so').splitlines()[0]}")
                    failed = True
                    if options.pictures:
                        guest.page.screenshot(path=options.pictures / f"job-{JOBS.index(job)}.png")
                else:
                    over = job.wanted.exceeded(hands)
                    failed |= bool(over)
                    print(
                        f"{job.name:32}{hands.keys:6}{hands.clicks:8}{hands.loads:7}{hands.seconds:9.1f}  {job.wanted}"
                        + (" EXCEEDED" if over else "")
                    )
                context.close()
            browser.close()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
