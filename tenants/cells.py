"""Rows as the cells of a workbook, which the database writes as JSON (shared/console/workbooks.py).

To make the cells of 50,000 recharges of what the driver reads takes the web process 1.15 s of CPU, to read them as they
are written here 0.3; and sales work at its interpreter, too. tests/shared/test_cells.py compares the two.
"""

from collections.abc import Sequence
from typing import Any

import orjson
from django.db.models import (
    BooleanField,
    CharField,
    DateTimeField,
    F,
    Func,
    IntegerField,
    QuerySet,
    TextField,
    UUIDField,
)

from tenants.csv_lines import Cell, read_written

# The rows are in their order still: nothing is joined to them.
_PAGE = """
    SELECT concat('[', string_agg(cells, ','), ']'), count(*), (array_agg(key))[count(*)::int]
    FROM ({}) AS page (cells, key)
"""
_VALUE = "{}"
_MOMENT = "CASE WHEN {} IS NOT NULL THEN json_build_array((extract(epoch FROM {}) * 1000000)::bigint) END"
_CELLS = {
    BooleanField: _VALUE,
    DateTimeField: _MOMENT,
    IntegerField: _VALUE,
    UUIDField: _VALUE,
    CharField: _VALUE,
    TextField: _VALUE,
}


def read_cells(rows: QuerySet[Any], columns: Sequence[str], key: str) -> tuple[list[list[Any]], int, Any]:
    """The rows (which are in order, and have an end) with the cells of these columns, how many they are, and the last
    one's ``key``; None where there is none. A cell is text, a whole number, a truth, nothing, or a moment as
    ``[microseconds since 1970]``.

    Raises:
        TypeError: a column is of a type that is not written here.
    """
    text, count, last = read_written(rows, _Row(columns), key, _PAGE)
    return orjson.loads(text or "[]"), count, last


class _Row(Func):
    template = "json_build_array(%(expressions)s)::text"
    output_field = TextField()

    def __init__(self, columns: Sequence[str]) -> None:
        super().__init__(*(Cell(F(column), _CELLS) for column in columns))
