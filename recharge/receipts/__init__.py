"""Receipts: what a customer is given of a recharge, on paper or by SMS."""
