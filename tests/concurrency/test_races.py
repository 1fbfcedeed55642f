"""Two or more at once: exactly what one after the other would have given."""

import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import psycopg2
import pytest
from django.db import connection, transaction
from psycopg2 import sql

from credit.errors import InsufficientCredit
from credit.models import Entry
from credit.services import update_seller
from recharge.delivery.settlement import Settled, Settlement, settle_recharge
from recharge.models import Recharge
from recharge.selling.errors import AlreadySettled
from recharge.selling.sale import Item
from recharge.selling.services import BulkResult, sell_recharge, sell_recharges
from tests.support.crowd import in_threads, together
from tests.support.locks import advisory_locks, holding_lock, sell_pending
from tests.support.sessions import end_sessions
from tests.support.waiting import wait_until
from tests.support.world import Organization, Person, World, database_url, give_credit, make_person

pytestmark = pytest.mark.usefixtures("way")


def test_of_many_spends_of_one_exactly_as_many_succeed_as_there_are_tomans(world: World) -> None:
    member = world.acme.member
    give_credit(world.acme.row, member.id, 37)
    answers = in_threads([partial(member.sell, 1)] * 100, 32)
    assert Counter((answer.status, answer.code) for answer in answers) == {
        (201, None): 37,
        (402, "insufficient_credit"): 63,
    }
    assert member.balance() == 0
    assert sorted(answer.json["balance_after"] for answer in answers if answer.status == 201) == list(range(37))


def test_of_many_spends_at_the_service_exactly_as_many_succeed_as_there_are_tomans(world: World) -> None:
    row, seller_id = world.acme.row, world.acme.member.id
    give_credit(row, seller_id, 50)
    results = in_threads([lambda: _sell(row, seller_id, 1)] * 200, 16)
    assert Counter(type(result) for result in results) == {InsufficientCredit: 150, _Sold: 50}
    assert world.acme.member.balance() == 0


def test_one_key_from_32_threads_is_one_sale_and_31_replays(world: World) -> None:
    member = world.acme.member
    give_credit(world.acme.row, member.id, 1_000_000)
    answers = together([partial(member.sell, 5000, key="the-key")] * 32)
    assert Counter(answer.status for answer in answers) == {201: 1, 200: 31}
    assert {answer.json["id"] for answer in answers} == {answers[0].json["id"]}
    assert {answer.headers.get("Idempotent-Replayed") for answer in answers if answer.status == 200} == {"true"}
    assert member.balance() == 995_000


def test_one_key_with_two_contents_at_once_sells_one_of_them(world: World) -> None:
    member = world.acme.member
    give_credit(world.acme.row, member.id, 1_000_000)
    answers = together([partial(member.sell, amount, key="the-key") for amount in (5000, 7000)] * 8)
    assert Counter(answer.status for answer in answers) == {201: 1, 200: 7, 422: 8}
    sold = next(answer.json["amount"] for answer in answers if answer.status == 201)
    assert member.balance() == 1_000_000 - sold


def test_one_key_for_a_credit_request_from_16_threads_is_one_request(world: World) -> None:
    client = world.acme.member.client
    answers = together([partial(client.post, "/credit-requests", {"amount": 5}, key="k")] * 16)
    assert Counter(answer.status for answer in answers) == {201: 1, 200: 15}
    assert len(client.get("/credit-requests").json["results"]) == 1


def test_two_admins_who_approve_at_once_give_one_credit(world: World) -> None:
    second = make_person(world.acme.row, "second-owner", world.acme.owner.client.address)
    for _ in range(5):
        request = world.acme.member.client.post("/credit-requests", {"amount": 100}, key=uuid.uuid4().hex).json
        admins = [world.acme.owner.client, second.client] * 4
        answers = together([partial(admin.post, f"/credit-requests/{request['id']}/approve") for admin in admins])
        assert [answer.status for answer in answers] == [200] * 8
        assert Counter(answer.headers.get("Idempotent-Replayed") for answer in answers) == {None: 1, "true": 7}
        assert len({answer.json["decided_by"] for answer in answers}) == 1
    assert world.acme.member.balance() == 500


