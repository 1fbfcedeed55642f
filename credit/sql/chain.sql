-- Roots: once a day the last hashes of all sellers, as one. Who keeps a root elsewhere can prove every entry that it covers
-- (credit/chain/), whatever was done to this database since.

-- The hash of a day's root: SHA-256 over a text of these lines, without one at the end. Sellers ascend; a number is that of
-- the seller's last entry that the root covers, and the hash is that entry's.
--
--     root v1|day|accounts|entries|root before
--     seller|number|hash
--
-- Entries are how many the root covers: the sum of the numbers. The day is written as 2026-11-25, hashes in hexadecimal
-- digits; before the first root there is nothing. credit/chain/hashes.py says the same in Python.
CREATE FUNCTION chain_root_hash(
    p_day date,
    p_root_before bytea,
    p_sellers bigint[],
    p_numbers bigint[],
    p_hashes bytea[]
) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE
RETURN sha256(convert_to(
    (
        SELECT
            concat_ws(
                '|', 'root v1', to_char(p_day, 'YYYY-MM-DD'), count(*), coalesce(sum(covered.number), 0),
                coalesce(encode(p_root_before, 'hex'), '')
            ) || coalesce(
                string_agg(
                    concat_ws('|', E'\n' || covered.seller_id, covered.number, coalesce(encode(covered.hash, 'hex'), '')),
                    '' ORDER BY covered.seller_id
                ),
                ''
            )
        FROM unnest(p_sellers, p_numbers, p_hashes) AS covered (seller_id, number, hash)
    ),
    'UTF8'
));


-- Writes the root of a day (UTC) that is over, and tells the organization's webhooks. Which entries it covers is kept in the
-- root: so it can be proved later, also when an entry of that day is committed only after it. Such a one is covered by the
-- next root, as is what was sold on days that have none. NULL: there is a root of this day or of a later one; or there is
-- nothing to prove yet.
CREATE FUNCTION chain_root_write(p_day date) RETURNS credit_chainroot
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_end constant timestamptz := (p_day + 1)::timestamp AT TIME ZONE 'UTC';
    v_before bytea;
    v_sellers bigint[];
    v_numbers bigint[];
    v_hashes bytea[];
    v_entries bigint;
    v_written credit_chainroot;
BEGIN
    -- Workers who come at once write one root: the second waits, and then sees it. (0: see order.sql.)
    PERFORM pg_advisory_xact_lock(0, ('credit_chainroot'::regclass::oid::bigint & 2147483647)::int);
    IF EXISTS (SELECT FROM credit_chainroot WHERE day >= p_day) THEN
        RETURN NULL;
    END IF;

    SELECT
        array_agg(account.seller_id ORDER BY account.seller_id),
        array_agg(last.number ORDER BY account.seller_id),
        array_agg(last.hash ORDER BY account.seller_id)
    INTO v_sellers, v_numbers, v_hashes
    FROM credit_account AS account
    CROSS JOIN LATERAL (
        SELECT entry.number, entry.hash FROM credit_entry AS entry
        WHERE entry.seller_id = account.seller_id AND entry.id < uuid7_floor(v_end)
        ORDER BY entry.id DESC
        LIMIT 1
    ) AS last
    WHERE last.hash IS NOT NULL;
    IF v_sellers IS NULL THEN
        RETURN NULL;
    END IF;

    SELECT root INTO v_before FROM credit_chainroot ORDER BY day DESC LIMIT 1;
    v_entries := (SELECT sum(number) FROM unnest(v_numbers) AS number);
    INSERT INTO credit_chainroot (day, root, accounts, entries, sellers, numbers, created_at)
    VALUES (
        p_day, chain_root_hash(p_day, v_before, v_sellers, v_numbers, v_hashes), cardinality(v_sellers), v_entries,
        v_sellers, v_numbers, clock_timestamp()
    )
    RETURNING * INTO v_written;

    PERFORM webhook_emit(
        'chain.root',
        NULL,
        jsonb_build_object(
            'day', v_written.day,
            'root', encode(v_written.root, 'hex'),
            'root_before', encode(v_before, 'hex'),
            'accounts', v_written.accounts,
            'entries', v_written.entries
        )
    );
    RETURN v_written;
END;
$$;


-- Writes the root of the last day that is over for five minutes, unless it is there: what was begun on that day is
-- committed by then. NULL as above.
CREATE FUNCTION chain_root_make() RETURNS credit_chainroot
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN chain_root_write((clock_timestamp() AT TIME ZONE 'UTC' - interval '5 minutes')::date - 1);
END;
$$;
