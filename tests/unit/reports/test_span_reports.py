"""The results of finding spans: a table for a terminal, and a page with the errors marked in their texts."""

from __future__ import annotations

from typing import Any

import pytest

from custom_bert.reports.marked import marked, marked_examples
from custom_bert.reports.page import report_page
from custom_bert.reports.span_tables import span_score_lines
from custom_bert.spans.entity import Span
from custom_bert.spans.entity_scores import EntityCounts


def scores(types: tuple[str, ...] = ("LOC", "PER")) -> dict[str, Any]:
    counts = EntityCounts(types)
    counts.add([Span(0, 3, "PER"), Span(9, 15, "LOC")], [Span(0, 3, "PER"), Span(9, 15, "PER")])
    counts.add([Span(0, 3, "PER"), Span(4, 8, "LOC")], [Span(0, 2, "PER")])
    return counts.scores().as_dict()


def test_the_table_has_a_row_for_each_type_and_counts_the_errors() -> None:
    assert span_score_lines(scores()) == [
        "type           precision  recall      F1     spans  predicted",
        "LOC                0.000   0.000   0.000         2          0",
        "PER                0.333   0.500   0.400         2          3",
        "micro average      0.333   0.250   0.286         4          3",
        "macro average                      0.200         4          3",
        "exact match                        0.000         2 texts",
        "3 errors: 1 with another type, 1 with another place, 1 missed",
        "",
        "true / predicted     LOC    PER (none)",
        "LOC                    .      1      1",
        "PER                    .      2      .",
        "(none)                 .      .      .",
    ]


def test_of_very_many_types_those_with_most_spans_are_shown() -> None:
    types = tuple(f"t{i:03}" for i in range(300))
    counts = EntityCounts(types)
    counts.add([Span(0, 3, "t250")], [])
    lines = span_score_lines(counts.scores().as_dict())
    assert lines[1].startswith("t250 ")
    assert "100 more types are not shown; custom-bert evaluate --json prints every type" in lines
    assert not any(line.startswith("true / predicted") for line in lines)


def test_nothing_wrong_is_no_line() -> None:
    counts = EntityCounts(("X",))
    counts.add([Span(0, 1, "X")], [Span(0, 1, "X")])
    assert not any("error" in line for line in span_score_lines(counts.scores().as_dict(), matrix=False))


def test_spans_are_marked_and_those_of_one_side_only_as_wrong() -> None:
    true, predicted = [(0, 3, "PER"), (4, 8, "LOC")], [(0, 3, "PER")]
    assert marked("Kim left.", true, predicted) == (
        '<mark>Kim<sub>PER</sub></mark> <mark class="wrong">left<sub>LOC</sub></mark>.'
    )


@pytest.mark.parametrize("text", ["<b>&\"'", "<script>alert(1)</script>"])
def test_html_in_a_text_or_a_type_is_text(text: str) -> None:
    html = marked_examples([{"text": text, "true": [[0, 2, text]], "predicted": []}])
    assert text not in html and "<script" not in html and "<b>" not in html


def test_characters_that_do_not_print_do_not_reach_the_page() -> None:
    assert marked("a\x1b[1mb\u202e\nc", [], []) == "a [1mb \nc"


def test_the_page_of_a_run_shows_types_confusion_and_errors() -> None:
    examples = [{"text": "Kim left Rome", "true": [[0, 3, "PER"]], "predicted": [[9, 13, "PER"]]}]
    validation = {**scores(), "loss": 0.1, "error_examples": examples}
    page = report_page("run", {"status": "finished", "validation": validation}, [])
    for heading in ("Types of spans", "True and predicted types of spans that met", "Texts with errors"):
        assert f"<h2>{heading}</h2>" in page
    assert '<mark class="wrong">Kim<sub>PER</sub></mark> left Rome' in page
    assert 'Kim left <mark class="wrong">Rome<sub>PER</sub></mark>' in page
    assert "<td>LOC</td><td>0.000</td>" in page and "(none)" in page
    empty = {**validation, "error_examples": []}
    assert "The spans of every text are right." in report_page(
        "run", {"status": "finished", "validation": empty}, []
    )


def test_of_many_types_the_page_lists_what_was_taken_for_what() -> None:
    types = tuple(f"t{i:02}" for i in range(50))
    counts = EntityCounts(types)
    counts.add([Span(0, 3, "t07"), Span(5, 6, "t08")], [Span(0, 3, "t09")])
    page = report_page("run", {"status": "finished", "validation": counts.scores().as_dict()}, [])
    assert "<tr><td>t07</td><td>t09</td><td>1</td></tr>" in page
    assert "<tr><td>t08</td><td>(none)</td><td>1</td></tr>" in page and "<th>spans</th>" in page


def test_a_span_of_the_right_place_and_another_type_is_wrong_on_both_sides() -> None:
    assert marked("Kim", [(0, 3, "PER")], [(0, 3, "LOC")]) == '<mark class="wrong">Kim<sub>PER</sub></mark>'
