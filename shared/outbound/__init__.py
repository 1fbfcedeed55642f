"""Calls to addresses that somebody outside gave."""
