"""Sales of one seller that meet in a process: sold together, each answered as if alone."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg2
import pytest
from django.db import DataError, connection, transaction
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT

from credit.errors import InsufficientCredit
from credit.models import Entry
from recharge.models import Recharge
from recharge.selling import combining, services
from recharge.selling.combining import Combiner
from recharge.selling.sale import Item
from recharge.selling.services import sell_recharge
from shared.database import lock_seller
from shared.errors import IdempotencyKeyReused, SellerBusy
from tenants import wakeups
from tenants.working_role import as_owner
from tests.support.locks import advisory_locks, holding_lock, sell_through_sandbox
from tests.support.waiting import wait_until
from tests.support.world import Organization, database_url, give_credit


class Calls:
    """What a combiner calls; the first call waits until it is told to go on."""

    def __init__(self, fails: Callable[[list[Any]], Exception | None] = lambda orders: None, largest: int = 20) -> None:
        self.made: list[tuple[Any, list[Any]]] = []
        self.may_go_on = threading.Event()
        self.combiner: Combiner[Any, Any, Any] = Combiner(self._call, largest)
        self._fails = fails

    def _call(self, key: Any, orders: list[Any]) -> list[Any]:
        self.made.append((key, orders))
        if len(self.made) == 1:
            assert self.may_go_on.wait(30)
        error = self._fails(orders)
        if error is not None:
            raise error
        return [f"{key} {order}" for order in orders]

    def gather(self, pool: ThreadPoolExecutor, key: Any, orders: list[Any]) -> list[Future[Any]]:
        """Gives all the orders while the first of them is under way."""
        futures = []
        for count, order in enumerate(orders):
            futures.append(pool.submit(self.combiner.carry_out, key, order))
            wait_until_gathered(self.combiner, key, count)
        return futures


def wait_until_gathered(combiner: Combiner[Any, Any, Any], key: Any, count: int) -> None:
    """Waits until a call is under way and so many wait for it to end."""
    wait_until(lambda: len(combiner._gathered.get(key, [])) == count and key in combiner._gathered, f"{count} gathered")


def test_what_comes_during_a_call_is_the_next_call_and_everyone_gets_their_own_result() -> None:
    calls = Calls()
    with ThreadPoolExecutor(6) as pool:
        futures = calls.gather(pool, "seller", [0, 1, 2, 3, 4, 5])
        calls.may_go_on.set()
        assert [future.result(30) for future in futures] == [f"seller {order}" for order in range(6)]
    assert calls.made == [("seller", [0]), ("seller", [1, 2, 3, 4, 5])]
    assert not calls.combiner._gathered


def test_a_call_takes_no_more_than_it_may() -> None:
    calls = Calls(largest=2)
    with ThreadPoolExecutor(6) as pool:
        futures = calls.gather(pool, "seller", [0, 1, 2, 3, 4, 5])
        calls.may_go_on.set()
        assert [future.result(30) for future in futures] == [f"seller {order}" for order in range(6)]
    assert [orders for _, orders in calls.made] == [[0], [1, 2], [3, 4], [5]]


def test_another_sellers_sales_do_not_wait() -> None:
    calls = Calls()
    with ThreadPoolExecutor(2) as pool:
        (first,) = calls.gather(pool, "one", [0])
        assert calls.combiner.carry_out("two", 7) == "two 7"
        calls.may_go_on.set()
        assert first.result(30) == "one 0"


def test_after_a_call_that_fails_the_gathered_are_carried_out() -> None:
    calls = Calls(fails=lambda orders: ValueError("no") if orders == [0] else None)
    with ThreadPoolExecutor(3) as pool:
        first, *others = calls.gather(pool, "seller", [0, 1, 2])
        calls.may_go_on.set()
        assert isinstance(first.exception(30), ValueError)
        assert [future.result(30) for future in others] == ["seller 1", "seller 2"]


def test_one_bad_order_does_not_fail_the_others_of_its_call() -> None:
    calls = Calls(fails=lambda orders: ValueError("no") if 2 in orders else None)
    with ThreadPoolExecutor(4) as pool:
        _, leader, bad, good = calls.gather(pool, "seller", [0, 1, 2, 3])
        calls.may_go_on.set()
        assert good.result(30) == "seller 3"
        assert leader.result(30) == "seller 1"
        assert isinstance(bad.exception(30), ValueError)


def test_a_call_that_finds_the_seller_busy_is_not_made_again_for_each() -> None:
    calls = Calls(fails=lambda orders: SellerBusy() if len(orders) > 1 else None)
    with ThreadPoolExecutor(4) as pool:
        first, *others = calls.gather(pool, "seller", [0, 1, 2, 3])
        calls.may_go_on.set()
        assert first.result(30) == "seller 0"
        assert all(isinstance(future.exception(30), SellerBusy) for future in others)
    assert len(calls.made) == 2


def test_nobody_waits_for_a_busy_seller_twice() -> None:
    calls = Calls(fails=lambda orders: SellerBusy())
    with ThreadPoolExecutor(4) as pool:
        futures = calls.gather(pool, "seller", [0, 1, 2, 3])
        calls.may_go_on.set()
        assert all(isinstance(future.exception(30), SellerBusy) for future in futures)
    assert [orders for _, orders in calls.made] == [[0]]
    assert not calls.combiner._gathered


@pytest.mark.parametrize("named_leader", [False, True])
def test_one_who_leaves_while_waiting_keeps_nobody_waiting(named_leader: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an interrupt does, before or after it was named to carry out the others' orders."""
    calls = Calls()
    with ThreadPoolExecutor(4) as pool:
        first = calls.gather(pool, "seller", [0])[0]

        class Interrupted:
            """A lock that is interrupted while it waits."""

            def __init__(self) -> None:
                self.lock = threading.Lock()

            def acquire(self) -> None:
                if not self.lock.locked():  # when it is made
                    self.lock.acquire()
                    return
                if named_leader:
                    later.append(pool.submit(calls.combiner.carry_out, "seller", 2))
                    wait_until_gathered(calls.combiner, "seller", 2)
                    calls.may_go_on.set()
                    first.result(30)
                raise KeyboardInterrupt

            def release(self) -> None:
                self.lock.release()

        later: list[Future[Any]] = []
        real = combining._Gathered

        class Gathered(real):  # type: ignore[misc, valid-type]
            def __init__(self, order: Any) -> None:
                super().__init__(order)
                if order == 1:
                    self.woken = Interrupted()
                    self.woken.acquire()

        monkeypatch.setattr(combining, "_Gathered", _Subscriptable(Gathered))
        with pytest.raises(KeyboardInterrupt):
            calls.combiner.carry_out("seller", 1)
        calls.may_go_on.set()
        assert first.result(30) == "seller 0"
        assert [future.result(30) for future in later] == (["seller 2"] if named_leader else [])
        assert calls.combiner.carry_out("seller", 3) == "seller 3"
    assert not calls.combiner._gathered


