-- The ledger of one organization. There is one way to change a balance: ledger_post, and its form for many at once,
-- ledger_post_many. Every other money function calls one of them, and nothing else does.
--
-- The order of things, everywhere: first the seller's lock, then reading, then writing. The functions run as one statement
-- of the application in autocommit mode; each carries the schema it belongs to (SET search_path FROM CURRENT) and the
-- longest wait for a lock, so that nothing depends on the state of a session.
--
-- Functions that the application calls and that write what its role may not (tenants/working_role.py) are SECURITY DEFINER:
-- they run with the rights of the tables' owner. ledger_post is not: nobody posts an entry but by a document's function.

-- seller_lock on Citus, where a statement may come in at any node of the cluster: a lock that was taken there would keep
-- nobody out who came in at another. So it is taken by a statement about a table of the schema, which runs at the node that
-- holds the schema.
--
-- Before it comes one that changes nothing. With a change a transaction begins at that node, in which the lock is kept. And a
-- move of the schema to another node waits until it ends: whoever has the lock has the rows, too. (Of a move that is ending,
-- this waits for the end.) Without it, of 14,125 counted so from three nodes while the schema moved, 8,237 were lost.
--
-- The longest wait that whoever asks has (SET lock_timeout) is told to the node's transaction, which has nothing of the
-- coordinator's settings: else who came in there waited for as long as statements may take.
CREATE FUNCTION seller_lock_at_node(p_organization_key int, p_seller_key int) RETURNS void
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    v_key constant text := concat_ws(' ', p_organization_key, p_seller_key);
    v_longest constant text := current_setting('lock_timeout');
BEGIN
    -- A sale asks twice.
    IF current_setting('recharge.locked', true) = v_key THEN
        RETURN;
    END IF;
    DELETE FROM installed_functions WHERE release = '';
    -- One row, whatever the table has.
    PERFORM set_config('lock_timeout', v_longest, true), pg_advisory_xact_lock(p_organization_key, p_seller_key)
    FROM (SELECT count(*) FROM installed_functions) AS always;
    PERFORM set_config('recharge.locked', v_key, true);
END;
$$;


-- Serializes everything that changes one seller's balance, until the end of the transaction. Advisory locks are
-- database-wide, not schema-wide: the organization's id keeps seller 7 of one organization apart from seller 7 of another.
-- Ids are bigint and a lock's two keys are int; two sellers who fold onto one key merely wait for each other.
--
-- The lock is for order and speed: a row lock alone halves the rate on a hot seller, since every waiter then wakes to find
-- the row changed and reads it anew. It is not what keeps the books right; the row and its CHECK are.
--
-- On a cluster it is taken where the rows are (seller_lock_at_node). To ask whether this is one takes 0.7 µs.
CREATE FUNCTION seller_lock(p_organization_id bigint, p_seller_id bigint) RETURNS void
LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT CASE
        WHEN current_setting('citus.version', true) IS NULL
            THEN pg_advisory_xact_lock((p_organization_id & 2147483647)::int, (p_seller_id & 2147483647)::int)
        ELSE seller_lock_at_node((p_organization_id & 2147483647)::int, (p_seller_id & 2147483647)::int)
    END;
END;


-- When the next thing of a seller happens: now, or just after the last thing if the clock was set back since. So what a
-- seller's lists show runs forward. But a clock that had been far ahead does not keep a seller in the future: what is set
-- back by more than a minute is taken as it is.
CREATE FUNCTION seller_moment(p_now timestamptz, p_last timestamptz) RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE  -- intervals without days or months are the same in every time zone
AS $$
BEGIN
    RETURN CASE
        WHEN p_last >= p_now AND p_last < p_now + interval '1 minute' THEN p_last + interval '1 microsecond'
        ELSE p_now
    END;
END;
$$;


