"""Makes text of the files that sellers upload: of a workbook (XLSX), or of text as spreadsheets and editors write it.

A workbook becomes lines with tabs between the cells, and a line of the text is the row of the sheet with its number. So
there is one reader of rows (bulk_rows.py), and what was read can be shown, corrected and read again.
"""

import csv
import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from shared.admission import Admission

LARGEST_FILE = 1024 * 1024
"""Bytes of a file, or of what was pasted."""
TOO_LARGE = _("Larger than 1 MiB. Send it in parts.")

_LARGEST_UNPACKED = 16 * 1024 * 1024
"""Bytes of a workbook's parts together. A sheet of a thousand rows has less than a million; an archive made to fill the
memory says in its directory how large its parts are, and no more than that is read of any."""
_MOST_PARTS = 500
_MOST_LINES = 5_000
"""Rows of a sheet that are looked at, empty ones included."""
_MOST_COLUMNS = 40
_LARGEST_EXACT = 10**15
"""From here on a spreadsheet's number has lost digits."""

_ZIP = b"PK\x03\x04"
_OLD_EXCEL = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\r\x0c\x1a")

_readers = Admission(of_group=2, of_one=1)
"""Workbooks that a process reads at once: each takes a moment of the processor."""


class Unreadable(ValueError):
    """What was sent can't be read as rows at all; ``message`` says why, and what to do."""

    def __init__(self, message: str | Promise) -> None:
        super().__init__(str(message))
        self.message = message


@dataclass(slots=True)
class Written:
    """The text of a file, and what there is to be said of how it was read."""

    text: str
    notes: list[str] = field(default_factory=list)


def text_of(file: bytes, *, organization: str = "", person: int | None = None) -> Written:
    """The text of a file. ``organization`` and ``person`` are whose it is: nobody has several workbooks read at once.

    Raises:
        Unreadable: it is too large, or neither a workbook nor text.
        Unavailable: a workbook of this person, or two of the organization, are being read.
    """
    if len(file) > LARGEST_FILE:
        raise Unreadable(TOO_LARGE)
    if file.startswith(_ZIP):
        _readers.enter(organization, person)
        try:
            return _text_of_workbook(file)
        finally:
            _readers.leave(organization, person)
    if file.startswith(_OLD_EXCEL):
        raise Unreadable(
            _("This is an Excel file of the old kind (.xls), or has a password. Save it as “Excel workbook (.xlsx)”.")
        )
    return Written(_decoded(file))


# --- Text -------------------------------------------------------------------------------------------------------------


def _decoded(file: bytes) -> str:
    """UTF-8, UTF-16 and Windows-1256, which Persian and Arabic Windows write CSV files in."""
    encoding = _encoding_of(file)
    if encoding:
        return file.decode(encoding, "replace")
    if _CONTROLS & set(file):
        raise Unreadable(_("This is neither an Excel workbook (.xlsx) nor a CSV file. Save it as one of them."))
    try:
        return file.decode("utf-8-sig")
    except UnicodeDecodeError:
        return file.decode("cp1256", "replace")


def _encoding_of(file: bytes) -> str | None:
    if file.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    # Without its mark: what is written there in Latin letters and digits has a zero in each second byte.
    half = len(file) // 2
    if half and file[1::2].count(0) > half * 0.4:
        return "utf-16-le"
    if half and file[0::2].count(0) > half * 0.4:
        return "utf-16-be"
    return None


# --- Workbooks --------------------------------------------------------------------------------------------------------

_NO_WORKBOOK = _(
    "This can't be read as an Excel workbook. Open it there and save it as “Excel workbook (.xlsx)”, or as CSV."
)
_TOO_LARGE = _("This workbook is too large when it is unpacked. Copy the rows into a new one.")


def _text_of_workbook(file: bytes) -> Written:
    # Here, since it takes a moment and some megabytes, which only a process that reads a workbook is to spend.
    import openpyxl

    try:
        _check_archive(file)
        book = openpyxl.load_workbook(io.BytesIO(file), read_only=True, data_only=True, keep_links=False)
        try:
            return _first_sheet(book)
        finally:
            book.close()
    except Unreadable:
        raise
    except Exception as error:
        raise Unreadable(_NO_WORKBOOK) from error


def _check_archive(file: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        parts = archive.infolist()
        if len(parts) > _MOST_PARTS or sum(part.file_size for part in parts) > _LARGEST_UNPACKED:
            raise Unreadable(_TOO_LARGE)
        for part in parts:
            if part.filename.endswith((".xml", ".rels")):
                content = archive.read(part)
                # No workbook declares entities, and who does means no good: a few bytes may stand for many megabytes.
                if any(mark in content for mark in _DOCTYPES):
                    raise Unreadable(_NO_WORKBOOK)


_DOCTYPES = tuple(
    mark.encode(encoding) for mark in ("<!DOCTYPE", "<!ENTITY") for encoding in ("utf-8", "utf-16-le", "utf-16-be")
)


def _first_sheet(book: Any) -> Written:
    """The first sheet that is not hidden and has something in it."""
    visible = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
    for sheet in visible:
        lines = list(_lines_of(sheet))
        if any(lines):
            notes = []
            if len(visible) > 1:
                notes.append(str(_("Only the sheet “%(name)s” was read.") % {"name": sheet.title}))
            return Written("\n".join(lines), notes)
    return Written("")


def _lines_of(sheet: Any) -> Iterator[str]:
    # The sheet says itself how far it goes, and need not be right.
    rows = sheet.iter_rows(max_row=_MOST_LINES + 1, max_col=_MOST_COLUMNS, values_only=True)
    for number, row in enumerate(rows, start=1):
        cells = [_written(value) for value in row]
        while cells and not cells[-1]:
            cells.pop()
        if number > _MOST_LINES:
            if cells:
                raise Unreadable(_("More than 1,000 rows. Send them in parts."))
            return
        yield line_of(cells)


def line_of(cells: Sequence[str]) -> str:
    """Cells as a line with tabs between them, which the reader of rows takes apart as they were."""
    line = io.StringIO()
    csv.writer(line, delimiter="\t", lineterminator="").writerow(cells)
    return line.getvalue() if cells else ""


def _written(value: Any) -> str:
    """A cell as somebody would have written it. Numbers are kept as numbers in a workbook, however they look there."""
    match value:
        case None:
            return ""
        case bool():
            return str(value)
        case float() if value.is_integer() and abs(value) < _LARGEST_EXACT:
            return str(int(value))
        case datetime() | date() | time():
            return value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
        case timedelta():
            return str(value)
        case _:
            return " ".join(str(value).split())
