"""What dealers earn by what is sold below them: posted in batches, each recharge in one of them."""

import re
import uuid
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from typing import Any
from unittest.mock import ANY

import psycopg2
import pytest
from django.db import IntegrityError, connection, transaction
from django_tenants.utils import tenant_context

from credit.models import Account, Entry
from recharge.delivery.settlement import settle_recharge
from recharge.margins import services
from recharge.margins.services import Posted, post_margins
from recharge.margins.work import MarginWork
from recharge.models import Margin, MarginBatch, Recharge
from recharge.selling.sale import Item
from recharge.selling.services import sell_recharge
from shared.errors import SellerBusy
from tenants.models import Organization
from tenants.worker import Worker
from tests.support.crowd import in_threads
from tests.support.dealers import make_path, place, set_rate
from tests.support.locks import holding_lock, sell_pending
from tests.support.sessions import deadlocks, somebody_waits_for_table
from tests.support.visitor import Visitor, words_of
from tests.support.waiting import wait_until
from tests.support.world import Organization as People
from tests.support.world import database_url, give_credit, make_seller


@pytest.fixture
def row() -> Organization:
    return Organization.objects.get(slug="acme")


def sell(row: Organization, seller_id: int, amount: int = 10_000, operator: str = "mci") -> str:
    item = Item("+989121234567", operator, amount, uuid.uuid4().hex)
    return sell_recharge(organization=row, seller_id=seller_id, item=item).row.id


def settle(row: Organization, recharge_id: uuid.UUID | str, status: str) -> None:
    settle_recharge(
        organization=row,
        recharge_id=uuid.UUID(str(recharge_id)),
        status=Recharge.Status(status),
        failure="barred" if status == "failed" else "",
    )


def balances(row: Organization, sellers: Sequence[int]) -> list[int]:
    with tenant_context(row):
        known = dict(Account.objects.values_list("seller_id", "balance"))
    return [known[seller_id] for seller_id in sellers]


def entries(row: Organization, seller_id: int) -> list[tuple[str, int]]:
    with tenant_context(row):
        return list(Entry.objects.filter(seller_id=seller_id).order_by("number").values_list("kind", "amount"))


def due(row: Organization) -> int:
    with tenant_context(row):
        return Recharge.objects.filter(margin_due=True).count()


def test_a_dealer_earns_his_own_rate_less_the_highest_below_him(row: Organization) -> None:
    *dealers, kiosk = make_path(row, "country", "province", "city", "street", "kiosk", credit=100_000)
    for seller_id, basis_points in zip([*dealers, kiosk], (800, 500, 100, 350, 200), strict=True):
        set_rate(row, seller_id, basis_points)
    set_rate(row, dealers[0], None, operator="irancell", fixed=333)
    sell(row, kiosk, 10_099)  # 807, 504, 100, 353 and 201, each rounded down
    sell(row, kiosk, 1_000, "irancell")  # 333, 50, 10, 35 and 20
    assert balances(row, dealers) == [0, 0, 0, 0]  # not in the sale

    posted = post_margins(organization=row)
    assert (posted.looked, posted.done, posted.batches) == (2, 2, 3)
    # The city's own rate is less than that of the street below it.
    earned = [807 - 504 + 333 - 50, 504 - 353 + 50 - 35, 0, 353 - 201 + 35 - 20]
    assert balances(row, dealers) == earned
    assert balances(row, [kiosk]) == [100_000 - 11_099 + 201 + 20]
    assert entries(row, dealers[0]) == [("margin", earned[0])]
    with tenant_context(row):
        batch = MarginBatch.objects.get(seller_id=dealers[0])
        assert (batch.amount, batch.recharges, batch.is_back) == (earned[0], 2, False)
        assert Entry.objects.get(seller_id=dealers[0]).reference == batch.pk
        assert sorted(Margin.objects.filter(batch=batch).values_list("amount", flat=True)) == [283, 303]

    assert post_margins(organization=row) == Posted(0, None, 0, 0)
    assert balances(row, dealers) == earned


