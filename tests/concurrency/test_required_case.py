"""The product's required case: at least 10 sellers and 1,000 recharges at once, and every final balance exact."""

import random
import uuid
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import pytest
from django_tenants.utils import tenant_context

from credit.models import Account, Entry
from recharge.models import Recharge
from recharge.selling.sale import Item
from recharge.selling.services import sell_recharge
from saas.demo_clients import Job, sell, share_progress
from tenants.models import Organization as OrganizationRow
from tests.support.crowd import in_processes, in_threads, new_processes
from tests.support.world import World, give_credit, make_person, make_seller

pytestmark = pytest.mark.slow

SELLERS, CREDIT, SALES, AMOUNT = 10, 1_000_000, 60, 5_000
EXPECTED = 700_000


def test_over_http_from_several_processes_with_repetitions_and_overspending(world: World) -> None:
    """2 organizations x 10 sellers x 60 sales, every tenth sent twice, and attempts to spend more than there is."""
    people = [
        make_person(organization.row, f"seller{number}", organization.owner.client.address, is_seller=True)
        for organization in (world.acme, world.globex)
        for number in range(SELLERS)
    ]
    jobs = []
    for person in people:
        give_credit(person.row, person.id, CREDIT)
        for number in range(SALES):
            job = Job(person.client.host, person.client.token, uuid.uuid4().hex, "09121234567", AMOUNT)
            jobs += [job] * (2 if number % 10 == 0 else 1)
        jobs.append(Job(person.client.host, person.client.token, uuid.uuid4().hex, "09121234567", CREDIT + 1))
    random.shuffle(jobs)

    context = new_processes(__name__)
    counter = context.Value("i", 0)
    with ProcessPoolExecutor(4, mp_context=context, initializer=share_progress, initargs=(counter,)) as pool:
        parts = [pool.submit(sell, person.client.address, jobs[index::4], 4) for index in range(4)]
        outcomes = sum((part.result() for part in parts), Counter())

    assert outcomes == {"created": 20 * SALES, "replayed": 20 * SALES // 10, "insufficient_credit": 20}
    assert [person.balance() for person in people] == [EXPECTED] * 20
    for organization in (world.acme, world.globex):
        with organization.context:
            assert Recharge.objects.count() == SELLERS * SALES
            assert Entry.objects.filter(kind="recharge").count() == SELLERS * SALES


def test_with_threads_only() -> None:
    row, sellers = _funded_sellers()
    calls = [partial(_sell, row, seller_id, AMOUNT) for _ in range(SALES * 2) for seller_id in sellers]  # 1,200 sales
    results = in_threads(calls, 16)
    assert [result for result in results if isinstance(result, Exception)] == []
    assert _balances(row) == dict.fromkeys(sellers, CREDIT - 2 * SALES * AMOUNT)


def test_with_processes_only() -> None:
    row, sellers = _funded_sellers()
    results = in_processes(sell_in_a_process, [(row.pk, sellers, SALES // 2)] * 4, 4)  # 4 x 10 x 30 = 1,200 sales
    assert sum(results) == 1200
    assert _balances(row) == dict.fromkeys(sellers, CREDIT - 2 * SALES * AMOUNT)


def sell_in_a_process(organization_id: int, sellers: list[int], each: int) -> int:
    """Runs in a process of its own: sells ``each`` times for every seller, in an order of its own."""
    row = OrganizationRow.objects.get(pk=organization_id)
    todo = sellers * each
    random.shuffle(todo)
    for seller_id in todo:
        _sell(row, seller_id, AMOUNT)
    return len(todo)


def _funded_sellers() -> tuple[OrganizationRow, list[int]]:
    row = OrganizationRow.objects.get(slug="acme")
    return row, [make_seller(row, f"seller{number}", CREDIT).pk for number in range(SELLERS)]


def _sell(row: OrganizationRow, seller_id: int, amount: int) -> None:
    sell_recharge(
        organization=row,
        seller_id=seller_id,
        item=Item("+989121234567", "mci", amount, uuid.uuid4().hex),
    )


def _balances(row: OrganizationRow) -> dict[int, int]:
    with tenant_context(row):
        return dict(Account.objects.values_list("seller_id", "balance"))
