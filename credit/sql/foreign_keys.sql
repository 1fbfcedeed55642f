-- Django makes foreign keys that are checked at COMMIT, when a money function's lock_timeout has been undone already: a sale
-- would wait without end behind whoever holds the seller's row. Checked with the statement, they wait within the limit.
DO $$
DECLARE
    v_key record;
BEGIN
    FOR v_key IN
        SELECT conrelid::regclass AS table_name, conname AS name FROM pg_constraint
        WHERE contype = 'f' AND condeferrable AND connamespace = current_schema()::regnamespace
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER CONSTRAINT %I NOT DEFERRABLE', v_key.table_name, v_key.name);
    END LOOP;
END;
$$;
