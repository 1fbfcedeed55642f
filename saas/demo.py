"""The demo makes two organizations, twenty sellers and 1,200 sales from several processes, and proves the books.

Everything goes over HTTP, as a client's own program would do it, and through the simulator
(recharge/delivery/gateways/), where the number decides what becomes of a recharge: besides the 60 of each seller that
are delivered, some fail and are refunded. The sellers of the one organization pay what they sell, and nothing else is
set up. Those of the other earn commissions, dealers among them margins, and give each other credit. It can be run again
on the same database: the sellers then get and sell the same once more, and what is expected of them grows by that.
"""

import json
import multiprocessing
import os
import random
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django_tenants.utils import tenant_context
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from recharge.margins.queries import margins_are_due
from saas.demo_clients import Api, Job, begin, sell
from shared.errors import UsernameTaken
from shared.identity.new_accounts import create_member
from shared.identity.roles import ADMIN, MEMBER_ROLES, SELLER, works_for_seller
from shared.processes import without_ctrl_c
from tenants.models import Organization

ORGANIZATIONS = {"acme": "Acme Top-ups", "globex": "Globex Mobile"}
SELLERS = 10
CREDIT = 1_000_000
"""Tomans that each seller asks for."""
SALES, AMOUNT = 60, 5_000
"""Recharges that each seller sells, and Tomans of each."""
FAILING = ("10", "12", "21", "31")
"""Endings of the numbers of further sales of each seller that the simulator fails: at once, later, after a time-out."""
SLOW = ("20", "30", "32")
"""Endings of some of the 60 numbers, which take their time, and succeed."""
SENT_TWICE = 6
"""Of each seller's sales, how many are sent a second time with the same key."""
OVERSPENDING = 3
"""Attempts of each seller to sell for more than the seller has."""
PROCESSES, THREADS = 4, 4

EARNING = "globex"
"""The organization whose sellers earn. Its sellers, by number:"""
PARENTS = {2: 1, 3: 2, 4: 2, 5: 2}
"""The dealer of each who has one."""
RATES = {None: 200, 1: 500, 2: 350}
"""Commissions in basis points; None: of all others."""
TRANSFERS = ((1, 2, 100_000), (2, 3, 50_000), (3, 2, 10_000))
"""Who gives whom how many Tomans."""
PER_SALE = 500_000
"""Tomans; the most of one sale there. Attempts to overspend are refused by it."""


DELIVERY_SECONDS = 120
"""How long the demo waits for the last recharge to end."""


def _number_that_ends(ending: str) -> str:
    return random.choice(("0912", "0935", "0921")) + f"{random.randrange(10**5):05}" + ending  # noqa: S311


COLLEAGUES = tuple(role for role in MEMBER_ROLES if role not in (ADMIN, SELLER))
"""Each organization's people besides its admin and its sellers: their usernames, which are their roles. Who works for a
seller works for the first."""
FOUR_EYES_FROM = 2_000_000
"""Tomans from which on two people approve."""


class DemoError(Exception):
    """The demo can't go on; the message says why."""


DEMO_KEY = "Demo"
"""What the API key of each organization's first seller is called."""


@contextmanager
def _ended_on_the_way_out(pool: ProcessPoolExecutor) -> Iterator[None]:
    """Ends the processes of the pool at once where the block is left by Ctrl-C or an error."""
    try:
        yield
    except BaseException:
        for process in list(pool._processes.values()):
            process.terminate()
        # What it still writes to processes that were starting, nobody reads: without this, Python 3.11 waits for ever.
        # Replaced, not closed: the pool's own thread may be closing it at this moment, and one of the two would fail.
        with suppress(OSError), open(os.devnull) as nothing:  # it is closed already
            os.dup2(nothing.fileno(), pool._call_queue._reader.fileno())  # type: ignore[attr-defined]
        raise


