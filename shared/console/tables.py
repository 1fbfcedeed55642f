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
from shared.console.lists import Listing

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
    name: str = ""
    """By which somebody hides it who does not need it; "": it always shows."""
    sort: str = ""
    """What the list is sorted by through its heading (Listing.fields, or "time"); "": by nothing."""


@dataclass(frozen=True, slots=True)
class Selecting:
    """How rows are chosen, to do something with all of them: the box of a row, or None where it can't be chosen."""

    box: Callable[[Any], SafeString | None]


def selecting(*, amount: Callable[[Any], int], label: Callable[[Any], str], can_be: Callable[[Any], bool]) -> Selecting:
    """Rows by their keys. ``amount`` (Tomans) is what the sum of those that are chosen is made of; ``label`` says to a
    screen reader which row it is; ``can_be`` says which ones can be chosen."""

    def box(row: Any) -> SafeString | None:
        if not can_be(row):
            return None
        return format_html(
            '<label class="select"><input type="checkbox" class="form-check-input" name="ids" value="{}"'
            ' data-amount="{}" aria-label="{}"></label>',
            row.pk,
            amount(row),
            gettext("Select %(what)s") % {"what": label(row)},
        )

    return Selecting(box)


@dataclass(frozen=True, slots=True)
class Table:
    """Columns, and rows to be shown in them; ``{{ table }}`` in a template, and false if there are none.

    ``label`` names it to a screen reader; ``looks`` are classes of its own. With a ``listing``, it is sorted by the
    headings, and columns that nobody wants are left out. With ``selecting``, each row begins with a box, and has its
    key as its id ("row-…"), by which it is put in place of itself. ``has_foot``: its rows are all there are, so that
    what stands below the columns is true.
    """

    label: Promise
    columns: Sequence[TableColumn]
    rows: Sequence[Any]
    looks: str = ""
    has_foot: bool = False
    listing: Listing | None = None
    selecting: Selecting | None = None

    def __bool__(self) -> bool:
        return bool(self.rows)

    def __html__(self) -> SafeString:
        return format_html(
            '<div class="table-card" tabindex="0" role="region" aria-label="{}"><table class="table {}">'
            "<thead><tr>{}{}</tr></thead><tbody>{}</tbody>{}</table></div>",
            self.label,
            self.looks,
            self._select_all(),
            format_html_join("", "{}", ((self._heading(one),) for one in self.shown)),
            self._body(self.rows),
            self._foot() if self.has_foot else "",
        )

    __str__ = __html__

    def _foot(self) -> SafeString:
        return format_html(
            '<tfoot class="table-group-divider"><tr>{}{}</tr></tfoot>',
            format_html("<td></td>") if self.selecting else "",
            format_html_join("", "{}", ((self._foot_of(column),) for column in self.shown)),
        )

    def _foot_of(self, column: TableColumn) -> SafeString:
        if column.foot is None:
            return format_html('<td class="{}"></td>', column.classes)
        # The word for the sums is the heading of their row.
        is_sum = AMOUNT in column.classes.split()
        cell = '<td class="{}">{}</td>' if is_sum else '<th scope="row" class="{}">{}</th>'
        return format_html(cell, column.classes, column.foot(self.rows))

    @property
    def shown(self) -> list[TableColumn]:
        """The columns that are wanted."""
        hidden = self.listing.hidden if self.listing else frozenset()
        return [one for one in self.columns if not one.name or one.name not in hidden]

    @property
    def choices(self) -> list[tuple[str, Promise, bool]]:
        """The columns that may be left out: name, heading, and whether it shows."""
        hidden = self.listing.hidden if self.listing else frozenset()
        return [(one.name, one.heading, one.name not in hidden) for one in self.columns if one.name]

    @property
    def orders(self) -> list[tuple[Promise, str, str]]:
        """What it can be sorted by: heading, address, and the ``aria-sort`` of now."""
        if self.listing is None:
            return []
        return [(one.heading, *self._sort_link(one)) for one in self.columns if one.sort]

    def again(self) -> SafeString:
        """Its rows alone, each to be put by htmx in the place of the one of that id."""
        return format_html("<template>{}</template>", self._body(self.rows, ' hx-swap-oob="true"'))

    def _select_all(self) -> SafeString | str:
        if self.selecting is None:
            return ""
        # Without script it would do nothing: list.js shows it.
        return format_html(
            '<th scope="col" class="select-cell"><label class="select"><input type="checkbox"'
            ' class="form-check-input" data-selects-all hidden aria-label="{}"></label></th>',
            gettext("Select all on this page"),
        )

    def _sort_link(self, column: TableColumn) -> tuple[str, str]:
        assert self.listing
        return self.listing.sort_link(column.sort, first_descending=column.sort != "name")

    def _heading(self, column: TableColumn) -> SafeString:
        if self.listing is None or not column.sort:
            return format_html('<th scope="col" class="{}">{}</th>', column.classes, column.heading)
        address, state = self._sort_link(column)
        return format_html(
            '<th scope="col" class="{}"{}><a class="sort" href="{}">{}</a></th>',
            column.classes,
            format_html(' aria-sort="{}"', state) if state else "",
            address,
            column.heading,
        )

    def _body(self, rows: Sequence[Any], attributes: str = "") -> SafeString:
        cells = [(f'<td class="{column.classes}">', column.cell) for column in self.shown]
        made = (
            self._begin(row, attributes) + "".join([f"{begin}{_escaped(cell(row))}</td>" for begin, cell in cells])
            for row in rows
        )
        return mark_safe("".join([f"{row}</tr>" for row in made]))  # noqa: S308 - each cell was escaped

    def _begin(self, row: Any, attributes: str) -> str:
        if self.selecting is None:
            return "<tr>"
        box = self.selecting.box(row)
        return f'<tr id="row-{row.pk}"{attributes}><td class="select-cell">{box or ""}</td>'


def _escaped(cell: str) -> str:
    return cell if isinstance(cell, SafeString) else html.escape(cell)
