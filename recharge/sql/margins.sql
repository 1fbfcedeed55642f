-- Margins: what dealers earn by what is sold below them.
--
-- A dealer earns his own rate, as it was when the recharge was sold, less the highest that anybody below him on the way from
-- its seller has; if that is less than nothing, nothing. So all that an organization pays for a recharge, to its seller and
-- his dealers, is the highest commission on the way, and never more than the amount.
--
-- A sale does not post them: a dealer of 2,000 kiosks would be one row on which they all wait. It says that they are due
-- (recharge.margin_due), and workers post them in batches, of each dealer one entry. A batch is a document: it names its
-- recharges (recharge_margin), and each recharge is in one batch of a dealer at most, and taken back by one at most.

-- What each dealer of a recharge earns by it; also less than nothing.
CREATE FUNCTION margins_of(p_recharge recharge_recharge) RETURNS TABLE (dealer_id bigint, amount bigint)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT
        rated.dealer_id,
        rated.commission - greatest(
            p_recharge.commission,
            max(rated.commission) OVER (ORDER BY rated.place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
        )
    FROM (
        SELECT
            dealer.id AS dealer_id, dealer.place,
            coalesce(commission_of(p_recharge.amount, rate.basis_points, rate.fixed), 0) AS commission
        FROM unnest(p_recharge.dealers) WITH ORDINALITY AS dealer (id, place)
        LEFT JOIN LATERAL commission_rate_at(dealer.id, p_recharge.operator, p_recharge.created_at) AS rate ON true
    ) AS rated;
END;
$$;


-- Posts the margins of up to p_limit recharges (of those that are due, the oldest after p_after), and takes back those of
-- recharges that were taken back themselves, as far as a dealer's balance bears them, oldest first; the rest stays due.
-- Any number may do so at once: who comes second finds nothing left of what the first has done.
-- looked: how many were due; fewer than p_limit: there are no more. last: the newest of them.
-- done: of how many nothing more is to be done. batches: how many were written.
CREATE FUNCTION margins_post(
    p_organization_id bigint,
    p_limit integer,
    p_after uuid DEFAULT NULL,
    OUT looked integer,
    OUT last uuid,
    OUT done integer,
    OUT batches integer
)
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '100ms' -- of each of its locks: the worker has other work, and comes again
SET enable_seqscan = off -- see delivery.sql
AS $$
DECLARE
    v_due uuid[];
    v_dealers bigint[];
    v_dealer_id bigint;
    v_undone uuid[] := '{}';
    v_recharge recharge_recharge;
    v_recharges uuid[];  -- with the next two: what each dealer earns by each
    v_earners bigint[];
    v_amounts bigint[];
    v_batch record;
    v_batch_id uuid;
    v_now timestamptz;
BEGIN
    batches := 0;
    done := 0;
    v_due := ARRAY(
        SELECT id FROM recharge_recharge
        WHERE margin_due AND id > coalesce(p_after, '00000000-0000-0000-0000-000000000000')
        ORDER BY id
        LIMIT p_limit
    );
    looked := cardinality(v_due);
    IF looked = 0 THEN
        RETURN;
    END IF;
    last := v_due[looked];

    -- Whom it concerns never changes. Their locks first, ascending; only then rows, which nobody is waited for. What a
    -- seller owes is left alone: whoever holds its seller's lock may be about to charge it (recharge_collect_owed).
    FOR v_dealer_id IN
        SELECT DISTINCT dealer.id
        FROM recharge_recharge AS recharge CROSS JOIN unnest(recharge.dealers) AS dealer (id)
        WHERE recharge.id = ANY (v_due)
        ORDER BY dealer.id
    LOOP
        PERFORM seller_lock(p_organization_id, v_dealer_id);
        v_dealers := v_dealers || v_dealer_id;
    END LOOP;
    v_due := ARRAY(
        SELECT id FROM recharge_recharge WHERE id = ANY (v_due) AND margin_due AND late <> 'owed'
        ORDER BY id
        FOR UPDATE SKIP LOCKED
    );

    FOR v_recharge IN
        SELECT * FROM recharge_recharge WHERE id = ANY (v_due) AND status = 'succeeded' ORDER BY id
    LOOP
        SELECT
            v_recharges || array_agg(v_recharge.id), v_earners || array_agg(earned.dealer_id),
            v_amounts || array_agg(earned.amount)
        INTO v_recharges, v_earners, v_amounts
        FROM margins_of(v_recharge) AS earned
        WHERE earned.amount > 0;
    END LOOP;
    FOR v_batch IN
        SELECT
            margin.dealer_id, sum(margin.amount)::bigint AS amount, array_agg(margin.recharge_id) AS recharges,
            array_agg(margin.amount) AS amounts
        FROM unnest(v_recharges, v_earners, v_amounts) AS margin (recharge_id, dealer_id, amount)
        WHERE NOT EXISTS (
            SELECT FROM recharge_margin AS posted
            WHERE posted.recharge_id = margin.recharge_id AND posted.seller_id = margin.dealer_id
        )
        GROUP BY margin.dealer_id
        ORDER BY margin.dealer_id
    LOOP
        -- One who has as much as anybody can keeps no other waiting.
        IF (SELECT balance FROM credit_account WHERE seller_id = v_batch.dealer_id) + v_batch.amount > 9007199254740991
        THEN
            v_undone := v_undone || v_batch.recharges;
            CONTINUE;
        END IF;
        v_now := clock_timestamp();
        v_batch_id := uuid7_at(v_now);
        INSERT INTO recharge_marginbatch (id, seller_id, is_back, amount, recharges, created_at)
        VALUES (v_batch_id, v_batch.dealer_id, false, v_batch.amount, cardinality(v_batch.recharges), v_now);
        INSERT INTO recharge_margin (recharge_id, seller_id, amount, batch_id)
        SELECT given.recharge_id, v_batch.dealer_id, given.amount, v_batch_id
        FROM unnest(v_batch.recharges, v_batch.amounts) AS given (recharge_id, amount)
        ORDER BY given.recharge_id;
        IF NOT (ledger_post(
            p_organization_id, v_batch.dealer_id, 'margin', v_batch.amount, v_batch_id
        )).posted THEN
            RAISE EXCEPTION 'a balance was moved without its seller''s lock' USING ERRCODE = 'serialization_failure';
        END IF;
        batches := batches + 1;
    END LOOP;

    -- After what came: it may be what the taking back needs.
    FOREACH v_dealer_id IN ARRAY coalesce(v_dealers, '{}') LOOP
        SELECT
            coalesce(sum(margin.amount) FILTER (WHERE margin.is_borne), 0)::bigint AS amount,
            array_agg(margin.recharge_id) FILTER (WHERE margin.is_borne) AS recharges,
            array_agg(margin.recharge_id) FILTER (WHERE NOT margin.is_borne) AS undone
        INTO v_batch
        FROM (
            SELECT
                posted.recharge_id, posted.amount,
                sum(posted.amount) OVER (ORDER BY posted.recharge_id) <= account.balance AS is_borne
            FROM recharge_margin AS posted
            INNER JOIN recharge_recharge AS recharge ON recharge.id = posted.recharge_id
            INNER JOIN credit_account AS account ON account.seller_id = posted.seller_id
            WHERE posted.seller_id = v_dealer_id AND posted.recharge_id = ANY (v_due) AND posted.back_batch_id IS NULL
                AND recharge.status = 'failed'
        ) AS margin;
        v_undone := v_undone || v_batch.undone;
        CONTINUE WHEN v_batch.recharges IS NULL;
        v_now := clock_timestamp();
        v_batch_id := uuid7_at(v_now);
        INSERT INTO recharge_marginbatch (id, seller_id, is_back, amount, recharges, created_at)
        VALUES (v_batch_id, v_dealer_id, true, v_batch.amount, cardinality(v_batch.recharges), v_now);
        UPDATE recharge_margin SET back_batch_id = v_batch_id
        WHERE seller_id = v_dealer_id AND recharge_id = ANY (v_batch.recharges);
        IF NOT (ledger_post(
            p_organization_id, v_dealer_id, 'margin_back', -v_batch.amount, v_batch_id
        )).posted THEN
            RAISE EXCEPTION 'a balance was moved without its seller''s lock' USING ERRCODE = 'serialization_failure';
        END IF;
        batches := batches + 1;
    END LOOP;

    UPDATE recharge_recharge SET margin_due = false WHERE id = ANY (v_due) AND id <> ALL (v_undone);
    GET DIAGNOSTICS done = ROW_COUNT;
END;
$$;


-- What was posted stays as it is, whoever writes to the tables; a margin gets the batch that takes it back, once.
CREATE FUNCTION recharge_margin_keep() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION '% keeps what was posted: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END;
$$;

CREATE TRIGGER recharge_margin_kept
BEFORE UPDATE ON recharge_margin
FOR EACH ROW WHEN (
    (OLD.id, OLD.recharge_id, OLD.seller_id, OLD.amount, OLD.batch_id)
        IS DISTINCT FROM (NEW.id, NEW.recharge_id, NEW.seller_id, NEW.amount, NEW.batch_id)
    OR OLD.back_batch_id IS NOT NULL AND OLD.back_batch_id IS DISTINCT FROM NEW.back_batch_id
)
EXECUTE FUNCTION recharge_margin_keep();

CREATE TRIGGER recharge_margin_stays
BEFORE DELETE ON recharge_margin
FOR EACH STATEMENT EXECUTE FUNCTION recharge_margin_keep();

CREATE TRIGGER recharge_margin_not_emptied
BEFORE TRUNCATE ON recharge_margin
FOR EACH STATEMENT EXECUTE FUNCTION recharge_margin_keep();

CREATE TRIGGER recharge_margin_batch_kept
BEFORE UPDATE OR DELETE ON recharge_marginbatch
FOR EACH STATEMENT EXECUTE FUNCTION recharge_margin_keep();

CREATE TRIGGER recharge_marginbatch_not_emptied
BEFORE TRUNCATE ON recharge_marginbatch
FOR EACH STATEMENT EXECUTE FUNCTION recharge_margin_keep();