@dataclass
class Seller:
    """One of the demo's sellers."""

    host: str
    organization: str
    id: int
    username: str
    token: str
    before: int
    """Tomans; the balance when the demo began (0 the first time)."""
    commission: int = 0
    """Tomans that a sale earns."""
    margins: int = 0
    """Tomans that the sales of those below earn."""
    moved: int = 0
    """Tomans that others have given, less those given to others."""

    @property
    def expected(self) -> int:
        return self.before + CREDIT + self.moved + self.margins - SALES * (AMOUNT - self.commission)


def print_sellers(console: Console, slug: str, lines: list[tuple[Seller, dict[str, int], bool]]) -> None:
    """What the server says of an organization's sellers, by column, and whether all of it is as it must be. It fits 80
    columns; of figures that are longer than expected, none is cut."""
    title = f"What the server says of {slug}'s sellers (Tomans), each credited with {CREDIT:,}"
    table = Table(title=title, box=SIMPLE_HEAD, padding=0)
    for column in ("seller", *lines[0][1], ""):
        table.add_column(column, justify="left" if column == "seller" else "right", no_wrap=True)
    for seller, said, exact in lines:
        shown = (f"{tomans:,}" for tomans in said.values())
        table.add_row(seller.username, *shown, "[green]✓" if exact else "[red]✗")
    table.width = Measurement.get(console, console.options.update(max_width=1000), table).maximum
    console.print(table, crop=False)
    for seller, said, exact in lines:
        if not exact:
            console.print(f"[red]✗[/] {seller.username}: the balance is {said['balance']:,}, not {seller.expected:,}")


def commission_of(number: int) -> int:
    """Tomans that a sale earns this seller of the organization that earns."""
    return AMOUNT * RATES.get(number, RATES[None]) // 10_000


def margin_of(dealer: int, number: int) -> int:
    """Tomans that a sale of seller ``number`` earns a dealer above: the own commission less the highest below."""
    highest = commission_of(number)
    while number in PARENTS:
        number = PARENTS[number]
        if number == dealer:
            return max(0, commission_of(dealer) - highest)
        highest = max(highest, commission_of(number))
    return 0


