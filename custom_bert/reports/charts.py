"""Draws curves over two axes as SVG elements, for the page of a run and for pictures of measurements.

Colours are CSS classes: `k0`, `k1`, ... for curves and `grid` for grid lines. The style sheet of the page or
of the picture gives them their colours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from custom_bert.reports.ticks import Base, powers, ticks, written

POINTS = 300
"""The largest number of points that are drawn of a curve. Of more points, neighbours are averaged."""

DOTTED = 8
"""The largest number of points of a curve that are marked by dots."""

COLOURS = 4
"""The number of colours. Further curves begin with the first again."""

SMALLEST, LARGEST = 1e-300, 1e300
"""Numbers above the second are not drawn, and on a logarithmic axis those below the first are not. So every
coordinate that is computed from them is finite."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """A curve of a chart.

    Attributes:
        name: its name in the legend.
        points: (x, y) in the order of x. A point that has no place on the axes, such as one that is not
            finite, is left out.
    """

    name: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Axis:
    """The form of an axis.

    Attributes:
        name: what the axis counts, written below a horizontal axis.
        base: the base of a logarithmic axis, whose ticks are powers of it; None for a linear axis.
        whole: whether the ticks are whole numbers.
        about: about how many steps a linear axis is divided into.
    """

    name: str = ""
    base: Base | None = None
    whole: bool = False
    about: int = 4

    def has(self, value: float) -> bool:
        """Returns whether the value has a place on the axis."""
        # NaN compares as false, and so has no place
        return abs(value) <= LARGEST and (self.base is None or value >= SMALLEST)

    def ticks(self, low: float, high: float) -> list[float]:
        """Returns round numbers that cover the range."""
        if self.base is not None:
            return powers(low, high, self.base)
        return ticks(low, high, about=self.about, whole=self.whole)


@dataclass(frozen=True)
class Frame:
    """The area in which curves are drawn, in units of the picture. The numbers of ticks are outside of it."""

    left: float
    right: float
    top: float
    bottom: float


def drawable(curves: Sequence[Curve], across: Axis, up: Axis) -> list[Curve]:
    """Returns the curves with only the points that have a place on the axes, at most `POINTS` each."""
    return [
        Curve(one.name, thinned([(x, y) for x, y in one.points if across.has(x) and up.has(y)]))
        for one in curves
    ]


def thinned(points: Sequence[Point], most: int = POINTS) -> list[Point]:
    """Returns at most `most` points. Each is the mean of equally many neighbours, at the x of the last."""
    size = max(1, -(-len(points) // most))
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(group[-1][0], sum(y / len(group) for _, y in group)) for group in groups]


def draw(curves: Sequence[Curve], across: Axis, up: Axis, frame: Frame) -> list[str]:
    """Returns SVG elements: grid lines and numbers of both axes, and the curves.

    Args:
        curves: what `drawable` returned; at least one curve has a point. The colour of a curve follows from
            its place among them.
        across, up: the horizontal axis, which is as long as the curves, and the vertical one, which goes from
            tick to tick.
        frame: where the curves are drawn.
    """
    xs, ys = ([point[i] for one in curves for point in one.points] for i in (0, 1))
    x_ticks, y_ticks = across.ticks(min(xs), max(xs)), up.ticks(min(ys), max(ys))
    ends = (min(xs), max(xs)) if min(xs) < max(xs) else (x_ticks[0], x_ticks[-1])
    px = _scale(across, *ends, frame.left, frame.right)
    # ticks are rounded to twelve digits, so a value may lie just outside of them
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
    """Returns the CSS class of the curve with this number, from 0."""
    return f"k{number % COLOURS}"


def _curve(places: Sequence[Point], of_colour: str) -> list[str]:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = places if len(places) <= DOTTED else []
    return [
        f'<polyline class="curve {of_colour}" points="{path}"/>',
        *(f'<circle class="{of_colour}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in dots),
    ]


def _scale(axis: Axis, low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Returns the function from a value between `low` and `high` to its place between `start` and `end`."""

    def position(value: float) -> float:
        return value if axis.base is None else math.log(value)

    first, length = position(low), position(high) - position(low)
    return lambda value: start + (end - start) * ((position(value) - first) / length)
