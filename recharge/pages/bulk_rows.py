"""Reads the rows that a seller pastes or uploads: a number, an amount and, if it was ported, its operator."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from django.core.exceptions import ValidationError
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from recharge.operators import BUILT_IN_NAMES, Operator, folded_name
from recharge.selling.sale import Item, read_item
from shared.console.forms import TomansFormField
from shared.console.messages import field_message_for
from shared.errors import InvalidRequest
from shared.phones import InvalidPhoneNumber, normalize_phone_number
from shared.texts import is_shortened, without_invisible

MOST_ROWS = 1000
LARGEST_TEXT = 1024 * 1024
"""Bytes of a file, or of what was pasted."""

_LONGEST_SHOWN = 40
_MARKS = "\t;؛"
"""What stands between cells, before the commas, with which amounts are grouped too."""
_COMMAS = ",،"
_DECLARATION = re.compile(r"sep=(.)\s*", re.IGNORECASE)
"""The first line of files that spreadsheets write and read: which mark stands between the cells."""
_WRITTEN = re.compile(r"([1-9][0-9]{0,6}):(\+98[0-9]{10}):([1-9][0-9]{0,12}):([a-z][a-z0-9_]{0,19})(:again)?")
_AMOUNT = TomansFormField()
_NO_KEY_YET = "-"


class Unreadable(ValueError):
    """What was sent can't be read as rows at all; ``message`` says why, and what to do."""

    def __init__(self, message: str | Promise) -> None:
        super().__init__(str(message))
        self.message = message


@dataclass(slots=True)
class Row:
    """One row: what was written, and the item that it is, or what is wrong with it."""

    line: int
    """Where it was, from 1."""
    phone_number: str
    amount: str
    operator: str
    item: Item | None = None
    problems: list[str] = field(default_factory=list)
    same_as: int | None = None
    """An earlier row with the same number and amount."""
    sold_lately: bool = False
    """Whether the same was sold a moment ago, and not by this batch."""


def text_of(file: bytes) -> str:
    """The text of a file.

    Raises:
        Unreadable: it is too large, or no UTF-8.
    """
    if len(file) > LARGEST_TEXT:
        raise Unreadable(_("This is more than 1 MiB. Send it in parts."))
    try:
        return file.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable(_("This file is no UTF-8 text. Save it as “CSV UTF-8” and try again.")) from None


def read_rows(text: str, batch: str, added: Mapping[str, str] | None = None) -> list[Row]:
    """The rows of a text, each with its idempotency key. Lines without anything are none, and neither is a first line
    of names. ``added`` has the operators that the organization has added, their names by their codes.

    Raises:
        Unreadable: there are none, or too many.
    """
    if len(text.encode(errors="replace")) > LARGEST_TEXT:
        raise Unreadable(_("This is more than 1 MiB. Send it in parts."))
    added = added or {}
    # A code comes before a name, and what is built in before what was added.
    operators = (
        {folded_name(name): code for code, name in added.items()} | {code: code for code in added} | BUILT_IN_NAMES
    )
    rows: list[Row] = []
    for index, (line, cells) in enumerate(_lines(text)):
        if index == 0 and _are_names(cells):
            continue
        if len(rows) == MOST_ROWS:
            raise Unreadable(_("These are more than 1,000 rows. Send them in parts."))
        rows.append(_read_row(line, cells, operators))
    if not rows:
        raise Unreadable(_("There are no rows in this. Write one line for each sale: number, amount."))
    _mark_repeated(rows)
    good = [row for row in rows if row.item]
    for row, item in zip(good, _with_keys([row.item for row in good if row.item], batch), strict=True):
        row.item = item
    return rows


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    declared = ""
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        # Byte order marks, and what comes along from messengers.
        line = without_invisible(line.replace("\u200c", " "))
        if not line or line.isspace():
            continue
        if number == 1 and (declaration := _DECLARATION.fullmatch(line)):
            declared = declaration[1]
            continue
        try:
            cells = next(csv.reader([line], delimiter=declared or _delimiter_of(line)), [])
        except (csv.Error, ValueError):  # a declared mark that can't stand between cells
            cells = [line]
        cells = [cell.strip() for cell in cells]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            yield number, cells


def _delimiter_of(line: str) -> str:
    found = next((mark for mark in _MARKS if mark in line), None)
    # Of two kinds of comma, the first is between cells, and the other one groups an amount.
    commas = sorted((line.index(mark), mark) for mark in _COMMAS if mark in line)
    return found or (commas[0][1] if commas else ",")


