"""Texts whose spans have labels: the logits of a text's units become spans of the user's own characters.

The outputs of a chunk of texts are an (n,) array of objects, one `UnitOutputs` for each text, since texts
have different numbers of units.

Shapes: n texts of a chunk, U units of a text, T units of all texts one after the other, X types,
K = 1 + 2 X tags (`spans.entity.tag_names`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from custom_bert.decoding.arithmetic import softmax
from custom_bert.decoding.decoder import Decoder
from custom_bert.decoding.label_names import read_labels, write_labels
from custom_bert.spans.conll import conll_lines
from custom_bert.spans.entity import Span, tag_names
from custom_bert.spans.spanned import Range
from custom_bert.spans.units import unit_spans
from custom_bert.spans.viterbi import best_tags, entities, entity_probabilities


@dataclass(frozen=True)
class UnitOutputs:
    """What a model computes for the units of a text.

    Attributes:
        text: the text as the user wrote it.
        units_U2: (U, 2) int64 where each unit begins and ends in the text.
        values_UK: (U, K) fp32 the logits of each unit, or its probabilities.
    """

    text: str
    units_U2: np.ndarray
    values_UK: np.ndarray


def of_texts(parts: Sequence[Any]) -> np.ndarray:
    """Returns an (n,) array of objects."""
    array = np.empty(len(parts), dtype=object)
    array[:] = parts
    return array


@dataclass(frozen=True)
class FoundSpan(Span):
    """A span that was predicted.

    Attributes:
        score: the mean, over the units of the span, of the probability of the tag that the unit got.
        text: its characters: `text[start:end]` of the text that it stands in.
    """

    score: float
    text: str

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields for JSON."""
        return {
            "start": self.start,
            "end": self.end,
            "label": self.label,
            "score": self.score,
            "text": self.text,
        }

    def line(self) -> str:
        """Returns the fields with tabs between them. A tab or a line break in the span becomes a space."""
        plain = re.sub(r"[\t\r\n]", " ", self.text)
        return f"{self.start}\t{self.end}\t{self.label}\t{self.score:.6f}\t{plain}"


@dataclass(frozen=True)
class SpansPrediction:
    """The spans of a text.

    Attributes:
        text: the text as the user wrote it.
        spans: its spans, in order, without overlap.
        units: if probabilities were asked for, where each unit stands and the probability of each tag.
    """

    text: str
    spans: tuple[FoundSpan, ...]
    units: tuple[Mapping[str, Any], ...] | None = None

    def line(self) -> str:
        """Returns a line for each span, and an empty one after them, so that the lines of texts can be told
        apart. The last line end is left to whoever prints it."""
        return "".join(f"{span.line()}\n" for span in self.spans)

    def conll(self, words: Sequence[Range] | None = None) -> str:
        """Returns a line for each word with its BIO tag, and an empty line after them, as `line` does.

        Args:
            words: where the words stand; None for the parts between white space.
        """
        if words is None:
            words = [(word.start(), word.end()) for word in re.finditer(r"\S+", self.text)]
        lines = conll_lines([self.text[a:b] for a, b in words], unit_spans(words, self.spans))
        return "".join(f"{line}\n" for line in lines[:-1])

    def as_dict(self) -> dict[str, Any]:
        """Returns the spans for JSON, and the units if their probabilities were asked for."""
        fields: dict[str, Any] = {"spans": [span.as_dict() for span in self.spans]}
        if self.units is not None:
            fields["units"] = [dict(unit) for unit in self.units]
        return fields

    def cells(self) -> tuple[str]:
        """Returns one cell: a JSON list of the spans."""
        return (json.dumps([span.as_dict() for span in self.spans], ensure_ascii=False),)


