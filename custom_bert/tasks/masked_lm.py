"""Masked language modelling: an encoder learns from running text by predicting hidden tokens.

It is a task of its own (`custom-bert pretrain`), and it can be the first phase of another task, on that
task's texts (`optim.pretrain_epochs`).

Shapes: M hidden tokens, V entries of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from torch import Tensor, nn

from custom_bert.batch import Batch
from custom_bert.config import TrainConfig
from custom_bert.data.cache import Cache
from custom_bert.data.corpus import read_corpus
from custom_bert.data.loader import Transform
from custom_bert.data.running_text import RunningText
from custom_bert.data.source import Source
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.errors import ConfigError
from custom_bert.models.encoder import Encoder
from custom_bert.models.masked_lm import MaskedLanguageModel
from custom_bert.models.outline import language_model_from, language_model_outline
from custom_bert.presets import EncoderConfig
from custom_bert.rules import choices, evaluations
from custom_bert.rules.decisions import Decisions, EvaluationFacts, Facts
from custom_bert.rules.resolved import ResolvedConfig
from custom_bert.tasks.every_row import every_row, rows_of_texts
from custom_bert.tasks.parts import (
    Card,
    CardFacts,
    HeadName,
    Learning,
    Measured,
    PhaseName,
)
from custom_bert.tasks.predicting_tokens import masker, predicting_tokens
from custom_bert.tasks.task import Task
from custom_bert.tasks.token_scorer import TokenScorer

PRETRAINING: dict[str, Any] = {
    "data.max_length": 128,
    "data.long_texts": "head",
    "data.val_fraction": 0.01,
    "optim.schedule": "wsd",
    "optim.metric": "perplexity",
    "optim.embedding_lr_factor": 1.0,
    "optim.layer_lr_decay": 1.0,
    "optim.freeze_layers": 0,
    "optim.pretrain_epochs": 0,
    "optim.r_drop": 0.0,
    "optim.token_dropout": 0.0,
}
"""The task's defaults. Sequences are short, as Geiping and Goldstein 2022 (arXiv 2212.14034) advise for small
budgets. The schedule is warm-up, stable, decay (Hu et al. 2024, arXiv 2404.06395), as ModernBERT's was. The
last six belong to learning labels, and are switched off."""


@dataclass(frozen=True)
class MaskedLanguageModelling(Task):
    """The task of predicting the hidden tokens of running text."""

    name: ClassVar[str] = "masked_lm"
    phase: ClassVar[PhaseName] = "pretrain"
    head: ClassVar[HeadName] = "masked_language_model"
    keeps_stable: ClassVar[bool] = True
    predicts_tokens: ClassVar[bool] = True
    evaluation_share: ClassVar[float] = evaluations.CORPUS_EVALUATION_SHARE
    no_predictions: ClassVar[str] = (
        "a pretrained encoder, which knows no labels; custom-bert train DATA --model.init-from {directory} "
        "trains a classifier from it"
    )
    unread: ClassVar[tuple[str, ...]] = (
        *("data.train_texts", "data.train_labels", "data.val_texts", "data.val_labels"),
        *("data.test_texts", "data.test_labels"),
        *("data.table", "data.val_table", "data.test_table", "data.text_column", "data.label_column"),
        *("data.split_column", "data.group_column", "data.encoding"),
        *("data.pairs", "data.second_text_column"),
        *("data.label_separator", "data.long_texts", "ensemble"),
        *("data.label_order", "optim.regression_loss"),
        *("optim.label_smoothing", "optim.class_weights", "optim.pretrain_epochs"),
        *(
            "optim.head_init",
            "optim.r_drop",
            "optim.token_dropout",
            "optim.layer_lr_decay",
            "optim.embedding_lr_factor",
        ),
    )

    @classmethod
    def faults(cls, config: TrainConfig) -> list[str]:
        """Refuses every metric but perplexity, and pretraining without held-out text."""
        metric, faults = config.optim.metric, []
        if metric not in (None, "perplexity"):
            faults.append(f"optim.metric {metric}: task {cls.name} has perplexity")
        if config.data.val_fraction == 0:
            faults.append(f"data.val_fraction 0: task {cls.name} needs held-out text; 0.01 is its default")
        return faults

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Returns a recipe for short pretraining; see `PRETRAINING`."""
        return PRETRAINING

    @classmethod
    def read(cls, config: TrainConfig, cache: Cache) -> Source:
        """Reads running text, of which whole documents are held out to measure."""
        if not config.data.corpus:
            raise ConfigError(["config: data.corpus: masked_lm needs text files or folders of them"])
        fraction = config.data.val_fraction
        assert fraction is not None
        return RunningText(read_corpus(config.data.corpus, cache), fraction, config.seed)

    @classmethod
    def from_source(cls, source: Source, config: TrainConfig) -> Self:
        """Needs nothing from the data: the model's outputs are the tokenizer's entries."""
        return cls()

    @classmethod
    def blank(cls) -> Self:
        """Returns the same task as `from_source`."""
        return cls()

    @classmethod
    def restored(cls, directory: Path, stored: Mapping[str, Any]) -> Self:
        """Needs nothing from the directory."""
        return cls()

    def stored(self) -> dict[str, Any]:
        """Returns no keys, since encoder and tokenizer describe the model."""
        return {}

    def store(self, directory: Path) -> None:
        """Writes no files."""

    # Rules

    def token_budget(self, facts: Facts) -> tuple[int, str]:
        """Goes by the number of training tokens, also where a pretrained encoder goes on."""
        return choices.token_budget(facts.tokens, fitting=facts.fitting_rows, device=facts.device)

    def decide(self, todo: Decisions, facts: Facts) -> None:
        """Decides the number of epochs and the learning rate.

        A run that continues another one's pretraining (`facts.earlier_lr`) begins with that one's peak rate,
        since AdamW's moments are taken over too.
        """
        if not facts.can_mask:
            raise ConfigError(["config: task masked_lm: the tokenizer has no [MASK] token"])
        minutes = todo.config.optim.max_minutes
        todo.default("optim.epochs", choices.corpus_epochs(facts.tokens, max_minutes=minutes))
        if facts.earlier_lr is not None:
            todo.default("optim.lr", (facts.earlier_lr, "of the run that goes on"))
        width = facts.encoder.hidden_size
        todo.default("optim.lr", choices.pretrain_learning_rate(width, pretrained=facts.pretrained))

    def eval_every(self, facts: EvaluationFacts) -> tuple[int, str]:
        """Lets evaluations take about a twentieth of the time."""
        return evaluations.corpus_eval_every(facts.tokens_per_step, facts.validation_tokens)

    # Learning

    @property
    def num_outputs(self) -> int:
        """0: the outputs belong to tokens, and there are none for a whole text."""
        return 0

    def model(self, config: EncoderConfig, tensors: dict[str, Tensor] | None = None) -> MaskedLanguageModel:
        """Returns an encoder with a prediction head, which is drawn where `tensors` lacks a part of it."""
        if tensors is None:
            return MaskedLanguageModel(Encoder(config))
        return language_model_from(config, tensors)

    def outline(self, config: EncoderConfig) -> MaskedLanguageModel:
        """Returns the language model on the meta device."""
        return language_model_outline(config)

    def learning(self, config: ResolvedConfig, source: Source, tokenizer: TextTokenizer) -> Learning:
        """Predicts hidden tokens, with other tokens hidden in each epoch."""
        optim = config.optim
        return predicting_tokens(
            config, tokenizer, lr=optim.lr, epochs=optim.epochs, seed=config.seed, evaluates=True
        )

    def measuring(self, config: ResolvedConfig, tokenizer: TextTokenizer) -> Transform:
        """Hides the same tokens in every evaluation, so that their results can be compared."""
        return Transform(masker=masker(config, tokenizer, config.seed))

    # Measuring

    def kept_by(self, config: ResolvedConfig) -> str:
        """Returns what `worth` is, in words."""
        return "1 / perplexity"

    def worth(self, measured: Measured, config: ResolvedConfig) -> float:
        """Returns 1 / perplexity, since a low perplexity is good."""
        return 1 / measured.numbers["perplexity"]

    def scorer(self, thresholds_C: np.ndarray | None) -> TokenScorer:
        """Returns a scorer of hidden tokens."""
        return TokenScorer()

    def targets_of(self, lines: Iterable[str]) -> Iterator[np.ndarray]:
        """Is never called, since the model has no outputs for texts (`num_outputs` is 0)."""
        raise AssertionError("a model without outputs for texts was asked for its targets")

    # In other libraries

    def published(self, model: nn.Module) -> dict[str, Any]:
        """Says that the prediction head shares the token table, as our model does."""
        return {"tie_word_embeddings": True}

    def card(self, encoder: EncoderConfig, model: nn.Module, about: CardFacts) -> Card:
        """Shows a fill-mask pipeline."""
        mask = about.tokenizer.special_tokens().get("mask_token", "")
        return Card(
            "fill-mask",
            f"An encoder pretrained by masked language modelling: {encoder.num_hidden_layers} layers, "
            f"{encoder.hidden_size} wide, sequences of up to {about.max_length} tokens",
            (),
            (
                "from transformers import pipeline",
                "",
                f'pipeline("fill-mask", "{about.name}")("one word of this is {mask}")',
            ),
        )

    def results(self, record: Mapping[str, Any]) -> str:
        """Returns accuracy and perplexity on the held-out tokens, in a sentence."""
        validation = record["validation"]
        return (
            f"On {record['data']['val_tokens']:,} held-out tokens: accuracy of masked tokens "
            f"{validation['accuracy']:.4f}, perplexity {validation['perplexity']:.2f}."
        )

    def amounts(self, record: Mapping[str, Any]) -> str:
        """Returns the numbers of documents and tokens, and the share of tokens that were hidden."""
        data = record["data"]
        return (
            f"{data['documents']:,} documents ({data['train_tokens']:,} tokens), with "
            f"{record['config']['optim.mask_rate']:.0%} of the tokens hidden"
        )

    def every_output(self, batch: Batch) -> Batch:
        """Returns the batch with every token as a target, so that every row gets logits."""
        return every_row(batch)

    def split_outputs(self, outputs: Tensor, lengths: Sequence[int]) -> Sequence[Tensor]:
        """Returns for each text the (length, V) logits of its tokens. Rows of filler stand at the end."""
        return rows_of_texts(outputs, lengths)
