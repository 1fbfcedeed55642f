"""Says which idempotency keys are good."""

import re
from datetime import timedelta

LONGEST_KEY = 255

# No blank at an end: a header's are lost on the way, so that the same key in a body would be another one.
KEY_PATTERN = r"^[!-~]([ -~]*[!-~])?$"
KEY_RULE = "A key is 1 to 255 printable ASCII characters, and neither begins nor ends with a blank."

REPEATED_WITHIN = timedelta(minutes=15)
"""Within this, the same request for access (an account, a webhook, a secret) that names no key is taken for the one
before, whose answer was lost."""

_KEY = re.compile(KEY_PATTERN.strip("^$"))


def is_idempotency_key(key: str) -> bool:
    """Whether this is 1 to 255 printable ASCII characters, without a blank at either end."""
    return len(key) <= LONGEST_KEY and _KEY.fullmatch(key) is not None
