-- Adjustments: corrections of a seller's balance by hand, in either direction. Each is asked for once per asker and
-- idempotency key, and decided once. One that needs two people (needs_two_people) waits for the second; any other is
-- approved as it is made.

-- Asks for p_amount Tomans more, or (negative) less, on a seller's balance.
--   created       the row is new: approved and posted, or pending, where a second person has to approve
--   replayed      the asker used the key before with the same content; the row as it is now
--   key_reused    the asker used the key before with other content
--   no_seller     there is no such seller
--   insufficient  the balance (which comes along) does not bear it; nothing was done
--   over_limit    the balance would pass the largest one; nothing was done
--   access_over   whoever asks may no longer (see access.sql)
-- The first two come with the row.
CREATE FUNCTION adjustment_create(
    p_organization_id bigint,
    p_seller_id bigint,
    p_idempotency_key text,
    p_amount bigint,
    p_reason text,
    p_reference text,
    p_asked_by text,
    p_asked_by_id bigint,
    p_subject text DEFAULT NULL,
    p_epoch bigint DEFAULT NULL,
    OUT outcome text,
    OUT balance bigint,
    OUT adjustment credit_adjustment
)
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_now timestamptz;
    v_posting ledger_posting;
    v_needs_two boolean;
BEGIN
    PERFORM seller_lock(p_organization_id, p_seller_id);

    IF EXISTS (SELECT FROM access_over(p_subject, p_epoch)) THEN
        outcome := 'access_over';
        RETURN;
    END IF;

    SELECT * INTO adjustment FROM credit_adjustment
    WHERE idempotency_key = p_idempotency_key AND asked_by_id = p_asked_by_id;
    IF FOUND THEN
        IF (adjustment.seller_id, adjustment.amount, adjustment.reason, adjustment.reference)
            = (p_seller_id, p_amount, p_reason, p_reference)
        THEN
            outcome := 'replayed';
        ELSE
            outcome := 'key_reused';
            adjustment := NULL;
        END IF;
        RETURN;
    END IF;

    -- Under the lock: until this transaction ends nothing else moves it.
    SELECT account.balance INTO balance FROM credit_account AS account WHERE account.seller_id = p_seller_id;
    IF NOT FOUND THEN
        outcome := 'no_seller';
        RETURN;
    END IF;

    v_needs_two := needs_two_people(p_amount);
    v_now := clock_timestamp();
    IF NOT v_needs_two AND balance + p_amount NOT BETWEEN 0 AND 9007199254740991 THEN
        outcome := CASE WHEN p_amount < 0 THEN 'insufficient' ELSE 'over_limit' END;
        RETURN;
    END IF;

    INSERT INTO credit_adjustment AS made (
        id, seller_id, idempotency_key, amount, reason, reference, status, created_at, asked_by, asked_by_id,
        decided_at, decided_by, decided_by_id, decision_reason
    )
    VALUES (
        uuid7_at(v_now), p_seller_id, p_idempotency_key, p_amount, p_reason, p_reference,
        CASE WHEN v_needs_two THEN 'pending' ELSE 'approved' END, v_now, p_asked_by, p_asked_by_id,
        CASE WHEN NOT v_needs_two THEN v_now END,
        CASE WHEN v_needs_two THEN '' ELSE p_asked_by END,
        CASE WHEN NOT v_needs_two THEN p_asked_by_id END,
        ''
    )
    -- The same asker and key for another seller at once, whose lock is another one: it was there first.
    ON CONFLICT DO NOTHING
    RETURNING * INTO adjustment;
    IF NOT FOUND THEN
        outcome := 'key_reused';
        RETURN;
    END IF;

    IF NOT v_needs_two THEN
        v_posting := ledger_post(p_organization_id, p_seller_id, 'adjustment', p_amount, adjustment.id);
        IF NOT v_posting.posted THEN
            RAISE EXCEPTION 'a balance was moved without its seller''s lock' USING ERRCODE = 'serialization_failure';
        END IF;
        balance := v_posting.balance;
    END IF;
    outcome := 'created';
END;
$$;


