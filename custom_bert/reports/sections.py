"""The sections of a run's page that show its scores.

A section appears if the run's record has the key that it shows. A new task with numbers of another form adds
a row to `SECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from custom_bert.reports.labels import cut, most_frequent, printable
from custom_bert.reports.marked import marked_examples
from custom_bert.reports.measures import measured
from custom_bert.reports.number_tables import number

MATRIX_UP_TO = 40
"""The largest number of classes whose confusion matrix is shown. With more classes, the page lists the pairs
that were confused most often."""

MATRIX_LABEL = 24
"""The largest number of characters of a label at the matrix. Its tooltip has all of them."""

TABLE_ROWS = 1_000
"""The largest number of rows of the table of classes. A page, unlike a terminal, is scrolled and searched."""

PAIRS = 30
"""The largest number of rows of the table of pairs."""


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        title: its heading.
        key: a key in the record of an evaluation. The section appears if the record has it.
        draw: returns HTML for the record.
    """

    title: str
    key: str
    draw: Callable[[dict[str, Any]], str]


@dataclass(frozen=True)
class Column:
    """A column of the table of classes. It appears if a class's record has its key.

    Attributes:
        key: the key in the record of a class.
        title: its heading.
        form: the format of its numbers.
    """

    key: str
    title: str
    form: str = "{:.3f}"


CLASS_COLUMNS = (
    Column("threshold", "threshold"),
    Column("precision", "precision"),
    Column("recall", "recall"),
    Column("f1", "F1"),
    Column("support", "examples", "{:,}"),
    Column("predicted", "predicted", "{:,}"),
)


def score_sections(evaluation: dict[str, Any], of: str = "") -> list[str]:
    """Returns the HTML sections for what the record of an evaluation has besides its measures.

    Args:
        evaluation: the record.
        of: what a heading says after its title; nothing for the validation texts.
    """
    return [
        f"<h2>{escape(one.title + of)}</h2>{one.draw(evaluation)}"
        for one in SECTIONS
        if one.key in evaluation
    ]


def table(head: Sequence[str], rows: Sequence[str], kind: str = "") -> str:
    """Returns an HTML table that scrolls sideways by itself on a narrow screen.

    Args:
        head: the texts of the heading row; none for a table without one.
        rows: the HTML of the other rows.
        kind: the table's class in the style sheet.
    """
    first = f"<tr>{''.join(f'<th>{escape(text)}</th>' for text in head)}</tr>" if head else ""
    of_kind = f' class="{kind}"' if kind else ""
    return f'<div class="scroll"><table{of_kind}>{first}{"".join(rows)}</table></div>'


def _classes(validation: dict[str, Any]) -> str:
    return _of_each(validation["per_class"], "label", "classes")


def _types(validation: dict[str, Any]) -> str:
    return _of_each(validation["per_type"], "type", "types")


def _of_each(classes: dict[str, Any], one: str, many: str) -> str:
    """Returns a table with a row for each class or type; `one` heads its names, and `many` counts them."""
    labels = list(classes)
    shown = [labels[i] for i in most_frequent([record["support"] for record in classes.values()], TABLE_ROWS)]
    columns = [column for column in CLASS_COLUMNS if any(column.key in record for record in classes.values())]
    rows = [
        f"<tr><td>{_label(label)}</td>"
        + "".join(f"<td>{column.form.format(classes[label][column.key])}</td>" for column in columns)
        + "</tr>"
        for label in shown
    ]
    left_out = _left_out(len(labels) - len(shown), f"{many} are not shown; run.json has all")
    return table([one, *(column.title for column in columns)], rows) + left_out


def _left_out(count: int, words: str) -> str:
    """Returns a line below a table that does not show everything."""
    return f'<p class="soft">{count:,} more {words}</p>' if count else ""


def _matrix(validation: dict[str, Any]) -> str:
    labels, counts = validation["labels"], validation["confusion_matrix"]
    if len(labels) > MATRIX_UP_TO:
        return _pairs(_pairs_of(labels, counts), 0)
    head = "".join(
        f'<th title="{escape(label)}"><span>{_label(label, MATRIX_LABEL)}</span></th>' for label in labels
    )
    rows = [f"<tr><th>true \\ predicted</th>{head}</tr>"]
    for label, row in zip(labels, counts, strict=True):
        total = max(1, sum(row))
        cells = "".join(
            f'<td style="background: rgba(var(--heat), {0.75 * count / total:.2f})">{count or ""}</td>'
            for count in row
        )
        rows.append(f'<tr><th title="{escape(label)}">{_label(label, MATRIX_LABEL)}</th>{cells}</tr>')
    return table([], rows, "matrix")


