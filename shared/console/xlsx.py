"""Writes a workbook: a program of its own, which workbooks.py starts (shared/aside.py says why). It reads lines of JSON
(a heading, then the rows), and writes the file.

It imports nothing of Django. Words come in the heading, and in the cells: text, a whole number, nothing, or a moment as
``[microseconds since 1970]``.
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import IO, Any
from zoneinfo import ZoneInfo

import xlsxwriter

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def write_workbook(source: IO[str], target: IO[bytes]) -> None:
    """Writes to ``target`` the workbook of what ``source`` says.

    Raises:
        ValueError: not all of it came.
    """
    heading = json.loads(source.readline())
    # It writes each row to a file there when the next one begins. Nowhere else: where TMPDIR has no room, Python
    # would take another directory, in which nobody looks for what is left.
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as directory:
        workbook = xlsxwriter.Workbook(target, {"constant_memory": True, "tmpdir": directory})
        _write(workbook, heading, _pages(source))
        workbook.close()


def _write(workbook: xlsxwriter.Workbook, heading: dict[str, Any], pages: Iterator[list[Any]]) -> None:
    zone = ZoneInfo(heading["zone"])
    sheet = workbook.add_worksheet(heading["title"])
    bold = workbook.add_format({"bold": True})
    number = workbook.add_format({"num_format": "#,##0"})
    moment = workbook.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
    if heading["is_rtl"]:
        sheet.right_to_left()
    for index, (title, width) in enumerate(heading["columns"]):
        sheet.set_column(index, index, width)
        sheet.write_string(0, index, title, bold)
    sheet.freeze_panes(1, 0)
    for line, row in enumerate(chain.from_iterable(pages), start=1):
        for index, value in enumerate(row):
            match value:
                case None:
                    pass
                case int():
                    sheet.write_number(line, index, value, number)
                case [int(microseconds)]:
                    # A spreadsheet's times have no zone.
                    local = (_EPOCH + timedelta(microseconds=microseconds)).astimezone(zone).replace(tzinfo=None)
                    sheet.write_datetime(line, index, local, moment)
                case _:
                    # write_string: whatever it looks like, it is no formula, no link and no number.
                    sheet.write_string(line, index, value)
    if heading["more"]:
        more = workbook.add_worksheet(heading["more"]["title"])
        if heading["is_rtl"]:
            more.right_to_left()
        more.set_column(0, 0, 24)
        more.set_column(1, 1, 48)
        for line, (label, value) in enumerate(heading["more"]["lines"]):
            more.write_string(line, 0, label, bold)
            if isinstance(value, int):
                more.write_number(line, 1, value, number)
            else:
                more.write_string(line, 1, value)


def _pages(source: IO[str]) -> Iterator[list[Any]]:
    while True:
        line = source.readline()
        if not line:
            raise ValueError("not all rows came")
        page = json.loads(line)
        if page is None:
            return
        yield page


if __name__ == "__main__":
    write_workbook(sys.stdin, sys.stdout.buffer)
