"""What one organization's heavy work does to the sales of another, to their delivery and to its webhook: the bench's
table "fairness". (inf: a health check was not 200, or a webhook was not told within a minute.)"""

import http.client
import json
import random
import statistics
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tests.bench.stage import (
    Organization,
    Stage,
    admin_session_line_for,
    deliver_through_simulator,
    lines_for,
    worker,
)
from tests.bench.stolen import undisturbed
from tests.support.receiver import HANG, Receiver, receiving

DAYS = "from_day=2015-01-01&to_day=2015-03-31"
"""Those in which :func:`tests.bench.stage.fill_history` sells a million."""


SHORT = "from_day=2015-01-01&to_day=2015-01-01"
"""A day of those: 86,400 sales, which a workbook can hold."""


Answers = Counter[str]
"""What an attack was answered, by status."""

Attack = Callable[[], AbstractContextManager[Answers]]
"""It goes on as long as the block."""


@dataclass(frozen=True)
class Asking:
    """So many clients at once that ask for something again and again."""

    address: str
    clients: int
    method: str
    path: str
    lines: Sequence[str]
    """Of a sellers' file: the host, and a token or a session. Dealt to the clients in turn."""
    items: int = 0
    """Of each bulk call."""
    reads: bool = True
    """Else a client takes nothing of the answer, for as long as it is let."""

    @contextmanager
    def __call__(self) -> Iterator[Answers]:
        # From a process of its own: at this one's interpreter its clients would hold up the one that is measured.
        answers: Answers = Counter()
        context = get_context("spawn")
        heard, telling = context.Pipe(duplex=False)
        over = context.Event()
        process = context.Process(target=self._ask_at_once, args=(telling, over))
        process.start()
        telling.close()

        def count() -> None:
            with suppress(EOFError):
                while True:
                    answers[heard.recv()] += 1

        counting = threading.Thread(target=count)
        counting.start()
        try:
            yield answers
        finally:
            over.set()
            process.join()
            counting.join()

    def _ask_at_once(self, telling: "Connection[str, str]", over: Event) -> None:
        one_tells = threading.Lock()

        def tell(answer: str) -> None:
            with one_tells:
                telling.send(answer)

        clients = [
            threading.Thread(target=self._ask_again_and_again, args=(self.lines[client % len(self.lines)], tell, over))
            for client in range(self.clients)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()

    def _ask_again_and_again(self, line: str, tell: Callable[[str], None], over: Event) -> None:
        connection = http.client.HTTPConnection(self.address, timeout=120)
        while not over.is_set():
            status = self._ask(connection, line, tell, over)
            if status == 503:
                over.wait(1)  # as Retry-After says
            elif not self.reads:
                over.wait(STALLED_SECONDS)
                connection.close()
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection, line: str, tell: Callable[[str], None], over: Event) -> int:
        host, credentials = line.split(" ", 1)
        headers = {"Host": host, "Accept": "text/html" if credentials.startswith("cookie:") else "*/*"}
        if credentials.startswith("cookie:"):
            headers["Cookie"] = f"sessionid={credentials.removeprefix('cookie:')}"
        else:
            headers["Authorization"] = f"Bearer {credentials}"
        body = None
        if self.items:
            headers["Content-Type"] = "application/json"
            sale = {"phone_number": "09121234567", "amount": 1, "allow_duplicate": True}
            body = json.dumps({"items": [{**sale, "idempotency_key": uuid.uuid4().hex} for _ in range(self.items)]})
        connection.request(self.method, self.path, body, headers)
        answer = connection.getresponse()
        tell(str(answer.status))  # which it has long before the end of a large file
        if self.reads or answer.status != 200:
            while answer.read(1_000_000) and not over.is_set():
                pass
        return answer.status


STALLED_SECONDS = 70.0
"""A server disconnects who takes nothing for a minute."""


@dataclass(frozen=True)
class SlowReceivers:
    """Webhooks of one organization whose receivers take what they are told and never answer, while it sells."""

    address: str
    organization: Organization

    @contextmanager
    def __call__(self) -> Iterator[Answers]:
        from django_tenants.utils import schema_context

        from credit.webhooks.services import create_webhook, delete_webhook
        from tenants.models import Organization as Row

        row = Row.objects.get(pk=self.organization.id)
        seller_id, lines = self.organization.seller_ids[0], lines_for(self.organization)
        selling = Asking(self.address, 2, "POST", "/api/v1/recharges/bulk", lines[:2], items=10)
        made = []
        with ExitStack() as stack:
            for owner in [None] * 10 + [seller_id] * 6:  # of whom each may have ten
                receiver = stack.enter_context(receiving())
                receiver.answer = HANG
                with schema_context(row.schema_name):
                    endpoint, _ = create_webhook(
                        organization=row, seller_id=owner, url=receiver.url, events=["recharge.succeeded"]
                    )
                made.append((endpoint.pk, owner))
            try:
                yield stack.enter_context(selling())
            finally:
                with schema_context(row.schema_name):
                    for webhook_id, owner in made:
                        delete_webhook(webhook_id=webhook_id, seller_id=owner)


