-- Selling many recharges of one seller at once: decided one after the other in the order given, written as sets.
--
-- Deciding is inherently one after the other (whether an item is sold depends on what was sold before it), so it is a loop
-- over arrays in memory that touches no table. Reading the keys before it and writing the rows after it are one statement
-- each, for all items. Everything is under the seller's lock, so nothing changes in between.

-- Sells the items, an index of the arrays each. With p_atomic all are sold or none is; then p_others_refused says that none
-- is: the call has other items, which can't even be read. p_guard is as recharge_sell's, but what was sold with a key that
-- begins with p_own_keys was meant: the same may stand in one file twice, which is sold in several calls.
-- Answers one row an item, in their order; its outcome is one of recharge_sell's, or, in an atomic call that is refused,
-- not_sold for those items that would have been. A seller who is switched off gets no rows at all, unless items were
-- sold before: these are replayed, and the others are refused.
CREATE FUNCTION recharge_sell_bulk(
    p_organization_id bigint,
    p_seller_id bigint,
    p_idempotency_keys text[],
    p_phone_numbers text[],
    p_operators text[],
    p_amounts bigint[],
    p_allow_duplicates boolean[],
    p_atomic boolean,
    p_others_refused boolean,
    p_guard integer DEFAULT 0,
    p_own_keys text DEFAULT NULL
) RETURNS TABLE (
    item integer, outcome text, balance bigint, balance_after_call bigint, is_due boolean, sold recharge_recharge
)
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_active boolean;
    v_clock timestamptz;
    v_last timestamptz;
    v_now timestamptz;
    v_new_ids uuid[];
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
    v_refusals text[];                -- by item: why nothing is sold of its operator at all
    v_training boolean[];
    v_sold_amount boolean[];          -- by item: whether the organization sells such an amount of its operator
    v_gateways text[];
    v_delivered boolean[];
    v_guarded boolean[];              -- by item: whether a duplicate of it would be refused
    v_duplicate boolean[];            -- by item: whether it is one of an earlier call's
    v_alike integer[];                -- by item: the first item of the call with its number and amount
    v_sold_alike boolean[] := array_fill(false, ARRAY[v_items]);      -- by that item: whether one of them was sold
    v_refused boolean := false;
    v_listened boolean;
    v_earlier integer;
