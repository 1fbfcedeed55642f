-- Delivery: the recharge table is its own queue. A worker claims what is due, calls gateways with no lock held, and
-- records what they said. Any number of workers may run, and any may be killed anywhere:
--
-- Claiming is committed before a gateway is called, with a new time at which the recharge is due again: that is the lease,
-- which a worker that lives extends.
-- Whoever finds a recharge that was claimed to be submitted and not recorded does not know whether the gateway has it, and
-- so inquires. It is submitted again only when the gateway says that it never got it, and under the same reference.
--
-- A claim to submit also keeps which row of the gateway's settings is used (submitted_through): whoever asks later asks there,
-- and whoever submits again does, wherever the gateway of that name is by then. What is older than the organization's
-- send_within is not submitted: it fails and is refunded, since its buyer has gone another way by now.

-- The plans of these functions are made while an organization's tables are empty, too; without the SETs of enable_… they
-- would read all of the table later on, until its statistics are made. And those are mostly made while nothing waits. Where a
-- condition of a statement that knows its row's id said "due_at IS NOT NULL", the index of what waits would look smaller than
-- that of the ids, and all that waits be read through for each row: num_nonnulls says the same, and fits no index.
-- A worker calls them some times for each sale where little is sold. Of a statement with an array or a LIMIT that it can't know
-- PostgreSQL makes the plan anew each time, since it takes any other for dearer: that was a quarter of what a worker cost the
-- database. Hence force_generic_plan, and the other SETs leave it one way to go.

-- The gateways that something waits for, but for those that are passed over: one step in the index for each, however many
-- recharges wait.
CREATE FUNCTION recharge_waiting(p_passed_over text[]) RETURNS SETOF text
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
BEGIN
    RETURN QUERY
    WITH RECURSIVE waiting AS (
        (
            SELECT recharge.gateway FROM recharge_recharge AS recharge
            WHERE recharge.due_at IS NOT NULL
            ORDER BY recharge.gateway
            LIMIT 1
        )
        UNION ALL
        SELECT (
            SELECT recharge.gateway FROM recharge_recharge AS recharge
            WHERE recharge.gateway > waiting.gateway AND recharge.due_at IS NOT NULL
            ORDER BY recharge.gateway
            LIMIT 1
        )
        FROM waiting WHERE waiting.gateway IS NOT NULL
    )

    SELECT waiting.gateway::text FROM waiting
    WHERE waiting.gateway IS NOT NULL AND waiting.gateway::text <> ALL (p_passed_over);
END;
$$;


-- Takes up to p_limit due recharges, but for those of the gateways that are passed over since they have all that they may
-- have; each until p_lease has passed, and writes the attempt that is about to be made. Where more wait than are taken, half
-- of them are those that have waited longest, and half the newest: what a seller has just sold does not wait behind a
-- thousand rows of another one's bulk sale.
-- action: submit, inquire, or expire, which is no attempt: no gateway has it, and it is too old to be sent. Settling that is
-- left to recharge_record_many, which takes the sellers' locks before it takes rows.
CREATE FUNCTION recharge_claim(p_limit integer, p_lease interval, p_passed_over text[] DEFAULT '{}')
RETURNS TABLE (
    id uuid, seller_id bigint, phone_number text, operator text, amount bigint, status text, gateway text, action text,
    number integer, created_at timestamptz, route bigint
)
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
    v_waiting constant text[] := ARRAY(SELECT recharge_waiting(p_passed_over));
    v_now constant timestamptz := clock_timestamp();
    v_until constant timestamptz := v_now + p_lease;
    v_sent_since constant timestamptz := v_now - interval '1 second'
        * coalesce((SELECT settings.send_within FROM recharge_settings AS settings), 900);
    v_most_old constant integer := (p_limit + 1) / 2;
    v_most_new constant integer := p_limit / 2;
    v_ids uuid[];
    v_newest uuid[];
    v_actions text[];
