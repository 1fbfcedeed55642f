"""``manage.py serve`` on a fresh machine and in bad hours: a database that is not migrated, a killed server, a killed
delivery worker, a release that does not start; and what says which workers run."""

import json
import os
import signal
import threading
from contextlib import closing
from functools import partial
from pathlib import Path

import psutil
import psycopg2
import pytest
from django.db import connection

from recharge.models import Recharge
from tenants.heartbeats import ALIVE_SECONDS
from tenants.models import WorkerHeartbeat
from tests.support import forking, waiting
from tests.support.client import Client
from tests.support.commands import run, start
from tests.support.environment import database_at
from tests.support.installations import directory, environment_of
from tests.support.installations import start as start_database
from tests.support.raw import send
from tests.support.schemas import changed
from tests.support.server import Server, free_port, serving
from tests.support.world import PASSWORD, World, database_url, give_credit

pytestmark = pytest.mark.slow

wait_until = partial(waiting.wait_until, seconds=60)
"""Whole servers are started here, on machines that may be busy."""


def answers(address: str, path: str = "/livez") -> bool:
    try:
        return Client(address, "10.0.0.1").get(path).status == 200
    except Exception:  # noqa: BLE001 - it does not listen
        return False


def events(log: Path, event: str) -> list[dict[str, object]]:
    lines = [line for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in map(json.loads, lines) if line["event"] == event]


# --- Before the migrations --------------------------------------------------------------------------------------------


def test_serve_migrates_the_embedded_database_itself_and_says_what_to_open() -> None:
    with (
        directory() as data,
        serving(data / "log", environment=environment_of(data), delivery=True) as server,
    ):
        port = server.address.rpartition(":")[2]
        said = server.log.read_text()
        assert f"embedded database in {data}" in said
        assert f"http://localhost:{port}/ " in said
        assert f"http://NAME.localhost:{port}/" in said
        wrong = {"username": "nobody", "password": "nothing"}
        assert Client(server.address, "localhost").post("/auth/token", wrong).code == "bad_credentials"
        assert "Traceback" not in server.log.read_text()


def test_serve_on_the_embedded_database_starts_beside_an_organization_whose_schema_is_gone() -> None:
    with directory(installed=True) as data:
        with closing(psycopg2.connect(start_database(data))) as session, session, session.cursor() as cursor:
            cursor.execute("DROP SCHEMA org_globex CASCADE")
        with serving(data / "log", environment=environment_of(data)) as server:
            assert "org_globex: NOT up to date: The schema is gone." in server.log.read_text()
            credentials = {"username": "admin", "password": PASSWORD}
            assert Client(server.address, "acme.localhost").post("/auth/token", credentials).status == 200


def test_serve_on_a_database_that_is_not_migrated_says_so_once_and_answers_503_until_it_is(
    empty_database: str, tmp_path: Path
) -> None:
    environment = os.environ | database_at(empty_database)
    with serving(tmp_path / "log", environment=environment, wait=False, delivery=True) as server:
        wait_until(lambda: answers(server.address), "it listens")
        credentials = {"username": "nobody", "password": "nothing"}
        for host in ("recharge.test", "acme.recharge.test", "10.0.0.1"):
            answer = Client(server.address, host).post("/auth/token", credentials)
            assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "unavailable", "1")
            for path in ("/", "/sign-in", "/api/v1/me", "/api/schema", "/admin/", "/readyz"):
                assert send(server.address, f"GET {path} HTTP/1.1", f"Host: {host}").status == 503, (host, path)
        page = send(server.address, "GET /sign-in HTTP/1.1", "Host: recharge.test", "Accept: text/html").body
        assert b"temporarily unavailable" in page
        assert answers(server.address)
        wait_until(lambda: bool(events(server.log, "worker_can_not_work")), "the worker has looked")

        def refusals() -> int:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT xact_rollback FROM pg_stat_database WHERE datname = %s",
                    [empty_database.rpartition("/")[2]],
                )
                return cursor.fetchone()[0]

        before = refusals()
        wait_until(lambda: refusals() >= before + 4, "the worker has tried again and again")
        said = server.log.read_text()
        assert said.count("migrate_schemas") == 1
        assert "Traceback" not in said
        assert "exception" not in said
        assert len(events(server.log, "worker_can_not_work")) == 1

        migrated = run("migrate_schemas", "--verbosity", "0", environment=database_at(empty_database))
        assert migrated.returncode == 0, migrated.stderr
        wait_until(lambda: answers(server.address, "/readyz"), "it is ready")
        wait_until(
            lambda: Client(server.address, "recharge.test").post("/auth/token", credentials).status == 401,
            "it lets people sign in",
        )
        wait_until(lambda: bool(events(server.log, "worker_can_not_work_is_over")), "the worker works")


