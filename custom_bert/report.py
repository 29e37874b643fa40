"""Tables of metrics for a terminal: what training, `evaluate` and `info` print.

Columns are as wide as their labels are where standard output's encoding lacks characters of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from custom_bert.metrics import Scores
from custom_bert.terminal import ELLIPSIS, displayable

MATRIX_UP_TO = 12
"""Classes up to which a confusion matrix is readable in a terminal."""

TABLE_ROWS = 200
"""Classes that a table in a terminal, or a list of labels, shows at most."""


def score_lines(scores: Scores, labels: Sequence[str], *, matrix: bool = True) -> list[str]:
    """A table of the classes, the totals, and for few classes the confusion matrix.

    With more than `TABLE_ROWS` classes, those with most examples, and a line on how many are left out.
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
    """The confusion matrix: rows are true labels, columns predictions."""
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


def most_frequent(counts: Sequence[int], most: int) -> list[int]:
    """Indices of all counts, in their order; of more than `most`, those of the largest, the largest first."""
    if len(counts) <= most:
        return list(range(len(counts)))
    return sorted(range(len(counts)), key=lambda i: (-counts[i], i))[:most]


def printable(label: str) -> str:
    """The label, with what a terminal would obey instead of show written as escapes."""
    return label if label.isprintable() else repr(label)[1:-1]


def cut(text: str, width: int, ellipsis: str = ELLIPSIS) -> str:
    """`text`, or its beginning and an ellipsis, in at most `width` characters."""
    return text if len(text) <= width else text[: width - len(ellipsis)] + ellipsis


def info_lines(record: dict[str, Any]) -> list[str]:
    """A run's record, run.json, for a person: status, settings and why, data, metrics."""
    data, validation = record.get("data", {}), record.get("validation")
    if "documents" in data:
        about = (
            f"{data['documents']:,} documents, {data['train_tokens']:,} tokens; measured on "
            f"{data['val_tokens']:,} held-out tokens"
        )
    else:
        about = (
            f"{data.get('train_examples', 0):,} texts, {data.get('train_tokens', 0):,} tokens; validated on "
            f"{data.get('val_examples', 0):,}"
        )
    lines = [f"status      {record.get('status')}, started {record.get('started')}", f"trained on  {about}"]
    if validation:
        second = "macro_f1" if "macro_f1" in validation else "perplexity"
        lines.append(
            f"result      accuracy {validation['accuracy']:.4f}, {second.replace('macro_f1', 'macro-F1')} "
            f"{validation[second]:.4f} at step {record['best_step']:,} of {record['steps']:,}, "
            f"{record['seconds']:.0f} s"
        )
    elif record.get("best_step"):
        metric = "1 / perplexity" if "documents" in data else record["config"]["optim.metric"]
        lines.append(
            f"kept        weights of step {record['best_step']:,} of {record['steps']:,}, "
            f"{metric} {record['best_metric']:.4f}"
        )
    lines += ["", "files (sha256)"]
    lines += [f"  {sha[:16]}  {path}" for path, sha in data.get("files", {}).items()]
    lines += _label_lines(data.get("labels", {}))
    reasons = {choice["name"]: choice["reason"] for choice in record.get("choices", [])}
    lines += ["", "settings"]
    lines += [
        f"  {name:<34} {value!s:<16} {reasons.get(name, '')}".rstrip()
        for name, value in record.get("config", {}).items()
    ]
    warnings = data.get("warnings", [])
    return lines + ([""] + [f"warning: {line}" for line in warnings] if warnings else [])


def _label_lines(examples: dict[str, int]) -> list[str]:
    """How many training examples each label has; with many labels, those with most."""
    if not examples:
        return []
    labels = list(examples)
    rows = most_frequent(list(examples.values()), TABLE_ROWS)
    lines = ["", "labels (training examples)"]
    lines += [f"  {examples[labels[i]]:>8,}  {printable(labels[i])}" for i in rows]
    if len(rows) < len(labels):
        lines.append(
            f"  {len(labels) - len(rows):,} more labels are not shown; info --json prints every label"
        )
    return lines