BEGIN
    SELECT array_agg(oldest.id) INTO v_ids
    FROM (
        SELECT due.id
        FROM unnest(v_waiting) AS waiting (gateway)
        CROSS JOIN LATERAL (
            SELECT recharge.id, recharge.due_at FROM recharge_recharge AS recharge
            WHERE recharge.gateway = waiting.gateway AND recharge.due_at <= v_now
            ORDER BY recharge.due_at
            LIMIT v_most_old
            FOR UPDATE SKIP LOCKED
        ) AS due
        ORDER BY due.due_at
        LIMIT v_most_old
    ) AS oldest;
    IF v_ids IS NULL THEN
        RETURN;
    END IF;
    IF cardinality(v_ids) = v_most_old THEN  -- else there are no more, or another worker is taking them
        SELECT array_agg(newest.id) INTO v_newest
        FROM (
            SELECT due.id
            FROM unnest(v_waiting) AS waiting (gateway)
            CROSS JOIN LATERAL (
                SELECT recharge.id, recharge.due_at FROM recharge_recharge AS recharge
                WHERE recharge.gateway = waiting.gateway AND recharge.due_at <= v_now AND recharge.id <> ALL (v_ids)
                ORDER BY recharge.due_at DESC
                LIMIT v_most_new
                FOR UPDATE SKIP LOCKED
            ) AS due
            ORDER BY due.due_at DESC
            LIMIT v_most_new
        ) AS newest;
        v_ids := v_ids || v_newest;
    END IF;

    -- In a statement of its own: it sees the rows as they are now that nobody else can change them.
    SELECT
        array_agg(recharge.id),
        array_agg(CASE
            WHEN recharge.submitted_at IS NOT NULL OR recharge.status IN ('succeeded', 'failed') THEN 'inquire'
            WHEN recharge.created_at < v_sent_since THEN 'expire'
            ELSE 'submit'
        END)
    INTO v_ids, v_actions
    FROM recharge_recharge AS recharge
    WHERE recharge.id = ANY (v_ids);

    RETURN QUERY
    UPDATE recharge_recharge AS recharge
    SET due_at = v_until,
        submitted_at = CASE WHEN due.action = 'submit' THEN v_now ELSE recharge.submitted_at END,
        submitted_through = CASE
            WHEN due.action = 'expire' THEN recharge.submitted_through
            ELSE coalesce(recharge.submitted_through, (
                SELECT gateway.id FROM recharge_gatewaysettings AS gateway
                WHERE gateway.name = recharge.gateway AND gateway.retired_at IS NULL
            ))
        END,
        attempts = recharge.attempts + CASE WHEN due.action = 'expire' THEN 0 ELSE 1 END
    FROM unnest(v_ids, v_actions) AS due (id, action) WHERE recharge.id = due.id
    RETURNING
        recharge.id, recharge.seller_id, recharge.phone_number::text, recharge.operator::text, recharge.amount,
        recharge.status::text, recharge.gateway::text, due.action, recharge.attempts, recharge.created_at,
        recharge.submitted_through;

    INSERT INTO recharge_attempt (
        recharge_id, number, action, gateway, started_at, outcome, reason, operator_reference, answer, by
    )
    SELECT recharge.id, recharge.attempts, due.action, recharge.gateway, v_now, 'open', '', '', '', ''
    FROM unnest(v_ids, v_actions) AS due (id, action)
    INNER JOIN recharge_recharge AS recharge ON recharge.id = due.id
    WHERE due.action <> 'expire';
END;
$$;


-- Extends the claims of recharges, each with the number of the attempt that it was claimed for, by p_lease from now on, and
-- gives those that still were this worker's. One that somebody holds is left for the next time.
CREATE FUNCTION recharge_renew(p_recharge_ids uuid[], p_numbers integer[], p_lease interval)
RETURNS TABLE (recharge_id uuid, number integer)
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    v_until constant timestamptz := clock_timestamp() + p_lease;
BEGIN
    RETURN QUERY
    WITH held AS MATERIALIZED (
        SELECT recharge.id
        FROM unnest(p_recharge_ids, p_numbers) AS claimed (id, number)
        INNER JOIN recharge_recharge AS recharge ON recharge.id = claimed.id
        WHERE recharge.attempts = claimed.number AND num_nonnulls(recharge.due_at) = 1
        FOR UPDATE OF recharge SKIP LOCKED
    )

    UPDATE recharge_recharge AS recharge SET due_at = v_until
    FROM held WHERE recharge.id = held.id
    RETURNING recharge.id, recharge.attempts;
