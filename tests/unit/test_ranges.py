"""Ranges that follow one another in one array."""

from __future__ import annotations

import numpy as np
import pytest

from custom_bert.ranges import joined_ranges


@pytest.mark.parametrize("counts", [[3, 0, 2], [], [0], [1, 1, 1]])
@pytest.mark.parametrize("starts", [[7, 100, -5], 4])
def test_ranges_follow_one_another(counts: list[int], starts: list[int] | int) -> None:
    each = starts[: len(counts)] if isinstance(starts, list) else [starts] * len(counts)
    pairs = zip(each, counts, strict=True)
    wanted = [place for start, count in pairs for place in range(start, start + count)]
    given = np.array(each, dtype=np.int64) if isinstance(starts, list) else starts
    joined = joined_ranges(np.array(counts, dtype=np.int64), given)
    assert joined.tolist() == wanted and joined.dtype == np.int64


def test_small_integers_do_not_overflow() -> None:
    joined = joined_ranges(np.full(300, 200, dtype=np.uint8), np.arange(300, dtype=np.int32))
    assert len(joined) == 60_000 and joined[-1] == 299 + 199
