-- Proves an organization's books from the tables alone: every row that this returns is at fault. As sets, in one statement,
-- and so of one snapshot: it may run while sales go on.
--
-- It follows the head that says what is looked at: everything (reconcile_all.sql), or what came since everything was proved
-- (reconcile_since.sql). Both have the same sets, so that a rule is said once. A rule begins with one of them, or with a
-- table that does not grow with sales, and looks the rest up in the tables. It calls no function that reads a table, which
-- Citus would not carry out with it: what such functions know (margins_of, period_totals) is said once more here, as a proof
-- may. Sums of days are left to days_differ (days.sql), and what keeps the rest true to reconcile_guards.sql.
--
-- Columns: the invariant (its number in ARCHITECTURE.md), the check's name, the seller, the row at fault, and what is wrong.

-- What the root of each day would be of the entries as they are.
roots_now AS (
    SELECT
        roots.day,
        sum(covered.number) AS entries,
        count(covered.number) AS accounts,
        count(*) FILTER (WHERE entry.hash IS NULL) AS without_hash,
        chain_root_hash(
            roots.day,
            roots.root_before,
            array_agg(covered.seller_id ORDER BY covered.seller_id),
            array_agg(covered.number ORDER BY covered.seller_id),
            array_agg(entry.hash ORDER BY covered.seller_id)
        ) AS root_now
    FROM checked_root AS roots
    CROSS JOIN LATERAL unnest(roots.sellers, roots.numbers) AS covered (seller_id, number)
    LEFT JOIN credit_entry AS entry ON entry.seller_id = covered.seller_id AND entry.number = covered.number
    GROUP BY roots.day, roots.root, roots.root_before
)

SELECT 1 AS invariant, 'balance_negative' AS fault, seller_id, seller_id::text AS row_at_fault,
    format('the balance is %s', balance) AS detail
FROM credit_account WHERE balance < 0

UNION ALL
SELECT 2, 'account_missing', seller.id, seller.id::text, 'the seller has no account'
FROM credit_seller AS seller LEFT JOIN credit_account AS account ON account.seller_id = seller.id
WHERE account.seller_id IS NULL

UNION ALL
SELECT 2, 'entries_without_account', totals.seller_id, totals.seller_id::text, 'there are entries, but no account'
FROM totals LEFT JOIN credit_account AS account USING (seller_id)
WHERE account.seller_id IS NULL AND totals.last_number > 0

UNION ALL
SELECT 2, 'balance_differs_from_entries', account.seller_id, account.seller_id::text,
    format('the balance is %s, the entries add up to %s', account.balance, totals.balance)
FROM totals INNER JOIN credit_account AS account USING (seller_id)
WHERE account.balance <> totals.balance

UNION ALL
SELECT 2, 'balance_differs_from_last_entry', account.seller_id, account.seller_id::text,
    format('the balance is %s, the last entry left %s', account.balance, totals.last_balance)
FROM totals INNER JOIN credit_account AS account USING (seller_id)
WHERE account.balance <> totals.last_balance

UNION ALL
SELECT 2, 'last_number_differs', account.seller_id, account.seller_id::text,
    format('the account counts %s entries, the last one is number %s', account.last_number, totals.last_number)
FROM totals INNER JOIN credit_account AS account USING (seller_id)
WHERE account.last_number <> totals.last_number

UNION ALL
SELECT 2, 'entry_number', seller_id, id::text,
    format('entry %s should be number %s', number, expected_number)
FROM running_entry WHERE number <> expected_number

UNION ALL
SELECT 2, 'entry_balance_after', seller_id, id::text,
    format('entry %s says %s, the entries up to it add up to %s', number, balance_after, expected_balance)
FROM running_entry WHERE balance_after <> expected_balance

UNION ALL
SELECT 2, 'entry_balance_negative', seller_id, id::text, format('entry %s left %s', number, balance_after)
FROM running_entry WHERE balance_after < 0

UNION ALL
-- The chain. It is as strong as the last root that somebody keeps elsewhere: see credit/chain/.
SELECT 4, 'entry_hash', seller_id, id::text,
    format('the hash of entry %s is not that of what it says and of the entry before it', number)
FROM running_entry
WHERE hash <> entry_chain_hash(
    seller_id, number, kind, amount, commission, balance_after, reference, microseconds_of(created_at), hash_before
)

