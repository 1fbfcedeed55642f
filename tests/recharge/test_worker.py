"""The delivery worker: everything that is due is done, once, whoever dies and whatever the database does meanwhile."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from django_tenants.utils import tenant_context

from recharge.delivery.gateways import Answer, Delivery
from recharge.delivery.work import LEASE, DeliveryWork, Result, Task, _due_in
from recharge.models import Attempt, Recharge
from shared.errors import SellerBusy
from tenants import wakeups
from tenants import worker as worker_module
from tenants.models import Organization as Row
from tenants.services import suspend_organization
from tenants.shares import MOST_HELD, Kind
from tenants.wakeups import CHANNEL, wake_workers
from tenants.worker import (
    BROKEN_SECONDS,
    DESKS,
    LOCK_SECONDS,
    LONG_SECONDS,
    Worker,
    _Done,
    _parts,
    _Turn,
)
from tenants.working_role import as_owner
from tests.support.earlier import earlier
from tests.support.locks import advisory_locks, holding_lock, sell_pending
from tests.support.rewriting import rewriting_recharges
from tests.support.server import ROOT, serving
from tests.support.sessions import end_sessions
from tests.support.waiting import wait_until
from tests.support.world import Organization, World, database_url, give_credit


@contextmanager
def working(*works: Any, watcher: Any = None) -> Iterator[Worker]:
    """A worker in a thread of this process, until the block ends; it must then end by itself."""
    worker = Worker(works or [DeliveryWork()], watcher=watcher)

    def run() -> None:
        try:
            worker.run()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(30)
        assert not thread.is_alive()
        wait_until(lambda: not is_heard(), "it listens no more, and is not taken for the next one")


def statuses(row: Row) -> list[str]:
    with tenant_context(row):
        return list(Recharge.objects.order_by("id").values_list("status", flat=True))


@pytest.fixture
def pending(world: World) -> World:
    """Some pending recharges in both organizations."""
    for organization in (world.acme, world.globex):
        give_credit(organization.row, organization.member.id, 100_000)
        for _ in range(5):
            sell_pending(organization.row, organization.member.id)
    return world


def test_it_delivers_what_is_due_in_every_organization(pending: World) -> None:
    Worker([DeliveryWork()]).run_once()
    for organization in (pending.acme, pending.globex):
        assert statuses(organization.row) == ["succeeded"] * 5
        assert organization.member.balance() == 75_000
        with tenant_context(organization.row):
            attempts = list(Attempt.objects.values_list("action", "number", "outcome", "gateway"))
        assert attempts == [("submit", 1, "succeeded", "sandbox")] * 5


def test_a_suspended_organization_is_left_alone(pending: World) -> None:
    suspend_organization(slug="globex")
    Worker([DeliveryWork()]).run_once()
    assert statuses(pending.acme.row) == ["succeeded"] * 5
    assert statuses(pending.globex.row) == ["pending"] * 5


def test_it_hears_of_a_sale_at_once(world: World) -> None:
    acme = world.acme
    give_credit(acme.row, acme.member.id, 100_000)
    sell_pending(acme.row, acme.member.id)
    with working():
        wait_until(lambda: statuses(acme.row) == ["succeeded"], "what was there is delivered")
        answer = acme.member.client.post(
            "/recharges",
            {"phone_number": "09121234567", "amount": 1000, "operator": "telekish"},
            headers={"Idempotency-Key": "k"},
        )
        assert (answer.status, answer.json["status"]) == (201, "pending")
        # Far sooner than the minute after which it would have looked by itself.
        wait_until(lambda: statuses(acme.row) == ["succeeded"] * 2, "what was sold just now is delivered")


class Looks:
    """A kind of work that has none, and counts who was looked at."""

    def __init__(self, seconds: float | None = None) -> None:
        self.at: list[str] = []
        self.seconds = seconds

    def claim(self, organization: Row, limit: int) -> Sequence[Any]:
        self.at.append(organization.slug)
        return []

    def carry_out(self, organization: Row, task: Any) -> Any:
        raise AssertionError

    def record(self, organization: Row, done: Sequence[tuple[Any, Any]]) -> None:
        raise AssertionError

    def seconds_until_due(self, organization: Row) -> float | None:
        return self.seconds


def test_it_looks_into_an_organization_when_somebody_rings_and_into_no_other(world: World) -> None:
    looks = Looks()
    with working(looks):
        wait_until(lambda: sorted(looks.at) == ["acme", "globex"], "everyone is looked at once")

        def ring() -> bool:
            wakeups._given.clear()
            wake_workers(world.acme.row.pk)
            return len(looks.at) > 3

        wait_until(ring, "acme is looked at again, and once more a moment later")
        assert set(looks.at[2:]) == {"acme"}


def test_it_looks_into_each_when_the_watcher_says_so(world: World) -> None:
    looks, wants = Looks(), [False]

    class Watches:
        def is_told(self) -> bool:
            return False

        def look(self, heartbeat: Any, organizations: Any) -> bool:
            return bool(wants) and wants.pop()

    with working(looks, watcher=Watches()):
        wait_until(lambda: not wants, "the watcher was asked")
        wait_until(is_heard, "it listens")
        wait_until(lambda: len(looks.at) >= 2, "everyone is looked at once")
        before = len(looks.at)
        wants.append(True)
        wait_until(lambda: {"acme", "globex"} <= set(looks.at[before:]), "everyone is looked at again")


def test_nobody_who_rings_while_it_begins_is_missed(world: World) -> None:
    class LooksAfterListening(Looks):
        def claim(self, organization: Row, limit: int) -> Sequence[Any]:
            assert is_heard()
            return super().claim(organization, limit)

    looks = LooksAfterListening()
    with working(looks):
        wait_until(lambda: sorted(looks.at) == ["acme", "globex"], "everyone is looked at once")


def test_nobody_who_rings_while_it_is_cut_off_is_missed(world: World) -> None:
    looks = Looks()
    with working(looks):
        wait_until(lambda: len(looks.at) == 2, "everyone is looked at once")
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query LIKE 'LISTEN %'"
            )
        # Far sooner than the minute after which it would have looked by itself.
        wait_until(lambda: sorted(looks.at[2:]) == ["acme", "globex"], "everyone is looked at again")


def is_heard() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %')"
        )
        found: bool = cursor.fetchone()[0]
        return found


def test_a_busy_seller_does_not_keep_the_others_from_being_recorded(pending: World) -> None:
    acme = pending.acme
    give_credit(acme.row, acme.neighbour.id, 10_000)
    failing = sell_pending(acme.row, acme.neighbour.id)
    work = FailingFor(failing)
    with working(work), holding_lock(acme.row, acme.neighbour.id):
        wait_until(lambda: statuses(acme.row).count("succeeded") == 5, "the others are recorded")
        wait_until(lambda: statuses(pending.globex.row).count("succeeded") == 5, "the other organization's too")
        assert statuses(acme.row).count("pending") == 1
    assert statuses(acme.row).count("failed") == 1  # once the lock was free: nothing that was learnt is lost
    assert acme.neighbour.balance() == 10_000


class FailingFor(DeliveryWork):
    """Its gateway refuses one recharge."""

    def __init__(self, recharge_id: Any) -> None:
        super().__init__()
        self.recharge_id = recharge_id

    def carry_out(self, organization: Row, task: Any) -> Any:
        if task.id == self.recharge_id:
            return Result(Answer(Delivery.FAILED, reason="barred"), 1, None)
        return super().carry_out(organization, task)


def test_it_goes_on_when_its_connections_were_cut(pending: World) -> None:
    acme = pending.acme
    with working():
        wait_until(lambda: statuses(acme.row) == ["succeeded"] * 5, "it works")
        end_sessions()
        sell_pending(acme.row, acme.member.id)
        wait_until(is_heard, "it listens again")
        wake_workers(acme.row.pk)
        wait_until(lambda: statuses(acme.row) == ["succeeded"] * 6, "it works again")


def test_what_a_dead_worker_had_begun_is_asked_about_and_not_sent_again(pending: World) -> None:
    acme = pending.acme
    with tenant_context(acme.row):
        claimed = DeliveryWork().claim(acme.row, 3)  # and its worker dies
        assert [task.action for task in claimed] == ["submit"] * 3
        Recharge.objects.filter(pk__in=[task.id for task in claimed]).update(due_at="2020-01-01T00:00:00Z")
    Worker([DeliveryWork()]).run_once()
    assert statuses(acme.row) == ["succeeded"] * 5
    with tenant_context(acme.row):
        attempts = Attempt.objects.filter(recharge_id__in=[task.id for task in claimed]).order_by(
            "recharge_id", "number"
        )
        assert list(attempts.values_list("action", "outcome")) == [("submit", "open"), ("inquire", "succeeded")] * 3


def test_two_workers_share_the_work(pending: World) -> None:
    acme = pending.acme
    seen: list[Any] = []
    for_both = threading.Barrier(2)

    class Claiming(DeliveryWork):
        def claim(self, organization: Row, limit: int) -> Any:
            claimed = super().claim(organization, min(limit, 2))
            seen.extend(task.id for task in claimed)
            return claimed

    def run() -> None:
        for_both.wait(30)
        Worker([Claiming()]).run_once()
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(seen) == len(set(seen)) == 10
    assert statuses(acme.row) == ["succeeded"] * 5


@pytest.mark.slow
def test_serve_keeps_a_worker_beside_it_and_takes_it_along(pending: World, tmp_path: Path) -> None:
    row = pending.acme.row
    with serving(tmp_path / "log", workers=1, delivery=True) as server:
        wait_until(lambda: statuses(row) == ["succeeded"] * 5, "it delivers")
        wait_until(lambda: len(server.delivery_pids()) == 1, "it has one worker")
        (first,) = server.delivery_pids()
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: server.delivery_pids() not in ([], [first]), "another one is started")
        wait_until(is_heard, "it listens")
        sell_pending(row, pending.acme.member.id)
        wake_workers(row.pk)
        wait_until(lambda: statuses(row) == ["succeeded"] * 6, "it delivers too")
        (second,) = server.delivery_pids()
    wait_until(lambda: not Path(f"/proc/{second}").exists(), "it is gone with the server")


@pytest.mark.slow
def test_a_worker_beside_a_server_that_was_killed_ends_too(pending: World) -> None:
    # Of a process that stands for it, so that nothing else is left behind.
    parent = subprocess.Popen(
        ["sh", "-c", f"{sys.executable} manage.py deliver --beside $$ & echo $!; wait"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout
    worker = int(parent.stdout.readline())
    wait_until(lambda: statuses(pending.acme.row) == ["succeeded"] * 5, "it delivers")
    assert Path(f"/proc/{worker}").exists()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not Path(f"/proc/{worker}").exists(), "it has ended")


def test_a_worker_that_is_told_to_stop_finishes_what_it_holds(pending: World) -> None:
    """All that it claimed is recorded, and nothing that it did not claim is begun."""
    begun, may_go_on = threading.Event(), threading.Event()

    class Slow(DeliveryWork):
        def carry_out(self, organization: Row, task: Any) -> Any:
            begun.set()
            assert may_go_on.wait(30)
            return super().carry_out(organization, task)

    with working(Slow()) as worker:
        assert begun.wait(30)
        worker.stop()
        sell_pending(pending.acme.row, pending.acme.member.id)
        may_go_on.set()
    assert sorted(statuses(pending.acme.row)) == ["pending"] + ["succeeded"] * 5
    with tenant_context(pending.acme.row):
        assert not Attempt.objects.filter(outcome="open").exists()


def due(row: Row) -> None:
    """All that waits falls due, and every claim's time is over."""
    with tenant_context(row):
        Recharge.objects.update(due_at="2020-01-01T00:00:00Z")


