"""Masked language modelling: an encoder learns from running text by predicting hidden tokens.

Shapes: T rows, M hidden tokens, V vocabulary.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Self

import numpy as np
import torch
from torch import Tensor, nn

from custom_bert.batch import Batch, Targets
from custom_bert.config import TrainConfig
from custom_bert.data.cache import Cache
from custom_bert.data.corpus import read_corpus
from custom_bert.data.loader import Transform
from custom_bert.data.masking import Masker
from custom_bert.data.running_text import RunningText
from custom_bert.data.source import Source
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.errors import ConfigError
from custom_bert.models.encoder import Encoder
from custom_bert.models.masked_lm import MaskedLanguageModel
from custom_bert.models.outline import language_model_from, language_model_outline
from custom_bert.ops.losses import cross_entropy_sum
from custom_bert.presets import EncoderConfig
from custom_bert.rules import choices
from custom_bert.rules.decisions import Decisions, EvaluationFacts, Facts
from custom_bert.rules.resolved import ResolvedConfig
from custom_bert.tasks.task import (
    ALONE,
    Card,
    CardFacts,
    Gathering,
    HeadName,
    Learning,
    Measured,
    PhaseName,
    Prediction,
    Task,
)

PRETRAINING: dict[str, Any] = {
    "data.max_length": 128,
    "data.val_fraction": 0.01,
    "optim.schedule": "wsd",
    "optim.metric": "perplexity",
    "optim.embedding_lr_factor": 1.0,
    "optim.layer_lr_decay": 1.0,
    "optim.pretrain_epochs": 0,
    "optim.r_drop": 0.0,
    "optim.token_dropout": 0.0,
}
"""Defaults: short sequences and no dropout, as Geiping and Goldstein 2022 (arXiv 2212.14034) advise for small
budgets; warm-up, stable, decay (Hu et al. 2024, arXiv 2404.06395; ModernBERT)."""

PRETRAIN_SEED = 1
"""Added to a run's seed where language modelling precedes its task, so that it sees batches in another
order."""


class TokenCrossEntropy:
    """Cross-entropy of each hidden token."""

    def loss_sum(self, output: Tensor, targets: Targets) -> Tensor:
        """`output` is that sum; see `MaskedLanguageModel`."""
        assert output.dim() == 0, "the model is not in training mode"
        return output

    def weight(self, targets: Targets) -> float:
        """Hidden tokens."""
        return float(len(targets))


@dataclass(frozen=True)
class TokensMeasured:
    """An evaluation of predicted tokens.

    Attributes:
        loss: mean cross-entropy, in nats a token.
        accuracy: share of the hidden tokens that are predicted.
    """

    loss: float
    accuracy: float

    @property
    def scores(self) -> None:
        """There are no classes."""
        return None

    @property
    def perplexity(self) -> float:
        """exp(loss): the pseudo-perplexity of the text under this masking (Salazar et al. 2020, arXiv
        1910.14659, who hide one token at a time)."""
        return math.exp(min(self.loss, 700.0))

    @property
    def numbers(self) -> dict[str, float]:
        """Accuracy and perplexity."""
        return {"accuracy": self.accuracy, "perplexity": self.perplexity}

    def as_dict(self) -> dict[str, Any]:
        """The same."""
        return dict(self.numbers)

    def lines(self) -> list[str]:
        """One line."""
        return [f"accuracy {self.accuracy:.4f}  perplexity {self.perplexity:.4f}  loss {self.loss:.4f}"]


class TokenScorer:
    """Counts predicted tokens; see `tasks.task.Scorer`."""

    def __init__(self) -> None:
        self._loss = self._right = 0.0
        self._targets = 0

    def add(self, outputs: Tensor, targets: Targets) -> None:
        """Counts a batch of logits, (M, V), and tokens, (M,)."""
        self._loss += float(cross_entropy_sum(outputs, targets.values))
        self._right += float((outputs.argmax(-1) == targets.values).sum())
        self._targets += len(targets)

    def measured(self, gathering: Gathering = ALONE) -> TokensMeasured:
        """What was measured, of all processes."""
        sums = torch.tensor([self._loss, self._right, self._targets], dtype=torch.float64)
        loss, right, targets = gathering.total(sums).tolist()
        assert targets, "a source refuses held-out texts without a token to hide"
        return TokensMeasured(loss / targets, right / targets)


def masker(config: ResolvedConfig, tokenizer: TextTokenizer, seed: int) -> Masker:
    """Hides tokens as the run's settings say."""
    assert tokenizer.mask_id is not None, "settings that mask are refused without a mask token"
    return Masker(
        tokenizer.mask_id,
        (*tokenizer.special_ids, *tokenizer.unused_ids),
        tokenizer.vocab_size,
        config.optim.mask_rate,
        seed,
        tokenizer.continues_V if config.optim.whole_words else None,
    )