UNION ALL
SELECT 4, 'entry_without_hash', seller_id, id::text, format('entry %s has no hash, and the one before it has', number)
FROM running_entry WHERE hash IS NULL AND hash_before IS NOT NULL

UNION ALL
SELECT 4, 'last_hash_differs', account.seller_id, account.seller_id::text,
    'the account''s last hash is not that of the last entry'
FROM totals INNER JOIN credit_account AS account USING (seller_id)
WHERE account.last_hash IS DISTINCT FROM totals.last_hash

UNION ALL
-- Whoever makes the hashes of the past anew, and its roots, makes others than were proved before.
SELECT 4, 'proved_entry_differs', proved.seller_id, coalesce(entry.id::text, proved.seller_id::text), format(
    'when the books were proved, entry %s left %s with the hash %s; now it %s', proved.number, proved.balance,
    coalesce(encode(proved.hash, 'hex'), 'of none'),
    CASE WHEN entry.id IS NULL THEN 'is not there'
    ELSE format('left %s with the hash %s', entry.balance_after, coalesce(encode(entry.hash, 'hex'), 'of none')) END
)
FROM recharge_provedaccount AS proved
LEFT JOIN credit_entry AS entry ON entry.seller_id = proved.seller_id AND entry.number = proved.number
WHERE proved.number > 0 AND (entry.balance_after, entry.hash) IS DISTINCT FROM (proved.balance, proved.hash)

UNION ALL
SELECT 4, 'root_differs', NULL, roots.day::text, format(
    'the root of this day is not that of the entries that it covers and of the root before it (%s of them have no hash or'
    ' are not there)', coalesce(now.without_hash, 0)
)
FROM checked_root AS roots LEFT JOIN roots_now AS now USING (day)
WHERE (now.root_now, now.accounts, now.entries) IS DISTINCT FROM (roots.root, roots.accounts, roots.entries)

UNION ALL
SELECT 3, 'recharge_without_debit', recharge.seller_id, recharge.id::text,
    format('no entry of -%s Tomans and a commission of %s by this seller pays for it', recharge.amount,
        recharge.commission)
FROM checked_recharge AS recharge
LEFT JOIN credit_entry AS debit
    ON debit.kind = 'recharge' AND debit.reference = recharge.id
    AND debit.seller_id = recharge.seller_id AND debit.amount = -recharge.amount
    AND debit.commission = recharge.commission
WHERE debit.id IS NULL

UNION ALL
SELECT 3, 'recharge_balance_after', recharge.seller_id, recharge.id::text,
    format('it says %s, its entry %s', recharge.balance_after, debit.balance_after)
FROM checked_recharge AS recharge
INNER JOIN credit_entry AS debit ON debit.kind = 'recharge' AND debit.reference = recharge.id
WHERE recharge.balance_after <> debit.balance_after

UNION ALL
SELECT 3, 'failed_without_refund', recharge.seller_id, recharge.id::text,
    format('it failed, and no entry of %s Tomans and a commission of -%s gives it back', recharge.amount,
        recharge.commission)
FROM checked_recharge AS recharge
LEFT JOIN credit_entry AS refund
    ON refund.kind = 'refund' AND refund.reference = recharge.id
    AND refund.seller_id = recharge.seller_id AND refund.amount = recharge.amount
    AND refund.commission = -recharge.commission
WHERE (recharge.status = 'failed' AND recharge.late = '' OR recharge.late IN ('charged', 'owed'))
    AND refund.id IS NULL

UNION ALL
SELECT 3, 'refund_without_failure', refund.seller_id, refund.id::text,
    format('entry %s refunds what is %s', refund.number, coalesce(recharge.status, 'not there'))
FROM checked_entry AS refund LEFT JOIN recharge_recharge AS recharge ON recharge.id = refund.reference
WHERE refund.kind = 'refund' AND recharge.status IS DISTINCT FROM 'failed'
    AND coalesce(recharge.late, '') NOT IN ('charged', 'owed')

UNION ALL
-- What came after the end: all that was ever posted for a recharge comes to its price and its commission if it was
-- delivered and charged, and to nothing otherwise.
SELECT 3, 'recharge_entries_do_not_add_up', recharge.seller_id, recharge.id::text,
    format('it is %s, %s, and its entries add up to %s and a commission of %s', recharge.status, recharge.late,
        sum(posted.amount), sum(posted.commission))
