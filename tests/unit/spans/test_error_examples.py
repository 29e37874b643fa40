"""A few of the texts with errors are kept: the same ones in whatever order and share they are seen."""

from __future__ import annotations

import random

from custom_bert.spans.entity import Span
from custom_bert.spans.error_examples import AROUND, MOST, ErrorExamples


def test_texts_without_an_error_are_no_examples() -> None:
    examples = ErrorExamples()
    examples.add("Kim left", [Span(0, 3, "PER")], [Span(0, 3, "PER")])
    assert examples.as_list() == []
    examples.add("Kim left", [Span(0, 3, "PER")], [])
    assert examples.as_list() == [{"text": "Kim left", "true": [[0, 3, "PER"]], "predicted": []}]


def test_the_same_texts_are_kept_in_any_order_and_from_any_number_of_processes() -> None:
    texts = [f"text {i}" for i in range(200)]
    whole = ErrorExamples()
    for text in texts:
        whole.add(text, [Span(0, 4, "X")], [])
    assert len(whole.as_list()) == MOST
    random.Random(0).shuffle(texts)
    parts = [ErrorExamples() for _ in range(3)]
    for i, text in enumerate(texts):
        parts[i % 3].add(text, [Span(0, 4, "X")], [])
    first, *others = parts
    for other in others:
        first.merge(other.kept())
    assert first.as_list() == whole.as_list()


def test_of_a_long_text_the_part_around_the_first_error_is_kept() -> None:
    text = "a" * 500 + " Kim " + "b" * 500
    examples = ErrorExamples()
    examples.add(text, [Span(0, 3, "X"), Span(501, 504, "PER"), Span(506, 1005, "X")], [Span(0, 3, "X")])
    ((one),) = examples.as_list()
    assert one["text"] == text[501 - AROUND : 504 + AROUND]
    assert one["true"] == [[AROUND, AROUND + 3, "PER"], [AROUND + 5, len(one["text"]), "X"]]
    start, end, _ = one["true"][0]
    assert one["text"][start:end] == "Kim" and one["predicted"] == []


def test_a_text_with_half_a_surrogate_does_no_harm() -> None:
    examples = ErrorExamples()
    examples.add("a\ud83d", [Span(0, 1, "X")], [])
    assert len(examples.as_list()) == 1
