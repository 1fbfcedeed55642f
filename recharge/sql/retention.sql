-- Letting go of what is told of recharges beside their money; credit/sql/retention.sql says how such a function works, and
-- what its arguments and columns mean.

-- Attempts to deliver recharges that are at their end, and of which nothing is to be asked any more. They are evidence, so
-- whatever is asked for, those of the last three months stay: who has taken over a web process gets rid of none of them.
CREATE FUNCTION attempts_let_go(
    p_before timestamptz, p_after text, p_limit integer, p_is_dry boolean,
    OUT looked integer, OUT gone integer, OUT last text
)
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET enable_seqscan = off -- see delivery.sql
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
    v_before constant timestamptz := least(p_before, clock_timestamp() - interval '3 months');
    v_old bigint[];
BEGIN
    -- By their ids, which follow their times: the first that is too young ends it.
    SELECT
        count(*) FILTER (WHERE old.started_at < v_before),
        coalesce(max(old.id) FILTER (WHERE old.started_at < v_before), 0)::text,
        array_agg(old.id) FILTER (WHERE old.started_at < v_before AND old.is_at_its_end)
    INTO looked, last, v_old
    FROM (
        SELECT
            attempt.id, attempt.started_at,
            recharge.status IN ('succeeded', 'failed') AND recharge.due_at IS NULL AS is_at_its_end
        FROM recharge_attempt AS attempt
        INNER JOIN recharge_recharge AS recharge ON recharge.id = attempt.recharge_id
        WHERE attempt.id > coalesce(nullif(p_after, '')::bigint, 0)
        ORDER BY attempt.id
        LIMIT p_limit
    ) AS old;
    IF NOT p_is_dry THEN
        v_old := ARRAY(SELECT id FROM recharge_attempt WHERE id = ANY (v_old) FOR UPDATE SKIP LOCKED);
        DELETE FROM recharge_attempt WHERE id = ANY (v_old);
    END IF;
    gone := coalesce(cardinality(v_old), 0);
END;
$$;


-- Files and pasted rows of bulk sales. What was sold of them is recharges, and stays.
CREATE FUNCTION bulk_batches_let_go(
    p_before timestamptz, p_after text, p_limit integer, p_is_dry boolean,
    OUT looked integer, OUT gone integer, OUT last text
)
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
SET enable_seqscan = off -- see delivery.sql
AS $$
DECLARE
    v_old bigint[];
BEGIN
    SELECT
        count(*) FILTER (WHERE old.created_at < p_before),
        coalesce(max(old.id) FILTER (WHERE old.created_at < p_before), 0)::text,
        array_agg(old.id) FILTER (WHERE old.created_at < p_before)
    INTO looked, last, v_old
    FROM (
        SELECT id, created_at FROM recharge_bulkbatch
        WHERE id > coalesce(nullif(p_after, '')::bigint, 0)
        ORDER BY id
        LIMIT p_limit
    ) AS old;
    IF NOT p_is_dry THEN
        v_old := ARRAY(SELECT id FROM recharge_bulkbatch WHERE id = ANY (v_old) FOR UPDATE SKIP LOCKED);
        DELETE FROM recharge_bulkbatch WHERE id = ANY (v_old);
    END IF;
    gone := coalesce(cardinality(v_old), 0);
END;
$$;


-- Masks the numbers of recharges that are at their end, where the organization wants it, and not before it does, whatever is
-- asked for: there is no way back. The seller's lock is not taken: no money moves, and whoever settles a recharge holds its
-- row, which is passed over then.
CREATE FUNCTION numbers_mask(
    p_before timestamptz, p_after text, p_limit integer, p_is_dry boolean,
    OUT looked integer, OUT gone integer, OUT last text
)
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET enable_seqscan = off -- see delivery.sql
AS $$
DECLARE
    v_months constant integer := (SELECT settings.numbers_kept_months FROM recharge_settings AS settings);
    v_before timestamptz;
    v_old uuid[];
BEGIN
    IF v_months > 0 THEN
        v_before := least(p_before, clock_timestamp() - v_months * interval '1 month');
    END IF;
    SELECT count(*), coalesce(max(old.id::text), ''), array_agg(old.id) FILTER (WHERE old.is_to_be_masked)
    INTO looked, last, v_old
    FROM (
        SELECT
            id,
            status IN ('succeeded', 'failed') AND due_at IS NULL AND phone_number <> phone_masked(phone_number)
                AS is_to_be_masked
        FROM recharge_recharge
        WHERE id > coalesce(nullif(p_after, '')::uuid, uuid7_floor('epoch')) AND id < uuid7_floor(v_before)  -- NULL: none
        ORDER BY id
        LIMIT p_limit
    ) AS old;
    IF NOT p_is_dry THEN
        v_old := ARRAY(
            SELECT id FROM recharge_recharge
            WHERE id = ANY (v_old) AND status IN ('succeeded', 'failed') AND due_at IS NULL
            FOR UPDATE SKIP LOCKED
        );
        UPDATE recharge_recharge
        SET phone_number = phone_masked(phone_number),
            idempotency_key = key_masked(idempotency_key, phone_number, id)
        WHERE id = ANY (v_old);
    END IF;
    gone := coalesce(cardinality(v_old), 0);
END;
$$;