def test_what_was_sold_is_not_touched_by_rates_and_moves_that_come_later(row: Organization) -> None:
    dealer, kiosk = make_path(row, "dealer", "kiosk", credit=50_000)
    other = make_seller(row, "other").pk
    set_rate(row, dealer, 500)
    set_rate(row, None, 200)
    sell(row, kiosk)
    set_rate(row, dealer, 900)
    set_rate(row, kiosk, 0)
    set_rate(row, other, 900)
    place(row, kiosk, other)
    post_margins(organization=row)
    assert balances(row, [dealer, other]) == [300, 0]
    # What is sold from now on is the other's.
    sell(row, kiosk)
    post_margins(organization=row)
    assert balances(row, [dealer, other]) == [300, 900]


SALES = {
    "one": "SELECT FROM org_acme.recharge_sell(%s, %s, gen_random_uuid()::text, '+989121234567', 'mci', 10000, true)",
    "bulk": "SELECT FROM org_acme.recharge_sell_bulk(%s, %s, ARRAY[gen_random_uuid()::text], '{+989121234567}',"
    " '{mci}', '{10000}', '{true}', true, false)",
}


@pytest.mark.parametrize("sale", SALES.values(), ids=SALES.keys())
def test_a_margin_has_the_rate_that_was_in_force_at_its_sale(row: Organization, sale: str) -> None:
    """Whichever of the two began first, the other waits for it, and its moment is the later one."""
    dealer, kiosk = make_path(row, "dealer", "kiosk", credit=50_000)
    set_rate(row, dealer, 500)
    selling = (sale, [row.pk, kiosk])
    settling = ("SELECT FROM org_acme.commission_set(%s, '', %s, NULL, 'owner')", [dealer, 900])
    with closing(psycopg2.connect(database_url())) as first, closing(psycopg2.connect(database_url())) as second:
        for one, other in ((selling, settling), (settling, selling)):
            with ThreadPoolExecutor(1) as pool:
                first.cursor().execute(*one)
                waiting = pool.submit(second.cursor().execute, *other)
                wait_until(lambda: somebody_waits_for_table("org_acme", "recharge_commissionrate"))
                first.commit()
                waiting.result()
                second.commit()
            set_rate(row, dealer, 500)
    post_margins(organization=row)
    with tenant_context(row):
        margins = list(Margin.objects.order_by("recharge_id").values_list("amount", flat=True))
    assert margins == [500, 900]


def _plan_of(cursor: Any, function: str, **arguments: str) -> str:
    """Of the one statement of a function."""
    cursor.execute(
        "SELECT prosrc FROM pg_proc WHERE proname = %s AND pronamespace = current_schema()::regnamespace", [function]
    )
    statement = cursor.fetchone()[0].partition("RETURN QUERY")[2].rpartition(";")[0].rpartition(";")[0]
    for name, value in arguments.items():
        statement = statement.replace(name, value)
    cursor.execute(f"EXPLAIN (COSTS OFF) {statement}")
    return "\n".join(line for (line,) in cursor.fetchall())


def test_a_rate_is_found_by_an_index(row: Organization) -> None:
    """However many sellers have rates, and however often they changed. The table is filled first, and analysed: of one
    that autovacuum has seen with a few rows, the planner rightly reads all."""
    with tenant_context(row), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_MANY_RATES)
        plan = _plan_of(cursor, "commission_rate_at", p_seller_id="1", p_operator="'mci'", p_moment="now()")
        of_a_sale = _plan_of(cursor, "commission_rate_of", p_seller_id="1", p_operator="'mci'")
        transaction.set_rollback(True)
    assert "Index Scan Backward using commission_once" in of_a_sale, of_a_sale
    assert not {"Sort", "Append", "Seq Scan"} & set(re.findall(r"\w+(?: Scan)?", of_a_sale)), of_a_sale
    assert "Index Cond: ((seller_id = " in plan, plan
    assert "Index Cond: ((seller_id IS NULL)" in plan, plan
    assert "commission_at" in plan, plan
    assert "Seq Scan" not in plan, plan


