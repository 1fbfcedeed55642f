-- The same as in each organization's schema, see credit/sql/order.sql: rows of these lists appear in the order of their keys.
CREATE FUNCTION tenants_added_in_order() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(0, (TG_RELID::bigint & 2147483647)::int);
    RETURN NULL;
END;
$$;

CREATE TRIGGER tenants_organization_in_order
BEFORE INSERT ON tenants_organization
FOR EACH STATEMENT EXECUTE FUNCTION tenants_added_in_order();

CREATE TRIGGER tenants_audit_in_order
BEFORE INSERT ON tenants_auditrecord
FOR EACH STATEMENT EXECUTE FUNCTION tenants_added_in_order();
