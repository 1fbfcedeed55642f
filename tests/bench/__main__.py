"""The bench. One command, from the project's root:

    .venv/bin/python -m tests.bench [--seconds S] [--rounds N] [--millions M …] [TABLE …]

It starts a PostgreSQL and a server of its own, warms up, lets the contenders of each table take turns round after
round, prints the median of each with its ratio to the first, and proves the books after each table. Tables: sale,
shapes, connections, bulk, delivery; and, when named, history, pages, width, many, earning, watched, retention, fairness
and large, which take long, or long to set up.
Everything shares the machine's cores: only ratios mean anything, and only within one run. "web ms" and "db ms" are CPU
time of the server's and of the database's processes a request; they swing less. "stolen" is what a host took of the
processors for other machines meanwhile, at most: what has more than 2 % of it is measured again, four times at most.

The table "fairness", when named, is what each of eight attacks of one organization does to another one, and says what
is wanted. It is for a machine that does nothing else: --seconds 10 --rounds 5, half an hour. --beside "bulk calls" has
only those of the attacks that are called so.

The table "large", when named, is of organizations that have sold so many millions (--millions): sizes, and what pages
and commands take there. 10 million are 35 GB of disk and an hour, 30 million 70 GB and two and a half; what is named
first is there until the end. TMPDIR says where the database is made.

The table "many", when named, is of databases with so many organizations (--organizations): the memory of connections,
provisioning, and commands that go over all of them. 5,000 take an hour to provision, and 10 GB of disk.

    .venv/bin/python -m tests.bench --against DIR [--seconds S] [--rounds N]

compares this checkout with the one in DIR: each has a server and a database of its own, and they take turns (table
"cpu"). Both run on this interpreter and its packages.
"""

import argparse
import atexit
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tests.bench import large, load, many
from tests.bench.cpu import Checkout, Cpu, checkout
from tests.bench.fairness import measure
from tests.bench.load import Burst, burst
from tests.bench.stage import (
    CREDIT,
    ROOT,
    Organization,
    Stage,
    adjust_everybody,
    admin_line_for,
    admin_session_line_for,
    another_server,
    any_recharge,
    ask_for_credit,
    checkpoint,
    deliver,
    deliver_through_simulator,
    fill_history,
    leave_to_the_textbook,
    lines_for,
    memory_of_connections,
    numbers_masked,
    post_all_margins,
    prove_the_books,
    provision,
    sales_posted,
    sell_for_one_dealer,
    sell_pending,
    session_lines_for,
    set_rates,
    stage,
    want_numbers_masked,
    worker,
)
from tests.bench.stolen import undisturbed
from tests.support.collector import collecting
from tests.support.server import free_port

Contender = Callable[[float], Burst]
"""Runs for so many seconds."""

console = Console(width=132)


