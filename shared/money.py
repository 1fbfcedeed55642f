"""Amounts: integers of Tomans, from the JSON parser to the ``bigint`` column. No float, no Decimal, no string."""

from typing import Any

from rest_framework import serializers

LARGEST_AMOUNT = 1_000_000_000_000
"""Tomans; the largest amount of one recharge or one credit request."""

LARGEST_BALANCE = 2**53 - 1
"""Tomans; the largest balance. Every JSON reader holds integers up to it exactly (RFC 8259 section 6)."""


class TomansField(serializers.Field[int, Any, int, Any]):
    """An amount of 1 to 1,000,000,000,000 Tomans; only a JSON integer will do (``5000.0`` and ``"5000"`` will not)."""

    default_error_messages = {
        "not_an_integer": "This must be a whole number of Tomans, written as a JSON integer.",
        "too_small": "This must be at least 1 Toman.",
        "too_large": f"This must be at most {LARGEST_AMOUNT} Tomans.",
    }

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:  # bool is an int, and 5000.0 == 5000
            self.fail("not_an_integer")
        if data < 1:
            self.fail("too_small")
        if data > LARGEST_AMOUNT:
            self.fail("too_large")
        amount: int = data
        return amount

    def to_representation(self, value: int) -> int:
        return value
