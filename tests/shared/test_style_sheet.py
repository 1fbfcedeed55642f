"""The style sheets of the consoles: every colour is a variable, and has a value in the light and in the dark scheme."""

import re
from pathlib import Path

SHEETS = sorted((Path(__file__).resolve().parents[2] / "shared/static/shared").glob("*.css"))
# A shadow is black in both.
COLOUR = re.compile(r"#[0-9a-f]{3,8}\b|\b(?:rgba?|hsla?)\((?!0, 0, 0, )")


def schemes() -> tuple[dict[str, str], dict[str, str]]:
    """The variables of the two schemes, the light one first."""
    sheet = next(path for path in SHEETS if path.name == "console.css").read_text()
    blocks = re.findall(r"(?s):root \{(.*?)\n *\}", sheet)
    light, dark = (dict(re.findall(r"(--[\w-]+): ([^;]+);", block)) for block in blocks)
    return light, dark


def test_each_colour_of_the_consoles_has_two_values() -> None:
    light, dark = schemes()
    of_light, of_dark = ({name for name in one if name.startswith("--console-")} for one in (light, dark))
    assert len(of_light) > 25
    assert of_light == of_dark


def test_nothing_else_names_a_colour() -> None:
    named = {}
    for path in SHEETS:
        rules = re.sub(r"(?s)/\*.*?\*/", "", path.read_text())
        rules = re.sub(r'url\("data:.*?"\)', "", rules)
        named[path.name] = COLOUR.findall(re.sub(r"(?s):root \{.*?\n *\}", "", rules))
    assert named["console.css"] == []
    assert not any(named.values()), named


def test_each_variable_has_a_value() -> None:
    sheet = next(path for path in SHEETS if path.name == "console.css").read_text()
    assert set(re.findall(r"var\((--console-[\w-]+)", sheet)) <= set(re.findall(r"(--console-[\w-]+):", sheet))


def _lightness(colour: str) -> float:
    """The relative luminance of WCAG 2."""
    digits = colour.removeprefix("#")
    digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_lightness(one), _lightness(other)))
    return (high + 0.05) / (low + 0.05)


def test_what_is_written_can_be_read_in_both_schemes() -> None:
    grounds = ("ground", "surface", "raised")
    pairs = [(text, ground) for text in ("text", "text-soft", "secondary", "accent", "danger") for ground in grounds]
    pairs += [("accent-strong", "tint"), ("danger-strong", "danger-tint"), ("text-soft", "plain-tint")]
    pairs += [(state, f"{state}-tint") for state in ("good", "bad", "wait")] + [("code", "code-ground")]
    pairs += [("on-fill", fill) for fill in ("fill", "fill-strong", "danger-fill", "danger-fill-strong")]
    for scheme in schemes():
        for text, ground in pairs:
            ratio = _contrast(scheme[f"--console-{text}"], scheme[f"--console-{ground}"])
            assert ratio >= 4.5, (text, ground, ratio)
        for ground in grounds:  # WCAG 1.4.11
            assert _contrast(scheme["--console-edge"], scheme[f"--console-{ground}"]) >= 3, ground
