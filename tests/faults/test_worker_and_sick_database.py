"""A delivery worker whose database is read only for a while, as after a fail-over: the old primary goes on answering on
the connections that it has, so a worker that keeps its connection never delivers again."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import DatabaseError
from django_tenants.utils import tenant_context

from recharge.delivery.work import DeliveryWork
from recharge.models import Recharge
from shared.sick import sqlstate_of
from tenants.models import Organization
from tests.recharge.test_worker import working
from tests.support.locks import sell_pending
from tests.support.read_only import set_read_only
from tests.support.sessions import end_sessions
from tests.support.waiting import wait_until
from tests.support.world import World, give_credit

READ_ONLY = "25006"

pytestmark = pytest.mark.usefixtures("writable_again")


class Watched(DeliveryWork):
    """Tells when it was refused because the database is read only, and waits with its calls until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_call, self.calls = threading.Event(), threading.Event()
        self.claim_refused, self.record_refused = threading.Event(), threading.Event()

    def claim(self, organization: Organization, limit: int) -> Sequence[Any]:
        with noting(self.claim_refused):
            return super().claim(organization, limit)

    def carry_out(self, organization: Organization, task: Any) -> Any:
        self.calls.set()
        assert self.may_call.wait(60)
        return super().carry_out(organization, task)

    def record(self, organization: Organization, done: Sequence[tuple[Any, Any]]) -> None:
        with noting(self.record_refused):
            super().record(organization, done)


@contextmanager
def noting(refused: threading.Event) -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        if sqlstate_of(error) == READ_ONLY:
            refused.set()
        raise


@contextmanager
def watching(work: Watched) -> Iterator[None]:
    """A worker with this work, which ends whatever the test has left."""
    with working(work):
        try:
            yield
        finally:
            set_read_only(False)
            end_sessions()  # so that a worker that kept its connection ends, too
            work.may_call.set()


@pytest.fixture
def pending(world: World) -> World:
    give_credit(world.acme.row, world.acme.member.id, 100_000)
    for _ in range(3):
        sell_pending(world.acme.row, world.acme.member.id)
    return world


def are_delivered(world: World) -> bool:
    with tenant_context(world.acme.row):
        return set(Recharge.objects.values_list("status", flat=True)) == {"succeeded"}


def test_a_worker_that_may_not_claim_connects_anew_and_delivers_once_it_may(pending: World) -> None:
    work = Watched()
    work.may_call.set()
    set_read_only(True)
    with watching(work):
        assert work.claim_refused.wait(60)
        assert not work.calls.is_set()
        set_read_only(False)  # for who connects from now on
        wait_until(lambda: are_delivered(pending), "what was pending is delivered")


def test_a_worker_that_may_not_record_keeps_what_it_knows_and_records_it_once_it_may(pending: World) -> None:
    work = Watched()
    with watching(work):
        assert work.calls.wait(60)
        set_read_only(True)
        work.may_call.set()
        assert work.record_refused.wait(60)
        set_read_only(False)
        wait_until(lambda: are_delivered(pending), "what was delivered is recorded")
    assert pending.acme.member.balance() == 85_000