def take_turns(
    here: Stage,
    title: str,
    contenders: dict[str, Contender],
    seconds: float,
    rounds: int,
    warm_up: float = 1,
    servers: Mapping[str, Stage] | None = None,
) -> None:
    """Measures the contenders one after the other, round after round; prints medians and their ratio to the first.

    All in seconds: how long each is measured in a round, and how long it runs before anything is measured. ``servers``
    has those of contenders that ask another server than this one.
    """
    server_of = {name: (servers or {}).get(name, here) for name in contenders}
    # Before the warming up: the first change of a page after a checkpoint writes the whole page to the WAL.
    checkpoint(here)
    unheard = 0
    for contender in contenders.values():
        unheard = contender(warm_up).unheard
    posted = sales_posted()
    bursts: dict[str, list[Burst]] = {name: [] for name in contenders}
    costs: dict[str, list[Cpu]] = {name: [] for name in contenders}
    stolen: dict[str, list[float]] = {name: [] for name in contenders}

    def run(name: str) -> tuple[Burst, Cpu]:
        nonlocal posted, unheard
        cpu = server_of[name].cpu()
        found = contenders[name](seconds)
        cost = server_of[name].cpu().since(cpu, found.ok + found.refused)
        before, posted = posted, sales_posted()
        # What the burst before never heard of (another contender's, of bulk calls, say) may be written only now.
        earlier, unheard = unheard, found.unheard
        if not 0 <= posted - before - found.sold <= earlier + found.unheard:
            raise SystemExit(f"{name}: told of {found.sold} sales, and {posted - before} are on the books")
        return found, cost

    for _ in range(rounds):
        for name in contenders:
            (found, cost), share = undisturbed(partial(run, name))
            bursts[name].append(found)
            costs[name].append(cost)
            stolen[name].append(share)
    table = Table(title=f"{title} ({rounds} rounds of {seconds:g} s)", box=SIMPLE_HEAD)
    for column in (
        "contender",
        "a second",
        "÷ first",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "p99 ÷ p50",
        "spread",
        "web ms",
        "db ms",
        "stolen",
    ):
        table.add_column(column, justify="left" if column == "contender" else "right", no_wrap=True)
    first = statistics.median(one.rate for one in next(iter(bursts.values())))
    for name, runs in bursts.items():
        rate, p50, p95, p99 = (
            statistics.median(getattr(run, field) for run in runs) for field in ("rate", "p50", "p95", "p99")
        )
        spread = (max(run.rate for run in runs) - min(run.rate for run in runs)) / rate
        latencies = (f"{p50:.1f}", f"{p95:.1f}", f"{p99:.1f}", f"{p99 / p50:.1f}")
        cpu = Cpu(*map(statistics.median, zip(*costs[name], strict=True)))
        used = (f"{cpu.web:.2f}", f"{cpu.database:.2f}")
        table.add_row(
            name, f"{rate:,.0f}", f"{rate / first:.2f}", *latencies, f"{spread:.0%}", *used, f"{max(stolen[name]):.0%}"
        )
    console.print(table)
    prove_the_books()


