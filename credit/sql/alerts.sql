-- Alerts: what people are to be told without asking.

-- A seller's balance has just fallen below his threshold, both in Tomans. Called under the seller's lock.
CREATE FUNCTION alert_balance_low(p_seller_id bigint, p_balance bigint, p_alert_below bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
BEGIN
    IF EXISTS (SELECT FROM webhook_listeners(p_seller_id)) THEN
        PERFORM webhook_emit(
            'balance.low',
            p_seller_id,
            jsonb_build_object('seller_id', p_seller_id, 'balance', p_balance, 'threshold', p_alert_below)
        );
    END IF;
END;
$$;