class _Subscriptable:
    """A class whose type arguments don't matter."""

    def __init__(self, of: Any) -> None:
        self.of = of

    def __getitem__(self, _: Any) -> Any:
        return self.of


def _sell(acme: Organization, amount: int = 5000, key: str | None = None, phone: str = "+989121234567") -> Any:
    try:
        return sell_recharge(
            organization=acme.row,
            seller_id=acme.member.id,
            item=Item(phone, "mci", amount, key or uuid.uuid4().hex),
        )
    except Exception as error:  # noqa: BLE001 - what it came to
        return error
    finally:
        if threading.current_thread() is not threading.main_thread():
            connection.close()


def _together(acme: Organization, calls: list[dict[str, Any]]) -> list[Any]:
    """What these sales (in this order) came to, made while an earlier one waits for the seller's lock."""
    who = (acme.row.schema_name, acme.row.pk, acme.member.id)
    with ThreadPoolExecutor(len(calls) + 1) as pool:
        with holding_lock(acme.row, acme.member.id):
            pool.submit(_sell, acme, 1)
            futures = []
            for count, call in enumerate(calls):
                wait_until_gathered(services._combined, who, count)
                futures.append(pool.submit(_sell, acme, **call))
            wait_until_gathered(services._combined, who, len(calls))
        return [future.result(30) for future in futures]


