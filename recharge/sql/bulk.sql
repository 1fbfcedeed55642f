-- Selling many recharges of one seller at once: decided one after the other in the order given, written as sets.
--
-- Deciding is inherently one after the other (whether an item is sold depends on what was sold before it), so it is a loop
-- over arrays in memory that touches no table. Reading the keys before it and writing the rows after it are one statement
-- each, for all items. Everything is under the seller's lock, so nothing changes in between.

-- What would become of each of the items (an index of the arrays each), one after the other, and by what: recharge_sell_bulk
-- asks it under the seller's lock and then sells, others ask it in order to look. It takes no lock and writes nothing.
--
-- p_guard is as recharge_sell's, but what was sold with a key that begins with p_own_keys was meant: the same may stand in
-- one file twice, which is sold in several calls. With p_is_asking it is found out of all items whether the same was sold
-- before, also of those that are meant (p_allow_duplicates).
CREATE FUNCTION recharge_prospects(
    p_seller_id bigint,
    p_idempotency_keys text[],
    p_phone_numbers text[],
    p_operators text[],
    p_amounts bigint[],
    p_allow_duplicates boolean[],
    p_guard integer,
    p_own_keys text,
    p_is_suspended boolean,
    p_is_asking boolean,
    OUT balance bigint,         -- before them
    OUT moment timestamptz,     -- that of the sale: each item's is some microseconds later
    OUT is_active boolean,
    OUT outcomes text[],        -- recharge_decide's
    OUT balances bigint[],      -- after each
    OUT known uuid[],           -- the recharge that has its key
    OUT sold_as integer[],      -- the item of this call that is sold with its key: itself, or an earlier one
    OUT amounts_sold boolean[], -- whether the organization sells such an amount of its operator
    OUT repeated boolean[],     -- whether the same was sold lately, and not by these items
    OUT borne boolean[],        -- whether the balance, as it is by then, bears it
    OUT gateways text[],
    OUT delivered boolean[],
    OUT training boolean[],
    OUT commissions bigint[],   -- what the seller would earn by it
    OUT basis_points integer[], -- by which rate
    OUT passed jsonb[],         -- the limit that it would pass: see recharge_limit_passed
    OUT dealers bigint[],       -- the seller's
    OUT limits recharge_limits, -- NULL: there are none
    OUT has_commissions boolean
)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_items constant integer := cardinality(p_amounts);
    v_balance bigint;
    v_same boolean[];                 -- by item: whether the recharge that has its key has its content
    v_first integer[];                -- by item: the first item of the call with its key
    v_sold_as integer[] := array_fill(NULL::integer, ARRAY[v_items]);  -- by first item: which of them is sold
    v_refusals text[];                -- by item: why nothing is sold of its operator at all
    v_guarded boolean[];              -- by item: whether a duplicate of another item would be refused
    v_alike integer[];                -- by item: the first item of the call with its number and amount
    v_sold_alike boolean[] := array_fill(false, ARRAY[v_items]);      -- by that item: whether one of them is sold
    v_earlier integer;
    v_refuses_owing boolean;
    v_has_limits boolean;
    v_is_owing boolean;
    v_sales integer;                  -- of the day, before each
    v_sold bigint;                    -- Tomans of the day
    v_same_number integer[];          -- by item: the first item of the call with its number
    v_operators text[] := '{}';       -- each of the call's once, with its terms and its rate
    v_terms recharge_terms[] := '{}';
    v_basis_points integer[] := '{}';
    v_fixed bigint[] := '{}';
    v_operator text;
    v_one recharge_terms;
    v_rate recharge_commissionrate;
    v_to_numbers bigint[];            -- by that item: Tomans to that number on the day
