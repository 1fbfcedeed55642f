-- Proves an organization's books from the tables alone: every row that this returns is at fault. As sets, in one statement,
-- and so of one snapshot: it may run while sales go on.
--
-- Columns: the invariant (its number in ARCHITECTURE.md), the check's name, the seller, the row at fault, and what is wrong.

WITH entries AS (
    SELECT
        seller_id,
        number,
        id,
        kind,
        amount,
        commission,
        balance_after,
        reference,
        created_at,
        hash,
        row_number() OVER running AS expected_number,
        sum(amount + commission) OVER running AS expected_balance,
        lag(hash) OVER running AS hash_before
    FROM credit_entry
    WINDOW running AS (PARTITION BY seller_id ORDER BY number, id ROWS UNBOUNDED PRECEDING)
),

totals AS (
    SELECT
        seller_id,
        count(*) AS entries,
        sum(amount + commission) AS balance,
        max(number) AS last_number,
        (array_agg(balance_after ORDER BY number DESC, id DESC))[1] AS last_balance,
        (array_agg(hash ORDER BY number DESC, id DESC))[1] AS last_hash
    FROM credit_entry
    GROUP BY seller_id
),

roots AS (
    SELECT day, root, accounts, entries, sellers, numbers, lag(root) OVER (ORDER BY day) AS root_before
    FROM credit_chainroot
),

