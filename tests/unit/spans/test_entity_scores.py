"""Scores of whole entities equal seqeval's, and each span counts once."""

from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np
import pytest

from custom_bert.spans.entity import Span
from custom_bert.spans.entity_scores import EntityCounts, EntityScores, met
from custom_bert.spans.schemes import WordSpan, read_tags

TYPES = ("LOC", "MISC", "PER")


def as_spans(entities: list[WordSpan]) -> list[Span]:
    return [Span(*one) for one in entities]


def drawn_tags(draw: random.Random, length: int) -> list[str]:
    tags = ["O"] * 4 + [f"{letter}-{name}" for letter in "BI" for name in TYPES]
    return draw.choices(tags, k=length)


def scores(pairs: list[tuple[list[Span], list[Span]]]) -> EntityScores:
    counts = EntityCounts(TYPES)
    for true, predicted in pairs:
        counts.add(true, predicted)
    return counts.scores()


def seqeval_report(true: list[list[str]], predicted: list[list[str]], **how: Any) -> dict[str, Any]:
    metrics = pytest.importorskip("seqeval.metrics")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about types without a prediction
        report = metrics.classification_report(true, predicted, output_dict=True, **how)
    return dict(report)


def both(draw: random.Random, sentences: int) -> tuple[list[list[str]], list[list[str]]]:
    """True tags and predicted ones that are often the same."""
    true = [drawn_tags(draw, draw.randint(1, 15)) for _ in range(sentences)]
    return true, [[tag if draw.random() < 0.8 else draw.choice(one) for tag in one] for one in true]


def same(found: EntityScores, report: dict[str, Any]) -> None:
    micro = report["micro avg"]
    assert (found.precision, found.recall, found.f1) == (
        micro["precision"],
        micro["recall"],
        micro["f1-score"],
    )
    assert found.entities == micro["support"]
    assert found.macro_f1 == pytest.approx(report["macro avg"]["f1-score"], abs=1e-15)
    for name, one in zip(TYPES, found.by_type, strict=True):
        wanted = report.get(name)
        assert wanted is not None or one.support == 0
        if wanted is not None:
            assert (one.precision, one.recall, one.f1, one.support) == (
                wanted["precision"],
                wanted["recall"],
                wanted["f1-score"],
                wanted["support"],
            )


@pytest.mark.parametrize("seed", range(20))
def test_scores_equal_seqeval_s_default_mode(seed: int) -> None:
    true, predicted = both(random.Random(seed), 30)
    read = [
        tuple(as_spans(read_tags(tags, "BIO")[0]) for tags in pair)
        for pair in zip(true, predicted, strict=True)
    ]
    same(scores(read), seqeval_report(true, predicted))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(20))
def test_scores_of_unrepaired_spans_equal_seqeval_s_strict_mode(seed: int) -> None:
    scheme = pytest.importorskip("seqeval.scheme")
    true, predicted = both(random.Random(seed), 30)

    def strict(tags: list[str]) -> list[Span]:
        entities, repaired = read_tags(tags, "BIO")
        return as_spans([one for one in entities if not any(one[0] <= i < one[1] for i in repaired)])

    read = [(strict(a), strict(b)) for a, b in zip(true, predicted, strict=True)]
    same(scores(read), seqeval_report(true, predicted, mode="strict", scheme=scheme.IOB2))


def test_one_span_off_by_a_character_is_wrong() -> None:
    for start, end in ((1, 5), (0, 4), (0, 6)):
        found = scores([([Span(0, 5, "PER")], [Span(start, end, "PER")])])
        assert found.f1 == 0 and found.faults()["place"] == 1


def test_a_span_that_is_given_twice_is_a_fault_of_the_program() -> None:
    twice = [Span(0, 5, "PER"), Span(0, 5, "PER")]
    with pytest.raises(AssertionError, match="spans overlap"):
        met([Span(0, 5, "PER")], twice)
    with pytest.raises(AssertionError, match="spans overlap"):
        scores([([Span(0, 5, "PER")], [Span(0, 5, "PER"), Span(3, 8, "PER")])])


def test_every_way_to_be_wrong_is_told_apart() -> None:
    true = [
        Span(0, 2, "PER"),
        Span(3, 5, "LOC"),
        Span(6, 9, "PER"),
        Span(10, 12, "LOC"),
        Span(20, 22, "MISC"),
    ]
    predicted = [
        Span(0, 2, "PER"),
        Span(3, 5, "PER"),
        Span(7, 9, "PER"),
        Span(11, 13, "PER"),
        Span(30, 31, "LOC"),
    ]
    found = scores([(true, predicted)])
    assert found.faults() == {"type": 1, "place": 1, "both": 1, "missed": 1, "spurious": 1}
    assert found.pairs.tolist() == [[0, 0, 2, 0], [0, 0, 0, 1], [0, 0, 2, 0], [1, 0, 0, 0]]
    assert (found.precision, found.recall, found.exact_match) == (0.2, 0.2, 0.0)


def test_a_span_meets_one_other_at_most() -> None:
    true, predicted = [Span(0, 10, "PER")], [Span(0, 4, "PER"), Span(5, 10, "PER")]
    assert met(true, predicted) == [(true[0], predicted[0]), (None, predicted[1])]
    assert met(predicted, true) == [(predicted[0], true[0]), (predicted[1], None)]
    # the same place comes first, wherever it stands
    assert met([Span(0, 4, "X"), Span(4, 9, "X")], [Span(4, 9, "Y")])[0] == (Span(4, 9, "X"), Span(4, 9, "Y"))


def test_every_span_is_counted_once_on_its_side() -> None:
    draw = random.Random(5)
    for _ in range(300):
        true, predicted = (as_spans(read_tags(drawn_tags(draw, 20), "BIO")[0]) for _ in range(2))
        pairs = met(true, predicted)
        assert sorted(a for a, _ in pairs if a) == true and sorted(b for _, b in pairs if b) == predicted


def test_parts_add_up_to_the_whole() -> None:
    draw = random.Random(6)
    pairs = [tuple(as_spans(read_tags(drawn_tags(draw, 12), "BIO")[0]) for _ in range(2)) for _ in range(40)]
    halves = []
    for part in (pairs[:17], pairs[17:]):
        counts = EntityCounts(TYPES)
        for true, predicted in part:
            counts.add(true, predicted)
        halves.append(counts.array())
    together = EntityCounts(TYPES).with_array(np.sum(halves, axis=0)).scores()
    assert together.as_dict() == scores(pairs).as_dict()  # type: ignore[arg-type]


def test_nothing_at_all_scores_nothing() -> None:
    found = scores([([], [])])
    assert (found.precision, found.recall, found.f1, found.macro_f1) == (0, 0, 0, 0)
    assert found.exact_match == 1.0 and found.entities == 0


def test_a_type_that_is_only_predicted_counts_in_the_mean_as_for_seqeval() -> None:
    true, predicted = [["B-LOC", "O", "O"]], [["B-LOC", "O", "B-PER"]]
    found = scores([([Span(0, 1, "LOC")], [Span(0, 1, "LOC"), Span(2, 3, "PER")])])
    assert found.macro_f1 == 0.5 == seqeval_report(true, predicted)["macro avg"]["f1-score"]
