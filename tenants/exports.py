"""Exports lists. Rows are read a page at a time, so ten million take no more memory than ten. CSV is streamed as it is
read. (Workbooks are for people alone: shared/console/workbooks.py.)"""

import csv
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any, TypeVar

import structlog
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django_tenants.utils import get_public_schema_name, schema_context, tenant_context

from shared.admission import Admission
from shared.audit import record_export
from shared.identity.realm import realm_of
from shared.pagination import MOST_SORTED, newest
from shared.requests import request_id_of
from shared.turn import in_turn, rest
from tenants.cells import read_cells
from tenants.csv_lines import FORMULA, NUMBER, Lines, read_lines
from tenants.standby import read_from_standby

ROWS_AT_A_TIME = 2000

BYTE_ORDER_MARK = "\ufeff"

_streams = Admission(of_group=32, of_one=16)
"""Downloads that a process has under way: slow readers hold theirs, and nobody else's."""

_NUMBER = re.compile(NUMBER)

_log = structlog.get_logger("recharge.exports")

P = TypeVar("P")
"""A page."""


def neutralize_formula(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula gets an apostrophe before it (OWASP, "CSV Injection").

    A sign and digits alone are a number to it and no formula, so amounts and phone numbers stay as they are.
    """
    if isinstance(value, str) and value.startswith(FORMULA) and not _NUMBER.fullmatch(value):
        return "'" + value
    return value


class Page(list[dict[str, Any]]):
    """Rows that were read together; ``as_of`` when, where they come from a standby (tenants/standby.py)."""

    def __init__(self, rows: Iterable[dict[str, Any]], as_of: datetime | None = None) -> None:
        super().__init__(rows)
        self.as_of = as_of


def pages_of(
    organization: Any, rows: Callable[..., QuerySet[Any]], by: str = "pk", *, descending: bool = True
) -> Iterator[Page]:
    """All rows, newest first (oldest first, if not ``descending``), as pages of dicts; of the platform's own tables, if
    ``organization`` is None.
    ``rows(**conditions)`` gives the rows that meet further conditions.
    ``by`` is what they are ordered by, as for :func:`shared.pagination.page_of_rows`.

    Each page is a query of its own in the organization's schema: by the time it is read the request's middleware is
    long done, between two pages the connection belongs to whoever is next on this thread, and no transaction stays
    open for as long as a slow client takes.
    """
    return _pages(organization, rows, by, descending, _read_dicts)


def lines_of(
    organization: Any,
    rows: Callable[..., QuerySet[Any]],
    columns: Sequence[str],
    by: str = "pk",
    *,
    descending: bool = True,
) -> Iterator[Lines]:
    """The same as pages of a CSV file's lines with these columns, as the database writes them."""
    return _pages(organization, rows, by, descending, partial(_read_lines, columns))


def cells_of(
    organization: Any,
    rows: Callable[..., QuerySet[Any]],
    columns: Sequence[str],
    by: str = "pk",
    *,
    descending: bool = True,
) -> Iterator[list[list[Any]]]:
    """The same as pages of a workbook's rows with these columns, as the database writes them."""
    return _pages(organization, rows, by, descending, partial(_read_cells, columns))


def sorted_cells_of(
    organization: Any,
    rows: Callable[..., QuerySet[Any]],
    columns: Sequence[str],
    *,
    by: str,
    field: str,
    descending: bool,
) -> Iterator[list[list[Any]]]:
    """The newest MOST_SORTED rows, in the order of a field of theirs: what the list shows that is sorted so. They are
    one page, and one query; ``by`` is what they are ordered by in time."""
    yield _sorted(organization, rows, by, field, descending, partial(_read_cells, columns))


def sorted_lines_of(
    organization: Any,
    rows: Callable[..., QuerySet[Any]],
    columns: Sequence[str],
    *,
    by: str,
    field: str,
    descending: bool,
) -> Iterator[Lines]:
    """The rows of :func:`sorted_cells_of` as lines, as :func:`lines_of`."""
    yield _sorted(organization, rows, by, field, descending, partial(_read_lines, columns))


_Read = Callable[[QuerySet[Any], str], tuple[P, int, Any]]
"""Reads a page: it, how many rows it has, and what the last of them has where the rows are ordered by this."""


def _pages(
    organization: Any, rows: Callable[..., QuerySet[Any]], by: str, descending: bool, read: _Read[P]
) -> Iterator[P]:
    after: dict[str, Any] = {}
    while True:
        with _schema_of(organization):
            page, count, last = read(rows(**after).order_by(f"-{by}" if descending else by)[:ROWS_AT_A_TIME], by)
        yield page
        if count < ROWS_AT_A_TIME:
            return
        after = {f"{by}__{'lt' if descending else 'gt'}": last}


def _sorted(
    organization: Any, rows: Callable[..., QuerySet[Any]], by: str, field: str, descending: bool, read: _Read[P]
) -> P:
    sign = "-" if descending else ""
    with _schema_of(organization):
        kept, _is_cut = newest(rows(), MOST_SORTED, by=by)
        page, _, _ = read(kept.order_by(f"{sign}{field}", f"{sign}pk"), by)
    return page


def _read_dicts(rows: QuerySet[Any], by: str) -> tuple[Page, int, Any]:
    found = read_from_standby(lambda: list(rows.values()))
    last = found.value[-1]["id" if by == "pk" else by] if found.value else None
    return Page(found.value, found.as_of), len(found.value), last


def _read_lines(columns: Sequence[str], rows: QuerySet[Any], by: str) -> tuple[Lines, int, Any]:
    found = read_from_standby(lambda: read_lines(rows, columns, by))
    text, count, last = found.value
    return Lines(text, found.as_of), count, last


def _read_cells(columns: Sequence[str], rows: QuerySet[Any], by: str) -> tuple[list[list[Any]], int, Any]:
    return read_from_standby(lambda: read_cells(rows, columns, by)).value


def _schema_of(organization: Any) -> AbstractContextManager[Any]:
    if organization is None:
        return schema_context(get_public_schema_name())  # type: ignore[no-any-return]
    return tenant_context(organization)  # type: ignore[no-any-return]


def as_json(pages: Iterator[list[dict[str, Any]]], *columns: str) -> Iterator[list[dict[str, Any]]]:
    """The same pages with these columns' values (objects, or None) as text."""
    for page in pages:
        for row in page:
            for name in columns:
                row[name] = "" if row[name] is None else json.dumps(row[name], ensure_ascii=False, sort_keys=True)
        yield page


def csv_response(
    *,
    filename: str,
    columns: Sequence[str],
    pages: Iterator[Lines | Iterable[Mapping[str, Any]]],
    request: HttpRequest,
    person: int | str | None,
    filters: Mapping[str, Any],
    is_for_people: bool = False,
) -> StreamingHttpResponse:
    """A download of all rows of all pages, a line each, below a line of the columns' names, sent as they are read.

    The first page is read before anything is sent, so that what fails at once is a problem document. What fails later
    ends the file with a line that says so: the server closes a stream that broke off as if it were whole.
    ``person`` is the id of the user who asks; ``filters`` say which rows, for the audit table. One ``is_for_people``
    begins with a byte order mark, by which spreadsheets know UTF-8; programs would take it for a part of the first
    column's name.

    Raises:
        Unavailable: this person or the organization has as many downloads under way as it may.
    """
    request_id = request_id_of(request)
    admitted = realm_of(request).slug, str(person)
    _streams.enter(*admitted)
    try:
        with in_turn():
            first = next(pages)
        record_export(filename, filters)
    except BaseException:
        _streams.leave(*admitted)
        raise
    writer = csv.writer(_Echo())

    def parts() -> Iterator[str]:
        yield (BYTE_ORDER_MARK if is_for_people else "") + writer.writerow(columns)
        try:
            yield from texts_of(chain([first], pages), columns)
        except Exception:  # noqa: BLE001 - whatever it is, the file must not look complete
            # The request's log line has been written, and what bound its id to the log is gone.
            _log.exception("export_broken_off", request_id=request_id, filename=filename)
            yield writer.writerow([f"This export broke off here: rows are missing. Request id: {request_id}"])

    return StreamingHttpResponse(
        _Admitted(parts(), partial(_streams.leave, *admitted)),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{filename}"'} | _age_of(first),
    )


def texts_of(pages: Iterator[Lines | Iterable[Mapping[str, Any]]], columns: Sequence[str]) -> Iterator[str]:
    """Each page as lines of a CSV file. While its reader is waited for, it is another download's turn."""
    writer, worked, ended = csv.writer(_Echo()), 0.0, 0.0
    while True:
        if worked:
            rest(worked, rested=time.monotonic() - ended)
        with in_turn():
            began = time.monotonic()
            page = next(pages, None)
            if page is None:
                return
            if isinstance(page, Lines):
                text = page.text
            else:
                text = "".join(writer.writerow([_cell(row[name]) for name in columns]) for row in page)
            ended = time.monotonic()
            worked = ended - began
        yield text


def _age_of(first: Lines | Iterable[Any]) -> dict[str, str]:
    """Whoever compares a download with what was sold a moment ago must know that it is older."""
    as_of = first.as_of if isinstance(first, Lines | Page) else None
    return {} if as_of is None else {"X-Data-As-Of": _cell(as_of)}


class _Admitted:
    """The parts of a download that is under way until they are closed, begun or not."""

    def __init__(self, parts: Iterator[str], leave: Callable[[], None]) -> None:
        self._parts = parts
        self._leave = leave
        self._is_open = threading.Lock()

    def __iter__(self) -> Iterator[str]:
        return self._parts

    def close(self) -> None:
        if self._is_open.acquire(blocking=False):  # the first time
            self._leave()


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return neutralize_formula(value)


class _Echo:
    """A file for csv.writer whose write hands the line back, so that writerow returns it."""

    def write(self, line: str) -> str:
        return line