FROM checked_recharge AS recharge
INNER JOIN credit_entry AS posted
    ON posted.kind = ANY (entry_kinds_of('recharge')) AND posted.reference = recharge.id
WHERE recharge.late <> ''
GROUP BY recharge.id, recharge.seller_id, recharge.status, recharge.late, recharge.amount, recharge.commission
HAVING (sum(posted.amount), sum(posted.commission)) IS DISTINCT FROM (
    CASE WHEN recharge.status = 'failed' OR recharge.late = 'owed' THEN 0 ELSE -recharge.amount END,
    CASE WHEN recharge.status = 'failed' OR recharge.late = 'owed' THEN 0 ELSE recharge.commission END
)

UNION ALL
SELECT 3, 'late_without_entry', recharge.seller_id, recharge.id::text,
    format('it is %s, and no entry says so', recharge.late)
FROM checked_recharge AS recharge
LEFT JOIN credit_entry AS late
    ON late.kind = CASE recharge.late WHEN 'charged' THEN 'late_charge' ELSE 'reversal' END
    AND late.reference = recharge.id AND late.seller_id = recharge.seller_id AND abs(late.amount) = recharge.amount
    AND abs(late.commission) = recharge.commission
WHERE recharge.late IN ('charged', 'reversed') AND late.id IS NULL

UNION ALL
SELECT 3, 'entry_without_lateness', late.seller_id, late.id::text,
    format('entry %s is a %s of what has none', late.number, late.kind)
FROM checked_entry AS late LEFT JOIN recharge_recharge AS recharge ON recharge.id = late.reference
WHERE late.kind = 'reversal' AND recharge.late IS DISTINCT FROM 'reversed'
    OR late.kind = 'late_charge' AND coalesce(recharge.late, '') NOT IN ('charged', 'reversed')

UNION ALL
SELECT 3, 'commission_unsound', seller_id, id::text,
    format('entry %s is a %s of %s with a commission of %s', number, kind, amount, commission)
FROM checked_entry WHERE commission <> 0 AND NOT entry_is_sound(kind, amount, commission)

UNION ALL
SELECT 3, 'approval_without_credit', request.seller_id, request.id::text,
    format('it was approved, and no entry of %s Tomans says so', request.amount)
FROM checked_request AS request
LEFT JOIN credit_entry AS credit
    ON credit.kind = 'credit' AND credit.reference = request.id
    AND credit.seller_id = request.seller_id AND credit.amount = request.amount
-- One that a dealer has approved was given of his own.
LEFT JOIN credit_transfer AS transfer
    ON transfer.credit_request_id = request.id AND transfer.giver_id = request.parent_id
    AND transfer.receiver_id = request.seller_id AND transfer.amount = request.amount
WHERE request.status = 'approved' AND credit.id IS NULL AND transfer.id IS NULL

UNION ALL
SELECT 5, 'credit_without_approval', credit.seller_id, credit.id::text,
    format('entry %s credits a request that is %s', credit.number, coalesce(request.status, 'not there'))
FROM checked_entry AS credit LEFT JOIN credit_creditrequest AS request ON request.id = credit.reference
WHERE credit.kind = 'credit' AND request.status IS DISTINCT FROM 'approved'

UNION ALL
SELECT 3, 'approved_twice_by_one', seller_id, id::text,
    format('both approvals are by %s, and an amount like this needs two people', decided_by)
FROM checked_request
WHERE status = 'approved' AND first_approved_at IS NOT NULL
    AND (decided_by_id IS NULL OR first_approved_by_id IS NULL OR first_approved_by_id = decided_by_id)

UNION ALL
SELECT 3, 'approval_without_adjustment', adjustment.seller_id, adjustment.id::text,
    format('it was approved, and no entry of %s Tomans says so', adjustment.amount)
FROM checked_adjustment AS adjustment
LEFT JOIN credit_entry AS entry
    ON entry.kind = 'adjustment' AND entry.reference = adjustment.id
    AND entry.seller_id = adjustment.seller_id AND entry.amount = adjustment.amount
