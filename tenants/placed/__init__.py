"""Django's backend for a cluster of databases: see base.py."""
