"""The table of a multi-label evaluation for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from custom_bert.label_metrics import LabelScores
from custom_bert.reports.labels import cut, most_frequent, printable
from custom_bert.reports.tables import TABLE_ROWS
from custom_bert.terminal import ELLIPSIS, displayable


def label_score_lines(scores: LabelScores, labels: Sequence[str], thresholds: Sequence[float]) -> list[str]:
    """Returns a table of the classes with their thresholds, and the averages.

    The last column counts the texts that have the class. For the averages it counts the labels of all texts,
    and for exact match the texts. Of more than `TABLE_ROWS` classes the table shows those with most examples,
    and says how many are left out.
    """
    rows = most_frequent([one.support for one in scores.classes], TABLE_ROWS)
    shown = [displayable(printable(labels[i])) for i in rows]
    width = min(40, max(len("micro average"), *map(len, shown)))
    lines = [f"{'label':<{width}}  threshold  precision  recall      F1  examples"]
    for label, i in zip(shown, rows, strict=True):
        one = scores.classes[i]
        lines.append(
            f"{cut(label, width, displayable(ELLIPSIS)):<{width}}  {thresholds[i]:9.3f}  "
            f"{one.precision:9.3f}  {one.recall:6.3f}  {one.f1:6.3f}  {one.support:8,}"
        )
    if len(rows) < len(labels):
        left_out = f"{len(labels) - len(rows):,} more classes are not shown"
        lines.append(f"{left_out}; custom-bert evaluate --json prints every class")
    given = sum(one.support for one in scores.classes)
    micro = f"{scores.micro_precision:9.3f}  {scores.micro_recall:6.3f}  {scores.micro_f1:6.3f}"
    return [
        *lines,
        f"{'micro average':<{width}}  {'':9}  {micro}  {given:8,}",
        f"{'macro average':<{width}}  {'':9}  {'':9}  {'':6}  {scores.macro_f1:6.3f}  {given:8,}",
        f"{'exact match':<{width}}  {'':9}  {'':9}  {'':6}  {scores.exact_match:6.3f}  {scores.examples:8,}",
    ]
