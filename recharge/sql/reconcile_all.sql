-- What reconcile.sql looks at: everything. (reconcile_since.sql: what came since a checkpoint.)
--
-- Each of these is read where it is asked for, and not kept: "NOT MATERIALIZED".

WITH checked_entry AS NOT MATERIALIZED (SELECT * FROM credit_entry),

checked_recharge AS NOT MATERIALIZED (SELECT * FROM recharge_recharge),

checked_request AS NOT MATERIALIZED (SELECT * FROM credit_creditrequest),

checked_adjustment AS NOT MATERIALIZED (SELECT * FROM credit_adjustment),

checked_transfer AS NOT MATERIALIZED (SELECT * FROM credit_transfer),

checked_batch AS NOT MATERIALIZED (SELECT * FROM recharge_marginbatch),

checked_margin AS NOT MATERIALIZED (SELECT * FROM recharge_margin),

checked_period AS NOT MATERIALIZED (SELECT * FROM recharge_closedperiod),

running_entry AS (
    SELECT
        seller_id,
        number,
        id,
        kind,
        amount,
        commission,
        balance_after,
        reference,
        created_at,
        hash,
        row_number() OVER running AS expected_number,
        sum(amount + commission) OVER running AS expected_balance,
        lag(hash) OVER running AS hash_before
    FROM credit_entry
    WINDOW running AS (PARTITION BY seller_id ORDER BY number, id ROWS UNBOUNDED PRECEDING)
),

totals AS (
    SELECT
        seller_id,
        coalesce(posted.balance, 0) AS balance,
        coalesce(posted.last_number, 0) AS last_number,
        coalesce(posted.last_balance, 0) AS last_balance,
        posted.last_hash
    FROM (
        SELECT
            seller_id,
            sum(amount + commission) AS balance,
            max(number) AS last_number,
            (array_agg(balance_after ORDER BY number DESC, id DESC))[1] AS last_balance,
            (array_agg(hash ORDER BY number DESC, id DESC))[1] AS last_hash
        FROM credit_entry
        GROUP BY seller_id
    ) AS posted
    FULL JOIN credit_account AS account USING (seller_id)
),

posted_for AS (SELECT kind, reference, count(*) AS entries FROM credit_entry GROUP BY kind, reference),

batch_sums AS (
    SELECT in_batch.id, margin.seller_id, in_batch.is_back, count(*) AS recharges, sum(margin.amount) AS amount
    FROM recharge_margin AS margin
    CROSS JOIN LATERAL (VALUES (margin.batch_id, false), (margin.back_batch_id, true)) AS in_batch (id, is_back)
    WHERE in_batch.id IS NOT NULL
    GROUP BY in_batch.id, margin.seller_id, in_batch.is_back
),

named_batch AS (
    SELECT
        batch.*,
        named.seller_id AS named_seller_id,
        named.is_back AS named_is_back,
        named.recharges AS named_recharges,
        named.amount AS named_amount
    FROM recharge_marginbatch AS batch LEFT JOIN batch_sums AS named ON named.id = batch.id
),

checked_root AS (
    SELECT day, root, accounts, entries, sellers, numbers, lag(root) OVER (ORDER BY day) AS root_before
    FROM credit_chainroot
),
