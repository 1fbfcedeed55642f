"""Finds what somebody looks for by a few characters: the box in the bar above each page."""
