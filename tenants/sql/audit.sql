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
