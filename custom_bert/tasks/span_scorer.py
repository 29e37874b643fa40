"""The loss of the tags of units, and the scores of the spans that are found.

Shapes: M units of a batch, K tags, X types.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from custom_bert.batch import Targets
from custom_bert.decoding.arithmetic import softmax
from custom_bert.decoding.spans import spans_found
from custom_bert.ops.losses import cross_entropy_sum
from custom_bert.reports.span_tables import span_score_lines
from custom_bert.spans.entity import Span
from custom_bert.spans.entity_scores import EntityCounts, EntityScores
from custom_bert.spans.error_examples import ErrorExamples
from custom_bert.spans.units import snapped
from custom_bert.tasks.class_weights import Copies
from custom_bert.tasks.parts import ONE_PROCESS, Gathering
from custom_bert.tasks.span_texts import TextUnits


@dataclass(frozen=True)
class TagCrossEntropy:
    """Cross-entropy of the tag of each unit, multiplied by the weight of its class.

    Attributes:
        tag_weights_K: the weight of the units of each tag, on the host; None weighs every unit with 1.
        label_smoothing: the share of the target's probability that is spread over all tags.
    """

    tag_weights_K: Tensor | None = None
    label_smoothing: float = 0.0

    def loss_sum(self, output: Tensor, targets: Targets) -> Tensor:
        """Returns the sum over units; `output` is (M, K) logits."""
        return cross_entropy_sum(
            output,
            targets.values,
            weights_N=self._weights(targets),
            label_smoothing=self.label_smoothing,
        )

    def weight(self, targets: Targets) -> Tensor | float:
        """Returns the number of units, or the sum of their weights."""
        weights_M = self._weights(targets)
        return float(len(targets)) if weights_M is None else weights_M.sum()

    @cached_property
    def _copies(self) -> Copies | None:
        return None if self.tag_weights_K is None else Copies(self.tag_weights_K)

    def _weights(self, targets: Targets) -> Tensor | None:
        return None if self._copies is None else self._copies.beside(targets.values)[targets.values]


@dataclass(frozen=True)
class SpansMeasured:
    """The result of evaluating a model of spans.

    Attributes:
        loss: the mean cross-entropy of a unit, without weights and label smoothing.
        scores: how well the spans were found, as seqeval's default mode reads the file.
        strict: the same as seqeval's strict mode reads it; other numbers only where tags had to be repaired.
        examples: some of the texts whose spans are wrong; see `ErrorExamples.as_list`.
    """

    loss: float
    scores: EntityScores
    strict: EntityScores
    examples: list[dict[str, Any]]

    @property
    def numbers(self) -> dict[str, float]:
        """F1, precision and recall of whole spans, and the mean F1 of the types."""
        one = self.scores
        return {"f1": one.f1, "precision": one.precision, "recall": one.recall, "macro_f1": one.macro_f1}

    @property
    def weighted_numbers(self) -> dict[str, float]:
        """The same numbers, since spans have no weights."""
        return self.numbers

    def as_dict(self) -> dict[str, Any]:
        """Returns the scores and those of each type; see `EntityScores.as_dict` for the keys."""
        one = self.strict
        strict = {"precision": one.precision, "recall": one.recall, "f1": one.f1}
        return {**self.scores.as_dict(), "strict": strict, "error_examples": self.examples}

    def lines(self) -> list[str]:
        """Returns a table with a row for each type."""
        return span_score_lines(self.scores.as_dict())


class SpanScorer:
    """Counts true and predicted spans.

    Where the file has words, both sides are compared as tags of these words, as other programs do. Otherwise
    the characters of spans are compared.

    Args:
        types: the X types, in the order of the outputs.
    """

    def __init__(self, types: Sequence[str]) -> None:
        self._types = tuple(types)
        self._counts, self._strict = EntityCounts(types), EntityCounts(types)
        self._examples = ErrorExamples()
        self._loss, self._units = 0.0, 0

    def add(self, outputs: Tensor, targets: Targets) -> None:
        """Counts a batch of (M, K) logits, and (M,) tags with what there is to know of each text."""
        assert targets.about is not None, "spans are measured text by text"
        self._loss += float(cross_entropy_sum(outputs, targets.values))
        self._units += len(targets)
        self.count(outputs.cpu().numpy(), targets.about)

    def count(self, logits_MK: np.ndarray, about: Sequence[TextUnits]) -> None:
        """Counts the spans of some texts, without their loss."""
        probabilities_MK = softmax(logits_MK)
        with np.errstate(divide="ignore"):  # a probability may round to 0
            log_MK = np.log(probabilities_MK)
        units = [one.units_U2 for one in about]
        lengths_N = np.fromiter(map(len, units), dtype=np.int64, count=len(units))
        found = spans_found(log_MK, probabilities_MK, units, lengths_N, self._types)
        for one, spans in zip(about, found, strict=True):
            predicted = [Span(start, end, label) for start, end, label, _ in spans]
            true, strict = list(one.spans), list(one.strict)
            if one.words is not None:
                predicted, true, strict = (snapped(some, one.words) for some in (predicted, true, strict))
            self._counts.add(true, predicted)
            self._strict.add(strict, predicted)
            self._examples.add(one.text, true, predicted)

    def measured(self, gathering: Gathering = ONE_PROCESS) -> SpansMeasured:
        """Returns the result over the batches of all processes."""
        sums = torch.tensor([self._loss, self._units], dtype=torch.float64)
        loss, units = gathering.total(sums).tolist()
        counts, strict = (
            some.with_array(gathering.total(torch.from_numpy(some.array())).numpy()).scores()
            for some in (self._counts, self._strict)
        )
        return SpansMeasured(loss / max(1, units), counts, strict, _gathered(self._examples, gathering))


def _gathered(examples: ErrorExamples, gathering: Gathering) -> list[dict[str, Any]]:
    """Returns the examples of all processes, which exchange them as lines of JSON."""
    lines = "".join(f"{json.dumps(one)}\n" for one in examples.kept()) or "\n"
    content = torch.frombuffer(bytearray(lines.encode()), dtype=torch.uint8)
    everybody = ErrorExamples()
    for line in gathering.joined(content).numpy().tobytes().splitlines():
        everybody.merge([tuple(json.loads(line))] if line else [])
    return everybody.as_list()