END;
$$;


-- Records what a gateway answered to an attempt. p_due_in: when to ask again; NULL: never.
--   accepted   it has it, and will deliver it or not
--   succeeded, failed (p_reason says why)  settled, see recharge_settle
--   unknown    no answer, or none that says
--   unsent     certainly nothing was sent: to be submitted as if never tried
--   expired    no attempt: it was claimed to expire, and fails and is refunded, unless an attempt has followed
--   missing    it says that it never got it: to be submitted again, under the same reference
-- Gives recharge_settle's outcome, or "noted", or "doubted": an answer to an attempt that others have followed, and that
-- says the opposite of what came of those. Which of the two is newer the gateway alone knows; so it is asked once more.
CREATE FUNCTION recharge_record(
    p_organization_id bigint,
    p_recharge_id uuid,
    p_number integer,
    p_outcome text,
    p_reason text,
    p_operator_reference text,
    p_answer text,
    p_latency_ms integer,
    p_due_in interval
) RETURNS text
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_outcome text := 'noted';
    v_seller_id bigint;
    v_status text;
    v_attempts integer;
    v_submitted_at timestamptz;
    v_locked boolean;
    v_now timestamptz;
    v_due_at timestamptz;
BEGIN
    -- Whether the seller's money may move; if so, first the lock (recharge_settle does likewise).
    SELECT seller_id, status INTO v_seller_id, v_status FROM recharge_recharge WHERE id = p_recharge_id;
    v_locked := p_outcome IN ('failed', 'expired') OR v_status IN ('succeeded', 'failed');
    IF v_locked THEN
        PERFORM seller_lock(p_organization_id, v_seller_id);
    END IF;
    -- With the row locked nobody claims it meanwhile, and so nobody sends it.
    SELECT status, attempts, submitted_at INTO v_status, v_attempts, v_submitted_at
    FROM recharge_recharge WHERE id = p_recharge_id FOR UPDATE;
    IF NOT v_locked AND v_status IN ('succeeded', 'failed') THEN
        RAISE serialization_failure USING MESSAGE = 'the recharge was settled at the same time';
    END IF;

    v_now := clock_timestamp();
    IF p_outcome = 'expired' THEN
        IF v_attempts = p_number AND v_submitted_at IS NULL AND v_status IN ('pending', 'unknown') THEN
            v_outcome := (recharge_settle(p_organization_id, p_recharge_id, 'failed', p_reason)).outcome;
        END IF;
    ELSIF p_outcome IN ('succeeded', 'failed') AND v_attempts > p_number
        AND v_status IN ('succeeded', 'failed') AND v_status <> p_outcome
    THEN
        v_outcome := 'doubted';
        UPDATE recharge_recharge SET due_at = v_now WHERE id = p_recharge_id AND due_at IS NULL;
    ELSIF p_outcome IN ('succeeded', 'failed', 'unknown') THEN
        v_outcome := (recharge_settle(p_organization_id, p_recharge_id, p_outcome, p_reason)).outcome;
    END IF;

    IF p_outcome <> 'expired' THEN
        UPDATE recharge_attempt
        SET outcome = p_outcome, reason = p_reason,
            operator_reference = p_operator_reference, answer = p_answer, latency_ms = p_latency_ms
        WHERE recharge_id = p_recharge_id AND number = p_number
            AND outcome = 'open';  -- who was told already keeps to that: see evidence.sql
    END IF;

    v_due_at := v_now + CASE WHEN v_outcome = 'over_limit' THEN coalesce(p_due_in, interval '1 hour') ELSE p_due_in END;
    UPDATE recharge_recharge
    SET due_at = v_due_at,
        submitted_at = CASE
            WHEN p_outcome IN ('unsent', 'missing') AND status IN ('pending', 'unknown') THEN NULL
            ELSE submitted_at
        END,
        -- What has certainly reached no gateway may go by another one next time. (One that says that it never got it may
        -- say otherwise later: only there may it be submitted again.)
        submitted_through = CASE
            WHEN p_outcome = 'unsent' AND status IN ('pending', 'unknown') AND NOT EXISTS (
                SELECT FROM recharge_attempt AS made WHERE made.recharge_id = p_recharge_id AND made.outcome <> 'unsent'
            ) THEN NULL
            ELSE submitted_through
        END
    WHERE id = p_recharge_id AND attempts = p_number
        AND num_nonnulls(p_due_in, due_at) > 0;
    RETURN v_outcome;
