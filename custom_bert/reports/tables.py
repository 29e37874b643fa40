"""Tables of metrics for a terminal, which training and `evaluate` print.

Standard output's encoding may lack characters of a label, which are then printed as longer escapes. Columns
are as wide as what is printed.
"""

from __future__ import annotations

from collections.abc import Sequence

from custom_bert.metrics import Scores
from custom_bert.reports.labels import cut, most_frequent, printable
from custom_bert.terminal import ELLIPSIS, displayable

MATRIX_UP_TO = 12
"""The largest number of classes whose confusion matrix is readable in a terminal."""

TABLE_ROWS = 200
"""The largest number of classes in a table of a terminal, or of labels in a list."""


def score_lines(scores: Scores, labels: Sequence[str], *, matrix: bool = True) -> list[str]:
    """Returns a table of the classes, the averages, and for few classes the confusion matrix.

    Of more than `TABLE_ROWS` classes it shows those with most examples, and says how many are left out.
    """
    rows = most_frequent([one.support for one in scores.classes], TABLE_ROWS)
    shown = [displayable(printable(labels[i])) for i in rows]
    width = min(40, max(len("label"), len("macro average"), *map(len, shown)))
    lines = [f"{'label':<{width}}  precision  recall      F1  examples"]
    for label, one in zip(shown, (scores.classes[i] for i in rows), strict=True):
        lines.append(
            f"{cut(label, width, displayable(ELLIPSIS)):<{width}}  {one.precision:9.3f}  {one.recall:6.3f}  "
            f"{one.f1:6.3f}  {one.support:8,}"
        )
    if len(rows) < len(labels):
        left_out = f"{len(labels) - len(rows):,} more classes are not shown"
        lines.append(f"{left_out}; custom-bert evaluate --json prints every class")
    lines += [
        f"{'macro average':<{width}}  {'':9}  {'':6}  {scores.macro_f1:6.3f}  {scores.examples:8,}",
        f"{'accuracy':<{width}}  {'':9}  {'':6}  {scores.accuracy:6.3f}  {scores.examples:8,}",
    ]
    if matrix and len(labels) <= MATRIX_UP_TO:
        lines += ["", *matrix_lines(scores, labels)]
    return lines


def matrix_lines(scores: Scores, labels: Sequence[str]) -> list[str]:
    """Returns the confusion matrix, whose rows are true labels and whose columns are predicted ones."""
    labels = [displayable(printable(label)) for label in labels]
    ellipsis = displayable(ELLIPSIS)
    width = min(24, max(map(len, labels)))
    cell = max(6, len(str(int(scores.counts_CC.max()))), *(min(10, len(x)) for x in labels))
    head = " ".join(f"{cut(label, cell, ellipsis):>{cell}}" for label in labels)
    lines = [f"{'true / predicted':<{max(width, 16)}}  {head}"]
    for label, row in zip(labels, scores.counts_CC.tolist(), strict=True):
        cells = " ".join(f"{count if count else '.':>{cell}}" for count in row)
        lines.append(f"{cut(label, width, ellipsis):<{max(width, 16)}}  {cells}")
    return lines
