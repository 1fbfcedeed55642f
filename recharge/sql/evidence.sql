-- What was sold, and what was tried to deliver it, is not rewritten afterwards: by nobody, the tables' owner included.
-- (Credit requests and adjustments: credit/sql; entries: credit/sql/ledger.sql. How a recharge goes on is for the
-- transitions in recharges.sql.)

CREATE FUNCTION recharge_refuse_rewriting() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION '% keeps what it says: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END;
$$;

-- Who sold how much to whom, what he earns by it and who his dealers were stand from the beginning; the rest from the end
-- on, but that a number may be masked then (numbers_mask in retention.sql). Of the columns that delivery and settlement write, this names none, so that it costs them nothing.
CREATE TRIGGER recharge_content
BEFORE UPDATE OF
    id, seller_id, idempotency_key, phone_number, operator, amount, balance_after, created_at, gateway, training, user_id,
    key_id, commission, basis_points, dealers
ON recharge_recharge
FOR EACH ROW WHEN (
    (OLD.seller_id, OLD.operator, OLD.amount, OLD.balance_after, OLD.user_id, OLD.key_id)
        IS DISTINCT FROM
        (NEW.seller_id, NEW.operator, NEW.amount, NEW.balance_after, NEW.user_id, NEW.key_id)
    OR OLD.phone_number <> NEW.phone_number
        AND NOT (OLD.status IN ('succeeded', 'failed') AND NEW.phone_number = phone_masked(OLD.phone_number))
    OR (OLD.commission, OLD.basis_points, OLD.dealers) IS DISTINCT FROM (NEW.commission, NEW.basis_points, NEW.dealers)
    OR OLD.status IN ('succeeded', 'failed')
        AND (
            (OLD.id, OLD.created_at, OLD.gateway, OLD.training)
            IS DISTINCT FROM (NEW.id, NEW.created_at, NEW.gateway, NEW.training)
            OR OLD.idempotency_key <> NEW.idempotency_key AND NOT (
                NEW.idempotency_key = key_masked(OLD.idempotency_key, OLD.phone_number, OLD.id)
                AND NEW.phone_number = phone_masked(OLD.phone_number)
            )
        )
)
EXECUTE FUNCTION recharge_refuse_rewriting();

-- An attempt is written before its gateway is called, and completed once.
CREATE TRIGGER recharge_attempt_once
BEFORE UPDATE ON recharge_attempt
FOR EACH ROW WHEN (
    OLD.* IS DISTINCT FROM NEW.*
    AND (
        OLD.outcome <> 'open'
        OR (OLD.recharge_id, OLD.number, OLD.action, OLD.gateway, OLD.started_at, OLD.by)
        IS DISTINCT FROM (NEW.recharge_id, NEW.number, NEW.action, NEW.gateway, NEW.started_at, NEW.by)
    )
)
EXECUTE FUNCTION recharge_refuse_rewriting();