WHERE adjustment.status = 'approved' AND entry.id IS NULL

UNION ALL
SELECT 5, 'adjustment_without_approval', entry.seller_id, entry.id::text,
    format('entry %s posts an adjustment that is %s', entry.number, coalesce(adjustment.status, 'not there'))
FROM checked_entry AS entry LEFT JOIN credit_adjustment AS adjustment ON adjustment.id = entry.reference
WHERE entry.kind = 'adjustment' AND adjustment.status IS DISTINCT FROM 'approved'

UNION ALL
SELECT 5, 'debit_without_recharge', debit.seller_id, debit.id::text,
    format('entry %s pays for a recharge that is not there', debit.number)
FROM checked_entry AS debit LEFT JOIN recharge_recharge AS recharge ON recharge.id = debit.reference
WHERE debit.kind = 'recharge' AND recharge.id IS NULL

UNION ALL
-- Transfers.
SELECT 6, 'transfer_without_entries', transfer.giver_id, transfer.id::text,
    format('no two entries of -%s and %s Tomans say that seller %s gave it to seller %s', transfer.amount,
        transfer.amount, transfer.giver_id, transfer.receiver_id)
FROM checked_transfer AS transfer
LEFT JOIN credit_entry AS given
    ON given.kind = 'transfer_out' AND given.reference = transfer.id
    AND given.seller_id = transfer.giver_id AND given.amount = -transfer.amount
LEFT JOIN credit_entry AS received
    ON received.kind = 'transfer_in' AND received.reference = transfer.id
    AND received.seller_id = transfer.receiver_id AND received.amount = transfer.amount
WHERE given.id IS NULL OR received.id IS NULL

UNION ALL
SELECT 6, 'transfer_differs_from_request', transfer.giver_id, transfer.id::text,
    format('it answers request %s, which is of %s Tomans by seller %s to seller %s, and %s', request.id, request.amount,
        request.seller_id, coalesce(request.parent_id::text, 'nobody'), request.status)
FROM checked_transfer AS transfer INNER JOIN credit_creditrequest AS request ON request.id = transfer.credit_request_id
WHERE (request.status, request.parent_id, request.seller_id, request.amount)
    IS DISTINCT FROM ('approved', transfer.giver_id, transfer.receiver_id, transfer.amount)

UNION ALL
SELECT 3, 'request_given_twice', request.seller_id, request.id::text,
    format('entry %s credits it, and transfer %s gives it', credit.number, transfer.id)
FROM checked_request AS request
INNER JOIN credit_transfer AS transfer ON transfer.credit_request_id = request.id
INNER JOIN credit_entry AS credit ON credit.kind = 'credit' AND credit.reference = request.id

UNION ALL
SELECT 5, 'entry_without_transfer', entry.seller_id, entry.id::text,
    format('entry %s is a %s of a transfer that is not there', entry.number, entry.kind)
FROM checked_entry AS entry LEFT JOIN credit_transfer AS transfer ON transfer.id = entry.reference
WHERE entry.kind = ANY (entry_kinds_of('transfer')) AND transfer.id IS NULL

UNION ALL
-- Margins. What is due (recharge.margin_due) a worker has still to post, or to take back.
SELECT 7, 'batch_without_entry', batch.seller_id, batch.id::text,
    format('no %s of %s Tomans says so', CASE WHEN batch.is_back THEN 'margin_back' ELSE 'margin' END, batch.amount)
FROM checked_batch AS batch
LEFT JOIN credit_entry AS entry
    ON entry.kind = CASE WHEN batch.is_back THEN 'margin_back' ELSE 'margin' END AND entry.reference = batch.id
    AND entry.seller_id = batch.seller_id AND abs(entry.amount) = batch.amount
WHERE entry.id IS NULL

UNION ALL
SELECT 5, 'margin_without_batch', entry.seller_id, entry.id::text,
    format('entry %s is a %s of a batch that is not there', entry.number, entry.kind)
FROM checked_entry AS entry
LEFT JOIN recharge_marginbatch AS batch ON batch.id = entry.reference AND batch.is_back = (entry.kind = 'margin_back')
WHERE entry.kind = ANY (entry_kinds_of('margin_batch')) AND batch.id IS NULL

