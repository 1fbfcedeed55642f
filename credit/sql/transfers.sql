-- Transfers: credit that a seller gives to his parent, or to a direct child. One document and two entries, of which the sum
-- is zero, in one transaction. Each is made once per giver and idempotency key.

-- A transfer as the API shows it to one of the two: balance_after is that of the seller's own entry.
CREATE FUNCTION transfer_data(p_transfer credit_transfer, p_seller_id bigint) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN jsonb_build_object(
        'id', p_transfer.id,
        'from', p_transfer.giver_id,
        'to', p_transfer.receiver_id,
        'amount', p_transfer.amount,
        'note', p_transfer.note,
        'balance_after', (
            SELECT entry.balance_after FROM credit_entry AS entry
            WHERE entry.reference = p_transfer.id AND entry.seller_id = p_seller_id
                AND entry.kind = CASE p_seller_id WHEN p_transfer.giver_id THEN 'transfer_out' ELSE 'transfer_in' END
        ),
        'created_at', rfc3339(p_transfer.created_at),
        'credit_request_id', p_transfer.credit_request_id
    );
END;
$$;


-- Whether one of two sellers is the other's parent.
CREATE FUNCTION sellers_are_related(p_one_id bigint, p_other_id bigint) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM credit_seller
        WHERE id = p_one_id AND parent_id = p_other_id OR id = p_other_id AND parent_id = p_one_id
    );
END;
$$;


