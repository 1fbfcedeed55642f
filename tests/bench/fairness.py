"""What one organization's heavy work does to the sales of another: the bench's table "fairness"."""

import http.client
import json
import random
import statistics
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tests.bench.stage import Organization, Stage, admin_session_line_for, lines_for

DAYS = "from_day=2015-01-01&to_day=2015-03-31"
"""Those in which :func:`tests.bench.stage.fill_history` sells a million."""


SHORT = "from_day=2015-01-01&to_day=2015-01-01"
"""A day of those: 86,400 sales, which a workbook can hold."""


@dataclass(frozen=True)
class Attack:
    """So many clients at once that ask for something again and again."""

    clients: int
    method: str
    path: str
    line: str
    """Of a sellers' file: the host, and a token or a session."""
    items: int = 0
    """Of each bulk call."""

    def ask(self, connection: http.client.HTTPConnection) -> int:
        host, credentials = self.line.split(" ", 1)
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
        answer.read()
        return answer.status


@contextmanager
def under(attack: Attack, address: str) -> Iterator[Counter[int]]:
    """The attack goes on meanwhile; gives its answers by their status."""
    answers: Counter[int] = Counter()
    over = threading.Event()

    def attacking() -> None:
        connection = http.client.HTTPConnection(address, timeout=120)
        while not over.is_set():
            status = attack.ask(connection)
            answers[status] += 1
            if status == 503:
                over.wait(1)  # as Retry-After says
        connection.close()

    threads = [threading.Thread(target=attacking) for _ in range(attack.clients)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        over.set()
        for thread in threads:
            thread.join()


def attacks(busy: Organization) -> dict[str, Attack]:
    """Those of an organization with a long history, by its admin and by one seller."""
    admin, seller = admin_session_line_for(busy), lines_for(busy)[0]
    return {
        "10 report pages of one admin": Attack(10, "GET", f"/reports?{DAYS}", admin),
        "10 lists by an admin": Attack(10, "GET", "/recharges?size=100", admin),
        "20 bulk calls of one seller": Attack(20, "POST", "/api/v1/recharges/bulk", seller, 1000),
        "3 workbooks": Attack(3, "GET", f"/recharges.xlsx?{SHORT}", admin),
        "14 CSV files": Attack(14, "GET", f"/recharges.csv?{DAYS}", admin),
    }


class Victim:
    """A seller of another organization, who sells at an even pace: so many a second, on a connection kept open."""

    PACE = 25

    def __init__(self, address: str, line: str) -> None:
        self._address = address
        self._host, self._token = line.split()

    def sell(self, seconds: float) -> list[float]:
        """The milliseconds that each sale took. What is late is asked at once, and the waiting counts."""
        connection = http.client.HTTPConnection(self._address, timeout=60)
        headers = {"Host": self._host, "Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        took: list[float] = []
        began = time.monotonic()
        for number in range(int(seconds * self.PACE)):
            due = began + number / self.PACE
            time.sleep(max(0.0, due - time.monotonic()))
            body = json.dumps({"phone_number": f"0912{random.randrange(10**7):07}", "amount": 1})
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


def measure(here: Stage, busy: Organization, quiet: Organization, seconds: float, rounds: int) -> Table:
    """The victim's sales alone and under each attack, in turns, round after round."""
    victim = Victim(here.address, lines_for(quiet)[0])
    victim.sell(2)
    found: dict[str, list[float]] = {"quiet": []}
    ratios: dict[str, list[float]] = {}
    answers: dict[str, Counter[int]] = {}
    watches: dict[str, Watch] = {}
    for _ in range(rounds):
        for name, attack in attacks(busy).items():
            alone = victim.sell(seconds)
            watch = watches.setdefault(name, Watch(here.address, f"{quiet.slug}.bench.test"))
            with under(attack, here.address) as said, watch.on():
                while not said.total():
                    victim.sell(0.2)
                beside = victim.sell(seconds)
            found["quiet"] += alone
            found.setdefault(name, []).extend(beside)
            ratios.setdefault(name, []).append(_p99(beside) / _p99(alone))
            answers.setdefault(name, Counter()).update(said)
    table = Table(title=f"Another organization's sales ({rounds} rounds of {seconds:g} s)", box=SIMPLE_HEAD)
    for column in ("beside", "p50 ms", "p99 ms", "longest", "p99 ÷ quiet", "/livez", "/readyz", "answers"):
        table.add_column(column, justify="left" if column in ("beside", "answers") else "right", no_wrap=True)
    for name, took in found.items():
        cells = [f"{value:,.1f}" for value in (statistics.median(took), _p99(took), max(took))]
        if name in ratios:
            said = ", ".join(f"{count} x {status}" for status, count in sorted(answers[name].items()))
            longest = [f"{value:,.0f}" for value in watches[name].longest.values()]
            cells += [f"{statistics.median(ratios[name]):.1f}", *longest, said]
        table.add_row(name, *cells)
    return table


def _p99(took: list[float]) -> float:
    return sorted(took)[int(len(took) * 0.99)]
