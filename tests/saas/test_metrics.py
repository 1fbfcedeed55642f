"""``GET /metrics``: what several processes have counted and a worker has read, over HTTP and by a real Prometheus."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import psycopg2
import psycopg2.extensions
import pytest
import urllib3
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from credit.models import WebhookMessage
from credit.webhooks.services import create_webhook
from recharge.delivery import figures
from recharge.delivery.figures import Figures
from recharge.delivery.work import DeliveryWork
from recharge.models import Recharge
from shared.metrics import DIRECTORY, FIGURES, keep_shared_directory
from shared.metrics_server import Listen
from tenants.heartbeats import Heartbeat
from tenants.models import Organization, WorkerHeartbeat
from tenants.worker import IDLE_SWEEP_SECONDS, Worker
from tests.saas.test_alerts import DASHBOARDS, expressions
from tests.support import waiting
from tests.support.commands import run, start
from tests.support.earlier import earlier
from tests.support.forking import Process
from tests.support.locks import sell_pending, sell_through_sandbox
from tests.support.prometheus import Scraped, ask, can_scrape, prometheus
from tests.support.raw import send
from tests.support.schemas import changed
from tests.support.server import Server, children_of, free_port, serving, working_environment
from tests.support.world import World, database_url, give_credit

wait_until = partial(waiting.wait_until, seconds=60)

NOTHING_YET = {
    "recharge_database_errors_total",
    "recharge_http_wait_seconds_count",
    "recharge_queue_worst_seconds",
    "recharge_replication_lag_seconds",
    "recharge_sale_refusals_total",
    "recharge_webhooks_total",
    "recharge_webhook_seconds_bucket",
    "node_filesystem_avail_bytes",
    "node_filesystem_size_bytes",
}
"""What a server that has sold and delivered does not tell, as nothing of it has happened, or is not there."""


@dataclass(frozen=True)
class Measured:
    """A server, and where it answers ``/metrics``."""

    server: Server
    address: str

    def scrape(self) -> Scraped:
        return Scraped(self.address)


@contextmanager
def measured(log: Path, *, workers: int = 2, delivery: bool = False) -> Iterator[Measured]:
    address = f"127.0.0.1:{free_port()}"
    environment = working_environment() | {"METRICS_LISTEN": address}
    with serving(log, workers=workers, environment=environment, delivery=delivery) as server:
        wait_until(lambda: can_scrape(address), "it answers /metrics")
        yield Measured(server, address)


@pytest.fixture(scope="module")
def running(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    """Two web processes and no worker."""
    with measured(tmp_path_factory.mktemp("metrics") / "log") as one:
        yield one


@pytest.fixture
def there(running: Measured) -> World:
    """Both organizations, at that server."""
    world = World.build(running.server.address)
    give_credit(world.acme.row, world.acme.member.id, 100_000)
    return world


# --- What is counted --------------------------------------------------------------------------------------------------

SALE = {"method": "POST", "route": "/api/v1/recharges"}


@pytest.mark.slow
def test_what_all_web_processes_have_counted_is_added_up(running: Measured, there: World) -> None:
    before = running.scrape()
    for _ in range(10):
        assert there.acme.member.sell(5000).status == 201
    key = uuid.uuid4().hex
    assert there.acme.member.sell(5000, key=key).status == 201
    assert there.acme.member.sell(5000, key=key).status == 200
    assert there.acme.member.sell(60_000).status == 402
    after = running.scrape()

    def grown(name: str, **labels: str) -> float:
        return after.sum(name, **labels) - before.sum(name, **labels)

    assert grown("recharge_sales_total", outcome="created") == 11
    assert grown("recharge_sales_total", outcome="replayed") == 1
    assert grown("recharge_sale_refusals_total", code="insufficient_credit") == 1
    assert grown("recharge_http_requests_total", **SALE, status="201") == 11
    assert grown("recharge_http_requests_total", **SALE, status="200") == 1
    assert grown("recharge_http_requests_total", **SALE, status="402") == 1
    assert grown("recharge_http_request_seconds_count", **SALE) == 13
    assert grown("recharge_http_request_seconds_bucket", **SALE, le="+Inf") == 13
    assert 0 < grown("recharge_http_request_seconds_sum", **SALE) < 60


@pytest.mark.slow
def test_a_bulk_call_counts_each_of_its_sales(running: Measured, there: World) -> None:
    before = running.scrape()
    items = [
        {"phone_number": "09121234567", "amount": amount, "idempotency_key": uuid.uuid4().hex, "allow_duplicate": True}
        for amount in (5000, 5000, 95_000)
    ]
    assert there.acme.member.client.post("/recharges/bulk", {"items": items}).status == 200
    after = running.scrape()
    assert after.sum("recharge_sales_total") - before.sum("recharge_sales_total") == 2
    refusals = partial(Scraped.sum, name="recharge_sale_refusals_total", code="insufficient_credit")
    assert refusals(after) - refusals(before) == 1


@pytest.mark.slow
def test_requests_are_counted_by_route_whichever_way_they_take(running: Measured, there: World) -> None:
    made = there.acme.member.sell(5000).json["id"]
    for path in ("/balance", f"/recharges/{made}", "/recharges"):
        assert there.acme.member.client.get(path).status == 200
        # Which the fast path leaves to Django.
        assert there.acme.member.client.get(f"{path}?limit=1").status in (200, 422)
    assert there.acme.anyone.get(f"/nothing/{made}").status == 404
    assert send(running.server.address, "INVENTED / HTTP/1.1", "Host: acme.recharge.test").status == 403
    told = running.scrape()
    routes = told.labels("recharge_http_requests_total", "route")
    of_one = "/api/v1/recharges/<any_uuid:recharge_id>"
    assert {"/api/v1/balance", of_one, "/api/v1/recharges", "/readyz", ""} <= routes
    assert told.sum("recharge_http_requests_total", route="", status="404") >= 1
    assert told.sum("recharge_http_requests_total", route=of_one, status="200") >= 1
    assert "INVENTED" not in told.text, "a label that clients make up"
    assert str(made) not in told.text


@pytest.mark.slow
def test_nothing_secret_is_told(running: Measured, there: World) -> None:
    assert there.acme.member.sell(5000, phone_number="09129876543").status == 201
    told = running.scrape().text
    for secret in ("9876543", there.acme.member.username, "acme", "globex", str(there.acme.member.client.token)):
        assert secret not in told, secret


@pytest.mark.slow
def test_it_is_answered_on_its_own_address_alone(running: Measured, there: World) -> None:
    for host in ("recharge.test", "acme.recharge.test", running.address):
        assert send(running.server.address, "GET /metrics HTTP/1.1", f"Host: {host}").status == 404
    for path in ("/", "/metricsx", "/livez", "/api/v1/balance"):
        assert urllib3.request("GET", f"http://{running.address}{path}", retries=False).status == 404
    head = urllib3.request("HEAD", f"http://{running.address}/metrics", retries=False)
    assert (head.status, head.data) == (200, b"")
    assert head.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert urllib3.request("POST", f"http://{running.address}/metrics", retries=False).status == 501


@pytest.mark.slow
def test_who_asks_and_says_nothing_keeps_nobody_from_being_answered(running: Measured) -> None:
    host, _, port = running.address.rpartition(":")
    with socket.create_connection((host, int(port))):
        assert running.scrape().names()


# --- Processes --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_gauges_of_a_dead_process_go_away_and_what_it_counted_stays(tmp_path: Path) -> None:
    with measured(tmp_path / "log") as one:
        there = World.build(one.server.address)
        give_credit(there.acme.row, there.acme.member.id, 100_000)

        def pids() -> set[str]:
            return one.scrape().labels("recharge_threads", "pid")

        wait_until(lambda: pids() == {str(pid) for pid in one.server.worker_pids()}, "both have looked at themselves")
        for _ in range(10):
            assert there.acme.member.sell(5000).status == 201
        told = one.scrape()
        assert told.of("recharge_threads", process="web") == [4, 4]
        assert all(memory > 20_000_000 for memory in told.of("recharge_memory_bytes", process="web"))
        assert told.sum("recharge_cpu_seconds_total", process="web") > 0
        for _ in range(2):
            killed = one.server.worker_pids()[0]
            os.kill(killed, signal.SIGKILL)
            wait_until(lambda killed=killed: killed not in one.server.worker_pids(), "it is gone")
            wait_until(lambda killed=killed: str(killed) not in pids(), "so are its gauges")
            wait_until(lambda: len(pids()) == 2, "another one has looked at itself")
        after = one.scrape()
        assert after.sum("recharge_sales_total", outcome="created") == 10
        assert after.sum("recharge_http_request_seconds_count", **SALE) == 10
        assert after.sum("recharge_http_request_seconds_bucket", **SALE, le="+Inf") == 10
        assert after.sum("recharge_http_request_seconds_sum", **SALE) == pytest.approx(
            told.sum("recharge_http_request_seconds_sum", **SALE)
        )
        directory = directory_of(one.server.process)
        of_counters = {int(file.stem.rpartition("_")[2]) for file in directory.glob("counter_*.db")}
        assert of_counters <= {0, *one.server.worker_pids()}, "files of ended processes pile up"
    assert not directory.exists()


@pytest.mark.slow
def test_where_somebody_has_taken_the_files_away_new_processes_make_others(tmp_path: Path) -> None:
    """As who tidies up temporary files may, and systemd-logind."""
    with measured(tmp_path / "log", delivery=True) as one:
        there = World.build(one.server.address)
        give_credit(there.acme.row, there.acme.member.id, 100_000)
        wait_until(lambda: bool(one.server.delivery_pids()), "the delivery worker runs")
        shutil.rmtree(directory_of(one.server.process))
        killed = {*one.server.worker_pids(), *one.server.delivery_pids()}
        for pid in killed:
            os.kill(pid, signal.SIGKILL)

        def has_others() -> bool:
            running = [one.server.worker_pids(), one.server.delivery_pids()]
            return [len(pids) for pids in running] == [2, 1] and not killed & {*running[0], *running[1]}

        wait_until(has_others, "others run")
        one.server.wait_until_ready()
        assert there.acme.member.sell(5000).status == 201
        with there.acme.context:
            wait_until(lambda: Recharge.objects.get().status != "pending", "it is delivered")
        assert one.scrape().sum("recharge_sales_total", outcome="created") == 1


def test_nobody_counts_in_a_directory_of_another_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(DIRECTORY, str(tmp_path))
    keep_shared_directory()
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(PermissionError):
        keep_shared_directory()


def test_a_worker_whose_server_has_gone_makes_no_directory(tmp_path: Path) -> None:
    """It was starting when the server was killed, and who would have taken the directory away has gone, too."""
    directory = tmp_path / "counted"
    environment = {DIRECTORY: str(directory), "METRICS_LISTEN": f"127.0.0.1:{free_port()}"}
    worker = run("deliver", "--beside", "1", environment=environment)
    assert worker.returncode == 0, worker.stderr
    assert not directory.exists()


def directory_of(server: Process | subprocess.Popen[bytes]) -> Path:
    """Where a server's processes count."""
    (command,) = (line for _, line in children_of(server.pid) if b"saas.metrics_process" in line)
    return Path(command.split(b"\0")[-2].decode())


