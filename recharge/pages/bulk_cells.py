"""Reads single cells of rows, and mends what spreadsheets do to numbers, where that is certain. Where it is not, says
what was done to them, and what to do."""

import re
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from shared.console.formats import format_number, in_digits
from shared.texts import is_shortened, latin_digits, without_invisible

_QUOTED = re.compile(r'="?(.*?)"?', re.DOTALL)
"""="0912…", by which programs keep a spreadsheet from taking a text for a number."""
_APOSTROPHES = "'’‘`´"
_SHORTENED = re.compile(r"([0-9])(?:[.,٫]([0-9]+))?[eE]\+?([0-9]{1,3})")
_ZERO_DECIMALS = re.compile(r"(.*[0-9])[.٫]0+")
_BETWEEN_DIGITS = re.compile("[\\s().\\-\u2010-\u2015]")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?: [0-9:.]+)?|[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?")
_TOMANS = re.compile(r"(?:تومان|تومن|tomans?)", re.IGNORECASE)
_RIALS = re.compile(r"(?:ریال|rials?|rls\.?|irr)", re.IGNORECASE)
_NEGATIVE = re.compile(r"[-−–‐]\s*(?=[0-9])|(?<=[0-9])\s*[-−–‐]$")


@dataclass(slots=True)
class Cell:
    """What a cell was read as: ``value``, what was done to it (``remark``), or why it can't be read (``problem``; then
    ``value`` means nothing)."""

    value: str
    remark: str = ""
    problem: str = ""


def read_number(written: str) -> Cell:
    """A phone number, as normalize_phone_number takes it, which finds the other mistakes."""
    text, remark = _bare(written)
    if is_shortened(text):
        return _restored(text) or Cell(text, problem=_lost(text, _NUMBER_LOST))
    if zeros := _ZERO_DECIMALS.fullmatch(text):
        text, remark = zeros[1], str(_("The decimals that a spreadsheet added were left out."))
    digits = _BETWEEN_DIGITS.sub("", text)
    if not re.fullmatch(r"\+?[0-9]+", digits):
        return Cell(text, remark)
    return _of_digits(digits, text, remark)


def _of_digits(digits: str, text: str, remark: str = "") -> Cell:
    ends_in_zeros = re.fullmatch("9[0-9]{3}0{6}", digits[-10:]) is not None
    if re.fullmatch("(?:980?)?9[0-9]{9}", digits):
        # It was kept as a number somewhere. One that was 9.12E+09 there, or in a file in between, has these zeros, and
        # is somebody else's number.
        if ends_in_zeros:
            return Cell(text, problem=str(_ROUNDED))
        said = (
            _("The zero that a spreadsheet took away was put back.")
            if len(digits) == 10
            else _("The country code was recognized.")
        )
        return Cell(f"0{digits[-10:]}", remark or str(said))
    if 6 < len(digits) < 11 and digits.startswith(("09", "9")):
        count = in_digits(str(len(digits)))
        problem = _("This has %(count)s digits; a mobile number has 11 (0912…). Write it whole.") % {"count": count}
        return Cell(text, remark, str(problem))
    if ends_in_zeros:
        remark = str(_("It ends in six zeros. Check that no spreadsheet has cut its digits."))
    return Cell(text, remark)


def read_amount(written: str) -> Cell:
    """An amount of Tomans, as TomansFormField takes it, which finds the other mistakes."""
    text, remark = _bare(written)
    if (rials := _RIALS.search(text)) or _TOMANS.search(text):
        text = (_RIALS if rials else _TOMANS).sub("", text).strip()
        if rials:
            return Cell(text, problem=_in_rials(text))
    if _DATE.fullmatch(text):
        return Cell(
            text,
            problem=str(_("A spreadsheet took this for a date. Format the column as a number, and enter it again.")),
        )
    if _NEGATIVE.search(text) or re.fullmatch(r"\([0-9,٬. ]+\)", text):
        return Cell(text, problem=str(_("An amount can't be negative. Write it without the sign.")))
    if is_shortened(text):
        return _restored(text) or Cell(text, problem=_lost(text, _AMOUNT_LOST))
    if zeros := re.fullmatch(r"(.*[0-9])[.٫]00?", text):
        return Cell(zeros[1], str(_("The decimals that a spreadsheet added were left out.")))
    return Cell(text, remark)


def _bare(written: str) -> tuple[str, str]:
    """The text in Latin digits, without what keeps spreadsheets from taking it for a number; and what to say of it."""
    text = latin_digits(without_invisible(written)).strip()
    if text.startswith('="') and (quoted := _QUOTED.fullmatch(text)):
        text = quoted[1].strip()
    bare = text.strip(_APOSTROPHES).strip()
    said = _("The apostrophe was left out.") if bare != text and text[:1] in _APOSTROPHES else ""
    return bare, str(said)


_NUMBER_LOST = _(
    "A spreadsheet has shortened this number to %(written)s: %(lost)s of its %(all)s digits are lost, and can't be "
    "known. Format the column as text there, and enter the numbers again."
)
_ROUNDED = _(
    "It ends in six zeros: a spreadsheet has probably rounded it, and its real digits can't be known. Write the number "
    "whole, with its first zero (0912…)."
)
_AMOUNT_LOST = _(
    "A spreadsheet has shortened this amount to %(written)s, so it can't be known for certain. Format the column as a "
    "number there, and save the file again."
)


def _restored(text: str) -> Cell | None:
    """What a short form stands for, where it has every digit: 9.123456789E+09. None: some are lost."""
    found = _SHORTENED.fullmatch(text)
    if not found or len(found[2] or "") != int(found[3]):
        return None
    digits = found[1] + (found[2] or "")
    if len(digits) >= 10:
        cell = _of_digits(digits, digits)
        if cell.problem:
            return cell
        digits = cell.value
    said = _("Read from a spreadsheet's short form %(written)s, which has all its digits.")
    return Cell(digits, str(said % {"written": _isolated(text)}))


def _lost(text: str, said: Promise) -> str:
    found = re.fullmatch(r"([0-9]+)(?:[.,٫]([0-9]+))?[eE]\+?([0-9]+)", text)
    assert found
    shown = len(found[1]) + len(found[2] or "")
    exponent = min(int(found[3][:6]), 99)
    total = max(len(found[1]) + exponent, shown)
    values: dict[str, Any] = {
        "written": _isolated(text[:20]),
        "lost": in_digits(str(total - shown)),
        "all": in_digits(str(total)),
    }
    return str(said) % values


def _in_rials(text: str) -> str:
    digits = re.sub("[,٬،. ]", "", text)
    if re.fullmatch("[0-9]{2,13}", digits) and digits.endswith("0"):
        tomans = format_number(int(digits) // 10)
        return str(_("This is in rials. Write it in Tomans: %(tomans)s.") % {"tomans": tomans})
    return str(_("This is in rials. Write it in Tomans."))


def _isolated(text: str) -> str:
    """For Persian sentences: a Latin word with digits and signs keeps its order there."""
    return f"\u2066{text}\u2069"