-- Approves or rejects an adjustment that waits; an approval posts its amount in the same transaction.
--   decided          now
--   replayed         the same had been decided before; the row as it was decided then
--   already_decided  the opposite had been decided; the row
--   four_eyes        whoever asked for it can't approve it; nothing was done
--   insufficient     the balance (which comes along) does not bear it; nothing was done
--   over_limit       the balance would pass the largest one; nothing was done
--   not_found        there is no such adjustment
--   access_over      whoever decides may no longer (see access.sql); nothing was done
CREATE FUNCTION adjustment_decide(
    p_organization_id bigint,
    p_adjustment_id uuid,
    p_status text,
    p_reason text,
    p_decided_by text,
    p_decided_by_id bigint,
    p_subject text DEFAULT NULL,
    p_epoch bigint DEFAULT NULL,
    OUT outcome text,
    OUT balance bigint,
    OUT adjustment credit_adjustment
)
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_seller_id bigint;
    v_posting ledger_posting;
    v_now timestamptz;
BEGIN
    -- Whose lock to take: as in credit_request_decide, an adjustment never changes its seller.
    SELECT seller_id INTO v_seller_id FROM credit_adjustment WHERE id = p_adjustment_id;
    IF NOT FOUND THEN
        outcome := 'not_found';
        RETURN;
    END IF;
    PERFORM seller_lock(p_organization_id, v_seller_id);

    SELECT * INTO adjustment FROM credit_adjustment WHERE id = p_adjustment_id FOR UPDATE;
    IF EXISTS (SELECT FROM access_over(p_subject, p_epoch)) THEN
        outcome := 'access_over';
        adjustment := NULL;
        RETURN;
    END IF;
    IF adjustment.status <> 'pending' THEN
        outcome := CASE WHEN adjustment.status = p_status THEN 'replayed' ELSE 'already_decided' END;
        RETURN;
    END IF;

    IF p_status = 'approved' THEN
        -- Whatever the threshold is by now: that it waits says that it needed two people when it was asked for.
        IF adjustment.asked_by_id IS NOT DISTINCT FROM p_decided_by_id OR p_decided_by_id IS NULL THEN
            outcome := 'four_eyes';
            RETURN;
        END IF;
        v_posting := ledger_post(p_organization_id, v_seller_id, 'adjustment', adjustment.amount, p_adjustment_id);
        balance := v_posting.balance;
        IF NOT v_posting.posted THEN
            outcome := CASE WHEN adjustment.amount < 0 THEN 'insufficient' ELSE 'over_limit' END;
            RETURN;
        END IF;
    END IF;
    v_now := clock_timestamp();
    UPDATE credit_adjustment
    SET status = p_status,
        decision_reason = p_reason,
        decided_at = greatest(v_now, created_at),  -- a clock may be set back
        decided_by = p_decided_by,
        decided_by_id = p_decided_by_id
    WHERE id = p_adjustment_id
    RETURNING * INTO adjustment;
    outcome := 'decided';
END;
$$;


-- What was asked for stands from the beginning, what was decided from the decision on.
CREATE FUNCTION credit_adjustment_keep() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF OLD.status <> 'pending' AND NEW IS DISTINCT FROM OLD
        OR (
            NEW.id, NEW.seller_id, NEW.idempotency_key, NEW.amount, NEW.reason, NEW.reference, NEW.created_at,
            NEW.asked_by, NEW.asked_by_id
        ) IS DISTINCT FROM (
            OLD.id, OLD.seller_id, OLD.idempotency_key, OLD.amount, OLD.reason, OLD.reference, OLD.created_at,
            OLD.asked_by, OLD.asked_by_id
        )
    THEN
        RAISE EXCEPTION 'adjustment % keeps what it says: UPDATE refused', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END;
$$;

CREATE TRIGGER credit_adjustment_kept
BEFORE UPDATE ON credit_adjustment
FOR EACH ROW EXECUTE FUNCTION credit_adjustment_keep();

CREATE TRIGGER credit_adjustment_stays
BEFORE DELETE ON credit_adjustment
FOR EACH STATEMENT EXECUTE FUNCTION credit_refuse_removal();

CREATE TRIGGER credit_adjustment_not_emptied
BEFORE TRUNCATE ON credit_adjustment
FOR EACH STATEMENT EXECUTE FUNCTION credit_refuse_removal();