def attacks(here: Stage, busy: Organization, named: str) -> dict[str, Attack]:
    """Those of an organization with a long history, by its admin and by its sellers, that have this in their name.

    Raises:
        SystemExit: none has.
    """
    admin, sellers, at = [admin_session_line_for(busy)], lines_for(busy), here.address
    bulk = ("POST", "/api/v1/recharges/bulk")
    every: dict[str, Attack] = {
        "10 report pages of one admin": Asking(at, 10, "GET", f"/reports?{DAYS}", admin),
        "10 lists by an admin": Asking(at, 10, "GET", "/recharges?size=100", admin),
        "10 bulk calls of ten sellers": Asking(at, 10, *bulk, sellers, items=1000),
        "20 bulk calls of one seller": Asking(at, 20, *bulk, sellers[:1], items=1000),
        "3 workbooks again and again": Asking(at, 3, "GET", f"/recharges.xlsx?{SHORT}", admin),
        "14 CSV files": Asking(at, 14, "GET", f"/recharges.csv?{DAYS}", admin),
        "14 CSV files that nobody reads": Asking(at, 14, "GET", f"/recharges.csv?{DAYS}", admin, reads=False),
        "16 slow webhook receivers": SlowReceivers(at, busy),
    }
    chosen = {name: attack for name, attack in every.items() if named in name}
    if not chosen:
        raise SystemExit(f"No attack is called so; there are: {', '.join(every)}.")
    return chosen


@dataclass(frozen=True)
class Sold:
    """What became of some sales."""

    took: list[float]
    """Milliseconds until each was answered."""
    delivered: float
    """The most seconds from a sale to its end."""
    told: float
    """The most seconds from its end to the organization's webhook."""


@dataclass(frozen=True)
class Round:
    """What was sold in two times of the same length, and what was seen meanwhile."""

    alone: Sold
    beside: Sold
    answers: Answers
    longest: dict[str, float]
    """The milliseconds that a health check took, by its path."""

    @property
    def ratio(self) -> float:
        """How many times longer a sale takes than alone (p99)."""
        return _p99(self.beside.took) / _p99(self.alone.took)

    def __str__(self) -> str:
        halves = ", ".join(
            f"{name} p50 {_percentile(one.took, 50):.1f} p95 {_percentile(one.took, 95):.1f} p99 {_p99(one.took):.1f}"
            for name, one in (("quiet, ms:", self.alone), ("beside it:", self.beside))
        )
        seen = ", ".join(f"{path} {milliseconds:,.0f}" for path, milliseconds in self.longest.items())
        return (
            f"{halves}, {self.ratio:.1f} times; {seen}, delivered {self.beside.delivered:.2f} s, {dict(self.answers)}"
        )


