"""Finds out what the columns of rows are: by their names, in both languages and in any order, or by their places."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from django.utils.translation import gettext_lazy as _

from recharge.operators import folded_name
from recharge.pages.bulk_files import Unreadable
from shared.console.formats import format_list
from shared.texts import is_shortened, latin_digits, without_invisible

PLACES = ("phone_number", "amount", "operator", "reference")
"""The columns, in the order that they have where they are not named."""

_NAMES: dict[str, tuple[str, ...]] = {
    "phone_number": (
        "phone number", "mobile number", "phone", "mobile", "msisdn", "phone no", "mobile no", "customer number",
        "cell", "telephone", "tel", "شماره موبایل", "شماره همراه", "شماره تلفن همراه", "شماره تلفن", "شماره مشتری",
        "موبایل", "تلفن همراه", "همراه", "تلفن", "number", "شماره",
    ),
    "amount": (
        "amount", "amount tomans", "amount toman", "amount in tomans", "tomans", "toman", "price", "value", "مبلغ",
        "مبلغ تومان", "مبلغ به تومان", "مبلغ شارژ", "تومان", "قیمت", "شارژ",
    ),
    "rials": (
        "amount rials", "amount rial", "amount in rials", "rials", "rial", "مبلغ ریال", "مبلغ به ریال", "ریال",
    ),
    "operator": ("operator", "operator name", "network", "carrier", "اپراتور", "نام اپراتور", "شبکه"),
    "reference": (
        "reference", "your reference", "ref", "note", "description", "مرجع", "شناسه شما", "شناسه", "کد پیگیری", "کد",
        "توضیحات", "توضیح", "یادداشت", "شرح",
    ),
}  # fmt: skip
"""What each column may be called, in any writing; of two columns, the one whose name comes first here."""


def _folded(name: str) -> str:
    return "".join(folded_name(re.sub(r"[_\-:.()\[\]/*]", " ", name)).split())


_KNOWN = {_folded(name): (kind, rank) for kind, names in _NAMES.items() for rank, name in enumerate(names)}
_LONGEST_NAME = 100
"""Characters. What is longer is no column's name, and is not looked through for one."""
_LINES_BEFORE_NAMES = 5
"""A sheet may have a title above the columns' names."""

_MARKS = "\t;؛"
"""What stands between cells, before the commas, with which amounts are grouped too."""
_COMMAS = ",،"
_DECLARATION = re.compile(r"sep=(.)\s*", re.IGNORECASE)
"""The first line of files that spreadsheets write and read: which mark stands between the cells."""


@dataclass(slots=True)
class Lines:
    """Lines of cells, each with its number from 1; without those that have no cell, nor the one of the names."""

    lines: list[tuple[int, list[str]]]
    head: list[str] = field(default_factory=list)
    """What must stand above lines of it that are read again: the mark between cells, the columns' names."""
    as_written: dict[int, str] = field(default_factory=dict)
    """The lines as text, by their numbers."""
    columns: dict[str, int] = field(default_factory=dict)
    """Where each column is, by its name; empty: by their places (PLACES)."""
    is_in_rials: bool = False
    notes: list[str] = field(default_factory=list)


def lines_of(text: str) -> Lines:
    """The lines of a text.

    Raises:
        Unreadable: its columns are named, but for one that every row needs.
    """
    written = list(_written(text))
    as_written, declared, head = dict(written), "", []
    if written and written[0][0] == 1 and (declaration := _DECLARATION.fullmatch(written[0][1])):
        declared = declaration[1]
        head = [written.pop(0)[1]]
    for place, (_number, line) in enumerate(written[: _LINES_BEFORE_NAMES + 1]):
        mark = declared or _mark_of(line)
        names = _cells_of(line, mark)
        columns = _columns_of(names)
        if {"phone_number", "amount"} <= columns.keys() or {"phone_number", "rials"} <= columns.keys():
            found = _named(written, place, names, columns, mark)
            found.head, found.as_written = [*head, line], as_written
            return found
        if re.search("[0-9]{9}", re.sub(r"\s", "", latin_digits(line))):
            break  # a row: the columns have no names
    lines = [(number, _cells_of(line, declared or _mark_of(line))) for number, line in written]
    lines = [(number, cells) for number, cells in lines if cells]
    if lines and are_names(lines[0][1]):
        if len(lines[0][1]) > 1 and len(lines) > 1:
            _refuse_half(_columns_of(lines[0][1]))
        del lines[0]
    return Lines(lines, head, as_written)


def _named(written: list[tuple[int, str]], place: int, names: list[str], columns: dict[str, int], mark: str) -> Lines:
    rows = [
        (number, _cells_of(line, mark if mark in line else _mark_of(line))) for number, line in written[place + 1 :]
    ]
    found = Lines([(number, cells) for number, cells in rows if cells], columns=columns)
    if "rials" in columns and "amount" not in columns:
        columns["amount"], found.is_in_rials = columns["rials"], True
    columns.pop("rials", None)
    unused = [name for index, name in enumerate(names) if name and index not in columns.values()]
    if unused:
        found.notes.append(str(_("Columns that were not used: %(names)s.") % {"names": format_list(unused[:10])}))
    return found


def _refuse_half(columns: dict[str, int]) -> None:
    """Refuses columns of which only one that every row needs has a known name: by its place, the other could be taken
    for something else."""
    if "phone_number" in columns and len(columns) == 1:
        raise Unreadable(_("The first line names no column for the amount. Call it “amount”, or remove the line."))
    if "amount" in columns and "phone_number" not in columns:
        raise Unreadable(_("The first line names no column for the number. Call it “number”, or remove the line."))


def _columns_of(names: Sequence[str]) -> dict[str, int]:
    best: dict[str, tuple[int, int]] = {}
    for index, name in enumerate(names):
        if len(name) > _LONGEST_NAME:
            continue
        # “Mobile 1” is a mobile.
        known = _KNOWN.get(_folded(name)) or _KNOWN.get(_folded(re.sub(r"[\s\d]+$", "", name)))
        if known and (known[0] not in best or known[1] < best[known[0]][0]):
            best[known[0]] = known[1], index
    return {kind: index for kind, (_rank, index) in best.items()}


def _written(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        # Byte order marks, and what comes along from messengers.
        line = without_invisible(line.replace("\u200c", " "))
        if line and not line.isspace():
            yield number, line


def _cells_of(line: str, mark: str) -> list[str]:
    try:
        cells = next(csv.reader([line], delimiter=mark), [])
    except (csv.Error, ValueError, TypeError):  # a declared mark that can't stand between cells
        cells = [line]
    cells = [cell.strip() for cell in cells]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _mark_of(line: str) -> str:
    found = next((mark for mark in _MARKS if mark in line), None)
    # Of two kinds of comma, the first is between cells, and the other one groups an amount.
    commas = sorted((line.index(mark), mark) for mark in _COMMAS if mark in line)
    return found or (commas[0][1] if commas else ",")


def are_commas(text: str) -> bool:
    """Whether commas stand between the cells of a line: then they may also have cut an amount into two."""
    return _mark_of(text) in _COMMAS


def has_no_mark(cell: str) -> bool:
    """Whether nothing is in it that could stand between cells."""
    return not any(mark in cell for mark in _MARKS + _COMMAS)


def are_names(cells: Sequence[str]) -> bool:
    """Whether these are the columns' names, be there digits in them: a number and an amount have no letters, but for
    those that a spreadsheet has shortened."""
    if len(cells) == 1:
        return not any(character.isdigit() for character in cells[0])
    return all(any(character.isalpha() for character in cell) and not is_shortened(cell) for cell in cells[:2])
