"""Writes a statement as PDF: a program of its own, which printing.py starts, so that a hundred thousand rows take no
time and no memory of a web process. It reads lines of JSON (a heading, then the rows), and writes the file.

It imports nothing of Django. Words come in the heading; numbers, days and times are written here. Text that runs from
right to left is shaped (arabic-reshaper) and put in the order in which it is seen (python-bidi). reportlab's own way to
draw a string takes 100 µs, and there are a million: rows are written as the operators of a page's content.
"""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import IO, Any
from zoneinfo import ZoneInfo

import jdatetime
from arabic_reshaper import ArabicReshaper
from bidi.algorithm import get_display
from reportlab import rl_config
from reportlab.lib.pagesizes import A4, landscape
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

REGULAR, BOLD = "Vazirmatn-Regular", "Vazirmatn-Bold"
FONTS = Path(__file__).parent / "fonts"

WIDTH, HEIGHT = landscape(A4)
MARGIN = 28.0
LINE = 13.0
"""Between the lines of the table."""
SIZE, SMALLEST = 7.5, 4.5
"""Of the letters; what does not fit is written smaller, down to the smallest, and then cut off."""
TOP = HEIGHT - MARGIN
BOTTOM = MARGIN + 22

_WIDTHS = (42.0, 90.0, 82.0, 64.0, 78.0, 78.0, 66.0, 92.0, 0.0)
"""Of the columns: number, time, kind, number sold to, debit, credit, commission, balance; the last has the rest."""
_NUMBERS = frozenset({0, 4, 5, 6, 7})
"""Columns whose digits stand below each other: they end at the same place."""
_GAP = 6.0

_PERSIAN = str.maketrans("0123456789,", "۰۱۲۳۴۵۶۷۸۹٬")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_shaper = ArabicReshaper({"delete_harakat": False, "support_ligatures": False})


class _Pen:
    """Writes text at places of a page."""

    def __init__(self, canvas: Canvas, *, is_rtl: bool) -> None:
        self._canvas = canvas
        self._direction = "R" if is_rtl else "L"
        self._words: dict[tuple[str, str], tuple[str, float]] = {}
        self._tables: dict[str, tuple[dict[int, str], dict[str, float], str]] = {}
        for name in (REGULAR, BOLD):
            font = pdfmetrics.getFont(name)
            codes: dict[int, str] = {}
            widths: dict[str, float] = {}
            for character in [chr(code) for code in range(32, 127)] + list("۰۱۲۳۴۵۶۷۸۹٬−"):
                ((subset, code),) = font.splitString(character, canvas._doc)
                assert subset == 0
                codes[ord(character)] = canvas._escape(code)
                widths[character] = font.stringWidth(character, 1)
            self._tables[name] = codes, widths, font.getSubsetInternalName(0, canvas._doc)

    def figures(self, left: float, right: float, y: float, text: str, *, at_right: bool, font: str = REGULAR) -> None:
        """Digits, signs and ASCII letters, as they stand, at one end of a cell."""
        codes, widths, name = self._tables[font]
        width = sum([widths[character] for character in text])
        size = SIZE if width * SIZE <= right - left else max(SMALLEST, (right - left) / width)
        x = right - width * size if at_right else left
        self._canvas._code.append(f"BT {name} {size:.2f} Tf 1 0 0 1 {x:.2f} {y:.2f} Tm ({text.translate(codes)}) Tj ET")

    def words(
        self, left: float, right: float, y: float, text: str, *, at_right: bool, font: str = REGULAR, size: float = SIZE
    ) -> None:
        """Text of any script, as it is read."""
        operators, width = self._shaped(text, font)
        if width * size > right - left:
            size = max(SMALLEST, (right - left) / width)
            while width * size > right - left and len(text) > 1:
                text = text[: int(len(text) * 0.95)]
                operators, width = self._shaped(text + "…", font)
        x = right - width * size if at_right else left
        operators = operators.replace("%size", f"{size:.2f}")
        self._canvas._code.append(f"BT 1 0 0 1 {x:.2f} {y:.2f} Tm {operators} ET")

    def _shaped(self, text: str, font_name: str) -> tuple[str, float]:
        known = self._words.get((text, font_name))
        if known is None:
            seen = get_display(_shaper.reshape(text), base_dir=self._direction)
            font = pdfmetrics.getFont(font_name)
            document = self._canvas._doc
            operators = " ".join(
                f"{font.getSubsetInternalName(subset, document)} %size Tf ({self._canvas._escape(codes)}) Tj"
                for subset, codes in font.splitString(seen, document)
            )
            known = operators, font.stringWidth(seen, 1)
            if len(self._words) < 1000:
                self._words[text, font_name] = known
        return known


