-- Whose access tokens are over: see shared/identity/epochs.py.

-- A row if the access of p_subject that is of p_epoch is over. Who has neither (a command, a process of the release
-- before) is not asked. It is a set, as webhook_listeners is: so it becomes a part of the statement that asks.
CREATE FUNCTION access_over(p_subject text, p_epoch bigint) RETURNS SETOF credit_accessepoch
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT known.* FROM credit_accessepoch AS known WHERE known.subject = p_subject AND known.epoch > p_epoch;
END;


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
