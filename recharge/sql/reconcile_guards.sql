-- What keeps the books true must be in force: the triggers, and every CHECK and UNIQUE of these tables. Reads the catalogue
-- alone, that of the server which is asked: on a cluster the coordinator, and the node that holds the schema.
--
-- It follows a head, the set `of_rows`. At a node a table's rows are in another one, with a number behind its name, and what
-- keeps them stands there; the number is behind the names of its triggers, too, and of some constraints. (What refuses
-- TRUNCATE stands beside the table itself, at each server.)
--
-- What is there is looked up one by one, by the catalogue's indexes (a subquery with LIMIT is not made a join): read whole
-- and joined, the catalogue of 5,000 organizations took half a second for each of them.
--
-- Columns: as reconcile.sql's.

expected_trigger (invariant, fault, table_name, name) AS (
    VALUES
        (3, 'transitions_not_enforced', 'recharge_recharge', 'recharge_transition'),
        (4, 'append_only_not_enforced', 'credit_entry', 'credit_entry_append_only'),
        (4, 'append_only_not_enforced', 'credit_entry', 'credit_entry_not_emptied'),
        (4, 'append_only_not_enforced', 'credit_chainroot', 'credit_root_append_only'),
        (4, 'append_only_not_enforced', 'credit_chainroot', 'credit_chainroot_not_emptied'),
        (4, 'append_only_not_enforced', 'recharge_closedperiod', 'recharge_closedperiod_stays'),
        (4, 'append_only_not_enforced', 'recharge_closedperiod', 'recharge_closedperiod_not_emptied'),
        (4, 'documents_not_kept', 'credit_creditrequest', 'credit_request_kept'),
        (4, 'documents_not_kept', 'credit_creditrequest', 'credit_request_stays'),
        (4, 'documents_not_kept', 'credit_creditrequest', 'credit_creditrequest_not_emptied'),
        (4, 'documents_not_kept', 'credit_adjustment', 'credit_adjustment_kept'),
        (4, 'documents_not_kept', 'credit_adjustment', 'credit_adjustment_stays'),
        (4, 'documents_not_kept', 'credit_adjustment', 'credit_adjustment_not_emptied'),
        (4, 'documents_not_kept', 'credit_transfer', 'credit_transfer_kept'),
        (4, 'documents_not_kept', 'credit_transfer', 'credit_transfer_stays'),
        (4, 'documents_not_kept', 'credit_transfer', 'credit_transfer_not_emptied'),
        (4, 'documents_not_kept', 'credit_seller', 'credit_seller_placed'),
        (4, 'documents_not_kept', 'credit_seller', 'credit_seller_made_apart'),
        (4, 'documents_not_kept', 'recharge_margin', 'recharge_margin_kept'),
        (4, 'documents_not_kept', 'recharge_margin', 'recharge_margin_stays'),
        (4, 'documents_not_kept', 'recharge_margin', 'recharge_margin_not_emptied'),
        (4, 'documents_not_kept', 'recharge_marginbatch', 'recharge_margin_batch_kept'),
        (4, 'documents_not_kept', 'recharge_marginbatch', 'recharge_marginbatch_not_emptied'),
        (4, 'documents_not_kept', 'recharge_recharge', 'recharge_content'),
        (4, 'documents_not_kept', 'recharge_attempt', 'recharge_attempt_once'),
        (4, 'documents_not_kept', 'recharge_statement', 'recharge_statement_append_only'),
        (4, 'documents_not_kept', 'recharge_statement', 'recharge_statement_not_emptied'),
        (4, 'documents_not_kept', 'recharge_settings', 'recharge_settings_noted'),
        (4, 'documents_not_kept', 'recharge_settings', 'recharge_settings_stay')
),

expected_constraint (table_name, name) AS (
    VALUES
        ('credit_account', 'account_balance_not_negative'), ('credit_account', 'account_balance_bounded'),
        ('credit_account', 'account_last_number_not_negative'),
        ('credit_entry', 'entry_number'), ('credit_entry', 'entry_reference'), ('credit_entry', 'entry_number_positive'),
        ('credit_entry', 'entry_balance_not_negative'), ('credit_entry', 'entry_sign'),
        ('credit_creditrequest', 'credit_request_key'), ('credit_creditrequest', 'credit_request_amount'),
        ('credit_creditrequest', 'credit_request_decided'),
        ('credit_adjustment', 'adjustment_key'), ('credit_adjustment', 'adjustment_amount'),
        ('credit_adjustment', 'adjustment_decided'),
        ('recharge_recharge', 'recharge_key'), ('recharge_recharge', 'recharge_amount'),
        ('recharge_recharge', 'recharge_balance_not_negative'), ('recharge_recharge', 'recharge_state'),
        ('credit_transfer', 'transfer_key'), ('credit_transfer', 'transfer_amount'),
        ('credit_transfer', 'transfer_between_two'),
        ('credit_seller', 'seller_ancestors'),
        ('recharge_margin', 'margin_once'), ('recharge_margin', 'margin_amount'),
        ('recharge_marginbatch', 'margin_batch_amount'),
        ('recharge_commissionrate', 'commission_rate'), ('recharge_commissionrate', 'commission_once'),
        ('recharge_commissionrate', 'commission_time'),
        ('recharge_limit', 'limit_once'), ('recharge_limit', 'limit_hours'), ('recharge_limit', 'limit_positive'),
        ('recharge_statement', 'statement_once'), ('recharge_statement', 'statement_period')
),

-- Each table, and the one that has its rows if that is another.
place (table_name, number, relation) AS (
    SELECT named.table_name, behind.number, to_regclass(quote_ident(%(schema)s) || '.' || named.table_name || behind.number)
    FROM (SELECT table_name FROM expected_trigger UNION SELECT table_name FROM expected_constraint) AS named
    INNER JOIN (
        SELECT NULL AS table_name, '' AS number
        UNION ALL
        SELECT table_name, number FROM of_rows
    ) AS behind ON behind.table_name = named.table_name OR behind.table_name IS NULL
)

SELECT
    expected.invariant,
    expected.fault,
    NULL::bigint AS seller_id,
    expected.table_name || place.number AS row_at_fault,
    format('the trigger %%s is missing or disabled', expected.name || place.number) AS detail
FROM expected_trigger AS expected INNER JOIN place USING (table_name)
WHERE (place.number = '' OR expected.name NOT LIKE '%%\_not\_emptied')
    AND (
        SELECT true FROM pg_trigger
        WHERE tgrelid = place.relation AND tgname = expected.name || place.number AND tgenabled IN ('O', 'A')
        LIMIT 1
    ) IS NULL

UNION ALL
SELECT 1, 'constraint_missing', NULL, expected.name,
    format('the constraint %%s of %%s is missing or not validated', expected.name, expected.table_name || place.number)
FROM expected_constraint AS expected INNER JOIN place USING (table_name)
WHERE (
    SELECT true FROM pg_constraint
    WHERE conrelid = place.relation AND conname IN (expected.name, expected.name || place.number) AND convalidated
    LIMIT 1
) IS NULL AND (  -- one with a condition is an index alone
    SELECT true FROM pg_index
    WHERE indrelid = place.relation AND indisunique AND indisvalid AND indpred IS NOT NULL
        AND indexrelid = to_regclass(quote_ident(%(schema)s) || '.' || expected.name || place.number)
    LIMIT 1
) IS NULL
