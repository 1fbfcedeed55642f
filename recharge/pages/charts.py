"""Charts that are made of the page itself: what is drawn is measured here, in parts of a hundred, and the templates
recharge/chart_of_*.html put it down. So they have the page's font, colours and direction, and no script.

Sizes are attributes of SVG: the pages' policy lets no style into markup.
"""

from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[str, int]
"""A label and its value, in Tomans."""

_FEWEST = 10
"""The least span of an axis in Tomans: a smaller one would be divided into parts of a Toman."""
_MOST_STEPS = 4
_MOST_LABELS = 8
"""The most days that have room below a chart; a phone has room for every other one."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One column or bar: what it is of, its value, and where it begins and how long it is, in percent of the chart."""

    label: str
    value: int
    begin: str
    size: str
    short: str = ""
    """What is written below it; nothing where there is no room."""
    is_between: bool = False
    """Whether there is no room for that on a phone."""


@dataclass(frozen=True, slots=True)
class Chart:
    """What a chart is of, and its marks."""

    title: str
    """What the values are."""
    marks: Sequence[Mark]
    template: str
    ticks: Sequence[int] = ()
    """The values that have a line, the highest first, all as far from each other."""


def columns(points: Sequence[Point], title: str) -> Chart:
    """One column beside the other, in the order in which the reader reads. Labels are days as they are written
    (shared/console/formats.py): below the columns they have no year."""
    ticks = _ticks([value for _label, value in points])
    high, span = ticks[0], ticks[0] - ticks[-1]
    every = -(-len(points) // _MOST_LABELS)
    marks = [
        Mark(
            label,
            value,
            _percent(high - max(value, 0), span),
            _percent(abs(value), span),
            "" if from_last % every else label[5:],  # people look at the last day first
            is_between=from_last // every % 2 == 1,
        )
        for from_last, (label, value) in zip(reversed(range(len(points))), points, strict=True)
    ]
    return Chart(title, marks, "recharge/chart_of_columns.html", ticks)


def bars(points: Sequence[Point], title: str) -> Chart:
    """One bar below the other, the first on top, each with its value beside it."""
    values = [value for _label, value in points]
    low, high = min([0, *values]), max([0, *values])
    span = max(high - low, 1)
    marks = [
        Mark(label, value, _percent(min(value, 0) - low, span), _percent(abs(value), span)) for label, value in points
    ]
    return Chart(title, marks, "recharge/chart_of_bars.html")


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f}%"


def _ticks(values: Sequence[int]) -> list[int]:
    """Round values from the lowest to the highest, with zero: 1, 2 or 5 and noughts apart."""
    low, high = min([0, *values]), max([0, *values])
    if high - low < _FEWEST:
        high = _FEWEST if high or not low else 0
        low = -_FEWEST if low else 0
    step, factors = 1, (2, 5, 10)
    while (high - low) / step > _MOST_STEPS:
        magnitude = 10 ** (len(str(step)) - 1)
        step = magnitude * next(factor for factor in factors if magnitude * factor > step)
    return list(range(-(-high // step) * step, (low // step - 1) * step, -step))
