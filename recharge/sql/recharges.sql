-- Recharges: sold once per idempotency key, paid for in the transaction that records them, refunded once if they fail.

-- Sells one recharge of p_amount Tomans. p_delivered: its gateway settles it in this very transaction.
--   created              the row is new, and the seller is debited
--   replayed             the key was used before with the same content; the row as it is now
--   key_reused           the key was used before with other content
--   insufficient_credit  the balance (which is given) does not bear it
--   seller_inactive      nothing was looked at
-- The first two come with the row; the others wrote nothing, and the key may be used again.
CREATE FUNCTION recharge_sell(
    p_organization_id bigint,
    p_seller_id bigint,
    p_idempotency_key text,
    p_phone_number text,
    p_operator text,
    p_amount bigint,
    p_delivered boolean,
    OUT outcome text,
    OUT balance bigint,
    OUT sold recharge_recharge
)
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_now timestamptz;
    v_id uuid;
    v_posting ledger_posting;
BEGIN
    -- Before anything is read: of two with one key at once, the second waits here and then finds the first.
    PERFORM seller_lock(p_organization_id, p_seller_id);

    IF NOT EXISTS (SELECT FROM credit_seller WHERE id = p_seller_id AND is_active) THEN
        outcome := 'seller_inactive';
        RETURN;
    END IF;

    -- "+ 0" leaves the planner one index, the key's. This is planned while an organization's tables are empty and looks
    -- the same to it by the index of a seller's recharges, of which every sale would then read all, until the statistics
    -- of the table are made a minute or two later. (A hot seller's rate over HTTP ÷ that of 1,000 sellers, in new
    -- organizations: 0.40 without, 0.80 with it; tests/bench, table "shapes".)
    SELECT * INTO sold FROM recharge_recharge
    WHERE idempotency_key = p_idempotency_key AND seller_id + 0 = p_seller_id;
    IF FOUND THEN
        IF (sold.phone_number, sold.operator, sold.amount) = (p_phone_number, p_operator, p_amount) THEN
            outcome := 'replayed';
        ELSE
            outcome := 'key_reused';
            sold := NULL;
        END IF;
        RETURN;
    END IF;

    v_now := clock_timestamp();
    v_id := uuid7_at(v_now);
    v_posting := ledger_post(p_organization_id, p_seller_id, 'recharge', -p_amount, v_id);
    balance := v_posting.balance;
    IF NOT v_posting.posted THEN
        outcome := 'insufficient_credit';
        RETURN;
    END IF;

    INSERT INTO recharge_recharge (
        id, seller_id, idempotency_key, phone_number, operator, amount, status, failure, balance_after, created_at,
        completed_at
    )
    VALUES (
        v_id, p_seller_id, p_idempotency_key, p_phone_number, p_operator, p_amount,
        CASE WHEN p_delivered THEN 'succeeded' ELSE 'pending' END, '', v_posting.balance, v_now,
        CASE WHEN p_delivered THEN v_now END
    )
    RETURNING * INTO sold;
    outcome := 'created';
END;
$$;


-- Records what became of a recharge: succeeded, failed (which refunds it) or unknown (which does not).
--   settled          now
--   replayed         that is what it was already; nothing was done
--   already_settled  it had succeeded or failed before; nothing was done
--   over_limit       the refund would pass the largest balance; nothing was done
--   not_found        there is no such recharge
CREATE FUNCTION recharge_settle(
    p_organization_id bigint,
    p_recharge_id uuid,
    p_status text,
    p_failure text,
    OUT outcome text,
    OUT settled recharge_recharge
)
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_seller_id bigint;
BEGIN
    -- Whose lock to take. The one thing that is read before the lock: a recharge never changes its seller.
    SELECT seller_id INTO v_seller_id FROM recharge_recharge WHERE id = p_recharge_id;
    IF NOT FOUND THEN
        outcome := 'not_found';
        RETURN;
    END IF;
    PERFORM seller_lock(p_organization_id, v_seller_id);

    SELECT * INTO settled FROM recharge_recharge WHERE id = p_recharge_id FOR UPDATE;
    IF settled.status = p_status THEN
        outcome := 'replayed';
        RETURN;
    END IF;
    IF settled.status IN ('succeeded', 'failed') THEN
        outcome := 'already_settled';
        RETURN;
    END IF;

    IF p_status = 'failed' THEN
        IF NOT (ledger_post(p_organization_id, v_seller_id, 'refund', settled.amount, p_recharge_id)).posted THEN
            outcome := 'over_limit';
            RETURN;
        END IF;
    END IF;
    UPDATE recharge_recharge
    SET status = p_status,
        failure = p_failure,
        -- A clock may be set back.
        completed_at = CASE
            WHEN p_status IN ('succeeded', 'failed') THEN greatest(clock_timestamp(), created_at)
        END
    WHERE id = p_recharge_id
    RETURNING * INTO settled;
    outcome := 'settled';
END;
$$;
