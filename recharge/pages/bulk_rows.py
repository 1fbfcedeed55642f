"""Reads the rows that a seller pastes or uploads: a number, an amount and, if they are given, its operator and what the
seller calls the row."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import quote, unquote

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from recharge.batches.rows import BatchRow, equals_before, with_keys
from recharge.operators import BUILT_IN_NAMES, Operator, folded_name
from recharge.pages.bulk_cells import read_amount, read_number
from recharge.pages.bulk_columns import PLACES, Lines, has_no_mark, lines_of
from recharge.pages.bulk_files import LARGEST_FILE, TOO_LARGE, Unreadable, line_of
from recharge.pages.sell import USUAL_AMOUNTS
from recharge.selling.sale import Item, read_item
from shared.console.forms import TomansFormField
from shared.console.messages import field_message_for
from shared.errors import InvalidRequest
from shared.phones import InvalidPhoneNumber, national, normalize_phone_number
from shared.texts import is_shortened

MOST_ROWS = 1000
NOT_COMPLETE = _("This form was not complete. Paste the rows once more.")
LONGEST_REFERENCE = 60

_LONGEST_SHOWN = 40
_WRITTEN = re.compile(
    r"([1-9][0-9]{0,6}):(\+98[0-9]{10}):([1-9][0-9]{0,12}):([a-z][a-z0-9_]{0,19})(:again)?(?:=([!-~]{1,1000}))?"
)
_AMOUNT = TomansFormField()
_NO_KEY_YET = "-"


@dataclass(slots=True)
class Row:
    """One row: what was written, and the item that it is, or what is wrong with it."""

    line: int
    """Where it was, from 1."""
    phone_number: str
    amount: str
    operator: str
    reference: str = ""
    """What the seller calls it: a customer, an invoice."""
    item: Item | None = None
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """What was mended, or is to be looked at; it can be sold all the same."""
    same_as: int | None = None
    """An earlier row with the same number and amount."""
    sold_lately: bool = False
    """Whether the same was sold a moment ago, and not by this batch."""


@dataclass(slots=True)
class Reading:
    """The rows of a text, and what there is to be said of it as a whole."""

    rows: list[Row]
    notes: list[str]
    head: list[str]
    as_written: dict[int, str]

    @property
    def left_out(self) -> str:
        """The lines that can't be sold, as they were written, and what stood above them: to be read again."""
        wrong = [self.as_written[row.line] for row in self.rows if not row.item]
        return "\n".join([*self.head, *wrong]) if wrong else ""


def read_rows(text: str, batch: str, added: Mapping[str, str] | None = None) -> Reading:
    """The rows of a text, each with its idempotency key. Lines without anything are none, and neither is a line of
    names. ``added`` has the operators that the organization has added, their names by their codes.

    Raises:
        Unreadable: there are none, or too many, or their columns are named so that one is missing.
    """
    if len(text.encode(errors="replace")) > LARGEST_FILE:
        raise Unreadable(TOO_LARGE)
    added = added or {}
    # A code comes before a name, and what is built in before what was added.
    operators = (
        {folded_name(name): code for code, name in added.items()} | {code: code for code in added} | BUILT_IN_NAMES
    )
    lines = lines_of(text)
    if len(lines.lines) > MOST_ROWS:
        raise Unreadable(_("More than 1,000 rows. Send them in parts."))
    if not lines.lines:
        raise Unreadable(_("No rows found. Write one line for each sale: number, amount."))
    rows = [_read_row(line, cells, lines, operators) for line, cells in lines.lines]
    good = [row for row in rows if row.item]
    for row, item in zip(good, with_keys([row.item for row in good if row.item], batch), strict=True):
        row.item = item
    return Reading(rows, lines.notes, lines.head, lines.as_written)


def _is_number_and_amount(cell: str) -> bool:
    """Whether one cell seems to have both in it: digits with a blank, say, between them, and no mark."""
    if is_shortened(cell) or not has_no_mark(cell) or not re.search(r"\d\D+\d", cell):
        return False
    try:
        normalize_phone_number(cell)
    except InvalidPhoneNumber:
        return True
    return False


def _read_row(line: int, cells: Sequence[str], lines: Lines, operators: Mapping[str, str]) -> Row:
    if lines.columns:
        at = {name: cells[index] if index < len(cells) else "" for name, index in lines.columns.items()}
    else:
        at = dict(zip(PLACES, cells, strict=False))
    phone_number, amount, operator, reference = (at.get(name, "") for name in PLACES)
    row = Row(line, _shown(phone_number), _shown(amount), _shown(operator), _shown(reference, LONGEST_REFERENCE))
    if not lines.columns and (len(cells) > len(PLACES) or _has_cut_amount(operator, reference)):
        row.problems.append(
            str(
                _(
                    "There are too many columns. Write amounts without commas, or in quotes; or name the columns in "
                    "the first line."
                )
            )
        )
        return row
    if len(cells) == 1 and _is_number_and_amount(phone_number):
        row.problems.append(str(_("Put a comma, a semicolon or a tab between number and amount.")))
        return row
    if _are_swapped(phone_number, amount):
        row.problems.append(
            str(
                _("Number and amount have changed places. Put the number first, or name the columns in the first line.")
            )
        )
        return row
    row.item = _item_of(row, phone_number, amount, operator, operators, is_in_rials=lines.is_in_rials)
    return row


