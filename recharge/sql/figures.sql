-- What waits in an organization, for the platform's metrics. A worker asks every few seconds to once a minute in each
-- organization: each figure is a step or few into an index of what waits, and counting ends at 10,000.
--
-- *_seconds: the age of the oldest; of webhooks, for how long the one that is due longest has been due: one that waits to be
-- tried again is not late. 0 where nothing waits.
CREATE FUNCTION queue_figures(
    OUT pending bigint,
    OUT pending_seconds double precision,
    OUT unknown bigint,
    OUT unknown_seconds double precision,
    OUT webhooks bigint,
    OUT webhooks_seconds double precision
)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
SET enable_seqscan = off -- see delivery.sql
SET enable_bitmapscan = off
AS $$
DECLARE
    v_next_webhook constant timestamptz := webhook_next_due();
BEGIN
    SELECT
        (SELECT count(*) FROM (
            SELECT FROM recharge_recharge WHERE status = 'pending' LIMIT 10000
        ) AS waiting),
        coalesce((
            SELECT greatest(0, extract(epoch FROM clock_timestamp() - created_at)) FROM recharge_recharge
            WHERE status = 'pending' ORDER BY id LIMIT 1
        ), 0),
        (SELECT count(*) FROM (
            SELECT FROM recharge_recharge WHERE status = 'unknown' LIMIT 10000
        ) AS waiting),
        coalesce((
            SELECT greatest(0, extract(epoch FROM clock_timestamp() - created_at)) FROM recharge_recharge
            WHERE status = 'unknown' ORDER BY id LIMIT 1
        ), 0),
        (SELECT count(*) FROM (
            SELECT FROM credit_webhookmessage WHERE due_at IS NOT NULL LIMIT 10000
        ) AS waiting),
        greatest(0, extract(epoch FROM clock_timestamp() - v_next_webhook))
    INTO pending, pending_seconds, unknown, unknown_seconds, webhooks, webhooks_seconds;
END;
$$;
