-- What sellers earn by what they sell.

-- The rate that is in force for a seller and an operator: the most specific one. No row: there is none.
-- One look at the index commission_once, also for a planner that has not seen the table with rows in it: a sale asks.
CREATE FUNCTION commission_rate_of(p_seller_id bigint, p_operator text) RETURNS SETOF recharge_commissionrate
LANGUAGE plpgsql STABLE ROWS 1
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT * FROM recharge_commissionrate
    WHERE coalesce(seller_id, 0) IN (p_seller_id, 0) AND operator IN (p_operator, '') AND valid_until IS NULL
    ORDER BY coalesce(seller_id, 0) DESC, operator DESC
    LIMIT 1;
END;
$$;


-- The same as it was at a moment: what was sold then is not touched by what is settled later.
CREATE FUNCTION commission_rate_at(
    p_seller_id bigint, p_operator text, p_moment timestamptz
) RETURNS SETOF recharge_commissionrate
LANGUAGE plpgsql STABLE ROWS 1
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    (
        SELECT * FROM recharge_commissionrate
        WHERE seller_id = p_seller_id AND operator IN (p_operator, '')
            AND valid_from <= p_moment AND (valid_until IS NULL OR valid_until > p_moment)
        ORDER BY operator DESC, valid_from DESC, id DESC
        LIMIT 1
    )
    UNION ALL
    (
        SELECT * FROM recharge_commissionrate
        WHERE seller_id IS NULL AND operator IN (p_operator, '')
            AND valid_from <= p_moment AND (valid_until IS NULL OR valid_until > p_moment)
        ORDER BY operator DESC, valid_from DESC, id DESC
        LIMIT 1
    )
    LIMIT 1;
END;
$$;


-- The commission of an amount at a rate, in Tomans: rounded down, and never more than the amount; 0 where there is no rate.
-- (least() passes over NULLs: without the inner coalesce, no rate would be the whole amount.)
CREATE FUNCTION commission_of(p_amount bigint, p_basis_points integer, p_fixed bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN least(p_amount, coalesce(p_fixed, p_amount * p_basis_points / 10000, 0));


-- Settles a rate from now on: hundredths of a percent, or a fixed sum in Tomans; both NULL: the rate ends, and a less
-- specific one is in force again. p_seller_id NULL: of all sellers; p_operator '': of all operators.
--   set        now; the row that is in force (none, where it ended)
--   unchanged  it was so already; the row
--   no_seller  there is no such seller
CREATE FUNCTION commission_set(
    p_seller_id bigint,
    p_operator text,
    p_basis_points integer,
    p_fixed bigint,
    p_set_by text,
    OUT outcome text,
    OUT before recharge_commissionrate,  -- what was in force; NULL: nothing was
    OUT rate recharge_commissionrate
)
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_now timestamptz;
    v_has_commissions boolean;
BEGIN
    -- Two who settle at once: the second sees what the first has settled. And no sale under way (recharge_sell, with ROW
    -- SHARE) has read the rate that ends, or takes its moment from before this one's: a margin asks by moments.
    LOCK TABLE recharge_commissionrate IN EXCLUSIVE MODE;
    IF p_seller_id IS NOT NULL AND NOT EXISTS (SELECT FROM credit_seller WHERE id = p_seller_id) THEN
        outcome := 'no_seller';
        RETURN;
    END IF;

    SELECT * INTO before FROM recharge_commissionrate
    WHERE seller_id IS NOT DISTINCT FROM p_seller_id AND operator = p_operator AND valid_until IS NULL;
    IF (before.basis_points, before.fixed) IS NOT DISTINCT FROM (p_basis_points, p_fixed) THEN
        outcome := 'unchanged';
        rate := before;
        RETURN;
    END IF;

    outcome := 'set';
    -- Not before the row that it ends: a clock may be set back.
    v_now := greatest(clock_timestamp(), before.valid_from);
    UPDATE recharge_commissionrate SET valid_until = v_now, ended_by = p_set_by WHERE id = before.id;
    IF p_basis_points IS NOT NULL OR p_fixed IS NOT NULL THEN
        INSERT INTO recharge_commissionrate (seller_id, operator, basis_points, fixed, valid_from, set_by)
        VALUES (p_seller_id, p_operator, p_basis_points, p_fixed, v_now, p_set_by)
        RETURNING * INTO rate;
    END IF;
    v_has_commissions := EXISTS (SELECT FROM recharge_commissionrate WHERE valid_until IS NULL);
    PERFORM recharge_note(p_has_commissions => v_has_commissions);
END;
$$;


-- What a sale learns of with the settings that it reads anyway: whether there are rates, or limits. NULL: as it is.
CREATE FUNCTION recharge_note(p_has_commissions boolean DEFAULT NULL, p_has_limits boolean DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
BEGIN
    INSERT INTO recharge_settings AS known (id, duplicate_window, send_within, training, has_commissions, has_limits)
    VALUES (1, 0, 900, true, coalesce(p_has_commissions, false), coalesce(p_has_limits, false))
    ON CONFLICT (id) DO UPDATE SET
        has_commissions = coalesce(p_has_commissions, known.has_commissions),
        has_limits = coalesce(p_has_limits, known.has_limits);
END;
$$;


-- So that nobody switches limits off beside the functions that settle them: the role of the application
-- (tenants/working_role.py) writes all else of the settings.
CREATE FUNCTION recharge_settings_keep_known() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    -- Qualified: who is asked about may have a temporary table of that name.
    IF NOT pg_catalog.pg_has_role((SELECT relowner FROM pg_catalog.pg_class WHERE oid = TG_RELID), 'USAGE') THEN
        RAISE EXCEPTION 'whether there are rates or limits is noted by recharge_note alone: % refused', TG_OP
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END;
$$;

CREATE TRIGGER recharge_settings_noted
BEFORE UPDATE ON recharge_settings
FOR EACH ROW WHEN (
    (OLD.has_commissions, OLD.has_limits) IS DISTINCT FROM (NEW.has_commissions, NEW.has_limits)
)
EXECUTE FUNCTION recharge_settings_keep_known();

CREATE TRIGGER recharge_settings_stay
BEFORE DELETE ON recharge_settings
FOR EACH ROW WHEN (OLD.has_commissions OR OLD.has_limits)
EXECUTE FUNCTION recharge_settings_keep_known();
