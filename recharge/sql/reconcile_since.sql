-- What reconcile.sql looks at: what came since the checkpoint (checkpoint.sql), up to which everything was proved.
--
-- Entries are those with numbers above the ones that were proved: a seller's numbers have no gap, so none is missed, however
-- clocks went and however long a transaction took. A document is looked at when one of these entries names it, or when it is
-- of this time itself. Recharges are looked at also if they were open then, or if anything came after their end: these
-- change without being new.
--
-- Tables are read by their indexes, from these rows on: each of them joins a table, and none another of these sets, so that
-- it costs what these rows cost whatever the planner knows of them.

WITH checkpoint AS MATERIALIZED (
    SELECT
        -- What was written but not committed when the checkpoint was made has an earlier time. (Its entry is found in any
        -- case; this is for what has none.)
        at - interval '1 hour' AS recent,
        root_day,
        open
    FROM recharge_checkpoint
),

known_seller AS MATERIALIZED (
    SELECT
        known.seller_id,
        coalesce(proved.number, 0) AS proved_number,
        coalesce(proved.balance, 0) AS proved_balance,
        proved.hash AS proved_hash
    FROM (
        SELECT seller_id FROM credit_account
        UNION
        SELECT id FROM credit_seller
        UNION
        SELECT seller_id FROM recharge_provedaccount
    ) AS known
    LEFT JOIN recharge_provedaccount AS proved ON proved.seller_id = known.seller_id
),

checked_entry AS MATERIALIZED (
    SELECT entry.*, known.proved_number, known.proved_balance, known.proved_hash
    FROM known_seller AS known
    INNER JOIN credit_entry AS entry ON entry.seller_id = known.seller_id AND entry.number > known.proved_number
),

checked_recharge AS MATERIALIZED (
    SELECT recharge.*
    FROM (
        SELECT reference AS id FROM checked_entry WHERE kind = ANY (entry_kinds_of('recharge'))
        UNION
        SELECT id FROM recharge_recharge WHERE id >= uuid7_floor((SELECT recent FROM checkpoint))
        UNION
        SELECT id FROM checkpoint CROSS JOIN unnest(checkpoint.open) AS id
        UNION
        SELECT id FROM recharge_recharge WHERE late <> ''
    ) AS concerned
    INNER JOIN recharge_recharge AS recharge ON recharge.id = concerned.id
),

checked_transfer AS MATERIALIZED (
    SELECT transfer.*
    FROM (
        SELECT reference AS id FROM checked_entry WHERE kind = ANY (entry_kinds_of('transfer'))
        UNION
        SELECT id FROM credit_transfer WHERE id >= uuid7_floor((SELECT recent FROM checkpoint))
    ) AS concerned
    INNER JOIN credit_transfer AS transfer ON transfer.id = concerned.id
),

checked_request AS MATERIALIZED (
    SELECT request.*
    FROM (
        SELECT reference AS id FROM checked_entry WHERE kind = ANY (entry_kinds_of('credit_request'))
        UNION
        SELECT credit_request_id FROM checked_transfer
        UNION
        SELECT id FROM credit_creditrequest WHERE decided_at >= (SELECT recent FROM checkpoint)
    ) AS concerned
    INNER JOIN credit_creditrequest AS request ON request.id = concerned.id
),

checked_adjustment AS MATERIALIZED (
    SELECT adjustment.*
    FROM (
        SELECT reference AS id FROM checked_entry WHERE kind = ANY (entry_kinds_of('adjustment'))
        UNION
        SELECT id FROM credit_adjustment WHERE decided_at >= (SELECT recent FROM checkpoint)
    ) AS concerned
    INNER JOIN credit_adjustment AS adjustment ON adjustment.id = concerned.id
),

checked_batch AS MATERIALIZED (
    SELECT batch.*
    FROM (
        SELECT reference AS id FROM checked_entry WHERE kind = ANY (entry_kinds_of('margin_batch'))
        UNION
        SELECT id FROM recharge_marginbatch WHERE id >= uuid7_floor((SELECT recent FROM checkpoint))
    ) AS concerned
    INNER JOIN recharge_marginbatch AS batch ON batch.id = concerned.id
),

