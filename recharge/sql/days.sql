-- Sums of days, for reports: a day that is over is summed up once, by a worker, and a report of 92 days reads these sums
-- instead of all recharges of that time. Only what is sure to be the same is taken from them: see report_days.

-- The recharges of a day (from one moment until another), by operator, by seller and by what became of them. Each is what
-- it was when the day ended (was), and what it is now (is_now): succeeded, failed or open. What a day's report said the next
-- morning it says for ever; what became of it since is beside that.
--
-- Dealers' margins are beside them, of no operator, by the day of their entry: workers post them in batches, which are of
-- no one operator.
CREATE FUNCTION day_sales(p_begins timestamptz, p_ends timestamptz)
RETURNS TABLE (
    operator text, seller_id bigint, was text, is_now text, training boolean, recharges bigint, amount bigint,
    commission bigint, margin bigint
)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
SET plan_cache_mode = force_custom_plan -- a day is a part of the table that the planner knows; any day is none
AS $$
BEGIN
    RETURN QUERY
    SELECT
        ended.operator::text, ended.seller_id, ended.was, ended.is_now, ended.training, count(*), sum(ended.amount)::bigint,
        sum(ended.commission)::bigint, 0::bigint
    FROM (
        SELECT
            recharge.operator, recharge.seller_id, recharge.training, recharge.amount, recharge.commission,
            CASE
                WHEN recharge.delivered_from < p_ends
                    AND (recharge.delivered_until IS NULL OR recharge.delivered_until >= p_ends) THEN 'succeeded'
                WHEN recharge.failed_from < p_ends OR recharge.delivered_until < p_ends THEN 'failed'
                ELSE 'open'
            END AS was,
            CASE WHEN recharge.status IN ('pending', 'unknown') THEN 'open' ELSE recharge.status::text END AS is_now
        FROM (
            SELECT
                sold.operator, sold.seller_id, sold.training, sold.amount, sold.commission, sold.status,
                -- From when and until when it was delivered. What was taken back says when it had been delivered in
                -- delivered_at (one of an earlier release does not: then it was when it was sold).
                CASE
                    WHEN sold.status = 'succeeded' THEN coalesce(sold.delivered_at, sold.completed_at)
                    WHEN sold.late = 'reversed' OR sold.delivered_at IS NOT NULL
                        THEN coalesce(sold.delivered_at, sold.created_at)
                END AS delivered_from,
                CASE
                    WHEN sold.status = 'failed' AND (sold.late = 'reversed' OR sold.delivered_at IS NOT NULL)
                        THEN sold.completed_at
                END AS delivered_until,
                -- When it had failed first. Of what is plain, completed_at says that; else the refund does.
                CASE
                    WHEN sold.late = '' AND sold.delivered_at IS NULL
                        THEN CASE WHEN sold.status = 'failed' THEN sold.completed_at END
                    ELSE (
                        SELECT refund.created_at FROM credit_entry AS refund
                        WHERE refund.kind = 'refund' AND refund.reference = sold.id
                    )
                END AS failed_from
            FROM recharge_recharge AS sold
            WHERE sold.id >= uuid7_floor(p_begins) AND sold.id < uuid7_floor(p_ends + interval '1 millisecond')
                AND sold.created_at >= p_begins AND sold.created_at < p_ends
        ) AS recharge
    ) AS ended
    GROUP BY ended.operator, ended.seller_id, ended.was, ended.is_now, ended.training

    UNION ALL
    SELECT '', entry.seller_id, '', '', false, 0::bigint, 0::bigint, 0::bigint, sum(entry.amount)::bigint
    FROM credit_entry AS entry
    WHERE entry.kind = ANY (entry_kinds_of('margin_batch'))
        AND entry.id >= uuid7_floor(p_begins) AND entry.id < uuid7_floor(p_ends + interval '1 millisecond')
        AND entry.created_at >= p_begins AND entry.created_at < p_ends
    GROUP BY entry.seller_id;
END;
$$;