@pytest.mark.slow
def test_a_file_that_a_process_has_just_made_and_not_begun_is_passed_over(running: Measured) -> None:
    directory = directory_of(running.server.process)
    empty = [directory / f"{kind}_{os.getpid()}.db" for kind in ("counter", "histogram", "gauge_liveall")]
    for file in empty:
        file.touch()
    try:
        assert running.scrape().sum("recharge_http_requests_total", route="/readyz") >= 1
    finally:
        for file in empty:
            file.unlink()


@pytest.mark.slow
def test_what_answers_is_started_again_and_goes_with_a_server_that_was_killed(tmp_path: Path) -> None:
    address, port = f"127.0.0.1:{free_port()}", free_port()
    server = start("serve", "--port", str(port), "--workers", "1", environment={"METRICS_LISTEN": address})
    try:

        def answering() -> list[int]:
            return [pid for pid, command in children_of(server.pid) if b"saas.metrics_process" in command]

        wait_until(lambda: can_scrape(address), "it answers")
        # A web process that is just starting would make the directory again. Until it has, this waits to be accepted.
        assert urllib3.request("GET", f"http://127.0.0.1:{port}/livez", timeout=60).status == 200
        counted_in = directory_of(server)
        (first,) = answering()
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: answering() not in ([], [first]) and can_scrape(address), "another one answers")
        assert directory_of(server) == counted_in
        (second,) = answering()
    finally:
        server.kill()
        server.communicate()
    wait_until(lambda: not Path(f"/proc/{second}").exists(), "it is gone with the server")
    assert not counted_in.exists()


