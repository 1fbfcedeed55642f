"""Sellers, statements and credit requests over HTTP."""
