"""Calls addresses that somebody outside gave."""
