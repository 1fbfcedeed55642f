"""Makes the rows of a list that the consoles show. Columns are declared once, and a function makes each cell.

Templates have the rest of a page. In a template a row takes some twenty-five nodes, and rows took most of the time of a
page that has twenty-five.
"""

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from django.db.models import QuerySet
from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext, ngettext

from shared.console.formats import format_number
from shared.console.lists import Listing, Sums, sums_of, sums_of_all
from shared.pagination import Page

Cell = Callable[[Any], str]
"""What a row has in a column: text, which is escaped, or markup that is marked as safe."""

WIDE = "d-none d-md-table-cell"
"""Classes of a column that a phone has no room for."""
WIDER = "d-none d-xl-table-cell"
"""Classes of a column that a tablet has no room for, either; nor a small desk, beside the menu."""
AMOUNT = "amount"
"""Classes of a column of numbers."""

_MARKUP = re.compile(r"<[^>]*>")
_LONGEST_BESIDE = 13
"""Characters of an amount, with its sign and commas, of which a phone has room for two columns."""

_FOLDED = {WIDE: "d-md-none", WIDER: "d-xl-none"}
"""The classes of what stands in for a column where that has no room."""


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column: its heading, its cells, the classes of both, and what is added up below it.

    A sum is never without its place: where its column is hidden, or has no room, the heading of the foot has it.
    """

    heading: Promise
    cell: Cell
    classes: str = ""
    adds: str = ""
    """The field of the rows (or of one that they refer to, as ``account__balance``) that is added up: Tomans."""
    written: Callable[[int], str] = format_number
    """How the sum is written."""
    foot: Callable[[Sequence[Any]], str] | None = None
    """What stands below it instead, of the rows."""
    name: str = ""
    """By which somebody hides it who does not need it; "": it always shows."""
    sort: str = ""
    """What the list is sorted by through its heading (Listing.fields, or "time"); "": by nothing."""
    folds: bool = False
    """Whether its cells stand, with its heading, in the first column that always shows, where it has no room itself."""
    yields: bool = False
    """Whether it does so on a phone where amounts are too long for two columns of them beside each other."""

    @property
    def stands_in(self) -> str:
        """The classes of what stands in for it; "": it always has room."""
        return next((classes for wide, classes in _FOLDED.items() if wide in self.classes), "")


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
    key as its id ("row-…"), by which it is put in place of itself. With ``sums``, they stand below the columns; a list
    has them by :meth:`added_up`, rows that are all there are by :meth:`added_up_here`.
    """

    label: Promise
    columns: Sequence[TableColumn]
    rows: Sequence[Any]
    looks: str = ""
    listing: Listing | None = None
    selecting: Selecting | None = None
    sums: Sums | None = None

    def __bool__(self) -> bool:
        return bool(self.rows)

    def __html__(self) -> SafeString:
        return self._for_phones()._html()

    def _for_phones(self) -> Self:
        """The same; if some amount is long, with the columns folded that yield then."""
        amounts = [one for one in self.columns if AMOUNT in one.classes and not one.stands_in]
        if not any(one.yields for one in amounts) or not any(
            len(_MARKUP.sub("", one.cell(row))) > _LONGEST_BESIDE for one in amounts for row in self.rows
        ):
            return self
        folded = (
            replace(one, classes=f"{WIDE} {one.classes}", folds=True) if one.yields else one for one in self.columns
        )
        return replace(self, columns=tuple(folded))

    def _html(self) -> SafeString:
        return format_html(
            '<div class="table-card" tabindex="0" role="region" aria-label="{}"><table class="table {}">'
            "<thead><tr>{}{}</tr></thead><tbody>{}</tbody>{}</table></div>",
            self.label,
            self.looks,
            self._select_all(),
            format_html_join("", "{}", ((self._heading(one),) for one in self.shown)),
            self._body(self.rows),
            self._foot(self.sums) if self.sums else "",
        )

    __str__ = __html__

    def added_up(self, rows: QuerySet[Any], *, page: Page[Any], key: str = "pk") -> Self:
        """The same with the sums of all rows of its list, of which it shows a page; without, where they would take too
        long."""
        assert self.listing
        return replace(self, sums=sums_of(rows, self._adds, page=page, listing=self.listing, key=key))

    def added_up_here(self) -> Self:
        """The same with the sums of its rows, which are all there are."""
        return replace(self, sums=sums_of_all(self.rows, self._adds))

    @property
    def _adds(self) -> list[str]:
        return [one.adds for one in self.columns if one.adds]

    def _foot(self, sums: Sums) -> SafeString:
        carrier = self._carrier()
        return format_html(
            '<tfoot class="table-group-divider"><tr>{}{}</tr></tfoot>',
            SafeString("<td></td>") if self.selecting else "",
            format_html_join(
                "",
                "{}",
                ((self._heading_of_foot(sums) if one is carrier else self._foot_of(one, sums),) for one in self.shown),
            ),
        )

    def _heading_of_foot(self, sums: Sums) -> SafeString:
        """What the sums are of; and those whose columns are hidden or have no room."""
        shown = self.shown
        elsewhere = [
            (one.stands_in if one in shown else "", one.heading, one.written(sums.amounts[one.adds]))
            for one in self.columns
            if one.adds and sums.amounts[one.adds] and (one not in shown or one.stands_in)
        ]
        return format_html(
            '<th scope="row">{}{}</th>',
            _all_rows(sums),
            format_html_join(
                "", '<div class="{} small fw-normal">{}: <bdi class="text-nowrap">{}</bdi></div>', elsewhere
            ),
        )

    def _foot_of(self, column: TableColumn, sums: Sums) -> SafeString:
        if column.foot:
            below = column.foot(self.rows)
        else:
            below = column.written(sums.amounts[column.adds]) if column.adds else ""
        return format_html('<td class="{}">{}</td>', column.classes, below)

    def _carrier(self) -> TableColumn:
        """The first column that always shows, and has no amounts."""
        always = (one for one in self.shown if not one.name and not one.stands_in and AMOUNT not in one.classes)
        return next(always, self.shown[0])

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
        carrier = self._carrier()
        cells = [
            (f'<td class="{column.classes}">', self._with_folded(column.cell) if column is carrier else column.cell)
            for column in self.shown
        ]
        made = (
            self._begin(row, attributes) + "".join([f"{begin}{_escaped(cell(row))}</td>" for begin, cell in cells])
            for row in rows
        )
        return mark_safe("".join([f"{row}</tr>" for row in made]))  # noqa: S308 - each cell was escaped

    def _with_folded(self, cell: Cell) -> Cell:
        folded = [
            (f'<div class="{one.stands_in} small text-secondary text-wrap">{html.escape(str(one.heading))}: ', one.cell)
            for one in self.shown
            if one.folds
        ]
        if not folded:
            return cell

        def with_folded(row: Any) -> SafeString:
            others = [(begin, _escaped(of_other(row))) for begin, of_other in folded]
            return mark_safe(  # noqa: S308 - each cell was escaped
                _escaped(cell(row)) + "".join(f"{begin}{other}</div>" for begin, other in others if other)
            )

        return with_folded

    def _begin(self, row: Any, attributes: str) -> str:
        if self.selecting is None:
            return "<tr>"
        box = self.selecting.box(row)
        return f'<tr id="row-{row.pk}"{attributes}><td class="select-cell">{box or ""}</td>'


def _all_rows(sums: Sums) -> str:
    """What the sums are of: all rows of the list, and not those of the page."""
    number = format_number(sums.count)
    if sums.is_cut:
        return gettext("Sum of the newest %(number)s rows") % {"number": number}
    return ngettext("Sum of %(number)s row", "Sum of all %(number)s rows", sums.count) % {"number": number}


def _escaped(cell: str) -> str:
    return cell if isinstance(cell, SafeString) else html.escape(cell)
