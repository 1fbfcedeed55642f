-- How much may be sold: per sale, per day, per number and day, and at which hours; of all sellers, or of one. They are
-- decided under the seller's lock, by one row a seller (recharge_sellerday) that has what was sold on the day and not
-- refunded.

-- The limits of a seller: each his own, or, where he has none, that of all (the two hours are one limit); and the day of
-- the organization's in which a moment is. version is another one whenever any of them was settled anew.
CREATE TYPE recharge_limits AS (
    per_sale bigint, per_day bigint, sales_per_day integer, per_number_per_day bigint, from_hour integer, to_hour integer,
    version bigint, time_zone text, day date, hour integer, day_begins timestamptz, day_ends timestamptz
);

CREATE FUNCTION recharge_limits_of(p_seller_id bigint, p_moment timestamptz) RETURNS recharge_limits
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_limits recharge_limits;
    v_here timestamp;
BEGIN
    v_limits.time_zone := organization_time_zone();
    SELECT
        coalesce(own.per_sale, everybody.per_sale), coalesce(own.per_day, everybody.per_day),
        coalesce(own.sales_per_day, everybody.sales_per_day),
        coalesce(own.per_number_per_day, everybody.per_number_per_day),
        CASE WHEN coalesce(own.from_hour, own.to_hour) IS NULL THEN everybody.from_hour ELSE own.from_hour END,
        CASE WHEN coalesce(own.from_hour, own.to_hour) IS NULL THEN everybody.to_hour ELSE own.to_hour END,
        coalesce(greatest(own.id, everybody.id), 0)
    INTO
        v_limits.per_sale, v_limits.per_day, v_limits.sales_per_day, v_limits.per_number_per_day, v_limits.from_hour,
        v_limits.to_hour, v_limits.version
    FROM (SELECT) AS always
    LEFT JOIN recharge_limit AS own ON own.seller_id = p_seller_id
    LEFT JOIN recharge_limit AS everybody ON everybody.seller_id IS NULL;
    v_here := p_moment AT TIME ZONE v_limits.time_zone;
    v_limits.day := v_here::date;
    v_limits.hour := extract(hour FROM v_here);
    v_limits.day_begins := v_limits.day::timestamp AT TIME ZONE v_limits.time_zone;
    v_limits.day_ends := (v_limits.day + 1)::timestamp AT TIME ZONE v_limits.time_zone;
    RETURN v_limits;
END;
$$;


-- What a seller has sold on the day, and not had refunded: how many, and their Tomans. By his row, if it counts this day
-- and has counted all of it, or else by the recharges themselves. Where there is no limit of a day, nobody counts; so a row
-- from before the limits were settled anew (or, another day, from before the time zone was) says nothing.
CREATE FUNCTION recharge_sold_on(
    p_seller_id bigint, p_limits recharge_limits, OUT sales integer, OUT amount bigint
)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    SELECT known.sales, known.amount INTO sales, amount FROM recharge_sellerday AS known
    WHERE known.seller_id = p_seller_id AND known.begins_at = p_limits.day_begins
        AND known.ends_at = p_limits.day_ends AND known.version = p_limits.version;
    IF NOT FOUND THEN
        SELECT count(*), coalesce(sum(recharge.amount), 0) INTO sales, amount FROM recharge_recharge AS recharge
        WHERE recharge.seller_id = p_seller_id AND recharge.status <> 'failed'
            AND recharge.id >= uuid7_floor(p_limits.day_begins)
            AND recharge.created_at >= p_limits.day_begins AND recharge.created_at < p_limits.day_ends;
    END IF;
END;
$$;


-- Tomans that a seller has sold to a number on the day, and not had refunded.
CREATE FUNCTION recharge_sold_to(
    p_seller_id bigint, p_phone_number text, p_day_begins timestamptz, p_day_ends timestamptz
) RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN (
        SELECT coalesce(sum(amount), 0)::bigint FROM recharge_recharge
        WHERE phone_number = p_phone_number AND seller_id + 0 = p_seller_id AND status <> 'failed'
            AND id >= uuid7_floor(p_day_begins) AND created_at >= p_day_begins AND created_at < p_day_ends
    );
END;
$$;