-- Whether an amount has the sign of its kind (ENTRY_KINDS in credit/models.py; tests/credit/test_entry_kinds.py compares),
-- and a commission the other one: it is never more than its amount, and there is none but of recharges. The table's check
-- entry_sign asks. PostgreSQL reads the expression of a check anew in each statement; of a function it reads a call, and
-- keeps the rest.
CREATE FUNCTION entry_is_sound(p_kind text, p_amount bigint, p_commission bigint) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN CASE
        WHEN p_kind IN ('recharge', 'late_charge') THEN p_amount < 0 AND p_commission BETWEEN 0 AND -p_amount
        WHEN p_kind IN ('refund', 'reversal') THEN p_amount > 0 AND p_commission BETWEEN -p_amount AND 0
        WHEN p_kind IN ('credit', 'transfer_in', 'margin') THEN p_amount > 0 AND p_commission = 0
        WHEN p_kind IN ('transfer_out', 'margin_back') THEN p_amount < 0 AND p_commission = 0
        WHEN p_kind = 'adjustment' THEN p_amount <> 0 AND p_commission = 0
        ELSE false
    END IS TRUE;
END;
$$;


-- The kinds of entries whose reference is the id of such a document (ENTRY_KINDS in credit/models.py;
-- tests/credit/test_entry_kinds.py compares). A statement that names the document has its kinds when it is planned, so
-- `kind = ANY (entry_kinds_of('recharge'))` goes by the index as a list of them would.
CREATE FUNCTION entry_kinds_of(p_document text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE p_document
    WHEN 'credit_request' THEN ARRAY['credit']
    WHEN 'recharge' THEN ARRAY['recharge', 'refund', 'late_charge', 'reversal']
    WHEN 'adjustment' THEN ARRAY['adjustment']
    WHEN 'transfer' THEN ARRAY['transfer_out', 'transfer_in']
    WHEN 'margin_batch' THEN ARRAY['margin', 'margin_back']
END;


-- The hash of an entry: SHA-256 over a text of the entry and of the hash of the seller's entry before it. So the last hash
-- of a seller stands for all entries up to it, and none of them can be changed without changing all that follow.
--
--     v1|seller|number|kind|amount|balance_after|reference|created_at|hash before
--     v2|seller|number|kind|amount|commission|balance_after|reference|created_at|hash before
--
-- v2 is of the entries that have a commission, v1 of all others. created_at is in microseconds since 1970, hashes are in
-- hexadecimal digits; the first entry that has a hash (number 1, or the first that was posted since there are hashes) has
-- nothing before it. Integers, UUIDs and hexadecimal digits are written alike in every session; credit/chain/hashes.py
-- says the same in Python. The organization is not in it: its schema may be moved to where it has another id. Nor is the
-- entry's id, which is its moment and randomness.
--
-- A column that entries get later goes into a version of its own, for the entries that have something in it. Which version
-- an entry has must follow from its row alone.
CREATE FUNCTION entry_chain_hash(
    p_seller_id bigint,
    p_number bigint,
    p_kind text,
    p_amount bigint,
    p_commission bigint,
    p_balance_after bigint,
    p_reference uuid,
    p_microseconds bigint,  -- see microseconds_of
    p_hash_before bytea
) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN sha256(convert_to(
        concat_ws(
            '|', CASE WHEN p_commission = 0 THEN 'v1' ELSE 'v2' END, p_seller_id, p_number, p_kind, p_amount,
            nullif(p_commission, 0), p_balance_after, p_reference, p_microseconds,
            coalesce(encode(p_hash_before, 'hex'), '')
        ),
        'UTF8'
    ));
END;
$$;


-- A moment, in microseconds since 1970.
CREATE FUNCTION microseconds_of(p_moment timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (extract(epoch FROM p_moment AT TIME ZONE 'UTC') * 1000000)::bigint;


-- Code of the release before calls this: a posting that began before an upgrade may end after it. The next release drops it.
CREATE FUNCTION entry_hash(
    p_seller_id bigint,
    p_number bigint,
    p_kind text,
    p_amount bigint,
    p_balance_after bigint,
    p_reference uuid,
    p_created_at timestamptz,
    p_hash_before bytea
) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN entry_chain_hash(
    p_seller_id, p_number, p_kind, p_amount, 0, p_balance_after, p_reference, microseconds_of(p_created_at),
    p_hash_before
);


-- Opens the account of a new seller: nothing is on it.
CREATE FUNCTION account_open(p_seller_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    INSERT INTO credit_account (seller_id, balance, last_number) VALUES (p_seller_id, 0, 0);
END;
$$;


-- What ledger_post did. Not posted: the balance (as it is) does not bear the amount.
CREATE TYPE ledger_posting AS (posted boolean, balance bigint, number bigint);


-- Changes a seller's balance by p_amount + p_commission Tomans and appends the entry that says so.
-- What comes (p_amount is positive) first pays what the seller owes: see recharge_collect_owed in recharge/sql/owed.sql; the
-- posting's balance is then that after it, and its number still that of the entry.
-- An account that does not exist is an error (no_data_found): sellers get theirs when they are made.
CREATE FUNCTION ledger_post(
    p_organization_id bigint,
    p_seller_id bigint,
    p_kind text,
    p_amount bigint,
    p_reference uuid,
    p_commission bigint DEFAULT 0
) RETURNS ledger_posting
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_moved constant bigint := p_amount + p_commission;
    v_posting ledger_posting;
    v_now timestamptz;
    v_hash bytea;
    v_alert_below bigint;
    v_balance_before bigint;
BEGIN
    PERFORM seller_lock(p_organization_id, p_seller_id);

    -- Not now(), which is when the transaction began: it may have waited for the lock since, and a seller's entries must
    -- not run backwards in time.
    v_now := clock_timestamp();
    -- The condition is looked at again by PostgreSQL if the row changed while this waited: right without the lock too.
    -- The upper bound is the largest integer that every JSON reader holds exactly.
    UPDATE credit_account AS account
    SET balance = account.balance + v_moved,
        last_number = account.last_number + 1,
        last_moment = seller_moment(v_now, account.last_moment),
        ran_back = account.ran_back OR coalesce(account.last_moment > seller_moment(v_now, account.last_moment), false),
        last_hash = entry_chain_hash(
            p_seller_id, account.last_number + 1, p_kind, p_amount, p_commission, account.balance + v_moved, p_reference,
            microseconds_of(seller_moment(v_now, account.last_moment)), account.last_hash
        )
    WHERE account.seller_id = p_seller_id
        AND account.balance + v_moved BETWEEN 0 AND 9007199254740991
    RETURNING
        true, account.balance, account.last_number, account.last_moment, account.last_hash, account.alert_below
    INTO v_posting.posted, v_posting.balance, v_posting.number, v_now, v_hash, v_alert_below;

    IF NOT FOUND THEN
        SELECT false, account.balance, NULL INTO STRICT v_posting
        FROM credit_account AS account WHERE account.seller_id = p_seller_id;
        RETURN v_posting;
    END IF;
    v_balance_before := v_posting.balance - v_moved;

    INSERT INTO credit_entry (
        id, seller_id, number, kind, amount, commission, balance_after, reference, created_at, hash
    )
    VALUES (
        uuid7_at(v_now), p_seller_id, v_posting.number, p_kind, p_amount, p_commission, v_posting.balance, p_reference,
        v_now, v_hash
    );

    IF p_amount > 0 THEN
        v_posting.balance := coalesce(recharge_collect_owed(p_organization_id, p_seller_id), v_posting.balance);
        -- A seller without a threshold, or who was above it, has no alert to be cleared.
        IF v_balance_before < v_alert_below AND v_posting.balance >= v_alert_below THEN
            PERFORM alert_clear('balance_low', p_seller_id::text);
        END IF;
    ELSIF v_posting.balance < v_alert_below AND v_balance_before >= v_alert_below THEN
        PERFORM alert_balance_low(p_seller_id, v_posting.balance, v_alert_below);
    END IF;
    RETURN v_posting;
END;
$$;


-- The same for several amounts of one kind that takes, in their order, and their commissions: all are posted, or (the
-- balance does not bear them) an error is raised; whoever calls this has looked at the balance under the seller's lock. Only
-- the last balance is compared, which is right because none of them adds to it: if that is not negative, none was. Balances
-- and hashes are made one after the other, in a loop that touches no table.
CREATE FUNCTION ledger_post_many(
    p_organization_id bigint,
    p_seller_id bigint,
    p_kind text,
    p_amounts bigint[],
    p_references uuid[],
    p_commissions bigint[] DEFAULT NULL  -- NULL: there are none
) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_commissions constant bigint[] := coalesce(p_commissions, array_fill(0::bigint, ARRAY[cardinality(p_amounts)]));
    v_balance bigint;
    v_number bigint;
    v_now timestamptz;
    v_microseconds bigint;
    v_hash bytea;
    v_hashes bytea[];
    v_balances bigint[];
    v_left bigint;
    v_alert_below bigint;
    v_last timestamptz;
BEGIN
    PERFORM seller_lock(p_organization_id, p_seller_id);

    -- Held until the end: right without the seller's lock, too.
    SELECT account.balance, account.last_number, account.last_moment, account.last_hash, account.alert_below
    INTO STRICT v_balance, v_number, v_last, v_hash, v_alert_below
    FROM credit_account AS account WHERE account.seller_id = p_seller_id
    FOR NO KEY UPDATE;

    v_now := seller_moment(clock_timestamp(), v_last);
    v_left := v_balance;
    v_microseconds := microseconds_of(v_now);
    FOR i IN 1..cardinality(p_amounts) LOOP
        v_left := v_left + p_amounts[i] + v_commissions[i];
        v_hash := entry_chain_hash(
            p_seller_id, v_number + i, p_kind, p_amounts[i], v_commissions[i], v_left, p_references[i],
            v_microseconds + i, v_hash
        );
        v_balances[i] := v_left;
        v_hashes[i] := v_hash;
    END LOOP;
    IF v_left NOT BETWEEN 0 AND 9007199254740991 THEN
        RAISE no_data_found USING MESSAGE = 'the balance does not bear what is to be posted';
    END IF;
    UPDATE credit_account
    SET balance = v_left,
        last_number = v_number + cardinality(p_amounts),
        last_moment = v_now + cardinality(p_amounts) * interval '1 microsecond',
        ran_back = ran_back OR coalesce(v_last > v_now, false),
        last_hash = v_hash
    WHERE seller_id = p_seller_id;

    INSERT INTO credit_entry (
        id, seller_id, number, kind, amount, commission, balance_after, reference, created_at, hash
    )
    SELECT
        given.id, p_seller_id, v_number + given.i, p_kind, given.amount, given.commission, given.balance, given.reference,
        v_now + given.i * interval '1 microsecond', given.hash
    FROM unnest(
        uuid7s_after(v_now, cardinality(p_amounts)), p_amounts, v_commissions, v_balances, p_references, v_hashes
    ) WITH ORDINALITY AS given (id, amount, commission, balance, reference, hash, i)
    ORDER BY given.i;

    IF v_left < v_alert_below AND v_balance >= v_alert_below THEN
        PERFORM alert_balance_low(p_seller_id, v_left, v_alert_below);
    END IF;
END;
$$;


-- Entries are append-only for whoever uses the application's role, its superusers included.
CREATE FUNCTION credit_entry_refuse_change() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION 'entries are append-only: % refused', TG_OP
        USING ERRCODE = 'restrict_violation', HINT = 'Post an entry that undoes it.';
END;
$$;

CREATE TRIGGER credit_entry_append_only
BEFORE UPDATE OR DELETE ON credit_entry
FOR EACH STATEMENT EXECUTE FUNCTION credit_entry_refuse_change();

CREATE TRIGGER credit_entry_not_emptied
BEFORE TRUNCATE ON credit_entry
FOR EACH STATEMENT EXECUTE FUNCTION credit_entry_refuse_change();


-- Room on each page for the next version of a row: an update that stays on its page touches no index.
ALTER TABLE credit_account SET (fillfactor = 50);

-- With the defaults, 50 changes have a small table vacuumed and analyzed, which these tables reach every minute: an
-- account's old versions are pruned by the updates themselves, and the plans here don't wait for statistics. Each time,
-- every connection looks through all the plans that it keeps, of all organizations (0.2 ms with 120 of them), and one
-- that falls 4,096 such messages behind makes all of its plans anew (tests/bench, table "width").
ALTER TABLE credit_account SET (autovacuum_vacuum_threshold = 5000, autovacuum_analyze_threshold = 5000);
ALTER TABLE credit_entry SET (autovacuum_vacuum_insert_threshold = 5000, autovacuum_analyze_threshold = 5000);
