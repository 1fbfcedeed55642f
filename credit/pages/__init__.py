"""Sellers, credit requests and the ledger, as pages."""
