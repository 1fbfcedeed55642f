"""Whatever happens to recharges, in whatever order: the books are right after every step, and each recharge is what the
one who told its story last could expect it to be.

A model of some lines says what should be; Hypothesis tells the stories, and shortens the one that goes wrong.
"""

import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from django.db.models import Count
from django_tenants.utils import tenant_context
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from credit.errors import InsufficientCredit
from recharge.delivery.gateways import Answer, Delivery
from recharge.delivery.settlement import resolve_recharge
from recharge.delivery.work import DeliveryWork, Result, Task
from recharge.models import Recharge
from recharge.reports.books import find_faults
from recharge.selling.errors import AlreadySettled
from recharge.selling.queries import balance_of
from recharge.selling.sale import Item
from recharge.selling.services import sell_recharge
from tests.support.locks import sell_through_sandbox
from tests.support.world import World, give_credit, make_seller

pytestmark = pytest.mark.slow

CREDIT = 100_000
AMOUNTS = st.sampled_from([1, 5_000, 40_000, 60_000])
FINAL = ("succeeded", "failed")


@dataclass
class Expected:
    """What a recharge should be."""

    amount: int
    status: str = "pending"
    late: str = ""
    attempts: int = 0

    @property
    def is_paid(self) -> bool:
        """Whether the seller is without its amount."""
        return self.status != "failed" and self.late != "owed"


class Story(RuleBasedStateMachine):
    """One seller, some recharges, a gateway that says anything, workers that die, an admin."""

    world: World
    tasks = Bundle("tasks")

    @initialize()
    def begin(self) -> None:
        self.row = self.world.acme.row
        self.seller_id = make_seller(self.row, "storyteller", CREDIT).pk
        self.work = DeliveryWork()
        self.expected: dict[uuid.UUID, Expected] = {}
        self.balance = CREDIT

    # --- What happens ---

    @rule(amount=AMOUNTS)
    def sell(self, amount: int) -> None:
        try:
            sold = sell_recharge(
                organization=self.row,
                seller_id=self.seller_id,
                item=Item("+989121234567", "telekish", amount, uuid.uuid4().hex),
            )
        except InsufficientCredit:
            assert amount > self.balance
            return
        assert amount <= self.balance
        self.balance -= amount
        self.expected[uuid.UUID(sold.row.id)] = Expected(amount)

    @rule(target=tasks, limit=st.integers(1, 5))
    def claim(self, limit: int) -> list[Task]:
        with tenant_context(self.row):
            claimed = [task for task in self.work.claim(self.row, limit) if task.seller_id == self.seller_id]
        for task in claimed:
            expected = self.expected[task.id]
            assert task.status == expected.status
            expected.attempts += task.action != "expire"
            assert task.number == expected.attempts
            if task.action == "submit":
                assert expected.status not in FINAL
        return claimed

    @rule()
    def time_passes(self) -> None:
        """All that waits falls due, and every claim runs out: what a worker holds, another may now claim too."""
        with tenant_context(self.row):
            Recharge.objects.filter(due_at__isnull=False).update(due_at="2020-01-01T00:00:00Z")

    @rule(
        tasks=tasks,
        delivery=st.sampled_from(Delivery),
        again=st.none() | st.just(5.0),
    )
    def answer(self, tasks: list[Task], delivery: Delivery, again: float | None) -> None:
        """Also of a claim that has long run out, and more than once."""
        done = []
        for task in tasks:
            if delivery == (Delivery.MISSING if task.action == "submit" else Delivery.UNSENT):
                continue  # a gateway can't say so
            answer = Answer(delivery, reason="barred", ask_again_after=again)
            done.append((task, Result(answer, 7, again or 3.0)))
        with tenant_context(self.row):
            self.work.record(self.row, done)
        for task, _ in sorted(done, key=lambda one: one[0].id):
            expected = self.expected[task.id]
            says_otherwise = expected.status in FINAL and delivery in FINAL and delivery != expected.status
            if says_otherwise and task.number < expected.attempts:
                continue  # which of the two is newer is asked once more
            if task.action == "expire":
                if task.number == expected.attempts and expected.status not in FINAL:
                    self._settle(task.id, "failed")
            elif delivery in (Delivery.SUCCEEDED, Delivery.FAILED, Delivery.UNKNOWN):
                self._settle(task.id, str(delivery))

    @rule(tasks=consumes(tasks))
    def a_worker_dies(self, tasks: list[Task]) -> None:
        """What it held is never answered."""

    @rule(data=st.data(), status=st.sampled_from(FINAL))
    def resolve(self, data: st.DataObject, status: str) -> None:
        if not self.expected:
            return
        recharge_id = data.draw(st.sampled_from(sorted(self.expected)))
        try:
            resolve_recharge(
                organization=self.row,
                recharge_id=recharge_id,
                status=Recharge.Status(status),
                reason="asked them",
                by="owner",
            )
        except AlreadySettled:
            assert self.expected[recharge_id].late == "reversed"
        else:
            before = self.expected[recharge_id]
            is_news = before.status != status or (before.late == "owed" and before.amount <= self.balance)
            before.attempts += is_news
            self._settle(recharge_id, status)

    @rule(amount=AMOUNTS)
    def get_credit(self, amount: int) -> None:
        give_credit(self.row, self.seller_id, amount)
        self.balance += amount
        self._collect_owed()

    def _settle(self, recharge_id: uuid.UUID, status: str) -> None:
        """What should become of a recharge when this is told of it."""
        expected = self.expected[recharge_id]
        if expected.status in FINAL and (status == "unknown" or expected.late == "reversed"):
            return
        was_paid = expected.is_paid
        if status == "succeeded" and (expected.status == "failed" or expected.late == "owed"):
            expected.late = "charged" if expected.amount <= self.balance else "owed"
        elif status == "failed" and expected.status == "succeeded":
            expected.late = "" if expected.late == "owed" else "reversed"
        expected.status = status
        self.balance += expected.amount * (was_paid - expected.is_paid)
        self._collect_owed()

    def _collect_owed(self) -> None:
        """What comes first pays what is owed, the oldest first, each whole."""
        for _, one in sorted(self.expected.items()):
            if one.late == "owed":
                if one.amount > self.balance:
                    return
                one.late = "charged"
                self.balance -= one.amount

    # --- What always holds ---

    @invariant()
    def the_books_are_right(self) -> None:
        with tenant_context(self.row):
            assert find_faults() == []
            assert balance_of(self.seller_id).balance == self.balance >= 0

    @invariant()
    def every_recharge_is_what_it_should_be(self) -> None:
        with tenant_context(self.row):
            rows = Recharge.objects.filter(seller_id=self.seller_id).annotate(recorded=Count("attempt"))
            assert {row.id: (row.status, row.late) for row in rows} == {
                id_: (one.status, one.late) for id_, one in self.expected.items()
            }
            for row in rows:
                # What is not at its end is always due some time: nothing is lost.
                assert row.due_at or row.status in FINAL
                assert row.attempts == row.recorded


def test_stories(world: World) -> None:
    sell_through_sandbox(world.acme.row)
    machine: Any = type("StoryHere", (Story,), {"world": world})
    machine.TestCase.settings = settings(
        max_examples=40,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    machine.TestCase("runTest").runTest()
