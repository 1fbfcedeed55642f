-- Receipts by SMS: of a recharge that was delivered, to the very number that was recharged, once.

-- Writes the message with the receipt p_text, for the worker to send.
--   sent           it is on its way
--   replayed       it was sent before: that row
--   not_delivered  the recharge has not succeeded
--   masked         its number is masked: nobody knows any more where to
--   not_allowed    the organization does not let its sellers send receipts
--   no_gateway     it has no SMS gateway
--   not_found      the seller has no such recharge
--   access_over    whoever sends it may no longer (see credit/sql/access.sql)
CREATE FUNCTION receipt_send(
    p_organization_id bigint,
    p_recharge_id uuid,
    p_seller_id bigint,
    p_text text,
    p_sent_by text,
    p_sent_by_id bigint,
    p_subject text DEFAULT NULL,
    p_epoch bigint DEFAULT NULL,
    OUT outcome text,
    OUT receipt recharge_sentreceipt
)
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_recharge recharge_recharge;
    v_message_id uuid;
BEGIN
    PERFORM seller_lock(p_organization_id, p_seller_id);  -- of two clicks, the second finds what the first has sent

    IF EXISTS (SELECT FROM access_over(p_subject, p_epoch)) THEN
        outcome := 'access_over';
        RETURN;
    END IF;
    SELECT * INTO v_recharge FROM recharge_recharge WHERE id = p_recharge_id AND seller_id = p_seller_id;
    IF NOT FOUND THEN
        outcome := 'not_found';
        RETURN;
    END IF;
    SELECT * INTO receipt FROM recharge_sentreceipt WHERE recharge_id = p_recharge_id;
    outcome := CASE
        WHEN FOUND THEN 'replayed'
        WHEN v_recharge.status <> 'succeeded' OR v_recharge.training THEN 'not_delivered'
        WHEN v_recharge.phone_number = phone_masked(v_recharge.phone_number) THEN 'masked'
        WHEN NOT EXISTS (SELECT FROM recharge_settings WHERE receipts_by_sms) THEN 'not_allowed'
        WHEN NOT EXISTS (SELECT FROM credit_alertsettings WHERE sms_url <> '') THEN 'no_gateway'
    END;
    IF outcome IS NOT NULL THEN
        RETURN;
    END IF;

    v_message_id := alert_send_text(p_seller_id, v_recharge.phone_number, p_text);
    INSERT INTO recharge_sentreceipt (recharge_id, message_id, sent_by, sent_by_id, created_at)
    VALUES (p_recharge_id, v_message_id, p_sent_by, p_sent_by_id, clock_timestamp())
    RETURNING * INTO receipt;
    outcome := 'sent';
END;
$$;


CREATE TRIGGER recharge_sentreceipt_append_only
BEFORE UPDATE OR DELETE ON recharge_sentreceipt
FOR EACH STATEMENT EXECUTE FUNCTION credit_refuse_change();

CREATE TRIGGER recharge_sentreceipt_not_emptied
BEFORE TRUNCATE ON recharge_sentreceipt
FOR EACH STATEMENT EXECUTE FUNCTION credit_refuse_change();
