"""Selling and looking at recharges, and what an organization settles, over HTTP."""