-- What the root of each day would be of the entries as they are.
roots_now AS (
    SELECT
        roots.day,
        roots.root,
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
    FROM roots
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
WHERE account.seller_id IS NULL

UNION ALL
SELECT 2, 'balance_differs_from_entries', account.seller_id, account.seller_id::text,
    format('the balance is %s, the entries add up to %s', account.balance, coalesce(totals.balance, 0))
FROM credit_account AS account LEFT JOIN totals USING (seller_id)
WHERE account.balance <> coalesce(totals.balance, 0)

UNION ALL
SELECT 2, 'balance_differs_from_last_entry', account.seller_id, account.seller_id::text,
    format('the balance is %s, the last entry left %s', account.balance, coalesce(totals.last_balance, 0))
FROM credit_account AS account LEFT JOIN totals USING (seller_id)
WHERE account.balance <> coalesce(totals.last_balance, 0)

UNION ALL
SELECT 2, 'last_number_differs', account.seller_id, account.seller_id::text,
    format('the account counts %s entries, the last one is number %s', account.last_number,
        coalesce(totals.last_number, 0))
FROM credit_account AS account LEFT JOIN totals USING (seller_id)
WHERE account.last_number <> coalesce(totals.last_number, 0)

UNION ALL
SELECT 2, 'entry_number', seller_id, id::text,
    format('entry %s should be number %s', number, expected_number)
FROM entries WHERE number <> expected_number

UNION ALL
SELECT 2, 'entry_balance_after', seller_id, id::text,
    format('entry %s says %s, the entries up to it add up to %s', number, balance_after, expected_balance)
FROM entries WHERE balance_after <> expected_balance

UNION ALL
SELECT 2, 'entry_balance_negative', seller_id, id::text, format('entry %s left %s', number, balance_after)
FROM entries WHERE balance_after < 0

UNION ALL
-- The chain. It is as strong as the last root that somebody keeps elsewhere: see credit/chain/.
SELECT 4, 'entry_hash', seller_id, id::text,
    format('the hash of entry %s is not that of what it says and of the entry before it', number)
FROM entries
WHERE hash <> entry_hash(
    seller_id, number, kind, amount, commission, balance_after, reference, microseconds_of(created_at), hash_before
)

UNION ALL
SELECT 4, 'entry_without_hash', seller_id, id::text, format('entry %s has no hash, and the one before it has', number)
FROM entries WHERE hash IS NULL AND hash_before IS NOT NULL

UNION ALL
SELECT 4, 'last_hash_differs', account.seller_id, account.seller_id::text,
    'the account''s last hash is not that of the last entry'
FROM credit_account AS account LEFT JOIN totals USING (seller_id)
WHERE account.last_hash IS DISTINCT FROM totals.last_hash

UNION ALL
SELECT 4, 'root_differs', NULL, roots.day::text, format(
    'the root of this day is not that of the entries that it covers and of the root before it (%s of them have no hash or'
    ' are not there)', coalesce(now.without_hash, 0)
)
FROM roots LEFT JOIN roots_now AS now USING (day)
WHERE (now.root_now, now.accounts, now.entries) IS DISTINCT FROM (roots.root, roots.accounts, roots.entries)

UNION ALL
SELECT 3, 'recharge_without_debit', recharge.seller_id, recharge.id::text,
    format('no entry of -%s Tomans by this seller pays for it', recharge.amount)
FROM recharge_recharge AS recharge
LEFT JOIN credit_entry AS debit
    ON debit.kind = 'recharge' AND debit.reference = recharge.id
    AND debit.seller_id = recharge.seller_id AND debit.amount = -recharge.amount
WHERE debit.id IS NULL

UNION ALL
SELECT 3, 'recharge_balance_after', recharge.seller_id, recharge.id::text,
    format('it says %s, its entry %s', recharge.balance_after, debit.balance_after)
FROM recharge_recharge AS recharge
INNER JOIN credit_entry AS debit ON debit.kind = 'recharge' AND debit.reference = recharge.id
WHERE recharge.balance_after <> debit.balance_after

UNION ALL
SELECT 3, 'failed_without_refund', recharge.seller_id, recharge.id::text,
    format('it failed, and no entry of %s Tomans gives it back', recharge.amount)
FROM recharge_recharge AS recharge
LEFT JOIN credit_entry AS refund
    ON refund.kind = 'refund' AND refund.reference = recharge.id
    AND refund.seller_id = recharge.seller_id AND refund.amount = recharge.amount
WHERE (recharge.status = 'failed' AND recharge.late = '' OR recharge.late IN ('charged', 'owed'))
    AND refund.id IS NULL

UNION ALL
SELECT 3, 'refund_without_failure', refund.seller_id, refund.id::text,
    format('entry %s refunds what is %s', refund.number, coalesce(recharge.status, 'not there'))
FROM credit_entry AS refund LEFT JOIN recharge_recharge AS recharge ON recharge.id = refund.reference
WHERE refund.kind = 'refund' AND recharge.status IS DISTINCT FROM 'failed'
    AND coalesce(recharge.late, '') NOT IN ('charged', 'owed')

UNION ALL
-- What came after the end: all that was ever posted for a recharge comes to its price if it was delivered and charged,
-- and to nothing otherwise.
SELECT 3, 'recharge_entries_do_not_add_up', recharge.seller_id, recharge.id::text,
    format('it is %s, %s, and its entries add up to %s', recharge.status, recharge.late, posted.amount)
FROM recharge_recharge AS recharge
INNER JOIN (
    SELECT reference, sum(amount) AS amount FROM credit_entry
    WHERE kind IN ('recharge', 'refund', 'late_charge', 'reversal') GROUP BY reference
) AS posted ON posted.reference = recharge.id
WHERE recharge.late <> '' AND posted.amount <> CASE
    WHEN recharge.status = 'failed' OR recharge.late = 'owed' THEN 0 ELSE -recharge.amount
END

UNION ALL
SELECT 3, 'late_without_entry', recharge.seller_id, recharge.id::text,
    format('it is %s, and no entry says so', recharge.late)
FROM recharge_recharge AS recharge
LEFT JOIN credit_entry AS late
    ON late.kind = CASE recharge.late WHEN 'charged' THEN 'late_charge' ELSE 'reversal' END
    AND late.reference = recharge.id AND late.seller_id = recharge.seller_id AND abs(late.amount) = recharge.amount
WHERE recharge.late IN ('charged', 'reversed') AND late.id IS NULL

UNION ALL
SELECT 3, 'entry_without_lateness', late.seller_id, late.id::text,
    format('entry %s is a %s of what has none', late.number, late.kind)
FROM credit_entry AS late LEFT JOIN recharge_recharge AS recharge ON recharge.id = late.reference
WHERE late.kind = 'reversal' AND recharge.late IS DISTINCT FROM 'reversed'
    OR late.kind = 'late_charge' AND coalesce(recharge.late, '') NOT IN ('charged', 'reversed')

UNION ALL
SELECT 3, 'approval_without_credit', request.seller_id, request.id::text,
    format('it was approved, and no entry of %s Tomans says so', request.amount)
FROM credit_creditrequest AS request
LEFT JOIN credit_entry AS credit
    ON credit.kind = 'credit' AND credit.reference = request.id
    AND credit.seller_id = request.seller_id AND credit.amount = request.amount
WHERE request.status = 'approved' AND credit.id IS NULL

UNION ALL
SELECT 5, 'credit_without_approval', credit.seller_id, credit.id::text,
    format('entry %s credits a request that is %s', credit.number, coalesce(request.status, 'not there'))
FROM credit_entry AS credit LEFT JOIN credit_creditrequest AS request ON request.id = credit.reference
WHERE credit.kind = 'credit' AND request.status IS DISTINCT FROM 'approved'

UNION ALL
SELECT 3, 'approved_twice_by_one', seller_id, id::text,
    format('both approvals are by %s, and an amount like this needs two people', decided_by)
FROM credit_creditrequest
WHERE status = 'approved' AND first_approved_at IS NOT NULL
    AND (decided_by_id IS NULL OR first_approved_by_id IS NULL OR first_approved_by_id = decided_by_id)

UNION ALL
SELECT 3, 'approval_without_adjustment', adjustment.seller_id, adjustment.id::text,
    format('it was approved, and no entry of %s Tomans says so', adjustment.amount)
FROM credit_adjustment AS adjustment
LEFT JOIN credit_entry AS entry
    ON entry.kind = 'adjustment' AND entry.reference = adjustment.id
    AND entry.seller_id = adjustment.seller_id AND entry.amount = adjustment.amount
WHERE adjustment.status = 'approved' AND entry.id IS NULL

UNION ALL
SELECT 5, 'adjustment_without_approval', entry.seller_id, entry.id::text,
    format('entry %s posts an adjustment that is %s', entry.number, coalesce(adjustment.status, 'not there'))
FROM credit_entry AS entry LEFT JOIN credit_adjustment AS adjustment ON adjustment.id = entry.reference
WHERE entry.kind = 'adjustment' AND adjustment.status IS DISTINCT FROM 'approved'

UNION ALL
SELECT 5, 'debit_without_recharge', debit.seller_id, debit.id::text,
    format('entry %s pays for a recharge that is not there', debit.number)
FROM credit_entry AS debit LEFT JOIN recharge_recharge AS recharge ON recharge.id = debit.reference
WHERE debit.kind = 'recharge' AND recharge.id IS NULL

UNION ALL
SELECT 3, 'posted_twice', NULL, reference::text, format('%s entries of kind %s have this reference', count(*), kind)
FROM credit_entry GROUP BY kind, reference HAVING count(*) > 1

UNION ALL
-- What keeps the rest true must be in force: the triggers, and every CHECK and UNIQUE of these tables.
SELECT 3, 'transitions_not_enforced', NULL, 'recharge_recharge', 'the trigger recharge_transition is missing or disabled'
WHERE NOT EXISTS (
    SELECT FROM pg_trigger
    WHERE tgrelid = 'recharge_recharge'::regclass AND tgname = 'recharge_transition' AND tgenabled IN ('O', 'A')
)

UNION ALL
SELECT 4, 'append_only_not_enforced', NULL, 'credit_entry', 'the trigger credit_entry_append_only is missing or disabled'
WHERE NOT EXISTS (
    SELECT FROM pg_trigger
    WHERE tgrelid = 'credit_entry'::regclass AND tgname = 'credit_entry_append_only' AND tgenabled IN ('O', 'A')
)

UNION ALL
SELECT 4, 'documents_not_kept', NULL, expected.table_name,
    format('the trigger %s is missing or disabled', expected.name)
FROM (
    VALUES
        ('credit_creditrequest', 'credit_request_kept'), ('credit_creditrequest', 'credit_request_stays'),
        ('credit_adjustment', 'credit_adjustment_kept'), ('credit_adjustment', 'credit_adjustment_stays')
) AS expected (table_name, name)
WHERE NOT EXISTS (
    SELECT FROM pg_trigger
    WHERE tgrelid = expected.table_name::regclass AND tgname = expected.name AND tgenabled IN ('O', 'A')
)

UNION ALL
SELECT 4, 'append_only_not_enforced', NULL, 'credit_chainroot', 'the trigger credit_root_append_only is missing or disabled'
WHERE NOT EXISTS (
    SELECT FROM pg_trigger
    WHERE tgrelid = 'credit_chainroot'::regclass AND tgname = 'credit_root_append_only' AND tgenabled IN ('O', 'A')
)

UNION ALL
SELECT 4, 'closed_period_differs', NULL, last_day::text,
    format('its entries add up to %s, it was closed with %s', period_totals(begins, ends), totals)
FROM recharge_closedperiod
WHERE totals <> period_totals(begins, ends)

UNION ALL
SELECT 4, 'append_only_not_enforced', NULL, 'recharge_closedperiod',
    'the trigger recharge_closedperiod_stays is missing or disabled'
WHERE NOT EXISTS (
    SELECT FROM pg_trigger
    WHERE tgrelid = 'recharge_closedperiod'::regclass AND tgname = 'recharge_closedperiod_stays'
        AND tgenabled IN ('O', 'A')
)

UNION ALL
SELECT 1, 'constraint_missing', NULL, expected.name, format('the constraint %s is missing or not validated', expected.name)
FROM (
    VALUES
        ('account_balance_not_negative'), ('account_balance_bounded'), ('account_last_number_not_negative'),
        ('entry_number'), ('entry_reference'), ('entry_number_positive'), ('entry_balance_not_negative'), ('entry_sign'),
        ('credit_request_key'), ('credit_request_amount'), ('credit_request_decided'),
        ('adjustment_key'), ('adjustment_amount'), ('adjustment_decided'),
        ('recharge_key'), ('recharge_amount'), ('recharge_balance_not_negative'), ('recharge_state')
) AS expected (name)
WHERE NOT EXISTS (
    SELECT FROM pg_constraint AS found
    INNER JOIN pg_class AS entry_table
        ON entry_table.oid = 'credit_entry'::regclass AND entry_table.relnamespace = found.connamespace
    WHERE found.conname = expected.name AND found.convalidated
)

ORDER BY 1, 2, 3, 4