@pytest.mark.slow
def test_an_address_that_is_in_use_keeps_nobody_from_being_served(world: World, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        environment = working_environment() | {"METRICS_LISTEN": address}
        with serving(tmp_path / "log", workers=1, environment=environment) as server:
            wait_until(lambda: "metrics_address_in_use" in server.log.read_text(), "it says so")
            assert address in server.log.read_text()
            taken.close()
            wait_until(lambda: can_scrape(address), "it answers when the address is free")
            assert server.log.read_text().count("metrics_address_in_use") == 1


@pytest.mark.parametrize("wrong", ["9464", ":9464", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "::1:9464", "a:b"])
def test_an_address_that_is_none_is_refused(wrong: str) -> None:
    done = run("check", environment={"METRICS_LISTEN": wrong})
    assert done.returncode != 0
    assert f"METRICS_LISTEN is {wrong!r}; it must be an address and a port" in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:9464", "127.0.0.1", 9464),
        ("[::1]:1", "::1", 1),
        ("metrics.internal:65535", "metrics.internal", 65535),
    ],
)
def test_an_address_is_read_and_written(text: str, host: str, port: int) -> None:
    assert Listen.parse(text) == (host, port)
    assert str(Listen.parse(text)) == text


# --- Figures of the database ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_worker_tells_what_waits_and_what_gateways_answer(world: World, tmp_path: Path) -> None:
    give_credit(world.acme.row, world.acme.member.id, 100_000)
    with measured(tmp_path / "log", workers=1, delivery=True) as one:
        wait_until(lambda: one.scrape().of("recharge_queue_length", queue="pending") == [0], "a worker has looked")
        sell_pending(world.acme.row, world.acme.member.id)
        wait_until(
            lambda: one.scrape().sum("recharge_deliveries_total", gateway="simulator", outcome="succeeded") == 1,
            "it has delivered",
        )
        told = one.scrape()
        assert told.sum("recharge_deliveries_total", operator="telekish", action="submit") == 1
        assert told.of("recharge_gateway_seconds_count", gateway="simulator", operator="telekish") == [1]
        assert told.of("recharge_organizations", status="active") == [2]
        assert told.of("recharge_workers") == [1]
        assert told.sum("recharge_reconciled_organizations") == 2
        assert told.sum("recharge_database_connections") >= 2
        assert told.of("recharge_threads", process="worker")[0] > 64
        (worker,) = one.server.delivery_pids()
        keeper = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(keeper, signal.SIGSTOP)  # or it would start another one at once
        try:
            os.kill(worker, signal.SIGKILL)
            wait_until(lambda: str(worker) not in one.scrape().labels("recharge_threads", "pid"), "its gauges are gone")
        finally:
            os.kill(keeper, signal.SIGCONT)


