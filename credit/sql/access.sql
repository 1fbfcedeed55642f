-- Whose access tokens are over: see shared/identity/epochs.py.

-- A row if the access of p_subject that is of p_epoch is over: a person's or a program's, or that of a person's sign-in,
-- whose number stands after a stroke ('7/123'). Who has neither (a command, a process of the release
-- before) is not asked.
CREATE FUNCTION access_over(p_subject text, p_epoch bigint) RETURNS SETOF credit_accessepoch
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT known.* FROM credit_accessepoch AS known
    WHERE known.subject IN (p_subject, split_part(p_subject, '/', 1)) AND known.epoch > p_epoch;
END;
$$;


-- Access tokens of p_subject with an epoch below p_epoch are over from now on.
CREATE FUNCTION access_end(p_subject text, p_epoch bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    INSERT INTO credit_accessepoch AS known (subject, epoch) VALUES (p_subject, p_epoch)
    ON CONFLICT (subject) DO UPDATE SET epoch = greatest(known.epoch, excluded.epoch);
END;
$$;


-- Access by one sign-in of a person is over from now on, of whatever epoch it is: of one above all that are counted, which
-- has the second in it. What is older than an hour no access token outlives, and goes.
CREATE FUNCTION access_end_session(p_subject text) RETURNS void
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    v_above constant bigint := 1::bigint << 62;
    v_now constant bigint := extract(epoch FROM clock_timestamp())::bigint;
BEGIN
    DELETE FROM credit_accessepoch WHERE subject IN (
        SELECT subject FROM credit_accessepoch WHERE epoch BETWEEN v_above AND v_above + v_now - 3600
        FOR UPDATE SKIP LOCKED
    );
    INSERT INTO credit_accessepoch AS known (subject, epoch) VALUES (p_subject, v_above + v_now)
    ON CONFLICT (subject) DO UPDATE SET epoch = greatest(known.epoch, excluded.epoch);
END;
$$;