BEGIN
    outcomes := array_fill(NULL::text, ARRAY[v_items]);
    balances := array_fill(NULL::bigint, ARRAY[v_items]);
    sold_as := array_fill(NULL::integer, ARRAY[v_items]);
    borne := array_fill(NULL::boolean, ARRAY[v_items]);
    passed := array_fill(NULL::jsonb, ARRAY[v_items]);

    SELECT seller.is_active, seller.ancestors, account.balance, seller_moment(clock_timestamp(), account.last_moment)
    INTO is_active, dealers, balance, moment
    FROM credit_seller AS seller INNER JOIN credit_account AS account ON account.seller_id = seller.id
    WHERE seller.id = p_seller_id;
    v_balance := balance;

    FOR v_operator IN SELECT DISTINCT operator FROM unnest(p_operators) AS operator LOOP
        SELECT * INTO v_one FROM recharge_terms_of(v_operator);
        SELECT * INTO v_rate FROM commission_rate_of(p_seller_id, v_operator);
        v_operators := array_append(v_operators, v_operator);
        v_terms := array_append(v_terms, v_one);
        v_basis_points := array_append(v_basis_points, v_rate.basis_points);
        v_fixed := array_append(v_fixed, v_rate.fixed);
    END LOOP;

    SELECT
        array_agg(existing.id ORDER BY asked.item),
        array_agg(
            existing.phone_number IN (asked.phone_number, phone_masked(asked.phone_number))
            AND (existing.operator, existing.amount) = (asked.operator, asked.amount)
            ORDER BY asked.item
        )
    INTO known, v_same
    FROM unnest(p_idempotency_keys, p_phone_numbers, p_operators, p_amounts)
        WITH ORDINALITY AS asked (idempotency_key, phone_number, operator, amount, item)
    -- One look-up an item, by the key's index ("+ 0": see recharge_sell). LIMIT keeps the planner from reading the whole
    -- table into a hash instead, as it would when it plans this while the table is empty.
    LEFT JOIN LATERAL (
        SELECT * FROM recharge_recharge AS recharge
        WHERE recharge.idempotency_key = asked.idempotency_key AND recharge.seller_id + 0 = p_seller_id
        LIMIT 1
    ) AS existing ON true;

    WITH terms AS MATERIALIZED (  -- once an operator, not once an item
        SELECT
            named.operator, v_terms[named.place] AS known, v_basis_points[named.place] AS basis_points,
            v_fixed[named.place] AS fixed
        FROM unnest(v_operators) WITH ORDINALITY AS named (operator, place)
    )

    SELECT
        array_agg(asked.first_item ORDER BY asked.item),
        array_agg(
            (terms.known).refusal IS NULL AND recharge_is_amount_sold(terms.known, asked.amount) ORDER BY asked.item
        ),
        array_agg((terms.known).refusal ORDER BY asked.item),
        array_agg((terms.known).training ORDER BY asked.item),
        array_agg((terms.known).gateway ORDER BY asked.item),
        array_agg((terms.known).delivered ORDER BY asked.item),
        array_agg((terms.known).duplicate_window > 0 AND NOT asked.allow_duplicate ORDER BY asked.item),
        array_agg(
            -- recharge_is_repeated looks at the window itself, but takes 5 µs an item to say so.
            (p_is_asking OR NOT asked.allow_duplicate) AND (
                (terms.known).duplicate_window > 0 AND recharge_is_repeated(
                    (terms.known).duplicate_window, p_seller_id, asked.phone_number, asked.amount
                )
                OR p_guard > 0 AND recharge_is_repeated(
                    p_guard, p_seller_id, asked.phone_number, asked.amount, p_own_keys
                )
            )
            ORDER BY asked.item
        ),
        array_agg(asked.alike ORDER BY asked.item),
        array_agg(
            commission_of(asked.amount, terms.basis_points, terms.fixed) ORDER BY asked.item
        ),
        array_agg(terms.basis_points ORDER BY asked.item),
        bool_or((terms.known).refuses_owing),
        bool_or((terms.known).has_commissions),
        bool_or((terms.known).has_limits)
    INTO
        v_first, amounts_sold, v_refusals, training, gateways, delivered, v_guarded, repeated, v_alike,
        commissions, basis_points, v_refuses_owing, has_commissions, v_has_limits
    FROM (
        SELECT
            *,
            min(given.item) OVER (PARTITION BY given.idempotency_key)::integer AS first_item,
            min(given.item) OVER (PARTITION BY given.phone_number, given.amount)::integer AS alike
        FROM unnest(p_idempotency_keys, p_phone_numbers, p_operators, p_amounts, p_allow_duplicates)
            WITH ORDINALITY AS given (idempotency_key, phone_number, operator, amount, allow_duplicate, item)
    ) AS asked
    INNER JOIN terms USING (operator);

    v_is_owing := v_refuses_owing AND recharge_owed_by(p_seller_id) > 0;
    IF v_has_limits THEN
        limits := recharge_limits_of(p_seller_id, moment);
        IF moment + v_items * interval '1 microsecond' >= limits.day_ends THEN  -- all of them count for one day
            moment := limits.day_ends;
            limits := recharge_limits_of(p_seller_id, moment);
        END IF;
        IF limits.per_day IS NOT NULL OR limits.sales_per_day IS NOT NULL THEN
            SELECT sales, amount INTO v_sales, v_sold FROM recharge_sold_on(p_seller_id, limits);
        END IF;
        IF limits.per_number_per_day IS NOT NULL THEN
            SELECT array_agg(given.first_item ORDER BY given.item), array_agg(
                CASE
                    WHEN given.first_item = given.item
                        THEN recharge_sold_to(
                            p_seller_id, given.phone_number, limits.day_begins, limits.day_ends
                        )
                END
                ORDER BY given.item
            )
            INTO v_same_number, v_to_numbers
            FROM (
                SELECT *, min(number.item) OVER (PARTITION BY number.phone_number)::integer AS first_item
                FROM unnest(p_phone_numbers) WITH ORDINALITY AS number (phone_number, item)
            ) AS given;
        END IF;
    END IF;

    FOR i IN 1 .. v_items LOOP
        v_earlier := v_sold_as[v_first[i]];
        borne[i] := p_amounts[i] <= v_balance;
        IF v_has_limits THEN
            passed[i] := recharge_limit_passed(limits, p_amounts[i], v_sales, v_sold, v_to_numbers[v_same_number[i]]);
        END IF;
        outcomes[i] := recharge_decide(
            CASE
                WHEN v_earlier IS NULL THEN v_same[i]
                ELSE (p_phone_numbers[i], p_operators[i], p_amounts[i])
                    = (p_phone_numbers[v_earlier], p_operators[v_earlier], p_amounts[v_earlier])
            END,
            p_is_suspended,
            is_active,
            v_refusals[i],
            amounts_sold[i],
            NOT p_allow_duplicates[i] AND repeated[i] OR v_guarded[i] AND v_sold_alike[v_alike[i]],
            borne[i],
            p_is_owing => v_is_owing,
            p_is_within_limits => passed[i] IS NULL
        );
        IF outcomes[i] = 'created' THEN
            v_balance := v_balance - p_amounts[i] + commissions[i];
            v_sales := v_sales + 1;
            v_sold := v_sold + p_amounts[i];
            IF v_to_numbers IS NOT NULL THEN
                v_to_numbers[v_same_number[i]] := v_to_numbers[v_same_number[i]] + p_amounts[i];
            END IF;
            v_earlier := i;
            v_sold_as[v_first[i]] := i;
            v_sold_alike[v_alike[i]] := true;
        END IF;
        sold_as[i] := v_earlier;
        balances[i] := v_balance;
    END LOOP;