class _Paper:
    """The pages of one statement, which are counted before the first is begun."""

    def __init__(self, canvas: Canvas, heading: dict[str, Any]) -> None:
        self._canvas = canvas
        self._heading = heading
        self._is_rtl: bool = heading["is_rtl"]
        self._is_persian: bool = heading["is_persian"]
        self._zone = ZoneInfo(heading["time_zone"])
        self._pen = _Pen(canvas, is_rtl=self._is_rtl)
        self._kinds: dict[str, str] = heading["kinds"]
        self._columns = list(self._places())
        self._page = 0
        self._y = 0.0
        head_lines = (len(heading["facts"]) + 1) // 2
        self._first_table = TOP - 30 - head_lines * 15 - 8
        lines = 1 + heading["entries"] + len(heading["totals"]) + 1
        on_first = int((self._first_table - LINE - BOTTOM) // LINE)
        on_others = int((TOP - 16 - LINE - BOTTOM) // LINE)
        self.pages = 1 + max(0, -(-(lines - on_first) // on_others))
        self._room = 0
        self._on_first, self._on_others = on_first, on_others

    def _places(self) -> Iterator[tuple[float, float]]:
        """Left and right of each column: the first is at the right, where reading begins there."""
        whole = WIDTH - 2 * MARGIN
        widths = [*_WIDTHS[:-1], whole - sum(_WIDTHS)]
        at = 0.0
        for width in widths:
            left = WIDTH - MARGIN - at - width if self._is_rtl else MARGIN + at
            yield left + _GAP / 2, left + width - _GAP / 2
            at += width

    def number(self, value: int) -> str:
        text = f"{value:,}".replace("-", "−")
        return text.translate(_PERSIAN) if self._is_persian else text

    def moment(self, microseconds: int) -> str:
        local = (_EPOCH + timedelta(microseconds=microseconds)).astimezone(self._zone)
        clock, day = f"{local.hour:02}:{local.minute:02}:{local.second:02}", local.date()
        if not self._is_persian:
            return f"{day} {clock}"
        # What is read first stands at the right.
        return f"{clock.translate(_PERSIAN)} {_jalali(day)}"

    def line(self) -> float:
        """Goes to the next line, on a new page where this one is full; where it is."""
        if self._room == 0:
            self._begin_page()
        self._room -= 1
        self._y -= LINE
        return self._y

    def row(self, row: list[Any]) -> None:
        number, moment, kind, phone_number, amount, commission, balance, reference = row
        y, pen, columns, write = self.line(), self._pen, self._columns, self.number
        at_right = self._is_rtl
        pen.figures(*columns[0], y, write(number), at_right=True)
        pen.figures(*columns[1], y, self.moment(moment), at_right=at_right)
        pen.words(*columns[2], y, self._kinds.get(kind, kind), at_right=at_right)
        if phone_number:
            phone = phone_number.translate(_PERSIAN) if self._is_persian else phone_number
            pen.figures(*columns[3], y, phone, at_right=at_right)
        pen.figures(*columns[4 if amount < 0 else 5], y, write(abs(amount)), at_right=True)
        if commission:
            pen.figures(*columns[6], y, write(commission), at_right=True)
        pen.figures(*columns[7], y, write(balance), at_right=True)
        pen.figures(*columns[8], y, reference, at_right=at_right)

    def sums(self, label: str, cells: dict[str, int]) -> None:
        """A line in bold: what it is called, and its figures by the number of their columns."""
        y = self.line()
        first, last = self._columns[1], self._columns[3]
        left, right = min(first[0], last[0]), max(first[1], last[1])
        self._pen.words(left, right, y, label, at_right=self._is_rtl, font=BOLD)
        for column, value in cells.items():
            self._pen.figures(*self._columns[int(column)], y, self.number(value), at_right=True, font=BOLD)

    def rule(self, y: float) -> None:
        self._canvas._code.append(f"0.75 G 0.5 w {MARGIN:.2f} {y:.2f} m {WIDTH - MARGIN:.2f} {y:.2f} l S 0 G")

    def _begin_page(self) -> None:
        if self._page:
            self._canvas.showPage()
        self._page += 1
        if self._page == 1:
            self._begin_first()
            self._room = self._on_first
        else:
            self._pen.words(MARGIN, WIDTH - MARGIN, TOP - 8, self._heading["title"], at_right=self._is_rtl)
            self._y = TOP - 16
            self._room = self._on_others
        self._y -= LINE
        for (left, right), title, column in zip(self._columns, self._heading["columns"], range(9), strict=True):
            at_right = self._is_rtl or column in _NUMBERS
            self._pen.words(left, right, self._y, title, at_right=at_right, font=BOLD)
        self.rule(self._y - 4)
        self._foot()

    def _begin_first(self) -> None:
        heading, pen, rtl = self._heading, self._pen, self._is_rtl
        pen.words(MARGIN, WIDTH - MARGIN, TOP - 16, heading["title"], at_right=rtl, font=BOLD, size=14)
        y, middle = TOP - 30, WIDTH / 2
        halves = [(MARGIN, middle - 8), (middle + 8, WIDTH - MARGIN)]
        if rtl:
            halves.reverse()
        for index, (label, value) in enumerate(heading["facts"]):
            left, right = halves[index % 2]
            if index % 2 == 0:
                y -= 15
            of_label = (right - 96, right) if rtl else (left, left + 96)
            of_value = (left, right - 100) if rtl else (left + 100, right)
            pen.words(*of_label, y, label, at_right=rtl, size=8)
            pen.words(*of_value, y, value, at_right=rtl, font=BOLD, size=8)
        self._y = self._first_table

    def _foot(self) -> None:
        page = self._heading["page"] % {"page": self._digits(self._page), "pages": self._digits(self.pages)}
        y = MARGIN - 4
        self.rule(y + 12)
        left, right = (WIDTH - MARGIN - 120, WIDTH - MARGIN) if self._is_rtl else (MARGIN, MARGIN + 120)
        self._pen.words(left, right, y, page, at_right=self._is_rtl)
        digest = self._heading["digest"]
        self._pen.figures(MARGIN + 130, WIDTH - MARGIN - 130, y, f"SHA-256 {digest}", at_right=self._is_rtl)

    def _digits(self, number: int) -> str:
        return str(number).translate(_PERSIAN) if self._is_persian else str(number)


@lru_cache(maxsize=1000)
def _jalali(day: date) -> str:
    jalali = jdatetime.date.fromgregorian(date=day)
    return f"{jalali.year:04}/{jalali.month:02}/{jalali.day:02}".translate(_PERSIAN)


def write_pdf(source: IO[str], target: IO[bytes]) -> None:
    """Writes the file of the lines in ``source``, the last of which is ``null``.

    Raises:
        EOFError: the last line is missing, or there are not as many rows as the heading says.
    """
    heading = json.loads(source.readline() or "null")
    if heading is None:
        raise EOFError
    rl_config.useA85 = 0  # binary streams
    for name in (REGULAR, BOLD):
        pdfmetrics.registerFont(TTFont(name, str(FONTS / f"{name}.ttf"), shapable=False))
    # invariant: the same statement is the same file, byte by byte.
    canvas = Canvas(target, pagesize=(WIDTH, HEIGHT), pageCompression=1, invariant=1, lang=heading["language"])
    canvas.setTitle(heading["title"])
    canvas.setAuthor(heading["organization"])
    canvas.setSubject(f"SHA-256 {heading['digest']}")
    paper = _Paper(canvas, heading)
    paper.sums(heading["opening"], {"7": heading["opening_balance"]})
    rows = 0
    for line in source:
        page = json.loads(line)
        if page is None:
            break
        for row in page:
            paper.row(row)
        rows += len(page)
    else:
        raise EOFError
    if rows != heading["entries"]:
        raise EOFError
    for label, cells in heading["totals"]:
        paper.sums(label, cells)
    paper.sums(heading["closing"], {"7": heading["closing_balance"]})
    assert paper._page == paper.pages, "pages were counted wrongly"
    canvas.save()


if __name__ == "__main__":
    write_pdf(sys.stdin, sys.stdout.buffer)
