-- Alerts: what people are to be told without asking. One is raised once, and cleared when it is over; then it may be raised
-- again. What is sent of it is written with it, in the transaction of what it tells of: a sale that is rolled back leaves
-- neither, and a crash after its COMMIT loses neither.

-- Raises an alert and writes its messages; false: it is raised already, and nothing was done. p_seller_id: whose it is
-- (NULL: the organization's). The unique index alert_open decides between two who find the same at once.
CREATE FUNCTION alert_raise(p_kind text, p_subject text, p_seller_id bigint, p_data jsonb) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_now timestamptz;
    v_id uuid;
BEGIN
    -- So that the moment is taken with the table held for writing: see webhook_emit.
    DELETE FROM credit_alert WHERE false;
    v_now := clock_timestamp();
    INSERT INTO credit_alert (id, kind, subject, seller_id, data, raised_at, read_by)
    VALUES (uuid7_at(v_now), p_kind, p_subject, p_seller_id, p_data, v_now, '')
    ON CONFLICT (kind, subject) WHERE cleared_at IS NULL DO NOTHING
    RETURNING id INTO v_id;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO credit_alertmessage (
        id, alert_id, seller_id, channel, recipient, status, attempts, due_at, give_up_at, created_at, error
    )
    SELECT
        uuid7_at(v_now), v_id, p_seller_id, told.channel, told.recipient, 'pending', 0, v_now,
        v_now + interval '6 hours', v_now, ''
    FROM alert_recipients(p_seller_id) AS told;
    RETURN true;
END;
$$;


-- To whom an alert goes, and on which channels; an SMS only where the organization has a gateway for them.
CREATE FUNCTION alert_recipients(p_seller_id bigint) RETURNS TABLE (channel text, recipient text)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    v_has_sms constant boolean := EXISTS (SELECT FROM credit_alertsettings WHERE sms_url <> '');
BEGIN
    IF p_seller_id IS NULL THEN
        RETURN QUERY
        SELECT 'mail', address::text FROM credit_alertsettings AS settings CROSS JOIN unnest(settings.mail_to) AS address
        UNION ALL
        SELECT 'sms', number::text FROM credit_alertsettings AS settings CROSS JOIN unnest(settings.sms_to) AS number
        WHERE v_has_sms;
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM credit_alertpreference WHERE seller_id = p_seller_id AND NOT by_mail) THEN
        RETURN QUERY SELECT 'mail', '';  -- the member's address is in the public schema: the worker looks it up
    END IF;
    RETURN QUERY
    SELECT 'sms', preference.phone_number::text FROM credit_alertpreference AS preference
    WHERE preference.seller_id = p_seller_id AND preference.phone_number <> '' AND v_has_sms;
END;
$$;


-- An alert is over. Nothing happens where it is not raised.
CREATE FUNCTION alert_clear(p_kind text, p_subject text) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_now constant timestamptz := clock_timestamp();
BEGIN
    UPDATE credit_alert SET cleared_at = v_now
    WHERE kind = p_kind AND subject = p_subject AND cleared_at IS NULL;
END;
$$;


