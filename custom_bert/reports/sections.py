"""Sections of a run's page that show its scores, each where the run's record has what it shows.

A new kind of target adds a row to `SECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from custom_bert.reports.labels import cut, most_frequent, printable

MATRIX_UP_TO = 40
"""Classes up to which the confusion matrix is shown; above it, the pairs most often taken for each other."""

MATRIX_LABEL = 24
"""Characters of a label beside the matrix and above it, at most; its tooltip has all of them."""

TABLE_ROWS = 1_000
"""Rows of the table of classes at most: a page, unlike a terminal, is scrolled and searched."""

PAIRS = 30
"""Rows of the table of pairs at most."""


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        title: its heading.
        key: the name in the record of an evaluation, of which the section is drawn where it is there.
        draw: the HTML of such a record.
    """

    title: str
    key: str
    draw: Callable[[dict[str, Any]], str]


@dataclass(frozen=True)
class Column:
    """A column of the table of classes, shown where the record has it.

    Attributes:
        key: in the record of a class.
        title: its heading.
        form: of its numbers.
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
)


def score_sections(validation: dict[str, Any]) -> list[str]:
    """HTML of everything that the record of an evaluation has besides its measures."""
    return [
        f"<h2>{escape(one.title)}</h2>{one.draw(validation)}" for one in SECTIONS if one.key in validation
    ]


def table(head: Sequence[str], rows: Sequence[str], kind: str = "") -> str:
    """HTML of a table that scrolls by itself where the screen is narrow.

    Args:
        head: texts of the first row; none for a table without such a row.
        rows: HTML of the others.
        kind: its class in the style sheet.
    """
    first = f"<tr>{''.join(f'<th>{escape(text)}</th>' for text in head)}</tr>" if head else ""
    of_kind = f' class="{kind}"' if kind else ""
    return f'<div class="scroll"><table{of_kind}>{first}{"".join(rows)}</table></div>'


def _classes(validation: dict[str, Any]) -> str:
    classes = validation["per_class"]
    labels = list(classes)
    shown = [labels[i] for i in most_frequent([one["support"] for one in classes.values()], TABLE_ROWS)]
    columns = [column for column in CLASS_COLUMNS if any(column.key in one for one in classes.values())]
    rows = [
        f"<tr><td>{_label(label)}</td>"
        + "".join(f"<td>{column.form.format(classes[label][column.key])}</td>" for column in columns)
        + "</tr>"
        for label in shown
    ]
    left_out = _left_out(len(labels) - len(shown), "classes are not shown; run.json has all")
    return table(["label", *(column.title for column in columns)], rows) + left_out


def _left_out(count: int, words: str) -> str:
    """A line below a table that does not show everything."""
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


def _most_frequent_pairs(validation: dict[str, Any]) -> str:
    return _pairs(validation["confusions"], validation["confusions_left_out"])


def _pairs_of(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> list[tuple[str, str, int]]:
    """(true, predicted, count) of a confusion matrix's errors, the most frequent first."""
    pairs = sorted(
        ((count, i, j) for i, row in enumerate(counts) for j, count in enumerate(row) if i != j and count),
        key=lambda pair: (-pair[0], pair[1:]),
    )
    return [(labels[i], labels[j], count) for count, i, j in pairs]


def _pairs(pairs: Sequence[tuple[str, str, int]], further: int) -> str:
    """A table of the first of some pairs, which `further` ones would follow."""
    if not pairs:
        return "<p>No text was given a wrong label.</p>"
    rows = [
        f"<tr><td>{_label(true)}</td><td>{_label(predicted)}</td><td>{count:,}</td></tr>"
        for true, predicted, count in pairs[:PAIRS]
    ]
    left_out = _left_out(max(0, len(pairs) - PAIRS) + further, "pairs are not shown")
    return table(["true", "predicted", "texts"], rows, "pairs") + left_out


def _label(label: str, width: int = 60) -> str:
    return escape(cut(printable(label), width))


CONFUSED = "True and predicted labels"

SECTIONS = (
    Section("Classes", "per_class", _classes),
    Section(CONFUSED, "confusion_matrix", _matrix),
    Section(CONFUSED, "confusions", _most_frequent_pairs),
)
"""In the order of the page. A record has the matrix or, of many classes, the pairs."""
