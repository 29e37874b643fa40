"""The table of an evaluation of spans for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from custom_bert.phrases import counted
from custom_bert.reports.labels import cut, most_frequent, printable
from custom_bert.reports.tables import MATRIX_UP_TO, TABLE_ROWS
from custom_bert.terminal import ELLIPSIS, displayable


def span_score_lines(scores: Mapping[str, Any], *, matrix: bool = True) -> list[str]:
    """Returns a table of the types of spans, the averages, in which ways spans are wrong, and for few types
    which ones are confused.

    Args:
        scores: what `EntityScores.as_dict` returned.
        matrix: whether the table of confused types may follow.
    """
    of_type = scores["per_type"]
    names = list(of_type)
    rows = most_frequent([one["support"] for one in of_type.values()], TABLE_ROWS)
    shown = [displayable(printable(names[i])) for i in rows]
    width = min(40, max(len("micro average"), *map(len, shown), 0))
    lines = [f"{'type':<{width}}  precision  recall      F1     spans  predicted"]
    for label, i in zip(shown, rows, strict=True):
        one = of_type[names[i]]
        lines.append(
            f"{cut(label, width, displayable(ELLIPSIS)):<{width}}  {one['precision']:9.3f}  "
            f"{one['recall']:6.3f}  "
            f"{one['f1']:6.3f}  {one['support']:8,}  {one['predicted']:9,}"
        )
    if len(rows) < len(names):
        lines.append(
            f"{len(names) - len(rows):,} more types are not shown; custom-bert evaluate --json prints "
            "every type"
        )
    predicted = sum(one["predicted"] for one in of_type.values())
    micro = f"{scores['precision']:9.3f}  {scores['recall']:6.3f}  {scores['f1']:6.3f}"
    amounts = f"{scores['entities']:8,}  {predicted:9,}"
    lines += [
        f"{'micro average':<{width}}  {micro}  {amounts}",
        f"{'macro average':<{width}}  {'':9}  {'':6}  {scores['macro_f1']:6.3f}  {amounts}",
        f"{'exact match':<{width}}  {'':9}  {'':6}  {scores['exact_match']:6.3f}  "
        f"{scores['examples']:8,} texts",
        *_fault_lines(scores["faults"]),
    ]
    if matrix and len(names) <= MATRIX_UP_TO:
        lines += ["", *_matrix_lines(scores)]
    return lines


FAULTS = {
    "type": "with another type",
    "place": "with another place",
    "both": "with both",
    "missed": "missed",
    "spurious": "where none is",
}
"""The names of faults in records, and for people."""


def _fault_lines(faults: Mapping[str, int]) -> list[str]:
    """Returns a line that counts the spans that went wrong in each way; none if all are right."""
    named = [f"{faults[name]:,} {words}" for name, words in FAULTS.items() if faults[name]]
    return [f"{counted(sum(faults.values()), 'error')}: {', '.join(named)}"] if named else []


def _matrix_lines(scores: Mapping[str, Any]) -> list[str]:
    """Returns the pairs of types that met, with a row for each true type and a column for each predicted
    one."""
    names = [displayable(printable(name)) for name in scores["confusion_labels"]]
    ellipsis, counts = displayable(ELLIPSIS), scores["confusion"]
    width = max(16, min(24, max(map(len, names))))
    cell = max(6, len(str(max(map(max, counts)))), *(min(10, len(name)) for name in names))
    lines = [
        f"{'true / predicted':<{width}}  " + " ".join(f"{cut(one, cell, ellipsis):>{cell}}" for one in names)
    ]
    for name, row in zip(names, counts, strict=True):
        cells = " ".join(f"{count if count else '.':>{cell}}" for count in row)
        lines.append(f"{cut(name, width, ellipsis):<{width}}  {cells}")
    return lines
