"""Lines of CSV files that the database writes.

It writes a recharge's line in 3.5 µs. Python takes 13, and keeps the interpreter for as long, at which sales work, too.
What a cell holds is as :mod:`tenants.exports` has it, which writes the lines that are not of a table's rows;
tests/shared/test_csv_lines.py compares the two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import (
    BooleanField,
    CharField,
    DateTimeField,
    F,
    Field,
    ForeignKey,
    Func,
    IntegerField,
    QuerySet,
    TextField,
    UUIDField,
    Value,
)

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a spreadsheet takes a text for a formula by, if it begins so."""

NUMBER = "[+-]?[0-9]+"
"""A text that is no formula though it begins with a sign."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Rows that were read together, a line each; ``as_of`` as a page's (tenants/exports.py)."""

    text: str
    as_of: datetime | None = None


_FORMULA = ", ".join(f"E'{character.encode('unicode_escape').decode()}'" for character in FORMULA)

# As a column's value is written, which stands where the braces are.
_NUMBER_CELL = "{}"
_TRUTH_CELL = "CASE {} WHEN true THEN 'True' WHEN false THEN 'False' END"
_TIME_CELL = """
    to_char(
        {} AT TIME ZONE 'UTC',
        CASE
            WHEN date_trunc('second', {}) = {} THEN 'YYYY-MM-DD"T"HH24:MI:SS"Z"' ELSE 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
        END
    )
"""
_APOSTROPHE = f"CASE WHEN left({{}}, 1) IN ({_FORMULA}) AND {{}} !~ '^{NUMBER}$' THEN '''' ELSE '' END"
_TEXT_CELL = f"""
    CASE
        WHEN {{}} ~ E'[",\\r\\n]' THEN concat('"', {_APOSTROPHE}, replace({{}}, '"', '""'), '"')
        ELSE concat({_APOSTROPHE}, {{}})
    END
"""
# The rows are in their order still: nothing is joined to them.
_PAGE = """
    SELECT coalesce(string_agg(csv_line, E'\\r\\n') || E'\\r\\n', ''), count(*), (array_agg(csv_key))[count(*)::int]
    FROM ({}) AS page (csv_line, csv_key)
"""
_CELLS: "dict[type[Field[Any, Any]], str]" = {
    BooleanField: _TRUTH_CELL,
    DateTimeField: _TIME_CELL,
    IntegerField: _NUMBER_CELL,
    UUIDField: _NUMBER_CELL,
    CharField: _TEXT_CELL,
    TextField: _TEXT_CELL,
}


def read_lines(rows: QuerySet[Any], columns: Sequence[str], key: str) -> tuple[str, int, Any]:
    """The rows (which are in order, and have an end) as lines with these columns: a text, how many they are, and the
    last one's ``key``; None where there is none.

    Raises:
        TypeError: a column is of a type that is not written here.
    """
    return read_written(rows, _Line(columns), key, _PAGE)


def read_written(rows: QuerySet[Any], written: Func, key: str, page: str) -> tuple[str, int, Any]:
    """Rows as the database writes them, each as ``written``, and all together as the statement ``page`` has it."""
    each = rows.annotate(row_written=written, row_key=F(key)).values_list("row_written", "row_key")
    try:
        statement, parameters = each.query.get_compiler(connection=connection).as_sql()
    except EmptyResultSet:
        return "", 0, None
    with connection.cursor() as cursor:
        cursor.execute(page.format(statement), parameters)
        text, count, last = cursor.fetchone()
    return text, count, last


class _Line(Func):
    function = "concat"  # to which NULL is nothing
    output_field = TextField()

    def __init__(self, columns: Sequence[str]) -> None:
        parts: list[Any] = []
        for column in columns:
            parts += [Value(","), Cell(F(column), _CELLS)]
        super().__init__(*parts[1:])


class Cell(Func):
    """A column's value as it is written, by the type of its field; where its braces are, is the value."""

    output_field = TextField()

    def __init__(self, column: Any, written: "Mapping[type[Field[Any, Any]], str]") -> None:
        super().__init__(column)
        self._written = written

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **__: Any) -> tuple[str, tuple[Any, ...]]:
        (source,) = self.get_source_expressions()
        value, parameters = compiler.compile(source)
        cell = _cell_of(source.output_field, self._written)
        return cell.replace("{}", value), tuple(parameters) * cell.count("{}")


def _cell_of(field: "Field[Any, Any]", written: "Mapping[type[Field[Any, Any]], str]") -> str:
    if isinstance(field, ForeignKey):
        field = field.target_field
    for kind, cell in written.items():
        if isinstance(field, kind):
            return cell
    raise TypeError(f"{type(field).__name__} is not written by the database.")
