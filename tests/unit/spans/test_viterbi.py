"""Of all tags that BIO allows the best ones are taken, and no others ever leave."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from custom_bert.spans.entity import tag_names
from custom_bert.spans.schemes import read_tags
from custom_bert.spans.viterbi import best_tags, entities, entity_probabilities, impossible

TYPES = ("LOC", "PER")
NAMES = tag_names(TYPES)


def drawn(lengths: list[int], seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    logits = 3 * draw.normal(size=(sum(lengths), len(NAMES)))
    return np.asarray(logits - np.log(np.exp(logits).sum(1, keepdims=True)))


def names(tags: np.ndarray) -> list[str]:
    return [NAMES[tag] for tag in tags.tolist()]


def allowed(tags: tuple[int, ...]) -> bool:
    """Whether BIO allows a sequence, as a reader of tags sees it."""
    return not read_tags([NAMES[tag] for tag in tags], "BIO")[1]


def best_of_all(log_UK: np.ndarray) -> list[int]:
    """The best possible sequence, by trying every one."""
    every = filter(allowed, itertools.product(range(len(NAMES)), repeat=len(log_UK)))
    return list(max(every, key=lambda tags: sum(log_UK[i, tag] for i, tag in enumerate(tags))))


def test_tags_are_in_the_order_that_the_arithmetic_relies_on() -> None:
    assert NAMES == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")


def test_the_best_possible_sequence_is_found() -> None:
    lengths = [5, 0, 1, 3, 4, 5, 2, 0]
    for seed in range(15):
        log = drawn(lengths, seed)
        found = best_tags(log, np.array(lengths))
        starts = np.cumsum(lengths) - lengths
        for start, length in zip(starts.tolist(), lengths, strict=True):
            part = slice(start, start + length)
            assert found[part].tolist() == best_of_all(log[part])


def test_no_impossible_sequence_leaves_and_possible_ones_are_kept() -> None:
    lengths = np.random.default_rng(0).integers(0, 40, size=300)
    log = drawn(lengths.tolist(), 1)
    alone = log.argmax(1)
    wrong = impossible(alone, lengths)
    assert len(wrong) > 100, "the drawn logits test nothing"
    found = best_tags(log, lengths)
    assert not len(impossible(found, lengths))
    broken = np.unique(np.searchsorted(np.cumsum(lengths), wrong, side="right"))
    text_T = np.repeat(np.arange(len(lengths)), lengths)
    kept_T = ~np.isin(text_T, broken)
    assert kept_T.any() and (found[kept_T] == alone[kept_T]).all()


def test_an_entity_never_goes_on_from_the_text_before() -> None:
    log = np.log(np.array([[0.1, 0.7, 0.1, 0.05, 0.05], [0.2, 0.1, 0.5, 0.1, 0.1]]))
    assert names(best_tags(log, np.array([2]))) == ["B-LOC", "I-LOC"]
    assert names(best_tags(log, np.array([1, 1]))) == ["B-LOC", "O"]


def test_probabilities_of_zero_do_no_harm() -> None:
    with np.errstate(divide="ignore"):
        log = np.log(np.array([[0.0, 0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0]]))
    assert not len(impossible(best_tags(log, np.array([2])), np.array([2])))


def test_entities_are_those_that_the_tags_say() -> None:
    for seed in range(20):
        lengths = np.random.default_rng(seed).integers(0, 9, size=20)
        found = best_tags(drawn(lengths.tolist(), seed), lengths)
        wanted, start = [], 0
        for length in lengths.tolist():
            of_text = read_tags(names(found[start : start + length]), "BIO")[0]
            wanted += [[start + begin, start + end, TYPES.index(name)] for begin, end, name in of_text]
            start += length
        assert entities(found).tolist() == wanted


def test_a_score_is_the_mean_probability_of_the_tags_of_its_units() -> None:
    probabilities = np.full((4, 5), 0.1)
    probabilities[[0, 1, 2, 3], [1, 2, 0, 3]] = [0.8, 0.6, 0.9, 0.7]
    tags = probabilities.argmax(1)
    found = entities(tags)
    assert found.tolist() == [[0, 2, 0], [3, 4, 1]]
    assert entity_probabilities(found, tags, probabilities) == pytest.approx([0.7, 0.7])


def test_nothing_is_found_in_nothing() -> None:
    none = np.zeros((0, 5))
    tags = best_tags(none, np.zeros(3, dtype=np.int64))
    assert tags.shape == (0,) and entities(tags).shape == (0, 3)
    assert entity_probabilities(entities(tags), tags, none).shape == (0,)
