-- Webhooks: what is to be told to the sellers' own systems is written in the transaction of the change that it tells of.

-- As the API writes times: RFC 3339, UTC.
CREATE FUNCTION rfc3339(p_moment timestamptz) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_char(p_moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');


-- Whether anybody wants to know what happens to a seller; most sales find that nobody does, and write nothing.
CREATE FUNCTION webhook_is_wanted(p_seller_id bigint) RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT EXISTS (
        SELECT FROM credit_webhookendpoint
        WHERE disabled = '' AND (seller_id IS NULL OR seller_id = p_seller_id)
    );
END;


-- Writes one message for each endpoint that wants this event of this seller. p_data is what the API would show of it.
CREATE FUNCTION webhook_emit(p_event text, p_seller_id bigint, p_data jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_now constant timestamptz := clock_timestamp();
BEGIN
    INSERT INTO credit_webhookmessage (id, endpoint_id, event, data, status, attempts, due_at, created_at)
    SELECT uuid7_at(v_now), endpoint.id, p_event, p_data, 'pending', 0, v_now, v_now
    FROM credit_webhookendpoint AS endpoint
    WHERE endpoint.disabled = ''
        AND (endpoint.seller_id IS NULL OR endpoint.seller_id = p_seller_id)
        AND p_event = ANY (endpoint.events);
END;
$$;


-- A credit request as the API shows it.
CREATE FUNCTION credit_request_data(p_request credit_creditrequest) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path FROM CURRENT
RETURN jsonb_build_object(
    'id', p_request.id,
    'seller_id', p_request.seller_id,
    'amount', p_request.amount,
    'note', p_request.note,
    'status', p_request.status,
    'reason', p_request.reason,
    'created_at', rfc3339(p_request.created_at),
    'decided_at', rfc3339(p_request.decided_at),
    'decided_by', p_request.decided_by
);
