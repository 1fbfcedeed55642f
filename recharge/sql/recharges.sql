-- Recharges: sold once per idempotency key, paid for in the transaction that records them, refunded once if they fail.

-- The changes of a recharge's status that there are. The last two are news after the end: see recharge_settle.
INSERT INTO recharge_transition (old, new) VALUES
    ('pending', 'unknown'),
    ('pending', 'succeeded'),
    ('pending', 'failed'),
    ('unknown', 'succeeded'),
    ('unknown', 'failed'),
    ('failed', 'succeeded'),
    ('succeeded', 'failed')
ON CONFLICT (old, new) DO NOTHING;

-- As of the ledger's tables: see credit/sql/ledger.sql.
ALTER TABLE recharge_recharge SET (
    autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_threshold = 5000, autovacuum_analyze_threshold = 5000
);

-- See credit/sql/order.sql.
CREATE TRIGGER recharge_gateway_in_order
BEFORE INSERT ON recharge_gatewaysettings
FOR EACH STATEMENT EXECUTE FUNCTION added_in_order();

CREATE FUNCTION recharge_refuse_transition() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM recharge_transition AS known WHERE known.old = OLD.status AND known.new = NEW.status
    ) THEN
        RAISE EXCEPTION 'a recharge does not go from % to %', OLD.status, NEW.status
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END;
$$;

CREATE TRIGGER recharge_transition
BEFORE UPDATE OF status ON recharge_recharge
FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION recharge_refuse_transition();


-- Whether what a recharge says of its end fits its status. The table's check recharge_state asks: see entry_is_sound.
CREATE FUNCTION recharge_has_its_end(
    p_status text, p_created_at timestamptz, p_completed_at timestamptz, p_failure text, p_late text
) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN CASE
        WHEN p_status = 'succeeded'
            THEN p_completed_at >= p_created_at AND p_failure = '' AND p_late IN ('', 'charged', 'owed')
        WHEN p_status = 'failed'
            THEN p_completed_at >= p_created_at AND p_failure <> '' AND p_late IN ('', 'reversed')
        WHEN p_status IN ('pending', 'unknown') THEN p_completed_at IS NULL AND p_failure = '' AND p_late = ''
        ELSE false
    END IS TRUE;
END;
$$;


-- A number (E.164) of which the country's code and the last four digits are left: +98******4567. Masked again, it stays so.
CREATE FUNCTION phone_masked(p_phone_number text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN left(p_phone_number, 3) || repeat('*', length(p_phone_number) - 7) || right(p_phone_number, 4);


-- The key of a recharge whose number is masked: those of bulk sales on the pages have the number in them
-- (recharge/batches/rows.py), and then its id instead. What a client has chosen stays as it is.
CREATE FUNCTION key_masked(p_idempotency_key text, p_phone_number text, p_id uuid) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN p_idempotency_key LIKE 'page-%' THEN replace(p_idempotency_key, p_phone_number, p_id::text)
    ELSE p_idempotency_key
END;


-- A recharge as the API shows it.
CREATE FUNCTION recharge_data(p_recharge recharge_recharge) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path FROM CURRENT
RETURN jsonb_build_object(
    'id', p_recharge.id,
    'seller_id', p_recharge.seller_id,
    'phone_number', p_recharge.phone_number,
    'operator', p_recharge.operator,
    'amount', p_recharge.amount,
    'status', p_recharge.status,
    'failure', nullif(p_recharge.failure, ''),
    'balance_after', p_recharge.balance_after,
    'created_at', rfc3339(p_recharge.created_at),
    'completed_at', rfc3339(p_recharge.completed_at),
    'late', nullif(p_recharge.late, ''),
    'commission', p_recharge.commission
);


-- A seller's balance at one moment, of which one statement sees one: the balance and what is in flight belong together.
-- NULLs where there is no such seller.
CREATE FUNCTION recharge_balance(
    p_seller_id bigint,
    OUT balance bigint,
    OUT last_entry bigint,  -- its number; 0: none yet
    OUT in_flight bigint,  -- debited already, of recharges that are pending or unknown
    OUT as_of timestamptz,
    OUT training boolean,  -- the organization's; here since every page of a seller asks for a balance anyway
    OUT is_active boolean,
    OUT owed bigint,  -- late charges that the balance did not bear
    OUT owed_since timestamptz,
    OUT has_parent boolean,  -- these two for the menu of a page, as training
    OUT has_children boolean
)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    as_of := statement_timestamp();
    SELECT
        account.balance,
        account.last_number,
        (
            SELECT coalesce(sum(recharge.amount), 0)::bigint FROM recharge_recharge AS recharge
            WHERE recharge.seller_id = account.seller_id AND recharge.status IN ('pending', 'unknown')
        ),
        coalesce((SELECT settings.training FROM recharge_settings AS settings), true),
        seller.is_active,
        owing.amount,
        owing.since,
        seller.parent_id IS NOT NULL,
        EXISTS (SELECT FROM credit_seller AS child WHERE child.parent_id = seller.id)
    INTO balance, last_entry, in_flight, training, is_active, owed, owed_since, has_parent, has_children
    FROM credit_account AS account
    INNER JOIN credit_seller AS seller ON seller.id = account.seller_id
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(recharge.amount - recharge.commission), 0)::bigint AS amount, min(recharge.completed_at) AS since
        FROM recharge_recharge AS recharge
        WHERE recharge.seller_id = account.seller_id AND recharge.late = 'owed'
    ) AS owing
    WHERE account.seller_id = p_seller_id;
