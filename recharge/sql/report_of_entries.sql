-- Sums of what was posted for recharges on some days, by day, by operator, by seller and of all: each entry counts for its
-- own day. So a day that is over says the same for ever. Dealers' margins are beside them, of no operator: a batch is of
-- recharges of several. Days that a worker has summed up are read from the sums (days.sql).
--
-- %(bounds)s and the two places of sellers are as report.sql has them: those with most Tomans sold, and those with most given
-- back.

WITH posted AS (SELECT * FROM report_postings(%(bounds)s::timestamptz[])),

-- What an entry is to the report: one of these for each kind that is posted for recharges.
told AS (
    SELECT
        *,
        kind = 'recharge' AS sells,
        kind IN ('refund', 'reversal') AS gives_back,
        kind = 'late_charge' AS charges_late,
        kind IN ('margin', 'margin_back') AS is_margin
    FROM posted
),

sums AS (
    SELECT
        grouping(day) = 0 AS by_day,
        grouping(operator) = 0 AS by_operator,
        grouping(seller_id) = 0 AS by_seller,
        day,
        operator,
        seller_id,
        coalesce(sum(entries) FILTER (WHERE sells), 0)::bigint AS sold,
        coalesce(-sum(amount) FILTER (WHERE sells), 0)::bigint AS sold_amount,
        coalesce(sum(entries) FILTER (WHERE gives_back), 0)::bigint AS given_back,
        coalesce(sum(amount) FILTER (WHERE gives_back), 0)::bigint AS given_back_amount,
        coalesce(sum(entries) FILTER (WHERE charges_late), 0)::bigint AS charged_late,
        coalesce(-sum(amount) FILTER (WHERE charges_late), 0)::bigint AS charged_late_amount,
        -- Each recharge that was sold on these days, and stands refunded at their end.
        coalesce(sum(
            CASE WHEN gives_back THEN entries WHEN charges_late THEN -entries END
        ) FILTER (WHERE is_earlier IS NOT TRUE), 0)::bigint AS sold_refunded,
        coalesce(sum(commission), 0)::bigint AS commission,
        coalesce(sum(entries) FILTER (WHERE is_earlier), 0)::bigint AS earlier,
        coalesce(-sum(amount) FILTER (WHERE is_earlier), 0)::bigint AS earlier_amount,
        coalesce(sum(amount) FILTER (WHERE is_margin), 0)::bigint AS margins
    FROM told
    GROUP BY GROUPING SETS ((), (day), (operator), (seller_id))
),

ranked AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY by_seller ORDER BY sold_amount DESC, sold DESC, seller_id) AS place,
        CASE WHEN by_seller AND given_back > 0 THEN row_number() OVER (
            PARTITION BY by_seller, given_back > 0 ORDER BY given_back_amount DESC, given_back DESC, seller_id
        ) END AS place_of_losses
    FROM sums
)

SELECT ranked.by_day, ranked.by_operator, ranked.by_seller, ranked.day, ranked.operator, ranked.seller_id,
    seller_name(ranked.seller_id),
    ranked.place, ranked.place_of_losses,
    ranked.sold, ranked.sold_amount, ranked.given_back, ranked.given_back_amount, ranked.charged_late,
    ranked.charged_late_amount, ranked.sold_refunded, ranked.commission, ranked.earlier, ranked.earlier_amount,
    ranked.margins
FROM ranked
WHERE (NOT ranked.by_seller OR least(ranked.place, ranked.place_of_losses) <= %(most_sellers)s)
    AND NOT (ranked.by_operator AND ranked.operator IS NULL)  -- margins
ORDER BY ranked.by_seller, ranked.place
