"""A slow gateway of an organization does not keep waiting what goes by its others."""

import threading
from typing import Any

from django_tenants.utils import tenant_context

from recharge.delivery.work import DeliveryWork
from recharge.models import Recharge
from tenants.models import Organization as Row
from tenants.wakeups import wake_workers
from tests.recharge.test_worker import statuses, working
from tests.support.locks import sell_pending
from tests.support.waiting import wait_until
from tests.support.world import World, give_credit


class Slow(DeliveryWork):
    """These organizations' gateways do not answer until they may: all, or only the one that has no other name."""

    def __init__(self, *slugs: str, gateway: str = "") -> None:
        super().__init__()
        self.slugs, self.gateway = slugs, gateway
        self.may_go_on = threading.Event()
        self.begun: list[str] = []

    def carry_out(self, organization: Row, task: Any) -> Any:
        if organization.slug in self.slugs and task.gateway == (self.gateway or task.gateway):
            self.begun.append(organization.slug)
            assert self.may_go_on.wait(60)
        return super().carry_out(organization, task)


def test_a_slow_gateway_leaves_the_same_organizations_other_gateway_its_part(world: World) -> None:
    acme = world.acme
    give_credit(acme.row, acme.member.id, 1_000_000)
    for _ in range(100):
        sell_pending(acme.row, acme.member.id)
    with tenant_context(acme.row):
        Recharge.objects.update(gateway="slow", due_at="2020-01-01T00:00:00Z")
    slow = Slow("acme", gateway="slow")
    with working(slow):
        try:
            wait_until(lambda: len(slow.begun) == 16, "the slow one has its calls")
            sell_pending(acme.row, acme.member.id)
            wake_workers(acme.row.pk)
            wait_until(lambda: "succeeded" in statuses(acme.row), "what goes by another gateway is delivered")
            assert len(slow.begun) == 16
        finally:
            slow.may_go_on.set()


def test_what_waits_for_a_gateway_that_has_its_part_is_not_looked_for(world: World) -> None:
    acme = world.acme
    give_credit(acme.row, acme.member.id, 1_000_000)
    for _ in range(40):
        sell_pending(acme.row, acme.member.id)
    work = DeliveryWork()
    with tenant_context(acme.row):
        assert len(work.claim(acme.row, 64)) == 32
        assert work.claim(acme.row, 64) == []
        due_in = work.seconds_until_due(acme.row)
        assert due_in is None
        Recharge.objects.filter(attempts=0).update(gateway="another")
        assert len(work.claim(acme.row, 64)) == 8


def test_what_has_waited_longest_and_what_is_newest_is_taken_whatever_its_gateway(world: World) -> None:
    acme = world.acme
    give_credit(acme.row, acme.member.id, 1_000_000)
    for _ in range(30):
        sell_pending(acme.row, acme.member.id)
    with tenant_context(acme.row):
        by_age = list(Recharge.objects.order_by("pk").values_list("pk", flat=True))
        # Fifteen of one gateway, then ten of another with one of a third after each second.
        gateways = ["slow"] * 15 + ["another", "another", "gone"] * 5
        for minute, (pk, gateway) in enumerate(zip(by_age, gateways, strict=True)):
            Recharge.objects.filter(pk=pk).update(gateway=gateway, due_at=f"2020-01-01T00:{minute:02}:00Z")
        work = DeliveryWork()
        taken = {task.id for task in work.claim(acme.row, 10)}
        assert taken == {*by_age[:5], *by_age[-5:]}
        rest = by_age[5:-5]
        assert {task.id for task in work.claim(acme.row, 7)} == {*rest[:4], *rest[-3:]}
