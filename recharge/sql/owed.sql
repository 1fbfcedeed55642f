-- What sellers owe: late charges that their balances did not bear.

-- Charges what a seller owes, oldest first, as far as his balance bears each whole; ledger_post calls it when something has
-- come, under the seller's lock and in the same transaction. Gives the balance after it; NULL: nothing was charged.
CREATE FUNCTION recharge_collect_owed(p_organization_id bigint, p_seller_id bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
SET lock_timeout = '3s'
SET enable_seqscan = off -- see delivery.sql
AS $$
DECLARE
    v_recharge recharge_recharge;
    v_posting ledger_posting;
    v_balance bigint;
BEGIN
    FOR v_recharge IN
        SELECT * FROM recharge_recharge WHERE seller_id = p_seller_id AND late = 'owed' ORDER BY id FOR UPDATE
    LOOP
        v_posting := ledger_post(
            p_organization_id, p_seller_id, 'late_charge', -v_recharge.amount, v_recharge.id, v_recharge.commission
        );
        EXIT WHEN NOT v_posting.posted;
        v_balance := v_posting.balance;
        UPDATE recharge_recharge
        SET late = 'charged', due_at = NULL, margin_due = dealers IS NOT NULL
        WHERE id = v_recharge.id
        RETURNING * INTO v_recharge;
        IF EXISTS (SELECT FROM webhook_listeners(p_seller_id)) THEN
            PERFORM webhook_emit('recharge.charged', p_seller_id, recharge_data(v_recharge));
        END IF;
    END LOOP;
    RETURN v_balance;
END;
$$;


-- Tomans that a seller owes.
CREATE FUNCTION recharge_owed_by(p_seller_id bigint) RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN (
        SELECT coalesce(sum(amount - commission), 0)::bigint FROM recharge_recharge
        WHERE seller_id = p_seller_id AND late = 'owed'
    );
END;
$$;


-- Whether a seller owes, and the organization lets nobody who does spend: transfer_post (credit/sql/transfers.sql) asks it,
-- under the seller's lock, and a sale asks the same in recharge_decide.
CREATE FUNCTION recharge_debt_forbids(p_seller_id bigint) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_refuses constant boolean := EXISTS (SELECT FROM recharge_settings WHERE refuses_owing);
BEGIN
    RETURN v_refuses AND recharge_owed_by(p_seller_id) > 0;
END;
$$;
