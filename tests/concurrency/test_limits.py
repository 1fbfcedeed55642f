"""Many who sell for one seller at once, and who settle limits meanwhile: never one Toman beyond."""

import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from django.db import connection
from django.db.models import Sum
from django_tenants.utils import tenant_context

from recharge.delivery.settlement import settle_recharge
from recharge.limits.services import Limits, set_limits
from recharge.models import Recharge, SellerDay
from recharge.selling.errors import LimitExceeded
from recharge.selling.sale import Item
from recharge.selling.services import sell_recharge, sell_recharges
from tenants.models import Organization
from tests.support.crowd import in_processes, in_threads
from tests.support.locks import sell_pending, sell_through_sandbox
from tests.support.world import make_seller

ALLOWED, AMOUNT = 100_000, 1000


def test_64_threads_of_4_processes_sell_what_the_limit_allows_and_no_toman_more() -> None:
    row = Organization.objects.get(slug="acme")
    seller_id = make_seller(row, "busy", 10 * ALLOWED).pk
    _settle_limit(row, None)
    with ThreadPoolExecutor(1) as pool:
        settling = pool.submit(_settle_again_and_again, row, seller_id)
        sold = in_processes(sell_in_a_process, [(row.pk, seller_id)] * 4, 4)
        settling.result()
    assert sum(sold, Counter()) == {"sold": ALLOWED // AMOUNT, "refused": 4 * 16 * 5 - ALLOWED // AMOUNT}
    assert _counted(row, seller_id) == (ALLOWED, ALLOWED // AMOUNT)


def _settle_again_and_again(row: Organization, seller_id: int) -> None:
    """The same limit, of all and of the one, one after the other: what was counted before is counted anew each time."""
    for _ in range(10):
        _settle_limit(row, seller_id)
        _settle_limit(row, None)
    connection.close()


def sell_in_a_process(organization_id: int, seller_id: int) -> Counter[str]:
    """Runs in a process of its own: 16 threads sell four times each, every fourth time two in one call."""
    row = Organization.objects.get(pk=organization_id)
    calls = [partial(_sell, row, seller_id, 2 if number % 4 == 3 else 1) for number in range(16 * 4)]
    results = in_threads(calls, 16)
    assert [result for result in results if isinstance(result, Exception)] == []
    outcomes = Counter({"sold": sum(results)})
    outcomes["refused"] = sum((2 if number % 4 == 3 else 1) for number in range(16 * 4)) - outcomes["sold"]
    return outcomes


def _sell(row: Organization, seller_id: int, count: int) -> int:
    """How many of so many recharges were sold."""
    items = [Item("+989121234567", "mci", AMOUNT, uuid.uuid4().hex) for _ in range(count)]
    if count > 1:
        results = sell_recharges(organization=row, seller_id=seller_id, items=items, atomic=False).results
        assert all(not isinstance(result, Exception) or isinstance(result, LimitExceeded) for result in results)
        return sum(not isinstance(result, Exception) for result in results)
    try:
        sell_recharge(organization=row, seller_id=seller_id, item=items[0])
    except LimitExceeded:
        return 0
    return 1


def _settle_limit(row: Organization, seller_id: int | None) -> None:
    with tenant_context(row):
        set_limits(organization=row, by="owner", limits=Limits(seller_id=seller_id, per_day=ALLOWED))


def _counted(row: Organization, seller_id: int) -> tuple[int, int]:
    """The Tomans and sales of the seller's row, which are those of the recharges."""
    with tenant_context(row):
        day = SellerDay.objects.get(pk=seller_id)
        sold = Recharge.objects.filter(seller_id=seller_id).exclude(status=Recharge.Status.FAILED)
        assert (sold.aggregate(sum=Sum("amount"))["sum"], sold.count()) == (day.amount, day.sales)
    return day.amount, day.sales


def test_sales_and_refunds_at_once_leave_the_row_that_the_recharges_add_up_to() -> None:
    row = Organization.objects.get(slug="acme")
    seller_id = make_seller(row, "busy", 10 * ALLOWED).pk
    sell_through_sandbox(row, "mci")
    _settle_limit(row, None)
    pending = [sell_pending(row, seller_id, AMOUNT) for _ in range(20)]
    failed, succeeded = Recharge.Status.FAILED, Recharge.Status.SUCCEEDED
    settle = partial(settle_recharge, organization=row)
    calls = [partial(settle, recharge_id=one, status=failed, failure="no such number") for one in pending]
    calls += [partial(settle, recharge_id=one, status=succeeded) for one in pending[:10]]
    calls += [partial(_sell, row, seller_id, 1 + number % 2) for number in range(80)]
    results = in_threads(calls, 16)
    assert [result for result in results if isinstance(result, AssertionError)] == []
    amount, _sales = _counted(row, seller_id)
    # A late charge may go beyond: what was delivered is charged.
    assert ALLOWED - AMOUNT < amount <= ALLOWED + 10 * AMOUNT