# Of 300 sellers and of all, of all operators and of one, each changed 20 times.
_MANY_RATES = """
    INSERT INTO credit_seller (name, is_active, created_at)
    SELECT 'seller ' || n, true, now() FROM generate_series(1, 300) AS n;
    INSERT INTO recharge_commissionrate (seller_id, operator, basis_points, valid_from, valid_until, set_by)
    SELECT
        seller.id, operator, change, now() - (21 - change) * interval '1 day',
        CASE WHEN change < 20 THEN now() - (20 - change) * interval '1 day' END, ''
    FROM (SELECT id FROM credit_seller UNION ALL SELECT NULL) AS seller
    CROSS JOIN (VALUES (''), ('mci')) AS operators (operator)
    CROSS JOIN generate_series(1, 20) AS change;
    ANALYZE recharge_commissionrate;
"""


def test_margins_come_with_the_sellers_charge_and_go_with_it(row: Organization) -> None:
    top, dealer, kiosk = make_path(row, "top", "dealer", "kiosk", credit=10_000)
    for seller_id, basis_points in ((top, 700), (dealer, 500), (kiosk, 200)):
        set_rate(row, seller_id, basis_points)
    recharge_id = sell_pending(row, kiosk, 10_000)
    for status in ("unknown", "failed"):
        settle(row, recharge_id, status)
        assert post_margins(organization=row).looked == 0
    sell(row, kiosk, 9_000)  # its own margins: 180 and 270
    post_margins(organization=row)
    settle(row, recharge_id, "succeeded")  # the balance does not bear it: it is owed
    assert post_margins(organization=row).looked == 0
    assert balances(row, [top, dealer]) == [180, 270]

    give_credit(row, kiosk, 100_000)
    assert post_margins(organization=row).batches == 2
    assert balances(row, [top, dealer]) == [380, 570]

    settle(row, recharge_id, "failed")
    before = balances(row, [kiosk])
    sell(row, dealer, 400)  # what he has earned; by which he earns 20, and the top 8
    assert balances(row, [top, dealer]) == [380, 190]
    # The top has what is to be taken back; the dealer has not, and his rest stays due.
    assert post_margins(organization=row) == Posted(2, ANY, 1, 2)
    assert balances(row, [top, dealer]) == [380 + 8 - 200, 190]
    assert post_margins(organization=row) == Posted(1, recharge_id, 0, 0)
    assert due(row) == 1

    give_credit(row, dealer, 1_000)
    assert post_margins(organization=row).done == 1
    assert entries(row, dealer)[-1] == ("margin_back", -300)
    assert balances(row, [kiosk]) == before
    assert (due(row), post_margins(organization=row).looked) == (0, 0)


def test_one_who_was_sold_and_taken_back_before_anybody_looked_gives_nothing(row: Organization) -> None:
    dealer, kiosk = make_path(row, "dealer", "kiosk", credit=10_000)
    set_rate(row, dealer, 500)
    settle(row, sell(row, kiosk), "failed")
    assert post_margins(organization=row).done == 1
    assert (entries(row, dealer), due(row)) == ([], 0)


def test_nothing_is_due_without_rates_or_without_dealers(row: Organization) -> None:
    _, kiosk = make_path(row, "dealer", "kiosk", credit=50_000)
    sell(row, kiosk)
    set_rate(row, None, 500)
    sell(row, make_seller(row, "alone", 50_000).pk)
    assert due(row) == 0
    sell(row, kiosk)  # all have the same rate: nothing is left for the dealer
    assert post_margins(organization=row).done == 1
    with tenant_context(row):
        assert not MarginBatch.objects.exists()


def test_a_dealer_with_the_largest_balance_keeps_no_other_waiting(row: Organization) -> None:
    rich, kiosk = make_path(row, "rich", "kiosk", credit=50_000)
    dealer, child = make_path(row, "dealer", "child", credit=50_000)
    set_rate(row, rich, 500)
    set_rate(row, dealer, 500)
    with tenant_context(row), connection.cursor() as cursor:
        reference = str(uuid.uuid4())
        cursor.execute("SELECT ledger_post(%s, %s, 'credit', 9007199254740991, %s)", [row.pk, rich, reference])
    sell(row, kiosk)
    sell(row, child)
    assert post_margins(organization=row).done == 1
    assert balances(row, [dealer]) == [500]
    assert due(row) == 1
    with tenant_context(row), connection.cursor() as cursor:
        # The credit had no document; so it goes the same way.
        cursor.execute("ALTER TABLE credit_entry DISABLE TRIGGER credit_entry_append_only")
        cursor.execute("DELETE FROM credit_entry WHERE reference = %s", [reference])
        cursor.execute("ALTER TABLE credit_entry ENABLE TRIGGER credit_entry_append_only")
        cursor.execute(
            "UPDATE credit_account SET balance = 0, last_number = 0, last_hash = NULL WHERE seller_id = %s", [rich]
        )
    assert post_margins(organization=row).done == 1
    assert balances(row, [rich]) == [500]