def old(row: Row, by: timedelta = timedelta(minutes=15)) -> None:
    """The same; and all recharges were sold by so much earlier."""
    with tenant_context(row), rewriting_recharges():
        Recharge.objects.update(created_at=earlier("created_at", by))
    due(row)


class Answering(DeliveryWork):
    """Its gateway gives this answer to everything."""

    def __init__(self, answer: Answer, lease: timedelta = LEASE) -> None:
        super().__init__(lease)
        self.answer = answer

    def claim(self, organization: Row, limit: int) -> Any:
        claimed = super().claim(organization, limit)
        answer = self.answer

        class Gateway:
            kind = "http"

            def submit(self, *_: Any) -> Answer:
                return answer

            inquire = submit

        routes = {task.route for task in claimed}
        self._gateways[organization.pk] = (float("inf"), dict.fromkeys(routes, Gateway()))
        return claimed


def step(row: Row, work: DeliveryWork) -> list[Any]:
    """Claims all that is due and carries it out; what came of it is not recorded."""
    with tenant_context(row):
        return [(task, work.carry_out(row, task)) for task in work.claim(row, 100)]


def record(row: Row, work: DeliveryWork, done: list[Any]) -> None:
    with tenant_context(row):
        work.record(row, done)


UNSENT = Answer(Delivery.UNSENT)