-- The first limit that a sale would pass, as a client is told of it; NULL: none. p_sales, p_sold and p_to_number are what
-- was sold before.
CREATE FUNCTION recharge_limit_passed(
    p_limits recharge_limits, p_amount bigint, p_sales integer, p_sold bigint, p_to_number bigint
) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_limit text;
    v_allowed bigint;
    v_used bigint;
    v_resets_at timestamptz := p_limits.day_ends;
BEGIN
    CASE
        WHEN p_limits.hour < p_limits.from_hour THEN
            v_limit := 'from_hour';
            v_allowed := p_limits.from_hour;
            v_used := p_limits.hour;
            v_resets_at := (p_limits.day + make_interval(hours => p_limits.from_hour)) AT TIME ZONE p_limits.time_zone;
        WHEN p_limits.hour >= p_limits.to_hour THEN
            v_limit := 'to_hour';
            v_allowed := p_limits.to_hour;
            v_used := p_limits.hour;
            v_resets_at := (p_limits.day + 1 + make_interval(hours => coalesce(p_limits.from_hour, 0)))
                AT TIME ZONE p_limits.time_zone;
        WHEN p_amount > p_limits.per_sale THEN
            v_limit := 'per_sale';
            v_allowed := p_limits.per_sale;
            v_used := 0;
            v_resets_at := NULL;
        WHEN p_sales + 1 > p_limits.sales_per_day THEN
            v_limit := 'sales_per_day';
            v_allowed := p_limits.sales_per_day;
            v_used := p_sales;
        WHEN p_sold + p_amount > p_limits.per_day THEN
            v_limit := 'per_day';
            v_allowed := p_limits.per_day;
            v_used := p_sold;
        WHEN p_to_number + p_amount > p_limits.per_number_per_day THEN
            v_limit := 'per_number_per_day';
            v_allowed := p_limits.per_number_per_day;
            v_used := p_to_number;
        ELSE
            RETURN NULL;
    END CASE;
    RETURN jsonb_build_object('limit', v_limit, 'allowed', v_allowed, 'used', v_used, 'resets_at', rfc3339(v_resets_at));
END;
$$;


-- What a single sale would pass, all looked up.
CREATE FUNCTION recharge_limit_passed_by(
    p_limits recharge_limits, p_seller_id bigint, p_phone_number text, p_amount bigint
) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_sales integer;
    v_sold bigint;
    v_to_number bigint;
BEGIN
    IF p_limits.per_day IS NOT NULL OR p_limits.sales_per_day IS NOT NULL THEN
        SELECT sales, amount INTO v_sales, v_sold FROM recharge_sold_on(p_seller_id, p_limits);
    END IF;
    IF p_limits.per_number_per_day IS NOT NULL THEN
        v_to_number := recharge_sold_to(
            p_seller_id, p_phone_number, p_limits.day_begins, p_limits.day_ends
        );
    END IF;
    RETURN recharge_limit_passed(p_limits, p_amount, v_sales, v_sold, v_to_number);
END;
$$;


