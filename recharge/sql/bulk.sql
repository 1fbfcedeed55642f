-- Selling many recharges of one seller at once: decided one after the other in the order given, written as sets.
--
-- Deciding is inherently one after the other (whether an item is sold depends on what was sold before it), so it is a loop
-- over arrays in memory that touches no table. Reading the keys before it and writing the rows after it are one statement
-- each, for all items. Everything is under the seller's lock, so nothing changes in between.

-- Sells the items, an index of the arrays each. With p_atomic all are sold or none is.
-- Answers one row an item, in their order; its outcome is one of recharge_sell's: created, replayed, key_reused,
-- insufficient_credit (with the balance that it met), or, in an atomic call that is refused, not_sold for those items that
-- would have been. A seller who was switched off gets no rows at all.
CREATE FUNCTION recharge_sell_bulk(
    p_organization_id bigint,
    p_seller_id bigint,
    p_idempotency_keys text[],
    p_phone_numbers text[],
    p_operators text[],
    p_amounts bigint[],
    p_delivered boolean[],
    p_atomic boolean
) RETURNS TABLE (item integer, outcome text, balance bigint, balance_after_call bigint, sold recharge_recharge)
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_now timestamptz;
    v_before bigint;
    v_balance bigint;
    v_items constant integer := cardinality(p_amounts);
    v_existing uuid[];                -- by item: the recharge that has its key
    v_same boolean[];                 -- by item: whether that recharge has its content
    v_first integer[];                -- by item: the first item of the call with its key
    v_winner integer[] := array_fill(NULL::integer, ARRAY[v_items]);  -- by first item: which of them was sold
    v_outcomes text[] := array_fill(NULL::text, ARRAY[v_items]);
    v_balances bigint[] := array_fill(NULL::bigint, ARRAY[v_items]);
    v_ids uuid[] := array_fill(NULL::uuid, ARRAY[v_items]);
    v_refused boolean := false;
    v_earlier integer;
BEGIN
    PERFORM seller_lock(p_organization_id, p_seller_id);

    IF NOT EXISTS (SELECT FROM credit_seller WHERE id = p_seller_id AND is_active) THEN
        RETURN;
    END IF;

    SELECT account.balance INTO STRICT v_before FROM credit_account AS account WHERE account.seller_id = p_seller_id;
    v_balance := v_before;

    SELECT
        array_agg(existing.id ORDER BY asked.item),
        array_agg(
            (existing.phone_number, existing.operator, existing.amount)
            = (asked.phone_number, asked.operator, asked.amount)
            ORDER BY asked.item
        ),
        array_agg(asked.first_item ORDER BY asked.item)
    INTO v_existing, v_same, v_first
    FROM (
        SELECT *, min(given.item) OVER (PARTITION BY given.idempotency_key)::integer AS first_item
        FROM unnest(p_idempotency_keys, p_phone_numbers, p_operators, p_amounts)
            WITH ORDINALITY AS given (idempotency_key, phone_number, operator, amount, item)
    ) AS asked
    -- One look-up an item, by the key's index ("+ 0": see recharge_sell). LIMIT keeps the planner from reading the whole
    -- table into a hash instead, as it would when it plans this while the table is empty.
    LEFT JOIN LATERAL (
        SELECT * FROM recharge_recharge AS recharge
        WHERE recharge.idempotency_key = asked.idempotency_key AND recharge.seller_id + 0 = p_seller_id
        LIMIT 1
    ) AS existing ON true;

    v_now := clock_timestamp();
    FOR i IN 1 .. v_items LOOP
        v_earlier := v_winner[v_first[i]];
        IF v_existing[i] IS NOT NULL THEN
            v_ids[i] := v_existing[i];
            v_outcomes[i] := CASE WHEN v_same[i] THEN 'replayed' ELSE 'key_reused' END;
        ELSIF v_earlier IS NOT NULL THEN
            v_ids[i] := v_ids[v_earlier];
            v_outcomes[i] := CASE
                WHEN (p_phone_numbers[i], p_operators[i], p_amounts[i])
                    = (p_phone_numbers[v_earlier], p_operators[v_earlier], p_amounts[v_earlier])
                    THEN 'replayed'
                ELSE 'key_reused'
            END;
        ELSIF p_amounts[i] > v_balance THEN
            v_outcomes[i] := 'insufficient_credit';
        ELSE
            v_balance := v_balance - p_amounts[i];
            -- A microsecond apart, so that ids sort as the items were given.
            v_ids[i] := uuid7_at(v_now + i * interval '1 microsecond');
            v_winner[v_first[i]] := i;
            v_outcomes[i] := 'created';
        END IF;
        v_balances[i] := v_balance;
        v_refused := v_refused OR v_outcomes[i] IN ('key_reused', 'insufficient_credit');
    END LOOP;

    IF p_atomic AND v_refused THEN
        RETURN QUERY
        SELECT
            given.i::integer,
            CASE WHEN given.outcome IN ('created', 'replayed') THEN 'not_sold' ELSE given.outcome END,
            given.balance,
            v_before,
            NULL::recharge_recharge
        FROM unnest(v_outcomes, v_balances) WITH ORDINALITY AS given (outcome, balance, i)
        ORDER BY given.i;
        RETURN;
    END IF;

    PERFORM ledger_post_many(
        p_organization_id,
        p_seller_id,
        'recharge',
        array_agg(-given.amount ORDER BY given.i),
        array_agg(given.id ORDER BY given.i)
    )
    FROM unnest(p_amounts, v_ids, v_outcomes) WITH ORDINALITY AS given (amount, id, outcome, i)
    WHERE given.outcome = 'created'
    HAVING count(*) > 0;

    INSERT INTO recharge_recharge (
        id, seller_id, idempotency_key, phone_number, operator, amount, status, failure, balance_after, created_at,
        completed_at
    )
    SELECT
        given.id, p_seller_id, given.idempotency_key, given.phone_number, given.operator, given.amount,
        CASE WHEN given.delivered THEN 'succeeded' ELSE 'pending' END, '', given.balance,
        v_now + given.i * interval '1 microsecond',
        CASE WHEN given.delivered THEN v_now + given.i * interval '1 microsecond' END
    FROM unnest(
        v_ids, v_outcomes, v_balances, p_idempotency_keys, p_phone_numbers, p_operators, p_amounts, p_delivered
    ) WITH ORDINALITY AS given (
        id, outcome, balance, idempotency_key, phone_number, operator, amount, delivered, i
    )
    WHERE given.outcome = 'created'
    ORDER BY given.i;

    RETURN QUERY
    SELECT
        given.i::integer,
        given.outcome,
        given.balance,
        v_balance,
        CASE WHEN given.outcome IN ('created', 'replayed') THEN recharge::recharge_recharge END
    FROM unnest(v_outcomes, v_balances, v_ids) WITH ORDINALITY AS given (outcome, balance, id, i)
    -- LIMIT: as above.
    LEFT JOIN LATERAL (SELECT * FROM recharge_recharge WHERE id = given.id LIMIT 1) AS recharge ON true
    ORDER BY given.i;
END;
$$;
