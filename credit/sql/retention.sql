-- Letting go: what nobody needs any more is removed after the time that the installation and the organization have settled
-- (recharge/retention). A worker calls these again and again, each time for a few rows, which it holds for some hundredths
-- of a second; rows that somebody else holds are passed over, so it waits for nobody. Entries, documents of money and the
-- audit are never let go of, nor are idempotency keys: they are their recharges'.
--
-- Each looks at up to p_limit rows that are older than p_before, in the order of their ids, from the one after p_after on
-- (empty: from the first), and removes those that are at their end. p_is_dry: it only counts them.
--   looked     at how many
--   gone       how many of them went, or would go
--   last       the id of the last one; empty: there was none

-- Webhooks' messages that have arrived or were given up, with their attempts.
CREATE FUNCTION webhooks_let_go(
    p_before timestamptz, p_after text, p_limit integer, p_is_dry boolean,
    OUT looked integer, OUT gone integer, OUT last text
)
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
SET enable_seqscan = off -- see recharge/sql/delivery.sql
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
    v_old uuid[];
BEGIN
    SELECT
        count(*), coalesce(max(old.id::text), ''), array_agg(old.id) FILTER (WHERE old.status <> 'pending')
    INTO looked, last, v_old
    FROM (
        SELECT id, status FROM credit_webhookmessage
        WHERE id > coalesce(nullif(p_after, '')::uuid, uuid7_floor('epoch')) AND id < uuid7_floor(p_before)
        ORDER BY id
        LIMIT p_limit
    ) AS old;
    IF NOT p_is_dry THEN
        -- Looked at once more under the lock: it may just have been resent.
        v_old := ARRAY(
            SELECT id FROM credit_webhookmessage WHERE id = ANY (v_old) AND status <> 'pending' FOR UPDATE SKIP LOCKED
        );
        DELETE FROM credit_webhookattempt WHERE message_id = ANY (v_old);
        DELETE FROM credit_webhookmessage WHERE id = ANY (v_old);
    END IF;
    gone := coalesce(cardinality(v_old), 0);
END;
$$;


-- Mails and short messages of alerts, and receipts to customers, that were sent or given up.
CREATE FUNCTION alert_messages_let_go(
    p_before timestamptz, p_after text, p_limit integer, p_is_dry boolean,
    OUT looked integer, OUT gone integer, OUT last text
)
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
SET enable_seqscan = off -- see recharge/sql/delivery.sql
AS $$
DECLARE
    v_old uuid[];
BEGIN
    SELECT
        count(*), coalesce(max(old.id::text), ''), array_agg(old.id) FILTER (WHERE old.status <> 'pending')
    INTO looked, last, v_old
    FROM (
        SELECT id, status FROM credit_alertmessage
        WHERE id > coalesce(nullif(p_after, '')::uuid, uuid7_floor('epoch')) AND id < uuid7_floor(p_before)
        ORDER BY id
        LIMIT p_limit
    ) AS old;
    IF NOT p_is_dry THEN
        v_old := ARRAY(
            SELECT id FROM credit_alertmessage WHERE id = ANY (v_old) AND status <> 'pending' FOR UPDATE SKIP LOCKED
        );
        DELETE FROM credit_alertmessage WHERE id = ANY (v_old);
    END IF;
    gone := coalesce(cardinality(v_old), 0);
END;
$$;


-- Alerts that are over, and of which no message is left.
CREATE FUNCTION alerts_let_go(
    p_before timestamptz, p_after text, p_limit integer, p_is_dry boolean,
    OUT looked integer, OUT gone integer, OUT last text
)
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
SET enable_seqscan = off -- see recharge/sql/delivery.sql
AS $$
DECLARE
    v_old uuid[];
BEGIN
    SELECT
        count(*), coalesce(max(old.id::text), ''), array_agg(old.id) FILTER (WHERE old.is_over)
    INTO looked, last, v_old
    FROM (
        SELECT
            alert.id,
            alert.cleared_at < p_before AND NOT EXISTS (
                SELECT FROM credit_alertmessage AS message WHERE message.alert_id = alert.id
            ) AS is_over
        FROM credit_alert AS alert
        WHERE alert.id > coalesce(nullif(p_after, '')::uuid, uuid7_floor('epoch')) AND alert.id < uuid7_floor(p_before)
        ORDER BY alert.id
        LIMIT p_limit
    ) AS old;
    IF NOT p_is_dry THEN
        -- What is over stays so, and gets no message any more.
        v_old := ARRAY(SELECT id FROM credit_alert WHERE id = ANY (v_old) FOR UPDATE SKIP LOCKED);
        DELETE FROM credit_alert WHERE id = ANY (v_old);
    END IF;
    gone := coalesce(cardinality(v_old), 0);
END;
$$;