def test_what_could_not_be_sent_for_a_quarter_of_an_hour_is_refunded(pending: World) -> None:
    row = pending.acme.row
    record(row, Answering(UNSENT), step(row, Answering(UNSENT)))
    assert statuses(row) == ["pending"] * 5
    old(row)
    record(row, Answering(UNSENT), step(row, Answering(UNSENT)))
    assert statuses(row) == ["failed"] * 5
    with tenant_context(row):
        assert set(Recharge.objects.values_list("failure", flat=True)) == {"not_sent"}
    assert pending.acme.member.balance() == 100_000


def test_what_another_worker_has_delivered_is_not_refunded_by_one_that_could_not_send_it(pending: World) -> None:
    row = pending.acme.row
    late = step(row, Answering(UNSENT))
    due(row)  # its time has run out
    missing, good = Answering(Answer(Delivery.MISSING)), Answering(Answer(Delivery.SUCCEEDED))
    record(row, missing, step(row, missing))
    due(row)
    record(row, good, step(row, good))
    record(row, good, late)
    assert statuses(row) == ["succeeded"] * 5
    assert pending.acme.member.balance() == 75_000


def test_of_two_answers_that_contradict_each_other_the_gateway_is_asked_which_it_is(pending: World) -> None:
    row = pending.acme.row
    bad, good = Answering(Answer(Delivery.FAILED, reason="barred")), Answering(Answer(Delivery.SUCCEEDED))
    late = step(row, bad)
    due(row)
    record(row, good, step(row, good))
    record(row, bad, late)
    assert statuses(row) == ["succeeded"] * 5
    with tenant_context(row):
        assert Recharge.objects.filter(due_at__lte=timezone.now(), late="").count() == 5
    record(row, good, step(row, good))
    assert pending.acme.member.balance() == 75_000


