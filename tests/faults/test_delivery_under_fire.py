"""All of delivery at once: a web server, two workers that are killed again and again, an operator that misbehaves,
and a system that wants to be told. Whatever happens: each recharge ends, the operator topped up exactly those that say
that they succeeded, and once; the money of the others is back, once; everybody was told, with a right signature."""

import os
import random
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Model
from django.utils import timezone
from django_tenants.utils import tenant_context

from credit.models import Entry, WebhookMessage
from credit.webhooks.services import create_webhook
from recharge.models import GatewaySettings, OperatorSettings, Recharge
from recharge.reports.books import find_faults
from shared.outbound.secrets import encrypt
from tests.support import forking
from tests.support.mobile_operator import KEY_ID, SECRET, MisbehavingOperator, operating
from tests.support.receiver import Receiver, receiving
from tests.support.waiting import wait_until
from tests.support.world import Organization, Person, World, give_credit, make_person

SALES, AMOUNT, CREDIT = 100, 5_000, 1_000_000
"""Of each of twenty sellers; Tomans."""


@pytest.fixture
def operator() -> Iterator[MisbehavingOperator]:
    with operating() as operator:
        operator.behave(
            *["succeed"] * 8,
            *["fail"] * 3,
            "accept",
            "accept_then_fail",
            "succeed:cut",
            "fail:cut",
            "accept:cut",
            "succeed:hang",
            "fail:garbage",
            "succeed:server_error",
            "succeed:twice",
            "succeed:another_reference",
            "forget:cut",
            "succeed:slow",
        )
        operator.behave(*[":answer"] * 6, ":cut", ":garbage", ":slow", ":twice", inquiries=True)
        yield operator


@contextmanager
def workers_being_killed(times: int) -> Iterator[None]:
    """Two of them; one at a time is killed with -9 and replaced, at random moments, until there were enough of that."""
    environment = os.environ | {"ALLOW_PRIVATE_ADDRESSES": "on"}
    dice, stopping = random.Random(7), threading.Event()

    def start() -> forking.Process:
        return forking.start(["deliver", "--lease", "3"], environment=environment, stdout=sys.__stderr__)

    workers = [start(), start()]

    def kill() -> None:
        for _ in range(times):
            if stopping.wait(dice.uniform(0.8, 2.0)):  # the moment is what is random
                return
            one = dice.randrange(2)
            workers[one].kill()
            workers[one].wait()
            workers[one] = start()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield
        killer.join(60 + 3 * times)
    finally:
        stopping.set()
        killer.join()
        for worker in workers:
            worker.terminate()
        assert [worker.wait(60) for worker in workers] == [0, 0]


def prepare(organization: Organization, operator: MisbehavingOperator, receiver: Receiver) -> list[Person]:
    """Ten sellers with credit, the operator as gateway, and an endpoint of the organization."""
    row = organization.row
    with tenant_context(row):
        gateway = GatewaySettings.objects.create(
            name="operator",
            kind="http",
            url=operator.url,
            key_id=KEY_ID,
            secret=encrypt(SECRET),
            connect_timeout_ms=1000,
            read_timeout_ms=500,
        )
        OperatorSettings.objects.create(operator="mci", gateway=gateway)
        _, secret = create_webhook(
            organization=row, seller_id=None, url=receiver.url, events=["recharge.succeeded", "recharge.failed"]
        )
    receiver.secrets.append(secret)
    sellers = [make_person(row, f"seller{number}", organization.anyone.address, is_seller=True) for number in range(10)]
    for seller in sellers:
        give_credit(row, seller.id, CREDIT)
    return sellers


@pytest.mark.parametrize("kills", [8, pytest.param(50, marks=pytest.mark.long)])
def test_delivery_under_fire(kills: int, world: World, operator: MisbehavingOperator, settings: Any) -> None:
    settings.ALLOW_PRIVATE_ADDRESSES = True
    organizations = (world.acme, world.globex)
    with receiving() as receiver:
        sellers = {organization.row.slug: prepare(organization, operator, receiver) for organization in organizations}
        with workers_being_killed(kills):
            everyone = [seller for group in sellers.values() for seller in group]
            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(lambda seller: seller.sell(AMOUNT), everyone * SALES))
            assert {answer.status for answer in answers} == {201}
            wait_until(lambda: not any(in_flight(one) for one in organizations), "every recharge ends", seconds=150)
            wait_until(lambda: not any(untold(one) for one in organizations), "everybody is told", seconds=150)

        records = operator.records()
        assert operator.complaints() == []
        told = {
            (received.json["data"]["id"], received.json["type"])
            for received in receiver.received
            if len(received.verified_by) == 1
        }
        assert len(told) == 20 * SALES
        for organization in organizations:
            check(organization, sellers[organization.row.slug], records, told)


SOON = timedelta(seconds=4)
"""More than the lease of a claim: what is due later than that waits because it was not answered before."""


def in_flight(organization: Organization) -> int:
    """How many have not ended; and time flies for those that wait long."""
    with tenant_context(organization.row):
        _make_due(Recharge)
        return Recharge.objects.filter(status__in=["pending", "unknown"]).count()


def untold(organization: Organization) -> int:
    """Likewise, of messages; those that a killed worker held, too."""
    with tenant_context(organization.row):
        _make_due(WebhookMessage)
        return WebhookMessage.objects.exclude(status="delivered").count()


@transaction.atomic
def _make_due(rows: type[Model]) -> None:
    """What a worker is recording right now is left alone: it locks several in an order of its own."""
    now = timezone.now()
    waiting = rows._default_manager.filter(due_at__gt=now + SOON).select_for_update(skip_locked=True)
    rows._default_manager.filter(pk__in=list(waiting.values_list("pk", flat=True))).update(due_at=now)


def check(
    organization: Organization, sellers: list[Person], records: dict[str, Any], told: set[tuple[str, str]]
) -> None:
    with tenant_context(organization.row):
        assert find_faults() == []
        recharges = list(Recharge.objects.all())
        refunds = list(Entry.objects.filter(kind="refund").values_list("reference", flat=True))
    assert len(recharges) == 10 * SALES
    for recharge in recharges:
        effects = records[str(recharge.id)].effects if str(recharge.id) in records else 0
        assert effects == (1 if recharge.status == "succeeded" else 0), recharge.id
        assert (str(recharge.id), f"recharge.{recharge.status}") in told
        assert recharge.late == ""
    failed = [recharge.id for recharge in recharges if recharge.status == "failed"]
    assert 0 < len(failed) < len(recharges)
    print(
        f"\n{organization.row.slug}: {len(recharges)} sales acknowledged, {len(recharges) - len(failed)} delivered,"
        f" each once; {len(failed)} failed, {len(refunds)} refunds"
    )
    assert sorted(refunds) == sorted(failed)
    for seller in sellers:
        succeeded = sum(one.seller_id == seller.id and one.status == "succeeded" for one in recharges)
        assert seller.balance() == CREDIT - succeeded * AMOUNT