def test_serve_names_schemas_that_are_not_as_this_release_wants_them(world: World, tmp_path: Path) -> None:
    edit, undo = "ALTER FUNCTION webhook_purge STRICT", "ALTER FUNCTION webhook_purge CALLED ON NULL INPUT"
    with changed("org_acme", edit, undo), serving(tmp_path / "log", wait=False) as server:
        wait_until(lambda: answers(server.address), "it listens")
        said = server.log.read_text()
    assert "WARNING: 1 of 3 schemas are not as this release wants them (org_acme)" in said


def test_two_that_migrate_at_once_both_succeed(empty_database: str) -> None:
    two = [start("migrate_schemas", "--verbosity", "0", environment=database_at(empty_database)) for _ in range(2)]
    for process in two:
        output, errors = process.communicate(timeout=120)
        assert (process.returncode, output) == (0, ""), errors
        assert "Traceback" not in errors


def test_serve_starts_before_its_database_and_answers_503_until_that_is_there(tmp_path: Path) -> None:
    environment = os.environ | database_at(f"postgres://nobody@127.0.0.1:{free_port()}/nothing")
    with serving(tmp_path / "log", environment=environment, wait=False) as server:
        wait_until(lambda: answers(server.address), "it listens")
        assert Client(server.address, "recharge.test").post("/auth/token", {}).status in (400, 503)
        assert send(server.address, "GET /readyz HTTP/1.1", "Host: x").status == 503
        assert "The database can't be reached" in server.log.read_text()


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.3, 0.6])
def test_ctrl_c_stops_a_server_that_is_just_starting_without_a_traceback(
    seconds: float, world: World, tmp_path: Path
) -> None:
    command = ["serve", "--port", str(free_port())]
    with (tmp_path / "log").open("wb") as log:
        process = forking.start(command, environment=os.environ, stdout=log, new_session=True)
    wait_until(lambda: "\nOpen " in (tmp_path / "log").read_text(), "it starts its processes")
    threading.Event().wait(seconds)  # whatever it is at by then: the moment is what is varied
    os.killpg(process.pid, signal.SIGINT)
    status = process.wait(25)  # less than the time after which Granian kills a process
    said = (tmp_path / "log").read_text()
    assert status in (0, 128 + signal.SIGINT), said
    assert "Traceback" not in said


# --- Killed -----------------------------------------------------------------------------------------------------------


