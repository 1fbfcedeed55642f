-- What the organization is told of without asking (credit/sql/alerts.sql raises and clears).

-- Looks whether anything is to be raised, or is over. A worker asks once a minute where it "waits": where something is open
-- that may have to be told of later, or an alert that may be over later. Some looks into indexes, and the recharges of the
-- last minutes. p_names: of the built-in operators, by their codes, {"en", "fa"}.
--
-- Counts are up to 100: whether there are more makes no difference. An operator's alert is over when its rate, or the number
-- of its failures, is half of what raises it, or less: at the very border it would come and go with each recharge.
CREATE FUNCTION recharge_alerts_look(p_names jsonb, OUT raised integer, OUT waits boolean)
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
SET lock_timeout = '3s'
SET enable_seqscan = off -- see delivery.sql
AS $$
DECLARE
    v_now constant timestamptz := clock_timestamp();
    v_settings credit_alertsettings;
    v_unknown_after integer;
    v_requests_after integer;
    v_percent integer;
    v_least integer;
    v_window integer;
    v_count integer;
    v_overdue_since timestamptz;
    v_row record;
BEGIN
    raised := 0;
    SELECT * INTO v_settings FROM credit_alertsettings;
    v_unknown_after := coalesce(v_settings.unknown_after, 60);
    v_requests_after := coalesce(v_settings.requests_after, 120);
    v_percent := coalesce(v_settings.failing_percent, 50);
    v_least := coalesce(v_settings.failing_least, 10);
    v_window := coalesce(v_settings.failing_window, 15);

    SELECT count(*) INTO v_count FROM (
        SELECT FROM recharge_recharge
        WHERE status = 'unknown' AND id < uuid7_floor(v_now - v_unknown_after * interval '1 minute')
        LIMIT 100
    ) AS unknown;
    raised := raised + alert_keep('unknown_outcomes', v_count, v_unknown_after);

    -- Those that a dealer is asked for are the dealer's business.
    SELECT count(*) INTO v_count FROM (
        SELECT FROM credit_creditrequest
        WHERE status = 'pending' AND parent_id IS NULL
            AND id < uuid7_floor(v_now - v_requests_after * interval '1 minute')
        LIMIT 100
    ) AS waiting;
    raised := raised + alert_keep('requests_waiting', v_count, v_requests_after);

    -- What has failed since is no question any more, and no alert.
    PERFORM claims_close_refunded();
    PERFORM claims_clear_taken_back();
    SELECT count(*), min(deadline) INTO v_count, v_overdue_since FROM (
        SELECT deadline FROM recharge_claim WHERE state = 'open' AND deadline < v_now ORDER BY deadline LIMIT 100
    ) AS overdue;
    raised := raised + alert_keep(
        'claims_overdue', v_count, coalesce(extract(epoch FROM v_now - v_overdue_since) / 60, 0)::integer
    );

    FOR v_row IN
        SELECT
            sold.operator,
            count(*) FILTER (WHERE sold.status = 'failed')::integer AS failed,
            count(*) FILTER (WHERE sold.status IN ('failed', 'succeeded'))::integer AS ended
        FROM recharge_recharge AS sold
        WHERE sold.id >= uuid7_floor(v_now - v_window * interval '1 minute')
        GROUP BY sold.operator
        UNION ALL
        -- What is raised, and has sold nothing since.
        SELECT alert.subject, 0, 0 FROM credit_alert AS alert
        WHERE alert.kind = 'operator_failing' AND alert.cleared_at IS NULL AND NOT EXISTS (
            SELECT FROM recharge_recharge AS sold
            WHERE sold.id >= uuid7_floor(v_now - v_window * interval '1 minute') AND sold.operator = alert.subject
        )
    LOOP
        IF v_row.failed >= v_least AND v_row.failed * 100 >= v_percent * v_row.ended THEN
            raised := raised + alert_raise(
                'operator_failing', v_row.operator, NULL,
                jsonb_build_object(
                    'operator', v_row.operator,
                    'name', coalesce(p_names -> v_row.operator ->> 'en', recharge_operator_name(v_row.operator)),
                    'name_fa', coalesce(p_names -> v_row.operator ->> 'fa', recharge_operator_name(v_row.operator)),
                    'failed', v_row.failed, 'total', v_row.ended, 'minutes', v_window
                )
            )::integer;
        ELSIF v_row.failed * 2 <= v_least OR v_row.failed * 200 <= v_percent * v_row.ended THEN
            PERFORM alert_clear('operator_failing', v_row.operator);
        END IF;
    END LOOP;
    -- A seller's alerts are raised and cleared elsewhere, and may stay for months.
    waits := EXISTS (SELECT FROM credit_alert WHERE cleared_at IS NULL AND seller_id IS NULL)
        OR EXISTS (SELECT FROM recharge_recharge WHERE status = 'unknown')
        OR EXISTS (SELECT FROM credit_creditrequest WHERE status = 'pending' AND parent_id IS NULL)
        OR EXISTS (SELECT FROM recharge_claim WHERE state = 'open');
END;
$$;


-- Raises or clears an alert about p_count things (up to 100) that have waited for p_minutes. 1: it is new.
CREATE FUNCTION alert_keep(p_kind text, p_count integer, p_minutes integer) RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
BEGIN
    IF p_count = 0 THEN
        PERFORM alert_clear(p_kind, '');
        RETURN 0;
    END IF;
    RETURN alert_raise(
        p_kind, '', NULL,
        jsonb_build_object('count', least(p_count, 99), 'is_more', p_count > 99, 'minutes', p_minutes)
    )::integer;
END;
$$;


-- What an operator that the organization has added is called; NULL: it has not.
CREATE FUNCTION recharge_operator_name(p_operator text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN (SELECT nullif(name, '') FROM recharge_operatorsettings WHERE operator = p_operator);
END;
$$;
