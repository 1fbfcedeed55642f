-- The slug of an organization that was deleted stays taken, whoever deletes the row and however: tokens, links and
-- customers' programs that know it must not meet another organization there. (One whose provisioning was never over had none.)
CREATE FUNCTION tenants_keep_slug() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO tenants_formerslug (slug, since)
        SELECT slug, clock_timestamp() FROM tenants_organization WHERE status <> 'provisioning'
        ON CONFLICT DO NOTHING;
    ELSIF OLD.status <> 'provisioning' THEN
        INSERT INTO tenants_formerslug (slug, since) VALUES (OLD.slug, clock_timestamp()) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END;
$$;

CREATE TRIGGER tenants_keep_deleted_slug
AFTER DELETE ON tenants_organization
FOR EACH ROW EXECUTE FUNCTION tenants_keep_slug();

CREATE TRIGGER tenants_keep_changed_slug
AFTER UPDATE OF slug ON tenants_organization
FOR EACH ROW WHEN (OLD.slug <> NEW.slug) EXECUTE FUNCTION tenants_keep_slug();

CREATE TRIGGER tenants_keep_all_slugs
BEFORE TRUNCATE ON tenants_organization
FOR EACH STATEMENT EXECUTE FUNCTION tenants_keep_slug();


CREATE FUNCTION tenants_refuse_former_slug() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    IF EXISTS (SELECT FROM tenants_formerslug WHERE slug = NEW.slug) THEN
        RAISE EXCEPTION 'the slug % was another organization''s', NEW.slug USING ERRCODE = 'unique_violation';
    END IF;
    RETURN NEW;
END;
$$;

CREATE TRIGGER tenants_refuse_former_slug
BEFORE INSERT OR UPDATE OF slug ON tenants_organization
FOR EACH ROW EXECUTE FUNCTION tenants_refuse_former_slug();