def test_what_waited_too_long_for_a_thread_is_not_sent_any_more(pending: World) -> None:
    row = pending.acme.row
    late = Answering(Answer(Delivery.SUCCEEDED), lease=timedelta(0))
    done = step(row, late)
    assert {result.answer.delivery for _, result in done} == {Delivery.UNSENT}
    record(row, late, done)
    assert statuses(row) == ["pending"] * 5


def test_an_organization_whose_schema_is_broken_does_not_keep_the_others_waiting(pending: World) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER FUNCTION org_acme.recharge_claim RENAME TO moved")
    try:
        with working():
            wait_until(lambda: statuses(pending.globex.row) == ["succeeded"] * 5, "globex' are delivered")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER FUNCTION org_acme.moved RENAME TO recharge_claim")
    assert statuses(pending.acme.row) == ["pending"] * 5


def test_a_slow_gateway_of_one_organization_does_not_keep_the_others_waiting(world: World) -> None:
    may_go_on = threading.Event()

    class Slow(DeliveryWork):
        def carry_out(self, organization: Row, task: Any) -> Any:
            if organization.slug == "acme":
                assert may_go_on.wait(60)
            return super().carry_out(organization, task)

    acme, globex = world.acme, world.globex
    for organization in (acme, globex):
        give_credit(organization.row, organization.member.id, 1_000_000)
    for _ in range(100):
        sell_pending(acme.row, acme.member.id)
    with working(Slow()):
        wait_until(lambda: "open" in outcomes(acme.row), "acme's are under way")
        sell_pending(globex.row, globex.member.id)
        wake_workers(globex.row.pk)
        wait_until(lambda: statuses(globex.row) == ["succeeded"], "globex' is delivered")
        may_go_on.set()
        wait_until(lambda: statuses(acme.row) == ["succeeded"] * 100, "acme's too")


