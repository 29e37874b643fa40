"""Curves lie in their frame, whatever their numbers, and many points become few."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from custom_bert.reports.charts import LARGEST, SMALLEST, Axis, Curve, Frame, colour, draw, drawable, thinned
from custom_bert.reports.pictures import Bar, bars, panels

FRAME = Frame(left=50, right=450, top=10, bottom=200)
LINEAR, POWERS = Axis(), Axis(base=10)


def drawn(curves: list[Curve], up: Axis = LINEAR) -> str:
    return "".join(draw(drawable(curves, LINEAR, up), LINEAR, up, FRAME))


def places(svg: str) -> list[list[tuple[float, float]]]:
    """Of the points of each curve."""
    return [
        [(float(x), float(y)) for x, y in (point.split(",") for point in path.split())]
        for path in re.findall(r'points="([^"]*)"', svg)
    ]


@given(st.lists(st.floats(width=64), min_size=1, max_size=20), st.sampled_from([LINEAR, POWERS]))
@example([1e300, -1e300], LINEAR)
@example([5e-324], POWERS)
@example([5e-324, 1e-323], LINEAR)
@example([1e-300, 1e300], POWERS)
@example([1e-9, 2e-9], LINEAR)
@example([1.0, 1.0 + 2**-52], LINEAR)
@example([math.nan, 1.0, math.inf], LINEAR)
def test_curves_of_any_numbers_lie_in_their_frame(values: list[float], up: Axis) -> None:
    curves = drawable([Curve("a", list(enumerate(values)))], LINEAR, up)
    has_place = [abs(y) <= LARGEST and (up is LINEAR or y >= SMALLEST) for y in values]
    assert len(curves[0].points) == sum(has_place), "numbers that have no place are left out"
    if not any(has_place):
        return
    svg = "".join(draw(curves, LINEAR, up, FRAME))
    assert "nan" not in svg and "inf" not in svg
    for x, y in places(svg)[0]:
        assert FRAME.left <= x <= FRAME.right and FRAME.top <= y <= FRAME.bottom


def test_a_curve_rises_where_its_numbers_do() -> None:
    for up in (LINEAR, POWERS):
        ((first, second),) = places(drawn([Curve("a", [(128, 10.0), (256, 1000.0)])], up))
        assert first[0] < second[0] and first[1] > second[1]


def test_a_single_point_is_a_dot_in_the_middle() -> None:
    svg = drawn([Curve("a", [(1, 2.3)])])
    (x,) = re.findall(r'<circle class="k0" cx="([^"]*)"', svg)
    assert float(x) == (FRAME.left + FRAME.right) / 2


def test_a_curve_without_points_keeps_its_colour_for_itself() -> None:
    svg = drawn([Curve("a", [(1, math.nan)]), Curve("b", [(1, 1.0), (2, 2.0)])])
    assert 'class="curve k1"' in svg and "k0" not in svg


@given(st.lists(st.floats(-1e6, 1e6), max_size=1_000), st.integers(1, 300))
def test_many_points_become_few_that_go_as_far_and_keep_their_mean(values: list[float], most: int) -> None:
    points = [(float(x), y) for x, y in enumerate(values)]
    found = thinned(points, most)
    assert len(found) <= most
    if len(points) <= most:
        assert found == points
    else:
        assert found[-1][0] == points[-1][0]
        size = -(-len(points) // most)
        assert found[0][1] == pytest.approx(sum(values[:size]) / size, abs=1e-6)


def test_names_in_a_picture_are_text() -> None:
    name = "<script>alert('a & b')</script>"
    line = {name: [Curve(name, [(1, 1.0), (2, 2.0)])]}
    for svg in (
        panels(name, line, Axis(name), LINEAR),
        bars(name, name, [name], [Bar(name, 0, (1.0, 2.0))], name),
    ):
        assert "<script" not in svg and "&lt;script&gt;alert" in svg


def test_panels_give_a_name_the_same_colour_in_each() -> None:
    a, b = Curve("a", [(1, 1.0), (2, 2.0)]), Curve("b", [(1, 3.0), (2, 4.0)])
    svg = panels("t", {"both": [a, b], "one": [b], "none": []}, LINEAR, LINEAR)
    assert re.findall(r'<polyline class="curve (\w+)"', svg) == [colour(0), colour(1), colour(1)]


def test_bars_end_at_the_median_and_show_the_spread() -> None:
    svg = bars("t", "s", ("one",), [Bar("a", 0, (1.0, 2.0, 4.0))], "x")
    assert ">2.00</text>" in svg
    ((low, high),) = re.findall(r'class="spread" d="M([\d.]+) [\d.]+H([\d.]+)"', svg)
    (width,) = map(float, re.findall(r'<rect class="k0" x="260" y="[\d.]+" width="([\d.]+)"', svg))
    assert (float(low), float(high)) == pytest.approx((260 + width / 2, 260 + 2 * width), abs=0.2)


@pytest.mark.parametrize("longest", [1.5, 4.0, 10.3])
def test_bars_stand_on_a_grid_with_a_stronger_line_where_nothing_is_won(longest: float) -> None:
    svg = bars("t", "s", ("one",), [Bar("a", 0, (longest,))], "x")
    (one,) = re.findall(r'class="grid one" d="M([\d.]+) ', svg)
    assert float(one) == pytest.approx(260 + 580 / longest, abs=0.1)


def test_a_picture_of_no_bar_is_a_picture() -> None:
    assert bars("t", "s", (), [], "x").endswith("</svg>\n")
