"""Computes a run and its ONNX export for the same texts, and returns what the gate looks at.

Shapes: N texts, K outputs, D width of an encoder.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from custom_bert.data.unknown import UnknownText
from custom_bert.inference.classifier import Classifier
from custom_bert.inference.exports.gate import Compared, Speed
from custom_bert.inference.vectors import VectorModel, VectorPooling
from custom_bert.reports.measures import is_worse, words_of
from custom_bert.tasks.parts import Measured

LATENCY_TEXTS, TOGETHER, BATCHES = 50, 32, 8
"""The number of texts that are timed alone, the number that is timed together, and how often."""


@dataclass(frozen=True)
class Texts:
    """What both sides are computed for.

    Attributes:
        rows: the texts or pairs, as `data.text_pairs` holds them.
        measure: returns what is measured of a side, given its outputs for the rows; None for an encoder,
            which has no labels.
        random: texts of random words, from no word to more than are read.
        why_none: why there are no rows; empty if there are some.
        notes: what a user should know of how the rows were read, one line each.
    """

    rows: Sequence[str]
    measure: Callable[[Classifier, np.ndarray], Measured] | None
    random: Sequence[str]
    why_none: str = ""
    notes: tuple[str, ...] = ()


Sizes = tuple[int, int]
"""The bytes of the weights of the run and of the export."""


def compared_classifiers(run: Classifier, export: Classifier, texts: Texts, sizes: Sizes) -> Compared:
    """Compares what two classifiers predict."""
    anywhere = _apart(run, export, *(_outputs(side, texts.random) for side in (run, export)))
    metric = run.task.defaults()["optim.metric"]
    common: dict[str, Any] = {"measure": words_of(metric), "low": is_worse(metric, 1.0, 0.0)}
    changes = bool(run.labels) or run.decoder.labels_units
    if not texts.rows:
        return Compared(
            **common,
            rows=0,
            largest=0.0,
            largest_anywhere=anywhere,
            changed=0 if changes else None,
            before=None,
            after=None,
        )
    assert texts.measure is not None
    of_run, of_export = (_outputs(side, texts.rows) for side in (run, export))
    before, after = (
        texts.measure(side, outputs_NK).numbers[metric]
        for side, outputs_NK in ((run, of_run), (export, of_export))
    )
    return Compared(
        **common,
        rows=len(texts.rows),
        largest=_apart(run, export, of_run, of_export),
        largest_anywhere=anywhere,
        changed=_changed(run, export, of_run, of_export) if changes else None,
        before=before,
        after=after,
        run=_speed(lambda some: _outputs(run, some), texts.rows, sizes[0]),
        export=_speed(lambda some: _outputs(export, some), texts.rows, sizes[1]),
    )


def compared_encoders(
    run: VectorModel, export: VectorModel, texts: Texts, sizes: Sizes, max_length: int
) -> Compared:
    """Compares the vectors of two encoders, with both ways of pooling.

    Args:
        run, export: the encoders.
        texts: the texts.
        sizes: the bytes of the weights of both.
        max_length: the number of tokens that are kept of a text.
    """

    def vectors(side: VectorModel, some: Sequence[str], pooling: VectorPooling = "mean") -> np.ndarray:
        vectors_ND = side.of(some, pooling, max_length, UnknownText()).astype(np.float64)
        return np.asarray(vectors_ND / np.maximum(np.linalg.norm(vectors_ND, axis=1, keepdims=True), 1e-12))

    def largest(some: Sequence[str]) -> float:
        poolings: tuple[VectorPooling, ...] = ("mean", "cls")
        return max(
            float(np.abs(vectors(run, some, how) - vectors(export, some, how)).max()) for how in poolings
        )

    common: dict[str, Any] = {"measure": "cosine", "low": False, "changed": None}
    anywhere, rows = largest(texts.random), texts.rows
    if not rows:
        return Compared(**common, rows=0, largest=0.0, largest_anywhere=anywhere, before=None, after=None)
    return Compared(
        **common,
        rows=len(rows),
        largest=largest(rows),
        largest_anywhere=anywhere,
        before=1.0,
        after=float((vectors(run, rows) * vectors(export, rows)).sum(axis=1).mean()),
        run=_speed(lambda some: vectors(run, some), rows, sizes[0]),
        export=_speed(lambda some: vectors(export, some), rows, sizes[1]),
    )


def _outputs(side: Classifier, texts: Sequence[str]) -> np.ndarray:
    """Returns (N, K) what a side computes. Unknown text is nothing to warn of here."""
    return np.concatenate(list(side.scores.of(texts, UnknownText())))


def _apart(run: Classifier, export: Classifier, of_run: np.ndarray, of_export: np.ndarray) -> float:
    ours, theirs = run.decoder.probabilities(of_run), export.decoder.probabilities(of_export)
    return float(run.decoder.apart(ours, theirs).max())


def _changed(run: Classifier, export: Classifier, of_run: np.ndarray, of_export: np.ndarray) -> int:
    """Returns the number of texts that get other labels."""
    sides = ((run, of_run), (export, of_export))
    ours, theirs = (side.decoder.decided(side.decoder.probabilities(outputs)) for side, outputs in sides)
    return sum(one != other for one, other in zip(ours, theirs, strict=True))


def _speed(compute: Callable[[Sequence[str]], Any], texts: Sequence[str], size: int) -> Speed:
    """Returns how fast a side computes some of the texts, spread evenly over all of them."""

    def seconds(some: Sequence[str]) -> float:
        begun = time.perf_counter()
        compute(some)
        return time.perf_counter() - begun

    def chosen(most: int) -> list[str]:
        places = np.linspace(0, len(texts) - 1, min(most, len(texts))).astype(int)
        return [texts[i] for i in places.tolist()]

    alone, many = chosen(LATENCY_TEXTS), chosen(TOGETHER * BATCHES)
    seconds(alone[:1])  # what comes first takes longer
    latency = statistics.median(seconds([text]) for text in alone)
    batches = [many[start : start + TOGETHER] for start in range(0, len(many), TOGETHER)]
    seconds(batches[0])
    return Speed(
        latency_ms=1000 * latency, texts_per_second=len(many) / sum(map(seconds, batches)), size=size
    )
