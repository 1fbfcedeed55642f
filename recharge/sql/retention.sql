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
AS $$
BEGIN
    SELECT step.* INTO looked, gone, last
    FROM rows_let_go(
        'recharge_attempt', 'bigint',
        'old.started_at < $1',
        'EXISTS ('
        '    SELECT FROM recharge_recharge AS recharge'
        '    WHERE recharge.id = old.recharge_id AND recharge.status IN (''succeeded'', ''failed'')'
        '        AND recharge.due_at IS NULL'
        ')',
        NULL,
        least(p_before, clock_timestamp() - interval '3 months'), p_after, p_limit, p_is_dry
    ) AS step;
END;
$$;


-- Files and pasted rows of bulk sales. What was sold of them is recharges, and stays.
CREATE FUNCTION bulk_batches_let_go(
    p_before timestamptz, p_after text, p_limit integer, p_is_dry boolean,
    OUT looked integer, OUT gone integer, OUT last text
)
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
BEGIN
    SELECT step.* INTO looked, gone, last
    FROM rows_let_go(
        'recharge_bulkbatch', 'bigint',
        'old.created_at < $1',
        'true',
        NULL,
        p_before, p_after, p_limit, p_is_dry
    ) AS step;
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
AS $$
DECLARE
    v_months constant integer := (SELECT settings.numbers_kept_months FROM recharge_settings AS settings);
    v_before timestamptz;  -- NULL: none is old enough
BEGIN
    IF v_months > 0 THEN
        v_before := least(p_before, clock_timestamp() - v_months * interval '1 month');
    END IF;
    SELECT step.* INTO looked, gone, last
    FROM rows_let_go(
        'recharge_recharge', 'uuid',
        'old.id < uuid7_floor($1)',
        'old.status IN (''succeeded'', ''failed'') AND old.due_at IS NULL'
        ' AND old.phone_number <> phone_masked(old.phone_number)',
        'UPDATE recharge_recharge'
        ' SET phone_number = phone_masked(phone_number),'
        '     idempotency_key = key_masked(idempotency_key, phone_number, id)'
        ' WHERE id = ANY ($1::uuid[])',
        v_before, p_after, p_limit, p_is_dry
    ) AS step;
END;
$$;
