"""How a list is read: in which order, how many rows to a page, which of its columns, and what its rows add up to.

The order is in the address (``sort=-amount``), and so is the size of a page (``size=100``), which a cookie remembers.
Columns that nobody wants are in a cookie for each list. Nothing of it needs script.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Model, QuerySet, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.utils.translation import gettext_lazy as _

from shared.database import TookTooLong, within
from shared.errors import InvalidRequest
from shared.pagination import MOST_SORTED, Page, newest, page_of_rows, sorted_page, value_of

if TYPE_CHECKING:
    from shared.console.tables import Table

M = TypeVar("M", bound=Model)

SIZES = (25, 50, 100, 200)
"""Rows to a page."""
MOST_CHOSEN = SIZES[-1]
"""The most rows that something is done with at once."""
MOST_MILLISECONDS = 700
"""What adding up or sorting may take; a filter that finds one row in a million makes it long."""

NOTHING_CHOSEN = _("Nothing is selected. Select rows first.")

NEWEST = "-time"
OLDEST = "time"

SIZE_COOKIE = "list_size"
COLUMNS = "columns"
"""The parameter with which the form of the columns is sent: the names of those to be shown."""
_YEAR = 365 * 24 * 60 * 60
_NAME = re.compile(r"[a-z_]{1,30}")


@dataclass(frozen=True, slots=True)
class Sums:
    """What the rows of a list add up to: how many they are, and the sums of fields (Tomans). ``is_cut``: of the newest
    MOST_SORTED, of which there may be more."""

    count: int
    amounts: Mapping[str, int]
    is_cut: bool = False


@dataclass(frozen=True)
class Listing:
    """What somebody wants to see of a list."""

    request: HttpRequest
    name: str
    """Of the list, and of its cookie."""
    fields: Mapping[str, str]
    """What it can be sorted by besides the time, and the fields of it."""
    sort: str
    size: int
    hidden: frozenset[str]
    """Names of columns that are not to be shown."""
    notes: list[str] = field(default_factory=list)
    """What is to be said of the page, once it is made: "cut": of the newest MOST_SORTED; "slow": by time after all."""

    @property
    def by(self) -> str:
        """What it is sorted by."""
        return self.sort.removeprefix("-")

    @property
    def descending(self) -> bool:
        return self.sort.startswith("-")

    @property
    def sort_given(self) -> str:
        """The order, for the address; nothing where it is the usual one."""
        return "" if self.sort == NEWEST else self.sort

    @property
    def is_by_time(self) -> bool:
        return self.by == "time"

    @property
    def cursor(self) -> str | None:
        return self.request.GET.get("cursor")

    def page(self, rows: QuerySet[M], *, key: str = "pk") -> Page[M]:
        """The page that is asked for. ``key`` is what the list is paged by in order of time.

        Raises:
            InvalidRequest: the cursor is none of this list in this order.
        """
        if self.sort == NEWEST:
            return page_of_rows(rows, limit=self.size, cursor=self.cursor, by=key)
        by_field = "pk" if self.is_by_time else self.fields[self.by]
        if self.is_by_time:
            return sorted_page(rows, field=by_field, descending=False, limit=self.size, cursor=self.cursor)
        try:
            with within(MOST_MILLISECONDS):
                kept, is_cut = newest(rows, MOST_SORTED, by=key)
                shown = sorted_page(
                    kept, field=by_field, descending=self.descending, limit=self.size, cursor=self.cursor
                )
        except TookTooLong:
            self.notes.append("slow")
            return page_of_rows(rows, limit=self.size, by=key)
        if is_cut:
            self.notes.append("cut")
        return shown

    def address(self, **changes: str | None) -> str:
        """This page's address with other parameters; None takes one away."""
        query = self.request.GET.copy()
        for name, value in ({"cursor": None, COLUMNS: None} | changes).items():
            query.pop(name, None)
            if value is not None:
                query[name] = value
        return self.request.path + ("?" + query.urlencode() if query else "")

    def sort_link(self, by: str, *, first_descending: bool) -> tuple[str, str]:
        """Where the heading of a column leads, and its ``aria-sort`` now ("": the list is sorted by another)."""
        if by != self.by:
            return self.address(sort=_given(f"-{by}" if first_descending else by)), ""
        turned = by if self.descending else f"-{by}"
        return self.address(sort=_given(turned)), "descending" if self.descending else "ascending"

    @property
    def sizes(self) -> list[tuple[int, str]]:
        """The sizes of a page, and where each is to be had."""
        return [(size, self.address(size=str(size))) for size in SIZES]

    @property
    def kept(self) -> list[tuple[str, str]]:
        """What a form that changes something else carries of the address."""
        given = self.request.GET.lists()
        return [(name, value) for name, values in given if name not in ("cursor", COLUMNS) for value in values]


