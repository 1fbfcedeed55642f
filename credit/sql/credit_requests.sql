-- Credit requests: asked for once per idempotency key, decided once.

-- Of whom a seller asks for credit now: his parent, where the organization wants it so and the parent is active. NULL: the
-- organization. The parent's row is locked: one who is being switched off is waited for, and one who is to be switched off
-- waits, so that no request is left to him (credit_requests_leave in dealers.sql).
CREATE FUNCTION credit_asked_of(p_seller_id bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN (
        SELECT parent.id
        FROM credit_seller AS seller INNER JOIN credit_seller AS parent ON parent.id = seller.parent_id
        WHERE seller.id = p_seller_id AND parent.is_active
            AND EXISTS (SELECT FROM credit_policy WHERE requests_go_to_parent)
        FOR SHARE OF parent
    );
END;
$$;


-- Asks for p_amount Tomans, of whom credit_asked_of says.
--   created          the row is new
--   replayed         the key was used before with the same content; the row as it is now
--   key_reused       the key was used before with other content
--   seller_inactive  the seller is switched off, and the key was not used before
--   access_over      whoever asks may no longer (see access.sql)
--   bank_reference_used  another request that was not rejected has this reference; nothing was done
-- The first two come with the row.
CREATE FUNCTION credit_request_create(
    p_organization_id bigint,
    p_seller_id bigint,
    p_idempotency_key text,
    p_amount bigint,
    p_note text,
    p_subject text DEFAULT NULL,
    p_epoch bigint DEFAULT NULL,
    p_bank_reference text DEFAULT '',
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
    v_asked_of bigint;
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
        IF (request.amount, request.note, request.bank_reference) = (p_amount, p_note, p_bank_reference) THEN
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

    v_asked_of := credit_asked_of(p_seller_id);
    v_now := clock_timestamp();
    INSERT INTO credit_creditrequest (
        id, seller_id, idempotency_key, amount, note, status, reason, created_at, decided_by, bank_reference, parent_id
    )
    VALUES (
        uuid7_at(v_now), p_seller_id, p_idempotency_key, p_amount, p_note, 'pending', '', v_now, '', p_bank_reference,
        v_asked_of
    )
    -- Of two at once with one bank reference the second waits for the first to end, whoever's they are. (The other unique
    -- columns are the key's, which was looked up under the lock.)
    ON CONFLICT DO NOTHING
    RETURNING * INTO request;
    outcome := CASE WHEN FOUND THEN 'created' ELSE 'bank_reference_used' END;
END;
$$;


-- Writes what was decided of a request, and tells of it. Whoever calls it holds its seller's lock and its row, and has given
-- what an approval gives: the organization's credit, or a dealer's (transfers.sql).
CREATE FUNCTION credit_request_end(
    p_request_id uuid, p_status text, p_reason text, p_decided_by text, p_decided_by_id bigint
) RETURNS credit_creditrequest
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_now constant timestamptz := clock_timestamp();
    v_request credit_creditrequest;
BEGIN
    UPDATE credit_creditrequest
    SET status = p_status,
        reason = p_reason,
        decided_at = greatest(v_now, created_at),  -- a clock may be set back
        decided_by = p_decided_by,
        decided_by_id = p_decided_by_id
    WHERE id = p_request_id
    RETURNING * INTO STRICT v_request;
    IF EXISTS (SELECT FROM webhook_listeners(v_request.seller_id)) THEN
        PERFORM webhook_emit(
            CASE p_status WHEN 'approved' THEN 'credit_request.approved' WHEN 'rejected' THEN 'credit_request.rejected' END,
            v_request.seller_id,
            credit_request_data(v_request)
        );
    END IF;
    RETURN v_request;
END;
$$;


-- Approves or rejects a request; an approval puts its amount on the seller's balance in the same transaction. One of an
-- amount that needs two people (needs_two_people) when it is first approved is approved by the second of them.
--   decided          now
--   first_approved   a second person has to approve, whatever is demanded by then; nothing is on the balance
--   replayed         the same had been decided before, or the first approval was this person's; the row as it is
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
    v_now timestamptz;
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
        IF request.first_approved_at IS NULL AND needs_two_people(request.amount) THEN
            v_now := clock_timestamp();
            UPDATE credit_creditrequest
            SET first_approved_at = greatest(v_now, created_at),
                first_approved_by = p_decided_by,
                first_approved_by_id = p_decided_by_id
            WHERE id = p_request_id
            RETURNING * INTO request;
            outcome := 'first_approved';
            RETURN;
        END IF;
        IF request.first_approved_at IS NOT NULL AND request.first_approved_by_id IS NOT DISTINCT FROM p_decided_by_id THEN
            outcome := 'replayed';
            RETURN;
        END IF;
        IF NOT (ledger_post(p_organization_id, v_seller_id, 'credit', request.amount, p_request_id)).posted THEN
            outcome := 'over_limit';
            RETURN;
        END IF;
    END IF;
    request := credit_request_end(p_request_id, p_status, p_reason, p_decided_by, p_decided_by_id);
    outcome := 'decided';
END;
$$;


-- What was asked for stands from the beginning, the first approval from then on, and all of it from the decision on.
CREATE FUNCTION credit_request_keep() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF OLD.status <> 'pending' AND NEW IS DISTINCT FROM OLD
        OR (
            NEW.id, NEW.seller_id, NEW.idempotency_key, NEW.amount, NEW.note, NEW.bank_reference, NEW.created_at
        ) IS DISTINCT FROM (
            OLD.id, OLD.seller_id, OLD.idempotency_key, OLD.amount, OLD.note, OLD.bank_reference, OLD.created_at
        )
        -- From a dealer it may go to the organization, when he is no longer the parent.
        OR NEW.parent_id IS NOT NULL AND NEW.parent_id IS DISTINCT FROM OLD.parent_id
        OR OLD.first_approved_at IS NOT NULL
        AND (NEW.first_approved_at, NEW.first_approved_by, NEW.first_approved_by_id)
        IS DISTINCT FROM (OLD.first_approved_at, OLD.first_approved_by, OLD.first_approved_by_id)
    THEN
        RAISE EXCEPTION 'credit request % keeps what it says: UPDATE refused', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END;
$$;

CREATE TRIGGER credit_request_kept
BEFORE UPDATE ON credit_creditrequest
FOR EACH ROW EXECUTE FUNCTION credit_request_keep();

CREATE TRIGGER credit_request_stays
BEFORE DELETE ON credit_creditrequest
FOR EACH STATEMENT EXECUTE FUNCTION credit_refuse_removal();

CREATE TRIGGER credit_creditrequest_not_emptied
BEFORE TRUNCATE ON credit_creditrequest
FOR EACH STATEMENT EXECUTE FUNCTION credit_refuse_removal();