class Accounts:
    """The demo's passwords: generated, and kept in the data directory, so that it can be run again and signed in to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._passwords: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        except ValueError:
            raise DemoError(f"{path} can't be read. Set RECHARGE_DATA_DIR to an empty directory.") from None

    def password_of(self, account: str) -> str:
        if account not in self._passwords:
            self._passwords[account] = secrets.token_urlsafe(9)
            # Written aside and renamed: Ctrl-C may come in the middle.
            building = self.path.with_suffix(".new")
            with open(os.open(building, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump(self._passwords, file, indent=1)
            building.rename(self.path)
        return self._passwords[account]


@dataclass(frozen=True)
class Demo:
    """Runs against the server at ``address``; ``platform_admin`` must be able to sign in there."""

    address: str
    base_domain: str
    accounts: Accounts
    platform_admin: str
    console: Console

    def run(self) -> bool:
        """All of it; whether every balance is exactly what it should be and nothing unexpected was answered."""
        platform = self._signed_in(self.base_domain, self.platform_admin, self.accounts.password_of("platform"))
        sellers: list[Seller] = []
        for slug, name in ORGANIZATIONS.items():
            with self.console.status(f"{slug}: provisioning, {SELLERS} sellers, credit asked for and approved …"):
                admin = self._organization(platform, slug, name)
                own = [self._seller(admin, slug, number) for number in range(1, SELLERS + 1)]
                sellers += own
                self._hire_colleagues(slug, own[0])
                self._adjust(admin, slug, own[0])
                if slug == EARNING:
                    self._set_up_earning(admin, own)
            self.console.print(f"{slug}: {SELLERS} sellers, each credited with {CREDIT:,} Tomans")
            self.console.print(
                f"{slug}: {FOUR_EYES_FROM:,} Tomans more for {own[0].username}, and as much less: asked for by the "
                "accountant, who can't approve that, and approved by the admin"
            )
        self.console.print(
            f"{EARNING}: a commission of {RATES[None] / 100:g} %, dealers with more who earn the difference on what is "
            f"sold below them, at most {PER_SALE:,} Tomans a sale, and transfers between dealers and those below"
        )
        outcomes, seconds = self._sell(sellers)
        self._wait_for_delivery(sellers)
        with self.console.status(f"{EARNING}: a worker posts the margins of dealers …"):
            self._wait_for_margins()
        balanced = self._report(sellers)
        return self._verdict(outcomes, seconds) and balanced

    def _host(self, slug: str) -> str:
        return f"{slug}.{self.base_domain}"

    def _signed_in(self, host: str, username: str, password: str) -> Api:
        status, answer = Api(self.address, host).call(
            "POST", "/auth/token", {"username": username, "password": password}
        )
        if status != 200:
            raise DemoError(f"{username!r} can't sign in at {host}: {answer['detail']}")
        return Api(self.address, host, answer["access"])

    def _organization(self, platform: Api, slug: str, name: str) -> Api:
        password = self.accounts.password_of(f"{slug}/admin")
        admin = {"username": "admin", "password": password}
        status, answer = platform.call("POST", "/organizations", {"slug": slug, "name": name, "admin": admin})
        if status not in (201, 409):
            raise DemoError(f"{slug} can't be provisioned: {answer['detail']}")
        admin_api = self._signed_in(self._host(slug), "admin", password)
        admin_api.call("POST", "/gateways", {"name": "sandbox", "kind": "simulator"})  # 409: from an earlier run
        for operator in ("mci", "irancell", "rightel"):
            status, answer = admin_api.call("PATCH", f"/operators/{operator}", {"gateway": "sandbox"})
            if status != 200:
                raise DemoError(f"{slug}'s {operator} can't be sent to the simulator: {answer['detail']}")
        return admin_api

    def _set_up_earning(self, admin: Api, sellers: list[Seller]) -> None:
        """Dealers, commissions, a limit and transfers."""
        by_number = dict(enumerate(sellers, start=1))

        def settle(method: str, path: str, body: dict[str, Any]) -> None:
            status, answer = admin.call(method, path, body)
            if status != 200:
                raise DemoError(f"{EARNING}: {method} {path} with {body} was answered {status}: {answer['detail']}")

        for number, parent in PARENTS.items():
            settle("PATCH", f"/sellers/{by_number[number].id}", {"parent_id": by_number[parent].id})
        for rated, basis_points in RATES.items():
            seller_id = None if rated is None else by_number[rated].id
            settle("PUT", "/commissions", {"seller_id": seller_id, "operator": None, "basis_points": basis_points})
        settle("PUT", "/limits", {"seller_id": None, "per_sale": PER_SALE})
        for number, seller in by_number.items():
            seller.commission = commission_of(number)
            seller.margins = sum(SALES * margin_of(number, other) for other in by_number)
        for giver, receiver, amount in TRANSFERS:
            given, received = by_number[giver], by_number[receiver]
            password = self.accounts.password_of(f"{EARNING}/{given.username}")
            own = self._signed_in(given.host, given.username, password)
            body = {"to": received.id, "amount": amount, "note": "for the demo"}
            status, answer = own.call("POST", "/transfers", body, key=secrets.token_hex(16))
            if status != 201:
                raise DemoError(f"{given.username} can't give {received.username} credit: {answer['detail']}")
            given.moved -= amount
            received.moved += amount

    def _seller(self, admin: Api, slug: str, number: int) -> Seller:
        username = f"seller{number}"
        password = self.accounts.password_of(f"{slug}/{username}")
        body = {"name": f"Seller {number}", "username": username, "password": password}
        status, answer = admin.call("POST", "/sellers", body)
        if status not in (201, 409):  # 409: from an earlier run
            raise DemoError(f"{slug}'s {username} can't be added: {answer['detail']}")
        own = self._signed_in(admin.host, username, password)
        balance = self._settled_balance(own)
        _, request = own.call(
            "POST", "/credit-requests", {"amount": CREDIT, "note": "for the demo"}, key=secrets.token_hex(16)
        )
        status, answer = admin.call("POST", f"/credit-requests/{request['id']}/approve")
        if status != 200:
            raise DemoError(f"{slug}'s {username} can't be given credit: {answer['detail']}")
        # The first seller's program signs in with a key, as programs should; the others, as people do.
        client = self._with_api_key(own) if number == 1 else own
        assert client.token
        return Seller(admin.host, slug, balance["seller_id"], username, client.token, balance["balance"])

    def _with_api_key(self, own: Api) -> Api:
        """The same seller, for whom a program speaks with its API key."""
        _, listed = own.call("GET", "/api-keys")
        known = next((key for key in listed["results"] if key["name"] == DEMO_KEY and key["is_active"]), None)
        if known:  # from an earlier run, and its secret is not kept
            status, key = own.call("POST", f"/api-keys/{known['id']}/rotate", {"end_old": True})
        else:
            status, key = own.call("POST", "/api-keys", {"name": DEMO_KEY, "scopes": ["sell", "read"]})
        if status not in (200, 201):
            raise DemoError(f"An API key can't be had at {own.host}: {key['detail']}")
        credentials = {"grant_type": "client_credentials", "client_id": key["id"], "client_secret": key["secret"]}
        status, answer = Api(self.address, own.host).call("POST", "/auth/token", credentials)
        if status != 200:
            raise DemoError(f"A program can't sign in at {own.host}: {answer['detail']}")
        return Api(self.address, own.host, answer["access"])

    def _hire_colleagues(self, slug: str, first: Seller) -> None:
        organization = Organization.objects.get(slug=slug)
        for role in COLLEAGUES:
            with suppress(UsernameTaken):  # from an earlier run
                create_member(
                    organization_id=organization.pk,
                    slug=slug,
                    role=role,
                    username=role,
                    password=self.accounts.password_of(f"{slug}/{role}"),
                    seller_id=first.id if works_for_seller(role) else None,
                )

    def _adjust(self, admin: Api, slug: str, seller: Seller) -> None:
        """A large adjustment, which needs two people, and one that takes it back: the balance is as it was."""
        accountant = self._signed_in(admin.host, "accountant", self.accounts.password_of(f"{slug}/accountant"))
        status, answer = admin.call("PATCH", "/settings", {"four_eyes_from": FOUR_EYES_FROM})
        if status != 200:
            raise DemoError(f"{slug} can't be told when two people have to approve: {answer['detail']}")
        for amount, reason in (
            (FOUR_EYES_FROM, "A deposit that was booked to another seller"),
            (-FOUR_EYES_FROM, "The deposit was that seller's after all"),
        ):
            body = {"seller_id": seller.id, "amount": amount, "reason": reason}
            status, asked = accountant.call("POST", "/adjustments", body, key=secrets.token_hex(16))
            if (status, asked.get("status")) != (201, "pending"):
                raise DemoError(f"{slug}'s accountant can't ask for an adjustment: {asked}")
            status, answer = accountant.call("POST", f"/adjustments/{asked['id']}/approve")
            if (status, answer.get("code")) != (403, "four_eyes"):
                raise DemoError(f"{slug}'s accountant approved the own adjustment: {answer}")
            status, answer = admin.call("POST", f"/adjustments/{asked['id']}/approve")
            if (status, answer.get("status")) != (200, "approved"):
                raise DemoError(f"{slug}'s admin can't approve an adjustment: {answer}")

    def _settled_balance(self, own: Api) -> Any:
        """The balance when nothing is in flight any more that an interrupted run has left, and no margin is due."""
        self._wait_for_margins()
        deadline = time.monotonic() + DELIVERY_SECONDS
        while True:
            _, balance = own.call("GET", "/balance")
            if not balance["in_flight"]:
                return balance
            if time.monotonic() > deadline:
                raise DemoError("Recharges of an earlier run are still in flight; is a delivery worker running?")
            time.sleep(0.2)

    def _wait_for_margins(self) -> None:
        """Until the workers have posted what dealers have earned."""
        organization = Organization.objects.filter(slug=EARNING, status=Organization.Status.ACTIVE).first()
        deadline = time.monotonic() + DELIVERY_SECONDS
        while organization:
            with tenant_context(organization):
                if not margins_are_due():
                    return
            if time.monotonic() > deadline:
                raise DemoError("The margins of dealers are not posted; is a delivery worker running?")
            time.sleep(0.2)

    def _jobs(self, sellers: list[Seller]) -> list[Job]:
        jobs = []
        for seller in sellers:
            for number in range(SALES):
                ending = SLOW[number] if number < len(SLOW) else f"{random.randrange(70, 100)}"  # noqa: S311
                phone_number = _number_that_ends(ending)
                job = Job(seller.host, seller.token, secrets.token_hex(16), phone_number, AMOUNT)
                jobs += [job] * (2 if number < SENT_TWICE else 1)
            for ending in FAILING:
                jobs.append(Job(seller.host, seller.token, secrets.token_hex(16), _number_that_ends(ending), AMOUNT))
            for _ in range(OVERSPENDING):
                too_much = seller.before + CREDIT + 1
                jobs.append(Job(seller.host, seller.token, secrets.token_hex(16), "09121234567", too_much))
        random.shuffle(jobs)  # both organizations, all sellers, first tries and repetitions, all at once
        return jobs

    def _sell(self, sellers: list[Seller]) -> tuple[Counter[str], float]:
        jobs = self._jobs(sellers)
        # Spawned, not forked: a client process has nothing of this one, no connection and no lock.
        context = multiprocessing.get_context("spawn")
        answered = context.Value("i", 0)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        progress = Progress(*columns, console=self.console)
        pool = ProcessPoolExecutor(PROCESSES, mp_context=context, initializer=begin, initargs=(answered, os.getpid()))
        with pool, _ended_on_the_way_out(pool):
            # Before there is any other thread, which would hear Ctrl-C for this one.
            with without_ctrl_c():
                parts = [pool.submit(sell, self.address, jobs[index::PROCESSES], THREADS) for index in range(PROCESSES)]
            first_answer = time.monotonic()
            with progress:
                task = progress.add_task(
                    f"{len(jobs)} requests, {PROCESSES} processes × {THREADS} threads", total=len(jobs)
                )
                while not all(part.done() for part in parts):
                    if answered.value == 0:
                        first_answer = time.monotonic()  # the processes are still starting
                    progress.update(task, completed=answered.value)
                    time.sleep(0.02)
                seconds = time.monotonic() - first_answer
                progress.update(task, completed=answered.value)
            return sum((part.result() for part in parts), Counter()), seconds

    def _wait_for_delivery(self, sellers: list[Seller]) -> None:
        """Until nothing is in flight any more; and shows what the operator's failures brought back."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        waiting = [Api(self.address, seller.host, seller.token) for seller in sellers]
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task("sellers whose recharges are all delivered or refunded", total=len(sellers))
            deadline = time.monotonic() + DELIVERY_SECONDS
            while waiting:
                waiting = [own for own in waiting if own.call("GET", "/balance")[1]["in_flight"]]
                progress.update(task, completed=len(sellers) - len(waiting))
                if time.monotonic() > deadline:
                    raise DemoError("Some recharges are still in flight; is a delivery worker running?")
                time.sleep(0.2)
        own = Api(self.address, sellers[0].host, sellers[0].token)
        _, page = own.call("GET", f"/recharges?status=failed&limit={len(FAILING)}")
        table = Table(title=f"What failed of {sellers[0].username} of {sellers[0].organization}", box=SIMPLE_HEAD)
        for column in ("number", "Tomans", "why", "refunded by entry"):
            table.add_column(column, justify="right" if column == "Tomans" else "left")
        _, refunds = own.call("GET", "/entries?kind=refund&limit=200")
        numbers = {entry["reference"]: str(entry["number"]) for entry in refunds["results"]}
        for recharge in page["results"]:
            number, amount = recharge["phone_number"], f"{recharge['amount']:,}"
            table.add_row(number, amount, recharge["failure"], numbers.get(recharge["id"], "[red]none"))
        self.console.print(table)

    def _report(self, sellers: list[Seller]) -> bool:
        right = True
        lines: dict[str, list[tuple[Seller, dict[str, int], bool]]] = {slug: [] for slug in ORGANIZATIONS}
        for seller in sellers:
            own = Api(self.address, seller.host, seller.token)
            _, answer = own.call("GET", "/balance")
            amounts = self._amounts(own)
            sold, refunded = -amounts["recharge"], amounts["refund"]
            moved = amounts["transfer_in"] + amounts["transfer_out"]
            exact = (
                answer["balance"] == seller.expected
                and sold == (SALES + len(FAILING)) * AMOUNT
                and refunded == len(FAILING) * AMOUNT
                and amounts["commission"] == SALES * seller.commission
                and amounts["margin"] == seller.margins
                and moved == seller.moved
            )
            right = right and exact
            said = {
                "before": seller.before,
                "accepted": sold,
                "refunded": refunded,
                "earned": amounts["commission"],
                "margins": amounts["margin"],
                "transfers": moved,
                "balance": answer["balance"],
            }
            lines[seller.organization].append((seller, said, exact))
        for slug, of_it in lines.items():
            print_sellers(self.console, slug, of_it)
            total = Counter[str]()
            for _seller, said, _is_exact in of_it:
                total.update(said)
            credited, delivered = len(of_it) * CREDIT, total["accepted"] - total["refunded"]
            proof = total["before"] + credited - delivered + total["earned"] + total["margins"]
            exact = total["balance"] == proof and total["transfers"] == 0
            right = right and exact
            self.console.print(
                f"{'[green]✓[/]' if exact else '[red]✗[/]'} {slug}: {total['before']:,} before + "
                f"{credited:,} credited - {delivered:,} delivered + {total['earned']:,} commissions + "
                f"{total['margins']:,} margins = {proof:,}; the balances add up to {total['balance']:,}, the transfers "
                f"to {total['transfers']:,}"
            )
        return right

    def _amounts(self, own: Api) -> Counter[str]:
        """Tomans by kind of entry, and of all commissions, in this run: the statement, read from its newest entry back
        to this run's credit."""
        _, page = own.call("GET", "/entries?limit=200")
        amounts: Counter[str] = Counter()
        for entry in page["results"]:
            if entry["kind"] == "credit":
                break
            amounts[entry["kind"]] += entry["amount"]
            amounts["commission"] += entry["commission"]
        return amounts

    def _verdict(self, outcomes: Counter[str], seconds: float) -> bool:
        sellers = len(ORGANIZATIONS) * SELLERS
        expected = Counter(
            created=sellers * (SALES + len(FAILING)),
            replayed=sellers * SENT_TWICE,
            insufficient_credit=(sellers - SELLERS) * OVERSPENDING,
            limit_exceeded=SELLERS * OVERSPENDING,
        )
        self.console.print(
            f"{outcomes['created']:,} recharges sold, {outcomes['replayed']} repetitions answered with the first sale, "
            f"{outcomes['insufficient_credit']} attempts to overspend refused, {outcomes['limit_exceeded']} by a limit"
        )
        total = sum(outcomes.values())
        self.console.print(f"{total:,} requests in {seconds:.1f} s: {total / seconds:,.0f} a second")
        for outcome in outcomes.keys() - expected.keys():
            self.console.print(f"[red]not expected: {outcomes[outcome]} answers {outcome}")
        return outcomes == expected

    def print_addresses(self, *, is_served: bool) -> None:
        """Where to look and how to sign in; where the server ends with the demo, after what."""
        port = self.address.rpartition(":")[2]
        title = "Where to sign in" if is_served else "Where to sign in, after manage.py serve"
        table = Table(title=title, box=SIMPLE_HEAD)
        for column in ("address", "username", "password"):
            table.add_column(column, overflow="fold")
        platform = self.accounts.password_of("platform")
        table.add_row(f"http://{self.base_domain}:{port}/", self.platform_admin, platform)
        for slug in ORGANIZATIONS:
            address = f"http://{self._host(slug)}:{port}/"
            for username in ("admin", "seller1", *COLLEAGUES):
                table.add_row(address, username, self.accounts.password_of(f"{slug}/{username}"))
        self.console.print(table)
        self.console.print(f"All passwords: {self.accounts.path}")