class Bench:
    """The organizations and sellers, and the tables."""

    def __init__(
        self, here: Stage, seconds: float, rounds: int, millions: list[int], organizations: list[int], beside: str
    ) -> None:
        self.here, self.seconds, self.rounds = here, seconds, rounds
        self.millions, self.organizations, self.beside = millions, organizations, beside

    # Made when the first table asks for them.

    @cached_property
    def two(self) -> list[Organization]:
        return [provision("one", 10), provision("two", 10)]

    @cached_property
    def wide(self) -> Organization:
        return provision("wide", 1000)

    @cached_property
    def hot(self) -> Organization:
        return provision("hot", 1)

    @cached_property
    def twenty(self) -> Path:
        return self.here.sellers_file("twenty", [line for one in self.two for line in lines_for(one)])

    @cached_property
    def thousand(self) -> Path:
        return self.here.sellers_file("thousand", lines_for(self.wide))

    @cached_property
    def one(self) -> Path:
        return self.here.sellers_file("one", lines_for(self.hot))

    def http(self, sellers: Path, connections: int = 16, server: Stage | None = None, **options: object) -> Contender:
        return lambda seconds: burst(
            (server or self.here).address,
            sellers,
            connections=connections,
            seconds=seconds,
            **options,  # type: ignore[arg-type]
        )

    def function(self, organizations: list[Organization], connections: int = 16) -> Contender:
        scripts = [load.sale_script(self.here.directory, one.slug, one.id, one.seller_ids) for one in organizations]

        def run(seconds: float) -> Burst:
            return load.money_function(self.here.database_url, scripts, connections=connections, seconds=seconds)

        return run

    def take_turns(
        self,
        title: str,
        contenders: dict[str, Contender],
        warm_up: float = 1,
        servers: Mapping[str, Stage] | None = None,
    ) -> None:
        take_turns(self.here, title, contenders, self.seconds, self.rounds, warm_up, servers)

    def sale(self) -> None:
        textbook = [provision("text", 10), provision("book", 10)]
        for organization in textbook:
            leave_to_the_textbook(organization)
        students = self.here.sellers_file("textbook", [line for one in textbook for line in lines_for(one)])
        self.take_turns(
            "20 sellers in 2 organizations, 16 connections",
            {
                "(a) a sale over HTTP": self.http(self.twenty),
                "(b) GET /me, which writes nothing": self.http(self.twenty, method="GET", path="/api/v1/me"),
                "(b') GET /balance": self.http(self.twenty, method="GET", path="/api/v1/balance"),
                "(c) the money function alone": self.function(self.two),
                "(d) the textbook": self.http(students, path="/api/bench/recharges"),
                "(d') the same, our authentication": self.http(students, path="/api/bench/quick-recharges"),
                "(a) refused: more than there is": self.http(self.poor(), refused=True),
            },
        )

    def poor(self) -> Path:
        """Ten sellers who have nothing left."""
        poor = provision("poor", 10)
        adjust_everybody("org_poor", poor.id, -CREDIT)
        return self.here.sellers_file("poor", lines_for(poor))

    def shapes(self) -> None:
        self.take_turns(
            "Shapes, 16 connections",
            {
                "1,000 sellers": self.http(self.thousand),
                "20 sellers": self.http(self.twenty),
                "one hot seller": self.http(self.one),
                "1,000 sellers, function alone": self.function([self.wide]),
                "one hot seller, function alone": self.function([self.hot]),
            },
        )

    def connections(self) -> None:
        contenders = {f"{count} connections": self.http(self.twenty, count) for count in (16, 1, 8, 64)}
        self.take_turns("Connections, 20 sellers", contenders)

    def bulk(self) -> None:
        def bulk_of(items: int) -> Contender:
            send = self.http(self.twenty, 4, path="/api/v1/recharges/bulk", items=items)

            def run(seconds: float) -> Burst:
                found = send(seconds)
                return replace(found, rate=found.rate * items)

            return run

        contenders = {"(a) single sales, 16 connections": self.http(self.twenty)}
        contenders |= {f"bulk of {items}, 4 connections": bulk_of(items) for items in (1, 10, 100, 1000)}
        self.take_turns("Bulk: recharges a second", contenders)

    def history(self) -> None:
        """The same shape on books of different length. Takes minutes to fill."""
        sales, pages = {}, {}
        for slug, name, entries in (("zero", "none", 0), ("million", "1 million", 10**6), ("ten", "10 million", 10**7)):
            organization = provision(slug, 10)
            if entries:
                console.print(f"  filling in {name} entries …")
                fill_history(organization, entries)
            sellers = self.here.sellers_file(slug, lines_for(organization))
            sales[f"a sale, {name} before it"] = self.http(sellers)
            pages[f"a page of the statement, {name}"] = self.http(sellers, method="GET", path="/api/v1/entries")
        # A sale changes two pages anywhere in the indexes of keys and of numbers. The first change of a page after a
        # checkpoint, which a production server has every half hour or so, writes the whole page to the WAL. "None" is
        # none filled in: what it sells in one table is on its books in the next.
        self.take_turns("History, sales from a checkpoint on, 10 sellers, 16 connections", sales)
        self.take_turns("History, sales after a minute of sales of each since one", sales, warm_up=60)
        self.take_turns("History, the statement", pages)

    def pages(self) -> None:
        """Pages beside the API's answers with the same rows, on books of a million entries; one request at a time, so
        that the median is the time to the answer."""
        organization = provision("paged", 30)
        console.print("  filling in 1 million entries …")
        fill_history(organization, 10**6)
        ask_for_credit(organization, 30)
        recharge = any_recharge(organization)
        files = {
            "seller": (lines_for(organization), session_lines_for(organization)),
            "admin": ([admin_line_for(organization)], [admin_session_line_for(organization)]),
        }
        tokens = {role: self.here.sellers_file(f"paged-{role}-tokens", lines) for role, (lines, _) in files.items()}
        sessions = {role: self.here.sellers_file(f"paged-{role}-sessions", lines) for role, (_, lines) in files.items()}
        for role, path, page in (
            ("seller", "/api/v1/entries?limit=25", "/ledger"),
            ("seller", "/api/v1/entries?limit=25&kind=recharge", "/ledger?kind=recharge"),
            ("seller", "/api/v1/recharges?limit=25", "/recharges"),
            ("seller", "/api/v1/recharges?limit=25&status=succeeded", "/recharges?status=succeeded"),
            ("seller", "/api/v1/credit-requests?limit=25", "/credit-requests"),
            ("seller", "/api/v1/balance", "/sell/balance"),
            ("admin", "/api/v1/entries?limit=25", "/ledger"),
            ("admin", "/api/v1/recharges?limit=25", "/recharges"),
            ("admin", f"/api/v1/recharges/{recharge}", f"/recharges/{recharge}"),
            ("admin", "/api/v1/credit-requests?limit=25", "/credit-requests"),
            ("admin", "/api/v1/sellers?limit=25", "/sellers"),
        ):
            self.take_turns(
                f"Pages of {role}s, 1 connection",
                {
                    path: self.http(tokens[role], 1, method="GET", path=path),
                    f"page {page}": self.http(sessions[role], 1, method="GET", path=page),
                },
            )

    def width(self) -> None:
        """The same load, from as many sellers, over more and more organizations. Takes minutes to provision them."""
        console.print("  provisioning 500 organizations …")
        made = [lines_for(provision(f"w{number}", 5)) for number in range(500)]
        one = lines_for(provision("w", 500))
        lines = {
            1: one,
            100: [line for organization in made[:100] for line in organization],
            500: [organization[0] for organization in made],
        }
        contenders = {
            f"over {count} organizations": self.http(self.here.sellers_file(f"width-{count}", of))
            for count, of in lines.items()
        }
        # Each of the server's connections makes its plans for each organization once, and then has them.
        self.take_turns("Width, 500 sellers, 16 connections", contenders, warm_up=60)
        held = memory_of_connections(self.here).values()
        console.print(f"  {len(held)} connections hold {sum(held) // len(held)} MiB each for themselves")

    def many(self) -> None:
        """What organizations cost that are only there."""
        many.measure(self.here, self.organizations, console)
        prove_the_books()

    def delivery(self) -> None:
        """A worker's rate against the simulator with no delay, and what a worker beside them costs the sales."""
        sandbox = [provision("sand", 10), provision("box", 10)]
        for organization in sandbox:
            deliver_through_simulator(organization)
        sellers = self.here.sellers_file("sandbox", [line for one in sandbox for line in lines_for(one)])
        rates = []
        for _ in range(self.rounds):
            sell_pending(sandbox, 10_000)
            rates.append(deliver(sandbox))
        console.print(f"  a worker delivers {statistics.median(rates):,.0f} recharges a second (median of {rates})")

        without = self.http(sellers)

        def alone(seconds: float) -> Burst:
            found = without(seconds)
            deliver(sandbox)  # what waits now must not be the next contender's
            return found

        def beside(seconds: float) -> Burst:
            with worker():
                found = without(seconds)
            deliver(sandbox)
            return found

        self.take_turns(
            "Delivery, 20 sellers, 16 connections",
            {"a sale, delivered later": alone, "a sale, a worker delivering": beside},
        )

    def earning(self) -> None:
        """What a commission costs a sale, and what a dealer does above 2,000 sellers who sell at once."""
        plain, rated = provision("plain", 20), provision("rated", 20)
        alone, below = provision("alone", 2_000), provision("below", 2_000)
        for organization in (rated, alone, below):
            set_rates(organization)
        sell_for_one_dealer(below)
        files = {one.slug: self.here.sellers_file(one.slug, lines_for(one)) for one in (plain, rated, alone, below)}
        self.take_turns(
            "Earning, 20 sellers, 16 connections",
            {"a sale without a rate": self.http(files["plain"]), "with a rate": self.http(files["rated"])},
        )
        self.take_turns(
            "Earning, 2,000 sellers with a rate, 64 connections",
            {
                "a sale, all for themselves": self.http(files["alone"], connections=64),
                "a sale, all for one dealer": self.http(files["below"], connections=64),
            },
        )
        recharges, seconds = post_all_margins(below)
        console.print(f"  the margins of {recharges:,} recharges are posted in {seconds:.1f} s, 1,000 at once")
        prove_the_books()

    def watched(self) -> None:
        """What a sale costs a server that counts it for ``/metrics``, and one that tells a collector of each."""
        with ExitStack() as stack:
            collector = stack.enter_context(collecting())
            told = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.environment["OTEL_EXPORTER_OTLP_ENDPOINT"]}
            sampled = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}
            ways: dict[str, dict[str, str]] = {
                "a sale, counted for /metrics": {"METRICS_LISTEN": f"127.0.0.1:{free_port()}"},
                "a sale, one in a hundred traced": told | sampled,
                "a sale, each traced": told,
            }
            servers = {
                name: stack.enter_context(another_server(self.here, f"server-{place}", **environment))
                for place, (name, environment) in enumerate(ways.items())
            }
            contenders = {"a sale, neither counted nor traced": self.http(self.twenty)}
            contenders |= {name: self.http(self.twenty, server=server) for name, server in servers.items()}
            self.take_turns("Watched, 20 sellers, 16 connections", contenders, servers=servers)

    def retention(self) -> None:
        """What it does to the sales of an organization that a worker lets go of its old rows beside them: of phone
        numbers, which costs most, since each row is written anew with its indexes."""
        old = provision("old", 10)
        console.print("  filling in 200,000 recharges of years ago …")
        fill_history(old, 200_000)
        want_numbers_masked(old)
        alone = self.http(self.here.sellers_file("old", lines_for(old)))

        def beside(seconds: float) -> Burst:
            before, deadline = numbers_masked(old), time.monotonic() + 60
            with worker(LOG_LEVEL="WARNING"):
                while numbers_masked(old) == before:
                    if time.monotonic() > deadline:
                        raise SystemExit("nothing is let go of")
                    time.sleep(0.1)
                return alone(seconds)

        self.take_turns("Retention, 10 sellers, 16 connections", {"a sale": alone, "beside letting go": beside})
        console.print(f"  {numbers_masked(old):,} numbers were masked meanwhile")

    def fairness(self) -> None:
        """What one organization's heavy work does to another's sales, their delivery and its webhook."""
        busy, quiet = provision("busy", 10), provision("quiet", 10)
        deliver_through_simulator(busy)
        console.print("  filling in 1 million entries …")
        fill_history(busy, 10**6)
        checkpoint(self.here)
        os.sync()  # what was filled in would be written out beside the first sales
        console.print(measure(self.here, busy, quiet, self.seconds, self.rounds, self.beside))
        prove_the_books()

    def large(self) -> None:
        """What an organization that has sold millions takes: disk, and CPU of each thing that is asked of it."""
        large.measure(self.here, self.millions, console)


