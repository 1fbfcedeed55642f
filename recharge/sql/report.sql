-- Sums of the recharges of some days, by day, by operator, by seller and of all, in one pass over the part of the table
-- that they fill: ids sort by time.
--
-- Each recharge counts for the day on which it was sold, and as what it was when that day ended: what a day's report said
-- the next morning it says for ever. What became of it since is summed up beside that.
--
-- %(bounds)s are the moments at which the days begin, and that at which the last ends; days are made by whoever asks,
-- since they begin where the reader is. Of sellers, the %(most_sellers)s with most Tomans delivered (place), and as many with
-- most Tomans that failed (place_of_losses; NULL: nothing of theirs has failed).
--
-- Dealers' margins are beside them, by the day of their entry and by dealer: workers post them in batches, which are of
-- no one operator.
--
-- delivered and net are as recharge/reports/sums.py has them.

WITH recharge AS (
    SELECT
        width_bucket(created_at, %(bounds)s::timestamptz[]) AS day,
        operator,
        seller_id,
        amount,
        commission,
        status,
        training,
        -- From when and until when it was delivered. What was taken back says when it had been delivered in delivered_at
        -- (one of an earlier release does not: then it was when it was sold).
        CASE
            WHEN status = 'succeeded' THEN coalesce(delivered_at, completed_at)
            WHEN late = 'reversed' OR delivered_at IS NOT NULL THEN coalesce(delivered_at, created_at)
        END AS delivered_from,
        CASE WHEN status = 'failed' AND (late = 'reversed' OR delivered_at IS NOT NULL) THEN completed_at END
            AS delivered_until,
        -- When it had failed first. Of what is plain, completed_at says that; else the refund does.
        CASE
            WHEN late = '' AND delivered_at IS NULL THEN CASE WHEN status = 'failed' THEN completed_at END
            ELSE (
                SELECT refund.created_at FROM credit_entry AS refund
                WHERE refund.kind = 'refund' AND refund.reference = sold.id
            )
        END AS failed_from
    FROM recharge_recharge AS sold
    WHERE id >= %(id__gte)s AND id < %(id__lt)s
        AND created_at >= %(created_at__gte)s AND created_at < %(created_at__lt)s
),

ended AS (
    SELECT
        recharge.*,
        CASE
            WHEN delivered_from < day_end AND (delivered_until IS NULL OR delivered_until >= day_end) THEN 'succeeded'
            WHEN failed_from < day_end OR delivered_until < day_end THEN 'failed'
            ELSE 'open'
        END AS was,
        CASE WHEN status IN ('pending', 'unknown') THEN 'open' ELSE status END AS is_now
    FROM recharge
    CROSS JOIN LATERAL (SELECT (%(bounds)s::timestamptz[])[recharge.day + 1] AS day_end) AS day_of
),

counted AS (
    SELECT day, operator, seller_id, amount, commission, training, was, is_now, 0 AS margin FROM ended
    UNION ALL
    SELECT width_bucket(created_at, %(bounds)s::timestamptz[]), NULL, seller_id, 0, 0, false, NULL, NULL, amount
    FROM credit_entry
    WHERE kind IN ('margin', 'margin_back') AND id >= %(id__gte)s AND id < %(id__lt)s
        AND created_at >= %(created_at__gte)s AND created_at < %(created_at__lt)s
),

sums AS (
    SELECT
        grouping(day) = 0 AS by_day,
        grouping(operator) = 0 AS by_operator,
        grouping(seller_id) = 0 AS by_seller,
        day,
        operator,
        seller_id,
        count(*) FILTER (WHERE was = 'succeeded') AS delivered,
        coalesce(sum(amount) FILTER (WHERE was = 'succeeded'), 0)::bigint AS delivered_amount,
        count(*) FILTER (WHERE was = 'failed') AS failed,
        coalesce(sum(amount) FILTER (WHERE was = 'failed'), 0)::bigint AS failed_amount,
        count(*) FILTER (WHERE 'failed' IN (was, is_now)) AS ever_failed,
        count(*) FILTER (WHERE was = 'open') AS open,
        coalesce(sum(amount) FILTER (WHERE was <> 'failed'), 0)::bigint AS net_amount,
        count(*) FILTER (WHERE was = 'succeeded' AND is_now = 'failed') AS taken_back,
        coalesce(sum(amount) FILTER (WHERE was = 'succeeded' AND is_now = 'failed'), 0)::bigint AS taken_back_amount,
        count(*) FILTER (WHERE was = 'failed' AND is_now = 'succeeded') AS delivered_after_all,
        coalesce(sum(amount) FILTER (WHERE was = 'failed' AND is_now = 'succeeded'), 0)::bigint
            AS delivered_after_all_amount,
        count(*) FILTER (WHERE was = 'open' AND is_now = 'succeeded') AS delivered_later,
        coalesce(sum(amount) FILTER (WHERE was = 'open' AND is_now = 'succeeded'), 0)::bigint AS delivered_later_amount,
        count(*) FILTER (WHERE was = 'open' AND is_now = 'failed') AS refunded_later,
        coalesce(sum(amount) FILTER (WHERE was = 'open' AND is_now = 'failed'), 0)::bigint AS refunded_later_amount,
        -- Of the delivered ones.
        count(*) FILTER (WHERE was = 'succeeded' AND training) AS training_delivered,
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

SELECT ranked.by_day, ranked.by_operator, ranked.by_seller, ranked.day, ranked.operator, ranked.seller_id, seller.name,
    ranked.place, ranked.place_of_losses,
    ranked.delivered, ranked.delivered_amount, ranked.failed, ranked.failed_amount, ranked.open, ranked.net_amount,
    ranked.taken_back, ranked.taken_back_amount, ranked.delivered_after_all, ranked.delivered_after_all_amount,
    ranked.delivered_later, ranked.delivered_later_amount, ranked.refunded_later, ranked.refunded_later_amount,
    ranked.taken_back_commission, ranked.delivered_after_all_commission, ranked.delivered_later_commission,
    ranked.delivered_commission, ranked.training_delivered, ranked.training_delivered_amount, ranked.margins
FROM ranked
LEFT JOIN credit_seller AS seller ON seller.id = ranked.seller_id
WHERE (NOT ranked.by_seller OR least(ranked.place, ranked.place_of_losses) <= %(most_sellers)s)
    AND NOT (ranked.by_operator AND ranked.operator IS NULL)  -- margins
ORDER BY ranked.by_seller, ranked.place
