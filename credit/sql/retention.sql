-- Letting go: what nobody needs any more is removed after the time that the installation and the organization have settled
-- (recharge/retention). A worker calls the functions of the kinds again and again, each time for a few rows, which it holds
-- for some hundredths of a second. Entries, documents of money and the audit are never let go of, nor are idempotency keys:
-- they are their recharges'.

-- What the functions of all kinds do, with their rights. Looks at up to p_limit rows of p_table that are old, in the order of
-- their ids (of the type p_id), from the one after p_after on (empty: from the first), and lets those of them go that are at
-- their end. Rows that somebody else holds are passed over, so it waits for nobody. p_is_dry: it only counts them.
--   p_is_old         a condition on the row `old`: whether it is older than $1, which is p_before. Ids follow times, so what
--                    comes after the first that is too young is not looked at.
--   p_is_at_its_end  another: whether it may go. Asked once more under the row's lock.
--   p_act            what is done to the rows with the ids $1; NULL: they are deleted
--   looked           at how many
--   gone             how many of them went, or would go
--   last             the id of the last one; empty: there was none
CREATE FUNCTION rows_let_go(
    p_table regclass,
    p_id regtype,
    p_is_old text,
    p_is_at_its_end text,
    p_act text,
    p_before timestamptz,
    p_after text,
    p_limit integer,
    p_is_dry boolean,
    OUT looked integer,
    OUT gone integer,
    OUT last text
)
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
SET enable_seqscan = off -- see recharge/sql/delivery.sql
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
    v_old text[];
BEGIN
    EXECUTE format(
        'SELECT count(*), coalesce((array_agg(seen.id ORDER BY seen.id DESC))[1]::text, ''''),'
        ' array_agg(seen.id::text) FILTER (WHERE seen.is_at_its_end)'
        ' FROM ('
        '     SELECT old.id, (%s) AS is_old, (%s) AS is_at_its_end FROM %s AS old'
        '     WHERE $2 = '''' OR old.id > $2::%s ORDER BY old.id LIMIT $3'
        ' ) AS seen WHERE seen.is_old',
        p_is_old, p_is_at_its_end, p_table, p_id
    )
    INTO looked, last, v_old
    USING p_before, p_after, p_limit;
    IF v_old IS NOT NULL AND NOT p_is_dry THEN
        EXECUTE format(
            'SELECT array_agg(held.id::text) FROM ('
            '     SELECT old.id FROM %s AS old WHERE old.id = ANY ($2::%s[]) AND (%s) FOR UPDATE OF old SKIP LOCKED'
            ' ) AS held',
            p_table, p_id, p_is_at_its_end
        )
        INTO v_old
        USING p_before, v_old;
        EXECUTE coalesce(p_act, format('DELETE FROM %s WHERE id = ANY ($1::%s[])', p_table, p_id)) USING v_old;
    END IF;
    gone := coalesce(cardinality(v_old), 0);
END;
$$;


-- Webhooks' messages that have arrived or were given up, with their attempts.
CREATE FUNCTION webhooks_let_go(
    p_before timestamptz, p_after text, p_limit integer, p_is_dry boolean,
    OUT looked integer, OUT gone integer, OUT last text
)
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
BEGIN
    SELECT step.* INTO looked, gone, last
    FROM rows_let_go(
        'credit_webhookmessage', 'uuid',
        'old.id < uuid7_floor($1)',
        'old.status <> ''pending''',
        'WITH attempt AS (DELETE FROM credit_webhookattempt WHERE message_id = ANY ($1::uuid[]))'
        ' DELETE FROM credit_webhookmessage WHERE id = ANY ($1::uuid[])',
        p_before, p_after, p_limit, p_is_dry
    ) AS step;
END;
$$;


-- Mails and short messages of alerts, and receipts to customers, that were sent or given up.
CREATE FUNCTION alert_messages_let_go(
    p_before timestamptz, p_after text, p_limit integer, p_is_dry boolean,
    OUT looked integer, OUT gone integer, OUT last text
)
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
BEGIN
    SELECT step.* INTO looked, gone, last
    FROM rows_let_go(
        'credit_alertmessage', 'uuid',
        'old.id < uuid7_floor($1)',
        'old.status <> ''pending''',
        NULL,
        p_before, p_after, p_limit, p_is_dry
    ) AS step;
END;
$$;


-- Alerts that are over, and of which no message is left. What is over stays so, and gets no message any more.
CREATE FUNCTION alerts_let_go(
    p_before timestamptz, p_after text, p_limit integer, p_is_dry boolean,
    OUT looked integer, OUT gone integer, OUT last text
)
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
BEGIN
    SELECT step.* INTO looked, gone, last
    FROM rows_let_go(
        'credit_alert', 'uuid',
        'old.id < uuid7_floor($1)',
        'old.cleared_at < $1 AND NOT EXISTS (SELECT FROM credit_alertmessage WHERE alert_id = old.id)',
        NULL,
        p_before, p_after, p_limit, p_is_dry
    ) AS step;
END;
$$;