END;
$$;


-- The same for many recharges of an organization, in one transaction; sellers in ascending order, as their locks demand.
CREATE FUNCTION recharge_record_many(
    p_organization_id bigint,
    p_recharge_ids uuid[],
    p_numbers integer[],
    p_outcomes text[],
    p_reasons text[],
    p_operator_references text[],
    p_answers text[],
    p_latencies_ms integer[],
    p_due_in interval[]
) RETURNS TABLE (recharge_id uuid, outcome text)
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET lock_timeout = '3s'
AS $$
DECLARE
    v_given record;
    v_seller_id bigint;
BEGIN
    -- The locks of all sellers whose money may move, before any row is touched: a seller's lock comes before the rows.
    FOR v_seller_id IN
        SELECT DISTINCT recharge.seller_id
        FROM unnest(p_recharge_ids, p_outcomes) AS given (id, outcome)
        INNER JOIN recharge_recharge AS recharge ON recharge.id = given.id
        WHERE given.outcome IN ('failed', 'expired') OR recharge.status IN ('succeeded', 'failed')
        ORDER BY recharge.seller_id
    LOOP
        PERFORM seller_lock(p_organization_id, v_seller_id);
    END LOOP;

    FOR v_given IN
        SELECT given.*
        FROM unnest(
            p_recharge_ids, p_numbers, p_outcomes, p_reasons, p_operator_references, p_answers, p_latencies_ms, p_due_in
        ) AS given (id, number, outcome, reason, operator_reference, answer, latency_ms, due_in)
        INNER JOIN recharge_recharge AS recharge ON recharge.id = given.id
        ORDER BY recharge.seller_id, given.id
    LOOP
        recharge_id := v_given.id;
        outcome := recharge_record(
            p_organization_id, v_given.id, v_given.number, v_given.outcome, v_given.reason, v_given.operator_reference,
            v_given.answer, v_given.latency_ms, v_given.due_in
        );
        RETURN NEXT;
    END LOOP;
END;
$$;


-- An admin's decision, after talking to the operator. Audited as an attempt; gives recharge_settle's answer.
CREATE FUNCTION recharge_resolve(
    p_organization_id bigint,
    p_recharge_id uuid,
    p_status text,
    p_reason text,
    p_by text,
    p_subject text DEFAULT NULL,
    p_epoch bigint DEFAULT NULL,
    OUT outcome text,
    OUT settled recharge_recharge
)
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_given record;
BEGIN
    v_given := recharge_settle(p_organization_id, p_recharge_id, p_status, p_reason, p_subject, p_epoch);
    outcome := v_given.outcome;
    settled := v_given.settled;
    IF outcome IN ('settled', 'charged_late', 'owed', 'reversed') THEN
        UPDATE recharge_recharge SET attempts = attempts + 1, due_at = NULL WHERE id = p_recharge_id
        RETURNING * INTO settled;
        INSERT INTO recharge_attempt (
            recharge_id, number, action, gateway, started_at, latency_ms, outcome, reason, operator_reference, answer, by
        )
        VALUES (
            p_recharge_id, settled.attempts, 'resolve', settled.gateway, clock_timestamp(), 0, p_status, p_reason, '', '',
            p_by
        );
    END IF;
END;
$$;


-- When the next recharge is due, but for those of the gateways that are passed over; NULL: none is waiting.
CREATE FUNCTION recharge_next_due(p_passed_over text[] DEFAULT '{}') RETURNS timestamptz
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    v_waiting constant text[] := ARRAY(SELECT recharge_waiting(p_passed_over));
BEGIN
    RETURN (
        SELECT min(next.due_at)
        FROM unnest(v_waiting) AS waiting (gateway)
        CROSS JOIN LATERAL (
            SELECT recharge.due_at FROM recharge_recharge AS recharge
            WHERE recharge.gateway = waiting.gateway AND recharge.due_at IS NOT NULL
            ORDER BY recharge.due_at
            LIMIT 1
        ) AS next
    );
END;
$$;
