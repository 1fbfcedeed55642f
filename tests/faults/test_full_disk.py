"""A disk that has no room left, under load. Where it is the database's, sales are refused and may come again, what was
answered is there, and when there is room they go on by themselves. Where it is another one, they go on all the time."""

import os
import signal
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg2
import pytest
import urllib3

from saas import embedded
from saas.demo_clients import Api
from tests.support import forking
from tests.support.disks import fill, small_disk
from tests.support.installations import directory, environment_of, manage, start, superuser_of
from tests.support.pair import run_sql
from tests.support.prometheus import Scraped
from tests.support.selling import Selling
from tests.support.server import children_of, free_port, serving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.long


def test_no_room_for_a_table(tmp_path: Path) -> None:
    """The database goes on; what needs a new page is refused."""
    metrics = f"127.0.0.1:{free_port()}"
    with small_disk(megabytes=32) as disk, directory(installed=True) as data:
        start(data)
        cluster = embedded._Cluster(data)
        cluster._make_private(disk)
        run_sql(cluster, f"CREATE TABLESPACE small LOCATION '{disk}'")
        for table in ("recharge_recharge", "credit_entry"):
            run_sql(cluster, f"ALTER TABLE org_acme.{table} SET TABLESPACE small")
        environment = environment_of(data) | {"METRICS_LISTEN": metrics}
        with serving(tmp_path / "log", environment=environment) as server:
            selling = Selling.at(server)
            with selling.running():
                selling.wait_for_more(50)
                filler = fill(disk)
                selling.wait_for_refusals(50)
                no_room = (503, "The database has no room: its disk is full.")
                wait_until(lambda: server.readiness() == no_room, "it is said")
                filler.unlink()
                selling.wait_for_more(50)
            assert Scraped(metrics).sum("recharge_database_errors_total", sqlstate="53100") >= 50
            selling.check("a disk without room for tables", superuser_of(data))
        manage(data, "reconcile")


def test_no_room_for_the_wal(tmp_path: Path) -> None:
    """The database itself gives up, and is started again when there is room, as systemd would."""
    with directory(installed=True, megabytes=400) as data:
        start(data)
        with serving(tmp_path / "log", environment=environment_of(data)) as server:
            selling = Selling.at(server)
            with selling.running():
                selling.wait_for_more(50)
                filler = fill(data)
                with pytest.raises(psycopg2.Error):
                    write_wal_for_ever(data)
                selling.wait_for_refusals(50)
                filler.unlink()
                wait_until(lambda: is_up(data), "the database is up again", seconds=60)
                selling.wait_for_more(50)
            selling.check("a disk without room for WAL", superuser_of(data))
        manage(data, "reconcile")


def test_no_room_for_temporary_files(tmp_path: Path) -> None:
    """Who asks for a file is told to come again. Nobody else notices, and metrics go on."""
    with directory(installed=True) as data, small_disk(megabytes=16) as temporary:
        start(data)
        metrics = f"127.0.0.1:{free_port()}"
        environment = environment_of(data) | {"TMPDIR": str(temporary), "METRICS_LISTEN": metrics}
        with serving(tmp_path / "log", environment=environment) as server:
            selling = Selling.at(server)
            seller = selling.sellers[0]
            day = str(datetime.now(ZoneInfo("Asia/Tehran")).date() - timedelta(days=1))
            status, statement = seller.call("POST", "/statements", {"from": day, "to": day})
            assert status == 201, statement

            def answers() -> list[tuple[int, str | None]]:
                asked = [ask(seller, f"/statements/{statement['id']}.{kind}") for kind in ("xlsx", "pdf")]
                return [(answer.status, answer.headers.get("Retry-After")) for answer in asked]

            processes = server.worker_pids()
            assert answers() == [(200, None)] * 2
            with selling.running():
                filler = fill(temporary)
                assert answers() == [(503, "1")] * 2
                for number in range(200):  # each is counted, some of them for the first time
                    ask(seller, f"/recharges?cursor={number}")
                    ask(seller, f"/nothing/{number}")
                selling.wait_for_more(50)
                filler.unlink()
                assert answers() == [(200, None)] * 2
            assert Scraped(metrics).sum("recharge_sales_total") >= 50
            assert server.worker_pids() == processes
            selling.check("a disk without room for temporary files", superuser_of(data))


