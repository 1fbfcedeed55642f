-- Claims: a seller's questions about recharges that his customers say they did not get, and what becomes of them.
--
--   open ──→ answered    by an answer that closes it
--      ├───→ delivered   the operator proves it
--      ├───→ refunded    the recharge has failed since, or an adjustment gave it back
--      └───→ withdrawn   by its seller
--
-- None of these moves money. Each takes the seller's lock first, under which recharges are settled and adjustments posted:
-- what it finds of them is as it stays until it has ended.

-- Asks about a recharge. p_seller_id: whose people ask.
--   opened         the row is new
--   open_already   somebody has asked before, and it is open: that row
--   still_waiting  it is on its way, and there is nothing to ask yet
--   refunded       it has failed: its amount is on the balance again
--   too_late       it was sold more than claim_days ago
--   not_found      the seller has no such recharge
--   access_over    whoever asks may no longer (see credit/sql/access.sql)
-- The first two come with the row.
CREATE FUNCTION claim_open(
    p_organization_id bigint,
    p_recharge_id uuid,
    p_seller_id bigint,
    p_message text,
    p_asked_by text,
    p_asked_by_id bigint,
    p_subject text DEFAULT NULL,
    p_epoch bigint DEFAULT NULL,
    OUT outcome text,
    OUT claim recharge_claim
)
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_recharge recharge_recharge;
    v_settings recharge_settings;
    v_now timestamptz;
BEGIN
    PERFORM seller_lock(p_organization_id, p_seller_id);

    IF EXISTS (SELECT FROM access_over(p_subject, p_epoch)) THEN
        outcome := 'access_over';
        RETURN;
    END IF;
    SELECT * INTO v_recharge FROM recharge_recharge WHERE id = p_recharge_id AND seller_id = p_seller_id;
    IF NOT FOUND THEN
        outcome := 'not_found';
        RETURN;
    END IF;
    SELECT * INTO claim FROM recharge_claim WHERE recharge_id = p_recharge_id AND state = 'open';
    IF FOUND THEN
        outcome := 'open_already';
        RETURN;
    END IF;
    SELECT * INTO v_settings FROM recharge_settings;
    v_now := clock_timestamp();
    outcome := CASE
        WHEN v_recharge.status = 'pending' THEN 'still_waiting'
        WHEN v_recharge.status = 'failed' THEN 'refunded'
        WHEN v_recharge.created_at < v_now - coalesce(v_settings.claim_days, 30) * interval '1 day' THEN 'too_late'
    END;
    IF outcome IS NOT NULL THEN
        RETURN;
    END IF;

    INSERT INTO recharge_claim AS made (
        id, recharge_id, seller_id, message, asked_by, asked_by_id, created_at, deadline, state, closed_by, reference
    )
    VALUES (
        uuid7_at(v_now), p_recharge_id, p_seller_id, p_message, p_asked_by, p_asked_by_id, v_now,
        v_now + coalesce(v_settings.claim_hours, 24) * interval '1 hour', 'open', '', ''
    )
    RETURNING * INTO claim;
    outcome := 'opened';
END;
$$;


-- Says something about a claim that is open. p_seller_id: the seller whose people say it; NULL: the organization says it,
-- and the seller is told. p_key is of the form that it was written in.
--   said         now
--   replayed     that form has said it before
--   closed       it is closed; the row
--   too_many     50 messages are there
--   not_found    there is no such claim, or it is another's
--   access_over  whoever says it may no longer
CREATE FUNCTION claim_say(
    p_organization_id bigint,
    p_claim_id uuid,
    p_seller_id bigint,
    p_text text,
    p_key text,
    p_said_by text,
    p_said_by_id bigint,
    p_subject text DEFAULT NULL,
    p_epoch bigint DEFAULT NULL,
    OUT outcome text,
    OUT claim recharge_claim
)
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_is_over boolean;
BEGIN
    claim := claim_hold(p_organization_id, p_claim_id, p_seller_id);
    v_is_over := EXISTS (SELECT FROM access_over(p_subject, p_epoch));
    outcome := CASE
        WHEN v_is_over THEN 'access_over'
        WHEN claim.id IS NULL THEN 'not_found'
        WHEN EXISTS (
            SELECT FROM recharge_claimmessage WHERE claim_id = p_claim_id AND idempotency_key = p_key
        ) THEN 'replayed'
        WHEN claim.state <> 'open' THEN 'closed'
        WHEN (SELECT count(*) FROM recharge_claimmessage WHERE claim_id = p_claim_id) >= 50 THEN 'too_many'
    END;
    IF outcome IS NULL THEN
        claim := claim_answer(claim, p_seller_id IS NOT NULL, p_text, p_key, p_said_by, p_said_by_id);
        IF p_seller_id IS NULL THEN
            PERFORM claim_tell(claim, p_text);
        END IF;
        outcome := 'said';
    END IF;
