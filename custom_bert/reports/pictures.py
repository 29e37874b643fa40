"""Pictures of measurements as SVG files: bars with the spread of repeats, and panels of curves."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from custom_bert.reports.charts import Axis, Curve, Frame, colour, draw, drawable
from custom_bert.reports.styles import style
from custom_bert.reports.ticks import ticks, written

WIDTH, LABEL, BAR, GAP, TOP = 960, 260, 26, 12, 64
"""Sizes of a picture of bars, in its units: width of the picture and of its labels, thickness of a bar, gap
between bars, and height of the title."""

NUMBER = 16
"""The width of a short number beside an axis, in units of the picture."""

PANEL_WIDE, PANEL_HIGH, PANEL_LEFT, PANEL_TOP = 380, 300, 70, 90
"""Sizes of a panel of curves, in units of the picture: width, height, and the room to its left and above."""


@dataclass(frozen=True)
class Bar:
    """A measured ratio.

    Attributes:
        label: what was switched on or off.
        group: the number of its group in the legend, from 0.
        values: the ratio in each repeat.
    """

    label: str
    group: int
    values: tuple[float, ...]


def bars(title: str, subtitle: str, legend: Sequence[str], data: Sequence[Bar], unit: str) -> str:
    """Returns an SVG picture with a bar to each median, and a line from the smallest to the largest value.

    Args:
        title: what is shown.
        subtitle: where it was measured.
        legend: the names of the groups.
        data: the bars, from top to bottom.
        unit: the unit of the axis.
    """
    longest = max((max(bar.values) for bar in data), default=1.0)
    scale = (WIDTH - LABEL - 120) / max(longest, 1e-9)
    bottom = TOP + len(data) * (BAR + GAP)
    body = [
        f'<text class="title" x="20" y="30">{escape(title)}</text>',
        f'<text class="soft" x="20" y="52">{escape(subtitle)}</text>',
        *_grid(longest, scale, bottom),
    ]
    for i, bar in enumerate(data):
        body += _bar(bar, TOP + GAP / 2 + i * (BAR + GAP), scale)
    body.append(f'<text class="soft" x="{LABEL}" y="{bottom + 40}">{escape(unit)}</text>')
    return _picture(WIDTH, bottom + 84, [*body, *_legend(legend, bottom + 54)])


def _grid(longest: float, scale: float, bottom: int) -> list[str]:
    """Returns a line for each tick up to the longest bar, and a stronger one for 1, which is no gain."""
    shown = {tick for tick in ticks(0, longest, about=8) if tick <= longest}
    if longest >= 1 and scale >= NUMBER:
        shown.add(1.0)
    return [
        f'<path class="grid{" one" if tick == 1 else ""}" d="M{LABEL + tick * scale:.1f} {TOP}V{bottom}"/>'
        f'<text x="{LABEL + tick * scale:.1f}" y="{bottom + 20}" text-anchor="middle">{written(tick)}</text>'
        for tick in sorted(shown)
    ]


def _bar(bar: Bar, y: float, scale: float) -> list[str]:
    median, middle = statistics.median(bar.values), y + BAR / 2
    low, high = (LABEL + end(bar.values) * scale for end in (min, max))
    return [
        f'<text class="name" x="{LABEL - 12}" y="{middle + 5:.1f}" text-anchor="end">'
        f"{escape(bar.label)}</text>",
        f'<rect class="{colour(bar.group)}" x="{LABEL}" y="{y:.1f}" width="{median * scale:.1f}" '
        f'height="{BAR}" rx="3"/>',
        f'<path class="spread" d="M{low:.1f} {middle:.1f}H{high:.1f}"/>',
        f'<text class="name" x="{high + 10:.1f}" y="{middle + 5:.1f}">{median:.2f}</text>',
    ]


def panels(title: str, curves: Mapping[str, Sequence[Curve]], across: Axis, up: Axis) -> str:
    """Returns an SVG picture with panels side by side. Curves of one name have one colour in all panels.

    Args:
        title: what is shown.
        curves: the curves of each panel, by the panel's title.
        across, up: the axes of every panel.
    """
    bottom = PANEL_TOP + PANEL_HIGH
    names = list(dict.fromkeys(one.name for some in curves.values() for one in some))
    body = [f'<text class="title" x="20" y="32">{escape(title)}</text>']
    for number, (name, some) in enumerate(curves.items()):
        left = PANEL_LEFT + number * (PANEL_WIDE + PANEL_LEFT)
        body.append(f'<text class="name" x="{left}" y="{PANEL_TOP - 16}">{escape(name)}</text>')
        points = {one.name: one.points for one in some}
        shown = drawable([Curve(name, points.get(name, ())) for name in names], across, up)
        if any(one.points for one in shown):
            body += draw(shown, across, up, Frame(left, left + PANEL_WIDE, PANEL_TOP, bottom))
    width = len(curves) * (PANEL_WIDE + PANEL_LEFT) + 30
    return _picture(width, bottom + 90, [*body, *_legend(names, bottom + 58)])


def _legend(names: Sequence[str], y: int) -> list[str]:
    parts, x = [], 20
    for i, name in enumerate(names):
        parts.append(
            f'<rect class="{colour(i)}" x="{x}" y="{y}" width="14" height="14" rx="3"/>'
            f'<text x="{x + 20}" y="{y + 12}">{escape(name)}</text>'
        )
        x += 40 + 8 * len(name)
    return parts


def _picture(width: int, height: int, body: Sequence[str]) -> str:
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">',
        f"<style>\n{style('picture.css')}</style>",
        f'<rect class="paper" width="{width}" height="{height}"/>',
    ]
    return "\n".join([*head, *body, "</svg>", ""])
