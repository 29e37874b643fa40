"""What the gate of an ONNX export lets through: the limits, the number of rows, and the line that says so."""

from typing import Any

import pytest

from custom_bert.inference.exports.gate import FEWEST, LARGEST, MOST_LOST, Compared, verdict


def compared(**changes: Any) -> Compared:
    values = {
        "rows": FEWEST,
        "largest": 1e-7,
        "largest_anywhere": 1e-7,
        "changed": 0,
        "measure": "accuracy",
        "low": False,
        "before": 0.9,
        "after": 0.9,
    }
    return Compared(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "passed"),
    [
        ({}, True),
        ({"largest": LARGEST}, True),
        ({"largest": LARGEST * 1.01}, False),
        ({"largest_anywhere": LARGEST * 1.01}, False),
        ({"largest": float("nan")}, False),
        ({"largest_anywhere": float("nan")}, False),
        ({"changed": 1}, False),
        ({"changed": None}, True),
        ({"after": 0.5}, True),  # it is the change that counts, and no probability has changed
    ],
)
def test_fp32_allows_rounding_and_no_other_label(changes: dict[str, Any], passed: bool) -> None:
    found = verdict(compared(**changes), int8=False)
    assert (found.passed, found.verified) == (passed, True)


def test_fp32_is_judged_on_few_rows_too() -> None:
    assert not verdict(compared(rows=1, changed=1), int8=False).passed
    assert verdict(compared(rows=1), int8=False).verified


@pytest.mark.parametrize(
    ("changes", "passed"),
    [
        ({"largest": 0.3, "changed": 200}, True),
        ({"after": 0.9 - MOST_LOST + 1e-9}, True),
        ({"after": 0.9 - MOST_LOST - 1e-9}, False),
        ({"after": 0.95}, True),
        ({"after": float("nan")}, False),
        ({"low": True, "after": 0.9 + MOST_LOST + 1e-9}, False),
        ({"low": True, "after": 0.5}, True),
    ],
)
def test_int8_may_lose_half_a_point(changes: dict[str, Any], passed: bool) -> None:
    found = verdict(compared(**changes), int8=True)
    assert (found.passed, found.verified) == (passed, True)


@pytest.mark.parametrize("rows", [0, 1, FEWEST - 1])
def test_int8_is_not_judged_on_fewer_rows(rows: int) -> None:
    found = verdict(compared(rows=rows, after=0.1), int8=True, why_no_rows="no data")
    assert (found.passed, found.verified) == (True, False)
    assert found.line.startswith("not verified: ") and ("no data" in found.line) == (rows == 0)


def test_the_lines_say_the_figures() -> None:
    assert verdict(compared(after=0.8, changed=31, largest=0.25), int8=True).line == (
        "int8 loses 0.1000 of accuracy, and at most 0.005 is allowed: 31 rows with another label, the "
        "largest change 2.5e-01, accuracy 0.9000 before and 0.8000 after"
    )
    assert verdict(compared(rows=60), int8=False).line == (
        "verified on 60 rows: the same labels, the largest change 1.0e-07, accuracy 0.9000 before and 0.9000 "
        "after"
    )
    assert verdict(compared(rows=60, changed=1), int8=True).line == (
        "not verified: 60 rows are too few to judge int8, which takes 1,000; 1 row with another "
        "label, the largest change 1.0e-07, accuracy 0.9000 before and 0.9000 after; --data names more rows"
    )
    assert verdict(compared(largest_anywhere=0.5), int8=False).line == (
        "the ONNX model does not compute what the run does: the same labels, the largest change 1.0e-07, "
        "accuracy 0.9000 before and 0.9000 after; on random texts 5.0e-01; up to 1e-04 is rounding"
    )