UNION ALL
SELECT 7, 'batch_does_not_add_up', seller_id, id::text,
    format('it says %s recharges and %s Tomans, its margins are %s and %s', recharges, amount,
        coalesce(named_recharges, 0), coalesce(named_amount, 0))
FROM named_batch
WHERE (named_seller_id, named_is_back, named_recharges, named_amount)
    IS DISTINCT FROM (seller_id, is_back, recharges::bigint, amount::numeric)

UNION ALL
SELECT 7, 'margin_of_a_stranger', margin.seller_id, margin.id::text,
    format('recharge %s was not sold below this seller', margin.recharge_id)
FROM checked_margin AS margin INNER JOIN recharge_recharge AS recharge ON recharge.id = margin.recharge_id
WHERE (margin.seller_id = ANY (recharge.dealers)) IS NOT TRUE

UNION ALL
SELECT 7, 'margin_without_charge', margin.seller_id, margin.id::text, format(
    'recharge %s is %s %s, and its margin was %s', recharge.id, recharge.status, recharge.late,
    CASE WHEN margin.back_batch_id IS NULL THEN 'not taken back' ELSE 'taken back' END
)
FROM checked_margin AS margin INNER JOIN recharge_recharge AS recharge ON recharge.id = margin.recharge_id
WHERE (recharge.status = 'succeeded' AND recharge.late <> 'owed') <> (margin.back_batch_id IS NULL)
    AND NOT (recharge.status = 'failed' AND recharge.margin_due)

UNION ALL
SELECT 7, 'margin_due_without_dealers', seller_id, id::text, 'margins are due, and it has no dealers'
FROM recharge_recharge WHERE margin_due AND dealers IS NULL

UNION ALL
-- Workers post them within seconds. By the last entry, and not by the clock: no worker comes to an organization that is
-- suspended, nor came to one that was just restored. (A dealer may be unable for long to give back what is to be taken back.)
SELECT 7, 'margin_overdue', recharge.seller_id, recharge.id::text,
    'margins of its dealers have been due for more than a day, and no worker has posted them'
FROM recharge_recharge AS recharge
CROSS JOIN (SELECT created_at - interval '1 day' AS moment FROM credit_entry ORDER BY id DESC LIMIT 1) AS a_day_before
WHERE recharge.margin_due AND recharge.dealers IS NOT NULL AND recharge.status = 'succeeded' AND recharge.late <> 'owed'
    AND recharge.completed_at < a_day_before.moment
    AND NOT EXISTS (  -- what was owed is due since it was charged
        SELECT FROM credit_entry AS charge
        WHERE charge.kind = 'late_charge' AND charge.reference = recharge.id
            AND charge.created_at >= a_day_before.moment
    )

UNION ALL
SELECT 7, 'margin_missing', earned.dealer_id, recharge.id::text,
    format('this dealer earns %s Tomans by it, which are neither due nor in a batch', earned.amount)