END;
$$;


-- Closes a claim that is open. p_seller_id: the seller who withdraws it; NULL: the organization closes it, and the seller is
-- told. p_text: what is said with it ('': nothing); p_reference: the operator's proof, of a delivered one;
-- p_adjustment_id: what gave it back, where the recharge has not failed.
--   closed          now
--   replayed        it was closed just so before, with the same words
--   already_closed  it was closed otherwise; the row
--   not_delivered   the recharge has not succeeded, so it can't be closed as delivered
--   not_refunded    the recharge has not failed, and no adjustment is named that gives it back: an approved one of this
--                   seller, made since the sale, of no more than the amount, named by no other claim. Nor does one give back
--                   a recharge of unknown outcome: that is resolved first, or it would be refunded a second time
--   refunded_twice  the recharge has failed, or an adjustment gave it back before: no other may
--   not_found       there is no such claim, or it is another's
--   access_over     whoever closes it may no longer
CREATE FUNCTION claim_close(
    p_organization_id bigint,
    p_claim_id uuid,
    p_seller_id bigint,
    p_state text,
    p_text text,
    p_reference text,
    p_adjustment_id uuid,
    p_closed_by text,
    p_closed_by_id bigint,
    p_subject text DEFAULT NULL,
    p_epoch bigint DEFAULT NULL,
    OUT outcome text,
    OUT claim recharge_claim
)
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_recharge recharge_recharge;
    v_is_over boolean;
    v_may_name boolean;
BEGIN
    claim := claim_hold(p_organization_id, p_claim_id, p_seller_id);
    SELECT * INTO v_recharge FROM recharge_recharge WHERE id = claim.recharge_id;
    v_is_over := EXISTS (SELECT FROM access_over(p_subject, p_epoch));
    v_may_name := claim_may_name(v_recharge, p_adjustment_id);
    outcome := CASE
        WHEN v_is_over THEN 'access_over'
        WHEN claim.id IS NULL THEN 'not_found'
        WHEN claim.state <> 'open' THEN CASE
            WHEN (claim.state, claim.reference) = (p_state, p_reference)
                AND claim.adjustment_id IS NOT DISTINCT FROM p_adjustment_id
                AND p_text = coalesce((
                    SELECT text FROM recharge_claimmessage WHERE claim_id = p_claim_id AND idempotency_key = 'close'
                ), '') THEN 'replayed'
            ELSE 'already_closed'
        END
        WHEN p_state = 'delivered' AND v_recharge.status <> 'succeeded' THEN 'not_delivered'
        WHEN p_state = 'refunded' THEN CASE
            WHEN p_adjustment_id IS NULL THEN CASE WHEN v_recharge.status <> 'failed' THEN 'not_refunded' END
            WHEN v_recharge.status = 'failed' OR EXISTS (
                SELECT FROM recharge_claim WHERE recharge_id = claim.recharge_id AND adjustment_id IS NOT NULL
            ) THEN 'refunded_twice'
            WHEN v_recharge.status <> 'succeeded' OR NOT v_may_name THEN 'not_refunded'
        END
    END;
    IF outcome IS NOT NULL THEN
        RETURN;
    END IF;

    IF p_text <> '' THEN
        claim := claim_answer(claim, p_seller_id IS NOT NULL, p_text, 'close', p_closed_by, p_closed_by_id);
    END IF;
    claim := claim_end(claim, p_state, p_reference, p_adjustment_id, p_closed_by, p_closed_by_id);
    IF p_seller_id IS NULL THEN
        PERFORM claim_tell(claim, p_text);
    END IF;
    outcome := 'closed';
END;
$$;


-- Whether an adjustment may be what gives a recharge's amount back: see claim_close.
CREATE FUNCTION claim_may_name(p_recharge recharge_recharge, p_adjustment_id uuid) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM credit_adjustment AS adjustment
        WHERE adjustment.id = p_adjustment_id AND adjustment.seller_id = p_recharge.seller_id
            AND adjustment.status = 'approved' AND adjustment.created_at > p_recharge.created_at
            AND adjustment.amount BETWEEN 1 AND p_recharge.amount
    ) AND NOT EXISTS (SELECT FROM recharge_claim WHERE adjustment_id = p_adjustment_id);
END;
$$;


