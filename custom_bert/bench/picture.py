"""Bars with their spread, as an SVG file: readable in a talk, with nothing but the core installed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LABEL, BAR, GAP, TOP = 960, 260, 26, 12, 64
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
        ordered = sorted(bar.values)
        median, low, high = ordered[len(ordered) // 2], ordered[0], ordered[-1]
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