class Standing(DeliveryWork):
    """A turn of acme's stands still at its claim, or at its record, until it may go on."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self.at = at
        self.stands, self.may_go_on = threading.Event(), threading.Event()
        self.claims: list[str] = []

    def claim(self, organization: Row, limit: int) -> Any:
        self.stand("claim", organization)
        self.claims.append(organization.slug)
        return super().claim(organization, limit)

    def record(self, organization: Row, done: Sequence[tuple[Any, Any]]) -> None:
        self.stand("record", organization)
        super().record(organization, done)

    def stand(self, at: str, organization: Row) -> None:
        if at == self.at and organization.slug == "acme":
            self.stands.set()
            assert self.may_go_on.wait(60)


@pytest.mark.parametrize("at", ["claim", "record"])
def test_a_turn_that_takes_long_does_not_keep_another_organization_waiting(world: World, at: str) -> None:
    """It waits for a seller's lock, say, or sums up a day."""
    acme, globex = world.acme, world.globex
    for organization in (acme, globex):
        give_credit(organization.row, organization.member.id, 100_000)
    sell_pending(acme.row, acme.member.id)
    work = Standing(at)
    with working(work):
        assert work.stands.wait(60)
        wait_until(is_heard, "it listens")
        for count in (1, 2):
            sell_pending(globex.row, globex.member.id)
            wake_workers(globex.row.pk)
            wait_until(lambda count=count: statuses(globex.row) == ["succeeded"] * count, "globex' is delivered")
        assert statuses(acme.row) == ["pending"]
        work.may_go_on.set()
        wait_until(lambda: statuses(acme.row) == ["succeeded"], "acme's too, when it can")


def test_an_organization_with_a_long_queue_gives_its_desk_away_after_each_batch(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "DESKS", 1)
    acme, globex = world.acme, world.globex
    for organization in (acme, globex):
        give_credit(organization.row, organization.member.id, 1_000_000)
    for _ in range(100):
        sell_pending(acme.row, acme.member.id)
    work = Standing("record")
    with working(work) as worker:
        assert work.stands.wait(60)  # with one batch of four, and the desk
        sell_pending(globex.row, globex.member.id)
        worker._events.put(globex.row.pk)  # as if somebody had rung
        wait_until(lambda: worker._look_at[globex.row.pk] <= time.monotonic(), "it waits for its turn")
        before = len(work.claims)
        work.may_go_on.set()
        wait_until(lambda: statuses(globex.row) == ["succeeded"], "globex' is delivered")
        # The batch that was to be recorded may have been followed by a claim, in the same turn.
        assert "globex" in work.claims[before : before + 2]
        wait_until(lambda: statuses(acme.row) == ["succeeded"] * 100, "acme's too")


def test_organizations_whose_turns_are_long_leave_a_desk_to_the_others() -> None:
    def turns() -> set[int]:
        worker._give_turns()
        return set(worker._turns)

    def end(key: int, seconds: float) -> None:
        worker._turns[key].look_in = 0.0
        worker._turns[key].began_at = time.monotonic() - seconds
        worker._take_in(worker._turns[key])

    worker = Worker([Looks()])
    worker._platform_at = float("inf")
    worker._desks = [queue.SimpleQueue() for _ in range(DESKS)]
    worker._organizations = {pk: Row(pk=pk) for pk in range(1, 6)}
    worker._look_at = dict.fromkeys((1, 2, 3), 0.0) | dict.fromkeys((4, 5), float("inf"))
    assert turns() == {1, 2, 3}  # nobody knows yet
    for key in (1, 2, 3):
        end(key, LONG_SECONDS + 1)
    assert turns() == {1, 2}
    for key in (4, 5):
        worker._take_in(key)  # somebody rings
        assert turns() == {1, 2, key}
        end(key, 0.0)
        worker._look_at[key] = float("inf")
    end(1, 0.0)
    assert turns() == {1, 2, 3}
    end(2, 0.0)
    assert turns() == {1, 2, 3}


