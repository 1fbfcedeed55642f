"""Exports lists. Rows are read a page at a time, so ten million take no more memory than ten. CSV is streamed as it is
read. (Workbooks are for people alone: shared/console/workbooks.py.)"""

import csv
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any

import structlog
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django_tenants.utils import get_public_schema_name, schema_context, tenant_context

from shared.admission import Admission
from shared.audit import record_export
from shared.identity.realm import realm_of
from shared.pagination import MOST_SORTED, newest
from shared.requests import request_id_of
from tenants.standby import read_from_standby

ROWS_AT_A_TIME = 2000

BYTE_ORDER_MARK = "\ufeff"

_streams = Admission(of_group=32, of_one=16)
"""Downloads that a process has under way: slow readers hold theirs, and nobody else's."""

_turn = threading.Lock()
"""Held while a page is read and written as text. All threads share one interpreter: a sale would wait for it once for
each download that is at work."""

TURN_SECONDS = 1.0
"""How long a download waits for its turn: a page whose query has to wait itself holds up nobody for longer."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[+-]?[0-9]+")

_log = structlog.get_logger("recharge.exports")


def neutralize_formula(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula gets an apostrophe before it (OWASP, "CSV Injection").

    A sign and digits alone are a number to it and no formula, so amounts and phone numbers stay as they are.
    """
    if isinstance(value, str) and value.startswith(_FORMULA) and not _NUMBER.fullmatch(value):
        return "'" + value
    return value


class Page(list[dict[str, Any]]):
    """Rows that were read together; ``as_of`` when, where they come from a standby (tenants/standby.py)."""

    def __init__(self, rows: Iterable[dict[str, Any]], as_of: datetime | None = None) -> None:
        super().__init__(rows)
        self.as_of = as_of


def pages_of(
    organization: Any, rows: Callable[..., QuerySet[Any]], by: str = "pk", *, descending: bool = True
) -> Iterator[list[dict[str, Any]]]:
    """All rows, newest first (oldest first, if not ``descending``), as pages of dicts; of the platform's own tables, if
    ``organization`` is None.
    ``rows(**conditions)`` gives the rows that meet further conditions.
    ``by`` is what they are ordered by, as for :func:`shared.pagination.page_of_rows`.

    Each page is a query of its own in the organization's schema: by the time it is read the request's middleware is
    long done, between two pages the connection belongs to whoever is next on this thread, and no transaction stays
    open for as long as a slow client takes.
    """
    after: dict[str, Any] = {}
    while True:
        wanted = rows(**after).order_by(f"-{by}" if descending else by).values()[:ROWS_AT_A_TIME]
        page = _read(organization, wanted)
        yield page
        if len(page) < ROWS_AT_A_TIME:
            return
        after = {f"{by}__{'lt' if descending else 'gt'}": page[-1]["id" if by == "pk" else by]}


def sorted_pages_of(
    organization: Any, rows: Callable[..., QuerySet[Any]], *, by: str, field: str, descending: bool
) -> Iterator[list[dict[str, Any]]]:
    """The newest MOST_SORTED rows, in the order of a field of theirs: what the list shows that is sorted so. They are
    one page, and one query; ``by`` is what they are ordered by in time."""
    with _schema_of(organization):
        kept, _is_cut = newest(rows(), MOST_SORTED, by=by)
    sign = "-" if descending else ""
    yield _read(organization, kept.order_by(f"{sign}{field}", f"{sign}pk").values())


def _read(organization: Any, rows: QuerySet[Any]) -> Page:
    with _schema_of(organization):
        read = read_from_standby(lambda: list(rows.all()))
    return Page(read.value, read.as_of)


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
    pages: Iterator[Iterable[Mapping[str, Any]]],
    request: HttpRequest,
    person: int | str | None,
    filters: Mapping[str, Any],
    is_for_people: bool = False,
) -> StreamingHttpResponse:
    """A download of all rows of all pages, a line each, below a line of the columns' names.

    One ``is_for_people`` begins with a byte order mark, by which spreadsheets know UTF-8; programs would take it for a
    part of the first column's name. The rest is as for :func:`streamed`.

    Raises:
        Unavailable: this person or the organization has as many downloads under way as it may.
    """
    writer = csv.writer(_Echo())
    return streamed(
        filename=filename,
        content_type="text/csv; charset=utf-8",
        head=(BYTE_ORDER_MARK if is_for_people else "") + writer.writerow(columns),
        written=lambda row: writer.writerow([_cell(row[name]) for name in columns]),
        told=lambda text: writer.writerow([text]),
        pages=pages,
        request=request,
        person=person,
        filters=filters,
    )


def streamed(
    *,
    filename: str,
    content_type: str,
    head: str = "",
    written: Callable[[Mapping[str, Any]], str],
    told: Callable[[str], str],
    pages: Iterator[Iterable[Mapping[str, Any]]],
    request: HttpRequest,
    person: int | str | None,
    filters: Mapping[str, Any],
) -> StreamingHttpResponse:
    """A download of all rows of all pages, sent as they are read: ``head``, and then each row as it is ``written``.

    The first page is read before anything is sent, so that what fails at once is a problem document. What fails later
    ends the file with what is ``told``: the server closes a stream that broke off as if it were whole.
    ``person`` is the id of the user who asks; ``filters`` say which rows, for the audit table.

    Raises:
        Unavailable: this person or the organization has as many downloads under way as it may.
    """
    request_id = request_id_of(request)
    admitted = realm_of(request).slug, str(person)
    _streams.enter(*admitted)
    try:
        with _in_turn():
            first = next(pages)
        record_export(filename, filters)
    except BaseException:
        _streams.leave(*admitted)
        raise

    def parts() -> Iterator[str]:
        yield head
        try:
            yield from texts_of(chain([first], pages), written)
        except Exception:  # noqa: BLE001 - whatever it is, the file must not look complete
            # The request's log line has been written, and what bound its id to the log is gone.
            _log.exception("export_broken_off", request_id=request_id, filename=filename)
            yield told(f"This export broke off here: rows are missing. Request id: {request_id}")

    return StreamingHttpResponse(
        _Admitted(parts(), partial(_streams.leave, *admitted)),
        content_type=content_type,
        headers={"Content-Disposition": f'attachment; filename="{filename}"'} | _age_of(first),
    )


def texts_of(
    pages: Iterator[Iterable[Mapping[str, Any]]], written: Callable[[Mapping[str, Any]], str]
) -> Iterator[str]:
    """Each page as text. Of a process' downloads one is at work at a time, while nobody waits for its reader."""
    while True:
        with _in_turn():
            page = next(pages, None)
            if page is None:
                return
            text = "".join(map(written, page))
        yield text


def _age_of(first: Iterable[Any]) -> dict[str, str]:
    """Whoever compares a download with what was sold a moment ago must know that it is older."""
    as_of = first.as_of if isinstance(first, Page) else None
    return {} if as_of is None else {"X-Data-As-Of": _cell(as_of)}


@contextmanager
def _in_turn() -> Iterator[None]:
    has_turn = _turn.acquire(timeout=TURN_SECONDS)
    try:
        yield
    finally:
        if has_turn:
            _turn.release()


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
