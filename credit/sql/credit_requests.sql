-- Credit requests: asked for once per idempotency key, decided once.

-- Asks for p_amount Tomans.
--   created          the row is new
--   replayed         the key was used before with the same content; the row as it is now
--   key_reused       the key was used before with other content
--   seller_inactive  the seller is switched off, and the key was not used before
--   access_over      whoever asks may no longer (see access.sql)
-- All but the last three come with the row.
CREATE FUNCTION credit_request_create(
    p_organization_id bigint,
    p_seller_id bigint,
    p_idempotency_key text,
    p_amount bigint,
    p_note text,
    p_subject text DEFAULT NULL,
    p_epoch bigint DEFAULT NULL,
    OUT outcome text,
    OUT request credit_creditrequest
)
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_now timestamptz;
BEGIN
    -- Two requests with one key at once: the second waits here, and then finds the first.
    PERFORM seller_lock(p_organization_id, p_seller_id);

    IF EXISTS (SELECT FROM access_over(p_subject, p_epoch)) THEN
        outcome := 'access_over';
        RETURN;
    END IF;

    -- Before the flag: what was asked for was asked for, whatever was switched off since.
    SELECT * INTO request FROM credit_creditrequest
    WHERE idempotency_key = p_idempotency_key AND seller_id + 0 = p_seller_id;  -- by the key's index: see recharge_sell
    IF FOUND THEN
        IF (request.amount, request.note) = (p_amount, p_note) THEN
            outcome := 'replayed';
        ELSE
            outcome := 'key_reused';
            request := NULL;
        END IF;
        RETURN;
    END IF;

    IF NOT EXISTS (SELECT FROM credit_seller WHERE id = p_seller_id AND is_active) THEN
        outcome := 'seller_inactive';
        RETURN;
    END IF;

    v_now := clock_timestamp();
    INSERT INTO credit_creditrequest (
        id, seller_id, idempotency_key, amount, note, status, reason, created_at, decided_by
    )
    VALUES (uuid7_at(v_now), p_seller_id, p_idempotency_key, p_amount, p_note, 'pending', '', v_now, '')
    RETURNING * INTO request;
    outcome := 'created';
END;
$$;


-- Approves or rejects a request; an approval puts its amount on the seller's balance in the same transaction.
--   decided          now
--   replayed         the same had been decided before; the row as it was decided then
--   already_decided  the opposite had been decided
--   over_limit       the balance would pass the largest one; nothing was done
--   not_found        there is no such request
--   access_over      whoever decides may no longer (see access.sql); nothing was done
CREATE FUNCTION credit_request_decide(
    p_organization_id bigint,
    p_request_id uuid,
    p_status text,
    p_reason text,
    p_decided_by text,
    p_decided_by_id bigint,
    p_subject text DEFAULT NULL,
    p_epoch bigint DEFAULT NULL,
    OUT outcome text,
    OUT request credit_creditrequest
)
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_seller_id bigint;
BEGIN
    -- Whose lock to take. The one thing that is read before the lock: a request never changes its seller.
    SELECT seller_id INTO v_seller_id FROM credit_creditrequest WHERE id = p_request_id;
    IF NOT FOUND THEN
        outcome := 'not_found';
        RETURN;
    END IF;
    PERFORM seller_lock(p_organization_id, v_seller_id);

    -- Of two admins who decide at once, the second gets here when the first is done. The row lock says so too.
    SELECT * INTO request FROM credit_creditrequest WHERE id = p_request_id FOR UPDATE;
    IF EXISTS (SELECT FROM access_over(p_subject, p_epoch)) THEN
        outcome := 'access_over';
        request := NULL;
        RETURN;
    END IF;
    IF request.status <> 'pending' THEN
        outcome := CASE WHEN request.status = p_status THEN 'replayed' ELSE 'already_decided' END;
        RETURN;
    END IF;

    IF p_status = 'approved' THEN
        IF NOT (ledger_post(p_organization_id, v_seller_id, 'credit', request.amount, p_request_id)).posted THEN
            outcome := 'over_limit';
            RETURN;
        END IF;
    END IF;
    UPDATE credit_creditrequest
    SET status = p_status,
        reason = p_reason,
        decided_at = greatest(clock_timestamp(), created_at),  -- a clock may be set back
        decided_by = p_decided_by,
        decided_by_id = p_decided_by_id
    WHERE id = p_request_id
    RETURNING * INTO request;
    IF EXISTS (SELECT FROM webhook_listeners(v_seller_id)) THEN
        PERFORM webhook_emit(
            CASE p_status WHEN 'approved' THEN 'credit_request.approved' WHEN 'rejected' THEN 'credit_request.rejected' END,
            v_seller_id,
            credit_request_data(request)
        );
    END IF;
    outcome := 'decided';
END;
$$;
