"""A primary with a synchronous standby, and a ``DATABASE_URL`` that names both: what happens when one is gone."""

from pathlib import Path

import pytest

from saas import embedded
from tests.support.pair import crash, pair
from tests.support.prometheus import Scraped
from tests.support.selling import Selling
from tests.support.server import free_port, serving
from tests.support.waiting import wait_until


@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.long)])
def test_when_the_primary_dies_under_load_its_standby_is_sold_on(times: int, tmp_path: Path) -> None:
    """Nothing that was answered is missing, nothing is sold twice, and nobody restarts anything. Before the next time
    the former primary follows the new one, whose commits wait for it from then on."""
    with pair() as servers, serving(tmp_path / "log", environment=servers.environment) as server:
        selling = Selling.at(server)
        with selling.running():
            for number in range(times):
                if number:
                    servers.take_back()
                selling.wait_for_more(50)
                servers.fail_over()
                selling.wait_for_more(50)
        selling.check(f"{times} fail-overs", servers.primary.url("postgres", embedded.DATABASE))
        assert server.readiness() == (200, None)
        servers.manage("reconcile")


def test_a_synchronous_standby_that_is_gone_is_said_and_what_waited_for_it_is_answered(tmp_path: Path) -> None:
    metrics = f"127.0.0.1:{free_port()}"
    with (
        pair() as servers,
        serving(
            tmp_path / "log", environment=servers.environment | {"METRICS_LISTEN": metrics}, delivery=True
        ) as server,
    ):

        def is_missing() -> list[float]:
            return Scraped(metrics).of("recharge_synchronous_standby_missing")

        selling = Selling.at(server, sellers=2)
        wait_until(lambda: is_missing() == [0], "the figures are read", seconds=60)
        with selling.running():
            selling.wait_for_more(20)
            crash(servers.standby)
            gone = (503, "Commits wait for a synchronous standby that does not answer.")
            try:
                wait_until(lambda: server.readiness() == gone, "it is said", seconds=20)
                wait_until(lambda: is_missing() == [1], "it is among the metrics", seconds=60)
            finally:
                servers.standby.ensure_running()
            selling.wait_for_more(20)
        wait_until(lambda: server.readiness() == (200, None), "it is ready again", seconds=20)
        wait_until(lambda: is_missing() == [0], "the metrics know it, too", seconds=60)
        selling.check("a synchronous standby that was gone", servers.primary.url("postgres", embedded.DATABASE))
