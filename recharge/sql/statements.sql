-- Statements: what was on a seller's account in a period, as a document that is kept. recharge/statements says of what text
-- its digest is (digests.py), and who makes one (services.py).

-- The number of the seller's last entry before a moment; 0: there is none. Of moments in their order these numbers never fall,
-- so statements of periods that follow each other have every entry once, whatever a clock did: where it was set back, an
-- entry belongs to the period in which those before it have been reached.
CREATE FUNCTION statement_last_before(p_seller_id bigint, p_moment timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_newest timestamptz;
BEGIN
    IF EXISTS (SELECT FROM credit_account WHERE seller_id = p_seller_id AND ran_back) THEN
        RETURN coalesce(
            (SELECT max(number) FROM credit_entry WHERE seller_id = p_seller_id AND id < uuid7_floor(p_moment)), 0
        );
    END IF;
    SELECT created_at INTO v_newest FROM credit_entry
    WHERE seller_id = p_seller_id AND id < uuid7_floor(p_moment)
    ORDER BY id DESC LIMIT 1;
    -- Entries from before there was ran_back may be out of order by a little (_SLACK in credit/queries.py).
    RETURN coalesce(
        (
            SELECT max(number) FROM credit_entry
            WHERE seller_id = p_seller_id AND id < uuid7_floor(p_moment)
                AND id >= uuid7_floor(v_newest - interval '5 minutes')
        ),
        0
    );
END;
$$;


-- Makes the statement of a seller's days, or finds the one that was made before, if no entry has come since.
--   created    the row is new
--   replayed   there is one of these days and entries already; the row
--   no_seller  there is no such seller
--   future     the last day has not begun yet in the organization's time zone
--   too_many   there are more than p_most entries; how many comes along
-- Whoever calls this has held the seller's lock a moment ago, after the period's end or now: so what is not committed yet is
-- of a later moment. It takes no lock itself: entries up to a number never change, and reading many takes long.
CREATE FUNCTION statement_make(
    p_seller_id bigint,
    p_first_day date,
    p_last_day date,
    p_most bigint,
    p_made_by text,
    p_made_by_id bigint,
    OUT outcome text,
    OUT entries bigint,
    OUT statement recharge_statement
)
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    v_zone constant text := organization_time_zone();
    v_starts constant timestamptz := p_first_day::timestamp AT TIME ZONE v_zone;
    v_ends constant timestamptz := (p_last_day + 1)::timestamp AT TIME ZONE v_zone;
    v_name text;
    v_first bigint;
    v_last bigint;
    v_opening bigint;
    v_closing bigint;
    v_last_hash bytea;
    v_totals jsonb;
    v_totals_text text;
    v_blocks text;
BEGIN
    SELECT name INTO v_name FROM credit_seller WHERE id = p_seller_id;
    IF NOT FOUND THEN
        outcome := 'no_seller';
        RETURN;
    END IF;
    IF p_last_day > (clock_timestamp() AT TIME ZONE v_zone)::date THEN
        outcome := 'future';
        RETURN;
    END IF;

    v_first := statement_last_before(p_seller_id, v_starts) + 1;
    v_last := statement_last_before(p_seller_id, v_ends);
    SELECT * INTO statement FROM recharge_statement AS made
    WHERE made.seller_id = p_seller_id AND made.first_day = p_first_day AND made.last_day = p_last_day
        AND made.starts_at = v_starts AND made.ends_at = v_ends
        AND made.first_number = v_first AND made.last_number = v_last;
    IF FOUND THEN
        outcome := 'replayed';
        RETURN;
    END IF;
    entries := v_last - v_first + 1;
    IF entries > p_most THEN
        outcome := 'too_many';
        RETURN;
    END IF;

    SELECT coalesce(max(entry.balance_after), 0) INTO v_opening FROM credit_entry AS entry
    WHERE entry.seller_id = p_seller_id AND entry.number = v_first - 1;
    SELECT entry.balance_after, entry.hash INTO v_closing, v_last_hash FROM credit_entry AS entry
    WHERE entry.seller_id = p_seller_id AND entry.number = v_last;

    SELECT
        coalesce(
            jsonb_object_agg(
                of_kind.kind,
                jsonb_build_object(
                    'entries', of_kind.entries, 'amount', of_kind.amount, 'commission', of_kind.commission
                )
            ),
            '{}'
        ),
        coalesce(
            string_agg(
                concat_ws(':', of_kind.kind, of_kind.entries, of_kind.amount, of_kind.commission),
                ',' ORDER BY of_kind.kind COLLATE "C"
            ),
            ''
        )
    INTO v_totals, v_totals_text
    FROM (
        SELECT
            entry.kind, count(*) AS entries, sum(entry.amount) AS amount, sum(entry.commission) AS commission
        FROM credit_entry AS entry
        WHERE entry.seller_id = p_seller_id AND entry.number BETWEEN v_first AND v_last
        GROUP BY entry.kind
    ) AS of_kind;

    -- A thousand rows at a time: text of a hundred thousand would be 20 MB.
    SELECT string_agg(E'\n' || encode(block.digest, 'hex'), '' ORDER BY block.number)
    INTO v_blocks
    FROM (
        SELECT
            (entry.number - v_first) / 1000 AS number,
            sha256(convert_to(
                string_agg(
                    concat_ws(
                        '|', entry.number, entry.kind, entry.amount, entry.commission, entry.balance_after,
                        entry.reference, microseconds_of(entry.created_at), coalesce(recharge.phone_number, ''),
                        coalesce(encode(entry.hash, 'hex'), '')
                    ),
                    E'\n' ORDER BY entry.number
                ),
                'UTF8'
            )) AS digest
        FROM credit_entry AS entry
        LEFT JOIN recharge_recharge AS recharge ON recharge.id = entry.reference
        WHERE entry.seller_id = p_seller_id AND entry.number BETWEEN v_first AND v_last
        GROUP BY 1
    ) AS block;

    INSERT INTO recharge_statement AS made (
        id, seller_id, seller_name, first_day, last_day, time_zone, starts_at, ends_at, first_number, last_number,
        opening_balance, closing_balance, totals, digest, made_by, made_by_id, created_at
    )
    VALUES (
        uuid7_at(clock_timestamp()), p_seller_id, v_name, p_first_day, p_last_day, v_zone, v_starts, v_ends, v_first,
        v_last, v_opening, coalesce(v_closing, v_opening), v_totals,
        sha256(convert_to(
            concat_ws(
                '|', 'statement v1', p_seller_id, to_char(p_first_day, 'YYYY-MM-DD'), to_char(p_last_day, 'YYYY-MM-DD'),
                microseconds_of(v_starts), microseconds_of(v_ends), v_first, v_last, v_opening,
                coalesce(v_closing, v_opening), v_totals_text, coalesce(encode(v_last_hash, 'hex'), ''), v_name
            ) || coalesce(v_blocks, ''),
            'UTF8'
        )),
        p_made_by, p_made_by_id, clock_timestamp()
    )
    -- Two at once: it was there first.
    ON CONFLICT (seller_id, first_day, last_day, starts_at, ends_at, first_number, last_number) DO NOTHING
    RETURNING * INTO statement;
    outcome := 'created';
    IF NOT FOUND THEN
        SELECT * INTO STRICT statement FROM recharge_statement AS made
        WHERE made.seller_id = p_seller_id AND made.first_day = p_first_day AND made.last_day = p_last_day
            AND made.starts_at = v_starts AND made.ends_at = v_ends
            AND made.first_number = v_first AND made.last_number = v_last;
        outcome := 'replayed';
    END IF;
END;
$$;


CREATE TRIGGER recharge_statement_append_only
BEFORE UPDATE OR DELETE ON recharge_statement
FOR EACH STATEMENT EXECUTE FUNCTION credit_refuse_change();

CREATE TRIGGER recharge_statement_not_emptied
BEFORE TRUNCATE ON recharge_statement
FOR EACH STATEMENT EXECUTE FUNCTION credit_refuse_change();
