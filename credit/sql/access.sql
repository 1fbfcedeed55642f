-- Whose access tokens are over: see shared/identity/epochs.py.

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