def test_approving_and_rejecting_at_once_is_one_decision(world: World) -> None:
    owner = world.acme.owner.client
    for _ in range(5):
        before = world.acme.member.balance()
        request = world.acme.member.client.post("/credit-requests", {"amount": 100}, key=uuid.uuid4().hex).json
        path = f"/credit-requests/{request['id']}"
        answers = together(
            [partial(owner.post, f"{path}/approve"), partial(owner.post, f"{path}/reject", {"reason": "no"})] * 4
        )
        assert Counter((answer.status, answer.code) for answer in answers) == {
            (200, None): 4,
            (409, "already_decided"): 4,
        }
        approved = owner.get(path).json["status"] == "approved"
        assert world.acme.member.balance() - before == (100 if approved else 0)


def test_failing_twice_at_once_refunds_once(world: World) -> None:
    row, seller_id = world.acme.row, world.acme.member.id
    give_credit(row, seller_id, 5000)
    with world.acme.context:
        recharge = sell_pending(row, seller_id)
    fail = partial(settle_recharge, organization=row, recharge_id=recharge, status="failed", failure="no such number")
    results = together([fail] * 8)
    assert Counter(result.settlement for result in results) == {Settlement.SETTLED: 1, Settlement.REPLAYED: 7}
    assert world.acme.member.balance() == 5000


def test_failing_and_succeeding_at_once_is_what_one_after_the_other_would_be(world: World) -> None:
    row, seller_id = world.acme.row, world.acme.member.id
    give_credit(row, seller_id, 5000)
    recharge = sell_pending(row, seller_id)
    settle = partial(settle_recharge, organization=row, recharge_id=recharge)
    results = together([partial(settle, status="failed", failure="no"), partial(settle, status="succeeded")] * 4)
    assert {type(result) for result in results} <= {Settled, AlreadySettled}
    settlements = Counter(result.settlement for result in results if isinstance(result, Settled))
    assert settlements[Settlement.SETTLED] == 1
    with world.acme.context:
        row = Recharge.objects.get(pk=recharge)
    assert row.late == ("reversed" if settlements["reversed"] else "charged" if settlements["charged_late"] else "")
    assert world.acme.member.balance() == (5000 if row.status == "failed" else 0)


def test_credit_and_sales_of_one_seller_at_once_lose_nothing(world: World) -> None:
    member, owner = world.acme.member, world.acme.owner.client
    give_credit(world.acme.row, member.id, 100_000)
    requests = [
        member.client.post("/credit-requests", {"amount": 1000}, key=uuid.uuid4().hex).json["id"] for _ in range(20)
    ]
    calls = [partial(owner.post, f"/credit-requests/{request}/approve") for request in requests]
    calls += [partial(member.sell, 500)] * 60
    calls += [partial(member.client.get, "/balance")] * 20
    answers = in_threads(calls, 16)
    assert {answer.status for answer in answers} == {200, 201}
    assert member.balance() == 100_000 + 20 * 1000 - 60 * 500
    with world.acme.context:
        numbers = Entry.objects.filter(seller=member.id).values_list("number", flat=True)
        assert sorted(numbers) == list(range(1, 82))


def test_two_organizations_sellers_of_one_id_share_nothing_under_load(world: World) -> None:
    acme, globex = world.acme.member, world.globex.member
    assert acme.id == globex.id
    give_credit(world.acme.row, acme.id, 50 * 100)
    give_credit(world.globex.row, globex.id, 50 * 200)
    calls = []
    for number in range(50):  # the same keys in both
        calls += [partial(acme.sell, 100, key=f"k{number}"), partial(globex.sell, 200, key=f"k{number}")]
    answers = in_threads(calls, 16)
    assert [answer.status for answer in answers] == [201] * 100
    assert (acme.balance(), globex.balance()) == (0, 0)
    assert acme.sell(1).code == globex.sell(1).code == "insufficient_credit"