-- All margins of the recharges that are concerned.
checked_margin AS MATERIALIZED (
    SELECT margin.*
    FROM (
        SELECT margin.recharge_id AS id
        FROM checked_batch AS batch INNER JOIN recharge_margin AS margin ON margin.batch_id = batch.id
        UNION
        SELECT margin.recharge_id
        FROM checked_batch AS batch INNER JOIN recharge_margin AS margin ON margin.back_batch_id = batch.id
        UNION
        SELECT id FROM checked_recharge WHERE dealers IS NOT NULL
    ) AS concerned
    INNER JOIN recharge_margin AS margin ON margin.recharge_id = concerned.id
),

-- Those that were closed since, and those into which something has come.
checked_period AS MATERIALIZED (
    SELECT * FROM recharge_closedperiod
    WHERE closed_at >= (SELECT recent FROM checkpoint) OR ends > (SELECT min(created_at) FROM checked_entry)
),

running_entry AS MATERIALIZED (
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
        proved_number + row_number() OVER running AS expected_number,
        proved_balance + sum(amount + commission) OVER running AS expected_balance,
        lag(hash, 1, proved_hash) OVER running AS hash_before
    FROM checked_entry
    WINDOW running AS (PARTITION BY seller_id ORDER BY number, id ROWS UNBOUNDED PRECEDING)
),

totals AS MATERIALIZED (
    SELECT
        known.seller_id,
        known.proved_balance + coalesce(posted.moved, 0) AS balance,
        coalesce(posted.last_number, known.proved_number) AS last_number,
        coalesce(posted.last_balance, known.proved_balance) AS last_balance,
        CASE WHEN posted.last_number IS NULL THEN known.proved_hash ELSE posted.last_hash END AS last_hash
    FROM known_seller AS known
    CROSS JOIN LATERAL (
        SELECT
            sum(amount + commission) AS moved,
            max(number) AS last_number,
            (array_agg(balance_after ORDER BY number DESC, id DESC))[1] AS last_balance,
            (array_agg(hash ORDER BY number DESC, id DESC))[1] AS last_hash
        FROM credit_entry
        WHERE seller_id = known.seller_id AND number > known.proved_number
    ) AS posted
),

posted_for AS MATERIALIZED (
    SELECT entry.kind, entry.reference, count(*) AS entries
    FROM (SELECT DISTINCT kind, reference FROM checked_entry) AS concerned
    INNER JOIN credit_entry AS entry ON entry.kind = concerned.kind AND entry.reference = concerned.reference
    GROUP BY entry.kind, entry.reference
),

named_batch AS MATERIALIZED (
    SELECT
        batch.*,
        named.seller_id AS named_seller_id,
        named.is_back AS named_is_back,
        named.recharges AS named_recharges,
        named.amount AS named_amount
    FROM checked_batch AS batch
    LEFT JOIN LATERAL (
        SELECT margin.seller_id, margin.is_back, count(*) AS recharges, sum(margin.amount) AS amount
        FROM (
            SELECT seller_id, amount, false AS is_back FROM recharge_margin WHERE batch_id = batch.id
            UNION ALL
            SELECT seller_id, amount, true FROM recharge_margin WHERE back_batch_id = batch.id
        ) AS margin
        GROUP BY margin.seller_id, margin.is_back
    ) AS named ON true
),

-- The last one that was proved among them: it stands for all entries that it covers, and for the roots before it.
checked_root AS MATERIALIZED (
    SELECT *
    FROM (
        SELECT day, root, accounts, entries, sellers, numbers, lag(root) OVER (ORDER BY day) AS root_before
        FROM credit_chainroot
    ) AS root
    WHERE root.day >= coalesce((SELECT root_day FROM checkpoint), '-infinity')
),