def _item_of(
    row: Row, phone_number: str, amount: str, operator: str, operators: Mapping[str, str], *, is_in_rials: bool
) -> Item | None:
    number, sum_ = read_number(phone_number), read_amount(amount)
    row.remarks += [one.remark for one in (number, sum_) if one.remark]
    row.problems += [one.problem for one in (number, sum_) if one.problem]
    if is_in_rials:
        row.problems.append(
            str(_("The column's name says rials. Write the amounts in Tomans, and call the column “Tomans”."))
        )
    # So that what else is wrong is told, too.
    written: dict[str, object] = {"idempotency_key": _NO_KEY_YET, "phone_number": number.value, "amount": 1}
    if number.problem:
        written["phone_number"] = "09121234567"
    if not sum_.problem:
        try:
            written["amount"] = _AMOUNT.clean(sum_.value)
        except ValidationError as error:
            row.problems.extend(error.messages)
    if operator:
        found = operators.get(folded_name(operator))
        if found:
            written["operator"] = found
        else:
            row.problems.append(
                str(
                    _("There is no such operator. Known: %(names)s.")
                    % {"names": ", ".join(dict.fromkeys(operators.values()))}
                )
            )
            written["operator"] = Operator.MCI.value
    try:
        item = read_item(written)
    except InvalidRequest as problem:
        row.problems.extend(field_message_for(problem, error) for error in problem.members["errors"])
        return None
    if row.problems:
        return None
    if item.amount not in USUAL_AMOUNTS and item.amount % 10 == 0 and item.amount // 10 in USUAL_AMOUNTS:
        row.remarks.append(str(_("Ten times a usual amount. Amounts are in Tomans, not rials.")))
    return item


def _has_cut_amount(operator: str, reference: str) -> bool:
    """Whether the commas of an amount may have made columns of it: never 50 Tomans of ``50,,000``."""
    return not operator and re.fullmatch(r"\d{3}", reference) is not None


def _are_swapped(phone_number: str, amount: str) -> bool:
    if not amount or not re.fullmatch(r"[\d٬,.\s]{2,13}", phone_number):
        return False
    try:
        normalize_phone_number(read_number(amount).value)
    except InvalidPhoneNumber:
        return False
    try:
        normalize_phone_number(read_number(phone_number).value)
    except InvalidPhoneNumber:
        return True
    return False


def _shown(cell: str, longest: int = _LONGEST_SHOWN) -> str:
    cell = "".join(character for character in cell if character.isprintable())
    return cell if len(cell) <= longest else cell[:longest] + "…"


def mark_equals(rows: Sequence[Row]) -> list[list[Row]]:
    """Marks rows with the number and amount of an earlier one, and gives all that are equal to each other together.
    Rows without an item are equal to none."""
    good = [(row, row.item) for row in rows if row.item]
    together: dict[int, list[Row]] = {}
    for (row, _item), earlier in zip(good, equals_before(item for _row, item in good), strict=True):
        if earlier is not None:
            first = good[earlier][0]
            row.same_as = first.line
            together.setdefault(earlier, [first]).append(row)
    return list(together.values())


def write_items(rows: Sequence[Row]) -> str:
    """Rows that can be sold, for a form that is sent back: see :func:`read_items`. What was sold a moment ago and is
    among them all the same is meant, and says so."""
    return " ".join(
        f"{row.line}:{row.item.phone_number}:{row.item.amount}:{row.item.operator}"
        f"{':again' if row.sold_lately else ''}{f'={quote(row.reference, safe=str())}' if row.reference else ''}"
        for row in rows
        if row.item
    )


def read_items(written: str, batch: str, *, allow_duplicate: bool) -> list[BatchRow]:
    """What :func:`write_items` has written.

    Raises:
        Unreadable: it was not written by that.
    """
    rows = []
    parts = written.split(" ")
    found = [_WRITTEN.fullmatch(part) for part in parts[: MOST_ROWS + 1]]
    if len(found) > MOST_ROWS:
        raise Unreadable(_("More than 1,000 rows. Send them in parts."))
    for one in found:
        if one is None:
            raise Unreadable(NOT_COMPLETE)
        sale = {"phone_number": one[2], "amount": int(one[3]), "operator": one[4]}
        try:
            is_meant = allow_duplicate or one[5] is not None
            item = read_item({**sale, "idempotency_key": _NO_KEY_YET, "allow_duplicate": is_meant})
        except InvalidRequest:
            raise Unreadable(NOT_COMPLETE) from None
        rows.append(BatchRow(int(one[1]), item, _shown(unquote(one[6] or ""), LONGEST_REFERENCE)))
    if len({row.line for row in rows}) < len(rows):
        raise Unreadable(NOT_COMPLETE)
    items = with_keys([row.item for row in rows], batch)
    return [replace(row, item=item) for row, item in zip(rows, items, strict=True)]


def text_of_rows(rows: Sequence[BatchRow]) -> str:
    """Rows as somebody would write them, to be looked at once more."""
    return "\n".join(
        line_of((national(row.item.phone_number), str(row.item.amount), row.item.operator, row.reference))
        for row in rows
    )


def shown_name(file_name: str) -> str:
    """A file's name, as it may be kept and shown."""
    return _shown(file_name, 150)
