-- Sums of the recharges of some days, by day, by operator, by seller and of all.
--
-- Each recharge counts for the day on which it was sold, and as what it was when that day ended: what a day's report said
-- the next morning it says for ever. What became of it since is summed up beside that (day_sales in days.sql). Days that a
-- worker has summed up, and that have not changed since, are read from the sums; the others are summed up now.
--
-- %(bounds)s are the moments at which the days begin, and that at which the last ends; days are made by whoever asks,
-- since they begin where the reader is. Of sellers, the %(most_sellers)s with most Tomans delivered (place), and as many with
-- most Tomans that failed (place_of_losses; NULL: nothing of theirs has failed).
--
-- delivered and net are as recharge/reports/sums.py has them.

WITH counted AS (SELECT * FROM report_sales(%(bounds)s::timestamptz[])),

sums AS (
    SELECT
        grouping(day) = 0 AS by_day,
        grouping(operator) = 0 AS by_operator,
        grouping(seller_id) = 0 AS by_seller,
        day,
        operator,
        seller_id,
        coalesce(sum(recharges) FILTER (WHERE was = 'succeeded'), 0)::bigint AS delivered,
        coalesce(sum(amount) FILTER (WHERE was = 'succeeded'), 0)::bigint AS delivered_amount,
        coalesce(sum(recharges) FILTER (WHERE was = 'failed'), 0)::bigint AS failed,
        coalesce(sum(amount) FILTER (WHERE was = 'failed'), 0)::bigint AS failed_amount,
        coalesce(sum(recharges) FILTER (WHERE 'failed' IN (was, is_now)), 0)::bigint AS ever_failed,
        coalesce(sum(recharges) FILTER (WHERE was = 'open'), 0)::bigint AS open,
        coalesce(sum(amount) FILTER (WHERE was <> 'failed'), 0)::bigint AS net_amount,
        coalesce(sum(recharges) FILTER (WHERE was = 'succeeded' AND is_now = 'failed'), 0)::bigint AS taken_back,
        coalesce(sum(amount) FILTER (WHERE was = 'succeeded' AND is_now = 'failed'), 0)::bigint AS taken_back_amount,
        coalesce(sum(recharges) FILTER (WHERE was = 'failed' AND is_now = 'succeeded'), 0)::bigint AS delivered_after_all,
        coalesce(sum(amount) FILTER (WHERE was = 'failed' AND is_now = 'succeeded'), 0)::bigint
            AS delivered_after_all_amount,
        coalesce(sum(recharges) FILTER (WHERE was = 'open' AND is_now = 'succeeded'), 0)::bigint AS delivered_later,
        coalesce(sum(amount) FILTER (WHERE was = 'open' AND is_now = 'succeeded'), 0)::bigint AS delivered_later_amount,
        coalesce(sum(recharges) FILTER (WHERE was = 'open' AND is_now = 'failed'), 0)::bigint AS refunded_later,
        coalesce(sum(amount) FILTER (WHERE was = 'open' AND is_now = 'failed'), 0)::bigint AS refunded_later_amount,
        -- Of the delivered ones.
        coalesce(sum(recharges) FILTER (WHERE was = 'succeeded' AND training), 0)::bigint AS training_delivered,
        coalesce(sum(amount) FILTER (WHERE was = 'succeeded' AND training), 0)::bigint AS training_delivered_amount,
        -- What sellers earned: a recharge's commission counts where its amount does.
        coalesce(sum(commission) FILTER (WHERE was = 'succeeded'), 0)::bigint AS delivered_commission,
        coalesce(sum(commission) FILTER (WHERE was = 'succeeded' AND is_now = 'failed'), 0)::bigint
            AS taken_back_commission,
        coalesce(sum(commission) FILTER (WHERE was = 'failed' AND is_now = 'succeeded'), 0)::bigint
            AS delivered_after_all_commission,
        coalesce(sum(commission) FILTER (WHERE was = 'open' AND is_now = 'succeeded'), 0)::bigint
            AS delivered_later_commission,
        coalesce(sum(margin), 0)::bigint AS margins
    FROM counted
    GROUP BY GROUPING SETS ((), (day), (operator), (seller_id))
),

ranked AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY by_seller ORDER BY delivered_amount DESC, delivered DESC, seller_id) AS place,
        CASE WHEN by_seller AND ever_failed > 0 THEN row_number() OVER (
            PARTITION BY by_seller, ever_failed > 0 ORDER BY failed_amount DESC, failed DESC, seller_id
        ) END AS place_of_losses
    FROM sums
)

SELECT ranked.by_day, ranked.by_operator, ranked.by_seller, ranked.day, ranked.operator, ranked.seller_id,
    seller_name(ranked.seller_id),
    ranked.place, ranked.place_of_losses,
    ranked.delivered, ranked.delivered_amount, ranked.failed, ranked.failed_amount, ranked.open, ranked.net_amount,
    ranked.taken_back, ranked.taken_back_amount, ranked.delivered_after_all, ranked.delivered_after_all_amount,
    ranked.delivered_later, ranked.delivered_later_amount, ranked.refunded_later, ranked.refunded_later_amount,
    ranked.taken_back_commission, ranked.delivered_after_all_commission, ranked.delivered_later_commission,
    ranked.delivered_commission, ranked.training_delivered, ranked.training_delivered_amount, ranked.margins
FROM ranked
WHERE (NOT ranked.by_seller OR least(ranked.place, ranked.place_of_losses) <= %(most_sellers)s)
    AND NOT (ranked.by_operator AND ranked.operator IS NULL)  -- margins
ORDER BY ranked.by_seller, ranked.place
