-- A slug belongs to one organization for ever. When an organization's row goes, or gets another slug, its former one is
-- kept here, and is given to nobody else: links, clients and tokens that are still out there must not reach strangers.
CREATE FUNCTION tenants_keep_slug() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    INSERT INTO public.tenants_formerslug (slug, organization_id, given_up_at)
    VALUES (OLD.slug, OLD.id, clock_timestamp())
    ON CONFLICT (slug) DO NOTHING;
    RETURN NULL;
END;
$$;

CREATE TRIGGER tenants_keep_slug
AFTER DELETE OR UPDATE OF slug ON tenants_organization
FOR EACH ROW EXECUTE FUNCTION tenants_keep_slug();


-- The organization that had it may have it again (a restored row has its former id).
CREATE FUNCTION tenants_refuse_former_slug() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM public.tenants_formerslug AS former WHERE former.slug = NEW.slug AND former.organization_id <> NEW.id
    ) THEN
        RAISE EXCEPTION 'the slug % was another organization''s', NEW.slug USING ERRCODE = 'unique_violation';
    END IF;
    RETURN NEW;
END;
$$;

CREATE TRIGGER tenants_refuse_former_slug
BEFORE INSERT OR UPDATE OF slug ON tenants_organization
FOR EACH ROW EXECUTE FUNCTION tenants_refuse_former_slug();