@pytest.mark.parametrize("same_organization", [True, False])
def test_the_lock_is_the_sellers_own(world: World, same_organization: bool) -> None:
    """While acme's seller 1 is locked, acme's seller 1 waits, and globex's seller 1 does not."""
    holder, other = world.acme, world.acme if same_organization else world.globex
    give_credit(other.row, other.member.id, 5000)
    with ThreadPoolExecutor(1) as pool:
        with holding_lock(holder.row, holder.member.id):
            sale = pool.submit(other.member.sell, 5000)
            if same_organization:
                waiting = (holder.row.pk, holder.member.id, False)
                wait_until(lambda: waiting in advisory_locks(), "the sale waits for the seller's lock")
                assert not sale.done()
            else:
                assert sale.result(10).status == 201
                assert advisory_locks() == {(holder.row.pk, holder.member.id, True)}
        assert sale.result(10).status == 201


def test_of_an_organization_one_bulk_call_is_at_work_at_a_time(world: World) -> None:
    """So that it can't take all processors from the others, whose calls wait for none of it. (Not over HTTP: there each
    process has a seat for one such call of an organization.)"""
    acme, globex = world.acme, world.globex
    everybody = ((acme, acme.member), (acme, acme.neighbour), (globex, globex.member))
    for organization, person in everybody:
        give_credit(organization.row, person.id, 10_000)

    def sell_two(organization: Organization, person: Person) -> BulkResult:
        items = [Item("+989121234567", "mci", 1000, uuid.uuid4().hex, allow_duplicate=True) for _ in range(2)]
        return sell_recharges(organization=organization.row, seller_id=person.id, items=items, atomic=True)

    def sell_two_beside() -> int:
        try:
            return sell_two(acme, acme.member).balance
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with holding_lock(acme.row, 0):  # as another seller's call does
            waits = pool.submit(sell_two_beside)
            wait_until(lambda: (acme.row.pk, 0, False) in advisory_locks(), "it waits for the other call")
            assert acme.neighbour.sell(5000).status == 201
            assert sell_two(globex, globex.member).balance == 8000
            assert not waits.done()
        assert waits.result(10) == 8000
        with holding_lock(acme.row, acme.member.id):
            waits = pool.submit(sell_two_beside)
            wait_until(lambda: (acme.row.pk, acme.member.id, False) in advisory_locks(), "it waits for its seller")
            assert sell_two(acme, acme.neighbour).balance == 3000  # which keeps no other from selling
        assert waits.result(10) == 6000


@contextmanager
def _without_the_lock() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_functiondef('org_acme.seller_lock'::regproc)")
        (definition,) = cursor.fetchone()
        cursor.execute(
            "CREATE OR REPLACE FUNCTION org_acme.seller_lock(p_organization_id bigint, p_seller_id bigint) "
            "RETURNS void LANGUAGE sql BEGIN ATOMIC SELECT NULL; END"
        )
        try:
            yield
        finally:
            cursor.execute(definition)


def test_balances_are_right_without_the_lock_too(world: World) -> None:
    """The lock gives order and speed. What keeps the money right is the row, its CHECK and the unique constraints."""
    row, member = world.acme.row, world.acme.member
    give_credit(row, member.id, 50)
    with _without_the_lock():
        results = in_threads([lambda: _sell(row, member.id, 1)] * 200, 16)
    assert Counter(type(result) for result in results) == {InsufficientCredit: 150, _Sold: 50}
    assert member.balance() == 0


@pytest.mark.breaks_the_books
def test_balances_of_bulk_calls_are_right_without_the_lock_too(world: World) -> None:
    """Balances and entries. (The balance that each recharge names was read before: that alone is the lock's.)"""
    row, member = world.acme.row, world.acme.member
    give_credit(row, member.id, 1000)

    def sell_two() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT FROM org_acme.recharge_sell_bulk("
                "%s, %s, ARRAY[gen_random_uuid()::text, gen_random_uuid()::text],"
                " '{+989121234567,+989121234568}', '{mci,mci}', '{1,1}', '{true,true}', true, false)",
                [row.pk, member.id],
            )

    with _without_the_lock():
        in_threads([sell_two] * 200, 16)
    assert member.balance() == 600


