"""Statements: what was on a seller's account in a period of days.

Each is a document that is kept, with a digest by which it can be proved. Made again for the same days it is the same,
as long as no entry has come. Its rows are not kept twice: they are the entries from its first to its last number.

services.py makes one, queries.py reads it and its rows, digests.py proves it. As files (PDF, XLSX, CSV):
recharge/papers.
"""
