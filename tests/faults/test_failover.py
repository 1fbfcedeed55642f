"""A primary with a synchronous standby, and a ``DATABASE_URL`` that names both: what happens when one is gone."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import urllib3

from tests.faults.test_crashes import sell_all, signed_up_sellers
from tests.support.pair import crash, pair
from tests.support.server import Server, serving
from tests.support.waiting import wait_until

SALES = 100
"""Of each of three sellers, each for 1,000 Tomans."""


def test_when_the_primary_dies_under_load_its_standby_is_sold_on(tmp_path: Path) -> None:
    """Nothing that was answered is missing, nothing is sold twice, and nobody restarts anything."""
    with pair() as servers, serving(tmp_path / "log", environment=servers.environment) as server:
        sellers = signed_up_sellers(server, 3, credit=SALES * 1000)
        moments: list[float] = []

        def fail_over() -> None:
            crash(servers.primary)
            servers.promote_standby()

        noting = threading.Lock()

        def note() -> None:
            with noting:
                moments.append(time.monotonic())

        actions = dict.fromkeys(range(1, 3 * SALES + 1), note)
        actions[SALES] = fail_over
        answers = sell_all([(seller, SALES) for seller in sellers], after=actions)
        assert {status for status, _ in answers} <= {200, 201}
        assert len({answer["id"] for _, answer in answers}) == 3 * SALES
        assert [seller.call("GET", "/balance")[1]["balance"] for seller in sellers] == [0, 0, 0]
        assert readiness(server) == (200, None)
        moments.sort()
        gap = max(after - before for before, after in pairwise(moments))
        print(f"longest time without an answered sale: {gap:.1f} s")
        servers.manage("reconcile")


def test_a_synchronous_standby_that_is_gone_is_said_and_what_waited_for_it_is_answered(tmp_path: Path) -> None:
    with pair() as servers, serving(tmp_path / "log", environment=servers.environment) as server:
        (seller,) = signed_up_sellers(server, 1, credit=1000)
        assert readiness(server) == (200, None)
        crash(servers.standby)
        with ThreadPoolExecutor(1) as pool:
            sale = pool.submit(
                seller.call, "POST", "/recharges", {"phone_number": "09121234567", "amount": 1000}, key="k"
            )
            gone = (503, "Commits wait for a synchronous standby that does not answer.")
            try:
                wait_until(lambda: readiness(server) == gone, "it is said", seconds=20)
                assert not sale.done()
            finally:
                servers.standby.ensure_running()
            status, answer = sale.result(30)
        assert (status, answer["balance_after"]) == (201, 0)
        wait_until(lambda: readiness(server) == (200, None), "it is ready again", seconds=20)


def readiness(server: Server) -> tuple[int, str | None]:
    answer = urllib3.request("GET", f"http://{server.address}/readyz", retries=False, timeout=10)
    return answer.status, answer.json().get("detail")
