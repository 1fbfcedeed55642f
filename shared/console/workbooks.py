"""Has lists written as workbooks (XLSX), for people, by a program of its own (xlsx.py). A workbook is a ZIP archive,
whose directory comes last: it goes to a temporary file first, and is sent when it is whole."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.http import FileResponse, HttpRequest
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import get_language_bidi
from django.utils.translation import gettext as _

from shared.admission import Admission
from shared.aside import microseconds_of, write_aside
from shared.audit import record_export
from shared.identity.realm import realm_of

LARGEST_SHEET = 50_000
"""Rows of a workbook at most (a sheet could hold 1,048,575): it is whole before its first byte is sent, and a proxy
does not wait for long. A CSV file has as many as there are."""

_workbooks = Admission(of_group=2, of_one=1)
"""Workbooks that a process has under way. (All together: the threads that saas/gate.py has for them.)"""

_PROGRAM = Path(__file__).with_name("xlsx.py")
_LONGEST_TITLE = 31
"""Characters of a sheet's title."""
_TOO_LONG = "The workbook took too long. Narrow the filters, or use CSV."


Row = Mapping[str, Any] | list[Any]
"""By the columns' names; or its cells, in the columns' order, as the database writes them (tenants/cells.py)."""


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


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet of two columns: what something is called, and what it is (a whole number, or text)."""

    title: str
    lines: Sequence[tuple[str, Any]]


def xlsx_response(
    *,
    filename: str,
    sheet: str | Promise,
    columns: Sequence[Column],
    pages: Iterator[Iterable[Row]],
    request: HttpRequest,
    person: int | None,
    filters: Mapping[str, Any],
    most: int | None = None,
    more: Sheet | None = None,
) -> FileResponse:
    """A download of a workbook with one sheet: the rows of all pages below a line of the columns' titles, in the
    reader's language and direction.

    It is whole before anything is sent, so that what fails is a problem and never half a file. Where there are more
    than ``most`` rows (None: LARGEST_SHEET), the last line says so. ``filters`` say which rows, for the audit table.
    ``more`` is a second sheet.

    Raises:
        Unavailable: this process is writing another one for this person, or two for the organization;
            or it took too long.
    """
    heading = {
        "title": str(sheet)[:_LONGEST_TITLE],
        "is_rtl": get_language_bidi(),
        "zone": timezone.get_current_timezone_name(),
        "columns": [(str(column.title), column.width) for column in columns],
        "more": more
        and {
            "title": more.title[:_LONGEST_TITLE],
            "lines": [(label, value if isinstance(value, int) else str(value)) for label, value in more.lines],
        },
    }
    admitted = realm_of(request).slug, person
    _workbooks.enter(*admitted)
    try:
        file = write_aside(_PROGRAM, heading, _cells(columns, pages, most or LARGEST_SHEET), too_long=_TOO_LONG)
    finally:
        _workbooks.leave(*admitted)
    try:
        record_export(filename, filters)
    except BaseException:
        file.close()
        raise
    return FileResponse(
        file,
        as_attachment=True,
        filename=filename,
        content_type="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    )


def _cells(columns: Sequence[Column], pages: Iterator[Iterable[Row]], most: int) -> Iterator[list[list[Any]]]:
    """The rows as shared/console/xlsx.py reads them; where there are more than ``most``, a line that says so."""
    left, shown = most, _Shown(columns)
    for page in pages:
        rows = [shown.row(row) for row in page]
        if len(rows) > left:
            too_many = _("Too many rows for a workbook: the rest is left out. Narrow the filters, or use CSV.")
            yield [*rows[:left], [too_many]]
            return
        left -= len(rows)
        yield rows


class _Shown:
    """Rows as the reader sees them. What a value is shown as is made once: a column of words has few of them."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._names = [column.name for column in columns]
        self._in_words = [(index, _Words(column.shown)) for index, column in enumerate(columns) if column.shown]

    def row(self, row: Row) -> list[Any]:
        cells = [_cell(row[name]) for name in self._names] if isinstance(row, Mapping) else row
        for index, words in self._in_words:
            if cells[index] is not None:
                cells[index] = words[cells[index]]
        return cells


class _Words(dict[Any, Any]):
    def __init__(self, shown: Callable[[Any], Any]) -> None:
        self._shown = shown

    def __missing__(self, value: Any) -> Any:
        words = self[value] = _cell(self._shown(value))
        return words


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, datetime):
        return [microseconds_of(value)]
    return str(value)