def test_sales_that_meet_are_one_transaction(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 100_000)
    sold = _together(acme, [{"amount": 1000 + i} for i in range(7)])
    assert [one.row.amount for one in sold] == [1000 + i for i in range(7)]
    assert acme.member.balance() == 100_000 - 1 - sum(1000 + i for i in range(7))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(DISTINCT xmin::text) FROM {acme.row.schema_name}.recharge_recharge")
        assert cursor.fetchone()[0] == 2


def test_each_of_those_that_meet_is_decided_for_itself_in_its_turn(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 10_001)
    first, poor, replay, reused, last = _together(
        acme,
        [
            {"amount": 6000, "key": "a"},
            {"amount": 5000, "key": "b"},
            {"amount": 6000, "key": "a"},
            {"amount": 4000, "key": "a"},
            {"amount": 4000, "key": "c"},
        ],
    )
    assert (first.is_replay, first.row.balance_after) == (False, 4000)
    assert isinstance(poor, InsufficientCredit)
    assert poor.members == {"balance": 4000, "required": 5000}
    assert (replay.is_replay, replay.row.id) == (True, first.row.id)
    assert isinstance(reused, IdempotencyKeyReused)
    assert last.row.balance_after == 0
    assert acme.member.balance() == 0


def test_an_impossible_sale_among_them_fails_alone(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 10_001)
    leader, impossible, other = _together(acme, [{"amount": 1000}, {"phone": "+98912" * 9}, {"amount": 2000}])
    assert (leader.row.amount, other.row.amount) == (1000, 2000)
    assert isinstance(impossible, DataError)
    assert acme.member.balance() == 7000


def test_a_sale_inside_a_transaction_is_that_transactions_alone(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 10_000)
    with ThreadPoolExecutor(1) as pool:
        with as_owner(), transaction.atomic():  # past a pooler, where the other waits
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL search_path = {acme.row.schema_name}")
            lock_seller(acme.row.pk, acme.member.id)
            other = pool.submit(_sell, acme, 1000)
            wait_until(lambda: (acme.row.pk, acme.member.id, False) in advisory_locks(), "the other waits for the lock")
            mine = _sell(acme, 2000)
            transaction.set_rollback(True)
        assert mine.row.balance_after == 8000
        assert other.result(30).row.balance_after == 9000
    assert acme.member.balance() == 9000


def test_the_books_show_no_trace_of_meeting(acme: Organization) -> None:
    give_credit(acme.row, acme.member.id, 10_000)
    _together(acme, [{"amount": 1000}] * 5)
    with acme.context:
        entries = list(Entry.objects.order_by("number"))
        recharges = {recharge.id: recharge for recharge in Recharge.objects.all()}
    assert [entry.number for entry in entries] == [1, 2, 3, 4, 5, 6, 7]
    assert [entry.id for entry in entries] == sorted(entry.id for entry in entries)
    for entry in entries[1:]:
        assert entry.balance_after == recharges[entry.reference].balance_after


def test_workers_are_woken_for_whoever_was_sold_for_by_another_thread(acme: Organization) -> None:
    """Whose own connection to the database may not be open at all."""
    sell_through_sandbox(acme.row, "mci")
    give_credit(acme.row, acme.member.id, 10_000)
    listening = psycopg2.connect(database_url())
    listening.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
    try:
        listening.cursor().execute(f"LISTEN {wakeups.CHANNEL}")

        def call(key: Any, items: Any) -> Any:
            rows = services._sell(key, items)
            connection.close()
            return rows

        original, services._combined = services._combined, Combiner(call, 20)
        wakeups._given.clear()  # of its credit
        try:
            assert _sell(acme, 1000).row.status == "pending"
        finally:
            services._combined = original

        def heard() -> bool:
            listening.poll()
            return bool(listening.notifies)

        wait_until(heard, "a worker hears of it")
        assert [notice.payload for notice in listening.notifies] == [str(acme.row.pk)]
    finally:
        listening.close()