def compare(here: Path, there: Path, directory: Path, seconds: float, rounds: int) -> None:
    """The table "cpu": what the same requests cost in two checkouts."""
    with checkout(here, directory / "here") as ours, checkout(there, directory / "there") as theirs:
        both = (ours, theirs)
        rows: dict[str, tuple[int, str, Callable[[Checkout], str]]] = {
            "a sale, 20 sellers": (20, "POST", lambda _: "/api/v1/recharges"),
            "a sale, one hot seller": (1, "POST", lambda _: "/api/v1/recharges"),
            "GET /balance": (20, "GET", lambda _: "/api/v1/balance"),
            "GET /recharges/{id}": (1, "GET", lambda of: f"/api/v1/recharges/{recharges[of.directory]}"),
            "GET /me": (20, "GET", lambda _: "/api/v1/me"),
            "GET /recharges, 25": (20, "GET", lambda _: "/api/v1/recharges?limit=25"),
            "GET /entries, 25": (20, "GET", lambda _: "/api/v1/entries?limit=25"),
        }
        recharges = {of.directory: of.any_recharge() for of in both}
        found: dict[str, list[tuple[tuple[float, Cpu], ...]]] = {name: [] for name in rows}
        stolen: dict[str, list[float]] = {name: [] for name in rows}

        def ask(
            sides: tuple[Checkout, ...], sellers: int, method: str, path: Callable[[Checkout], str]
        ) -> dict[Path, tuple[float, Cpu]]:
            results = {}
            for of in sides:
                file, before = of.directory / f"{sellers}.sellers", of.cpu()
                run = burst(of.address, file, connections=16, seconds=seconds, method=method, path=path(of))
                results[of.directory] = run.rate, of.cpu().since(before, run.ok)
            return results

        for turn in range(rounds + 1):  # the first warms up
            for of in both:
                of.write_sellers()
            for name, (sellers, method, path) in rows.items():
                sides = both if turn % 2 else both[::-1]
                results, share = undisturbed(partial(ask, sides, sellers, method, path))
                if turn:
                    found[name].append(tuple(results[of.directory] for of in both))
                    stolen[name].append(share)
    table = Table(title=f"CPU of a request, milliseconds; here, there, here ÷ there ({rounds} rounds)", box=SIMPLE_HEAD)
    for column in ("request", "web", "", "÷", "db", "", "÷", "a second", "", "÷", "stolen"):
        table.add_column(column, justify="left" if column == "request" else "right", no_wrap=True)
    for name, turns in found.items():
        cells: list[str] = []
        for value, shape in ((_web, ".2f"), (_database, ".2f"), (_rate, ",.0f")):
            cells += [f"{statistics.median(value(turn[side]) for turn in turns):{shape}}" for side in (0, 1)]
            cells.append(f"{statistics.median(value(turn[0]) / value(turn[1]) for turn in turns):.2f}")
        table.add_row(name, *cells, f"{max(stolen[name]):.0%}")
    console.print(table)


