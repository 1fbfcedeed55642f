"""Makes the rows of a list that the consoles show. Columns are declared once, and a function makes each cell.

Templates have the rest of a page. In a template a row takes some twenty-five nodes, and rows took most of the time of a
page that has twenty-five.
"""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext

from shared.console.formats import format_number

Cell = Callable[[Any], str]
"""What a row has in a column: text, which is escaped, or markup that is marked as safe."""
Foot = Callable[[Sequence[Any]], str]
"""What stands below a column, of all of its rows: a sum, or the word for it."""

WIDE = "d-none d-md-table-cell"
"""Classes of a column that a phone has no room for."""
AMOUNT = "amount"
"""Classes of a column of numbers."""


def sum_of(name: str, written: Callable[[int], str] = format_number) -> Foot:
    """The sum of an attribute of the rows, in Tomans."""
    return lambda rows: written(sum(getattr(row, name) for row in rows))


def total_word(_rows: Sequence[Any]) -> str:
    """What the row of the sums is called."""
    return gettext("Total")


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column: its heading, its cells, the classes of both, and what stands below it in a table that has a foot."""

    heading: Promise
    cell: Cell
    classes: str = ""
    foot: Foot | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Columns, and rows to be shown in them; ``{{ table }}`` in a template, and false if there are none.

    ``label`` names it to a screen reader; ``looks`` are classes of its own. ``has_foot``: its rows are all there
    are, so that what stands below the columns is true.
    """

    label: Promise
    columns: Sequence[TableColumn]
    rows: Sequence[Any]
    looks: str = ""
    has_foot: bool = False

    def __bool__(self) -> bool:
        return bool(self.rows)

    def __html__(self) -> SafeString:
        return format_html(
            '<div class="table-card" tabindex="0" role="region" aria-label="{}"><table class="table {}">'
            "<thead><tr>{}</tr></thead><tbody>{}</tbody>{}</table></div>",
            self.label,
            self.looks,
            format_html_join(
                "", '<th scope="col" class="{}">{}</th>', ((one.classes, one.heading) for one in self.columns)
            ),
            self._body(),
            self._foot() if self.has_foot else "",
        )

    __str__ = __html__

    def _foot(self) -> SafeString:
        return format_html(
            '<tfoot class="table-group-divider"><tr>{}</tr></tfoot>',
            format_html_join("", "{}", ((self._foot_of(column),) for column in self.columns)),
        )

    def _foot_of(self, column: TableColumn) -> SafeString:
        if column.foot is None:
            return format_html('<td class="{}"></td>', column.classes)
        # The word for the sums is the heading of their row.
        is_sum = AMOUNT in column.classes.split()
        cell = '<td class="{}">{}</td>' if is_sum else '<th scope="row" class="{}">{}</th>'
        return format_html(cell, column.classes, column.foot(self.rows))

    def _body(self) -> SafeString:
        cells = [(f'<td class="{column.classes}">', column.cell) for column in self.columns]
        rows = ("".join([f"{begin}{_escaped(cell(row))}</td>" for begin, cell in cells]) for row in self.rows)
        return mark_safe("".join([f"<tr>{row}</tr>" for row in rows]))  # noqa: S308 - each cell was escaped


def _escaped(cell: str) -> str:
    return cell if isinstance(cell, SafeString) else html.escape(cell)