def _type_matrix(validation: dict[str, Any]) -> str:
    labels, counts = validation["confusion_labels"], validation["confusion"]
    if len(labels) > MATRIX_UP_TO:
        return _pairs(_pairs_of(labels, counts), 0, "spans")
    return _matrix({"labels": labels, "confusion_matrix": counts})


def _error_examples(validation: dict[str, Any]) -> str:
    return marked_examples(validation["error_examples"])


def _most_frequent_pairs(validation: dict[str, Any]) -> str:
    return _pairs(validation["confusions"], validation["confusions_left_out"])


def _pairs_of(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> list[tuple[str, str, int]]:
    """Returns (true, predicted, count) for the errors in a confusion matrix, the most frequent first."""
    pairs = sorted(
        ((count, i, j) for i, row in enumerate(counts) for j, count in enumerate(row) if i != j and count),
        key=lambda pair: (-pair[0], pair[1:]),
    )
    return [(labels[i], labels[j], count) for count, i, j in pairs]


def _pairs(pairs: Sequence[tuple[str, str, int]], further: int, what: str = "texts") -> str:
    """Returns a table of the first `PAIRS` pairs; `further` more pairs are not in the record.

    Args:
        pairs: the true and the predicted label, and how many of `what` have them.
        further: the number of other pairs.
        what: what has labels, in the plural.
    """
    if not pairs:
        return f"<p>None of the {what} was given a wrong label.</p>"
    rows = [
        f"<tr><td>{_label(true)}</td><td>{_label(predicted)}</td><td>{count:,}</td></tr>"
        for true, predicted, count in pairs[:PAIRS]
    ]
    left_out = _left_out(max(0, len(pairs) - PAIRS) + further, "pairs are not shown")
    return table(["true", "predicted", what], rows, "pairs") + left_out


def _calibration(validation: dict[str, Any]) -> str:
    rows = [
        f"<tr><td>{one['probability']:.3f}</td><td>{one['share']:.3f}</td><td>{one['texts']:,}</td></tr>"
        for one in validation["calibration"]
    ]
    return table(["mean probability", "mean share", "texts"], rows, "pairs")


def _label(label: str, width: int = 60) -> str:
    return escape(cut(printable(label), width))


def _numbers(validation: dict[str, Any]) -> str:
    """Returns a table with the measures of each number, of their mean, and the ends of its intervals."""
    outputs, intervals = validation["per_output"], validation["intervals"]
    shown = measured(validation)
    rows = [(f"number {i + 1}", one) for i, one in enumerate(outputs[:TABLE_ROWS])] if outputs[1:] else []
    rows.append(("mean of all" if rows else "numbers", validation))
    ends = ("95 % from", "95 % to")
    rows += [(name, {key: pair[i] for key, pair in intervals.items()}) for i, name in enumerate(ends)]
    html = [
        f"<tr><td>{name}</td>"
        + "".join(f"<td>{number(one[measure.key])}</td>" for measure, _ in shown)
        + "</tr>"
        for name, one in rows
    ]
    left_out = _left_out(max(0, len(outputs) - TABLE_ROWS), "numbers are not shown; run.json has all")
    return table(["", *(measure.words for measure, _ in shown)], html) + left_out


CONFUSED = "True and predicted labels"

SECTIONS = (
    Section("Predicted numbers", "per_output", _numbers),
    Section("Classes", "per_class", _classes),
    Section("Types of spans", "per_type", _types),
    Section(CONFUSED, "confusion_matrix", _matrix),
    Section(CONFUSED, "confusions", _most_frequent_pairs),
    Section("True and predicted types of spans that met", "confusion", _type_matrix),
    Section("Texts with errors", "error_examples", _error_examples),
    Section("Calibration of the predicted label", "calibration", _calibration),
)
"""The sections in the order of the page. A record has the matrix or, with many classes, the pairs."""
