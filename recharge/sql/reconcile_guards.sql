-- What keeps the books true must be in force: the triggers, and every CHECK and UNIQUE of these tables. Reads the catalogue
-- alone. Columns: as reconcile.sql's.

SELECT 3 AS invariant, 'transitions_not_enforced' AS fault, NULL::bigint AS seller_id, 'recharge_recharge' AS row_at_fault,
    'the trigger recharge_transition is missing or disabled' AS detail
WHERE NOT EXISTS (
    SELECT FROM pg_trigger
    WHERE tgrelid = 'recharge_recharge'::regclass AND tgname = 'recharge_transition' AND tgenabled IN ('O', 'A')
)

UNION ALL
SELECT 4, 'append_only_not_enforced', NULL, expected.table_name,
    format('the trigger %s is missing or disabled', expected.name)
FROM (
    VALUES
        ('credit_entry', 'credit_entry_append_only'), ('credit_entry', 'credit_entry_not_emptied'),
        ('credit_chainroot', 'credit_root_append_only'), ('credit_chainroot', 'credit_chainroot_not_emptied'),
        ('recharge_closedperiod', 'recharge_closedperiod_stays'),
        ('recharge_closedperiod', 'recharge_closedperiod_not_emptied')
) AS expected (table_name, name)
WHERE NOT EXISTS (
    SELECT FROM pg_trigger
    WHERE tgrelid = expected.table_name::regclass AND tgname = expected.name AND tgenabled IN ('O', 'A')
)

UNION ALL
SELECT 4, 'documents_not_kept', NULL, expected.table_name,
    format('the trigger %s is missing or disabled', expected.name)
FROM (
    VALUES
        ('credit_creditrequest', 'credit_request_kept'), ('credit_creditrequest', 'credit_request_stays'),
        ('credit_adjustment', 'credit_adjustment_kept'), ('credit_adjustment', 'credit_adjustment_stays'),
        ('credit_transfer', 'credit_transfer_kept'), ('credit_transfer', 'credit_transfer_stays'),
        ('credit_seller', 'credit_seller_placed'), ('credit_seller', 'credit_seller_made_apart'),
        ('recharge_margin', 'recharge_margin_kept'), ('recharge_margin', 'recharge_margin_stays'),
        ('recharge_marginbatch', 'recharge_margin_batch_kept'),
        ('recharge_recharge', 'recharge_content'), ('recharge_attempt', 'recharge_attempt_once'),
        ('recharge_statement', 'recharge_statement_append_only'),
        ('recharge_settings', 'recharge_settings_noted'), ('recharge_settings', 'recharge_settings_stay'),
        ('credit_creditrequest', 'credit_creditrequest_not_emptied'),
        ('credit_adjustment', 'credit_adjustment_not_emptied'), ('credit_transfer', 'credit_transfer_not_emptied'),
        ('recharge_margin', 'recharge_margin_not_emptied'),
        ('recharge_marginbatch', 'recharge_marginbatch_not_emptied'),
        ('recharge_statement', 'recharge_statement_not_emptied')
) AS expected (table_name, name)
WHERE NOT EXISTS (
    SELECT FROM pg_trigger
    WHERE tgrelid = expected.table_name::regclass AND tgname = expected.name AND tgenabled IN ('O', 'A')
)

UNION ALL
SELECT 1, 'constraint_missing', NULL, expected.name, format('the constraint %s is missing or not validated', expected.name)
FROM (
    VALUES
        ('account_balance_not_negative'), ('account_balance_bounded'), ('account_last_number_not_negative'),
        ('entry_number'), ('entry_reference'), ('entry_number_positive'), ('entry_balance_not_negative'), ('entry_sign'),
        ('credit_request_key'), ('credit_request_amount'), ('credit_request_decided'),
        ('adjustment_key'), ('adjustment_amount'), ('adjustment_decided'),
        ('recharge_key'), ('recharge_amount'), ('recharge_balance_not_negative'), ('recharge_state'),
        ('transfer_key'), ('transfer_amount'), ('transfer_between_two'), ('seller_ancestors'),
        ('margin_once'), ('margin_amount'), ('margin_batch_amount'),
        ('commission_rate'), ('commission_once'), ('commission_time'), ('limit_once'), ('limit_hours'), ('limit_positive'),
        ('statement_once'), ('statement_period')
) AS expected (name)
WHERE NOT EXISTS (
    SELECT FROM pg_constraint AS found
    INNER JOIN pg_class AS entry_table
        ON entry_table.oid = 'credit_entry'::regclass AND entry_table.relnamespace = found.connamespace
    WHERE found.conname = expected.name AND found.convalidated
) AND NOT EXISTS (  -- one with a condition is an index alone
    SELECT FROM pg_index AS found
    INNER JOIN pg_class AS named ON named.oid = found.indexrelid
    INNER JOIN pg_class AS entry_table
        ON entry_table.oid = 'credit_entry'::regclass AND entry_table.relnamespace = named.relnamespace
    WHERE named.relname = expected.name AND found.indisunique AND found.indisvalid AND found.indpred IS NOT NULL
)
