-- Closed periods. A report of days that are closed adds up the entries of those days, which nobody can change; what comes
-- later to a recharge that was sold in them is an entry of a later day, and falls into the period that is open then.

-- Lets the postings that have begun come to their end: whatever is posted after this is of a later moment.
CREATE FUNCTION ledger_await() RETURNS void
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
BEGIN
    LOCK TABLE credit_entry IN SHARE MODE;
END;
$$;


-- What was posted from one moment (NULL: the beginning) until another, by kind: how many entries, their Tomans, and the
-- commissions'. An entry's id begins with its time.
CREATE FUNCTION period_totals(p_begins timestamptz, p_ends timestamptz) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN (
        SELECT coalesce(
            jsonb_object_agg(
                posted.kind,
                jsonb_build_object('entries', posted.entries, 'amount', posted.amount, 'commission', posted.commission)
            ),
            '{}'
        )
        FROM (
            SELECT kind, count(*) AS entries, sum(amount) AS amount, sum(commission) AS commission
            FROM credit_entry
            WHERE id >= coalesce(uuid7_floor(p_begins), '00000000-0000-0000-0000-000000000000')
                AND (p_begins IS NULL OR created_at >= p_begins)
                AND id < uuid7_floor(p_ends + interval '1 millisecond') AND created_at < p_ends
            GROUP BY kind
        ) AS posted
    );
END;
$$;


-- Closes what is open until the end of p_last_day, a day of the organization's time zone.
--   closed      now
--   replayed    it was closed before, until the same day; that period
--   is_closed   it is in a period that is closed; that one
--   not_over    the day has not been over for a minute: what was begun on it is posted by then
-- All but the last come with the period.
CREATE FUNCTION period_close(
    p_last_day date, p_closed_by text, OUT outcome text, OUT period recharge_closedperiod
)
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_before recharge_closedperiod;
    v_ends timestamptz;
    v_totals jsonb;
BEGIN
    -- Of two who close at once, the second sees what the first has closed. Whoever reads does not wait.
    LOCK TABLE recharge_closedperiod IN SHARE ROW EXCLUSIVE MODE;
    SELECT * INTO period FROM recharge_closedperiod WHERE last_day >= p_last_day ORDER BY last_day LIMIT 1;
    IF FOUND THEN
        outcome := CASE WHEN period.last_day = p_last_day THEN 'replayed' ELSE 'is_closed' END;
        RETURN;
    END IF;
    SELECT * INTO v_before FROM recharge_closedperiod ORDER BY last_day DESC LIMIT 1;
    v_ends := (p_last_day + 1)::timestamp AT TIME ZONE organization_time_zone();
    IF v_ends + interval '1 minute' > clock_timestamp() OR v_ends <= v_before.ends THEN
        outcome := 'not_over';
        period := NULL;
        RETURN;
    END IF;
    v_totals := period_totals(v_before.ends, v_ends);
    INSERT INTO recharge_closedperiod (last_day, first_day, begins, ends, totals, closed_at, closed_by)
    VALUES (p_last_day, v_before.last_day + 1, v_before.ends, v_ends, v_totals, clock_timestamp(), p_closed_by)
    RETURNING * INTO period;
    outcome := 'closed';
END;
$$;


CREATE FUNCTION recharge_closedperiod_refuse_change() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION 'a closed period stays as it is: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END;
$$;

CREATE TRIGGER recharge_closedperiod_stays
BEFORE UPDATE OR DELETE ON recharge_closedperiod
FOR EACH STATEMENT EXECUTE FUNCTION recharge_closedperiod_refuse_change();

CREATE TRIGGER recharge_closedperiod_not_emptied
BEFORE TRUNCATE ON recharge_closedperiod
FOR EACH STATEMENT EXECUTE FUNCTION recharge_closedperiod_refuse_change();
