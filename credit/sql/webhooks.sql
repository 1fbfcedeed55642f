-- Webhooks: what is to be told to the sellers' own systems is written in the transaction of the change that it tells of.

-- As the API writes times: RFC 3339, UTC.
CREATE FUNCTION rfc3339(p_moment timestamptz) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_char(p_moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');


-- The endpoints that want to know what happens to a seller. Most sales find that there are none (recharge_sell asks it in a
-- statement of its own), and write nothing.
CREATE FUNCTION webhook_listeners(p_seller_id bigint) RETURNS SETOF credit_webhookendpoint
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    -- Each half by the index, also for a planner that has not seen the table with rows in it.
    RETURN QUERY
    SELECT * FROM credit_webhookendpoint WHERE seller_id = p_seller_id AND disabled = ''
    UNION ALL
    SELECT * FROM credit_webhookendpoint WHERE seller_id IS NULL AND disabled = '';
END;
$$;


-- Writes one message for each endpoint that wants this event of this seller. p_data is what the API would show of it.
-- An endpoint that is being deleted (the only thing that takes its row FOR UPDATE) neither gets one nor is waited for.
--
-- The moment is taken by the statement that writes, and so with the table held for writing: whoever pages through the
-- messages looks at that (shared/horizon.py), since not all that happens to a recharge is under its seller's lock.
CREATE FUNCTION webhook_emit(p_event text, p_seller_id bigint, p_data jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_endpoints uuid[] := ARRAY(SELECT listener.id FROM webhook_listeners(p_seller_id) AS listener);
BEGIN
    v_endpoints := ARRAY(
        SELECT endpoint.id FROM credit_webhookendpoint AS endpoint
        WHERE endpoint.id = ANY (v_endpoints) AND p_event = ANY (endpoint.events)
        FOR KEY SHARE SKIP LOCKED
    );
    INSERT INTO credit_webhookmessage (
        id, endpoint_id, event, data, status, attempts, due_at, give_up_at, created_at
    )
    SELECT
        uuid7_at(clock.now), endpoint.id, p_event, p_data, 'pending', 0, clock.now, clock.now + interval '1 day',
        clock.now
    FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock CROSS JOIN unnest(v_endpoints) AS endpoint (id);
END;
$$;


-- The endpoints that something waits for: one step in the index for each, however many messages wait.
CREATE FUNCTION webhook_waiting() RETURNS SETOF uuid
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off -- see recharge/sql/delivery.sql
SET enable_bitmapscan = off
AS $$
BEGIN
    RETURN QUERY
    WITH RECURSIVE endpoint AS (
        (
            SELECT message.endpoint_id FROM credit_webhookmessage AS message
            WHERE message.due_at IS NOT NULL
            ORDER BY message.endpoint_id
            LIMIT 1
        )
        UNION ALL
        SELECT (
            SELECT message.endpoint_id FROM credit_webhookmessage AS message
            WHERE message.endpoint_id > endpoint.endpoint_id AND message.due_at IS NOT NULL
            ORDER BY message.endpoint_id
            LIMIT 1
        )
        FROM endpoint WHERE endpoint.endpoint_id IS NOT NULL
    )

    SELECT endpoint.endpoint_id FROM endpoint WHERE endpoint.endpoint_id IS NOT NULL;
END;
$$;


-- When the next message is due, but for the endpoints that are passed over; NULL: none is waiting.
CREATE FUNCTION webhook_next_due(p_passed_over uuid[] DEFAULT '{}') RETURNS timestamptz
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    v_waiting constant uuid[] := ARRAY(SELECT webhook_waiting());
BEGIN
    RETURN (
        SELECT min(next.due_at)
        FROM unnest(v_waiting) AS waiting (id)
        CROSS JOIN LATERAL (
            SELECT message.due_at FROM credit_webhookmessage AS message
            WHERE message.endpoint_id = waiting.id AND message.due_at IS NOT NULL
            ORDER BY message.due_at
            LIMIT 1
        ) AS next
        WHERE waiting.id <> ALL (p_passed_over)
    );
END;
$$;


-- Takes up to p_limit due messages, for an endpoint no more than its part of p_rooms (the one at its place in
-- p_endpoints; for all others p_room, and NULL: p_limit), the one that has waited longest first: what waits for a slow
-- endpoint is neither taken nor read. Each is taken until p_lease has passed; whoever is given one sends it. What is due to an
-- endpoint that has been disabled is given up instead.
CREATE FUNCTION webhook_claim(
    p_limit integer,
    p_lease interval,
    p_endpoints uuid[] DEFAULT '{}',
    p_rooms integer[] DEFAULT '{}',
    p_room integer DEFAULT NULL
)
RETURNS TABLE (
    id uuid, endpoint_id uuid, url text, secret text, previous_secret text, event text, data text, attempts integer,
    created_at timestamptz, give_up_at timestamptz, claimed_until timestamptz
)
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off -- see recharge/sql/delivery.sql
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
    v_waiting constant uuid[] := ARRAY(SELECT webhook_waiting());
    v_now constant timestamptz := clock_timestamp();
    v_until constant timestamptz := v_now + p_lease;
BEGIN
    RETURN QUERY
    WITH due AS MATERIALIZED (
        SELECT message.id
        FROM unnest(v_waiting) AS waiting (id)
        CROSS JOIN LATERAL (
            SELECT coalesce(p_rooms[array_position(p_endpoints, waiting.id)], p_room, p_limit) AS messages
        ) AS room
        CROSS JOIN LATERAL (
            SELECT next.id, next.due_at
            FROM credit_webhookmessage AS next
            WHERE next.endpoint_id = waiting.id AND next.due_at <= v_now
            ORDER BY next.due_at
            LIMIT least(room.messages, p_limit)
            FOR UPDATE SKIP LOCKED
        ) AS message
        WHERE room.messages > 0
        ORDER BY room.messages DESC, message.due_at
        LIMIT p_limit
    ),

    claimed AS (
        UPDATE credit_webhookmessage AS message
        SET status = CASE WHEN endpoint.disabled = '' THEN 'pending' ELSE 'failed' END,
            due_at = CASE WHEN endpoint.disabled = '' THEN v_until END
        FROM due, credit_webhookendpoint AS endpoint
        WHERE message.id = due.id AND endpoint.id = message.endpoint_id
        RETURNING
            message.*, endpoint.url, endpoint.secret,
            CASE WHEN endpoint.previous_secret_until > v_now THEN endpoint.previous_secret ELSE '' END
                AS previous_secret
    )

    SELECT
        claimed.id, claimed.endpoint_id, claimed.url::text, claimed.secret, claimed.previous_secret,
        claimed.event::text, claimed.data::text, claimed.attempts, claimed.created_at, claimed.give_up_at,
        claimed.due_at
    FROM claimed
    WHERE claimed.due_at IS NOT NULL;
END;
$$;


-- Extends the claims of messages by p_lease from now on, each known by until when it was claimed, and gives until when those
-- that still were this worker's are now. One that somebody holds is left for the next time.
CREATE FUNCTION webhook_renew(p_message_ids uuid[], p_claimed_until timestamptz[], p_lease interval)
RETURNS TABLE (message_id uuid, claimed_until timestamptz)
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
SET enable_seqscan = off -- see recharge/sql/delivery.sql
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    v_until constant timestamptz := clock_timestamp() + p_lease;
BEGIN
    RETURN QUERY
    WITH held AS MATERIALIZED (
        SELECT message.id
        FROM unnest(p_message_ids, p_claimed_until) AS claimed (id, until)
        INNER JOIN credit_webhookmessage AS message ON message.id = claimed.id
        WHERE message.due_at IS NOT DISTINCT FROM claimed.until  -- which fits no index: see recharge/sql/delivery.sql
        FOR UPDATE OF message SKIP LOCKED
    )

    UPDATE credit_webhookmessage AS message SET due_at = v_until
    FROM held WHERE message.id = held.id
    RETURNING message.id, message.due_at;
END;
$$;


-- Records what came of messages that were claimed, and gives the endpoints that this disabled.
--   delivered  it has arrived
--   retry      it has not; to be tried again after p_due_in
--   failed     it has not, and is given up
--   gone       it has not, and its endpoint wants none any more
--   postponed  nothing was tried; to be tried after p_due_in
-- What has arrived is delivered, whatever else happened to it meanwhile. Of the others, one whose due_at is no longer
-- what its claim made it (p_claimed_until) has been claimed or resent since, or given up, and is left as it is.
CREATE FUNCTION webhook_record(
    p_message_ids uuid[],
    p_claimed_until timestamptz[],
    p_outcomes text[],
    p_due_in interval[],
    p_attempted_at timestamptz[],
    p_latencies_ms integer[],
    p_status_codes integer[],
    p_errors text[],
    p_answers text[]
) RETURNS TABLE (endpoint_id uuid, reason text)
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off -- see recharge/sql/delivery.sql
SET enable_hashjoin = off
SET enable_mergejoin = off
SET lock_timeout = '3s'
AS $$
#variable_conflict use_column
DECLARE
    v_now constant timestamptz := clock_timestamp();
    v_five_days_ago constant timestamptz := v_now - interval '5 days';
    v_due_at constant timestamptz[] := ARRAY(SELECT v_now + due_in FROM unnest(p_due_in) AS due_in);
    v_disabled uuid[];
    v_reasons text[];
BEGIN
    -- First the endpoints, in their order, and then their messages: everything that changes both keeps to this. With
    -- its endpoint held, a message can't be deleted; one that was deleted before is passed over.
    PERFORM FROM credit_webhookendpoint
    WHERE id IN (
        SELECT message.endpoint_id FROM credit_webhookmessage AS message WHERE message.id = ANY (p_message_ids)
    )
    ORDER BY id
    FOR NO KEY UPDATE;

    INSERT INTO credit_webhookattempt (message_id, attempted_at, latency_ms, status_code, error, answer)
    SELECT message.id, done.attempted_at, done.latency_ms, done.status_code, done.error, done.answer
    FROM unnest(p_message_ids, p_outcomes, p_attempted_at, p_latencies_ms, p_status_codes, p_errors, p_answers)
        AS done (id, outcome, attempted_at, latency_ms, status_code, error, answer)
    JOIN credit_webhookmessage AS message ON message.id = done.id
    WHERE done.outcome <> 'postponed';

    -- The API shows the last 20 attempts of a message; a day has about ten, so there are more only if it was resent.
    DELETE FROM credit_webhookattempt
    WHERE id IN (
        SELECT attempt.id
        FROM unnest(p_message_ids) AS done (id)
        CROSS JOIN LATERAL (
            SELECT id FROM credit_webhookattempt WHERE message_id = done.id ORDER BY id DESC OFFSET 20
        ) AS attempt
    );

    UPDATE credit_webhookmessage AS message
    SET status = CASE
            WHEN done.outcome = 'delivered' THEN 'delivered'
            WHEN done.due_at IS NULL THEN 'failed'
            ELSE 'pending'
        END,
        attempts = message.attempts + CASE WHEN done.outcome = 'postponed' THEN 0 ELSE 1 END,
        due_at = done.due_at,
        delivered_at = CASE WHEN done.outcome = 'delivered' THEN done.attempted_at ELSE message.delivered_at END
    FROM unnest(p_message_ids, p_claimed_until, p_outcomes, v_due_at, p_attempted_at)
        AS done (id, claimed_until, outcome, due_at, attempted_at)
    WHERE message.id = done.id AND (done.outcome = 'delivered' OR message.due_at = done.claimed_until);

    -- An endpoint is failing when for five days nothing has arrived, and then a message has had its whole day in vain.
    WITH seen AS (
        SELECT
            message.endpoint_id AS id,
            bool_or(done.outcome = 'delivered') AS is_reached,
            bool_or(done.outcome = 'gone') AS is_gone,
            bool_or(done.outcome = 'failed') AS has_given_up
        FROM unnest(p_message_ids, p_outcomes) AS done (id, outcome)
        JOIN credit_webhookmessage AS message ON message.id = done.id
        WHERE done.outcome <> 'postponed'
        GROUP BY message.endpoint_id
    ),

    next AS (
        SELECT
            endpoint.id,
            CASE WHEN NOT seen.is_reached THEN coalesce(endpoint.failing_since, v_now) END AS failing_since,
            CASE
                WHEN endpoint.disabled <> '' THEN endpoint.disabled
                WHEN seen.is_gone THEN 'gone'
                WHEN seen.has_given_up AND NOT seen.is_reached
                    AND endpoint.failing_since < v_five_days_ago THEN 'failing'
                ELSE ''
            END AS disabled
        FROM credit_webhookendpoint AS endpoint JOIN seen ON endpoint.id = seen.id
    ),

    changed AS (
        UPDATE credit_webhookendpoint AS endpoint
        SET failing_since = next.failing_since, disabled = next.disabled
        FROM next
        WHERE endpoint.id = next.id
            AND (endpoint.failing_since, endpoint.disabled) IS DISTINCT FROM (next.failing_since, next.disabled)
        RETURNING endpoint.id, endpoint.disabled
    )

    SELECT array_agg(changed.id), array_agg(changed.disabled::text) INTO v_disabled, v_reasons
    FROM changed WHERE changed.disabled <> '';

    -- In a statement of its own, by their ids: joined, it would read all that waits (see recharge/sql/delivery.sql).
    UPDATE credit_webhookmessage AS message
    SET status = 'failed', due_at = NULL
    WHERE message.endpoint_id = ANY (v_disabled) AND message.due_at IS NOT NULL;

    RETURN QUERY SELECT disabled.id, disabled.reason FROM unnest(v_disabled, v_reasons) AS disabled (id, reason);
END;
$$;


-- A credit request as the API shows it.
CREATE FUNCTION credit_request_data(p_request credit_creditrequest) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path FROM CURRENT
RETURN jsonb_build_object(
    'id', p_request.id,
    'seller_id', p_request.seller_id,
    'amount', p_request.amount,
    'note', p_request.note,
    'status', p_request.status,
    'reason', p_request.reason,
    'created_at', rfc3339(p_request.created_at),
    'decided_at', rfc3339(p_request.decided_at),
    'decided_by', nullif(p_request.decided_by, ''),
    'bank_reference', nullif(p_request.bank_reference, ''),
    'approvals', (p_request.first_approved_at IS NOT NULL)::integer + (p_request.status = 'approved')::integer,
    'parent_id', p_request.parent_id
);


-- Removes the rows of endpoints that are marked as deleted; also what an earlier deletion left that was cut off.
CREATE FUNCTION webhook_purge() RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
DECLARE
    -- Waits for the sales that have just written messages for it. No new ones do.
    v_ids constant uuid[] := ARRAY(
        SELECT id FROM credit_webhookendpoint WHERE disabled = 'deleted' ORDER BY id FOR UPDATE
    );
BEGIN
    DELETE FROM credit_webhookattempt AS attempt USING credit_webhookmessage AS message
    WHERE attempt.message_id = message.id AND message.endpoint_id = ANY (v_ids);
    DELETE FROM credit_webhookmessage WHERE endpoint_id = ANY (v_ids);
    DELETE FROM credit_webhookendpoint WHERE id = ANY (v_ids);
END;
$$;
