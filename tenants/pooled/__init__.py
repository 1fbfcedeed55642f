"""Django's backend for a connection behind a pooler of transactions: see base.py."""
