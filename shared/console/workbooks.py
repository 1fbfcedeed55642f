"""Writes lists as workbooks (XLSX), for people. A workbook is a ZIP archive whose directory comes last, so it goes to a
temporary file first, and is sent when it is whole."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

import xlsxwriter
from django.http import FileResponse, HttpRequest
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import get_language_bidi
from django.utils.translation import gettext as _

from shared.admission import Admission
from shared.audit import record_export
from shared.identity.realm import realm_of

LARGEST_SHEET = 50_000
"""Rows of a workbook at most (a sheet could hold 1,048,575): it is whole before its first byte is sent, and a proxy
does not wait for long. A CSV file has as many as there are."""

_workbooks = Admission(of_group=2, of_one=1)
"""Workbooks that a process writes at once. (All together it writes as many as it has threads for: saas/gate.py.)"""


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
    pages: Iterator[Iterable[Mapping[str, Any]]],
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
        Unavailable: this process is writing another one for this person, or two for the organization.
    """
    admitted = realm_of(request).slug, person
    _workbooks.enter(*admitted)
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the response closes it when it is sent
    try:
        _write_workbook(file, str(sheet), columns, pages, most or LARGEST_SHEET, more)
        record_export(filename, filters)
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
    file: Any,
    title: str,
    columns: Sequence[Column],
    pages: Iterator[Iterable[Mapping[str, Any]]],
    most: int,
    more: Sheet | None,
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
            if line == most and next(rows, None) is not None:
                sheet.write_string(
                    line,
                    0,
                    _("Too many rows for a workbook: the rest is left out. Narrow the filters, or use CSV."),
                )
                break
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
        if more:
            _write_lines(workbook.add_worksheet(more.title[:31]), more.lines, heading, number)


def _write_lines(sheet: Any, lines: Sequence[tuple[str, Any]], heading: Any, number: Any) -> None:
    if get_language_bidi():
        sheet.right_to_left()
    sheet.set_column(0, 0, 24)
    sheet.set_column(1, 1, 48)
    for line, (label, value) in enumerate(lines):
        sheet.write_string(line, 0, label, heading)
        if isinstance(value, int):
            sheet.write_number(line, 1, value, number)
        else:
            sheet.write_string(line, 1, str(value))
