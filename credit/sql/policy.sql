-- What an organization demands of its own people (the one row of credit_policy).

-- Whether an amount needs two people, by what is demanded now: what was asked for, or approved once, before a change goes
-- on as it began.
CREATE FUNCTION needs_two_people(p_amount bigint) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM credit_policy WHERE four_eyes_from <= abs(p_amount));
END;
$$;


-- A document says for good what was asked for, and what was decided: whoever writes to its table, the tables' owner included,
-- decides it once. credit_request_decide and adjustment_decide write nothing else.
CREATE FUNCTION credit_refuse_removal() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION '% keeps its documents: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END;
$$;


-- The zone in which the organization's days begin.
CREATE FUNCTION organization_time_zone() RETURNS text
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN coalesce((SELECT time_zone FROM credit_policy), 'Asia/Tehran');
END;
$$;