END;
$$;


-- Sells the items, an index of the arrays each; p_guard and p_own_keys are as those of recharge_prospects. With p_atomic all
-- are sold or none is; then p_others_refused says that none is: the call has other items, which can't even be read.
-- Answers one row an item, in their order; its outcome is recharge_decide's, or, in an atomic call that is refused,
-- not_sold for those items that would have been. A seller who is switched off gets no rows at all, unless items were
-- sold before: these are replayed, and the others are refused. So does one of an organization that is suspended; an atomic
-- call there gets rows only if all of its items were. Whose access is over (the last four are as recharge_sell's) gets one
-- row without an item: access_over.
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
    p_own_keys text DEFAULT NULL,
    p_is_suspended boolean DEFAULT false,
    p_user_id bigint DEFAULT NULL,
    p_key_id uuid DEFAULT NULL,
    p_subject text DEFAULT NULL,
    p_epoch bigint DEFAULT NULL
) RETURNS TABLE (
    item integer, outcome text, balance bigint, balance_after_call bigint, is_due boolean, sold recharge_recharge,
    passed jsonb
)
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_items constant integer := cardinality(p_amounts);
    v_seen record;      -- what recharge_prospects says
    v_refused boolean;  -- whether any item is
    v_balance bigint;
    v_clock timestamptz;
    v_now timestamptz;
    v_new_ids uuid[];
    v_ids uuid[];       -- by item: the recharge that it is
    v_listened boolean;
    v_sold recharge_recharge;
    v_is_low boolean;   -- from this call on, which has raised an alert