-- Takes the locks of two sellers, in ascending order: whoever gives back at the same moment waits, and no dead-lock comes
-- of it. By the key that a lock has (see seller_lock), which is the id's own below 2^31.
CREATE FUNCTION sellers_lock(p_organization_id bigint, p_one_id bigint, p_other_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
BEGIN
    IF (p_one_id & 2147483647) <= (p_other_id & 2147483647) THEN
        PERFORM seller_lock(p_organization_id, p_one_id);
        PERFORM seller_lock(p_organization_id, p_other_id);
    ELSE
        PERFORM seller_lock(p_organization_id, p_other_id);
        PERFORM seller_lock(p_organization_id, p_one_id);
    END IF;
END;
$$;


-- Writes a transfer of p_amount Tomans and its two entries. Whoever calls it holds both locks and has asked all else.
--   created            now; the giver's balance comes along
--   giver_inactive     the giver is switched off
--   receiver_inactive  the receiver is
--   giver_owes         the giver owes a late charge, and the organization lets nobody who does spend
--   insufficient       the giver's balance (which comes along) does not bear it
--   over_limit         the receiver's balance would pass the largest one
-- But for the first, nothing was written.
CREATE FUNCTION transfer_post(
    p_organization_id bigint,
    p_giver_id bigint,
    p_receiver_id bigint,
    p_idempotency_key text,
    p_amount bigint,
    p_note text,
    p_made_by text,
    p_user_id bigint,
    p_key_id uuid,
    p_credit_request_id uuid,
    OUT outcome text,
    OUT balance bigint,
    OUT transfer credit_transfer
)
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_gives boolean;
    v_receives boolean;
    v_balance_there bigint;
    v_now timestamptz;
    v_out ledger_posting;
    v_in ledger_posting;
BEGIN
    SELECT seller.is_active, account.balance INTO v_gives, balance
    FROM credit_seller AS seller INNER JOIN credit_account AS account ON account.seller_id = seller.id
    WHERE seller.id = p_giver_id;
    SELECT seller.is_active, account.balance INTO v_receives, v_balance_there
    FROM credit_seller AS seller INNER JOIN credit_account AS account ON account.seller_id = seller.id
    WHERE seller.id = p_receiver_id;
    outcome := CASE
        WHEN v_gives IS NOT TRUE THEN 'giver_inactive'
        WHEN v_receives IS NOT TRUE THEN 'receiver_inactive'
        WHEN recharge_debt_forbids(p_giver_id) THEN 'giver_owes'  -- in recharge/sql/owed.sql
        WHEN balance < p_amount THEN 'insufficient'
        WHEN v_balance_there + p_amount > 9007199254740991 THEN 'over_limit'
    END;
    IF outcome IS NOT NULL THEN
        RETURN;
    END IF;

    v_now := clock_timestamp();
    INSERT INTO credit_transfer AS made (
        id, giver_id, receiver_id, idempotency_key, amount, note, created_at, made_by, user_id, key_id, credit_request_id
    )
    VALUES (
        uuid7_at(v_now), p_giver_id, p_receiver_id, p_idempotency_key, p_amount, p_note, v_now, p_made_by, p_user_id,
        p_key_id, p_credit_request_id
    )
    RETURNING * INTO transfer;
    v_out := ledger_post(p_organization_id, p_giver_id, 'transfer_out', -p_amount, transfer.id);
    v_in := ledger_post(p_organization_id, p_receiver_id, 'transfer_in', p_amount, transfer.id);
    IF NOT (v_out.posted AND v_in.posted) THEN
        RAISE EXCEPTION 'a balance was moved without its seller''s lock' USING ERRCODE = 'serialization_failure';
    END IF;
    balance := v_out.balance;
    IF EXISTS (SELECT FROM webhook_listeners(p_receiver_id)) THEN
        PERFORM webhook_emit('transfer.received', p_receiver_id, transfer_data(transfer, p_receiver_id));
    END IF;
    outcome := 'created';
END;
$$;


-- Gives p_amount Tomans of a seller's balance to his parent or to a direct child. Besides transfer_post's outcomes:
--   replayed     the giver used the key before with the same content; the row as it is
--   key_reused   the giver used the key before with other content
--   not_related  neither of the two is the other's parent
--   access_over  whoever gives may no longer (see access.sql)
-- Created and replayed come with the row and the balance that it left the giver.
CREATE FUNCTION transfer_create(
    p_organization_id bigint,
    p_giver_id bigint,
    p_receiver_id bigint,
    p_idempotency_key text,
    p_amount bigint,
    p_note text,
    p_made_by text,
    p_user_id bigint,
    p_key_id uuid,
    p_subject text DEFAULT NULL,
    p_epoch bigint DEFAULT NULL,
    OUT outcome text,
    OUT balance bigint,
    OUT transfer credit_transfer
)
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_done record;
BEGIN
    PERFORM sellers_lock(p_organization_id, p_giver_id, p_receiver_id);

    IF EXISTS (SELECT FROM access_over(p_subject, p_epoch)) THEN
        outcome := 'access_over';
        RETURN;
    END IF;

    -- Before anything that may have changed since.
    SELECT * INTO transfer FROM credit_transfer WHERE idempotency_key = p_idempotency_key AND giver_id = p_giver_id;
    IF FOUND THEN
        IF (transfer.receiver_id, transfer.amount, transfer.note) = (p_receiver_id, p_amount, p_note) THEN
            outcome := 'replayed';
            SELECT entry.balance_after INTO balance FROM credit_entry AS entry
            WHERE entry.kind = 'transfer_out' AND entry.reference = transfer.id;
        ELSE
            outcome := 'key_reused';
            transfer := NULL;
        END IF;
        RETURN;
    END IF;

    -- Under the lock of whichever is the child: seller_place takes it, too.
    IF NOT sellers_are_related(p_giver_id, p_receiver_id) THEN
        outcome := 'not_related';
        RETURN;
    END IF;
    v_done := transfer_post(
        p_organization_id, p_giver_id, p_receiver_id, p_idempotency_key, p_amount, p_note, p_made_by, p_user_id, p_key_id,
        NULL
    );
    outcome := v_done.outcome;
    balance := v_done.balance;
    transfer := v_done.transfer;
END;
$$;


-- A dealer approves or rejects a child's credit request that was asked of him; an approval gives its amount of his own
-- balance, in the same transaction. How many people an organization demands for its own credit is not asked: this is none.
--   decided          now
--   replayed         the same had been decided before (by the organization, it may be); the row as it is
--   already_decided  the opposite had been decided; the row
--   not_found        there is no such request of him
--   access_over      whoever decides may no longer (see access.sql)
-- and, where nothing was given and the request still waits, transfer_post's.
CREATE FUNCTION dealer_decide_request(
    p_organization_id bigint,
    p_dealer_id bigint,
    p_request_id uuid,
    p_status text,
    p_reason text,
    p_decided_by text,
    p_decided_by_id bigint,
    p_subject text DEFAULT NULL,
    p_epoch bigint DEFAULT NULL,
    OUT outcome text,
    OUT balance bigint,  -- the dealer's
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
    -- Whose locks to take: a request never changes its seller.
    SELECT seller_id INTO v_seller_id FROM credit_creditrequest WHERE id = p_request_id;
    IF NOT FOUND THEN
        outcome := 'not_found';
        RETURN;
    END IF;
    PERFORM sellers_lock(p_organization_id, p_dealer_id, v_seller_id);

    SELECT * INTO request FROM credit_creditrequest WHERE id = p_request_id FOR UPDATE;
    IF EXISTS (SELECT FROM access_over(p_subject, p_epoch)) THEN
        outcome := 'access_over';
        request := NULL;
        RETURN;
    END IF;
    -- Under the child's lock: one that is placed elsewhere asks the organization from then on.
    IF request.parent_id IS DISTINCT FROM p_dealer_id THEN
        outcome := 'not_found';
        request := NULL;
        RETURN;
    END IF;
    IF request.status <> 'pending' THEN
        outcome := CASE WHEN request.status = p_status THEN 'replayed' ELSE 'already_decided' END;
        RETURN;
    END IF;

    IF p_status = 'approved' THEN
        SELECT done.outcome, done.balance INTO outcome, balance
        FROM transfer_post(
            -- No client's key begins with a blank.
            p_organization_id, p_dealer_id, v_seller_id, ' ' || p_request_id, request.amount, '', p_decided_by,
            p_decided_by_id, NULL, p_request_id
        ) AS done;
        IF outcome <> 'created' THEN
            RETURN;
        END IF;
    END IF;
    request := credit_request_end(p_request_id, p_status, p_reason, p_decided_by, p_decided_by_id);
    outcome := 'decided';
END;
$$;


-- A transfer says for good who gave what to whom.
CREATE FUNCTION credit_transfer_keep() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF NEW IS DISTINCT FROM OLD THEN
        RAISE EXCEPTION 'transfer % keeps what it says: UPDATE refused', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END;
$$;

CREATE TRIGGER credit_transfer_kept
BEFORE UPDATE ON credit_transfer
FOR EACH ROW EXECUTE FUNCTION credit_transfer_keep();

CREATE TRIGGER credit_transfer_stays
BEFORE DELETE ON credit_transfer
FOR EACH STATEMENT EXECUTE FUNCTION credit_refuse_removal();

CREATE TRIGGER credit_transfer_not_emptied
BEFORE TRUNCATE ON credit_transfer
FOR EACH STATEMENT EXECUTE FUNCTION credit_refuse_removal();
