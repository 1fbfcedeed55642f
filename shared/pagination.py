"""Keyset pages show the newest first. The ten-millionth row costs what the first does (no OFFSET, no COUNT).

A client that polls a list for new rows goes on from ``previous``, which never passes a row that is still to come: see
horizon.py.
"""

import base64
import binascii
import re
import uuid
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.models import Model, QuerySet

from shared.database import LARGEST_ID
from shared.errors import InvalidRequest
from shared.horizon import Horizon

M = TypeVar("M", bound=Model)

DEFAULT_LIMIT, LARGEST_LIMIT = 50, 200

NEWEST = "newest"
"""A cursor in words: where whoever polls begins without reading what is there."""

# What a cursor holds: whose list it is of (and by what, if not by the key), what it leads to, and from where.
# "<": what is older; ">": what is newer; "+": what is newer, for one who polls, and so has a "+" on each page.
_POSITION = re.compile(r"([\w.]+)([<>+])(.+)")


def settled(rows: QuerySet[M], filters: dict[str, Any], horizon: Horizon | None) -> QuerySet[M]:
    """The rows of an export: without those at the horizon, if it is one ``created_from`` a moment."""
    return rows.filter(pk__lt=horizon()) if horizon and "created_from" in filters else rows


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """Some rows of a list, newest first, and the cursors of the pages beside it; None where there is none."""

    rows: list[M]
    older: str | None
    newer: str | None


def page_of_rows(
    rows: QuerySet[M], *, limit: int = DEFAULT_LIMIT, cursor: str | None = None, by: str = "pk"
) -> Page[M]:
    """One page of ``rows`` by descending primary key (UUIDv7 or a sequence, so newest first), or by another field that
    is unique among them; for who reads a page. A cursor with nothing newer leads to the first page.

    Raises:
        InvalidRequest: the cursor is not one of ours.
    """
    page = polled_page(rows, limit=limit, cursor=cursor, by=by)
    return page if page.rows or cursor is None or page.newer is None else polled_page(rows, limit=limit, by=by)


def polled_page(
    rows: QuerySet[M],
    *,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
    horizon: Horizon | None = None,
    polls: bool = False,
    by: str = "pk",
) -> Page[M]:
    """The same for a program. Its ``newer`` never passes a row of a transaction that is still open, where ``horizon``
    says which those are; None: rows appear in the order of their keys. An empty newer page has its cursor again.

    With ``polls`` (or a cursor of one who does), every page has a ``newer``, and rows at the horizon are left for it;
    else the first page has all rows that are there, and none.

    Raises:
        InvalidRequest: the cursor is not one of ours.
    """
    listed, direction, place = _read_cursor(cursor, _List(rows.model, by))
    by = listed.by
    polls = polls or direction == "+" or cursor == NEWEST
    newer = "+" if polls else ">"
    is_newer = direction in (">", "+")
    bound = horizon() if horizon and (is_newer or direction == "<" or polls) else None
    if bound is not None and (is_newer or polls):
        rows = rows.filter(pk__lt=bound)

    if is_newer:
        found = list(rows.filter(**{f"{by}__gt": place}).order_by(by)[: limit + 1])
        is_more = len(found) > limit
        found = found[limit - 1 :: -1] if is_more else found[::-1]
        if not found:
            return Page([], older=_cursor("<", listed, _beside(place, 1)), newer=_cursor(direction, listed, place))
        return Page(
            found,
            older=_cursor("<", listed, getattr(found[-1], by)),
            newer=_cursor(newer, listed, getattr(found[0], by)) if is_more or polls else None,
        )

    settled_until = None if bound is None else _beside(bound, -1)
    if cursor == NEWEST:
        newest = rows.order_by(f"-{by}").values_list(by, flat=True).first()
        place = newest if newest is not None else settled_until or listed.before_all()
        return Page([], older=_cursor("<", listed, _beside(place, 1)), newer=_cursor("+", listed, place))

    older = rows if place is None else rows.filter(**{f"{by}__lt": place})
    found = list(older.order_by(f"-{by}")[: limit + 1])
    is_more, found = len(found) > limit, found[:limit]
    if found:
        top = getattr(found[0], by) if settled_until is None else min(getattr(found[0], by), settled_until)
    else:
        top = _beside(place, -1) if place is not None else settled_until or listed.before_all()
    return Page(
        found,
        older=_cursor("<", listed, getattr(found[-1], by)) if is_more else None,
        newer=_cursor(newer, listed, top) if polls or (found and place is not None) else None,
    )


@dataclass(frozen=True, slots=True)
class _List:
    """What a list is paged by: its model, and a field that is unique among the rows."""

    model: type[Model]
    by: str

    @property
    def name(self) -> str:
        own = str(self.model._meta.model_name)
        return own if self.by == "pk" else f"{own}.{self.by}"

    def has_uuids(self) -> bool:
        field = self.model._meta.pk if self.by == "pk" else self.model._meta.get_field(self.by)
        return bool(field.get_internal_type() == "UUIDField")

    def before_all(self) -> Any:
        return uuid.UUID(int=0) if self.has_uuids() else 0


def _cursor(direction: str, listed: _List, place: Any) -> str:
    position = f"{listed.name}{direction}{place}"
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def _read_cursor(cursor: str | None, listed: _List) -> tuple[_List, str, Any]:
    """What the page is ordered by, what it leads to, and from where; "" and None: the first page.

    A cursor by the key is one of any list of these rows, and leads on by the key: its list may have been a wider one.
    """
    if cursor is None or cursor == NEWEST:
        return listed, "", None
    try:
        position = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        written = _POSITION.fullmatch(position)
        by_key = _List(listed.model, "pk")
        if written is not None and written[1] == by_key.name:
            listed = by_key
        elif written is None or written[1] != listed.name:
            raise ValueError(position)
        direction, key = written[2], written[3]
        if listed.has_uuids():
            return listed, direction, uuid.UUID(key)
        if not (0 if direction == "+" else 1) <= int(key) <= LARGEST_ID:
            raise ValueError(key)
        return listed, direction, int(key)
    except (binascii.Error, ValueError):
        raise InvalidRequest.of_field("cursor", "invalid", "This is no cursor of this list.") from None


def _beside(place: Any, by: int) -> Any:
    """The key before (-1) or after (1) another, so that what is newer or older than it begins with that one."""
    if isinstance(place, uuid.UUID):
        return uuid.UUID(int=min(max(place.int + by, 0), 2**128 - 1))
    return min(max(place + by, 0), LARGEST_ID)