def test_everything_that_serve_has_started_ends_with_it_when_it_is_killed(world: World, tmp_path: Path) -> None:
    port = str(free_port())
    command = ["serve", "--port", port, "--workers", "2"]
    with (tmp_path / "log").open("wb") as log:
        process = forking.start(command, environment=os.environ, stdout=log)
    server = Server(f"127.0.0.1:{port}", process, tmp_path / "log")
    server.wait_until_ready()
    wait_until(lambda: bool(server.delivery_pids()), "the delivery worker runs")
    # A client keeps its connection open, as a browser or a proxy does.
    client = Client(server.address, "recharge.test")
    assert client.get("/livez").status == 200
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) == 4
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
    # The port is free for the next one.
    with (tmp_path / "log").open("ab") as log:
        following = forking.start(command, environment=os.environ, stdout=log)
    Server(server.address, following, server.log).wait_until_ready()
    following.terminate()
    assert following.wait(60) == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_delivery_worker_is_followed_by_another_one(number: int, world: World, tmp_path: Path) -> None:
    with serving(tmp_path / "log", workers=1, delivery=True) as server:
        wait_until(lambda: bool(server.delivery_pids()), "the delivery worker runs")
        (worker,) = map(psutil.Process, server.delivery_pids())
        worker.send_signal(number)
        wait_until(lambda: server.delivery_pids() not in ([], [worker.pid]), "another one runs")
        (said,) = events(server.log, "delivery_worker_ended")
        assert "another one is started" in str(said["detail"])
        member = world.acme.member
        give_credit(world.acme.row, member.id, 5000)
        client = Client(server.address, member.client.host, member.client.token)
        sale = client.post("/recharges", {"phone_number": "09121234567", "amount": 5000}, key="k")
        assert sale.status == 201

        def is_delivered() -> bool:
            with world.acme.context:
                return Recharge.objects.get().status == "succeeded"

        wait_until(is_delivered, "it is delivered")


# --- Which workers run ------------------------------------------------------------------------------------------------


def test_a_worker_is_seen_while_it_runs_and_not_after(world: World) -> None:
    none = run("workers")
    assert (none.returncode, none.stdout) == (1, "NO DELIVERY WORKER RUNS: recharges stay pending.\n")
    process = start("deliver")
    wait_until(WorkerHeartbeat.objects.exists, "it says that it runs")
    one = run("workers")
    assert one.returncode == 0
    assert f"process {process.pid}: heard of" in one.stdout
    assert one.stdout.endswith("1 delivery worker runs.\n")
    first = WorkerHeartbeat.objects.get()
    wait_until(lambda: WorkerHeartbeat.objects.get().seen_at > first.seen_at, "it says so again")
    process.terminate()
    said, _ = process.communicate(timeout=30)
    assert said.splitlines()[0] == "Delivering, with 64 calls at once. Ctrl-C stops."
    assert process.returncode == 0
    assert run("workers").returncode == 1
    assert not WorkerHeartbeat.objects.exists()


def test_a_worker_that_was_killed_is_seen_to_be_silent(world: World) -> None:
    process = start("deliver")
    wait_until(WorkerHeartbeat.objects.exists, "it says that it runs")
    process.kill()
    process.communicate()
    assert run("workers").returncode == 0, "nobody knows it yet"
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE public.tenants_workerheartbeat SET seen_at = seen_at - make_interval(secs => %s)", [ALIVE_SECONDS]
        )
    silent = run("workers", "--json")
    assert silent.returncode == 1
    report = json.loads(silent.stdout)
    assert (report["alive"], len(report["workers"])) == (0, 1)
    assert report["workers"][0]["process"] == process.pid
    with connection.cursor() as cursor:
        cursor.execute("UPDATE public.tenants_workerheartbeat SET seen_at = now() - interval '2 days'")
    assert run("deliver", "--once").returncode == 0
    assert not WorkerHeartbeat.objects.exists(), "the next one forgets it"


def test_a_worker_that_can_not_say_that_it_runs_delivers_all_the_same(world: World) -> None:
    member = world.acme.member
    give_credit(world.acme.row, member.id, 5000)
    assert member.sell(5000).status == 201
    with closing(psycopg2.connect(database_url())) as holder, holder.cursor() as cursor:
        cursor.execute("ALTER TABLE public.tenants_workerheartbeat RENAME TO elsewhere")
        holder.commit()
        try:
            done = run("deliver", "--once")
        finally:
            cursor.execute("ALTER TABLE public.elsewhere RENAME TO tenants_workerheartbeat")
            holder.commit()
    assert done.returncode == 0
    assert "worker_can_not_say_that_it_runs" in done.stderr
    with world.acme.context:
        assert Recharge.objects.get().status == "succeeded"
