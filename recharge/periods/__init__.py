"""Closed periods: what is reported of them is by the day of the entry, and stays."""