class Quiet:
    """A worker of which one organization's looks are made by hand, and a clock that goes as the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(worker_module, "time", SimpleNamespace(monotonic=lambda: self.now))
        self.worker = Worker([Looks()])
        self.worker._platform_at = float("inf")
        self.worker._desks = [queue.SimpleQueue() for _ in range(DESKS)]
        self.worker._organizations = {1: Row(pk=1)}
        self.worker._look_at = {1: self.now}

    def begin_look(self) -> _Turn:
        """When it is time."""
        self.now = max(self.now, self.worker._look_at[1])
        self.worker._give_turns()
        return self.worker._turns[1]

    def look(self, *, finds: bool = False, look_in: float | None = None) -> float:
        """One that takes no time. Gives the seconds until the next."""
        turn = self.begin_look()
        turn.finds, turn.look_in = finds, turn.sweep if look_in is None else look_in
        self.worker._take_in(turn)
        return round(self.worker._look_at[1] - self.now, 6)


def test_an_organization_in_which_nothing_is_found_is_left_alone_for_longer_and_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quiet = Quiet(monkeypatch)
    assert [quiet.look() for _ in range(7)] == [60, 60, 120, 240, 300, 300, 300]
    quiet.look(finds=True)
    assert [quiet.look() for _ in range(3)] == [60, 120, 240]


def test_one_that_was_busy_just_now_is_left_alone_for_a_minute_however_often_it_was_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quiet = Quiet(monkeypatch)
    while quiet.look() < 300:
        pass
    # Somebody rings: there is a second look, and one after what was found is recorded, and so on.
    quiet.worker._take_in(1)
    quiet.look()
    assert [quiet.look(look_in=0.1) for _ in range(5)] == [0.1] * 5
    assert quiet.look() == 60


def test_who_rings_while_it_is_looked_at_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = Quiet(monkeypatch)
    while quiet.look() < 300:
        pass
    turn = quiet.begin_look()
    quiet.worker._take_in(1)
    quiet.worker._take_in(turn)
    quiet.worker._look_twice.clear()
    assert quiet.worker._look_at[1] == quiet.now
    assert quiet.look() == 60


@pytest.mark.parametrize(("seconds", "least", "most"), [(None, 48, 60), (90.0, 48, 60), (7.0, 7, 7), (0.0, 0.1, 0.1)])
def test_it_is_looked_at_when_something_falls_due(
    acme: Organization, seconds: float | None, least: float, most: float
) -> None:
    turn = _Turn(0, acme.row, [], looks=True, began_at=time.monotonic())
    Worker([Looks(seconds)])._take_turn(turn)
    assert least <= turn.look_in <= most
    assert not turn.finds


def test_what_waits_for_many_locks_is_recorded_in_several_turns(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn ends at its time, and the next one begins with those that this one did not come to."""
    clock = 0.0

    class Busy(DeliveryWork):
        def record(self, organization: Row, done: Sequence[tuple[Any, Any]]) -> None:
            nonlocal clock
            if any(task.seller_id <= 4 for task, _ in done):
                clock += LOCK_SECONDS
                raise SellerBusy
            recorded.extend(task.seller_id for task, _ in done)

    monkeypatch.setattr(worker_module, "time", SimpleNamespace(monotonic=lambda: clock))
    work, recorded = Busy(), []
    worker = Worker([work])
    tasks = [replace(_task(), seller_id=number) for number in range(1, 7)]
    worker._kinds[id(work)].take(acme.row, tasks)
    turn = _Turn(0, acme.row, [_Done(work, acme.row, task, None) for task in tasks], looks=True)
    worker._take_turn(turn)
    assert recorded == []
    assert [done.task.seller_id for done in turn.done] == [4, 5, 6, 1, 2, 3]
    assert turn.look_in == BROKEN_SECONDS  # it claims nothing more
    turn = _Turn(0, acme.row, turn.done, looks=False, began_at=clock)
    worker._take_turn(turn)
    assert recorded == [5, 6]
    assert [done.task.seller_id for done in turn.done] == [3, 4, 1, 2]