def _are_names(cells: Sequence[str]) -> bool:
    """Whether these are the columns' names, be there digits in them: a number and an amount have no letters, but for
    those that a spreadsheet has shortened."""
    if len(cells) == 1:
        return not any(character.isdigit() for character in cells[0])
    return all(any(character.isalpha() for character in cell) and not is_shortened(cell) for cell in cells[:2])


def _is_number_and_amount(cell: str) -> bool:
    """Whether one cell seems to have both in it: digits with a blank, say, between them, and no mark."""
    if is_shortened(cell) or any(mark in cell for mark in _MARKS + _COMMAS) or not re.search(r"\d\D+\d", cell):
        return False
    try:
        normalize_phone_number(cell)
    except InvalidPhoneNumber:
        return True
    return False


def _read_row(line: int, cells: Sequence[str], operators: Mapping[str, str]) -> Row:
    phone_number, amount, operator = [*cells, "", ""][:3]
    row = Row(line, _shown(phone_number), _shown(amount), _shown(operator))
    if len(cells) > 3:
        row.problems.append(str(_("There are more than three columns. Write amounts without commas, or in quotes.")))
        return row
    if len(cells) == 1 and _is_number_and_amount(phone_number):
        row.problems.append(str(_("Put a comma, a semicolon or a tab between number and amount.")))
        return row
    written: dict[str, object] = {"idempotency_key": _NO_KEY_YET, "phone_number": phone_number}
    try:
        written["amount"] = _AMOUNT.clean(amount)
    except ValidationError as error:
        row.problems.extend(error.messages)
        written["amount"] = 1  # so that what else is wrong is told, too
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
    else:
        row.item = None if row.problems else item
    return row


def _shown(cell: str) -> str:
    cell = "".join(character for character in cell if character.isprintable())
    return cell if len(cell) <= _LONGEST_SHOWN else cell[:_LONGEST_SHOWN] + "…"


def _mark_repeated(rows: Sequence[Row]) -> None:
    first: dict[tuple[str, int], int] = {}
    for row in rows:
        if row.item:
            sale = row.item.phone_number, row.item.amount
            row.same_as = first.setdefault(sale, row.line)
            if row.same_as == row.line:
                row.same_as = None


def _with_keys(items: Iterable[Item], batch: str) -> list[Item]:
    """The items with their idempotency keys: of the batch, what is sold, and how many of the same came before it. Not
    of the line: rows may be put in before others when the text is corrected, and what was sold stays sold."""
    seen: Counter[tuple[str, int, str]] = Counter()
    keyed = []
    for item in items:
        sale = item.phone_number, item.amount, item.operator
        seen[sale] += 1
        key = f"{keys_of(batch)}{item.phone_number}-{item.amount}-{item.operator}-{seen[sale]}"
        keyed.append(replace(item, idempotency_key=key))
    return keyed


def keys_of(batch: str) -> str:
    """What all idempotency keys of a batch begin with, and no others."""
    return f"page-{batch}-"


def write_items(rows: Sequence[Row]) -> str:
    """Rows that can be sold, for a form that is sent back: see :func:`read_items`. What was sold a moment ago and is
    among them all the same is meant, and says so."""
    return " ".join(
        f"{row.line}:{row.item.phone_number}:{row.item.amount}:{row.item.operator}{':again' if row.sold_lately else ''}"
        for row in rows
        if row.item
    )


def read_items(written: str, batch: str, *, allow_duplicate: bool) -> list[tuple[int, Item]]:
    """What :func:`write_items` has written, each with its line.

    Raises:
        Unreadable: it was not written by that.
    """
    items = []
    parts = written.split(" ")
    found = [_WRITTEN.fullmatch(part) for part in parts[: MOST_ROWS + 1]]
    if len(found) > MOST_ROWS:
        raise Unreadable(_("These are more than 1,000 rows. Send them in parts."))
    for one in found:
        if one is None:
            raise Unreadable(_("This form was not complete. Paste the rows once more."))
        line = int(one[1])
        sale = {"phone_number": one[2], "amount": int(one[3]), "operator": one[4]}
        try:
            is_meant = allow_duplicate or one[5] is not None
            item = read_item({**sale, "idempotency_key": _NO_KEY_YET, "allow_duplicate": is_meant})
        except InvalidRequest:
            raise Unreadable(_("This form was not complete. Paste the rows once more.")) from None
        items.append((line, item))
    if len({line for line, _item in items}) < len(items):
        raise Unreadable(_("This form was not complete. Paste the rows once more."))
    lines = [line for line, _item in items]
    return list(zip(lines, _with_keys([item for _line, item in items], batch), strict=True))
