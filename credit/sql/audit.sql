-- The organization's audit table: what people and programs did. It is written by audit_write alone, in the transaction of
-- the act; no statement changes its rows or takes them away.

CREATE FUNCTION audit_write(
    p_actor text,
    p_user_id bigint,
    p_key_id uuid,
    p_address text,
    p_action text,
    p_object text,
    p_before jsonb,
    p_after jsonb,
    p_request_id text
) RETURNS void
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    INSERT INTO credit_auditrecord (at, actor, user_id, key_id, address, action, object, before, after, request_id)
    VALUES (
        clock_timestamp(), p_actor, p_user_id, p_key_id, p_address, p_action, p_object, p_before, p_after, p_request_id
    );
END;
$$;

CREATE FUNCTION credit_refuse_change() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END;
$$;

CREATE TRIGGER credit_audit_append_only
BEFORE UPDATE OR DELETE ON credit_auditrecord
FOR EACH STATEMENT EXECUTE FUNCTION credit_refuse_change();

CREATE TRIGGER credit_auditrecord_not_emptied
BEFORE TRUNCATE ON credit_auditrecord
FOR EACH STATEMENT EXECUTE FUNCTION credit_refuse_change();

CREATE TRIGGER credit_root_append_only
BEFORE UPDATE OR DELETE ON credit_chainroot
FOR EACH STATEMENT EXECUTE FUNCTION credit_refuse_change();

CREATE TRIGGER credit_chainroot_not_emptied
BEFORE TRUNCATE ON credit_chainroot
FOR EACH STATEMENT EXECUTE FUNCTION credit_refuse_change();
