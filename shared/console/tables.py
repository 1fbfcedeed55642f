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

Cell = Callable[[Any], str]
"""What a row has in a column: text, which is escaped, or markup that is marked as safe."""

WIDE = "d-none d-md-table-cell"
"""Classes of a column that a phone has no room for."""
AMOUNT = "amount"
"""Classes of a column of numbers."""


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column: its heading, its cells, and the classes of both."""

    heading: Promise
    cell: Cell
    classes: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Columns, and rows to be shown in them; ``{{ table }}`` in a template, and false if there are none.

    ``label`` names it to a screen reader; ``looks`` are classes of its own.
    """

    label: Promise
    columns: Sequence[TableColumn]
    rows: Sequence[Any]
    looks: str = ""

    def __bool__(self) -> bool:
        return bool(self.rows)

    def __html__(self) -> SafeString:
        return format_html(
            '<div class="table-card" tabindex="0" role="region" aria-label="{}"><table class="table {}">'
            "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>",
            self.label,
            self.looks,
            format_html_join(
                "", '<th scope="col" class="{}">{}</th>', ((one.classes, one.heading) for one in self.columns)
            ),
            self._body(),
        )

    __str__ = __html__

    def _body(self) -> SafeString:
        cells = [(f'<td class="{column.classes}">', column.cell) for column in self.columns]
        rows = ("".join([f"{begin}{_escaped(cell(row))}</td>" for begin, cell in cells]) for row in self.rows)
        return mark_safe("".join([f"<tr>{row}</tr>" for row in rows]))  # noqa: S308 - each cell was escaped


def _escaped(cell: str) -> str:
    return cell if isinstance(cell, SafeString) else html.escape(cell)
