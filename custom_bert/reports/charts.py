"""Curves over two axes, as elements of an SVG picture: for the page of a run and for measurements.

Colours are classes (`k0`, `k1`, ... of curves, `grid` of lines), which the style sheet of the page or of the
picture fills.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from custom_bert.reports.ticks import Base, powers, ticks, written

POINTS = 300
"""Of a curve, at most; of more, the mean of neighbours."""

DOTTED = 8
"""Points of a curve up to which each is marked by a dot."""

COLOURS = 4
"""Classes of colours; further curves begin with the first again."""

SMALLEST, LARGEST = 1e-300, 1e300
"""Numbers of a logarithmic axis are drawn from the first on, and those of both kinds up to the second. So all
that is computed of them is finite."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """A line of a chart.

    Attributes:
        name: for the legend.
        points: (x, y), by x. A point that has no place on the axes, as one that is not finite, is left out.
    """

    name: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Axis:
    """What an axis shows.

    Attributes:
        name: what is counted, written below a horizontal axis.
        base: of a logarithmic axis, whose ticks are powers of it; None for a linear one.
        whole: its ticks are whole numbers.
        about: into how many steps a linear one is divided, more or less.
    """

    name: str = ""
    base: Base | None = None
    whole: bool = False
    about: int = 4

    def has(self, value: float) -> bool:
        """Whether the value has a place on such an axis."""
        return abs(value) <= LARGEST and (self.base is None or value >= SMALLEST)  # which NaN is not

    def ticks(self, low: float, high: float) -> list[float]:
        """Round numbers that cover the range."""
        if self.base is not None:
            return powers(low, high, self.base)
        return ticks(low, high, about=self.about, whole=self.whole)


@dataclass(frozen=True)
class Frame:
    """The area that curves are drawn in, in units of the picture; the numbers of its ticks stand outside."""

    left: float
    right: float
    top: float
    bottom: float


def drawable(curves: Sequence[Curve], across: Axis, up: Axis) -> list[Curve]:
    """The curves with those points that have a place on the axes, thinned."""
    return [
        Curve(one.name, thinned([(x, y) for x, y in one.points if across.has(x) and up.has(y)]))
        for one in curves
    ]


def thinned(points: Sequence[Point], most: int = POINTS) -> list[Point]:
    """At most so many points: the means of equally many neighbours, each at the x of the last of them."""
    size = max(1, -(-len(points) // most))
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(group[-1][0], sum(y / len(group) for _, y in group)) for group in groups]


def draw(curves: Sequence[Curve], across: Axis, up: Axis, frame: Frame) -> list[str]:
    """Elements of SVG: lines and numbers of both axes, and the curves.

    Args:
        curves: as `drawable` returns them, at least one with a point. Each has the colour of its place among
            them.
        across, up: the axes; the first is as long as the curves, the second goes from tick to tick.
        frame: where.
    """
    xs, ys = ([point[i] for one in curves for point in one.points] for i in (0, 1))
    x_ticks, y_ticks = across.ticks(min(xs), max(xs)), up.ticks(min(ys), max(ys))
    ends = (min(xs), max(xs)) if min(xs) < max(xs) else (x_ticks[0], x_ticks[-1])
    px = _scale(across, *ends, frame.left, frame.right)
    # what the ticks' twelve digits leave out is on the picture too
    py = _scale(up, min(y_ticks[0], *ys), max(y_ticks[-1], *ys), frame.bottom, frame.top)
    parts = [
        f'<path class="grid" d="M{frame.left:g} {py(tick):.1f}H{frame.right:g}"/>'
        f'<text x="{frame.left - 6:g}" y="{py(tick) + 4:.1f}" text-anchor="end">{written(tick)}</text>'
        for tick in y_ticks
    ]
    parts += [
        f'<text x="{px(tick):.1f}" y="{frame.bottom + 18:g}" text-anchor="middle">{written(tick)}</text>'
        for tick in x_ticks
        if ends[0] <= tick <= ends[1]
    ]
    if across.name:
        end = f'x="{frame.right:g}" y="{frame.bottom + 36:g}" text-anchor="end"'
        parts.append(f"<text {end}>{escape(across.name)}</text>")
    for i, one in enumerate(curves):
        if one.points:
            parts += _curve([(px(x), py(y)) for x, y in one.points], colour(i))
    return parts


def colour(number: int) -> str:
    """The class of the colour of a curve, by its place among the curves."""
    return f"k{number % COLOURS}"


def _curve(places: Sequence[Point], of_colour: str) -> list[str]:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = places if len(places) <= DOTTED else []
    return [
        f'<polyline class="curve {of_colour}" points="{path}"/>',
        *(f'<circle class="{of_colour}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in dots),
    ]


def _scale(axis: Axis, low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """From a value between `low` and `high` to its place between `start` and `end`."""

    def position(value: float) -> float:
        return value if axis.base is None else math.log(value)

    first, length = position(low), position(high) - position(low)
    return lambda value: start + (end - start) * ((position(value) - first) / length)
