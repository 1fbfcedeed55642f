-- The audit log is append-only: no statement on its rows gets by this, a superuser's neither. (Who owns the table can
-- take the trigger away, which is no slip.)
CREATE FUNCTION tenants_audit_refuse_change() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END;
$$;

CREATE TRIGGER tenants_audit_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON tenants_auditrecord
FOR EACH STATEMENT EXECUTE FUNCTION tenants_audit_refuse_change();


-- As an organization's function of this name (credit/sql/audit.sql), for what is done on the platform's own host.
CREATE FUNCTION audit_write(
    p_actor text,
    p_user_id bigint,
    p_key_id uuid,  -- the platform has none
    p_address text,
    p_action text,
    p_object text,
    p_before jsonb,
    p_after jsonb,
    p_request_id text,
    p_organization text DEFAULT '',  -- the slug of the one that it was done to
    p_faults integer DEFAULT NULL,
    p_detail text DEFAULT ''
) RETURNS void
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    INSERT INTO tenants_auditrecord (
        created_at, username, user_id, address, action, organization, faults, detail, object, before, after, request_id
    )
    VALUES (
        clock_timestamp(), p_actor, p_user_id, p_address, p_action, p_organization, p_faults, p_detail, p_object,
        p_before, p_after, p_request_id
    );
END;
$$;