-- Its seller has looked at a claim: what he was told of it is over. A claim that somebody answers meanwhile is told again.
CREATE FUNCTION claim_seen(p_organization_id bigint, p_claim_id uuid, p_seller_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_now timestamptz;
BEGIN
    PERFORM seller_lock(p_organization_id, p_seller_id);
    v_now := clock_timestamp();
    UPDATE recharge_claim SET seen_at = v_now
    WHERE id = p_claim_id AND seller_id = p_seller_id AND answered_at IS NOT NULL AND seen_at IS NULL;
    IF FOUND THEN
        PERFORM alert_clear('claim_answered', p_claim_id::text);
    END IF;
END;
$$;


-- Closes the claims whose recharges have failed since: their sellers have the money again. Whoever is settling one just now
-- is not waited for. Gives how many.
CREATE FUNCTION claims_close_refunded() RETURNS integer
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_claim recharge_claim;
    v_count integer := 0;
BEGIN
    FOR v_claim IN
        SELECT claim.* FROM recharge_claim AS claim
        INNER JOIN recharge_recharge AS recharge ON recharge.id = claim.recharge_id
        WHERE claim.state = 'open' AND recharge.status = 'failed'
        ORDER BY claim.deadline
        LIMIT 100
        FOR UPDATE OF claim SKIP LOCKED
    LOOP
        PERFORM claim_tell(claim_end(v_claim, 'refunded', '', NULL, '', NULL), '');
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END;
$$;


-- A recharge that had been delivered has just failed, under its seller's lock (recharge_settle). If an adjustment gave it back
-- before, its seller has the money twice, and the books are right all the same: so the organization is told.
CREATE FUNCTION claim_refunded_twice(p_recharge recharge_recharge) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_given record;
BEGIN
    SELECT claim.id AS claim_id, adjustment.amount, seller.name INTO v_given
    FROM recharge_claim AS claim
    INNER JOIN credit_adjustment AS adjustment ON adjustment.id = claim.adjustment_id
    INNER JOIN credit_seller AS seller ON seller.id = claim.seller_id
    WHERE claim.recharge_id = p_recharge.id AND claim.adjustment_id IS NOT NULL;
    IF FOUND THEN
        PERFORM alert_raise(
            'refunded_twice', p_recharge.id::text, NULL,
            jsonb_build_object(
                'recharge_id', p_recharge.id, 'claim_id', v_given.claim_id, 'seller_id', p_recharge.seller_id,
                'seller', v_given.name, 'phone_number', p_recharge.phone_number, 'amount', v_given.amount
            )
        );
    END IF;
END;
$$;


-- Clears what is over of these: adjustments have taken back what the first one gave, each with the recharge's id as its
-- reference; or the recharge was delivered after all, and is charged again, or owed.
CREATE FUNCTION claims_clear_taken_back() RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_alert credit_alert;
BEGIN
    FOR v_alert IN SELECT * FROM credit_alert WHERE kind = 'refunded_twice' AND cleared_at IS NULL LOOP
        IF (v_alert.data ->> 'amount')::bigint <= (
            SELECT coalesce(-sum(amount), 0) FROM credit_adjustment
            WHERE seller_id = (v_alert.data ->> 'seller_id')::bigint AND status = 'approved' AND amount < 0
                AND reference = v_alert.subject
        ) OR NOT EXISTS (SELECT FROM recharge_recharge WHERE id = v_alert.subject::uuid AND status = 'failed') THEN
            PERFORM alert_clear('refunded_twice', v_alert.subject);
        END IF;
    END LOOP;
END;
$$;


-- --- What these are made of ------------------------------------------------------------------------------------------

-- Takes the seller's lock of a claim, then its row: as it is from then on. NULLs: there is none, or it is another's.
CREATE FUNCTION claim_hold(p_organization_id bigint, p_claim_id uuid, p_seller_id bigint) RETURNS recharge_claim
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_claim recharge_claim;
BEGIN
    -- Whose lock to take: a claim never changes its seller.
    SELECT * INTO v_claim FROM recharge_claim
    WHERE id = p_claim_id AND (p_seller_id IS NULL OR seller_id = p_seller_id);
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM seller_lock(p_organization_id, v_claim.seller_id);
    SELECT * INTO v_claim FROM recharge_claim WHERE id = p_claim_id FOR UPDATE;
    RETURN v_claim;
END;
$$;


-- Writes a message of a claim that is held.
CREATE FUNCTION claim_answer(
    p_claim recharge_claim, p_is_sellers boolean, p_text text, p_key text, p_said_by text, p_said_by_id bigint
) RETURNS recharge_claim
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_now constant timestamptz := clock_timestamp();
    v_claim recharge_claim := p_claim;
BEGIN
    INSERT INTO recharge_claimmessage (
        id, claim_id, is_sellers, text, idempotency_key, said_by, said_by_id, created_at
    )
    VALUES (uuid7_at(v_now), p_claim.id, p_is_sellers, p_text, p_key, p_said_by, p_said_by_id, v_now);
    IF NOT p_is_sellers THEN
        UPDATE recharge_claim SET answered_at = v_now, seen_at = NULL WHERE id = p_claim.id RETURNING * INTO v_claim;
    END IF;
    RETURN v_claim;
END;
$$;


-- Closes a claim that is held. What its seller has not closed himself, he is to look at.
CREATE FUNCTION claim_end(
    p_claim recharge_claim, p_state text, p_reference text, p_adjustment_id uuid, p_closed_by text, p_closed_by_id bigint
) RETURNS recharge_claim
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_now constant timestamptz := greatest(clock_timestamp(), p_claim.created_at);  -- a clock may be set back
    v_claim recharge_claim;
BEGIN
    UPDATE recharge_claim
    SET state = p_state, reference = p_reference, adjustment_id = p_adjustment_id, closed_at = v_now,
        closed_by = p_closed_by, closed_by_id = p_closed_by_id,
        answered_at = CASE WHEN p_state = 'withdrawn' THEN answered_at ELSE v_now END,
        seen_at = CASE WHEN p_state = 'withdrawn' THEN seen_at END
    WHERE id = p_claim.id
    RETURNING * INTO v_claim;
    IF p_state = 'withdrawn' THEN
        PERFORM alert_clear('claim_answered', p_claim.id::text);
    END IF;
    RETURN v_claim;
END;
$$;


-- Tells a seller what was said about his claim, or how it ended: on his pages, by mail and by SMS (credit/sql/alerts.sql).
-- What he was told before and has not looked at gives place to it.
CREATE FUNCTION claim_tell(p_claim recharge_claim, p_text text) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_phone_number constant text := (SELECT phone_number FROM recharge_recharge WHERE id = p_claim.recharge_id);
BEGIN
    PERFORM alert_clear('claim_answered', p_claim.id::text);
    PERFORM alert_raise(
        'claim_answered', p_claim.id::text, p_claim.seller_id,
        jsonb_build_object(
            'claim_id', p_claim.id, 'recharge_id', p_claim.recharge_id, 'state', p_claim.state, 'text', p_text,
            'phone_number', v_phone_number
        )
    );
END;
$$;


-- --- What stays ------------------------------------------------------------------------------------------------------

-- What was asked stands from the beginning, how it ended from the end on. Whether its seller has seen it may change.
CREATE FUNCTION claim_keep() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF (
        NEW.id, NEW.recharge_id, NEW.seller_id, NEW.message, NEW.asked_by, NEW.asked_by_id, NEW.created_at, NEW.deadline
    ) IS DISTINCT FROM (
        OLD.id, OLD.recharge_id, OLD.seller_id, OLD.message, OLD.asked_by, OLD.asked_by_id, OLD.created_at, OLD.deadline
    ) OR OLD.state <> 'open' AND (
        NEW.state, NEW.answered_at, NEW.closed_at, NEW.closed_by, NEW.closed_by_id, NEW.reference, NEW.adjustment_id
    ) IS DISTINCT FROM (
        OLD.state, OLD.answered_at, OLD.closed_at, OLD.closed_by, OLD.closed_by_id, OLD.reference, OLD.adjustment_id
    ) THEN
        RAISE EXCEPTION 'claim % keeps what it says: UPDATE refused', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END;
$$;

CREATE TRIGGER recharge_claim_kept
BEFORE UPDATE ON recharge_claim
FOR EACH ROW EXECUTE FUNCTION claim_keep();

CREATE TRIGGER recharge_claim_stays
BEFORE DELETE ON recharge_claim
FOR EACH STATEMENT EXECUTE FUNCTION credit_refuse_removal();

CREATE TRIGGER recharge_claim_not_emptied
BEFORE TRUNCATE ON recharge_claim
FOR EACH STATEMENT EXECUTE FUNCTION credit_refuse_removal();

CREATE TRIGGER recharge_claimmessage_append_only
BEFORE UPDATE OR DELETE ON recharge_claimmessage
FOR EACH STATEMENT EXECUTE FUNCTION credit_refuse_change();

CREATE TRIGGER recharge_claimmessage_not_emptied
BEFORE TRUNCATE ON recharge_claimmessage
FOR EACH STATEMENT EXECUTE FUNCTION credit_refuse_change();