@pytest.mark.slow
def test_a_worker_that_runs_alone_answers_itself(world: World) -> None:
    address = f"127.0.0.1:{free_port()}"
    worker = start("deliver", environment={"METRICS_LISTEN": address})
    try:
        wait_until(lambda: can_scrape(address), "it answers")
        wait_until(lambda: Scraped(address).of("recharge_figures_organizations") == [2], "it has looked")
        assert Scraped(address).of("recharge_threads_busy", process="worker") == [0]
    finally:
        worker.terminate()
        worker.communicate()
    assert worker.wait() == 0


@dataclass
class Told:
    """The figures of one worker, which a test moves through time."""

    figures: Figures
    heartbeat: Heartbeat

    def look(self, world: World) -> dict[tuple[str, ...], float]:
        """Looks at everything anew, and gives the values by name and labels."""
        self.figures._look_at = float("-inf")
        rows = [world.acme.row, world.globex.row]
        self.figures.look(self.heartbeat, rows)
        for organization in (world.acme, world.globex):
            self.figures._seen.pop(organization.row.pk, None)
            with organization.context:
                self.figures.claim(organization.row, 64)
        families = self.figures.collect()
        return {
            (sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples
        }


@pytest.fixture
def told() -> Iterator[Told]:
    heartbeat = Heartbeat()
    heartbeat.tells_figures = True
    heartbeat.begin()
    yield Told(Figures(None), heartbeat)
    heartbeat.end()


def aged(world: World, status: str, *, seconds: int) -> None:
    """A recharge of acme that has waited for so long."""
    sold = sell_pending(world.acme.row, world.acme.member.id)
    with world.acme.context, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE recharge_recharge DISABLE TRIGGER USER")
        changed = {"status": status, "created_at": earlier("created_at", timedelta(seconds=seconds))}
        Recharge.objects.filter(pk=sold).update(**changed)
        cursor.execute("ALTER TABLE recharge_recharge ENABLE TRIGGER USER")


@pytest.mark.breaks_the_books
def test_what_waits_is_counted_and_the_worst_organizations_are_named(world: World, told: Told) -> None:
    give_credit(world.acme.row, world.acme.member.id, 100_000)
    give_credit(world.globex.row, world.globex.member.id, 100_000)
    quiet = told.look(world)
    for queue in ("pending", "unknown", "webhooks"):
        assert quiet["recharge_queue_length", queue] == 0
        assert quiet["recharge_queue_oldest_seconds", queue] == 0
    assert not any(name == "recharge_queue_worst_seconds" for name, *_ in quiet)

    aged(world, "pending", seconds=90)
    aged(world, "pending", seconds=30)
    aged(world, "unknown", seconds=7200)
    sell_pending(world.globex.row, world.globex.member.id)
    now = told.look(world)
    assert now["recharge_queue_length", "pending"] == 3
    assert 90 <= now["recharge_queue_oldest_seconds", "pending"] < 150
    assert now["recharge_queue_length", "unknown"] == 1
    assert 7200 <= now["recharge_queue_oldest_seconds", "unknown"] < 7260
    named = {tuple(labels) for name, *labels in now if name == "recharge_queue_worst_seconds"}
    assert named == {("pending", "acme"), ("unknown", "acme")}, "globex's has just come"


def test_webhooks_that_wait_to_be_tried_again_are_not_late(world: World, told: Told) -> None:
    give_credit(world.acme.row, world.acme.member.id, 100_000)
    with world.acme.context:
        create_webhook(
            organization=world.acme.row, seller_id=None, url="https://receiver.example", events=["recharge.succeeded"]
        )
        for _ in range(2):
            assert world.acme.member.sell(5000).status == 201
        WebhookMessage.objects.update(due_at=timezone.now() + timedelta(hours=1))
        now = told.look(world)
        assert (now["recharge_queue_length", "webhooks"], now["recharge_queue_oldest_seconds", "webhooks"]) == (2, 0)
        WebhookMessage.objects.update(due_at=timezone.now() - timedelta(minutes=5))
        assert 300 <= told.look(world)["recharge_queue_oldest_seconds", "webhooks"] < 360


def test_one_worker_reads_the_figures_and_another_takes_over(world: World, told: Told) -> None:
    second = Told(Figures(None), Heartbeat())
    second.heartbeat.tells_figures = True
    second.heartbeat.begin()
    try:
        assert told.look(world)["recharge_workers",] == 2
        assert second.look(world) == {}, "two would read it all, and their figures would be added up"
        WorkerHeartbeat.objects.filter(pk=told.heartbeat._id).update(seen_at="2020-01-01T00:00:00Z")
        assert second.look(world)["recharge_workers",] == 1
        assert told.look(world) == {}, "one that hung must not tell what it saw then"
    finally:
        second.heartbeat.end()


def test_while_no_heartbeat_can_be_written_the_last_that_was_heard_of_reads_the_figures(
    world: World, told: Told
) -> None:
    """So it is while commits wait for a standby that is gone: just then somebody must tell."""
    second = Told(Figures(None), Heartbeat())
    second.heartbeat.tells_figures = True
    second.heartbeat.begin()
    try:
        for one, moment in ((told, "2020-01-01T00:00:01Z"), (second, "2020-01-01T00:00:00Z")):
            WorkerHeartbeat.objects.filter(pk=one.heartbeat._id).update(seen_at=moment)
        assert second.look(world) == {}
        assert told.look(world)["recharge_workers",] == 0
    finally:
        second.heartbeat.end()


def test_a_worker_that_nobody_asks_leaves_the_figures_to_another(world: World, told: Told) -> None:
    """It runs without METRICS_LISTEN, or did not get the address: what it read nobody would be told."""
    silent = Told(Figures(None), Heartbeat())
    silent.heartbeat.begin()
    try:
        WorkerHeartbeat.objects.filter(pk=silent.heartbeat._id).update(started_at="2020-01-01T00:00:00Z")
        assert told.look(world)["recharge_workers",] == 2
        assert silent.look(world) == {}
    finally:
        silent.heartbeat.end()


@pytest.mark.slow
def test_beside_a_server_another_worker_with_its_settings_takes_no_figures(running: Measured) -> None:
    worker = start("deliver", environment={"METRICS_LISTEN": running.address})
    try:
        wait_until(lambda: WorkerHeartbeat.objects.exists(), "it works")
        assert not WorkerHeartbeat.objects.filter(tells_figures=True).exists()
    finally:
        worker.terminate()
        _, said = worker.communicate()
    assert worker.wait() == 0
    assert "metrics_address_in_use" in said


def test_figures_that_can_not_be_read_keep_nothing_from_being_delivered(world: World, told: Told) -> None:
    give_credit(world.acme.row, world.acme.member.id, 100_000)
    sell_pending(world.acme.row, world.acme.member.id)
    worker = Worker([DeliveryWork(), told.figures], watcher=told.figures)

    def run() -> None:
        try:
            worker.run()
        finally:
            connection.close()

    working = threading.Thread(target=run)
    undo = "ALTER FUNCTION queue_figures_away RENAME TO queue_figures"
    with changed(world.acme.row.schema_name, "ALTER FUNCTION queue_figures RENAME TO queue_figures_away", undo):
        working.start()
        try:
            with world.acme.context:
                wait_until(lambda: Recharge.objects.get().status == "succeeded", "it is delivered")
        finally:
            worker.stop()
            working.join()


def test_figures_that_can_not_be_written_are_written_once_they_can(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(figures, "LOOK_SECONDS", 0.0)
    written = Figures(tmp_path / "disk")
    worker = Worker([written], watcher=written)

    def run() -> None:
        try:
            worker.run()
        finally:
            connection.close()

    working = threading.Thread(target=run)
    working.start()
    try:
        wait_until(lambda: ("worker_can_not_read_figures", None) in worker._trouble, "it is said")
        (tmp_path / "disk").mkdir()
        wait_until((tmp_path / "disk" / FIGURES).exists, "they are written")
    finally:
        worker.stop()
        working.join()


def test_what_an_organization_had_is_forgotten_when_it_is_not_worked_for(world: World, told: Told) -> None:
    assert told.look(world)["recharge_figures_organizations",] == 2
    told.figures._look_at = float("-inf")
    told.figures.look(told.heartbeat, [world.globex.row])
    assert set(told.figures._seen) == {world.globex.row.pk}


def test_that_nothing_waits_in_a_quiet_organization_is_known_until_it_is_looked_at_again(
    world: World, told: Told
) -> None:
    told.look(world)
    give_credit(world.globex.row, world.globex.member.id, 100_000)
    sell_pending(world.globex.row, world.globex.member.id)
    told.look(world)
    for seconds, known in ((IDLE_SWEEP_SECONDS, {"acme"}), (figures.FORGOTTEN_SECONDS, set())):
        told.figures._seen = {pk: one._replace(at=one.at - seconds) for pk, one in told.figures._seen.items()}
        told.figures._look_at = float("-inf")
        told.figures.look(told.heartbeat, [world.acme.row, world.globex.row])
        assert {one.slug for one in told.figures._seen.values()} == known


def test_who_takes_the_figures_over_asks_for_a_look_at_each_organization(
    world: World, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asks() -> bool:
        told.figures._look_at = float("-inf")
        return told.figures.look(told.heartbeat, [world.acme.row])

    monkeypatch.setattr(told.heartbeat, "leads", lambda: is_first)
    is_first = False
    assert not asks()
    is_first = True
    with monkeypatch.context() as away:
        away.setattr(figures, "platform_figures", Mock(side_effect=OperationalError))
        with pytest.raises(OperationalError):
            asks()
    assert [asks(), asks()] == [True, False]
    is_first = False
    assert not asks()
    is_first = True
    assert asks()


def test_a_look_that_came_too_soon_is_made_up_for(world: World, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    told.look(world)
    row = world.acme.row
    with world.acme.context:
        assert told.figures.seconds_until_due(row) is None
        told.figures.claim(row, 64)
        due = told.figures.seconds_until_due(row)
        assert due is not None
        assert 0 < due <= figures.LOOK_SECONDS
        monkeypatch.setattr(figures, "LOOK_SECONDS", 0.0)
        told.figures.claim(row, 64)
        assert told.figures.seconds_until_due(row) is None


def test_connections_of_whoever_are_counted(told: Told, world: World) -> None:
    """By the working role, which sees neither the state of others' sessions nor what kind they are."""
    with ExitStack() as others:
        parameters = psycopg2.extensions.parse_dsn(database_url()) | {"dbname": "postgres"}
        for _ in range(20):
            others.enter_context(closing(psycopg2.connect(**parameters)))
        assert connections_counted().get("unseen", 0) >= 20


def connections_counted() -> dict[str, int]:
    code = (
        "import json; from tenants.figures import platform_figures; print(json.dumps(platform_figures().connections))"
    )
    done = run("shell", "-c", code, environment=working_environment())
    assert done.returncode == 0, done.stderr
    counted: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return counted


def test_reconciliations_are_told_by_their_verdict_and_the_oldest(world: World, told: Told) -> None:
    rows, moment = Organization.objects.all(), timezone.now()
    rows.filter(slug="acme").update(reconciled_at=moment - timedelta(days=2), reconciliation_faults=3)
    rows.filter(slug="globex").update(reconciled_at=moment, reconciliation_faults=0)
    try:
        now = told.look(world)
    finally:
        rows.update(reconciled_at=None, reconciliation_faults=None)
    assert [now["recharge_reconciled_organizations", verdict] for verdict in ("clean", "faulty", "never")] == [1, 1, 0]
    assert 172_800 <= now["recharge_reconcile_age_seconds",] < 172_900


# --- Prometheus -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_prometheus_reads_it_and_knows_the_alerts(tmp_path: Path) -> None:
    with measured(tmp_path / "log", delivery=True) as one, prometheus(tmp_path, one.address) as address:
        there = World.build(one.server.address)
        give_credit(there.acme.row, there.acme.member.id, 100_000)
        sell_through_sandbox(there.acme.row, "mci")
        for _ in range(3):
            assert there.acme.member.sell(5000).status == 201

        def told(query: str) -> list[str]:
            return [series["value"][1] for series in ask(address, query)]

        wait_until(lambda: told('up{job="recharge"}') == ["1"], "it is scraped")
        wait_until(lambda: told('sum(recharge_sales_total{outcome="created"})') == ["3"], "it is counted")
        wait_until(lambda: told('recharge_organizations{status="active"}') == ["2"], "figures are told")

        def health() -> set[str]:
            rules = urllib3.request("GET", f"http://{address}/api/v1/rules", retries=False).json()
            return {rule["health"] for group in rules["data"]["groups"] for rule in group["rules"]}

        wait_until(lambda: health() == {"ok"}, "each alert was looked at", seconds=90)

        asked = [expression for dashboard in DASHBOARDS for _, expression in expressions(dashboard)]
        assert len(asked) > 30

        def shows_nothing() -> set[str]:
            queries = {expression: expression.replace("$__rate_interval", "1m") for expression in asked}
            return {
                metric
                for expression, query in queries.items()
                if not told(query)
                for metric in re.findall(r"\b(?:recharge|node)_\w+", expression)
            }

        wait_until(lambda: shows_nothing() == NOTHING_YET, "panels show what there is")
