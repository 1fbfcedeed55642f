"""Has a PDF of a statement written by a program of its own (pdf.py)."""

from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from recharge.statements.queries import Row
from shared.admission import Admission
from shared.aside import microseconds_of, write_aside

LARGE = 10_000
"""Entries from which on a statement is large: of these a process has one written at a time, so that small ones are not
kept waiting."""

_large = Admission(of_group=1, of_one=1)
_PROGRAM = Path(__file__).with_name("pdf.py")
_TOO_LONG = "The PDF took too long. Take a shorter period, or another format."


def print_pdf(heading: dict[str, Any], pages: Iterable[list[Row]]) -> IO[bytes]:
    """The PDF of these rows, as a temporary file at its beginning. ``heading`` is what pdf.py reads first.

    Raises:
        Unavailable: another large one is being written, or this took too long.
    """
    is_large = heading["entries"] > LARGE
    if is_large:
        _large.enter(None, None)
    try:
        return write_aside(_PROGRAM, heading, ([_row(row) for row in page] for page in pages), too_long=_TOO_LONG)
    finally:
        if is_large:
            _large.leave(None, None)


def _row(row: Row) -> list[Any]:
    return [
        row.number,
        microseconds_of(row.created_at),
        row.kind,
        row.phone_number,
        row.amount,
        row.commission,
        row.balance_after,
        str(row.reference),
    ]
