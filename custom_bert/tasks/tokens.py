"""Spans in text: each unit of a text, which is a word or a sign, gets a tag, and tags make spans with labels.

The first token of a unit carries the unit's tag, and the other tokens none. Long texts are read in windows
that share tokens, and each unit is learned, measured and predicted once.

Shapes: M units of a batch, X types of spans, K = 1 + 2 X tags.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from custom_bert.batch import Batch
from custom_bert.config import LongTexts, TrainConfig
from custom_bert.data.cache import Cache
from custom_bert.data.loader import Transform
from custom_bert.data.source import Source
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.data.windows import overlap_of
from custom_bert.decoding.label_names import read_labels
from custom_bert.decoding.spans import SpanDecoder
from custom_bert.errors import ConfigError
from custom_bert.models.outline import from_tensors, outline
from custom_bert.models.token_tagger import TokenTagger
from custom_bert.presets import EncoderConfig
from custom_bert.reports.tables import TABLE_ROWS
from custom_bert.rules.decisions import Decisions, Facts
from custom_bert.rules.resolved import ResolvedConfig
from custom_bert.spans.entity import OUTSIDE, tag_names
from custom_bert.tasks.class_weights import class_weights, unknown_in_table
from custom_bert.tasks.every_row import every_row, rows_of_texts
from custom_bert.tasks.learned import LearnedTask
from custom_bert.tasks.names import first_names, tables_of_names
from custom_bert.tasks.parts import Card, CardFacts, HeadName, Learning
from custom_bert.tasks.span_reading import read_span_texts
from custom_bert.tasks.span_scorer import SpanScorer, TagCrossEntropy
from custom_bert.tasks.span_texts import SpanTexts


@dataclass(frozen=True)
class Tokens(LearnedTask):
    """The task of finding spans and their types.

    Attributes:
        types: the X types of spans, in the order of the outputs.
    """

    types: tuple[str, ...]

    name: ClassVar[str] = "tokens"
    head: ClassVar[HeadName] = "token_classification"
    labels_units: ClassVar[bool] = True
    measures: ClassVar[tuple[str, ...]] = ("f1", "macro_f1")
    unread: ClassVar[tuple[str, ...]] = (
        *("data.corpus", "data.label_separator", "data.label_order"),
        *("optim.regression_loss", "optim.token_dropout", "optim.r_drop", "model.pooling"),
    )

    @classmethod
    def faults(cls, config: TrainConfig) -> list[str]:
        """Refuses what other tasks refuse, and data in a form that is not read."""
        faults, data = super().faults(config), config.data
        if data.table is not None:
            faults.append(
                f"data.table {data.table}: task {cls.name} reads spans from train.conll or train.jsonl; give "
                f"their folder as DATA, or name files by data.train_spans"
            )
        if data.pairs:
            faults.append(f"data.pairs: task {cls.name} reads single texts; leave it out")
        return faults

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Long texts are read whole, in windows. No token is left out, since each may carry a tag. All layers
        learn: on CoNLL-2003 two frozen ones of six cost 1.3 points of F1 (docs/log/0029)."""
        return {
            **super().defaults(),
            "data.long_texts": "windows",
            "optim.token_dropout": 0.0,
            "optim.freeze_layers": 0,
            "optim.r_drop": 0.0,
        }

    @classmethod
    def read(cls, config: TrainConfig, cache: Cache) -> Source:
        """Reads texts with their spans."""
        return read_span_texts(config)

    @classmethod
    def from_source(cls, source: Source, config: TrainConfig) -> Self:
        """Takes the types that the training spans have."""
        return cls(source.labels)

    @classmethod
    def blank(cls) -> Self:
        """Has no types, and so one output."""
        return cls(())

    @classmethod
    def restored(cls, directory: Path, stored: Mapping[str, Any]) -> Self:
        """Reads labels.json, which holds the types.

        Raises:
            RunError: if labels.json is missing or damaged, or config.json says another number of types.
        """
        return cls(read_labels(directory, stored))

    def stored(self) -> dict[str, Any]:
        """Returns the number of types."""
        return self.decoder(None).stored()

    def store(self, directory: Path) -> None:
        """Writes labels.json."""
        self.decoder(None).store(directory)

    # Learning

    def decide(self, todo: Decisions, facts: Facts) -> None:
        """Decides what is open about learning; a table of class weights may only name types of the data."""
        if todo.config.optim.token_dropout:
            raise ConfigError(
                [f"config: optim.token_dropout: task {self.name} leaves out no token; each may have a tag"]
            )
        if todo.config.optim.r_drop:
            raise ConfigError([f"config: optim.r_drop: task {self.name} has none; leave it out"])
        if faults := unknown_in_table(todo.config.optim.class_weights, (OUTSIDE, *self.types)):
            raise ConfigError([f"config: {fault}" for fault in faults])
        super().decide(todo, facts)

    @property
    def tags(self) -> tuple[str, ...]:
        """The K tags, in the order of the outputs."""
        return tag_names(self.types)

    @property
    def num_outputs(self) -> int:
        """K, the number of tags."""
        return 1 + 2 * len(self.types)

    def model(self, config: EncoderConfig, tensors: dict[str, Tensor] | None = None) -> TokenTagger:
        """Returns a token classifier, whose head is drawn where `tensors` lacks a part of it."""
        if tensors is None:
            return TokenTagger(config, self.num_outputs)
        return from_tensors(TokenTagger, config, self.num_outputs, tensors)

    def outline(self, config: EncoderConfig) -> TokenTagger:
        """Returns the token classifier on the meta device."""
        return outline(TokenTagger, config, self.num_outputs)

    @classmethod
    def keeps(cls, name: str) -> bool:
        """Keeps the layers of the head below the projection, whose rows belong to the earlier run's types."""
        return name.startswith(("head.dense.", "head.norm."))

    def learning(self, config: ResolvedConfig, source: Source, tokenizer: TextTokenizer) -> Learning:
        """Learns the tags of units."""
        loss = TagCrossEntropy(self._tag_weights(config, source), config.optim.label_smoothing)
        return self.learning_of(config, loss, Transform())

    def _tag_weights(self, config: ResolvedConfig, source: Source) -> Tensor | None:
        """Returns (K,) the weight of each tag: that of its type, or of `O`; None if all weigh the same.

        Words are counted for it, which stand between white space: units are known to batches only.
        """
        assert isinstance(source, SpanTexts)
        setting = config.optim.class_weights
        counts = source.words_by_type()
        counts_C = torch.tensor(counts, dtype=torch.float64).clamp(min=1)
        weights_C = class_weights(setting, (OUTSIDE, *self.types), counts_C)
        if weights_C is None:
            return None
        # one for O, and each type's for its two tags
        return torch.cat([weights_C[:1], weights_C[1:].repeat_interleave(2)])

    # Measuring, and what a trained model predicts

    def scorer(self, thresholds_C: np.ndarray | None) -> SpanScorer:
        """Returns a scorer of whole spans."""
        return SpanScorer(self.types)

    def decoder(self, thresholds_C: np.ndarray | None) -> SpanDecoder:
        """Returns the decoder of the most probable sequence of tags."""
        return SpanDecoder(self.types)

    def targets_of(self, lines: Iterable[str]) -> Iterator[np.ndarray]:
        """Is never called, since spans do not stand in label files."""
        raise AssertionError("a model of spans was asked for the labels of whole texts")

    # In other libraries, and for people

    @classmethod
    def published_long_texts(cls, long_texts: LongTexts | None) -> LongTexts:
        """Returns head: each window is a text by itself, as it is in an export."""
        return "head"

    def published(self, model: nn.Module) -> dict[str, Any]:
        """Returns Hugging Face's tables of the tags."""
        return tables_of_names(self.tags)

    def card(self, encoder: EncoderConfig, model: nn.Module, about: CardFacts) -> Card:
        """Lists the types, shows a token-classification pipeline, and says where it differs."""
        return Card(
            "token-classification",
            f"A model that finds spans of {len(self.types):,} types: {encoder.num_hidden_layers} layers, "
            f"{encoder.hidden_size} wide, texts of up to {about.max_length} tokens at a time",
            (
                f"Types: {first_names(self.types)}.",
                PIPELINE_DIFFERS.format(stride=overlap_of(about.max_length, about.tokenizer.frame.size)),
            ),
            (
                "from transformers import pipeline",
                "",
                f'find = pipeline("token-classification", "{about.name}", aggregation_strategy="first")',
                'for span in find("a text"):',
                '    print(span["start"], span["end"], span["entity_group"], span["score"])',
            ),
        )

    def results(self, record: Mapping[str, Any]) -> str:
        """Returns F1, precision and recall on the validation texts, in a sentence."""
        validation, texts = record["validation"], record["data"]["val_examples"]
        return (
            f"On {texts:,} validation texts: F1 of whole spans {validation['f1']:.4f}, precision "
            f"{validation['precision']:.4f}, recall {validation['recall']:.4f}."
        )

    def every_output(self, batch: Batch) -> Batch:
        """Returns the batch with every token as a target, so that every row gets logits."""
        return every_row(batch)

    def split_outputs(self, outputs: Tensor, lengths: Sequence[int]) -> Sequence[Tensor]:
        """Returns for each text the (length, K) logits of its tokens."""
        return rows_of_texts(outputs, lengths)

    def summary(self) -> str:
        """Returns the number of types and their names."""
        return f"{len(self.types):,} types of spans: {', '.join(self.types[:TABLE_ROWS])}"


PIPELINE_DIFFERS = (
    "The tag of a word is that of its first token. Of all sequences of tags the most probable one is taken "
    "in which no `I-` tag stands without its `B-`. A pipeline of transformers takes the best tag of each "
    'token by itself. With `aggregation_strategy="first"` it gives the same spans wherever these tags form a '
    'sequence. With `"simple"` tokens inside of words have tags too, which were never trained, so that spans '
    "may end inside of a word. Of texts with more tokens, a pipeline with `stride={stride}` reads all."
)
"""What a model card says of the differences between a pipeline and this package."""
