"""Numbers as people write them, characters that nobody sees, and what is the same to somebody who searches."""

import pytest

from shared.console.forms import TomansFormField
from shared.phones import InvalidPhoneNumber, normalize_phone_number
from shared.texts import UnreadableNumber, folded, read_whole_number, unfit_character


@pytest.mark.parametrize(
    "written",
    [
        "5000000",
        "5,000,000",
        "5٬000٬000",
        "۵٬۰۰۰٬۰۰۰",
        "٥٬٠٠٠٬٠٠٠",
        "۵،۰۰۰،۰۰۰",
        "5 000 000",
        "5\u00a0000\u00a0000",
        "5\u202f000\u202f000",
        "5_000_000",
        "5'000'000",
        " 5,000,000 ",
        "\u200f5,000,000\u200e",
        "\u202a5000000\u202c",
        "5\u200b000\u061c000",
    ],
)
def test_groups_of_three_or_none_are_read(written: str) -> None:
    assert read_whole_number(written) == 5_000_000


@pytest.mark.parametrize(
    "written",
    [
        "5000,00",
        "05,000,000",
        "0,500",
        "0 500",
        "۰٬۵۰۰",
        "50,00",
        "5,0000",
        "5,,000",
        ",5000",
        "5000,",
        "50,000.00",
        "50.000",
        "5.0",
        "۵۰۰۰٫۰۰",
        "5000,000",
        "5,000000",
        "5,000٬000",
        "5 000,000",
        "50 00",
        "5000 Tomans",
        "-5000",
        "+5000",
        "٠x5",
        "५०००",
        "²",
        "",
        " ",
        "1" * 41,
    ],
)
def test_anything_else_is_no_number(written: str) -> None:
    with pytest.raises(UnreadableNumber, match=r"invalid|grouped"):
        read_whole_number(written)


@pytest.mark.parametrize("mark", [",", ".", "0,", " ", "٬"])
def test_a_number_of_many_marks_is_looked_through_once(mark: str) -> None:
    """Where each of two parts may take a mark, trying all divisions of 40 of them took for ever."""
    with pytest.raises(UnreadableNumber) as refused:
        read_whole_number("1" + mark * 50_000 + "x")
    assert refused.value.code == "invalid"


@pytest.mark.parametrize("written", ["9.89E+11", "5E+05", "9,12E+09", "۹٫۸۹E+۱۱", "5e5"])
def test_what_a_spreadsheet_has_shortened_is_called_so(written: str) -> None:
    with pytest.raises(UnreadableNumber, match="shortened"):
        read_whole_number(written)
    with pytest.raises(InvalidPhoneNumber, match="spreadsheet"):
        normalize_phone_number(written)
    with pytest.raises(Exception, match="spreadsheet"):
        TomansFormField().clean(written)


@pytest.mark.parametrize("mark", ["\u200b", "\u061c", "\u202a", "\u202e", "\u2066", "\ufeff", "\u2060", "\u00ad"])
def test_marks_that_come_along_with_a_number_are_passed_over(mark: str) -> None:
    assert normalize_phone_number(f"{mark}0912{mark}1234567{mark}") == "+989121234567"


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("a\u0007b", "U+0007"),
        ("a\nb", "U+000A"),
        ("a\u200bb", "U+200B"),
        ("\u202eabc", "U+202E"),
        ("a\ufeff", "U+FEFF"),
        ("a\ufffe", "U+FFFE"),
        ("a\U0001ffff", "U+1FFFF"),
        ("a\ud800", "U+D800"),
        ("a\u2028b", "U+2028"),
        ("a\x85b", "U+0085"),
        ("a\x7f", "U+007F"),
        ("a\u3164b", "U+3164"),
        ("\u2800", "U+2800"),
        ("\u200c", "U+200C"),
        (" \u200d\ufe0f ", "U+200D"),
    ],
)
def test_what_nobody_sees_is_found(text: str, mark: str) -> None:
    assert unfit_character(text) == mark


@pytest.mark.parametrize("text", ["کیوسک\u200cهای ۷", "Café – 7 €", "🙂", "❤️", "", " ", "نیم\u200dفاصله", "a b"])
def test_what_people_write_is_fit(text: str) -> None:
    assert unfit_character(text) is None


def test_a_note_may_have_lines() -> None:
    assert unfit_character("one\ntwo", lines=True) is None
    assert unfit_character("one\rtwo", lines=True) == "U+000D"


def test_digits_letters_and_joiners_are_the_same_to_a_search() -> None:
    assert folded("كيوسك\u200c٧") == folded("کیوسک۷") == "کیوسک7"
