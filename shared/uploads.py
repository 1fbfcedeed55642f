"""How long a request's body may be, by its path."""

import re
from functools import lru_cache

from django.conf import settings


def largest_body(path: str) -> int:
    """Bytes; a view may take fewer."""
    for pattern, most in _larger():
        if pattern.fullmatch(path):
            return most
    return int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)


@lru_cache(maxsize=1)
def _larger() -> list[tuple[re.Pattern[str], int]]:
    return [(re.compile(path), most) for path, most in settings.LARGER_BODIES]