BEGIN
    PERFORM seller_lock(p_organization_id, p_seller_id);

    v_active := EXISTS (SELECT FROM credit_seller WHERE id = p_seller_id AND is_active);
    SELECT account.balance, account.last_moment INTO STRICT v_before, v_last
    FROM credit_account AS account WHERE account.seller_id = p_seller_id;
    v_balance := v_before;

    SELECT
        array_agg(existing.id ORDER BY asked.item),
        array_agg(
            (existing.phone_number, existing.operator, existing.amount)
            = (asked.phone_number, asked.operator, asked.amount)
            ORDER BY asked.item
        ),
        array_agg(asked.first_item ORDER BY asked.item),
        array_agg(recharge_is_amount_sold(known.terms, asked.amount) ORDER BY asked.item),
        array_agg((known.terms).refusal ORDER BY asked.item),
        array_agg((known.terms).training ORDER BY asked.item),
        array_agg((known.terms).gateway ORDER BY asked.item),
        array_agg((known.terms).delivered ORDER BY asked.item),
        array_agg((known.terms).duplicate_window > 0 AND NOT asked.allow_duplicate ORDER BY asked.item),
        array_agg(
            -- recharge_is_repeated looks at the window itself, but takes 5 µs an item to say so.
            NOT asked.allow_duplicate AND (
                (known.terms).duplicate_window > 0 AND recharge_is_repeated(
                    (known.terms).duplicate_window, p_seller_id, asked.phone_number, asked.amount
                )
                OR p_guard > 0 AND recharge_is_repeated(
                    p_guard, p_seller_id, asked.phone_number, asked.amount, p_own_keys
                )
            )
            ORDER BY asked.item
        ),
        array_agg(asked.alike ORDER BY asked.item)
    INTO
        v_existing, v_same, v_first, v_sold_amount, v_refusals, v_training, v_gateways, v_delivered, v_guarded,
        v_duplicate, v_alike
    FROM (
        SELECT
            *,
            min(given.item) OVER (PARTITION BY given.idempotency_key)::integer AS first_item,
            min(given.item) OVER (PARTITION BY given.phone_number, given.amount)::integer AS alike
        FROM unnest(p_idempotency_keys, p_phone_numbers, p_operators, p_amounts, p_allow_duplicates)
            WITH ORDINALITY AS given (idempotency_key, phone_number, operator, amount, allow_duplicate, item)
    ) AS asked
    INNER JOIN (
        SELECT named.operator, recharge_terms_of(named.operator) AS terms
        FROM (SELECT DISTINCT operator FROM unnest(p_operators) AS operator) AS named
    ) AS known USING (operator)
    -- One look-up an item, by the key's index ("+ 0": see recharge_sell). LIMIT keeps the planner from reading the whole
    -- table into a hash instead, as it would when it plans this while the table is empty.
    LEFT JOIN LATERAL (
        SELECT * FROM recharge_recharge AS recharge
        WHERE recharge.idempotency_key = asked.idempotency_key AND recharge.seller_id + 0 = p_seller_id
        LIMIT 1
    ) AS existing ON true;

    v_clock := clock_timestamp();
    v_now := seller_moment(v_clock, v_last);
    v_new_ids := uuid7s_after(v_now, v_items);  -- a microsecond apart, so that ids sort as the items were given
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
        ELSIF NOT v_active THEN
            v_outcomes[i] := 'seller_inactive';
        ELSIF v_refusals[i] IS NOT NULL THEN
            v_outcomes[i] := v_refusals[i];
        ELSIF NOT v_sold_amount[i] THEN
            v_outcomes[i] := 'amount_not_sold';
        ELSIF v_duplicate[i] OR (v_guarded[i] AND v_sold_alike[v_alike[i]]) THEN
            v_outcomes[i] := 'possible_duplicate';
        ELSIF p_amounts[i] > v_balance THEN
            v_outcomes[i] := 'insufficient_credit';
        ELSE
            v_balance := v_balance - p_amounts[i];
            v_ids[i] := v_new_ids[i];
            v_winner[v_first[i]] := i;
            v_sold_alike[v_alike[i]] := true;
            v_outcomes[i] := 'created';
        END IF;
        v_balances[i] := v_balance;
        v_refused := v_refused OR v_outcomes[i] NOT IN ('created', 'replayed');
    END LOOP;

    IF NOT v_active AND array_position(v_outcomes, 'replayed') IS NULL THEN
        RETURN;
    END IF;

    IF p_atomic AND (v_refused OR p_others_refused) THEN
        RETURN QUERY
        SELECT
            given.i::integer,
            -- What another call has sold before is sold, whatever becomes of this one.
            CASE
                WHEN given.outcome = 'created' OR given.outcome = 'replayed' AND given.existing IS NULL THEN 'not_sold'
                ELSE given.outcome
            END,
            given.balance,
            v_before,
            false,
            CASE WHEN given.outcome = 'replayed' THEN recharge::recharge_recharge END
        FROM unnest(v_outcomes, v_balances, v_existing) WITH ORDINALITY AS given (outcome, balance, existing, i)
        LEFT JOIN LATERAL (SELECT * FROM recharge_recharge WHERE id = given.existing LIMIT 1) AS recharge ON true
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
        completed_at, gateway, late, due_at, attempts, training
    )
    SELECT
        given.id, p_seller_id, given.idempotency_key, given.phone_number, given.operator, given.amount,
        CASE WHEN given.delivered THEN 'succeeded' ELSE 'pending' END, '', given.balance,
        v_now + given.i * interval '1 microsecond',
        CASE WHEN given.delivered THEN v_now + given.i * interval '1 microsecond' END,
        given.gateway, '', CASE WHEN NOT given.delivered THEN v_clock END, 0, given.training
    FROM unnest(
        v_ids, v_outcomes, v_balances, p_idempotency_keys, p_phone_numbers, p_operators, p_amounts, v_gateways,
        v_delivered, v_training
    ) WITH ORDINALITY AS given (
        id, outcome, balance, idempotency_key, phone_number, operator, amount, gateway, delivered, training, i
    )
    WHERE given.outcome = 'created'
    ORDER BY given.i;

    v_listened := EXISTS (SELECT FROM webhook_listeners(p_seller_id));
    IF v_listened THEN
        PERFORM webhook_emit('recharge.succeeded', p_seller_id, recharge_data(recharge))
        FROM unnest(v_ids, v_outcomes, v_delivered) WITH ORDINALITY AS given (id, outcome, delivered, i)
        CROSS JOIN LATERAL (SELECT * FROM recharge_recharge WHERE id = given.id LIMIT 1) AS recharge
        WHERE given.outcome = 'created' AND given.delivered
        ORDER BY given.i;
    END IF;

    RETURN QUERY
    SELECT
        given.i::integer,
        given.outcome,
        given.balance,
        v_balance,
        given.outcome = 'created' AND (v_listened OR NOT given.delivered)
            OR given.outcome = 'replayed' AND coalesce(recharge.due_at <= clock_timestamp(), false),
        CASE WHEN given.outcome IN ('created', 'replayed') THEN recharge::recharge_recharge END
    FROM unnest(v_outcomes, v_balances, v_ids, v_delivered) WITH ORDINALITY AS given (
        outcome, balance, id, delivered, i
    )
    -- LIMIT: as above.
    LEFT JOIN LATERAL (SELECT * FROM recharge_recharge WHERE id = given.id LIMIT 1) AS recharge ON true
    ORDER BY given.i;
END;
$$;