def test_each_recharge_is_in_one_batch_whoever_works_at_once(row: Organization) -> None:
    """Six workers beside four sellers, dealers who sell too, and recharges that are taken back."""
    top, left, left_kiosk = make_path(row, "top", "left", "kiosk", credit=1_000_000)
    right, right_kiosk = (make_seller(row, name, credit).pk for name, credit in (("right", 0), ("kiosk", 1_000_000)))
    place(row, right, top)
    place(row, right_kiosk, right)
    for seller_id, basis_points in ((top, 900), (left, 600), (right, 500), (left_kiosk, 200), (right_kiosk, 300)):
        set_rate(row, seller_id, basis_points)
    give_credit(row, top, 1_000_000)  # dealers sell too
    give_credit(row, left, 1_000_000)
    before = balances(row, [top, left, right])
    deadlocks_before = deadlocks()

    def sell_some(seller_id: int) -> None:
        for number in range(25):
            recharge_id = sell(row, seller_id, 1_000)
            if number % 5 == 0:
                settle(row, recharge_id, "failed")

    def work() -> None:
        while not is_over or due(row):
            with suppress(SellerBusy):  # it comes again
                post_margins(organization=row, limit=7)

    is_over: list[bool] = []
    sellers = [left_kiosk, right_kiosk, left, left_kiosk]

    def sell_all() -> None:
        sold = in_threads([partial(sell_some, seller_id) for seller_id in sellers], 4)
        is_over.append(True)
        assert sold == [None] * 4

    assert in_threads([sell_all, *[work] * 6], 7) == [None] * 7
    # Of each seller's 25 recharges 20 remain: 40, 20 and 20 of them.
    assert balances(row, [top, left, right]) == [
        before[0] + 40 * 30 + 20 * 40 + 20 * 30,
        before[1] + 40 * 40 - 20 * (1_000 - 60),
        before[2] + 20 * 20,
    ]
    with tenant_context(row):
        counted = Counter(Margin.objects.values_list("recharge_id", "seller_id"))
        assert max(counted.values()) == 1
    assert deadlocks() == deadlocks_before


def test_the_worker_posts_them_batch_by_batch(row: Organization) -> None:
    dealer, kiosk = make_path(row, "dealer", "kiosk", credit=50_000)
    set_rate(row, dealer, 500)
    for _ in range(5):
        sell(row, kiosk, 1_000)
    Worker([MarginWork(batch=2)]).run_once()
    assert entries(row, dealer) == [("margin", 100), ("margin", 100), ("margin", 50)]
    assert services.BATCH == 250


def test_what_stays_due_keeps_nothing_waiting(row: Organization) -> None:
    """More recharges than a batch takes, whose dealer has spent most of what is taken back; and one after them."""
    poor, kiosk = make_path(row, "poor", "kiosk", credit=50_000)
    dealer, child = make_path(row, "dealer", "child", credit=50_000)
    set_rate(row, poor, 500)
    set_rate(row, dealer, 500)
    sold = [sell(row, kiosk, 1_000) for _ in range(3)]
    post_margins(organization=row)
    sell(row, poor, 100)
    for recharge_id in sold:
        settle(row, recharge_id, "failed")
    sell(row, child, 1_000)
    Worker([MarginWork(batch=2)]).run_once()
    # Of three margins he has had one left, and what he sold himself has earned him 5.
    assert balances(row, [poor, dealer]) == [5, 50]
    assert due(row) == 2