def test_what_is_sold_now_does_not_wait_behind_another_sellers_long_queue(world: World) -> None:
    acme = world.acme
    for seller_id in (acme.member.id, acme.neighbour.id):
        give_credit(acme.row, seller_id, 1_000_000)
    queued = [sell_pending(acme.row, acme.member.id) for _ in range(40)]
    fresh = sell_pending(acme.row, acme.neighbour.id)
    with tenant_context(acme.row):
        taken = {task.id for task in DeliveryWork().claim(acme.row, 9)}
        assert taken == {*queued[:5], *queued[-3:], fresh}  # and the oldest, so that nobody waits for ever
        assert {task.id for task in DeliveryWork().claim(acme.row, 1)} == {queued[5]}


@pytest.mark.parametrize("limit", [6, 7, 10, 14])
def test_a_short_queue_is_taken_once_and_whole(pending: World, limit: int) -> None:
    with tenant_context(pending.acme.row):
        tasks = DeliveryWork().claim(pending.acme.row, limit)
        assert len(tasks) == len({task.id for task in tasks}) == 5
        assert Attempt.objects.count() == 5


def test_what_nobody_has_thought_of_ends_the_worker(pending: World) -> None:
    class Broken(DeliveryWork):
        def claim(self, organization: Row, limit: int) -> Any:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Worker([Broken()]).run_once()


def test_what_waits_for_another_lock_is_recorded_apart(acme: Organization) -> None:
    def done(seller_id: int) -> _Done:
        return _Done(work, acme.row, replace(_task(), seller_id=seller_id), None)

    work = DeliveryWork()
    one, other, third = done(1), done(2), done(1)
    for error in (SellerBusy(), DatabaseError()):
        assert _parts([one, other, third], error) == [[one, third], [other]]
    assert _parts([one, third], SellerBusy()) == []  # one of them would wait as long as both
    assert _parts([one, third], DatabaseError()) == [[one], [third]]
    assert _parts([one], DatabaseError()) == []


def test_many_organizations_whose_calls_hang_leave_others_room(acme: Organization) -> None:
    kind = Kind(ByWay(), 64)
    for number in range(1, 50):
        hanging = Row(pk=number)
        kind.take(hanging, ["way"] * kind.room(hanging))
        assert kind.held < MOST_HELD


def outcomes(row: Row) -> set[str]:
    with tenant_context(row):
        return set(Attempt.objects.values_list("outcome", flat=True))


def test_what_a_gateway_does_not_know_is_no_reason_to_leave_it_alone(pending: World) -> None:
    row = pending.acme.row
    unknown, good = Answering(Answer(Delivery.UNKNOWN)), Answer(Delivery.SUCCEEDED)
    for _ in range(3):
        record(row, unknown, step(row, unknown))
        with tenant_context(row):
            Recharge.objects.update(due_at="2020-01-01T00:00:00Z")
    unknown.answer = good
    record(row, unknown, step(row, unknown))
    assert statuses(row) == ["succeeded"] * 5


def test_a_notification_that_is_none_of_ours_does_no_harm(pending: World) -> None:
    with working():
        wait_until(lambda: statuses(pending.acme.row) == ["succeeded"] * 5, "it works")
        wait_until(is_heard, "it listens")
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, 'abc'), pg_notify(%s, '')", [CHANNEL, CHANNEL])
        sell_pending(pending.acme.row, pending.acme.member.id)
        wake_workers(pending.acme.row.pk)
        wait_until(lambda: statuses(pending.acme.row) == ["succeeded"] * 6, "it still listens")


