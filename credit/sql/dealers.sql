-- The tree of sellers: who sells for whom.

-- Places a seller below another (p_parent_id), or (NULL) below nobody. Whoever is below him comes along. What he has asked
-- his former parent for, and what waits, is the organization's to decide from then on.
--   placed           now
--   unchanged        he was there already
--   no_seller        there is no such seller
--   no_parent        there is no such parent
--   parent_inactive  the parent is switched off
--   not_a_tree       the parent is the seller or below him, or the tree would get a sixth level
--
-- Trees change one after the other, under a lock of the organization's own: two moves that are each right could make a
-- circle together. No seller has the number 0, and so it comes before every seller's lock.
CREATE FUNCTION seller_place(
    p_organization_id bigint,
    p_seller_id bigint,
    p_parent_id bigint,
    OUT outcome text,
    OUT former_parent_id bigint
)
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_levels constant integer := 5;  -- DEEPEST_TREE in models.py
    v_is_active boolean;
    v_ancestors bigint[];
    v_levels_below integer;
BEGIN
    PERFORM seller_lock(p_organization_id, 0);
    -- In line with his credit requests and transfers, which go by who his parent is.
    PERFORM seller_lock(p_organization_id, p_seller_id);

    SELECT parent_id INTO former_parent_id FROM credit_seller WHERE id = p_seller_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        outcome := 'no_seller';
        RETURN;
    END IF;
    IF former_parent_id IS NOT DISTINCT FROM p_parent_id THEN
        outcome := 'unchanged';
        RETURN;
    END IF;

    IF p_parent_id IS NOT NULL THEN
        SELECT is_active, p_parent_id || coalesce(ancestors, '{}') INTO v_is_active, v_ancestors
        FROM credit_seller WHERE id = p_parent_id;
        IF NOT FOUND THEN
            outcome := 'no_parent';
            RETURN;
        END IF;
        SELECT coalesce(max(array_position(ancestors, p_seller_id)), 0) INTO v_levels_below
        FROM credit_seller WHERE ancestors @> ARRAY[p_seller_id];
        IF p_seller_id = ANY (v_ancestors) OR cardinality(v_ancestors) + 1 + v_levels_below > v_levels THEN
            outcome := 'not_a_tree';
            RETURN;
        END IF;
        IF NOT v_is_active THEN
            outcome := 'parent_inactive';
            RETURN;
        END IF;
    END IF;

    UPDATE credit_seller SET parent_id = p_parent_id, ancestors = v_ancestors WHERE id = p_seller_id;
    UPDATE credit_seller SET ancestors = ancestors[1:array_position(ancestors, p_seller_id)] || v_ancestors
    WHERE ancestors @> ARRAY[p_seller_id];
    UPDATE credit_creditrequest SET parent_id = NULL
    WHERE seller_id = p_seller_id AND status = 'pending' AND parent_id IS NOT NULL;
    outcome := 'placed';
END;
$$;


-- What waits for a dealer who is switched off is the organization's to decide from then on. Whoever calls holds the dealer's
-- lock and that of his row, and so nothing more is asked of him (credit_asked_of) and nothing is decided by him meanwhile.
CREATE FUNCTION credit_requests_leave(p_dealer_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    UPDATE credit_creditrequest SET parent_id = NULL WHERE parent_id = p_dealer_id AND status = 'pending';
END;
$$;


-- Where a seller is in the tree is written by seller_place, which runs with the rights of the table's owner; the role of
-- the application (tenants/working_role.py) writes all else of a seller.
CREATE FUNCTION credit_seller_keep_place() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    -- Qualified: who is asked about may have a temporary table of that name.
    IF NOT pg_catalog.pg_has_role((SELECT relowner FROM pg_catalog.pg_class WHERE oid = TG_RELID), 'USAGE') THEN
        RAISE EXCEPTION 'a seller is placed by seller_place alone: % refused', TG_OP
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END;
$$;

CREATE TRIGGER credit_seller_made_apart
BEFORE INSERT ON credit_seller
FOR EACH ROW WHEN (NEW.parent_id IS NOT NULL OR NEW.ancestors IS NOT NULL)
EXECUTE FUNCTION credit_seller_keep_place();

CREATE TRIGGER credit_seller_placed
BEFORE UPDATE ON credit_seller
FOR EACH ROW WHEN (
    OLD.parent_id IS DISTINCT FROM NEW.parent_id OR OLD.ancestors IS DISTINCT FROM NEW.ancestors
)
EXECUTE FUNCTION credit_seller_keep_place();