END;
$$;


-- One of the recharges of a seller who is active; no row where there is none. ("+ 0": see recharge_sell.)
CREATE FUNCTION recharge_of_seller(p_recharge_id uuid, p_seller_id bigint) RETURNS SETOF recharge_recharge
LANGUAGE plpgsql STABLE ROWS 1
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT recharge.*
    FROM recharge_recharge AS recharge INNER JOIN credit_seller AS seller ON seller.id = recharge.seller_id
    WHERE recharge.id = p_recharge_id AND recharge.seller_id + 0 = p_seller_id AND seller.is_active;
END;
$$;


-- What the organization has settled for an operator, or the defaults. delivered: its gateway succeeds by itself and
-- touches nothing outside, so that a sale is recorded as delivered in the very transaction that pays for it. refusal: why
-- nothing is sold of it at all (one of recharge_decide's outcomes), or NULL. training: it is sold, and nobody delivers it.
CREATE TYPE recharge_terms AS (
    gateway text, delivered boolean, amounts bigint[], least_amount bigint, most_amount bigint, duplicate_window integer,
    refusal text, training boolean, refuses_owing boolean, has_commissions boolean, has_limits boolean
);

-- They, of what is settled; NULL: nothing is. One expression and no SET, as recharge_decide.
CREATE FUNCTION recharge_terms_made(
    p_operator text,
    p_is_settled boolean,
    p_amounts bigint[],
    p_least_amount bigint,
    p_most_amount bigint,
    p_gateway text,
    p_kind text,
    p_duplicate_window integer,
    p_training boolean,
    p_refuses_owing boolean,
    p_has_commissions boolean,
    p_has_limits boolean
) RETURNS recharge_terms
LANGUAGE sql IMMUTABLE
RETURN ROW(
    coalesce(p_gateway, 'instant'),
    coalesce(p_kind, 'instant') = 'instant',
    coalesce(p_amounts, '{}'),
    coalesce(p_least_amount, 1),
    coalesce(p_most_amount, 9223372036854775807),
    coalesce(p_duplicate_window, 0),
    CASE
        -- A row of settings is what makes one that the organization has added; the others: recharge/operators.py.
        WHEN p_is_settled IS NOT TRUE
            AND p_operator NOT IN ('mci', 'irancell', 'rightel', 'aptel', 'espadan', 'telekish')
            THEN 'unknown_operator'
        WHEN p_gateway IS NULL AND NOT coalesce(p_training, true) THEN 'operator_not_sold'
    END,
    p_gateway IS NULL AND coalesce(p_training, true),
    coalesce(p_refuses_owing, false),
    coalesce(p_has_commissions, false),
    coalesce(p_has_limits, false)
)::recharge_terms;


-- One row. (A sale reads them with what else it asks.)
CREATE FUNCTION recharge_terms_of(p_operator text) RETURNS SETOF recharge_terms
LANGUAGE plpgsql STABLE ROWS 1
SET search_path FROM CURRENT
AS $$
DECLARE
    v_known record;
BEGIN
    SELECT
        operator.operator IS NOT NULL AS is_settled, operator.amounts, operator.least_amount, operator.most_amount,
        gateway.name, gateway.kind, settings.duplicate_window, settings.training, settings.refuses_owing,
        settings.has_commissions, settings.has_limits
    INTO v_known
    FROM (SELECT) AS always
    LEFT JOIN recharge_settings AS settings ON true
    LEFT JOIN recharge_operatorsettings AS operator ON operator.operator = p_operator
    LEFT JOIN recharge_gatewaysettings AS gateway ON gateway.id = operator.gateway_id;
    RETURN NEXT recharge_terms_made(
        p_operator, v_known.is_settled, v_known.amounts, v_known.least_amount, v_known.most_amount, v_known.name,
        v_known.kind, v_known.duplicate_window, v_known.training, v_known.refuses_owing, v_known.has_commissions,
        v_known.has_limits
    );
END;
$$;


CREATE FUNCTION recharge_is_amount_sold(p_terms recharge_terms, p_amount bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN CASE
    WHEN cardinality((p_terms).amounts) > 0 THEN p_amount = ANY ((p_terms).amounts)
    ELSE p_amount BETWEEN (p_terms).least_amount AND (p_terms).most_amount
END;


-- Whether the seller has sold this amount to this number within so many seconds (0: it is not asked), and not with a key
-- that begins with p_but_keys: then it may be a slip. What failed does not count.
CREATE FUNCTION recharge_is_repeated(
    p_seconds integer, p_seller_id bigint, p_phone_number text, p_amount bigint, p_but_keys text DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_since constant timestamptz := clock_timestamp() - p_seconds * interval '1 second';
BEGIN
    RETURN p_seconds > 0 AND EXISTS (
        SELECT FROM recharge_recharge
        WHERE phone_number = p_phone_number AND seller_id + 0 = p_seller_id AND amount = p_amount
            AND status <> 'failed'
            AND (p_but_keys IS NULL OR NOT starts_with(idempotency_key, p_but_keys))
            AND created_at > v_since
            AND id >= uuid7_floor(v_since)  -- the same by the index: a number may have a long history
    );
END;
$$;


-- Code of the release before calls this: a sale that began before an upgrade may end after it. The next release drops it.
CREATE FUNCTION recharge_is_duplicate(
    p_terms recharge_terms, p_seller_id bigint, p_phone_number text, p_amount bigint
) RETURNS boolean
LANGUAGE sql STABLE
SET search_path FROM CURRENT
RETURN recharge_is_repeated((p_terms).duplicate_window, p_seller_id, p_phone_number, p_amount);


-- Decides what becomes of a sale, from what is true of it. It is decided here alone: recharge_sell and recharge_prospects
-- (which the bulk sale and everybody who only looks ask) find out what is true, each in its way. Of several reasons against
-- a sale the first is told. What is not given or not known (NULL) refuses it.
--   access_over             whoever sells may no longer (see credit/sql/access.sql)
--   replayed                the key was used before with the same content
--   key_reused              the key was used before with other content
--   organization_suspended  nothing new is sold
--   seller_inactive         the seller is switched off
--   unknown_operator        neither is it a built-in operator nor has the organization added it
--   operator_not_sold       no gateway delivers it, and the organization no longer trains
--   amount_not_sold         the organization does not sell this amount of this operator
--   seller_owes             the seller owes a late charge, and the organization sells nothing to who does
--   limit_exceeded          a limit of the seller or of the organization would be passed
--   possible_duplicate      the same was sold lately, and nobody said that it is meant
--   insufficient_credit     the balance does not bear it
--   created                 it is sold
-- The key comes before anything else that may have changed since: who sends a sale again must learn that it was made,
-- whatever was switched off.
--
-- One expression and no SET: so it becomes a part of the expression that asks, and costs a sale no call.
CREATE FUNCTION recharge_decide(
    p_is_same boolean,  -- whether the recharge that has the key has the content, too; NULL: none has the key
    p_is_suspended boolean DEFAULT NULL,
    p_is_active boolean DEFAULT NULL,
    p_refusal text DEFAULT NULL,  -- the operator's: see recharge_terms
    p_is_amount_sold boolean DEFAULT NULL,
    p_is_duplicate boolean DEFAULT NULL,
    p_is_borne boolean DEFAULT NULL,
    p_is_access_over boolean DEFAULT false,
    -- Last, and with what refuses nothing: the release before tells the others by their places.
    p_is_owing boolean DEFAULT false,
    p_is_within_limits boolean DEFAULT true
) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN CASE
    WHEN p_is_access_over IS NOT FALSE THEN 'access_over'
    WHEN p_is_same THEN 'replayed'
    WHEN NOT p_is_same THEN 'key_reused'
    WHEN p_is_suspended IS NOT FALSE THEN 'organization_suspended'
    WHEN p_is_active IS NOT TRUE THEN 'seller_inactive'
    WHEN p_refusal IS NOT NULL THEN p_refusal
    WHEN p_is_amount_sold IS NOT TRUE THEN 'amount_not_sold'
    WHEN p_is_owing IS NOT FALSE THEN 'seller_owes'
    WHEN p_is_within_limits IS NOT TRUE THEN 'limit_exceeded'
    WHEN p_is_duplicate IS NOT FALSE THEN 'possible_duplicate'
    WHEN p_is_borne IS NOT TRUE THEN 'insufficient_credit'
    ELSE 'created'
END;


-- Sells one recharge of p_amount Tomans. p_guard are seconds in which the caller itself takes the same for a slip, where
-- the organization's own window is shorter (the pages do: two tabs may send one sale); 0: it does not. The last four say
-- who sells: the user or the API key that the recharge keeps, and of which epoch their access is (access_over).
-- Gives recharge_decide's outcome. Created and replayed come with the row, as it is now; the others wrote nothing, and the
-- key may be used again.
CREATE FUNCTION recharge_sell(
    p_organization_id bigint,
    p_seller_id bigint,
    p_idempotency_key text,
    p_phone_number text,
    p_operator text,
    p_amount bigint,
    p_allow_duplicate boolean,
    p_guard integer DEFAULT 0,
    p_is_suspended boolean DEFAULT false,
    p_user_id bigint DEFAULT NULL,
    p_key_id uuid DEFAULT NULL,
    p_subject text DEFAULT NULL,
    p_epoch bigint DEFAULT NULL,
    OUT outcome text,
    OUT balance bigint,  -- after it
    OUT is_due boolean,  -- whether there is something for a worker to do now
    OUT sold recharge_recharge,
    OUT passed jsonb  -- the limit, where it is that: see recharge_limit_passed
)
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_is_active boolean;
    v_is_settled boolean;
    v_amounts bigint[];
    v_least_amount bigint;
    v_most_amount bigint;
    v_gateway text;
    v_kind text;
    v_duplicate_window integer;
    v_training boolean;
    v_refuses_owing boolean;
    v_has_commissions boolean;
    v_has_limits boolean;
    v_terms recharge_terms;
    v_is_listened_to boolean;
    v_is_over boolean;
    v_dealers bigint[];
    v_limits recharge_limits;
    v_basis_points integer;
    v_commission bigint := 0;
    v_window integer;
    v_is_duplicate boolean;
    v_clock timestamptz;
    v_last timestamptz;
    v_alert_below bigint;
    v_is_low boolean;  -- from this sale on, which has raised an alert
    v_now timestamptz;
    v_id uuid;
    v_posting ledger_posting;
BEGIN
    -- Before anything is read: of two with one key at once, the second waits here and then finds the first.
    PERFORM seller_lock(p_organization_id, p_seller_id);

    -- "+ 0" leaves the planner one index, the key's. This is planned while an organization's tables are empty and looks
    -- the same to it by the index of a seller's recharges, of which every sale would then read all, until the statistics
    -- of the table are made a minute or two later. (A hot seller's rate over HTTP ÷ that of 1,000 sellers, in new
    -- organizations: 0.40 without, 0.80 with it; tests/bench, table "shapes".)
    SELECT * INTO sold FROM recharge_recharge
    WHERE idempotency_key = p_idempotency_key AND seller_id + 0 = p_seller_id;
    IF FOUND THEN
        outcome := recharge_decide(
            sold.phone_number IN (p_phone_number, phone_masked(p_phone_number))
                AND (sold.operator, sold.amount) = (p_operator, p_amount),
            p_is_access_over => EXISTS (SELECT FROM access_over(p_subject, p_epoch))
        );
        IF outcome = 'replayed' THEN
            is_due := coalesce(sold.due_at <= clock_timestamp(), false);
        ELSE
            sold := NULL;
        END IF;
        RETURN;
    END IF;

    -- Until the end no rate is settled, and those that are known were settled before this sale's moment: see commission_set.
    -- It is LOCK TABLE … IN ROW SHARE MODE, which Citus would carry out on each of its nodes.
    PERFORM FROM recharge_commissionrate WHERE false FOR KEY SHARE;

    -- One statement for all that the decision and the end of it ask: each costs a sale 2 %. So the last ones say again what
    -- webhook_listeners and access_over do, and its joins what recharge_terms_of does.
    SELECT
        seller.is_active, seller.ancestors, account.balance, account.last_moment, account.alert_below,
        operator.operator IS NOT NULL, operator.amounts, operator.least_amount, operator.most_amount, gateway.name,
        gateway.kind, settings.duplicate_window, settings.training, settings.refuses_owing, settings.has_commissions,
        settings.has_limits,
        EXISTS (SELECT FROM credit_webhookendpoint WHERE seller_id = p_seller_id AND disabled = '')
            OR EXISTS (SELECT FROM credit_webhookendpoint WHERE seller_id IS NULL AND disabled = ''),
        EXISTS (
            SELECT FROM credit_accessepoch AS known
            WHERE known.subject IN (p_subject, split_part(p_subject, '/', 1)) AND known.epoch > p_epoch
        )
    INTO
        v_is_active, v_dealers, balance, v_last, v_alert_below,
        v_is_settled, v_amounts, v_least_amount, v_most_amount, v_gateway, v_kind, v_duplicate_window, v_training,
        v_refuses_owing, v_has_commissions, v_has_limits,
        v_is_listened_to, v_is_over
    FROM credit_seller AS seller
    INNER JOIN credit_account AS account ON account.seller_id = seller.id
    LEFT JOIN recharge_settings AS settings ON true
    LEFT JOIN recharge_operatorsettings AS operator ON operator.operator = p_operator
    LEFT JOIN recharge_gatewaysettings AS gateway ON gateway.id = operator.gateway_id
    WHERE seller.id = p_seller_id;
    v_terms := recharge_terms_made(
        p_operator, v_is_settled, v_amounts, v_least_amount, v_most_amount, v_gateway, v_kind, v_duplicate_window,
        v_training, v_refuses_owing, v_has_commissions, v_has_limits
    );
    v_window := greatest(v_terms.duplicate_window, p_guard);
    v_is_duplicate := v_window > 0 AND NOT p_allow_duplicate
        AND recharge_is_repeated(v_window, p_seller_id, p_phone_number, p_amount);
    v_clock := clock_timestamp();
    v_now := seller_moment(v_clock, v_last);
    IF v_terms.has_limits THEN
        v_limits := recharge_limits_of(p_seller_id, v_now);
        passed := recharge_limit_passed_by(v_limits, p_seller_id, p_phone_number, p_amount);
    END IF;
    outcome := recharge_decide(
        NULL, p_is_suspended, v_is_active, v_terms.refusal, recharge_is_amount_sold(v_terms, p_amount),
        v_is_duplicate, p_amount <= balance, v_is_over IS TRUE,
        p_is_owing => v_terms.refuses_owing AND recharge_owed_by(p_seller_id) > 0,
        p_is_within_limits => passed IS NULL
    );
    IF outcome <> 'created' THEN
        IF v_terms.has_limits THEN
            PERFORM recharge_keep_count(v_limits, p_seller_id);
        END IF;
        RETURN;
    END IF;
    IF v_terms.has_commissions THEN
        SELECT rate.basis_points, commission_of(p_amount, rate.basis_points, rate.fixed)
        INTO v_basis_points, v_commission
        FROM commission_rate_of(p_seller_id, p_operator) AS rate;
        v_commission := coalesce(v_commission, 0);
    END IF;

    v_id := uuid7_at(v_now);
    v_posting := ledger_post(p_organization_id, p_seller_id, 'recharge', -p_amount, v_id, v_commission);
    v_is_low := coalesce(balance >= v_alert_below AND v_posting.balance < v_alert_below, false);
    balance := v_posting.balance;
    IF NOT v_posting.posted THEN  -- the ledger has the last word: see the locks' place in credit/sql/ledger.sql
        outcome := 'insufficient_credit';
        RETURN;
    END IF;

    INSERT INTO recharge_recharge (
        id, seller_id, idempotency_key, phone_number, operator, amount, status, failure, balance_after, created_at,
        completed_at, gateway, late, due_at, attempts, training, user_id, key_id, commission, basis_points, dealers,
        margin_due
    )
    VALUES (
        v_id, p_seller_id, p_idempotency_key, p_phone_number, p_operator, p_amount,
        CASE WHEN v_terms.delivered THEN 'succeeded' ELSE 'pending' END, '', v_posting.balance, v_now,
        CASE WHEN v_terms.delivered THEN v_now END, v_terms.gateway, '',
        CASE WHEN NOT v_terms.delivered THEN v_clock END, 0, v_terms.training, p_user_id, p_key_id,
        v_commission, v_basis_points, v_dealers,
        v_terms.delivered AND v_dealers IS NOT NULL AND v_terms.has_commissions
    )
    RETURNING * INTO sold;
    IF v_terms.has_limits THEN
        PERFORM recharge_count_sold(v_limits, p_seller_id, 1, p_amount);
    END IF;
    is_due := NOT v_terms.delivered OR v_is_listened_to OR sold.margin_due OR v_is_low;
    IF v_terms.delivered AND v_is_listened_to THEN
        PERFORM webhook_emit('recharge.succeeded', p_seller_id, recharge_data(sold));
    END IF;
    outcome := 'created';
END;
$$;


-- A recharge as it is, which nobody settles until the transaction ends. Its seller's lock comes before it.
CREATE FUNCTION recharge_hold(p_recharge_id uuid) RETURNS recharge_recharge
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    v_recharge recharge_recharge;
BEGIN
    SELECT * INTO STRICT v_recharge FROM recharge_recharge WHERE id = p_recharge_id FOR UPDATE;
    RETURN v_recharge;
END;
$$;


-- Lets the sales that have begun come to their end, and keeps others from beginning until the transaction ends: a sale that
-- has read its operator's gateway, and not yet written its recharge, can be seen in no other way. All of them have read the
-- recharges before (for their key).
CREATE FUNCTION recharge_stop_sales() RETURNS void
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '1s'
AS $$
BEGIN
    LOCK TABLE recharge_recharge IN ACCESS EXCLUSIVE MODE;
END;
$$;


-- Records what became of a recharge: succeeded, failed (which refunds it) or unknown (which does not). It may be told
-- again, and it may be told otherwise after the end, since operators are late and change their minds: then the change is
-- booked as an entry of its own, and the recharge says so (late) to an admin.
--   settled          now
--   replayed         that is what it was already; nothing was done
--   charged_late     it had failed, and was delivered after all: charged again
--   owed             the same, but the balance does not bear the charge; told again, it is tried again
--   reversed         it had succeeded, and was taken back: the seller has its amount again
--   already_settled  it has ended, and is not unknown; or was reversed, after which nothing changes
--   over_limit       the refund or the reversal would pass the largest balance; nothing was done
--   not_found        there is no such recharge
--   access_over      whoever settles it (a member; a worker is not asked) may no longer; nothing was done
-- All but the last two come with the row.
CREATE FUNCTION recharge_settle(
    p_organization_id bigint,
    p_recharge_id uuid,
    p_status text,
    p_failure text,
    p_subject text DEFAULT NULL,
    p_epoch bigint DEFAULT NULL,
    OUT outcome text,
    OUT settled recharge_recharge
)
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_seller_id bigint;
    v_status text;
    v_locked boolean;
    v_was text;
    v_late text := '';
    v_now timestamptz;
BEGIN
    -- Whose lock to take, and whether. A recharge never changes its seller.
    SELECT seller_id, status INTO v_seller_id, v_status FROM recharge_recharge WHERE id = p_recharge_id;
    IF NOT FOUND THEN
        outcome := 'not_found';
        RETURN;
    END IF;
    -- That a recharge in flight succeeded or is unknown moves no money, so that the seller's sales needn't wait for it.
    v_locked := p_status = 'failed' OR v_status IN ('succeeded', 'failed');
    IF v_locked THEN
        PERFORM seller_lock(p_organization_id, v_seller_id);
    END IF;

    SELECT * INTO settled FROM recharge_recharge WHERE id = p_recharge_id FOR UPDATE;
    IF NOT v_locked AND settled.status IN ('succeeded', 'failed') THEN
        -- It ended just now. The seller's lock comes before the row's, everywhere; so begin anew.
        RAISE serialization_failure USING MESSAGE = 'the recharge was settled at the same time';
    END IF;

    -- In vain where it is a worker, of which there are many: so not asked there.
    IF p_epoch IS NOT NULL AND EXISTS (SELECT FROM access_over(p_subject, p_epoch)) THEN
        outcome := 'access_over';
        settled := NULL;
        RETURN;
    END IF;

    IF settled.status = p_status AND settled.late <> 'owed' THEN
        outcome := 'replayed';
        RETURN;
    END IF;

    outcome := 'settled';
    v_was := settled.status;
    IF settled.status IN ('succeeded', 'failed') AND (p_status = 'unknown' OR settled.late = 'reversed') THEN
        outcome := 'already_settled';
        RETURN;
    ELSIF settled.status IN ('pending', 'unknown') AND p_status = 'failed' THEN
        IF NOT (ledger_post(
            p_organization_id, v_seller_id, 'refund', settled.amount, p_recharge_id, -settled.commission
        )).posted THEN
            outcome := 'over_limit';
            RETURN;
        END IF;
        PERFORM recharge_count_settled(settled, -1);
    ELSIF p_status = 'succeeded' AND (settled.status = 'failed' OR settled.late = 'owed') THEN
        IF (ledger_post(
            p_organization_id, v_seller_id, 'late_charge', -settled.amount, p_recharge_id, settled.commission
        )).posted THEN
            outcome := 'charged_late';
            v_late := 'charged';
        ELSE
            outcome := 'owed';
            v_late := 'owed';
            IF settled.late = 'owed' THEN
                RETURN;
            END IF;
        END IF;
        IF settled.status = 'failed' THEN  -- what is owed already is counted already
            PERFORM recharge_count_settled(settled, 1);
        END IF;
    ELSIF p_status = 'failed' AND settled.status = 'succeeded' THEN
        outcome := 'reversed';
        IF settled.late <> 'owed' THEN  -- what was never charged again is not given back
            IF NOT (ledger_post(
                p_organization_id, v_seller_id, 'reversal', settled.amount, p_recharge_id, -settled.commission
            )).posted THEN
                outcome := 'over_limit';
                RETURN;
            END IF;
            v_late := 'reversed';
        END IF;
        PERFORM recharge_count_settled(settled, -1);
    END IF;

    v_now := clock_timestamp();
    UPDATE recharge_recharge
    SET status = p_status,
        failure = CASE WHEN p_status = 'failed' THEN p_failure ELSE '' END,
        late = v_late,
        due_at = CASE WHEN p_status = 'unknown' THEN due_at END,
        -- A clock may be set back.
        completed_at = CASE
            WHEN p_status IN ('succeeded', 'failed') THEN greatest(v_now, created_at)
        END,
        -- What a day's report said must be known afterwards, too: see report.sql.
        delivered_at = CASE WHEN v_was = 'succeeded' THEN coalesce(delivered_at, completed_at) END,
        -- Margins come with the seller's own charge, and go with it. (See margins.sql of what is owed.)
        margin_due = v_late <> 'owed'
            AND (margin_due OR dealers IS NOT NULL AND (p_status = 'succeeded' OR v_was = 'succeeded'))
    WHERE id = p_recharge_id
    RETURNING * INTO settled;
    IF outcome = 'reversed' THEN
        IF v_late = '' THEN
            -- What was owed, and is no more: the next that is owed may be borne.
            PERFORM recharge_collect_owed(p_organization_id, v_seller_id);
        END IF;
        PERFORM claim_refunded_twice(settled);
    END IF;
    -- What had succeeded, and was charged only now, was owed.
    IF (p_status NOT IN ('unknown', v_was) OR outcome = 'charged_late')
        AND EXISTS (SELECT FROM webhook_listeners(v_seller_id))
    THEN
        PERFORM webhook_emit(
            CASE
                WHEN p_status = v_was THEN 'recharge.charged'
                WHEN outcome = 'reversed' THEN 'recharge.reversed'
                WHEN p_status = 'failed' THEN 'recharge.failed'
                WHEN p_status = 'succeeded' THEN 'recharge.succeeded'
            END,
            v_seller_id,
            recharge_data(settled)
        );
    END IF;
END;
$$;