def test_what_one_worker_is_claiming_no_other_waits_for_nor_gets(pending: World) -> None:
    row = pending.acme.row
    with psycopg2.connect(database_url()) as other, other.cursor() as cursor:
        cursor.execute("SELECT id FROM org_acme.recharge_claim(3, interval '1 minute')")  # and has not committed
        theirs = {id_ for (id_,) in cursor.fetchall()}
        with as_owner(), tenant_context(row), connection.cursor() as mine:
            mine.execute("SET lock_timeout = '2s'")
            try:
                ours = {str(task.id) for task in DeliveryWork().claim(row, 10)}
            finally:
                mine.execute("RESET lock_timeout")
        other.rollback()
    assert len(ours) == 2
    assert not ours & theirs


def test_a_batch_takes_the_sellers_locks_before_it_touches_a_row(pending: World) -> None:
    """Or whoever holds a seller's lock and wants a row of the batch, as an admin who resolves does, would wait for the
    batch, and the batch for it."""
    acme = pending.acme
    work = Answering(Answer(Delivery.SUCCEEDED))
    (good, _), (bad, result), *_ = step(acme.row, work)
    failed = replace(result, answer=Answer(Delivery.FAILED, reason="barred"))

    def run() -> None:
        try:
            record(acme.row, work, [(good, result), (bad, failed)])
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with holding_lock(acme.row, acme.member.id):
            recording = pool.submit(run)
            wait_until(lambda: (acme.row.pk, acme.member.id, False) in advisory_locks(), "the batch waits for the lock")
            with as_owner(), tenant_context(acme.row), transaction.atomic():  # past a pooler, where the batch waits
                rows = Recharge.objects.select_for_update(nowait=True).filter(pk__in=[good.id, bad.id])
                assert len(rows) == 2
        recording.result(30)
    assert sorted(statuses(acme.row)) == ["failed", *["pending"] * 3, "succeeded"]


class ByWay(Looks):
    """Tasks that say which way they go."""

    def most_at_once(self, threads: int) -> int:
        return threads

    def lane_of(self, task: Any) -> Any:
        return task

    def most_of(self, lane: Any, at_once: int) -> int:
        return 1


def test_of_equal_ways_each_has_its_turn(acme: Organization) -> None:
    kind = Kind(ByWay(), 4)
    kind.take(acme.row, [way for way in "abcde" for _ in range(4)])
    begun = []
    for _ in range(5):
        some = [kind.begin(), kind.begin()]
        begun += [task for _, task in filter(None, some)]
        for organization, task in filter(None, some):
            kind.end(organization, task)
    assert sorted(begun) == sorted("abcde" * 2)


# --- How often it asks ------------------------------------------------------------------------------------------------


def _task() -> Task:
    return Task(
        id=uuid.uuid4(), seller_id=1, phone_number="+989121234567", operator="mci", amount=5000, status="unknown",
        gateway="operator", action="inquire", number=1, created_at=timezone.now(), route=1,
    )  # fmt: skip


def questions(answer: Answer, days: float) -> list[float]:
    """The moments, in seconds after its sale, at which a recharge is asked about whose gateway always answers this."""
    now, age, moments = timezone.now(), 0.0, []
    while age < days * 24 * 60 * 60:
        moments.append(age)
        task = replace(_task(), number=len(moments), created_at=now - timedelta(seconds=age))
        pause = _due_in(task, answer)
        assert pause is not None
        age += pause
    return moments


@pytest.mark.parametrize(
    "answer", [Answer(Delivery.UNKNOWN), Answer(Delivery.ACCEPTED), Answer(Delivery.ACCEPTED, ask_again_after=1800.0)]
)
def test_what_stays_unknown_is_asked_about_ever_more_seldom_and_never_given_up(answer: Answer) -> None:
    moments = questions(answer, days=60)
    of_day = Counter(int(moment // 86_400) for moment in moments)
    assert of_day[0] >= 40
    assert 12 <= of_day[1] <= 33
    assert all(of_day[day] in (1, 2) for day in range(30, 60))
    assert sum(of_day[day] for day in range(1, 30)) < 150