-- Keeps what was counted of the day, where the row does not say it yet: of the recharges that there are. Also of a seller
-- whose sales are all refused, or each would count them anew. Under the seller's lock.
CREATE FUNCTION recharge_keep_count(p_limits recharge_limits, p_seller_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_sales integer;
    v_sold bigint;
BEGIN
    IF p_limits.per_day IS NULL AND p_limits.sales_per_day IS NULL OR EXISTS (
        SELECT FROM recharge_sellerday AS known
        WHERE known.seller_id = p_seller_id AND known.begins_at = p_limits.day_begins
            AND known.ends_at = p_limits.day_ends AND known.version = p_limits.version
    ) THEN
        RETURN;
    END IF;
    SELECT sold.sales, sold.amount INTO v_sales, v_sold FROM recharge_sold_on(p_seller_id, p_limits) AS sold;
    INSERT INTO recharge_sellerday (seller_id, begins_at, ends_at, version, sales, amount)
    VALUES (p_seller_id, p_limits.day_begins, p_limits.day_ends, p_limits.version, v_sales, v_sold)
    ON CONFLICT (seller_id) DO UPDATE SET
        begins_at = excluded.begins_at, ends_at = excluded.ends_at, version = excluded.version,
        sales = excluded.sales, amount = excluded.amount;
END;
$$;


-- Counts what has just been sold on the day. A row that counts from the beginning is made of the recharges that there are,
-- these among them.
CREATE FUNCTION recharge_count_sold(
    p_limits recharge_limits, p_seller_id bigint, p_sales integer, p_amount bigint
) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
BEGIN
    IF p_limits.per_day IS NULL AND p_limits.sales_per_day IS NULL THEN
        RETURN;
    END IF;
    UPDATE recharge_sellerday AS known SET sales = known.sales + p_sales, amount = known.amount + p_amount
    WHERE known.seller_id = p_seller_id AND known.begins_at = p_limits.day_begins
        AND known.ends_at = p_limits.day_ends AND known.version = p_limits.version;
    IF NOT FOUND THEN
        PERFORM recharge_keep_count(p_limits, p_seller_id);
    END IF;
END;
$$;


-- The same of a recharge that failed or was taken back (p_sales is -1), or was delivered after all (1): it counts for the
-- day on which it was sold. Called under the seller's lock, before the recharge's row says so.
CREATE FUNCTION recharge_count_settled(p_recharge recharge_recharge, p_sales integer) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
BEGIN
    UPDATE recharge_sellerday AS known
    SET sales = known.sales + p_sales, amount = known.amount + p_sales * p_recharge.amount
    WHERE known.seller_id = p_recharge.seller_id
        AND known.begins_at <= p_recharge.created_at AND p_recharge.created_at < known.ends_at;
END;
$$;


-- What the limits of a seller leave him now: they, and what he has sold on the day, where a limit asks for it. NULLs: there
-- are no limits.
CREATE FUNCTION recharge_room(p_seller_id bigint, OUT limits recharge_limits, OUT sales integer, OUT amount bigint)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    IF EXISTS (SELECT FROM recharge_settings WHERE has_limits) THEN
        limits := recharge_limits_of(p_seller_id, clock_timestamp());
        IF limits.per_day IS NOT NULL OR limits.sales_per_day IS NOT NULL THEN
            SELECT sold.sales, sold.amount INTO sales, amount FROM recharge_sold_on(p_seller_id, limits) AS sold;
        END IF;
    END IF;
END;
$$;


-- Settles the limits of a seller, or (NULL) of all; a limit that is NULL is none. Each time it is a new row, whose id is the
-- limits' version: what was counted before is not relied upon, and the next sale counts anew. Gives the row, and the one
-- whose place it takes (NULL: there was none); NULL where there is no such seller.
CREATE FUNCTION recharge_limits_set(
    p_seller_id bigint,
    p_per_sale bigint,
    p_per_day bigint,
    p_sales_per_day integer,
    p_per_number_per_day bigint,
    p_from_hour integer,
    p_to_hour integer,
    OUT settled recharge_limit,
    OUT before recharge_limit
)
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '3s'
AS $$
DECLARE
    v_has_limits boolean;
BEGIN
    -- Two who settle at once: one after the other. Sales only read, and don't wait.
    LOCK TABLE recharge_limit IN SHARE ROW EXCLUSIVE MODE;
    IF p_seller_id IS NOT NULL AND NOT EXISTS (SELECT FROM credit_seller WHERE id = p_seller_id) THEN
        RETURN;
    END IF;
    DELETE FROM recharge_limit WHERE seller_id IS NOT DISTINCT FROM p_seller_id RETURNING * INTO before;
    INSERT INTO recharge_limit (
        seller_id, per_sale, per_day, sales_per_day, per_number_per_day, from_hour, to_hour
    )
    VALUES (p_seller_id, p_per_sale, p_per_day, p_sales_per_day, p_per_number_per_day, p_from_hour, p_to_hour)
    RETURNING * INTO settled;
    v_has_limits := EXISTS (
        SELECT FROM recharge_limit
        WHERE coalesce(per_sale, per_day, sales_per_day, per_number_per_day, from_hour, to_hour) IS NOT NULL
    );
    PERFORM recharge_note(p_has_limits => v_has_limits);
END;
$$;


-- Each sale of a seller who has a limit of a day changes his row: see credit_account in credit/sql/ledger.sql.
ALTER TABLE recharge_sellerday SET (
    fillfactor = 50, autovacuum_vacuum_threshold = 5000, autovacuum_analyze_threshold = 5000
);