def test_switching_a_seller_off_waits_for_the_sale_that_found_the_seller_active(world: World) -> None:
    """So that none commits after the switch-off has been answered."""
    owner, member = world.acme.owner.client, world.acme.member
    give_credit(world.acme.row, member.id, 10_000)
    with ThreadPoolExecutor(1) as pool, psycopg2.connect(database_url()) as sale, sale.cursor() as cursor:
        cursor.execute(
            "SELECT outcome FROM org_acme.recharge_sell(%s, %s, 'k', '+989121234567', 'mci', 400, true)",
            [world.acme.row.pk, member.id],
        )
        assert cursor.fetchone() == ("created",)
        off = pool.submit(owner.patch, f"/sellers/{member.id}", {"is_active": False})
        waiting = (world.acme.row.pk, member.id, False)
        wait_until(lambda: waiting in advisory_locks(), "the switch-off waits for the sale")
        sale.commit()
        assert off.result(10).status == 200
    sale.close()
    assert member.balance() == 9600
    assert member.sell(1).code == "seller_inactive"


def test_a_sale_waits_for_a_switch_off_that_is_under_way_and_then_is_refused(world: World) -> None:
    member = world.acme.member
    give_credit(world.acme.row, member.id, 10_000)
    with ThreadPoolExecutor(1) as pool:
        with world.acme.context, transaction.atomic():
            update_seller(organization=world.acme.row, seller_id=member.id, is_active=False)
            sale = pool.submit(member.sell, 5000)
            waiting = (world.acme.row.pk, member.id, False)
            wait_until(lambda: waiting in advisory_locks(), "the sale waits for the switch-off")
        assert sale.result(10).code == "seller_inactive"
    assert member.balance() == 10_000


@pytest.mark.parametrize("lock", ["FOR UPDATE", "FOR NO KEY UPDATE"])
def test_a_sellers_row_that_stays_locked_is_503_within_the_limit_or_no_hindrance(world: World, lock: str) -> None:
    """The foreign keys are looked at inside of the function, where its time limit holds, and not at COMMIT."""
    member = world.acme.member
    give_credit(world.acme.row, member.id, 10_000)
    with psycopg2.connect(database_url()) as holder, holder.cursor() as cursor:
        cursor.execute(f"SELECT FROM org_acme.credit_seller WHERE id = %s {lock}", [member.id])
        answer = member.sell(5000)
    holder.close()
    assert (answer.status, answer.code) == ((503, "seller_busy") if lock == "FOR UPDATE" else (201, None))


def test_a_database_with_another_isolation_level_by_default_changes_nothing(world: World) -> None:
    """The functions must see what was committed while they waited for the lock."""
    member = world.acme.member
    give_credit(world.acme.row, member.id, 10_000)
    with psycopg2.connect(database_url()) as other:
        other.autocommit = True
        with other.cursor() as cursor:
            cursor.execute("SELECT current_database()")
            database = sql.Identifier(cursor.fetchone()[0])
            setting = sql.SQL("ALTER DATABASE {} SET default_transaction_isolation TO 'serializable'").format(database)
            cursor.execute(setting)
            try:
                end_sessions(other)
                answers = together([partial(member.sell, 100, key=f"k{number % 8}") for number in range(32)])
            finally:
                cursor.execute(sql.SQL("ALTER DATABASE {} RESET default_transaction_isolation").format(database))
    other.close()
    assert Counter(answer.status for answer in answers) == {201: 8, 200: 24}
    assert member.balance() == 9200


@pytest.mark.parametrize("connections", ["alive", "dead"])
def test_a_seller_who_stays_locked_is_503_and_nothing_was_done(world: World, connections: str) -> None:
    """Also where the call had to be repeated, on a new connection."""
    member = world.acme.member
    give_credit(world.acme.row, member.id, 5000)
    with holding_lock(world.acme.row, member.id) as holder:
        if connections == "dead":
            end_sessions(holder)
        answer = member.sell(5000, key="k")
    assert (answer.status, answer.code) == (503, "seller_busy")
    assert int(answer.headers["Retry-After"]) >= 1
    assert member.balance() == 5000
    assert member.sell(5000, key="k").status == 201


class _Sold:
    pass


def _sell(row, seller_id: int, amount: int) -> _Sold:
    sell_recharge(
        organization=row,
        seller_id=seller_id,
        item=Item("+989121234567", "mci", amount, uuid.uuid4().hex),
    )
    return _Sold()
