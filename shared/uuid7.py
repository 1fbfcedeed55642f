"""Ranges of time on rows whose id is a UUIDv7 of their ``created_at`` (credit/sql/uuid7.sql).

The id's first 48 bits are the milliseconds, so a range of time is a range of the primary key, and a page of it is found
in the same index that gives "newest first". ``created_at`` itself decides at the edges, within a millisecond.
"""

import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def from_moment(moment: datetime) -> dict[str, Any]:
    """Filters for rows created at this moment or later."""
    return {"created_at__gte": moment, "id__gte": least_id(moment)}


def until_moment(moment: datetime) -> dict[str, Any]:
    """Filters for rows created before this moment."""
    return {"created_at__lt": moment, "id__lt": UUID(int=_milliseconds(moment) + 1 << 80)}


def least_id(moment: datetime) -> UUID:
    """What no id of this moment or later is less than; to the millisecond."""
    return UUID(int=_milliseconds(moment) << 80)


def moment_of(row_id: UUID) -> datetime:
    """When the row with this UUIDv7 was created, to the millisecond."""
    return _EPOCH + timedelta(milliseconds=row_id.int >> 80)


def new_id(moment: datetime) -> UUID:
    """A UUIDv7 for a row that is made now (RFC 9562 section 5.7): the milliseconds, and 74 random bits."""
    random = secrets.randbits(74)
    return UUID(int=_milliseconds(moment) << 80 | 7 << 76 | random >> 62 << 64 | 2 << 62 | random & (1 << 62) - 1)


def _milliseconds(moment: datetime) -> int:
    return max(0, (moment - _EPOCH) // timedelta(milliseconds=1))


_WRITTEN = re.compile(r"[0-9a-f]{1,32}")


def ids_that_begin(written: str) -> tuple[UUID, UUID] | None:
    """The least and the largest id whose digits begin so, with or without dashes; None: no id does."""
    digits = written.strip().lower().replace("-", "")
    if not _WRITTEN.fullmatch(digits):
        return None
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
