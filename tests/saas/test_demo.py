"""The demo when it is stopped half way, by Ctrl-C or for good: nothing of it stays behind, and it says what to do."""

import io
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from saas.demo import Accounts, Demo, Seller, print_sellers
from tests.support import forking
from tests.support.installations import directory, environment_of
from tests.support.server import children_of, free_port
from tests.support.waiting import wait_until
from tests.support.world import PASSWORD

pytestmark = pytest.mark.slow


def start(data: Path) -> forking.Process:
    return forking.start(["demo", "--port", str(free_port())], environment=environment_of(data), new_session=True)


def is_starting_the_database(_demo: int, data: Path) -> bool:
    return (data / "postgres.new").exists()


def is_starting_the_server(_demo: int, data: Path) -> bool:
    return (data / "demo-server.log").exists()


def is_starting_the_clients(demo: int, _data: Path) -> bool:
    """Their work is on its way to them, and they don't read it yet."""
    return any(b"spawn_main" in command for _, command in children_of(demo))


def is_selling(_demo: int, data: Path) -> bool:
    log = data / "demo-server.log"
    return log.exists() and '"/api/v1/recharges"' in log.read_text()


def wait_for(moment: Callable[[int, Path], bool], demo: forking.Process, data: Path) -> None:
    """Fails at once if the demo ends before."""
    wait_until(lambda: demo.poll() is not None or moment(demo.pid, data), "the moment has come", seconds=120)
    assert demo.returncode is None, demo.communicate()


MOMENTS = [is_starting_the_database, is_starting_the_server, is_starting_the_clients, is_selling]


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.__name__)
def test_ctrl_c_stops_all_of_it_and_says_what_to_do(moment: Callable[[int, Path], bool]) -> None:
    is_first = moment is is_starting_the_database
    with directory(installed=not is_first) as data:
        if not is_first:  # as a run before has left it
            passwords = dict.fromkeys(("acme/admin", "globex/admin"), PASSWORD)
            (data / "demo-accounts.json").write_text(json.dumps(passwords))
        demo = start(data)
        wait_for(moment, demo, data)
        children = psutil.Process(demo.pid).children(recursive=True)
        os.killpg(demo.pid, signal.SIGINT)  # as a terminal does
        try:
            output = "".join(demo.communicate(timeout=60))
        finally:
            demo.kill()
        assert demo.returncode == 128 + signal.SIGINT, output
        assert "Stopped by Ctrl-C." in output
        assert "can be run again" in output
        assert "Traceback" not in output
        assert not (data / "postgres" / "postmaster.pid").exists(), "the database has stopped, too"
        assert psutil.wait_procs(children, timeout=20)[1] == []


def test_a_killed_demo_leaves_no_server_and_no_client_behind() -> None:
    """The first run of one, from nothing."""
    with directory() as data:
        demo = start(data)
        wait_for(is_selling, demo, data)
        children = psutil.Process(demo.pid).children(recursive=True)
        assert len(children) > 5  # clients, a server, its web processes and its worker
        demo.kill()
        demo.communicate(timeout=60)
        assert psutil.wait_procs(children, timeout=60)[1] == []


@pytest.mark.parametrize("is_served", [True, False])
def test_where_to_sign_in_says_when_a_server_is_needed_first(tmp_path: Path, is_served: bool) -> None:
    console = Console(file=io.StringIO(), width=120)
    accounts = Accounts(tmp_path / "accounts.json")
    Demo("127.0.0.1:8000", "localhost", accounts, "platform", console).print_addresses(is_served=is_served)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "http://localhost:8000/" in said
    assert ("after manage.py serve" in said) is not is_served


def test_the_sellers_figures_are_whole_on_a_terminal_of_eighty_columns() -> None:
    seller = Seller("acme.localhost", "acme", 1, "seller10", "", 98_765_432)
    said = {"before": 98_765_432, "accepted": 320_000, "refunded": 20_000, "earned": 15_000, "margins": 11_550}
    said |= {"transfers": -110_000, "balance": 99_365_432}
    for factor in (1, 1000):  # and much more than expected
        console = Console(file=io.StringIO(), width=80)
        figures = {name: tomans * factor for name, tomans in said.items()}
        print_sellers(console, "acme", [(seller, figures, True), (seller, figures, False)])
        shown = console.file.getvalue()  # type: ignore[attr-defined]
        assert all(shown.count(f"{tomans:,}") >= 2 for tomans in figures.values()), shown
        assert "…" not in shown
        assert factor > 1 or max(map(len, shown.splitlines())) <= 80, shown
        assert f"the balance is {figures['balance']:,}, not {seller.expected:,}" in " ".join(shown.split())