-- What was posted for recharges on a day, by kind, by operator and by seller: each entry counts for its own day. sold_at:
-- when the recharge was sold, if that was before the day; a report may begin before it or after it. Margins are of no
-- operator.
CREATE FUNCTION day_postings(p_begins timestamptz, p_ends timestamptz)
RETURNS TABLE (
    operator text, seller_id bigint, kind text, sold_at timestamptz, entries bigint, amount bigint, commission bigint
)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
SET plan_cache_mode = force_custom_plan -- see day_sales
AS $$
BEGIN
    RETURN QUERY
    SELECT
        coalesce(posted.operator, '')::text, posted.seller_id, posted.kind::text, posted.sold_at, count(*),
        sum(posted.amount)::bigint, sum(posted.commission)::bigint
    FROM (
        SELECT
            recharge.operator, entry.seller_id, entry.kind, entry.amount, entry.commission,
            CASE WHEN recharge.created_at < p_begins THEN recharge.created_at END AS sold_at
        FROM credit_entry AS entry
        LEFT JOIN recharge_recharge AS recharge ON recharge.id = entry.reference
        WHERE entry.kind = ANY (entry_kinds_of('recharge') || entry_kinds_of('margin_batch'))
            AND entry.id >= uuid7_floor(p_begins) AND entry.id < uuid7_floor(p_ends + interval '1 millisecond')
            AND entry.created_at >= p_begins AND entry.created_at < p_ends
    ) AS posted
    GROUP BY posted.operator, posted.seller_id, posted.kind, posted.sold_at;
END;
$$;


-- The days between these moments, numbered from 1 on, and whether their sums are there and are those of now.
--
-- A day is summed up when it has been over for two hours, by who knows that nothing is written any more that began before
-- its horizon. From then on it changes only by a result that comes later than an hour after the sale; completed_at says when
-- that came, and an index knows these few. A day with one since its horizon is not taken from the sums. (Nothing is posted
-- for a day that is over, so postings stay.) Nor is one whose horizon is to come: see days_misdated.
CREATE FUNCTION report_days(p_bounds timestamptz[])
RETURNS TABLE (day integer, begins timestamptz, ends timestamptz, sales_are_summed boolean, postings_are_summed boolean)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
SET enable_seqscan = off -- see delivery.sql
AS $$
DECLARE
    v_changed constant timestamptz[] := ARRAY(SELECT days_changed());
    v_misdated constant timestamptz[] := ARRAY(SELECT days_misdated());
BEGIN
    RETURN QUERY
    SELECT
        given.day, p_bounds[given.day], p_bounds[given.day + 1],
        summed.begins IS NOT NULL AND summed.begins <> ALL (v_changed),
        summed.begins IS NOT NULL
    FROM generate_series(1, cardinality(p_bounds) - 1) AS given (day)
    LEFT JOIN recharge_summedday AS summed
        ON summed.begins = p_bounds[given.day] AND summed.ends = p_bounds[given.day + 1]
        AND summed.begins <> ALL (v_misdated);
END;
$$;


