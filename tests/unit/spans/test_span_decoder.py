"""Logits of units become spans: of a sequence that BIO allows, of the user's own characters, with scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from custom_bert.batch import Targets
from custom_bert.decoding.spans import FoundSpan, SpanDecoder, SpansPrediction, UnitOutputs, of_texts
from custom_bert.spans.entity import Span
from custom_bert.tasks.span_scorer import SpanScorer, TagCrossEntropy
from custom_bert.tasks.span_texts import TextUnits

TYPES = ("LOC", "PER")
TAGS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")


def outputs(text: str, units: list[tuple[int, int]], tags: list[str], sure: float = 5.0) -> UnitOutputs:
    """Logits by which each unit has its tag, more or less surely."""
    logits_UK = np.zeros((len(tags), len(TAGS)), dtype=np.float32)
    logits_UK[np.arange(len(tags)), [TAGS.index(tag) for tag in tags]] = sure
    return UnitOutputs(text, np.array(units, dtype=np.int64).reshape(-1, 2), logits_UK)


def found(*texts: UnitOutputs, every: bool = False) -> list[SpansPrediction]:
    decoder = SpanDecoder(TYPES)
    return list(decoder.predictions(decoder.probabilities(of_texts(texts)), every=every))


WORDS = [(0, 3), (4, 8), (9, 15)]


def test_spans_are_cut_at_their_units() -> None:
    one = outputs("Kim  Lee\tParis!", WORDS, ["B-PER", "I-PER", "B-LOC"])
    (answer,) = found(one)
    p = np.exp(5) / (np.exp(5) + 4)
    assert answer.spans == (
        FoundSpan(0, 8, "PER", answer.spans[0].score, "Kim  Lee"),
        FoundSpan(9, 15, "LOC", answer.spans[1].score, "Paris!"),
    )
    assert [span.score for span in answer.spans] == pytest.approx([p, p])
    assert answer.line() == f"0\t8\tPER\t{p:.6f}\tKim  Lee\n9\t15\tLOC\t{p:.6f}\tParis!\n"
    assert answer.conll() == "Kim\tB-PER\nLee\tI-PER\nParis!\tB-LOC\n"


def test_no_span_goes_on_that_has_not_begun() -> None:
    """The best tags alone would be O, I-PER, I-PER: no sequence."""
    one = outputs("the Lee Miller", [(0, 3), (4, 7), (8, 14)], ["O", "I-PER", "I-PER"])
    one.values_UK[1, TAGS.index("B-PER")] = 4.0
    (answer,) = found(one)
    assert [(span.start, span.end, span.label) for span in answer.spans] == [(4, 14, "PER")]
    first, second = (np.exp(x) / np.exp(one.values_UK[i]).sum() for i, x in ((1, 4.0), (2, 5.0)))
    assert answer.spans[0].score == pytest.approx((first + second) / 2)


def test_a_text_does_not_go_on_with_the_span_of_the_text_before() -> None:
    first = outputs("in Rome", [(0, 2), (3, 7)], ["O", "B-LOC"])
    empty = outputs("", [], [])
    second = outputs("Rome is", [(0, 4), (5, 7)], ["I-LOC", "O"])
    answers = found(first, empty, second)
    places = [[(span.start, span.end) for span in answer.spans] for answer in answers]
    assert places[0] == [(3, 7)] and places[1] == []
    assert places[2] in ([], [(0, 4)]), "I-LOC cannot begin a text"
    assert answers[1].line() == "" and answers[1].conll() == "" and answers[1].as_dict() == {"spans": []}


def test_tabs_and_line_ends_inside_a_span_do_not_end_a_column() -> None:
    (answer,) = found(outputs("Kim\n\tLee", [(0, 3), (5, 8)], ["B-PER", "I-PER"]))
    assert answer.spans[0].text == "Kim\n\tLee"
    assert answer.line().count("\t") == 4 and answer.line().count("\n") == 1


def measured(one: UnitOutputs, about: TextUnits) -> tuple[float, float]:
    """Precision and recall."""
    scorer = SpanScorer(TYPES)
    scorer.count(one.values_UK, [about])
    scores = scorer.measured().scores
    return scores.precision, scores.recall


def test_where_a_file_has_words_spans_are_compared_as_tags_of_words() -> None:
    text, units = "U.S. won", [(0, 1), (1, 2), (2, 3), (3, 4), (5, 8)]
    one = outputs(text, units, ["B-LOC", "O", "O", "O", "O"])
    true = (Span(0, 4, "LOC"),)
    units_U2 = np.array(units)
    assert measured(one, TextUnits(units_U2, true, true, [(0, 4), (5, 8)], text)) == (1.0, 1.0)
    assert measured(one, TextUnits(units_U2, true, true, None, text)) == (0.0, 0.0)


def test_spans_that_were_cut_off_are_missed() -> None:
    text = "Kim met Lee"
    one = outputs(text, [(0, 3)], ["B-PER"])
    true = (Span(0, 3, "PER"), Span(8, 11, "PER"))
    assert measured(one, TextUnits(np.array([(0, 3)]), true, true, None, text)) == (1.0, 0.5)


def test_repaired_spans_count_in_the_default_mode_only() -> None:
    text = "Kim met Lee"
    one = outputs(text, [(0, 3), (4, 7), (8, 11)], ["B-PER", "O", "B-PER"])
    true = (Span(0, 3, "PER"), Span(8, 11, "PER"))
    scorer = SpanScorer(TYPES)
    scorer.count(one.values_UK, [TextUnits(np.array([(0, 3), (4, 7), (8, 11)]), true, true[:1], None, text)])
    found = scorer.measured().as_dict()
    assert found["f1"] == 1.0 and found["strict"]["precision"] == 0.5 and found["strict"]["recall"] == 1.0


def test_a_step_divides_by_its_units_and_not_by_its_texts() -> None:
    values = torch.tensor([0, 1, 2, 0, 3])
    targets = Targets(values, torch.arange(5), None, (None, None))
    assert TagCrossEntropy().weight(targets) == 5.0
    weights = torch.tensor([1.0, 2.0, 2.0, 3.0, 3.0])
    assert float(TagCrossEntropy(weights).weight(targets)) == 1 + 2 + 2 + 1 + 3
    logits = torch.randn(5, 5)
    each = torch.nn.functional.cross_entropy(logits, values, reduction="none")
    assert float(TagCrossEntropy().loss_sum(logits, targets)) == pytest.approx(float(each.sum()), rel=1e-5)
