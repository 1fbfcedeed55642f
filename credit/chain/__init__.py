"""The hash chain of the ledger, outside of the database: its hashes in Python, its roots, an export, and the proof of
an export that needs no database. How entries are chained stands in credit/sql/ledger.sql, how roots are made in
credit/sql/chain.sql."""