-- When the days begin whose horizon is to come (machines' clocks may differ by a minute): the clock was ahead when they were
-- summed up, or has been set back since. What is sold now may fall into such a day, and a late result may be taken for one that
-- its sums have. A worker looks twice an hour: if the clock was ahead for less, and such a result came meanwhile, only
-- `reconcile` finds it.
CREATE FUNCTION days_misdated() RETURNS SETOF timestamptz
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT begins FROM recharge_summedday WHERE horizon > statement_timestamp() + interval '1 minute' ORDER BY begins;
END;
$$;


-- What report.sql sums up: the sums of the days between these moments, of a day that is summed up and has not changed since
-- as they are kept. operator is NULL for margins. A statement of its own, as report_postings and seller_name are: Citus carries
-- out none that has both a table and a function that reads one.
CREATE FUNCTION report_sales(p_bounds timestamptz[])
RETURNS TABLE (
    day integer, operator text, seller_id bigint, was text, is_now text, training boolean, recharges bigint,
    amount bigint, commission bigint, margin bigint
)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_days integer[];
    v_begins timestamptz[];
    v_day record;
BEGIN
    SELECT array_agg(given.day), array_agg(given.begins) INTO v_days, v_begins
    FROM report_days(p_bounds) AS given WHERE given.sales_are_summed;
    RETURN QUERY
    SELECT
        given.day, nullif(sums.operator, '')::text, sums.seller_id, sums.was::text, sums.is_now::text, sums.training,
        sums.recharges::bigint, sums.amount, sums.commission, sums.margin
    FROM unnest(v_days, v_begins) AS given (day, begins) INNER JOIN recharge_daysum AS sums ON sums.begins = given.begins;
    FOR v_day IN SELECT * FROM report_days(p_bounds) AS given WHERE NOT given.sales_are_summed LOOP
        RETURN QUERY
        SELECT
            v_day.day, nullif(sums.operator, ''), sums.seller_id, sums.was, sums.is_now, sums.training, sums.recharges,
            sums.amount, sums.commission, sums.margin
        FROM day_sales(v_day.begins, v_day.ends) AS sums;
    END LOOP;
END;
$$;


-- The same for report_of_entries.sql, of what was posted. is_earlier: for a recharge that was sold before the first of these
-- days.
CREATE FUNCTION report_postings(p_bounds timestamptz[])
RETURNS TABLE (
    day integer, operator text, seller_id bigint, kind text, is_earlier boolean, entries bigint, amount bigint,
    commission bigint
)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_days integer[];
    v_begins timestamptz[];
    v_day record;
BEGIN
    SELECT array_agg(given.day), array_agg(given.begins) INTO v_days, v_begins
    FROM report_days(p_bounds) AS given WHERE given.postings_are_summed;
    RETURN QUERY
    SELECT
        given.day, nullif(sums.operator, '')::text, sums.seller_id, sums.kind::text, sums.sold_at < p_bounds[1],
        sums.entries::bigint, sums.amount, sums.commission
    FROM unnest(v_days, v_begins) AS given (day, begins)
    INNER JOIN recharge_dayposting AS sums ON sums.begins = given.begins;
    FOR v_day IN SELECT * FROM report_days(p_bounds) AS given WHERE NOT given.postings_are_summed LOOP
        RETURN QUERY
        SELECT
            v_day.day, nullif(sums.operator, ''), sums.seller_id, sums.kind, sums.sold_at < p_bounds[1], sums.entries,
            sums.amount, sums.commission
        FROM day_postings(v_day.begins, v_day.ends) AS sums;
    END LOOP;
END;
$$;


-- NULL: there is no such seller.
CREATE FUNCTION seller_name(p_seller_id bigint) RETURNS text
LANGUAGE plpgsql STABLE STRICT
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN (SELECT name FROM credit_seller WHERE id = p_seller_id);
END;
$$;


-- When the days begin that were summed up, and of which a recharge has changed since.
CREATE FUNCTION days_changed() RETURNS SETOF timestamptz
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
SET enable_seqscan = off -- see delivery.sql
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
BEGIN
    RETURN QUERY
    SELECT DISTINCT summed.begins
    FROM recharge_recharge AS late
    CROSS JOIN LATERAL (
        SELECT known.begins, known.ends, known.horizon FROM recharge_summedday AS known
        WHERE known.begins <= late.created_at
        ORDER BY known.begins DESC LIMIT 1
    ) AS summed
    WHERE late.completed_at >= (SELECT min(horizon) FROM recharge_summedday)
        AND late.completed_at - late.created_at > interval '1 hour'
        AND late.created_at < summed.ends AND late.completed_at >= summed.horizon;
END;
$$;


-- The sums of a day that are kept, of its recharges and of what was posted.
CREATE FUNCTION day_sales_kept(p_begins timestamptz) RETURNS SETOF recharge_daysum
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY SELECT * FROM recharge_daysum WHERE begins = p_begins;
END;
$$;


CREATE FUNCTION day_postings_kept(p_begins timestamptz) RETURNS SETOF recharge_dayposting
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY SELECT * FROM recharge_dayposting WHERE begins = p_begins;
END;
$$;


-- Which sums of a day are not those of its recharges and entries, and how (what); none: all of them are.
CREATE FUNCTION day_differences(p_begins timestamptz, p_ends timestamptz)
RETURNS TABLE (is_of_sales boolean, seller_id bigint, what text)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT
        found.is_of_sales, found.seller_id,
        format(
            'of seller %s and operator %s, %s: %s of %s Tomans, commission %s, margins %s, for %s of %s, %s, %s',
            found.seller_id, coalesce(nullif(found.operator, ''), 'none'), found.of,
            coalesce(sum(found.number) FILTER (WHERE found.is_kept), 0),
            coalesce(sum(found.amount) FILTER (WHERE found.is_kept), 0),
            coalesce(sum(found.commission) FILTER (WHERE found.is_kept), 0),
            coalesce(sum(found.margin) FILTER (WHERE found.is_kept), 0),
            coalesce(sum(found.number) FILTER (WHERE NOT found.is_kept), 0),
            coalesce(sum(found.amount) FILTER (WHERE NOT found.is_kept), 0),
            coalesce(sum(found.commission) FILTER (WHERE NOT found.is_kept), 0),
            coalesce(sum(found.margin) FILTER (WHERE NOT found.is_kept), 0)
        )
    FROM (
        SELECT
            true AS is_of_sales, kept.operator::text, kept.seller_id,
            concat_ws(' ', kept.was, kept.is_now, CASE WHEN kept.training THEN 'in training' END) AS of,
            kept.recharges AS number, kept.amount, kept.commission, kept.margin, true AS is_kept
        FROM day_sales_kept(p_begins) AS kept
        UNION ALL
        SELECT
            true, now.operator, now.seller_id,
            concat_ws(' ', now.was, now.is_now, CASE WHEN now.training THEN 'in training' END),
            now.recharges, now.amount, now.commission, now.margin, false
        FROM day_sales(p_begins, p_ends) AS now
        UNION ALL
        SELECT
            false, kept.operator::text, kept.seller_id, concat_ws(' of ', kept.kind, kept.sold_at), kept.entries, kept.amount,
            kept.commission, 0, true
        FROM day_postings_kept(p_begins) AS kept
        UNION ALL
        SELECT
            false, now.operator, now.seller_id, concat_ws(' of ', now.kind, now.sold_at), now.entries, now.amount,
            now.commission, 0, false
        FROM day_postings(p_begins, p_ends) AS now
    ) AS found
    GROUP BY found.is_of_sales, found.operator, found.seller_id, found.of
    -- A sum that is kept twice counts twice in reports, too.
    HAVING (
        sum(CASE WHEN found.is_kept THEN found.number ELSE -found.number END),
        sum(CASE WHEN found.is_kept THEN found.amount ELSE -found.amount END),
        sum(CASE WHEN found.is_kept THEN found.commission ELSE -found.commission END),
        sum(CASE WHEN found.is_kept THEN found.margin ELSE -found.margin END)
    ) <> (0, 0, 0, 0);
END;
$$;


-- What reports read of days that are over, and is not so: each such day with how many of its sums differ, and how the first
-- does. Of all days; or of those that were over since the checkpoint (checkpoint.sql), or hours before: a day is summed up when
-- it has been over for some hours.
CREATE FUNCTION days_differ(p_is_since boolean)
RETURNS TABLE (begins timestamptz, seller_id bigint, differing bigint, what text)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    v_since constant timestamptz := CASE
        WHEN p_is_since THEN (SELECT at - interval '1 hour' - interval '1 day' FROM recharge_checkpoint)
        ELSE '-infinity'
    END;
    v_changed constant timestamptz[] := ARRAY(SELECT days_changed());  -- reports don't read these
    v_misdated constant timestamptz[] := ARRAY(SELECT days_misdated());  -- nor these
    v_day record;
BEGIN
    FOR v_day IN
        SELECT known.begins, known.ends FROM recharge_summedday AS known
        WHERE known.ends >= v_since AND known.begins <> ALL (v_misdated)
    LOOP
        RETURN QUERY
        SELECT v_day.begins, min(found.seller_id), count(*), min(found.what)
        FROM day_differences(v_day.begins, v_day.ends) AS found
        WHERE NOT (found.is_of_sales AND v_day.begins = ANY (v_changed))
        HAVING count(*) > 0;
    END LOOP;
END;
$$;


-- Forgets the sums of a day: reports sum it up themselves, until a worker has summed it up anew.
CREATE FUNCTION days_forget(p_begins timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
BEGIN
    DELETE FROM recharge_daysum WHERE begins = p_begins;
    DELETE FROM recharge_dayposting WHERE begins = p_begins;
    DELETE FROM recharge_summedday WHERE begins = p_begins;
END;
$$;


-- Sums up days that lack it or have changed since, up to p_most of them, the last ones first. p_horizon: nothing is written
-- any more that began before it (shared/horizon.py). Gives how many they were; fewer than p_most: all are summed up, or
-- somebody else is about it.
CREATE FUNCTION days_sum_up(p_horizon timestamptz, p_most integer) RETURNS integer
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    v_zone constant text := organization_time_zone();
    v_first date;
    v_last constant date := ((p_horizon - interval '2 hours') AT TIME ZONE v_zone)::date - 1;
    v_changed timestamptz[];
    v_day record;
    v_done integer := 0;
BEGIN
    -- One at a time. (0: see order.sql.)
    IF NOT pg_try_advisory_xact_lock(0, ('recharge_summedday'::regclass::oid::bigint & 2147483647)::int) THEN
        RETURN 0;
    END IF;
    FOR v_day IN SELECT * FROM days_misdated() AS misdated (begins) ORDER BY begins DESC LIMIT 100 LOOP
        PERFORM days_forget(v_day.begins);
    END LOOP;
    -- Days of another zone are no days any more.
    IF EXISTS (SELECT FROM recharge_summedday WHERE zone <> v_zone) THEN
        FOR v_day IN SELECT begins FROM recharge_summedday LOOP
            PERFORM days_forget(v_day.begins);
        END LOOP;
    END IF;

    v_changed := ARRAY(SELECT changed.at FROM days_changed() AS changed (at) ORDER BY 1 DESC);
    FOR v_day IN
        SELECT begins, ends FROM recharge_summedday WHERE begins = ANY (v_changed) ORDER BY begins DESC LIMIT p_most
    LOOP
        DELETE FROM recharge_daysum WHERE begins = v_day.begins;
        INSERT INTO recharge_daysum (
            begins, operator, seller_id, was, is_now, training, recharges, amount, commission, margin
        )
        SELECT v_day.begins, sums.* FROM day_sales(v_day.begins, v_day.ends) AS sums;
        UPDATE recharge_summedday SET horizon = p_horizon WHERE begins = v_day.begins;
        v_done := v_done + 1;
    END LOOP;

    v_first := (
        least(
            (SELECT created_at FROM credit_entry ORDER BY id LIMIT 1),
            (SELECT created_at FROM recharge_recharge ORDER BY id LIMIT 1)
        ) AT TIME ZONE v_zone
    )::date;
    FOR v_day IN
        SELECT given.begins, given.ends
        FROM generate_series(0, v_last - v_first) AS back
        CROSS JOIN LATERAL (
            SELECT
                (v_last - back)::timestamp AT TIME ZONE v_zone AS begins,
                (v_last - back + 1)::timestamp AT TIME ZONE v_zone AS ends
        ) AS given
        WHERE NOT EXISTS (SELECT FROM recharge_summedday AS summed WHERE summed.begins = given.begins)
        ORDER BY back
        LIMIT p_most - v_done
    LOOP
        PERFORM days_forget(v_day.begins);  -- what somebody left of it who removed its row alone
        INSERT INTO recharge_daysum (
            begins, operator, seller_id, was, is_now, training, recharges, amount, commission, margin
        )
        SELECT v_day.begins, sums.* FROM day_sales(v_day.begins, v_day.ends) AS sums;
        INSERT INTO recharge_dayposting (begins, operator, seller_id, kind, sold_at, entries, amount, commission)
        SELECT v_day.begins, sums.* FROM day_postings(v_day.begins, v_day.ends) AS sums;
        INSERT INTO recharge_summedday (begins, ends, zone, horizon) VALUES (v_day.begins, v_day.ends, v_zone, p_horizon);
        v_done := v_done + 1;
    END LOOP;

    -- Of the others nothing has changed until the horizon. So a report looks through the late results of a day or two.
    UPDATE recharge_summedday SET horizon = p_horizon
    WHERE horizon < p_horizon - interval '1 day' AND begins <> ALL (v_changed);
    RETURN v_done;
END;
$$;