BEGIN
    PERFORM seller_lock(p_organization_id, p_seller_id);
    -- Of an organization one bulk call is at work at a time (no seller has this number), so that other organizations' sales
    -- find a processor. One after the other they sell some 25,000 a second. It is asked for last, and who has it asks for no
    -- other seller's: a seller for whom one has to wait keeps only himself.
    PERFORM seller_lock(p_organization_id, 0);

    IF EXISTS (SELECT FROM access_over(p_subject, p_epoch)) THEN
        outcome := 'access_over';
        RETURN NEXT;
        RETURN;
    END IF;

    PERFORM FROM recharge_commissionrate WHERE false FOR KEY SHARE;  -- see recharge_sell
    SELECT * INTO v_seen FROM recharge_prospects(
        p_seller_id, p_idempotency_keys, p_phone_numbers, p_operators, p_amounts, p_allow_duplicates, p_guard,
        p_own_keys, p_is_suspended, false
    );
    v_refused := NOT v_seen.outcomes <@ ARRAY['created', 'replayed'];
    v_balance := v_seen.balances[v_items];
    IF v_refused AND (v_seen.limits).day IS NOT NULL THEN
        PERFORM recharge_keep_count(v_seen.limits, p_seller_id);
    END IF;

    IF (p_is_suspended OR v_seen.is_active IS NOT TRUE) AND array_position(v_seen.outcomes, 'replayed') IS NULL
        OR p_is_suspended AND p_atomic AND (v_refused OR p_others_refused)
    THEN
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
            v_seen.balance,
            false,
            CASE WHEN given.outcome = 'replayed' THEN recharge::recharge_recharge END,
            given.passed
        FROM unnest(v_seen.outcomes, v_seen.balances, v_seen.known, v_seen.passed)
            WITH ORDINALITY AS given (outcome, balance, existing, passed, i)
        LEFT JOIN LATERAL (SELECT * FROM recharge_recharge WHERE id = given.existing LIMIT 1) AS recharge ON true
        ORDER BY given.i;
        RETURN;
    END IF;

    v_clock := clock_timestamp();
    v_now := v_seen.moment;
    v_new_ids := uuid7s_after(v_now, v_items);  -- a microsecond apart, so that ids sort as the items were given
    SELECT array_agg(coalesce(given.known, v_new_ids[given.sold_as]) ORDER BY given.i) INTO v_ids
    FROM unnest(v_seen.known, v_seen.sold_as) WITH ORDINALITY AS given (known, sold_as, i);

    PERFORM ledger_post_many(
        p_organization_id,
        p_seller_id,
        'recharge',
        array_agg(-given.amount ORDER BY given.i),
        array_agg(given.id ORDER BY given.i),
        array_agg(given.commission ORDER BY given.i)
    )
    FROM unnest(p_amounts, v_ids, v_seen.outcomes, v_seen.commissions)
        WITH ORDINALITY AS given (amount, id, outcome, commission, i)
    WHERE given.outcome = 'created'
    HAVING count(*) > 0;

    INSERT INTO recharge_recharge (
        id, seller_id, idempotency_key, phone_number, operator, amount, status, failure, balance_after, created_at,
        completed_at, gateway, late, due_at, attempts, training, user_id, key_id, commission, basis_points, dealers,
        margin_due
    )
    SELECT
        given.id, p_seller_id, given.idempotency_key, given.phone_number, given.operator, given.amount,
        CASE WHEN given.delivered THEN 'succeeded' ELSE 'pending' END, '', given.balance,
        v_now + given.i * interval '1 microsecond',
        CASE WHEN given.delivered THEN v_now + given.i * interval '1 microsecond' END,
        given.gateway, '', CASE WHEN NOT given.delivered THEN v_clock END, 0, given.training, p_user_id, p_key_id,
        given.commission, given.basis_points, v_seen.dealers,
        given.delivered AND v_seen.dealers IS NOT NULL AND v_seen.has_commissions
    FROM unnest(
        v_ids, v_seen.outcomes, v_seen.balances, p_idempotency_keys, p_phone_numbers, p_operators, p_amounts,
        v_seen.gateways, v_seen.delivered, v_seen.training, v_seen.commissions, v_seen.basis_points
    ) WITH ORDINALITY AS given (
        id, outcome, balance, idempotency_key, phone_number, operator, amount, gateway, delivered, training, commission,
        basis_points, i
    )
    WHERE given.outcome = 'created'
    ORDER BY given.i;

    IF (v_seen.limits).day IS NOT NULL THEN
        PERFORM recharge_count_sold(v_seen.limits, p_seller_id, count(*)::integer, sum(given.amount)::bigint)
        FROM unnest(p_amounts, v_seen.outcomes) AS given (amount, outcome)
        WHERE given.outcome = 'created'
        HAVING count(*) > 0;
    END IF;

    v_listened := EXISTS (SELECT FROM webhook_listeners(p_seller_id));
    IF v_listened THEN
        FOR v_sold IN
            SELECT recharge.*
            FROM unnest(v_ids, v_seen.outcomes, v_seen.delivered) WITH ORDINALITY AS given (id, outcome, delivered, i)
            CROSS JOIN LATERAL (SELECT * FROM recharge_recharge WHERE id = given.id LIMIT 1) AS recharge
            WHERE given.outcome = 'created' AND given.delivered
            ORDER BY given.i
        LOOP
            PERFORM webhook_emit('recharge.succeeded', p_seller_id, recharge_data(v_sold));
        END LOOP;
    END IF;

    SELECT coalesce(v_seen.balance >= account.alert_below AND account.balance < account.alert_below, false) INTO v_is_low
    FROM credit_account AS account WHERE account.seller_id = p_seller_id;

    RETURN QUERY
    SELECT
        given.i::integer,
        given.outcome,
        given.balance,
        v_balance,
        given.outcome = 'created' AND (
            v_listened OR v_is_low OR NOT given.delivered OR coalesce(recharge.margin_due, false)
        )
            OR given.outcome = 'replayed' AND coalesce(recharge.due_at <= clock_timestamp(), false),
        CASE WHEN given.outcome IN ('created', 'replayed') THEN recharge::recharge_recharge END,
        given.passed
    FROM unnest(v_seen.outcomes, v_seen.balances, v_ids, v_seen.delivered, v_seen.passed)
        WITH ORDINALITY AS given (outcome, balance, id, delivered, passed, i)
    -- LIMIT: as above.
    LEFT JOIN LATERAL (SELECT * FROM recharge_recharge WHERE id = given.id LIMIT 1) AS recharge ON true
    ORDER BY given.i;
END;
$$;
