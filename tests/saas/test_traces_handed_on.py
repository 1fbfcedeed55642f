"""One trace of a recharge, whoever goes on with it: its gateway, the worker that takes over, the next processes."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from django_tenants.utils import tenant_context

from credit.webhooks.services import create_webhook
from recharge.models import Recharge
from tests.support import forking, waiting
from tests.support.collector import Collector, Span, collecting
from tests.support.locks import sell_through_operator
from tests.support.mobile_operator import MisbehavingOperator, operating
from tests.support.receiver import receiving
from tests.support.server import Server
from tests.support.traced import SALE, sale_in, trace_of, traced
from tests.support.world import Organization, World, give_credit

pytestmark = pytest.mark.slow

wait_until = partial(waiting.wait_until, seconds=90)


@pytest.fixture
def operator(django_db_setup: None) -> Iterator[MisbehavingOperator]:
    with operating() as operator:
        yield operator


def acme_at(server: Server, operator: MisbehavingOperator) -> Organization:
    """It has credit, and sells through that operator."""
    acme = World.build(server.address).acme
    sell_through_operator(acme.row, operator.url, read_timeout_ms=1000)
    give_credit(acme.row, acme.member.id, 100_000)
    return acme


def status_of(acme: Organization, recharge_id: str) -> str:
    with tenant_context(acme.row):
        return str(Recharge.objects.get(pk=recharge_id).status)


def heard(operator: MisbehavingOperator, recharge_id: str) -> list[str]:
    """The headers that came with what the operator was asked about a recharge; nothing before it knows of it."""
    record = operator.records().get(recharge_id)
    return record.traceparents if record else []


def spans_of(collector: Collector, recharge_id: str) -> list[Span]:
    return [span for span in collector.spans if span.trace == trace_of(recharge_id)]


@contextmanager
def delivering(collector: Collector) -> Iterator[forking.Process]:
    environment = os.environ | {"ALLOW_PRIVATE_ADDRESSES": "on", **collector.environment}
    process = forking.start(["deliver", "--lease", "2"], environment=environment, stdout=sys.__stderr__)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def test_the_gateway_and_the_worker_that_takes_over_are_in_the_recharges_trace(
    operator: MisbehavingOperator, tmp_path: Path, settings: object
) -> None:
    settings.ALLOW_PRIVATE_ADDRESSES = True  # type: ignore[attr-defined]
    operator.behave("succeed:hang")
    with (
        collecting() as collector,
        receiving() as receiver,
        traced(tmp_path / "log", collector, delivery=False) as one,
    ):
        acme = acme_at(one.server, operator)
        with acme.context:
            create_webhook(organization=acme.row, seller_id=None, url=receiver.url, events=["recharge.succeeded"])
        recharge_id = acme.member.sell(5000).json["id"]
        trace, sale = sale_in(recharge_id)
        with delivering(collector) as first:
            wait_until(lambda: heard(operator, recharge_id), "the first has asked")
            first.kill()
            first.wait()
        with delivering(collector):
            wait_until(lambda: status_of(acme, recharge_id) == "succeeded", "the second has asked")
            spans = collector.wait_for(trace, SALE, "inquire_recharge", "gateway", "send_webhook")

    # What the first was about to tell of it is gone with it; what it said to the operator is not.
    assert "submit_recharge" not in spans
    submitted, inquired = heard(operator, recharge_id)
    assert submitted.startswith(f"00-{trace}-")
    assert inquired == f"00-{trace}-{spans['gateway'].id}-01" != submitted
    assert spans["gateway"].parent == spans["inquire_recharge"].id
    assert spans["inquire_recharge"].parent == spans["send_webhook"].parent == spans["sell_recharge"].id == sale


def test_a_reload_leaves_a_recharge_in_its_trace_and_the_next_processes_trace_as_well(
    operator: MisbehavingOperator, tmp_path: Path
) -> None:
    operator.behave("accept")
    operator.behave(":hang", inquiries=True)
    with collecting() as collector, traced(tmp_path / "log", collector) as one:
        acme = acme_at(one.server, operator)
        before = acme.member.sell(5000).json["id"]
        trace, sale = sale_in(before)
        collector.wait_for(trace, SALE, "submit_recharge")
        gone = {*one.server.generations(), *one.server.delivery_pids()}
        one.server.process.send_signal(signal.SIGHUP)
        wait_until(
            lambda: one.server.delivery_pids() and not gone & {*one.server.generations(), *one.server.delivery_pids()},
            "others are in their place",
        )
        operator.behave(":answer", inquiries=True)
        wait_until(lambda: status_of(acme, before) == "succeeded", "the next worker has asked")
        after = acme.member.sell(6000).json["id"]
        collector.wait_for(trace_of(after), SALE, "sell_recharge", "recharge_sell", "submit_recharge")
        wait_until(lambda: status_of(acme, after) == "succeeded", "it is delivered")

    # All has come, since all processes have ended.
    answered = [span for span in spans_of(collector, before) if span.name == "inquire_recharge" and not span.is_failure]
    assert answered[-1].attributes["recharge.outcome"] == "succeeded"
    assert {span.parent for span in answered} == {sale}
    (asked,) = [span for span in spans_of(collector, before) if span.parent == answered[-1].id]
    assert heard(operator, before)[-1] == f"00-{trace}-{asked.id}-01"
    assert {one.split("-")[1] for one in heard(operator, before)} == {trace}
    assert {one.split("-")[1] for one in heard(operator, after)} == {trace_of(after)}