@dataclass(frozen=True)
class SpanDecoder(Decoder):
    """Decodes the logits of units.

    Attributes:
        types: the X types of spans, in the order of the outputs.
    """

    types: tuple[str, ...]

    table_columns: ClassVar[tuple[str, ...]] = ("predicted_spans",)
    labels_units: ClassVar[bool] = True

    @classmethod
    def restored(cls, directory: Path, stored: Mapping[str, Any], thresholds_C: np.ndarray | None) -> Self:
        """Reads labels.json, which holds the types."""
        return cls(read_labels(directory, stored))

    def stored(self) -> dict[str, Any]:
        """The number of types stands in the description, so that the sizes of tensors follow from it."""
        return {"num_labels": len(self.types)}

    def store(self, directory: Path) -> None:
        """Writes labels.json."""
        write_labels(directory, self.types)

    @property
    def num_outputs(self) -> int:
        """K, the number of tags."""
        return 1 + 2 * len(self.types)

    @property
    def tags(self) -> tuple[str, ...]:
        """The K tags, in the order of the outputs."""
        return tag_names(self.types)

    def probabilities(self, outputs_NK: np.ndarray) -> np.ndarray:
        """Returns (n,) `UnitOutputs` with probabilities in the place of logits."""
        return of_texts(
            [UnitOutputs(one.text, one.units_U2, softmax(one.values_UK)) for one in outputs_NK.tolist()]
        )

    def decided(self, probabilities_NK: np.ndarray) -> list[list[tuple[int, int, str]]]:
        """Returns the start, the end and the label of each span of each text."""
        found = self.predictions(probabilities_NK, every=False)
        return [[(span.start, span.end, span.label) for span in one.spans] for one in found]

    def apart(self, probabilities_NK: np.ndarray, others_NK: np.ndarray) -> np.ndarray:
        """Returns (T, K) how far apart two sides' probabilities are."""
        sides = (
            np.concatenate([one.values_UK for one in side.tolist()]) for side in (probabilities_NK, others_NK)
        )
        first_TK, second_TK = sides
        return np.asarray(np.abs(first_TK.astype(np.float64) - second_TK))

    def predictions(self, probabilities_NK: np.ndarray, *, every: bool) -> Iterator[SpansPrediction]:
        """Yields the spans of each text: those of the most probable sequence of tags that BIO allows."""
        texts: list[UnitOutputs] = probabilities_NK.tolist()
        values_TK = joined_values([one.values_UK for one in texts], self.num_outputs)
        with np.errstate(divide="ignore"):  # a probability may round to 0
            log_TK = np.log(values_TK)
        lengths_N = np.fromiter((len(one.units_U2) for one in texts), dtype=np.int64, count=len(texts))
        found = spans_found(log_TK, values_TK, [one.units_U2 for one in texts], lengths_N, self.types)
        for one, spans in zip(texts, found, strict=True):
            given = tuple(
                FoundSpan(start, end, label, score, one.text[start:end]) for start, end, label, score in spans
            )
            yield SpansPrediction(one.text, given, self._units(one) if every else None)

    def _units(self, one: UnitOutputs) -> tuple[Mapping[str, Any], ...]:
        tags = self.tags
        return tuple(
            {"start": start, "end": end, "probabilities": dict(zip(tags, row, strict=True))}
            for (start, end), row in zip(one.units_U2.tolist(), one.values_UK.tolist(), strict=True)
        )


def joined_values(parts: Sequence[np.ndarray], outputs: int) -> np.ndarray:
    """Returns (T, K) the values of all units of some texts, which may have none."""
    return np.concatenate([np.empty((0, outputs), dtype=np.float32), *parts])


def spans_found(
    log_TK: np.ndarray,
    probabilities_TK: np.ndarray,
    units: Sequence[np.ndarray],
    lengths_N: np.ndarray,
    types: Sequence[str],
) -> list[list[tuple[int, int, str, float]]]:
    """Returns the start, the end, the label and the score of each span of each text.

    Args:
        log_TK: (T, K) the logarithms of the probabilities; a constant may be added to a row.
        probabilities_TK: (T, K) the probabilities.
        units: for each text (U, 2) where its units begin and end.
        lengths_N: (N,) the number of units of each text.
        types: the X types.
    """
    found: list[list[tuple[int, int, str, float]]] = [[] for _ in units]
    if not len(log_TK):
        return found
    tags_T = best_tags(log_TK, lengths_N)
    entities_E3 = entities(tags_T)
    scores_E = entity_probabilities(entities_E3, tags_T, probabilities_TK)
    places_T2 = np.concatenate(units)
    starts_E, ends_E = places_T2[entities_E3[:, 0], 0], places_T2[entities_E3[:, 1] - 1, 1]
    text_E = np.searchsorted(np.cumsum(lengths_N), entities_E3[:, 0], side="right")
    columns = (text_E, starts_E, ends_E, entities_E3[:, 2], scores_E)
    for text, start, end, kind, score in zip(*(column.tolist() for column in columns), strict=True):
        found[text].append((start, end, types[kind], score))
    return found
