"""Knows the characters that people write: the invisible, the refused, and those that are the same to a search. Reads
numbers as people write them."""

import re
import unicodedata
from typing import Any

from django.db.models import Func, TextField, Value
from django.db.models.lookups import IContains

_JOINERS = "\u200c\u200d"
"""ZWNJ and ZWJ belong to Persian words; they are the only characters of their kind that a name may have."""

# Of the kinds of letters and marks, but drawn as nothing, or as a blank (Unicode's Default_Ignorable_Code_Point but for
# the variation selectors, which belong to what stands before them; and the empty pattern of Braille).
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2065\u2800\u3164\uffa0" + "".join(map(chr, range(0xFFF0, 0xFFF9))))
_BLANK_PLANE = range(0xE0000, 0xE1000)
_SELECTORS = frozenset(map(chr, (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))

_DIGITS = ("۰۱۲۳۴۵۶۷۸۹٠١٢٣٤٥٦٧٨٩", "01234567890123456789")
# Drawn alike or nearly so, and typed for each other: by an Arabic keyboard, or by who leaves out what stands above.
_LETTERS = ("يىئكةۀەھآأإٱؤ", "یییکهههه" + "اااا" + "و")
# Short vowels and their like, the stretched line, joiners, and blanks: "علی‌رضا", "علی رضا" and "علیرضا" are one name.
_UNSAID = "".join(map(chr, range(0x64B, 0x660))) + "\u0670\u0640" + _JOINERS + " \u00a0"
_SAME = (_DIGITS[0] + _LETTERS[0] + _UNSAID, _DIGITS[1] + _LETTERS[1])
"""As PostgreSQL's translate takes them: what has nothing opposite is removed."""
_SAME_HERE = {
    **str.maketrans(_DIGITS[0] + _LETTERS[0], _DIGITS[1] + _LETTERS[1]),
    **dict.fromkeys(map(ord, _UNSAID), None),
}

_LATIN = str.maketrans(*_DIGITS)


_UNFIT = ("Cc", "Cf", "Cs", "Zl", "Zp")


def latin_digits(text: str) -> str:
    """The text with Persian and Arabic digits replaced by ASCII ones. A table, since there are scripts that nobody here
    means, and ``int()`` takes them all."""
    return text.translate(_LATIN)


def without_invisible(text: str) -> str:
    """The text without the marks that come along when it is copied from a messenger or a web page: direction marks,
    zero-width spaces, soft hyphens, byte order marks (Unicode's category Cf). It is for numbers, in which none of them
    means anything."""
    if text.isascii():
        return text
    return "".join(character for character in text if unicodedata.category(character) != "Cf")


def without_marks(text: str) -> str:
    """The text without what comes along when it is copied; the joiners of Persian words stay. For what is looked up."""
    if text.isascii():
        return text
    return "".join(one for one in text if one in _JOINERS or unicodedata.category(one) != "Cf")


def unfit_character(text: str, *, lines: bool = False) -> str | None:
    """The first character that a name or a note must not have, as U+0007; None if there is none. Of a text in which
    there is nothing to be seen at all, its first one.

    They are those that nobody sees or that documents can't hold: controls, formats (but for the joiners of Persian
    words), unpaired surrogates, noncharacters. ``lines`` allows line feeds.
    """
    if text.isascii() and text.isprintable():
        return None
    for character in text:
        if character in _JOINERS or (lines and character == "\n"):
            continue
        code = ord(character)
        is_noncharacter = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
        is_blank = character in _BLANK or (code in _BLANK_PLANE and character not in _SELECTORS)
        if is_noncharacter or is_blank or unicodedata.category(character) in _UNFIT:
            return f"U+{code:04X}"
    if text.strip() and all(one in _JOINERS or one in _SELECTORS or one.isspace() for one in text):
        return f"U+{ord(text.strip()[0]):04X}"
    return None


def folded(text: str) -> str:
    """The text as searches compare it. Digits of all three kinds are the same, and so are Arabic and Persian letters
    that look alike, a word with its vowels and without, and a name in one word, in two or with a joiner between. Case
    is the database's to fold."""
    return text.translate(_SAME_HERE)


class Folded(Func):
    """:func:`folded` of a column, in SQL."""

    function = "translate"
    output_field = TextField()

    def __init__(self, column: str) -> None:
        super().__init__(column, Value(_SAME[0]), Value(_SAME[1]))


def contains(column: str, search: str) -> Any:
    """A condition of a query: the column has this in it, whatever the case, the digits, the letters' form and the
    blanks. (Copied out of a PDF, letters come as they are drawn: NFKC makes letters of them.)"""
    return IContains(Folded(column), folded(unicodedata.normalize("NFKC", search)))


# --- Amounts ----------------------------------------------------------------------------------------------------------

_GROUPED = re.compile(r"[1-9][0-9]{0,2}(?:(?P<mark>[,٬،_'’ \u00a0\u2009\u202f])[0-9]{3}(?:(?P=mark)[0-9]{3})*)?")
_SEPARATED = re.compile(r"[0-9]+[,.٬٫،_'’ \u00a0\u2009\u202f][0-9,.٬٫،_'’ \u00a0\u2009\u202f]*")
_SHORTENED = re.compile(r"[0-9]+(?:[.,٫][0-9]+)?[eE]\+?[0-9]+")


class UnreadableNumber(ValueError):
    """This is no whole number as people write one. ``code`` is ``shortened`` where a spreadsheet has spoilt it,
    ``grouped`` where marks stand between the digits and make no groups of three, else ``invalid``."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def is_shortened(text: str) -> bool:
    """Whether a spreadsheet has written a number in its short form (9.89E+11), of which the last digits are lost."""
    return _SHORTENED.fullmatch(latin_digits(without_invisible(text)).strip()) is not None


def read_whole_number(text: str) -> int:
    """A whole number as people write it: digits of Latin, Persian or Arabic alone, or in groups of three with one kind
    of mark between them, the first of which begins with no zero (``0,500`` may be meant as a half). A mark in another
    place is no group's: ``5000,00`` may be meant as 5,000 with decimals.

    Raises:
        UnreadableNumber: it is none.
    """
    written = latin_digits(without_invisible(text)).strip()
    if is_shortened(written):
        raise UnreadableNumber("shortened")
    if len(written) > 40 or not (re.fullmatch("[0-9]+", written) or _GROUPED.fullmatch(written)):
        raise UnreadableNumber("grouped" if _SEPARATED.fullmatch(written) else "invalid")
    return int(re.sub("[^0-9]", "", written))


def to_translate(text: str) -> str:
    """The text as it is. Marks it for the catalogue: pages translate it when they show it, and no core needs to."""
    return text
