-- Sums of the recharges of some days, by day, by operator, by seller and of all, in one pass over the part of the table
-- that they fill: ids sort by time.
--
-- %(bounds)s are the moments at which the days begin, and that at which the last ends; days are made by whoever asks,
-- since they begin where the reader is. Of sellers, the %(most_sellers)s with most Tomans.

WITH sums AS (
    SELECT
        grouping(day) = 0 AS by_day,
        grouping(operator) = 0 AS by_operator,
        grouping(seller_id) = 0 AS by_seller,
        day,
        operator,
        seller_id,
        count(*) FILTER (WHERE status = 'succeeded') AS sold,
        coalesce(sum(amount) FILTER (WHERE status = 'succeeded'), 0)::bigint AS amount,
        count(*) FILTER (WHERE status = 'failed') AS failed,
        count(*) FILTER (WHERE status IN ('pending', 'unknown')) AS open
    FROM (
        SELECT
            width_bucket(created_at, %(bounds)s::timestamptz[]) AS day,
            operator,
            seller_id,
            status,
            amount
        FROM recharge_recharge
        WHERE id >= %(id__gte)s AND id < %(id__lt)s
            AND created_at >= %(created_at__gte)s AND created_at < %(created_at__lt)s
    ) AS recharge
    GROUP BY GROUPING SETS ((), (day), (operator), (seller_id))
),

ranked AS (
    SELECT *, row_number() OVER (PARTITION BY by_seller ORDER BY amount DESC, sold DESC, seller_id) AS place
    FROM sums
)

SELECT ranked.by_day, ranked.by_operator, ranked.by_seller, ranked.day, ranked.operator, ranked.seller_id, seller.name,
    ranked.sold, ranked.amount, ranked.failed, ranked.open
FROM ranked
LEFT JOIN credit_seller AS seller ON seller.id = ranked.seller_id
WHERE NOT ranked.by_seller OR ranked.place <= %(most_sellers)s
ORDER BY ranked.by_seller, ranked.place