def test_no_room_for_the_log(tmp_path: Path) -> None:
    """What is said is lost, and nothing else: who ends is followed by another one, and new processes take over."""
    with directory(installed=True) as data, small_disk(megabytes=4) as disk:
        start(data)
        environment = environment_of(data) | {"METRICS_LISTEN": f"127.0.0.1:{free_port()}"}
        with serving(disk / "log", environment=environment, delivery=True) as server:

            def measuring() -> list[int]:
                children = children_of(server.process.pid)
                return [pid for pid, command in children if b"saas.metrics_process" in command.split(b"\0")]

            wait_until(lambda: bool(server.delivery_pids()), "the delivery worker runs")
            selling = Selling.at(server)
            with selling.running():
                filler = fill(disk)
                for running in (server.delivery_pids, measuring):
                    (pid,) = running()
                    os.kill(pid, signal.SIGKILL)
                    wait_until(lambda: running() not in ([], [pid]), "another one runs", seconds=60)  # noqa: B023
                selling.wait_for_more(50)
            (first,) = server.generations()
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: first not in server.generations(), "new processes have taken over", seconds=120)
            assert server.readiness() == (200, None)
            with serving(disk / "another log", environment=environment_of(data), delivery=True):
                pass  # it gets ready, and ends well
            filler.unlink()
            selling.check("a disk without room for the log", superuser_of(data))


def ask(seller: Api, path: str) -> urllib3.BaseHTTPResponse:
    """Once, as a client does that does not come again."""
    headers = {"Host": seller.host, "Authorization": f"Bearer {seller.token}"}
    return urllib3.request("GET", f"http://{seller.address}/api/v1{path}", headers=headers, retries=False, timeout=30)


def write_wal_for_ever(data: Path) -> None:
    while True:
        run_sql(embedded._Cluster(data), "SELECT pg_logical_emit_message(true, 'filler', repeat('x', 1000000))")


def is_up(data: Path) -> bool:
    try:
        start(data)
    except embedded.EmbeddedDatabaseError:
        return False
    return True


def test_no_room_for_an_organizations_file_or_for_what_is_in_it(tmp_path: Path) -> None:
    """It says so, and leaves nothing; with room, the same command works."""
    with small_disk(megabytes=16) as disk, small_disk(megabytes=2) as shelf, directory(installed=True) as data:
        cluster = embedded._Cluster(data)
        cluster._make_private(disk)
        file = shelf / "acme.export"

        def ask(statement: str) -> list[tuple[Any, ...]]:
            start(data)  # it ends with each command
            return run_sql(cluster, statement)

        def organization(*arguments: str) -> tuple[int, str]:
            environment = environment_of(data) | {"RECHARGE_EXPORT_PASSPHRASE": "a passphrase of the tests"}
            process = forking.start(["organization", *arguments], environment=environment)
            _, said = process.communicate(timeout=90)
            return process.wait(), said

        filler = fill(shelf)
        status, said = organization("export", "acme", str(file))
        assert (status, "No space left on device" in said) == (2, True), said
        assert list(shelf.iterdir()) == [filler]
        filler.unlink()
        assert organization("export", "acme", str(file))[0] == 0

        ask(f"CREATE TABLESPACE small LOCATION '{disk}'")
        ask("GRANT CREATE ON TABLESPACE small TO PUBLIC")
        ask(f"ALTER ROLE {embedded.ROLE} SET default_tablespace = small")
        filler = fill(disk)
        status, said = organization("import", str(file), "--slug", "copy")
        assert (status, "No space left on device" in said, "Traceback" in said) == (1, True, False), said
        filler.unlink()
        schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'org_copy'"
        assert ask(schemas) == [(0,)]
        assert organization("import", str(file), "--slug", "copy")[0] == 0
        manage(data, "reconcile")
