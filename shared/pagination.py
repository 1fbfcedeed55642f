"""Keyset pages show the newest first. The ten-millionth row costs what the first does (no OFFSET, no COUNT).

A client that polls a list for new rows goes on from ``previous``, which never passes a row that is still to come: see
horizon.py.
"""

import base64
import binascii
import json
import re
import uuid
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet

from shared.database import LARGEST_ID
from shared.errors import InvalidRequest
from shared.horizon import Horizon

M = TypeVar("M", bound=Model)

DEFAULT_LIMIT, LARGEST_LIMIT = 50, 200

MOST_SORTED = 10_000
"""Rows that are added up, or sorted by what has no index: the newest of a list. That many take ten milliseconds."""

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


def sorted_page(
    rows: QuerySet[M],
    *,
    field: str,
    descending: bool,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[M]:
    """One page of ``rows`` in the order of a field of the rows (or of one that they refer to, as ``account__balance``;
    or of an annotation),
    and of the key where that is the same: no row twice and none missing, as long as the field stays as it is. ``older``
    leads on, ``newer`` back. The field must not be null. ``field`` "pk": by the key alone.

    It is as fast as an index on the field makes it. Without one, all ``rows`` are read: see :func:`newest`.

    Raises:
        InvalidRequest: the cursor is not one of this order.
    """
    is_back, place = _read_place(cursor, field, descending, rows)
    everything = rows
    forwards = descending == is_back
    if place is not None:
        way = "gt" if forwards else "lt"
        beyond = Q(**{f"pk__{way}": place[-1]})
        if field != "pk":
            beyond = Q(**{f"{field}__{way}": place[0]}) | Q(beyond, **{field: place[0]})
        rows = rows.filter(beyond)
    sign = "" if forwards else "-"
    ordered = rows.order_by(f"{sign}{field}", *([] if field == "pk" else [f"{sign}pk"]))
    found = list(ordered[: limit + 1])
    is_more, found = len(found) > limit, found[:limit]
    if is_back:
        if not found:  # nothing before it any more: the first page
            return sorted_page(everything, field=field, descending=descending, limit=limit)
        found.reverse()

    def leading(row: M, back: bool) -> str:
        return _place_cursor(field, descending, back, row)

    return Page(
        found,
        older=leading(found[-1], False) if found and (is_more or is_back) else None,
        newer=leading(found[0], True) if found and (is_more if is_back else place is not None) else None,
    )


def newest(rows: QuerySet[M], most: int, *, by: str = "pk") -> tuple[QuerySet[M], bool]:
    """The newest rows alone, ``most`` of them; and whether there are more. One query, which reads so many of an index.
    ``by`` is what the list is ordered by, as for :func:`page_of_rows`."""
    last = rows.order_by(f"-{by}").values_list(by, flat=True)[most - 1 : most + 1]
    kept = list(last)
    return (rows.filter(**{f"{by}__gte": kept[0]}), True) if len(kept) == 2 else (rows, False)


def value_of(row: Model, field: str) -> Any:
    """The value of a field of a row, or of one that it refers to, as ``account__balance``."""
    value: Any = row
    for name in field.split("__"):
        value = getattr(value, name)
    return value


def _place_cursor(field: str, descending: bool, back: bool, row: Model) -> str:
    place = [field, descending, back, *([] if field == "pk" else [value_of(row, field)]), row.pk]
    return base64.urlsafe_b64encode(json.dumps(place, default=str).encode()).decode().rstrip("=")


def _read_place(cursor: str | None, field: str, descending: bool, rows: QuerySet[Any]) -> tuple[bool, list[Any] | None]:
    if cursor is None:
        return False, None
    try:
        written = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        read = json.loads(written)
        if not isinstance(read, list) or read[:2] != [field, descending] or not isinstance(read[2], bool):
            raise ValueError(read)
        place = read[3:]
        if len(place) != (1 if field == "pk" else 2):
            raise ValueError(place)
        if field != "pk":
            is_number = isinstance(place[0], int) and not isinstance(place[0], bool) and abs(place[0]) <= LARGEST_ID
            if not is_number and not (isinstance(place[0], str) and "\0" not in place[0]):
                raise ValueError(place)
            str(place[0]).encode()  # half a surrogate pair is no text
            _field_of(rows, field).get_prep_value(place[0])
        key = rows.model._meta.pk
        place[-1] = key.to_python(place[-1])
        if place[-1] is None:
            raise ValueError(place)
        if isinstance(place[-1], int) and not 0 < place[-1] <= LARGEST_ID:
            raise ValueError(place)
        return read[2], place
    except (binascii.Error, ValueError, TypeError, IndexError, RecursionError, ValidationError):
        raise InvalidRequest.of_field("cursor", "invalid", "This is no cursor of this list.") from None


def _field_of(rows: QuerySet[Any], field: str) -> Any:
    if field in rows.query.annotations:
        return rows.query.annotations[field].output_field
    model: Any = rows.model
    *path, name = field.split("__")
    for step in path:
        model = model._meta.get_field(step).related_model
    return model._meta.get_field(name)


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
