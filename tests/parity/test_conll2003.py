"""CoNLL-2003 as it is: every span, score and scheme agrees with seqeval. Skips where the data is not here."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from real_checkpoints import data_set

from custom_bert.spans.conll import read_conll
from custom_bert.spans.entity_scores import EntityCounts
from custom_bert.spans.schemes import Scheme, read_tags, scheme_of, write_tags
from custom_bert.spans.units import snapped, spans_of, unit_spans, word_tags

COUNTS = {"LOC": 1668, "MISC": 702, "ORG": 1661, "PER": 1617}
"""Spans of the test file, as the data set's own page counts them."""


def test_conll2003_is_read_written_and_scored_as_seqeval_does(tmp_path: Path) -> None:
    metrics = pytest.importorskip("seqeval.metrics")
    labeling = pytest.importorskip("seqeval.metrics.sequence_labeling")
    path = data_set("conll2003", tmp_path) / "test.txt"
    read = read_conll(path)
    blocks = path.read_text(encoding="utf-8").strip().split("\n\n")
    tags = [[line.split(" ")[-1] for line in block.split("\n")] for block in blocks]
    assert read.words is not None and (read.scheme, read.notes) == ("BIO", [])
    assert [word_tags(*one) for one in zip(read.spans, read.words, strict=True)] == tags
    found = [unit_spans(*one) for one in zip(read.words, read.spans, strict=True)]
    assert [[(name, begin, end - 1) for begin, end, name in one] for one in found] == [
        labeling.get_entities(one) for one in tags
    ]
    draw = random.Random(0)
    wrong = [[tag if draw.random() < 0.9 else draw.choice(of_text) for tag in of_text] for of_text in tags]
    counts = EntityCounts(read.types)
    for of_text, spans, words in zip(wrong, read.spans, read.words, strict=True):
        counts.add(spans, snapped(spans_of(of_text, words), words))
    scores = counts.scores()
    assert {name: one.support for name, one in zip(scores.types, scores.by_type, strict=True)} == COUNTS
    assert scores.f1 == metrics.f1_score(tags, wrong)
    assert scores.macro_f1 == pytest.approx(metrics.f1_score(tags, wrong, average="macro"), abs=1e-15)
    others: tuple[Scheme, ...] = ("IOB1", "BIOES")
    for scheme in others:
        rewritten = [write_tags(*one, scheme) for one in zip(found, map(len, read.words), strict=True)]
        assert scheme_of(rewritten) == scheme
        assert [read_tags(one, scheme) for one in rewritten] == [(one, []) for one in found]
