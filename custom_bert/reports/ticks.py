"""Round numbers along an axis, and how they are written.

Steps are computed as exact decimals, so that a tick is the float nearest to the number beside it.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Literal

Base = Literal[2, 10]
"""The bases that a logarithmic axis can have."""

ROUND = (Decimal(1), Decimal(2), Decimal("2.5"), Decimal(5), Decimal(10))
"""The round steps; a step is one of these times a power of ten."""

NARROWEST = Decimal("1e-4")
"""The span of an axis is at least this share of the largest number on it. Otherwise the ticks of a value that
hardly changes would have too many digits to be read."""

SMALLEST = Decimal("1e-290")
"""If all numbers are nearer to 0 than this, they count as 0, since floats have no steps between them."""

MOST_POWERS = 8
"""The largest number of ticks of a logarithmic axis."""

UNITS = ((Decimal("1e9"), "G"), (Decimal("1e6"), "M"), (Decimal("1e3"), "k"))

PLAIN = (Decimal("1e-3"), Decimal("1e12"))
"""Numbers from the first up to the second are written without a power of ten."""


def ticks(low: float, high: float, *, about: int = 4, whole: bool = False) -> list[float]:
    """Returns two or more multiples of a round step, from at most `low` to at least `high`.

    Args:
        low, high: the range: two finite numbers up to 1e300, the smaller one first.
        about: about how many steps the range is divided into; up to two more are needed to cover it.
        whole: whether the ticks are whole numbers.
    """
    # rounded to twelve digits, so that the error of a float does not ask for one more tick
    bottom, top = Decimal(f"{low:.12g}"), Decimal(f"{high:.12g}")
    largest = max(abs(bottom), abs(top))
    span = max(top - bottom, NARROWEST * largest) if top > bottom else largest
    step = _step((span if largest >= SMALLEST else Decimal(1)) / about, whole)
    first, last = math.floor(bottom / step), math.ceil(top / step)
    if first == last:
        first, last = first - 1, last + 1
    return [float(step * i) for i in range(first, last + 1)]


def _step(least: Decimal, whole: bool) -> Decimal:
    """Returns the smallest round step that is at least `least`, up to rounding."""
    exponent = max(least.adjusted(), 0) if whole else least.adjusted()
    steps = [number.scaleb(exponent) for number in ROUND]
    if whole:
        steps = [step for step in steps if step == step.to_integral_value()]
    return next(step for step in steps if step >= least * Decimal("0.999"))


def powers(low: float, high: float, base: Base) -> list[float]:
    """Returns two or more powers of `base`, equally far apart, from at most `low` to at least `high`.

    Args:
        low, high: the range: two numbers above 0, the smaller one first.
        base: the base of the powers.
    """
    log = math.log2 if base == 2 else math.log10
    first, last = math.floor(log(low)), math.ceil(log(high))
    last = max(last, first + 1)
    stride = -(-(last - first) // (MOST_POWERS - 1))
    last += -(last - first) % stride
    return [_power(base, exponent) for exponent in range(first, last + 1, stride)]


def _power(base: Base, exponent: int) -> float:
    return 2.0**exponent if base == 2 else float(f"1e{exponent}")


def written(value: float) -> str:
    """Returns a tick as it is written beside an axis: `0.25`, `8,192`, `1.5k`, `2.5e-5`.

    Of the exact ways to write it, the shortest is taken.
    """
    number = Decimal(repr(value)).normalize()
    if not number:
        return "0"
    if not PLAIN[0] <= abs(number) < PLAIN[1]:
        digits = number.scaleb(-number.adjusted())
        return f"{digits:f}e{number.adjusted()}"
    forms = [f"{number:,f}"]
    forms += [f"{(number / size).normalize():f}{unit}" for size, unit in UNITS if abs(number) >= size]
    return min(forms, key=len)
