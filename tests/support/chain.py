"""What tests do to the ledger's hash chain."""

FORGET = """
    ALTER TABLE credit_entry DISABLE TRIGGER credit_entry_append_only;
    UPDATE credit_entry SET hash = NULL WHERE hash IS NOT NULL;
    ALTER TABLE credit_entry ENABLE TRIGGER credit_entry_append_only;
    UPDATE credit_account SET last_hash = NULL WHERE last_hash IS NOT NULL;
"""
"""Makes all entries of an organization older than the chain: for those that a test has moved in time, or written by
itself."""
