"""A seller's long history, written at once: sale by sale it would take twenty times as long."""

from django.db import transaction
from django_tenants.utils import tenant_context

from tenants.models import Organization
from tenants.working_role import as_owner
from tests.support.chain import FORGET
from tests.support.scripts import run_script
from tests.support.world import give_credit

# As so many calls of recharge_sell would have written it, one sale a second; every 20,000th failed and was refunded.
_FILL = """
    CREATE TEMPORARY TABLE sale ON COMMIT DROP AS
    SELECT
        n,
        uuid7_at(moment) AS id,
        moment,
        moment + interval '0.5 second' AS completed,
        n % 20000 = 0 AS failed,
        (n - 1) / 20000 AS refunds_before,
        n / 20000 AS refunds
    FROM (SELECT n, timestamptz '2025-01-01' + n * interval '1 second' AS moment FROM generate_series(1, {sales}) AS n)
    AS moments;
    INSERT INTO credit_entry (id, seller_id, number, kind, amount, balance_after, reference, created_at)
    SELECT
        uuid7_at(moment), {seller}, 1 + n + refunds_before, 'recharge', -1, {sales} - n + refunds_before, id, moment
    FROM sale
    UNION ALL
    SELECT uuid7_at(completed), {seller}, 1 + n + refunds, 'refund', 1, {sales} - n + refunds, id, completed
    FROM sale WHERE failed;
    INSERT INTO recharge_recharge (
        id, seller_id, idempotency_key, phone_number, operator, amount, status, failure, balance_after, created_at,
        completed_at, gateway, late, attempts
    )
    SELECT
        id, {seller}, 'key-' || n, '+98912' || lpad(n::text, 7, '0'), 'mci', 1,
        CASE WHEN failed THEN 'failed' ELSE 'succeeded' END, CASE WHEN failed THEN 'barred' ELSE '' END,
        {sales} - n + refunds_before, moment, completed, 'instant', '', 0
    FROM sale;
    UPDATE credit_account SET balance = {sales} / 20000, last_number = 1 + {sales} + {sales} / 20000
    WHERE seller_id = {seller};
"""


def sell_many(row: Organization, seller_id: int, sales: int) -> None:
    """Gives a seller who has done nothing yet so many Tomans, and sells for one Toman so many times."""
    give_credit(row, seller_id, sales)
    with as_owner(), tenant_context(row), transaction.atomic():
        run_script(_FILL.format(sales=sales, seller=seller_id) + FORGET)