-- A seller's balance has just fallen below his threshold, both in Tomans. Called under the seller's lock. What falls while
-- the alert is raised has not been above in between for anybody to see: credit that came, and paid at once what was owed.
CREATE FUNCTION alert_balance_low(p_seller_id bigint, p_balance bigint, p_alert_below bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_data constant jsonb := jsonb_build_object(
        'seller_id', p_seller_id, 'balance', p_balance, 'threshold', p_alert_below
    );
BEGIN
    IF alert_raise('balance_low', p_seller_id::text, p_seller_id, v_data)
        AND EXISTS (SELECT FROM webhook_listeners(p_seller_id))
    THEN
        PERFORM webhook_emit('balance.low', p_seller_id, v_data);
    END IF;
END;
$$;


-- The balance below which a seller is told (Tomans; NULL: never). Nothing of the ledger's own changes. A balance that is below
-- a threshold that is set now has not fallen below it: only the next time that it does is told. What is not below it any
-- more is over. Called under the seller's lock.
CREATE FUNCTION account_alert_below(p_seller_id bigint, p_alert_below bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_balance bigint;
BEGIN
    UPDATE credit_account SET alert_below = p_alert_below WHERE seller_id = p_seller_id RETURNING balance INTO v_balance;
    IF v_balance < p_alert_below IS NOT TRUE THEN
        PERFORM alert_clear('balance_low', p_seller_id::text);
    END IF;
END;
$$;


-- Writes a message to each of the organization's own addresses, to see that it arrives. Gives how many.
CREATE FUNCTION alert_test() RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_now constant timestamptz := clock_timestamp();
    v_count integer;
BEGIN
    INSERT INTO credit_alertmessage (id, channel, recipient, status, attempts, due_at, give_up_at, created_at, error)
    SELECT uuid7_at(v_now), told.channel, told.recipient, 'pending', 0, v_now, v_now + interval '10 minutes', v_now, ''
    FROM alert_recipients(NULL) AS told;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END;
$$;


-- Writes a message that says p_text itself, and is of no alert: to a number, for a seller. Given up after an hour. Its id.
CREATE FUNCTION alert_send_text(p_seller_id bigint, p_recipient text, p_text text) RETURNS uuid
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_now constant timestamptz := clock_timestamp();
    v_id constant uuid := uuid7_at(v_now);
BEGIN
    INSERT INTO credit_alertmessage (
        id, seller_id, channel, recipient, status, attempts, due_at, give_up_at, created_at, error, text
    )
    VALUES (v_id, p_seller_id, 'sms', p_recipient, 'pending', 0, v_now, v_now + interval '1 hour', v_now, '', p_text);
    RETURN v_id;
END;
$$;


-- The kinds of alerts that a worker of the release before does not know. It would send something else than a message of
-- them says, or than one with a text: it takes both for tests.
CREATE FUNCTION alert_kinds_new() RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY['claims_overdue', 'claim_answered', 'refunded_twice'];


-- Code of the release before calls this: a call that began before an upgrade may end after it. The next release drops it.
CREATE FUNCTION alert_is_new(p_alert_id uuid, p_text text) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN p_text <> ''
        OR EXISTS (SELECT FROM credit_alert WHERE id = p_alert_id AND kind = ANY (alert_kinds_new()));
END;
$$;


-- When the next message is due; NULL: none is waiting. p_knows_all: see alert_claim.
CREATE FUNCTION alert_next_due(p_knows_all boolean DEFAULT false) RETURNS timestamptz
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off -- see recharge/sql/delivery.sql
AS $$
BEGIN
    RETURN (
        SELECT message.due_at FROM credit_alertmessage AS message
        WHERE message.due_at IS NOT NULL AND (p_knows_all OR message.text = '' AND NOT EXISTS (
            SELECT FROM credit_alert AS alert WHERE alert.id = message.alert_id AND alert.kind = ANY (alert_kinds_new())
        ))
        ORDER BY message.due_at LIMIT 1
    );
END;
$$;


-- Takes up to p_limit due messages, each until p_lease has passed; whoever is given one sends it. p_knows_all: whether it is
-- a worker of this release, which has words for all of them (alert_kinds_new).
CREATE FUNCTION alert_claim(p_limit integer, p_lease interval, p_knows_all boolean DEFAULT false) RETURNS TABLE (
    id uuid, seller_id bigint, channel text, recipient text, attempts integer, give_up_at timestamptz,
    claimed_until timestamptz, kind text, subject text, data text, text text
)
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
SET enable_seqscan = off -- see recharge/sql/delivery.sql
AS $$
#variable_conflict use_column
DECLARE
    v_now constant timestamptz := clock_timestamp();
    v_until constant timestamptz := v_now + p_lease;
BEGIN
    RETURN QUERY
    WITH due AS MATERIALIZED (
        SELECT message.id FROM credit_alertmessage AS message
        WHERE message.due_at <= v_now AND (p_knows_all OR message.text = '' AND NOT EXISTS (
            SELECT FROM credit_alert AS alert WHERE alert.id = message.alert_id AND alert.kind = ANY (alert_kinds_new())
        ))
        ORDER BY message.due_at
        LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    ),

    claimed AS (
        UPDATE credit_alertmessage AS message SET due_at = v_until
        FROM due WHERE message.id = due.id
        RETURNING message.*
    )

    SELECT
        claimed.id, claimed.seller_id, claimed.channel::text, claimed.recipient::text, claimed.attempts,
        claimed.give_up_at, claimed.due_at, coalesce(alert.kind, '')::text, coalesce(alert.subject, '')::text,
        coalesce(alert.data, '{}')::text, claimed.text::text
    FROM claimed LEFT JOIN credit_alert AS alert ON alert.id = claimed.alert_id;
END;
$$;


-- Records what came of messages that were claimed.
--   sent       it has arrived, as far as its channel can tell
--   retry      it has not, certainly or most likely; to be tried again after p_due_in
--   postponed  nothing was tried; to be tried after p_due_in
--   failed     it is given up, or may well have arrived
-- Of what was not sent, one whose due_at is no longer what its claim made it has been claimed since, and is left as it is.
CREATE FUNCTION alert_record(
    p_ids uuid[],
    p_claimed_until timestamptz[],
    p_outcomes text[],
    p_due_in interval[],
    p_errors text[]
) RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_now constant timestamptz := clock_timestamp();
    v_due_at constant timestamptz[] := ARRAY(SELECT v_now + due_in FROM unnest(p_due_in) AS due_in);
    v_count integer;
BEGIN
    UPDATE credit_alertmessage AS message
    SET status = CASE done.outcome WHEN 'sent' THEN 'sent' WHEN 'failed' THEN 'failed' ELSE 'pending' END,
        attempts = message.attempts + CASE WHEN done.outcome = 'postponed' THEN 0 ELSE 1 END,
        due_at = CASE WHEN done.outcome IN ('retry', 'postponed') THEN done.due_at END,
        sent_at = CASE WHEN done.outcome = 'sent' THEN v_now ELSE message.sent_at END,
        error = done.error
    FROM unnest(p_ids, p_claimed_until, p_outcomes, v_due_at, p_errors)
        AS done (id, claimed_until, outcome, due_at, error)
    WHERE message.id = done.id AND (done.outcome = 'sent' OR message.due_at = done.claimed_until);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END;
$$;
