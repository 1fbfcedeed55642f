"""Exports, read a page at a time, so that ten million rows take no more memory than ten: CSV, streamed as it is read,
and XLSX, written to a temporary file first (a workbook is a ZIP archive, and its directory comes last)."""

import csv
import re
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any

import structlog
import xlsxwriter
from django.db.models import QuerySet
from django.http import FileResponse, HttpRequest, StreamingHttpResponse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import get_language_bidi
from django.utils.translation import gettext as _
from django_tenants.utils import tenant_context
from rest_framework.renderers import BaseRenderer

from shared.admission import Admission
from shared.identity.realm import realm_of
from shared.requests import request_id_of

ROWS_AT_A_TIME = 2000

BYTE_ORDER_MARK = "\ufeff"

LARGEST_SHEET = 50_000
"""Rows of a workbook at most (a sheet could hold 1,048,575): it is whole before its first byte is sent, and a proxy
does not wait for long. A CSV file has as many as there are."""

_streams = Admission(of_group=32, of_one=16)
"""Downloads that a process has under way: slow readers hold theirs, and nobody else's."""

_workbooks = Admission(of_group=2, of_one=1)
"""Workbooks that a process writes at once. (All together it writes as many as it has threads for: saas/gate.py.)"""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[+-]?[0-9]+")

_log = structlog.get_logger("recharge.exports")


class CSVRenderer(BaseRenderer):
    """Lets a client ask for ``text/csv``; the response streams by itself and is never rendered by this."""

    media_type = "text/csv"
    format = "csv"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        raise NotImplementedError