class Victim:
    """A seller of another organization, who sells at an even pace: so many a second, on a connection kept open. A
    worker delivers what he sells, and tells a webhook of it."""

    PACE = 25
    PATIENCE = 60.0
    """Seconds after which what is not told is given up."""

    def __init__(self, address: str, organization: Organization, receiver: Receiver) -> None:
        self._address, self._schema, self._receiver = address, f"org_{organization.slug}", receiver
        self._host, self._token = lines_for(organization)[0].split()

    def sell(self, seconds: float) -> Sold:
        """Sells for so long, and waits until a webhook was told of all of it."""
        since = len(self._receiver.received)
        took = self._sell(seconds)
        deadline = time.monotonic() + self.PATIENCE
        while (heard := len(self._receiver.received) - since) < len(took) and time.monotonic() < deadline:
            time.sleep(0.05)
        if heard < len(took):
            return Sold(took, float("inf"), float("inf"))
        from django_tenants.utils import schema_context

        from recharge.models import Recharge

        arrived = {one.json["data"]["id"]: one.at for one in self._receiver.received[since:]}
        with schema_context(self._schema):
            rows = Recharge.objects.filter(pk__in=list(arrived)).values_list("pk", "created_at", "completed_at")
            ended = {str(pk): (created_at, completed_at) for pk, created_at, completed_at in rows}
        return Sold(
            took,
            max((completed - created).total_seconds() for created, completed in ended.values()),
            max(at - ended[one][1].timestamp() for one, at in arrived.items()),
        )

    def _sell(self, seconds: float) -> list[float]:
        """The milliseconds that each sale took. What is late is asked at once, and the waiting counts."""
        connection = http.client.HTTPConnection(self._address, timeout=60)
        headers = {"Host": self._host, "Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        took: list[float] = []
        began = time.monotonic()
        for number in range(int(seconds * self.PACE)):
            due = began + number / self.PACE
            time.sleep(max(0.0, due - time.monotonic()))
            # The simulator has numbers of this ending succeed at once.
            body = json.dumps({"phone_number": f"0912{random.randrange(10**5):05}67", "amount": 1})
            connection.request("POST", "/api/v1/recharges", body, headers | {"Idempotency-Key": uuid.uuid4().hex})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 201:
                raise SystemExit(f"a sale of another organization was answered {answer.status}")
            took.append(1000 * (time.monotonic() - due))
        connection.close()
        return took


class Watch:
    """Asks for ``/livez`` and ``/readyz`` meanwhile: the longest that each took, in milliseconds."""

    def __init__(self, address: str, host: str) -> None:
        self._address, self._host = address, host
        self.longest = {"/livez": 0.0, "/readyz": 0.0}

    @contextmanager
    def on(self) -> Iterator[None]:
        over = threading.Event()

        def look() -> None:
            while not over.wait(0.2):
                for path in self.longest:
                    began = time.monotonic()
                    connection = http.client.HTTPConnection(self._address, timeout=60)
                    connection.request("GET", path, headers={"Host": self._host})
                    status = connection.getresponse().status
                    connection.close()
                    if status == 200:
                        self.longest[path] = max(self.longest[path], 1000 * (time.monotonic() - began))
                    else:
                        self.longest[path] = float("inf")

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def measure(
    here: Stage, busy: Organization, quiet: Organization, seconds: float, rounds: int, named: str = ""
) -> Table:
    """The victim's sales alone and under each attack that has this in its name, in turns, round after round."""
    table = Table(
        title=f"Another organization's sales ({rounds} rounds of {seconds:g} s)",
        caption="Wanted: p99 ÷ quiet up to 3, delivered within 1 s, told within 2 s, /livez and /readyz up to 1,000 ms",
        box=SIMPLE_HEAD,
    )
    columns = ("p50 ms", "p99 ms", "longest", "p99 ÷ quiet", "delivered s", "told s", "/livez", "/readyz", "stolen")
    for column in ("beside", *columns, "answers"):
        table.add_column(column, justify="right" if column in columns else "left", no_wrap=True)
    with receiving() as receiver, worker(ALLOW_PRIVATE_ADDRESSES="on"):
        _tell(quiet, receiver)
        victim = Victim(here.address, quiet, receiver)
        victim.sell(2)
        alone: list[Sold] = []
        for name, attack in attacks(here, busy, named).items():
            done: list[Round] = []
            stolen: list[float] = []
            for _ in range(rounds):
                watch = Watch(here.address, f"{quiet.slug}.bench.test")
                one, share = undisturbed(partial(_one_round, attack, victim, watch, seconds, busy))
                done.append(one)
                stolen.append(share)
            alone += [one.alone for one in done]
            answers = sum((one.answers for one in done), Counter())
            said_all = ", ".join(f"{count} x {status}" for status, count in sorted(answers.items()))
            longest = [f"{max(one.longest[path] for one in done):,.0f}" for path in done[0].longest]
            ratio = f"{statistics.median(one.ratio for one in done):.1f}"
            cells = [*_row([one.beside for one in done], ratio), *longest, f"{max(stolen):.0%}", said_all]
            table.add_row(name, *cells)
            # At once, too: all of it takes long, and who ends it keeps what was measured.
            told = ", ".join(f"{column} {cell}" for column, cell in zip((*columns, "answers"), cells, strict=True))
            print(f"  beside {name}: {told}", flush=True)
        table.add_row("nothing", *_row(alone, ""))
    return table


def _one_round(attack: Attack, victim: Victim, watch: Watch, seconds: float, busy: Organization) -> Round:
    _wait_until_delivered(busy)
    alone = victim.sell(seconds)
    with attack() as answers, watch.on():
        while not answers.total():
            victim.sell(0.2)
        beside = victim.sell(seconds)
    one = Round(alone, beside, answers, watch.longest)
    print(f"    {one}", flush=True)
    return one


def _tell(organization: Organization, receiver: Receiver) -> None:
    """Its recharges are delivered by the worker, and a webhook is told of them."""
    from django_tenants.utils import schema_context

    from credit.webhooks.services import create_webhook
    from tenants.models import Organization as Row

    deliver_through_simulator(organization)
    row = Row.objects.get(pk=organization.id)
    with schema_context(row.schema_name):
        create_webhook(organization=row, seller_id=None, url=receiver.url, events=["recharge.succeeded"])


def _wait_until_delivered(busy: Organization) -> None:
    """Until the worker has done what the attack before has left to it: bulk calls sell faster than it delivers."""
    from django.db import connection

    with connection.cursor() as cursor:
        waits = True
        while waits:
            time.sleep(0.5)
            cursor.execute(
                f"SELECT EXISTS (SELECT FROM org_{busy.slug}.recharge_recharge WHERE status = 'pending'),"
                f" EXISTS (SELECT FROM org_{busy.slug}.credit_webhookmessage WHERE status = 'pending')"
            )
            waits = any(cursor.fetchone())


def _row(sold: list[Sold], ratio: str) -> list[str]:
    took = [one for each in sold for one in each.took]
    cells = [f"{value:,.1f}" for value in (statistics.median(took), _p99(took), max(took))]
    return [*cells, ratio, *(f"{max(getattr(each, name) for each in sold):.2f}" for name in ("delivered", "told"))]


def _p99(took: list[float]) -> float:
    return _percentile(took, 99)


def _percentile(took: list[float], percent: int) -> float:
    return sorted(took)[int(len(took) * percent / 100)]