def _given(sort: str) -> str | None:
    return None if sort == NEWEST else sort


def listing_of(request: HttpRequest, name: str, fields: Mapping[str, str] | None = None) -> Listing:
    """What a request wants to see of the list of this name. ``fields``: what it can be sorted by besides the time.

    Raises:
        InvalidRequest: it can't be sorted so, or a page can't have so many rows.
    """
    fields = fields or {}
    sort = request.GET.get("sort") or NEWEST
    if sort.removeprefix("-") not in {"time", *fields}:
        raise InvalidRequest.of_field("sort", "invalid", "This list can't be sorted so.")
    size = request.GET.get("size") or request.COOKIES.get(SIZE_COOKIE) or ""
    if size not in map(str, SIZES):
        if request.GET.get("size"):
            raise InvalidRequest.of_field("size", "invalid", "A page has 25, 50, 100 or 200 rows.")
        size = str(SIZES[0])
    hidden = frozenset(_NAME.findall(request.COOKIES.get(_cookie_of(name), "")))
    return Listing(request, name, fields, sort, int(size), hidden)


def remember(listing: Listing, response: HttpResponse) -> HttpResponse:
    """The answer, with the size that was chosen in its cookie."""
    if listing.request.GET.get("size"):
        _set(response, SIZE_COOKIE, str(listing.size))
    return response


def chosen_columns(listing: Listing, table: "Table") -> HttpResponse | None:
    """Where the form of the columns was sent: on to the list, with what was chosen in the list's cookie."""
    request = listing.request
    if COLUMNS not in request.GET:
        return None
    wanted = set(request.GET.getlist(COLUMNS))
    response = HttpResponseRedirect(listing.address())
    _set(
        response,
        _cookie_of(listing.name),
        ".".join(name for name, _heading, _is in table.choices if name not in wanted),
    )
    return response


def sums_of(
    rows: QuerySet[Any], adds: Sequence[str], *, page: Page[Any], listing: Listing, key: str = "pk"
) -> Sums | None:
    """What these fields of the rows add up to, at most of the newest MOST_SORTED rows; None where that would take too
    long. A list that is on one ``page`` is added up here."""
    if not (listing.cursor or page.older or page.newer):
        return sums_of_all(page.rows, adds)
    try:
        with within(MOST_MILLISECONDS):
            found = rows.order_by(f"-{key}")[:MOST_SORTED].aggregate(
                number_of_rows=Count("*"), **{f"sum_of_{one}": Sum(one) for one in adds}
            )
    except TookTooLong:
        return None
    count = found["number_of_rows"]
    return Sums(count, {one: found[f"sum_of_{one}"] or 0 for one in adds}, is_cut=count == MOST_SORTED)


def sums_of_all(rows: Sequence[Any], adds: Sequence[str]) -> Sums:
    """What these fields of the rows, which are all there are, add up to."""
    return Sums(len(rows), {one: sum(value_of(row, one) for row in rows) for one in adds})


def chosen_ids(sent: QueryDict) -> list[UUID]:
    """The rows that were chosen in a form of a list, each once, in their order.

    Raises:
        InvalidRequest: something else was sent, or more than MOST_CHOSEN.
    """
    try:
        ids = list(dict.fromkeys(UUID(one) for one in sent.getlist("ids")))
    except ValueError:
        raise InvalidRequest.of_field("ids", "invalid", "This is no row of this list.") from None
    if len(ids) > MOST_CHOSEN:
        raise InvalidRequest.of_field("ids", "too_many", f"At most {MOST_CHOSEN} rows are taken at once.")
    return ids


def _cookie_of(name: str) -> str:
    return f"{COLUMNS}_{name}"


def _set(response: HttpResponse, name: str, value: str) -> None:
    response.set_cookie(name, value, max_age=_YEAR, secure=settings.HTTPS, httponly=True, samesite="Lax")