def _rate(result: tuple[float, Cpu]) -> float:
    return result[0]


def _web(result: tuple[float, Cpu]) -> float:
    return result[1].web


def _database(result: tuple[float, Cpu]) -> float:
    return result[1].database


TABLES = (
    "sale",
    "shapes",
    "connections",
    "bulk",
    "delivery",
    "history",
    "pages",
    "width",
    "many",
    "earning",
    "watched",
    "retention",
    "fairness",
    "large",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tests.bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5, help="of each burst; default 5")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument(
        "--millions", type=int, nargs="+", default=[1, 3], metavar="M", help="of the table large; default 1 3"
    )
    parser.add_argument(
        "--organizations", type=int, nargs="+", default=[1000], metavar="N", help="of the table many; default 1000"
    )
    parser.add_argument(
        "--beside", default="", metavar="TEXT", help="of the table fairness: only attacks that have this in their name"
    )
    parser.add_argument("--against", type=Path, metavar="DIR", help="another checkout")
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"default: {' '.join(TABLES[:5])}")
    options = parser.parse_args()
    unknown = set(options.tables) - set(TABLES)
    if unknown:
        parser.error(f"no such table: {', '.join(unknown)}")
    directory = Path(tempfile.mkdtemp(prefix="recharge-bench-"))
    # Exit hooks run last in, first out: the directory goes after the database in it has stopped.
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    if options.against:
        compare(ROOT, options.against.resolve(), directory, options.seconds, options.rounds)
        return
    if "large" in options.tables:
        large.refuse_without_room(directory, options.millions)
    with stage(directory) as here:
        bench = Bench(here, options.seconds, options.rounds, options.millions, options.organizations, options.beside)
        for name in options.tables or TABLES[:5]:
            getattr(bench, name)()


if __name__ == "__main__":
    main()
