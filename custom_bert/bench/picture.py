"""Bars with their spread, and curves, as SVG: readable in a talk, with nothing but the core installed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LABEL, BAR, GAP, TOP = 960, 260, 26, 12, 64
PANEL_WIDE, PANEL_HIGH = 380, 300
COLOURS = ("#2b6cb0", "#dd6b20", "#2f855a")
INK, GRID, PAPER = "#1a202c", "#cbd5e0", "#ffffff"


@dataclass(frozen=True)
class Bar:
    """One measured ratio.

    Attributes:
        label: what was switched.
        group: which of the legend's groups it belongs to, from 0.
        values: of the repeats.
    """

    label: str
    group: int
    values: tuple[float, ...]


def bars(title: str, subtitle: str, legend: Sequence[str], data: Sequence[Bar], unit: str) -> str:
    """An SVG picture: a bar to each median, a line from the smallest to the largest value.

    Args:
        title: what is shown.
        subtitle: where it was measured.
        legend: names of the groups.
        data: from top to bottom.
        unit: of the axis.
    """
    height = TOP + len(data) * (BAR + GAP) + 84
    longest = max((max(bar.values) for bar in data), default=1.0)
    scale = (WIDTH - LABEL - 120) / max(longest, 1e-9)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="Helvetica, Arial, sans-serif" font-size="15" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{height}" fill="{PAPER}"/>',
        f'<text x="20" y="30" font-size="21" font-weight="bold">{escape(title)}</text>',
        f'<text x="20" y="52" font-size="13" fill="#4a5568">{escape(subtitle)}</text>',
    ]
    bottom = TOP + len(data) * (BAR + GAP)
    for tick in _ticks(longest):
        x = LABEL + tick * scale
        strong = "2" if tick == 1 else "1"
        out.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}" stroke="{GRID}" '
            f'stroke-width="{strong}"/>'
            f'<text x="{x:.1f}" y="{bottom + 20}" text-anchor="middle" font-size="13">{tick:g}</text>'
        )
    for i, bar in enumerate(data):
        y = TOP + GAP / 2 + i * (BAR + GAP)
        median, low, high = statistics.median(bar.values), min(bar.values), max(bar.values)
        middle = y + BAR / 2
        out.append(
            f'<text x="{LABEL - 12}" y="{middle + 5:.1f}" text-anchor="end">{escape(bar.label)}</text>'
            f'<rect x="{LABEL}" y="{y:.1f}" width="{median * scale:.1f}" height="{BAR}" rx="3" '
            f'fill="{COLOURS[bar.group % len(COLOURS)]}"/>'
            f'<line x1="{LABEL + low * scale:.1f}" x2="{LABEL + high * scale:.1f}" y1="{middle:.1f}" '
            f'y2="{middle:.1f}" stroke="{INK}" stroke-width="2"/>'
            f'<text x="{LABEL + high * scale + 10:.1f}" y="{middle + 5:.1f}">{median:.2f}</text>'
        )
    out.append(f'<text x="{LABEL}" y="{bottom + 40}" font-size="13" fill="#4a5568">{escape(unit)}</text>')
    x = 20
    for group, name in enumerate(legend):
        out.append(
            f'<rect x="{x}" y="{bottom + 54}" width="14" height="14" rx="3" fill="{COLOURS[group]}"/>'
            f'<text x="{x + 20}" y="{bottom + 66}" font-size="13">{escape(name)}</text>'
        )
        x += 40 + 8 * len(name)
    return "\n".join([*out, "</svg>", ""])


def _ticks(longest: float) -> list[float]:
    """0, and round steps up to the longest bar."""
    step = next(s for s in (0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000, 1e9) if longest / s <= 9)
    return [i * step for i in range(int(longest / step) + 1)]


@dataclass(frozen=True)
class Line:
    """One curve.

    Attributes:
        name: for the legend.
        points: (x, y), both above 0, x ascending.
    """

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class _Panel:
    """Logarithmic axes: x by powers of 2, y by powers of 10.

    Attributes:
        left, bottom: of the drawing area, in pixels.
        first, last: log2 of the smallest and largest x.
        low, top: log10 of the axis' ends.
    """

    left: int
    bottom: int
    first: float
    last: float
    low: int
    top: int

    @staticmethod
    def around(curves: Sequence[Line], left: int, bottom: int) -> _Panel:
        xs = [x for curve in curves for x, _ in curve.points] or [1.0]
        ys = [y for curve in curves for _, y in curve.points] or [1.0]
        first, low = math.log2(min(xs)), math.floor(math.log10(min(ys)))
        last = max(math.log2(max(xs)), first + 1)
        return _Panel(left, bottom, first, last, low, max(low + 1, math.ceil(math.log10(max(ys)))))

    def place(self, x: float, y: float) -> tuple[float, float]:
        """In pixels."""
        across = (math.log2(x) - self.first) / (self.last - self.first)
        up = (math.log10(y) - self.low) / (self.top - self.low)
        return round(self.left + across * PANEL_WIDE, 1), round(self.bottom - up * PANEL_HIGH, 1)


def lines(title: str, panels: Mapping[str, Sequence[Line]], x_label: str) -> str:
    """An SVG picture of curves over logarithmic axes, a panel beside the other.

    Args:
        title: what is shown.
        panels: by their titles.
        x_label: of all panels.
    """
    left, top = 70, 90
    width, bottom = len(panels) * (PANEL_WIDE + left) + 30, top + PANEL_HIGH
    height = bottom + 100
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="Helvetica, Arial, sans-serif" font-size="13" fill="{INK}">',
        f'<rect width="{width}" height="{height}" fill="{PAPER}"/>',
        f'<text x="20" y="32" font-size="19" font-weight="bold">{escape(title)}</text>',
    ]
    for number, (name, curves) in enumerate(panels.items()):
        panel = _Panel.around(curves, left + number * (PANEL_WIDE + left), bottom)
        out.append(f'<text x="{panel.left}" y="{top - 16}" font-size="15">{escape(name)}</text>')
        for power in range(panel.low, panel.top + 1):
            _, y = panel.place(2**panel.first, 10.0**power)
            out.append(
                f'<line x1="{panel.left}" x2="{panel.left + PANEL_WIDE}" y1="{y}" y2="{y}" stroke="{GRID}"/>'
                f'<text x="{panel.left - 8}" y="{y + 4}" text-anchor="end">{10.0**power:,g}</text>'
            )
        for tick in sorted({x for curve in curves for x, _ in curve.points}):
            x, y = panel.place(tick, 10.0**panel.low)
            out.append(f'<text x="{x}" y="{y + 20}" text-anchor="middle">{tick:,g}</text>')
        for colour, curve in zip(COLOURS, curves, strict=False):
            places = [panel.place(x, y) for x, y in curve.points]
            path = " ".join(f"{x},{y}" for x, y in places)
            out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="3"/>')
            out += [f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>' for x, y in places]
        out.append(f'<text x="{panel.left}" y="{bottom + 42}" fill="#4a5568">{escape(x_label)}</text>')
    names = dict.fromkeys(curve.name for curves in panels.values() for curve in curves)
    for at, (name, colour) in enumerate(zip(names, COLOURS, strict=False)):
        out.append(
            f'<rect x="{20 + 140 * at}" y="{height - 32}" width="14" height="14" rx="3" fill="{colour}"/>'
            f'<text x="{40 + 140 * at}" y="{height - 20}">{escape(name)}</text>'
        )
    return "\n".join([*out, "</svg>", ""])