def neutralize_formula(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula gets an apostrophe before it (OWASP, "CSV Injection").

    A sign and digits alone are a number to it and no formula, so amounts and phone numbers stay as they are.
    """
    if isinstance(value, str) and value.startswith(_FORMULA) and not _NUMBER.fullmatch(value):
        return "'" + value
    return value


def pages_of(organization: Any, rows: Callable[..., QuerySet[Any]], by: str = "pk") -> Iterator[list[dict[str, Any]]]:
    """All rows, newest first, as pages of dicts. ``rows(**conditions)`` gives the rows that meet further conditions.
    ``by`` is what they are ordered by, as for :func:`shared.rest.pagination.page_of_rows`.

    Each page is a query of its own in the organization's schema: by the time it is read the request's middleware is
    long done, between two pages the connection belongs to whoever is next on this thread, and no transaction stays
    open for as long as a slow client takes.
    """
    after: dict[str, Any] = {}
    while True:
        with tenant_context(organization):
            page = list(rows(**after).order_by(f"-{by}").values()[:ROWS_AT_A_TIME])
        yield page
        if len(page) < ROWS_AT_A_TIME:
            return
        after = {f"{by}__lt": page[-1]["id" if by == "pk" else by]}


def csv_response(
    *,
    filename: str,
    columns: Sequence[str],
    pages: Iterator[Iterable[Mapping[str, Any]]],
    request: HttpRequest,
    person: int | None,
    is_for_people: bool = False,
) -> StreamingHttpResponse:
    """A download of all rows of all pages, a line each, below a line of the columns' names.

    One ``is_for_people`` begins with a byte order mark, by which spreadsheets know UTF-8; programs would take it for a
    part of the first column's name.

    The first page is read before anything is sent, so that what fails at once is a problem document. What fails later
    ends the file with a line that says so: the server closes a stream that broke off as if it were whole.
    ``person`` is the id of the user who asks.

    Raises:
        Unavailable: this person or the organization has as many downloads under way as it may.
    """
    request_id = request_id_of(request)
    admitted = realm_of(request).slug, person
    _streams.enter(*admitted)
    try:
        first = next(pages)
    except BaseException:
        _streams.leave(*admitted)
        raise

    def lines() -> Iterator[str]:
        writer = csv.writer(_Echo())
        yield (BYTE_ORDER_MARK if is_for_people else "") + writer.writerow(columns)
        try:
            for page in chain([first], pages):
                yield "".join(writer.writerow([_cell(row[name]) for name in columns]) for row in page)
        except Exception:  # noqa: BLE001 - whatever it is, the file must not look complete
            # The request's log line has been written, and what bound its id to the log is gone.
            _log.exception("export_broken_off", request_id=request_id, filename=filename)
            yield writer.writerow([f"This export broke off here: rows are missing. Request id: {request_id}"])

    return StreamingHttpResponse(
        _Admitted(lines(), partial(_streams.leave, *admitted)),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{filename}"'},
    )


class _Admitted:
    """The lines of a download that is under way until they are closed, begun or not."""

    def __init__(self, lines: Iterator[str], leave: Callable[[], None]) -> None:
        self._lines = lines
        self._leave = leave
        self._is_open = threading.Lock()

    def __iter__(self) -> Iterator[str]:
        return self._lines

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


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a sheet: its title, the value that it has in a row, and how wide it is, in characters.

    ``name`` is the row's key; ``shown`` makes of the value what the reader sees (a kind as a word). Whole numbers and
    moments become a spreadsheet's numbers and dates (in the reader's time zone), anything else is text.
    """

    name: str
    title: str | Promise
    width: int = 16
    shown: Callable[[Any], Any] | None = None

    def value(self, row: Mapping[str, Any]) -> Any:
        value = row[self.name]
        return self.shown(value) if self.shown and value is not None else value


def xlsx_response(
    *,
    filename: str,
    sheet: str | Promise,
    columns: Sequence[Column],
    pages: Iterator[Iterable[Mapping[str, Any]]],
    request: HttpRequest,
    person: int | None,
) -> FileResponse:
    """A download of a workbook with one sheet: the rows of all pages below a line of the columns' titles, in the
    reader's language and direction.

    It is whole before anything is sent, so that what fails is a problem and never half a file. Where there are more
    than :data:`LARGEST_SHEET` rows, the last line says so.

    Raises:
        Unavailable: this process is writing another one for this person, or two for the organization.
    """
    admitted = realm_of(request).slug, person
    _workbooks.enter(*admitted)
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the response closes it when it is sent
    try:
        _write_workbook(file, str(sheet), columns, pages)
    except BaseException:
        file.close()
        raise
    finally:
        _workbooks.leave(*admitted)
    file.seek(0)
    return FileResponse(
        file,
        as_attachment=True,
        filename=filename,
        content_type="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    )


def _write_workbook(
    file: Any, title: str, columns: Sequence[Column], pages: Iterator[Iterable[Mapping[str, Any]]]
) -> None:
    # constant_memory: each row goes to the disk when the next one begins.
    with xlsxwriter.Workbook(file, {"constant_memory": True}) as workbook:
        sheet = workbook.add_worksheet(title[:31])
        if get_language_bidi():
            sheet.right_to_left()
        heading = workbook.add_format({"bold": True})
        number = workbook.add_format({"num_format": "#,##0"})
        moment = workbook.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        for index, column in enumerate(columns):
            sheet.set_column(index, index, column.width)
            sheet.write_string(0, index, str(column.title), heading)
        sheet.freeze_panes(1, 0)

        rows = chain.from_iterable(pages)
        for line, row in enumerate(rows, start=1):
            if line == LARGEST_SHEET and next(rows, None) is not None:
                sheet.write_string(
                    line,
                    0,
                    _("More rows than a workbook takes: the rest is missing. Narrow the filters, or take CSV."),
                )
                return
            for index, column in enumerate(columns):
                value = column.value(row)
                match value:
                    case None:
                        pass
                    case int():
                        sheet.write_number(line, index, value, number)
                    case datetime():
                        # A spreadsheet's times have no zone.
                        sheet.write_datetime(line, index, timezone.localtime(value).replace(tzinfo=None), moment)
                    case _:
                        # write_string: whatever it looks like, it is no formula, no link and no number.
                        sheet.write_string(line, index, str(value))
