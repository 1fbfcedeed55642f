"""Amounts: integers of Tomans, from the JSON parser to the ``bigint`` column. No float, no Decimal, no string."""

LARGEST_AMOUNT = 1_000_000_000_000
"""Tomans; the largest amount of one recharge or one credit request."""

LARGEST_BALANCE = 2**53 - 1
"""Tomans; the largest balance. Every JSON reader holds integers up to it exactly (RFC 8259 section 6)."""