FROM checked_recharge
INNER JOIN recharge_recharge AS recharge ON recharge.id = checked_recharge.id
CROSS JOIN LATERAL (
    SELECT
        rated.dealer_id,
        rated.commission - greatest(
            recharge.commission,
            max(rated.commission) OVER (ORDER BY rated.place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
        ) AS amount
    FROM (
        SELECT
            dealer.id AS dealer_id, dealer.place,
            coalesce(commission_of(recharge.amount, rate.basis_points, rate.fixed), 0) AS commission
        FROM unnest(recharge.dealers) WITH ORDINALITY AS dealer (id, place)
        LEFT JOIN LATERAL (
            (
                SELECT basis_points, fixed FROM recharge_commissionrate
                WHERE seller_id = dealer.id AND operator IN (recharge.operator, '')
                    AND valid_from <= recharge.created_at
                    AND (valid_until IS NULL OR valid_until > recharge.created_at)
                ORDER BY operator DESC, valid_from DESC, id DESC
                LIMIT 1
            )
            UNION ALL
            (
                SELECT basis_points, fixed FROM recharge_commissionrate
                WHERE seller_id IS NULL AND operator IN (recharge.operator, '')
                    AND valid_from <= recharge.created_at
                    AND (valid_until IS NULL OR valid_until > recharge.created_at)
                ORDER BY operator DESC, valid_from DESC, id DESC
                LIMIT 1
            )
            LIMIT 1
        ) AS rate ON true
    ) AS rated
) AS earned
LEFT JOIN recharge_margin AS posted ON posted.recharge_id = recharge.id AND posted.seller_id = earned.dealer_id
WHERE checked_recharge.dealers IS NOT NULL AND checked_recharge.status = 'succeeded'
    AND checked_recharge.late <> 'owed' AND NOT checked_recharge.margin_due
    AND earned.amount > 0 AND posted.id IS NULL

UNION ALL
SELECT 7, 'margin_twice', seller_id, recharge_id::text, format('%s margins of one dealer', count(*))
FROM checked_margin GROUP BY recharge_id, seller_id HAVING count(*) > 1

UNION ALL
SELECT 7, 'more_earned_than_paid', recharge.seller_id, recharge.id::text,
    format('of %s Tomans its seller earns %s and its dealers %s', recharge.amount, recharge.commission, sum(margin.amount))
FROM checked_margin AS margin INNER JOIN recharge_recharge AS recharge ON recharge.id = margin.recharge_id
GROUP BY recharge.id
HAVING recharge.commission + sum(margin.amount) > recharge.amount

UNION ALL
-- The tree. Where each seller's ancestors are his parent and his parent's ancestors, there is no circle.
SELECT 8, 'ancestors_differ', seller.id, seller.id::text, format(
    'its ancestors are %s, its parent is %s, and that one''s ancestors are %s', seller.ancestors,
    coalesce(seller.parent_id::text, 'nobody'), coalesce(parent.ancestors, '{}')
)
FROM credit_seller AS seller LEFT JOIN credit_seller AS parent ON parent.id = seller.parent_id
WHERE seller.ancestors IS DISTINCT FROM
    CASE WHEN seller.parent_id IS NOT NULL THEN seller.parent_id || coalesce(parent.ancestors, '{}') END

UNION ALL
SELECT 8, 'tree_too_deep', id, id::text, format('it is on level %s', cardinality(ancestors) + 1)
FROM credit_seller WHERE cardinality(ancestors) > 4

UNION ALL
-- What limits go by. A row of an earlier version of them says nothing any more: see limits.sql.
SELECT 9, 'day_differs', day.seller_id, day.begins_at::text,
    format('it says %s sales of %s Tomans; of recharges there are %s of %s', day.sales, day.amount, sold.sales,
        sold.amount)
FROM recharge_sellerday AS day
CROSS JOIN LATERAL (
    SELECT count(*) AS sales, coalesce(sum(recharge.amount), 0) AS amount
    FROM recharge_recharge AS recharge
    WHERE recharge.seller_id = day.seller_id AND recharge.status <> 'failed'
        AND recharge.id >= uuid7_floor(day.begins_at)
        AND recharge.created_at >= day.begins_at AND recharge.created_at < day.ends_at
) AS sold
WHERE (day.sales, day.amount) IS DISTINCT FROM (sold.sales, sold.amount)
    AND day.version = (
        SELECT max(known.id) FROM recharge_limit AS known WHERE known.seller_id = day.seller_id OR known.seller_id IS NULL
    )

UNION ALL
SELECT 3, 'posted_twice', NULL, reference::text, format('%s entries of kind %s have this reference', entries, kind)
FROM posted_for WHERE entries > 1

UNION ALL
SELECT 4, 'closed_period_differs', NULL, period.last_day::text,
    format('its entries add up to %s, it was closed with %s', now.totals, period.totals)
FROM checked_period AS period
CROSS JOIN LATERAL (
    SELECT coalesce(
        jsonb_object_agg(
            posted.kind,
            jsonb_build_object('entries', posted.entries, 'amount', posted.amount, 'commission', posted.commission)
        ),
        '{}'
    ) AS totals
    FROM (
        SELECT kind, count(*) AS entries, sum(amount) AS amount, sum(commission) AS commission
        FROM credit_entry
        WHERE id >= coalesce(uuid7_floor(period.begins), '00000000-0000-0000-0000-000000000000')
            AND (period.begins IS NULL OR created_at >= period.begins)
            AND id < uuid7_floor(period.ends + interval '1 millisecond') AND created_at < period.ends
        GROUP BY kind
    ) AS posted
) AS now
WHERE period.totals <> now.totals
