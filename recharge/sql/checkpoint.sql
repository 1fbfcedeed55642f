-- The checkpoint: up to where an organization's books were proved, so that the next proof reads what came since
-- (reconcile_since.sql). It is written in the transaction of the proof, of which all statements see one snapshot.

-- Keeps that the books were found right, by these rules, as this transaction sees them: of all (p_is_all), or of what came
-- since the checkpoint, whose place this takes. Whoever proves at the same time and commits first makes this a
-- serialization failure; then the other's checkpoint stays. One that was taken away meanwhile (books_unproved) stays away.
CREATE FUNCTION books_proved(p_rules bytea, p_is_all boolean) RETURNS void
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    -- Open since before this transaction, or to it: their status may change without an entry.
    v_open constant uuid[] := ARRAY(
        SELECT id FROM recharge_recharge WHERE status IN ('pending', 'unknown') ORDER BY id
    );
    v_root_day constant date := (SELECT max(day) FROM credit_chainroot);
BEGIN
    IF p_is_all THEN
        INSERT INTO recharge_checkpoint (id, at, all_at, rules, root_day, open)
        VALUES (1, now(), now(), p_rules, v_root_day, v_open)
        ON CONFLICT (id) DO UPDATE SET
            at = excluded.at, all_at = excluded.all_at, rules = excluded.rules, root_day = excluded.root_day,
            open = excluded.open;
    ELSE
        UPDATE recharge_checkpoint SET at = now(), root_day = v_root_day, open = v_open;
    END IF;
    -- The books are right, so an account says what its last entry says.
    INSERT INTO recharge_provedaccount AS proved (seller_id, number, balance, hash)
    SELECT seller_id, last_number, balance, last_hash FROM credit_account
    ON CONFLICT (seller_id) DO UPDATE SET number = excluded.number, balance = excluded.balance, hash = excluded.hash
    WHERE proved.number <> excluded.number;
END;
$$;


-- Takes the checkpoint away, since everything was read and found wrong: the next proof reads everything again, and a fault
-- in what is old is not forgotten the next day. What was proved of accounts stays, and is still compared.
CREATE FUNCTION books_unproved() RETURNS void
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    DELETE FROM recharge_checkpoint;
END;
$$;
