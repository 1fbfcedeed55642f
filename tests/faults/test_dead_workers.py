"""What a worker has claimed: its own for as long as it lives, however long a call takes; another's soon after that."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django_tenants.utils import tenant_context

from credit.models import WebhookAttempt, WebhookMessage
from credit.webhooks.sending import WebhookWork
from credit.webhooks.services import create_webhook
from recharge.delivery.work import LEASE, DeliveryWork
from recharge.models import Attempt, Recharge
from tenants.heartbeats import beating_workers
from tenants.models import Organization
from tests.recharge.test_worker import working
from tests.support import forking
from tests.support.locks import sell_pending, sell_through_operator
from tests.support.mobile_operator import MisbehavingOperator, operating
from tests.support.receiver import receiving
from tests.support.schemas import run_sql
from tests.support.waiting import wait_until
from tests.support.world import World, give_credit

SHORT = timedelta(seconds=0.6)


class Slow:
    """A kind of work whose calls are answered when the test says so."""

    def __init__(self) -> None:
        super().__init__(SHORT)
        self.may_end, self.calls, self.renewals = threading.Event(), threading.Semaphore(0), 0

    def carry_out(self, organization: Organization, task: Any) -> Any:
        self.calls.release()
        assert self.may_end.wait(20)
        return super().carry_out(organization, task)  # type: ignore[misc]

    def renew(self, organization: Organization) -> None:
        super().renew(organization)  # type: ignore[misc]
        self.renewals += 1


class SlowDelivery(Slow, DeliveryWork):
    pass


class SlowWebhooks(Slow, WebhookWork):
    pass


@pytest.fixture
def pending(world: World) -> World:
    give_credit(world.acme.row, world.acme.member.id, 100_000)
    sell_pending(world.acme.row, world.acme.member.id)
    return world


def test_a_worker_that_lives_keeps_what_it_has_claimed(pending: World) -> None:
    slow, other = SlowDelivery(), DeliveryWork(SHORT)
    with working(slow, other):
        assert slow.calls.acquire(timeout=30)
        wait_until(lambda: slow.renewals >= 6, "its claim was extended for more than twice its length", seconds=10)
        slow.may_end.set()
        wait_until(lambda: status_of(pending) == "succeeded", "it is delivered")
    with pending.acme.context:
        assert list(Attempt.objects.values_list("number", "action")) == [(1, "submit")]


def test_so_does_one_that_sends_webhooks(world: World, settings: Any) -> None:
    settings.ALLOW_PRIVATE_ADDRESSES = True
    slow, other = SlowWebhooks(), WebhookWork(SHORT)
    with receiving() as receiver:
        give_credit(world.acme.row, world.acme.member.id, 100_000)
        with world.acme.context:
            create_webhook(organization=world.acme.row, seller_id=None, url=receiver.url, events=["recharge.succeeded"])
        assert world.acme.member.sell().status == 201
        with working(slow, other):
            assert slow.calls.acquire(timeout=30)
            wait_until(lambda: slow.renewals >= 6, "its claim was extended for more than twice its length", seconds=10)
            slow.may_end.set()
            wait_until(lambda: len(receiver.received) > 0, "it is sent")
        with world.acme.context:
            assert WebhookMessage.objects.get().status == "delivered"
            assert WebhookAttempt.objects.count() == 1
    assert len(receiver.received) == 1


def status_of(world: World) -> str:
    with tenant_context(world.acme.row):
        status: str = Recharge.objects.get().status
        return status


def test_the_database_ends_what_takes_a_worker_too_long() -> None:
    """A worker whose machine is gone in the middle of a transaction holds sellers' locks no longer than that."""
    shows = """
        CREATE FUNCTION public.shows_its_patience() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.host := concat_ws(
                ' ', current_setting('statement_timeout'), current_setting('lock_timeout'),
                current_setting('idle_in_transaction_session_timeout')
            );
            RETURN NEW;
        END $$;
        CREATE TRIGGER shows_its_patience BEFORE INSERT ON public.tenants_workerheartbeat
            FOR EACH ROW EXECUTE FUNCTION public.shows_its_patience();
    """
    run_sql(shows)
    try:
        with delivering():
            wait_until(lambda: [worker.host for worker in beating_workers()] == ["10s 3s 1min"], "it says so")
    finally:
        run_sql("DROP FUNCTION public.shows_its_patience CASCADE")


# --- One that dies ----------------------------------------------------------------------------------------------------


@pytest.fixture
def operator() -> Iterator[MisbehavingOperator]:
    with operating() as operator:
        operator.behave("succeed:hang")
        operator.behave(":answer", inquiries=True)
        yield operator


@contextmanager
def delivering() -> Iterator[forking.Process]:
    environment = os.environ | {"ALLOW_PRIVATE_ADDRESSES": "on"}
    process = forking.start(["deliver"], environment=environment, stdout=sys.__stderr__)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_what_a_killed_worker_had_claimed_is_delivered_within_its_lease(
    world: World, operator: MisbehavingOperator
) -> None:
    """With the lease that a worker has in production. The operator has the recharge, and does not answer the first."""
    row = world.acme.row
    sell_through_operator(row, operator.url)
    give_credit(row, world.acme.member.id, 100_000)
    with delivering() as first:
        assert world.acme.member.sell().status == 201
        wait_until(lambda: bool(operator.records()), "the operator has it")
        first.kill()
        first.wait()
        died = time.monotonic()
        with delivering():
            wait_until(lambda: status_of(world) == "succeeded", "another has asked", seconds=60)
    taken_over = time.monotonic() - died
    print(f"taken over {taken_over:.1f} s after it died")
    assert taken_over < LEASE.total_seconds() + 5
    with tenant_context(row):
        assert list(Attempt.objects.order_by("number").values_list("action", flat=True)) == ["submit", "inquire"]
    assert [record.effects for record in operator.records().values()] == [1]
