"""Traces that are off, sampled, or have no collector that takes them. (Apart from test_traces.py, whose server has a
worker that would deliver what is sold here.)"""

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from recharge.models import Recharge
from shared.tracing.sending import FORCED_A_SECOND, FORCED_AT_ONCE
from tests.support import waiting
from tests.support.collector import Collector, collecting
from tests.support.commands import run
from tests.support.logs import ServerLog
from tests.support.server import ROOT, free_port
from tests.support.traced import SALE, prepare, trace_of, traced, world_at
from tests.support.world import World

pytestmark = pytest.mark.slow

wait_until = partial(waiting.wait_until, seconds=60)

# --- Collectors that are not there ------------------------------------------------------------------------------------


@contextmanager
def hanging() -> Iterator[int]:
    """A port at which connections are taken, and nothing is answered."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield silent.getsockname()[1]


@contextmanager
def refusing() -> Iterator[int]:
    """A port at which nobody listens."""
    yield free_port()


@pytest.mark.parametrize("dead", [hanging, refusing])
def test_a_collector_that_is_dead_keeps_nobody_waiting(dead, tmp_path: Path, django_db_setup: None) -> None:  # type: ignore[no-untyped-def]
    few = {"OTEL_BSP_MAX_QUEUE_SIZE": "8", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4", "OTEL_EXPORTER_OTLP_TIMEOUT": "600"}
    with dead() as port, traced(tmp_path / "log", Collector(port), **few) as one:
        there = world_at(one.server)
        for _ in range(15):  # which is more than what may wait for the collector
            assert there.acme.member.sell(5000).status == 201
        with there.acme.context:
            wait_until(lambda: Recharge.objects.filter(status="succeeded").count() == 15, "they are delivered")
        began = time.monotonic()
        log = one.server.log
        one.server.process.terminate()
        assert one.server.process.wait(60) == 0
        # The packages themselves would wait for half a minute, in the web process and then in the worker.
        assert time.monotonic() - began < 25
    said = [line for line in log.read_text().splitlines() if '"opentelemetry' in line]
    assert len(said) <= 2 * 4, "each process says each thing once"
    assert any("Queue full" in line for line in said)


def test_a_sampled_share_is_whole_traces(tmp_path: Path, django_db_setup: None) -> None:
    half = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}
    with collecting() as collector:
        with traced(tmp_path / "log", collector, **half) as one:
            there = world_at(one.server)
            traces = [trace_of(there.acme.member.sell(5000).json["id"]) for _ in range(16)]
            with there.acme.context:
                wait_until(lambda: Recharge.objects.filter(status="succeeded").count() == 16, "they are delivered")
        # All was sent when the processes ended.
        names = {SALE, "sell_recharge", "recharge_sell", "submit_recharge", "gateway"}
        for trace in traces:
            is_sampled = int(trace[16:], 16) < 2**63
            assert collector.of(trace).keys() - {"pg_notify"} == (names if is_sampled else set()), trace


@pytest.mark.parametrize(("sampler", "half"), [("parentbased_traceidratio", "f" * 16), ("traceidratio", "0" * 16)])
def test_a_client_has_no_more_sampled_than_it_may(
    sampler: str, half: str, tmp_path: Path, django_db_setup: None
) -> None:
    """By the flag, or by an id that is in any share."""
    few = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": "0.001"}
    given = [uuid.uuid4().hex[:16] + half for _ in range(6 * FORCED_AT_ONCE)]
    with collecting() as collector:
        with traced(tmp_path / "log", collector, delivery=False, **few) as one:
            there = world_at(one.server)
            log, client, began = ServerLog(one.server.log), there.acme.member.client, time.monotonic()
            ids = []
            for one_given in given:
                answer = client.get("/balance", headers={"traceparent": f"00-{one_given}-00f067aa0ba902b7-01"})
                ids.append(answer.headers["X-Request-ID"])
            took = time.monotonic() - began
            shown = [log.wait_for("request", one_id)["trace_id"] for one_id in ids]
        sent = [one_given for one_given in given if collector.of(one_given)]
    assert sent[:FORCED_AT_ONCE] == given[:FORCED_AT_ONCE]
    assert len(sent) <= FORCED_AT_ONCE + FORCED_A_SECOND * took + 1 < len(given)
    # The others have traces of their own.
    assert [one_given for one_given, trace_id in zip(given, shown, strict=True) if one_given == trace_id] == sent


def test_a_client_that_wants_no_trace_has_none_and_the_recharge_has_its_own(
    tmp_path: Path, django_db_setup: None
) -> None:
    given = uuid.uuid4().hex
    with collecting() as collector:
        with traced(tmp_path / "log", collector, delivery=False) as one:
            client, key = world_at(one.server).acme.member.client, uuid.uuid4().hex
            headers = {"traceparent": f"00-{given}-00f067aa0ba902b7-00"}
            sold = client.post("/recharges", {"phone_number": "09121234567", "amount": 5000}, key=key, headers=headers)
            assert sold.status == 201
        assert collector.of(given) == {}
        assert collector.of(trace_of(sold.json["id"])).keys() == {"sell_recharge"}


# --- Off --------------------------------------------------------------------------------------------------------------

SELLS = """
import sys, uuid
import saas.wsgi
import recharge.management.commands.deliver, saas.management.commands.serve
from recharge.selling.sale import Item
from recharge.selling.services import sell_recharge
from tenants.models import Organization
sold = sell_recharge(
    organization=Organization.objects.get(slug="acme"),
    seller_id=int(sys.argv[1]),
    item=Item(phone_number="+989121234567", operator="mci", amount=5000, idempotency_key=uuid.uuid4().hex),
)
assert not sold.is_replay
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"opentelemetry", "google"}))
"""


@pytest.mark.parametrize("is_on", [False, True])
def test_without_a_collector_nothing_of_it_is_imported(world: World, is_on: bool) -> None:
    prepare(world)
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "saas.settings"}
    if is_on:
        environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    done = subprocess.run(
        [sys.executable, "-c", SELLS, str(world.acme.member.id)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == (["google", "opentelemetry"] if is_on else [])


@pytest.mark.parametrize("wrong", ["127.0.0.1:4318", "ftp://collector", "http://", "http:// collector"])
def test_a_collector_that_will_not_do_is_refused(wrong: str) -> None:
    done = run("check", environment={"OTEL_EXPORTER_OTLP_ENDPOINT": wrong})
    assert done.returncode == 1
    assert "OTEL_EXPORTER_OTLP_ENDPOINT must be like http://127.0.0.1:4318" in done.stderr + done.stdout


def test_variables_that_will_not_do_leave_traces_off_and_nobody_without_service(world: World) -> None:
    prepare(world)
    with collecting() as collector:
        wrong = collector.environment | {"OTEL_BSP_MAX_QUEUE_SIZE": "0"}
        assert world.acme.member.sell(5000).status == 201
        done = run("deliver", "--once", environment=wrong)
        assert (done.returncode, collector.spans) == (0, [])
    assert "traces_are_off" in done.stderr
    with world.acme.context:
        assert Recharge.objects.get().status == "succeeded"


@pytest.mark.parametrize("is_off", [False, True])
def test_it_is_switched_off_by_the_standard_variable(world: World, is_off: bool) -> None:
    prepare(world)
    assert world.acme.member.sell(5000).status == 201
    with collecting() as collector:
        disabled = {"OTEL_SDK_DISABLED": "true"} if is_off else {}
        done = run("deliver", "--once", environment=collector.environment | disabled)
        assert done.returncode == 0
        assert bool(collector.spans) != is_off, done