def test_a_dealer_who_is_busy_is_waited_for_another_time(row: Organization) -> None:
    dealer, kiosk = make_path(row, "dealer", "kiosk", credit=50_000)
    set_rate(row, dealer, 500)
    sell(row, kiosk)
    work = MarginWork(pause=0.0)
    with tenant_context(row):
        with holding_lock(row, dealer):
            assert work.claim(row, 64) == []
        assert work.seconds_until_due(row) == 0.0  # and the other kinds of work go on
        assert due(row) == 1
        work.claim(row, 64)
    assert balances(row, [dealer]) == [500]


def test_what_a_dealer_owed_and_his_margin_pays_is_seen_to_soon(row: Organization) -> None:
    top, dealer, kiosk = make_path(row, "top", "dealer", "kiosk", credit=20_000)
    set_rate(row, top, 700)
    set_rate(row, dealer, 500)
    give_credit(row, dealer, 1_000)
    late = sell_pending(row, dealer, 1_000)
    settle(row, late, "failed")
    sell(row, dealer, 1_000)
    settle(row, late, "succeeded")  # he has 50, and owes 950
    sell(row, kiosk, 20_000)
    work = MarginWork(pause=0.0)
    with tenant_context(row):
        work.claim(row, 64)
        assert balances(row, [top, dealer]) == [20 + 400, 50 + 1_000 - 950]
        assert due(row) == 1  # what was owed is paid, and earns the top a margin
        assert work.seconds_until_due(row) == 0.0
        work.claim(row, 64)
        assert balances(row, [top]) == [20 + 400 + 20]
        assert due(row) == 0
        work.claim(row, 64)
        assert work.seconds_until_due(row) is None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE recharge_margin SET amount = amount + 1",
        "UPDATE recharge_margin SET back_batch_id = NULL WHERE back_batch_id IS NOT NULL",
        "DELETE FROM recharge_margin",
        "UPDATE recharge_marginbatch SET amount = amount + 1",
        "DELETE FROM recharge_marginbatch",
        "TRUNCATE recharge_marginbatch, recharge_margin",
    ],
)
def test_batches_are_kept(row: Organization, statement: str) -> None:
    dealer, kiosk = make_path(row, "dealer", "kiosk", credit=50_000)
    set_rate(row, dealer, 500)
    recharge_id = sell(row, kiosk)
    post_margins(organization=row)
    settle(row, recharge_id, "failed")
    post_margins(organization=row)
    with (
        tenant_context(row),
        connection.cursor() as cursor,
        pytest.raises(IntegrityError, match="keeps what was posted"),
    ):
        cursor.execute(statement)


def test_a_batch_has_a_page_for_its_dealer_and_for_who_sees_all(acme: People) -> None:
    dealer, kiosk = acme.member.id, make_seller(acme.row, "<b>kiosk</b>", 100_000).pk
    place(acme.row, kiosk, dealer)
    set_rate(acme.row, dealer, 500)
    set_rate(acme.row, kiosk, 200)
    recharge_id = sell(acme.row, kiosk, 12_345)
    post_margins(organization=acme.row)
    settle(acme.row, recharge_id, "failed")
    post_margins(organization=acme.row)
    with acme.context:
        back, posted = MarginBatch.objects.filter(seller_id=dealer).order_by("-pk")
    for batch, heading in ((posted, "Margins"), (back, "Margins taken back")):
        path = f"/margins/{batch.pk}"
        own = Visitor.signed_in(acme.member).get(path)
        all_of_them = Visitor.signed_in(acme.owner).get(path)
        for answer in (own, all_of_them):
            page = answer.body.decode()
            assert f"<h1>{heading}</h1>" in page
            assert "371" in page  # 617 less 246
            assert "12,345" in page
            assert "&lt;b&gt;kiosk" in page
            assert words_of(page.partition("<tfoot")[2].partition("</tfoot")[0]).endswith("Sum of 1 row 12,345 371")
        assert f"/recharges/{recharge_id}" in all_of_them.body.decode()
        assert f"/recharges/{recharge_id}" not in own.body.decode()
        assert Visitor.signed_in(acme.neighbour).get(path).status == 404
        assert path in Visitor.signed_in(acme.member).get("/ledger").body.decode()
