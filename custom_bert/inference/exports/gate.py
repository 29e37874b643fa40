"""The gate of an ONNX export: what was written has to predict as the run does, or it is not written.

Both sides are computed for the same rows in one process. What counts as the same depends on what the model
predicts:

- Of classes, sets of classes, shares and ranks: the largest change of a probability, the number of texts that
  get other labels, and the first measure of the task, such as accuracy.
- Of numbers: the largest change in standard deviations of the training numbers, and R2.
- Of embeddings: the largest change of a component of a vector of length 1, and the mean cosine of both sides'
  vectors of a text.

In fp32 the change may be rounding only, and no label may change. In int8 the measure may lose half a point,
on at least `FEWEST` rows: on fewer, a difference of half a point is chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from custom_bert.phrases import counted

FEWEST = 1000
"""The fewest rows on which a loss in int8 is judged."""

LARGEST = 1e-4
"""The largest change in fp32 that counts as rounding."""

MOST_LOST = 0.005
"""The most that a measure between 0 and 1 may lose in int8: half a point of a hundred."""

MOST_CHANGED = 0.005
"""The largest share of rows with another label for which token vectors are kept in int8."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How fast one side computes.

    Attributes:
        latency_ms: the median of the milliseconds for a text alone.
        texts_per_second: for 32 texts together.
        size: the bytes of its weights on disk.
    """

    latency_ms: float
    texts_per_second: float
    size: int


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What was compared of a run and its export.

    Attributes:
        rows: the number of labelled rows, or of texts for an encoder; 0 if there were none.
        largest: the largest change, as the table above says; 0.0 if there were no rows.
        largest_anywhere: the largest change, random texts included, which fp32 has to pass too.
        changed: the number of rows that get other labels; None where there are no labels.
        measure: the name of the measure of quality for people.
        low: whether a lower value of the measure is better.
        before, after: its values for the run and for the export; None if there were no rows.
        run, export: how fast each side computes; None if there were no rows.
    """

    rows: int
    largest: float
    largest_anywhere: float
    changed: int | None
    measure: str
    low: bool
    before: float | None
    after: float | None
    run: Speed | None = None
    export: Speed | None = None

    @property
    def lost(self) -> float:
        """By how much the measure is worse for the export; below 0 if it is better."""
        if self.before is None or self.after is None:
            return 0.0
        return self.after - self.before if self.low else self.before - self.after

    @property
    def few_changed(self) -> bool:
        """Whether at most `MOST_CHANGED` of the rows get another label. True where there are no labels."""
        return (self.changed or 0) <= MOST_CHANGED * self.rows

    def differences(self) -> str:
        """Returns what changed, in words."""
        parts = []
        if self.changed is not None:
            parts.append(
                f"{counted(self.changed, 'row')} with another label" if self.changed else "the same labels"
            )
        parts.append(f"the largest change {self.largest:.1e}")
        if self.before is not None and self.after is not None:
            parts.append(f"{self.measure} {self.before:.4f} before and {self.after:.4f} after")
        return ", ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """Returns the figures for custom_bert.json."""
        speeds = {
            name: {
                "size": one.size,
                "latency_ms": round(one.latency_ms, 3),
                "texts_per_second": round(one.texts_per_second, 1),
            }
            for name, one in (("run", self.run), ("export", self.export))
            if one is not None
        }
        return {
            "rows": self.rows,
            "labels_changed": self.changed,
            "largest_change": self.largest,
            "measure": self.measure,
            "before": self.before,
            "after": self.after,
            **speeds,
        }


@dataclass(frozen=True)
class Verdict:
    """What the gate says.

    Attributes:
        passed: whether the export may be written.
        verified: whether it was compared on enough rows.
        line: what is printed: what was compared, or what is wrong.
    """

    passed: bool
    verified: bool
    line: str


def verdict(compared: Compared, *, int8: bool, why_no_rows: str = "") -> Verdict:
    """Returns whether an export may be written, and the line that says so.

    Args:
        compared: both sides.
        int8: whether the export computes in int8.
        why_no_rows: why there are no rows to compare on.
    """
    if not int8:
        return _of_fp32(compared, why_no_rows)
    if not compared.rows:
        return Verdict(True, False, f"not verified: {why_no_rows}")
    if compared.rows < FEWEST:
        return Verdict(
            True,
            False,
            f"not verified: {compared.rows:,} rows are too few to judge int8, which takes {FEWEST:,}; "
            f"{compared.differences()}; --data names more rows",
        )
    if not compared.lost <= MOST_LOST:  # not a number is refused too
        return Verdict(
            False,
            True,
            f"int8 loses {compared.lost:.4f} of {compared.measure}, and at most {MOST_LOST} is allowed: "
            f"{compared.differences()}",
        )
    return Verdict(True, True, f"verified on {compared.rows:,} rows: {compared.differences()}")


def _of_fp32(compared: Compared, why_no_rows: str) -> Verdict:
    # not a number is no rounding, and `max` may pass over it
    rounding = compared.largest <= LARGEST and compared.largest_anywhere <= LARGEST
    if not rounding or compared.changed:
        return Verdict(
            False,
            True,
            f"the ONNX model does not compute what the run does: {compared.differences()}; on random texts "
            f"{compared.largest_anywhere:.1e}; up to {LARGEST:.0e} is rounding",
        )
    if not compared.rows:
        return Verdict(
            True,
            False,
            f"verified on random texts only, where the largest change is {compared.largest_anywhere:.1e}: "
            f"{why_no_rows}",
        )
    return Verdict(True, True, f"verified on {compared.rows:,} rows: {compared.differences()}")
