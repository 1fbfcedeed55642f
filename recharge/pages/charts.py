"""Charts drawn by pygal: SVG without script, without anything from elsewhere, in the reader's digits and direction."""

import sys
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pygal
from pygal.etree import etree
from pygal.style import Style

from shared.console.formats import format_number, is_persian
from shared.texts import unfit_character

# pygal has a finder of its plug-ins asked at every later import, of a kind that Python takes with a warning alone.
sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]

Point = tuple[str, int]
"""A label and its value."""

_MOST_LABELS = 14
_FEW = 10
_LOOKS = Style(
    background="#ffffff",
    plot_background="#ffffff",
    foreground="#3d4846",
    foreground_strong="#24302e",
    foreground_subtle="#dfe5e4",
    guide_stroke_color="#dfe5e4",
    major_guide_stroke_color="#dfe5e4",
    font_family='Vazir, system-ui, "Segoe UI", Roboto, "Noto Sans", "Noto Sans Arabic", Tahoma, sans-serif',
    label_font_size=13,
    major_label_font_size=13,
    title_font_size=15,
    value_font_size=13,
    no_data_font_size=16,
    opacity="1",
    opacity_hover="1",
    transition="0s",
    colors=("#0b5e56",),
)


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart. Its looks are in a style sheet inside of it, which a page's policy lets in by its hash alone."""

    svg: bytes
    style_hash: str
    """A source expression of Content-Security-Policy: 'sha256-…'."""


def columns(points: Sequence[Point], title: str) -> Drawing:
    """One column beside the other, in the order in which the reader reads."""
    labels = [label for label, _ in points]
    every = -(-len(labels) // _MOST_LABELS)
    major = labels[::every]
    if is_persian():
        points, labels = points[::-1], labels[::-1]
    chart = _chart(
        pygal.Bar, title, x_labels=labels, x_labels_major=major, show_minor_x_labels=False, x_label_rotation=35
    )
    return _drawn(chart, title, points)


def bars(points: Sequence[Point], title: str) -> Drawing:
    """One bar below the other, the first on top."""
    points = points[::-1]
    chart = _chart(
        pygal.HorizontalBar,
        title,
        x_labels=[_short(label) for label, _ in points],
        height=110 + 38 * max(len(points), 2),
    )
    return _drawn(chart, title, points)


def _short(label: str) -> str:
    # A name of before such characters were refused: XML can't hold them at all.
    label = "".join(character for character in label if not unfit_character(character))
    return label if len(label) <= 24 else label[:23] + "…"


def _chart(kind: Any, title: str, **options: Any) -> Any:
    return kind(
        **{
            "style": _LOOKS,
            "title": title,
            "show_legend": False,
            "js": [],
            "width": 800,
            "height": 320,
            "truncate_label": -1,
            "value_formatter": lambda value: format_number(round(value)),
            "include_x_axis": True,
            "min_scale": 2,
            "max_scale": 6,
            "no_data_text": "–",
            "spacing": 14,
            "margin": 12,
            "margin_right": 44,  # half of the last label is beyond the axis
            **options,
        }
    )


def _drawn(chart: Any, title: str, points: Sequence[Point]) -> Drawing:
    values = [value for _, value in points]
    if max(values, default=0) < _FEW:  # else the axis would be divided into parts of a Toman
        chart.y_labels = [0, _FEW]
    chart.add(title, values)
    root = chart.render_tree()
    styles = []
    for parent in list(root.iter()):
        for child in list(parent):
            kind = child.tag.rpartition("}")[2] if isinstance(child.tag, str) else "comment"
            # A script's settings, and a box that it would move about, are there also where there is no script.
            if kind in ("script", "comment") or "tooltip" in child.get("class", "").split():
                parent.remove(child)
            elif kind == "style":
                styles.append(child)
    # One sheet, so that there is one hash.
    first, *others = styles
    first.text = "\n".join(style.text or "" for style in styles)
    for style in others:
        style.text = ""
    digest = b64encode(sha256(first.text.encode()).digest()).decode()
    svg: bytes = etree.tostring(root, encoding="utf-8", xml_declaration=True)
    return Drawing(svg, f"'sha256-{digest}'")