def predicting_tokens(
    config: ResolvedConfig, tokenizer: TextTokenizer, *, lr: float, epochs: int, seed: int, evaluates: bool
) -> Learning:
    """How a phase learns that predicts hidden tokens: without dropout, as Geiping and Goldstein 2022 (arXiv
    2212.14034) advise for short pretraining. Masking is noise enough."""
    return Learning(
        objective=TokenCrossEntropy(),
        transform=Transform(masker=masker(config, tokenizer, seed)),
        lr=lr,
        epochs=epochs,
        seed=seed,
        dropout=False,
        evaluates=evaluates,
    )


def before_the_task(config: ResolvedConfig, tokenizer: TextTokenizer) -> Learning:
    """How the phase learns that precedes another task, on the texts of that task."""
    return predicting_tokens(
        config,
        tokenizer,
        lr=choices.pretrain_learning_rate(
            config.model.hidden_size, trained=config.model.init_from is not None
        )[0],
        epochs=config.optim.pretrain_epochs,
        seed=config.seed + PRETRAIN_SEED,
        evaluates=False,
    )


@dataclass(frozen=True)
class MaskedLanguageModelling(Task):
    """Hidden tokens of running text."""

    name: ClassVar[str] = "masked_lm"
    phase: ClassVar[PhaseName] = "pretrain"
    head: ClassVar[HeadName] = "masked_language_model"
    keeps_stable: ClassVar[bool] = True
    predicts_tokens: ClassVar[bool] = True
    evaluation_share: ClassVar[float] = choices.CORPUS_EVALUATION_SHARE
    silence: ClassVar[str] = (
        "a pretrained encoder, which knows no labels; custom-bert train DATA --model.init-from {directory} "
        "trains a classifier from it"
    )
    unread: ClassVar[tuple[str, ...]] = (
        *("data.train_texts", "data.train_labels", "data.val_texts", "data.val_labels"),
        *("data.label_separator", "data.long_texts"),
        *("optim.label_smoothing", "optim.class_weights", "optim.pretrain_epochs"),
        *("optim.r_drop", "optim.token_dropout", "optim.layer_lr_decay", "optim.embedding_lr_factor"),
    )

    @classmethod
    def faults(cls, config: TrainConfig) -> list[str]:
        """See `Task`."""
        metric = config.optim.metric
        if metric in (None, "perplexity"):
            return []
        return [f"optim.metric {metric}: task {cls.name} has perplexity"]

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """See `Task`."""
        return PRETRAINING

    @classmethod
    def read(cls, config: TrainConfig, cache: Cache) -> Source:
        """See `Task`."""
        if not config.data.corpus:
            raise ConfigError(["config: data.corpus: masked_lm needs text files or folders of them"])
        fraction = config.data.val_fraction
        assert fraction is not None
        return RunningText(read_corpus(config.data.corpus, cache), fraction, config.seed)

    @classmethod
    def of(cls, source: Source, config: TrainConfig) -> Self:
        """See `Task`."""
        return cls()

    @classmethod
    def blank(cls) -> Self:
        """See `Task`."""
        return cls()

    @classmethod
    def restored(cls, directory: Path, stored: Mapping[str, Any]) -> Self:
        """See `Task`."""
        return cls()

    def stored(self) -> dict[str, Any]:
        """Nothing beside the encoder."""
        return {}

    def store(self, directory: Path) -> None:
        """Nothing beside the encoder."""

    # Rules

    def token_budget(self, facts: Facts) -> tuple[int, str]:
        """See `Task`."""
        return choices.token_budget(facts.tokens, fitting=facts.fitting_rows)

    def decide(self, todo: Decisions, facts: Facts) -> None:
        """See `Task`."""
        if not facts.can_mask:
            raise ConfigError(["config: task masked_lm: the tokenizer has no [MASK] token"])
        minutes = todo.config.optim.max_minutes
        todo.default("optim.epochs", choices.corpus_epochs(facts.tokens, max_minutes=minutes))
        if facts.begun_at is not None:
            todo.default("optim.lr", (facts.begun_at, "of the run that goes on"))
        width = facts.encoder.hidden_size
        todo.default("optim.lr", choices.pretrain_learning_rate(width, trained=facts.trained))

    def eval_every(self, facts: EvaluationFacts) -> tuple[int, str]:
        """See `Task`."""
        return choices.corpus_eval_every(facts.tokens_per_step, facts.validation_tokens)

    # Learning

    @property
    def num_outputs(self) -> int:
        """It says nothing about texts."""
        return 0

    def model(self, config: EncoderConfig, tensors: dict[str, Tensor] | None = None) -> MaskedLanguageModel:
        """See `Task`."""
        if tensors is None:
            return MaskedLanguageModel(Encoder(config))
        return language_model_from(config, tensors)

    def outline(self, config: EncoderConfig) -> MaskedLanguageModel:
        """See `Task`."""
        return language_model_outline(config)

    def learning(
        self, config: ResolvedConfig, source: Source, tokenizer: TextTokenizer, device: torch.device
    ) -> Learning:
        """See `Task`."""
        optim = config.optim
        return predicting_tokens(
            config, tokenizer, lr=optim.lr, epochs=optim.epochs, seed=config.seed, evaluates=True
        )

    def measuring(self, config: ResolvedConfig, tokenizer: TextTokenizer) -> Transform:
        """The same tokens are hidden in every evaluation."""
        return Transform(masker=masker(config, tokenizer, config.seed))

    # Measuring

    def metric(self, config: ResolvedConfig) -> str:
        """Perplexity, the lower the better."""
        return config.optim.metric

    def worth(self, measured: Measured, config: ResolvedConfig) -> float:
        """1 / perplexity, which accuracy follows with more noise."""
        return 1 / measured.numbers["perplexity"]

    def scorer(self, model: nn.Module) -> TokenScorer:
        """See `Task`."""
        return TokenScorer()

    # What it says of texts: nothing

    def _says_nothing(self) -> NoReturn:
        raise AssertionError("nobody asks a model without outputs for texts")

    def probabilities(self, outputs_NK: np.ndarray) -> np.ndarray:
        """There are none of texts."""
        self._says_nothing()

    def predictions(
        self, probabilities_NK: np.ndarray, model: nn.Module, *, every: bool
    ) -> Iterator[Prediction]:
        """There are none of texts."""
        self._says_nothing()

    def targets_of(self, lines: Iterable[str]) -> Iterator[np.ndarray]:
        """There are none of texts."""
        self._says_nothing()

    # In other libraries

    def published(self, model: nn.Module) -> dict[str, Any]:
        """See `Task`."""
        return {"tie_word_embeddings": True}

    def card(self, encoder: EncoderConfig, model: nn.Module, about: CardFacts) -> Card:
        """See `Task`."""
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
        """See `Task`."""
        validation = record["validation"]
        return (
            f"On {record['data']['val_tokens']:,} held-out tokens: accuracy of masked tokens "
            f"{validation['accuracy']:.4f}, perplexity {validation['perplexity']:.2f}."
        )

    def amounts(self, record: Mapping[str, Any]) -> str:
        """See `Task`."""
        data = record["data"]
        return (
            f"{data['documents']:,} documents ({data['train_tokens']:,} tokens), with "
            f"{record['config']['optim.mask_rate']:.0%} of the tokens hidden"
        )

    def every_output(self, batch: Batch) -> Batch:
        """With every row to be predicted."""
        every = torch.arange(batch.num_rows)
        return dataclasses.replace(batch, targets=Targets(batch.input_ids_T, every))

    def split_outputs(self, outputs: Tensor, lengths: Sequence[int]) -> Sequence[Tensor]:
        """(length, V) of each text."""
        return torch.split(outputs, list(lengths))
