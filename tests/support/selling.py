"""Sellers who go on selling whatever is broken meanwhile, and what became of each of their sales.

Each sale has a key that is fixed before it is sent, and is sent until it is answered with success, as a client should.
Afterwards the tables are asked for every key.
"""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise

import psycopg2
import urllib3

from saas.demo_clients import Api
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.world import PASSWORD

AMOUNT, CREDIT = 1_000, 1_000_000_000
"""Tomans: of a sale, and what each seller has before."""

HOST = "acme.localhost"

PATIENCE = 120
"""Seconds that one sale is sent again."""


@dataclass
class Selling:
    """What sellers of one organization sell at once with each other, at an installation of the test's own (see
    tests/support/installations.py)."""

    sellers: list[Api]
    slug: str = "acme"
    acknowledged: dict[str, str] = field(default_factory=dict)
    """By key the id of the recharge: what was answered with success."""
    tries: Counter[str] = field(default_factory=Counter)
    """By status, or by what went wrong."""
    seconds: list[float] = field(default_factory=list)
    """How long the tries took that were answered with success."""
    _moments: list[float] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _is_over: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def at(cls, server: Server, *, sellers: int = 4, slug: str = "acme") -> "Selling":
        """New sellers, with their credit; made over HTTP."""
        return cls(sign_up_sellers(server, sellers, credit=CREDIT, host=f"{slug}.localhost"), slug)

    @contextmanager
    def running(self) -> Iterator[None]:
        """They sell until the block ends, and what was begun then is answered."""
        with ThreadPoolExecutor(len(self.sellers)) as pool:
            running = [pool.submit(self._sell_on, number) for number in range(len(self.sellers))]
            try:
                yield
            finally:
                self._is_over.set()
            for one in running:
                one.result()

    def wait_for_more(self, sales: int) -> None:
        """Until so many more were answered with success."""
        enough = len(self.acknowledged) + sales
        wait_until(lambda: len(self.acknowledged) >= enough, f"{sales} more sales are answered", seconds=PATIENCE)

    def wait_for_refusals(self, refusals: int) -> None:
        """Until so many more tries were in vain."""
        enough = self.in_vain() + refusals
        wait_until(lambda: self.in_vain() >= enough, f"{refusals} more tries are in vain", seconds=PATIENCE)

    def in_vain(self) -> int:
        """Tries that were answered 503, or not at all."""
        return sum(times for came, times in self.tries.items() if came not in ("200", "201", "401"))

    def check(self, name: str, database: str) -> None:
        """Prints the totals; nothing that was answered is missing, nothing is there twice, and nobody has paid for
        more or less. ``database``: its address, as one who may read everything."""
        self._moments.sort()
        gap = max((after - before for before, after in pairwise(self._moments)), default=0.0)
        there, debits = _sales(database, f"org_{self.slug}")
        sold = Counter(key for key, _ in there)
        lost = [key for key, id_ in self.acknowledged.items() if (key, id_) not in there]
        doubled = [key for key, times in sold.items() if times > 1] + [
            id_ for id_, times in debits.items() if times > 1
        ]
        print(
            f"\n{name}: {len(self.acknowledged)} sales acknowledged, {len(lost)} lost, {len(doubled)} doubled;"
            f" {self.in_vain()} tries in vain {dict(self.tries)};"
            f" longest time without an acknowledged sale {gap:.1f} s"
        )
        assert not lost
        assert not doubled
        assert sold.keys() == self.acknowledged.keys()
        assert debits.keys() == set(self.acknowledged.values())
        for number in range(len(self.sellers)):
            seller = self.sellers[number] = self._sign_in_again(number)
            keys = [key for key in self.acknowledged if key.startswith(f"{number}-")]
            assert seller.call("GET", "/balance")[1]["balance"] == CREDIT - AMOUNT * len(keys)
            for key in keys[-10:]:  # who asks again is told what was sold
                status, answer = seller.call("POST", "/recharges", _sale(key), key=key)
                assert (status, answer["id"]) == (200, self.acknowledged[key])

    def _sign_in_again(self, number: int) -> Api:
        seller = self.sellers[number]
        return sign_in(seller.address, _name(number), host=seller.host)

    def _sell_on(self, number: int) -> None:
        sales = 0
        while not self._is_over.wait(0.01):
            sales += 1
            self._sell(number, f"{number}-{sales}")

    def _sell(self, number: int, key: str) -> None:
        body, deadline = json.dumps(_sale(key)).encode(), time.monotonic() + PATIENCE
        while True:
            seller = self.sellers[number]
            headers = {
                "Host": seller.host,
                "Authorization": f"Bearer {seller.token}",
                "Idempotency-Key": key,
                "Content-Type": "application/json",
            }
            began = time.monotonic()
            try:
                url = f"http://{seller.address}/api/v1/recharges"
                answer = _pool.request("POST", url, headers=headers, body=body)
            except urllib3.exceptions.HTTPError as error:
                came = type(error).__name__
            else:
                came = str(answer.status)
            with self._lock:
                self.tries[came] += 1
                if came in ("200", "201"):
                    self.acknowledged[key] = json.loads(answer.data)["id"]
                    self._moments.append(time.monotonic())
                    self.seconds.append(time.monotonic() - began)
                    return
            if came == "401":  # access lasts five minutes
                with suppress(urllib3.exceptions.HTTPError):
                    self.sellers[number] = self._sign_in_again(number)
            elif came.isdigit():
                assert came == "503", answer.data
                assert answer.headers["Retry-After"]
            assert time.monotonic() < deadline, f"{key} was not sold in {PATIENCE} s; last: {came}"
            time.sleep(random.uniform(0.05, 0.2))  # so that those who were refused don't return together


_pool = urllib3.PoolManager(maxsize=16, retries=False, timeout=30)


def _sale(key: str) -> dict[str, object]:
    seller, number = key.split("-")
    return {"phone_number": f"0912{int(seller):02}{int(number):05}", "amount": AMOUNT}


def _sales(database: str, schema: str) -> tuple[list[tuple[str, str]], Counter[str]]:
    """Each recharge's key and id, and how often each was paid for."""
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT idempotency_key, id::text FROM {schema}.recharge_recharge")
        recharges = cursor.fetchall()
        cursor.execute(f"SELECT reference::text FROM {schema}.credit_entry WHERE kind = 'recharge'")
        return recharges, Counter(reference for (reference,) in cursor.fetchall())


def _name(number: int) -> str:
    return f"seller{number}"


def sign_in(address: str, username: str, *, host: str = HOST) -> Api:
    """Somebody of an organization, at an installation of a test's own."""
    status, pair = Api(address, host).call("POST", "/auth/token", {"username": username, "password": PASSWORD})
    assert status == 200, pair
    return Api(address, host, pair["access"])


def sign_up_sellers(server: Server, count: int, *, credit: int, host: str = HOST) -> list[Api]:
    """New sellers of an organization with credit, at an installation of a test's own; made over HTTP."""
    owner = sign_in(server.address, "admin", host=host)
    sellers = []
    for number in range(count):
        name = _name(number)
        owner.call("POST", "/sellers", {"name": name, "username": name, "password": PASSWORD})
        seller = sign_in(server.address, name, host=host)
        _, request = seller.call("POST", "/credit-requests", {"amount": credit}, key="k")
        owner.call("POST", f"/credit-requests/{request['id']}/approve")
        sellers.append(seller)
    return sellers
