-- Pictures of slips: one of a credit request, by its seller, while it waits.

-- Keeps a picture that was read and written anew (credit/slips/pictures.py).
--   put              it is kept
--   replaced         it is, in place of another one
--   same             just this one was there
--   already_decided  the request was decided; nothing was done
--   not_found        the seller has no such request
--   access_over      whoever puts it may no longer (see access.sql)
CREATE FUNCTION credit_slip_put(
    p_organization_id bigint,
    p_seller_id bigint,
    p_request_id uuid,
    p_content bytea,
    p_content_type text,
    p_width integer,
    p_height integer,
    p_put_by text,
    p_subject text DEFAULT NULL,
    p_epoch bigint DEFAULT NULL,
    OUT outcome text,
    OUT sha256_before bytea  -- of the one that was there
)
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_sha256 constant bytea := sha256(p_content);
    v_status text;
BEGIN
    -- The lock under which the request is decided: what is decided has the slip that was seen.
    PERFORM seller_lock(p_organization_id, p_seller_id);

    IF EXISTS (SELECT FROM access_over(p_subject, p_epoch)) THEN
        outcome := 'access_over';
        RETURN;
    END IF;
    SELECT status INTO v_status FROM credit_creditrequest WHERE id = p_request_id AND seller_id = p_seller_id;
    IF NOT FOUND THEN
        outcome := 'not_found';
        RETURN;
    END IF;
    SELECT sha256 INTO sha256_before FROM credit_creditrequestslip WHERE request_id = p_request_id;
    IF sha256_before = v_sha256 THEN
        outcome := 'same';
        RETURN;
    END IF;
    IF v_status <> 'pending' THEN
        outcome := 'already_decided';
        RETURN;
    END IF;
    INSERT INTO credit_creditrequestslip (
        request_id, content, content_type, sha256, width, height, put_at, put_by
    )
    VALUES (
        p_request_id, p_content, p_content_type, v_sha256, p_width, p_height, clock_timestamp(), p_put_by
    )
    ON CONFLICT (request_id) DO UPDATE
    SET content = excluded.content, content_type = excluded.content_type, sha256 = excluded.sha256,
        width = excluded.width, height = excluded.height, put_at = excluded.put_at, put_by = excluded.put_by;
    outcome := CASE WHEN sha256_before IS NULL THEN 'put' ELSE 'replaced' END;
END;
$$;


-- A decided request keeps the slip that it was decided by: whoever writes to the table, the tables' owner included.
CREATE FUNCTION credit_slip_keep() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    IF EXISTS (SELECT FROM credit_creditrequest WHERE id = NEW.request_id AND status <> 'pending') THEN
        RAISE EXCEPTION 'credit request % is decided: its slip is kept', NEW.request_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END;
$$;

CREATE TRIGGER credit_slip_kept
BEFORE INSERT OR UPDATE ON credit_creditrequestslip
FOR EACH ROW EXECUTE FUNCTION credit_slip_keep();

CREATE TRIGGER credit_slip_stays
BEFORE DELETE ON credit_creditrequestslip
FOR EACH STATEMENT EXECUTE FUNCTION credit_refuse_removal();

CREATE TRIGGER credit_creditrequestslip_not_emptied
BEFORE TRUNCATE ON credit_creditrequestslip
FOR EACH STATEMENT EXECUTE FUNCTION credit_refuse_removal();
