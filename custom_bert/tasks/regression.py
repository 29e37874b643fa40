"""Regression: each text has a number, or several.

The model computes on a scale on which the training numbers have the mean 0 and the standard deviation 1.
Everything that people see is in the unit of the label files. An export has the scale in its last layer.

Shapes: N texts, K numbers of a text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from custom_bert.batch import Targets
from custom_bert.config import TrainConfig
from custom_bert.data.dataset import Dataset
from custom_bert.data.label_files import LabelReader
from custom_bert.data.labelled_texts import LabelledTexts
from custom_bert.data.number_files import NumberReader, parsed_numbers
from custom_bert.data.numbers import Numbers
from custom_bert.data.source import Source
from custom_bert.decoding.numbers import NumberDecoder
from custom_bert.floor.aside import Fit
from custom_bert.floor.linear import fit_numbers
from custom_bert.phrases import counted
from custom_bert.presets import EncoderConfig
from custom_bert.rules.resolved import ResolvedConfig
from custom_bert.tasks.class_weights import Copies
from custom_bert.tasks.number_scorer import NumberScorer
from custom_bert.tasks.parts import Card, CardFacts, LabelLineError, Measured, Objective
from custom_bert.tasks.text_task import TextTask
from custom_bert.tasks.worth import worth_in_words, worth_of

DELTA = 1.0
"""The error, on the scale of the training numbers, from which on Huber's loss grows linearly."""


@dataclass(frozen=True)
class NumberLoss:
    """The squared error, or Huber's loss, of each number of each text, multiplied by the text's weight.

    A step divides by texts times numbers, as transformers does for regression.

    Attributes:
        mean_K: (K,) float64 the mean of the training numbers.
        std_K: (K,) float64 their standard deviation.
        kind: mse, or huber (Huber 1964), which is half the square up to `DELTA` and linear from there on.
        r_drop: the weight of the squared difference of two passes of a text (Liang et al. 2021, arXiv
            2106.14448, as the authors do for numbers); 0 for none. Otherwise the batch holds each text twice,
            the copies side by side.
    """

    mean_K: Tensor
    std_K: Tensor
    kind: Literal["mse", "huber"] = "mse"
    r_drop: float = 0.0

    def loss_sum(self, output: Tensor, targets: Targets) -> Tensor:
        """Returns the sum over texts and numbers; `output` is (N, K) on the scale of the training numbers,
        the targets are in the user's unit."""
        output = output if output.dtype is torch.float64 else output.float()
        mean_K, std_K = (copies.beside(targets.values) for copies in self._copies)
        wanted = ((targets.values - mean_K) / std_K).to(output.dtype)
        if self.kind == "huber":
            losses_NK = F.huber_loss(output, wanted, reduction="none", delta=DELTA)
        else:
            losses_NK = (output - wanted).square()
        weights_N = targets.weights_N
        loss = (losses_NK if weights_N is None else losses_NK * weights_N[:, None]).sum()
        if self.r_drop:
            first_NK, second_NK = output.view(-1, 2, output.shape[-1]).unbind(1)
            apart_NK = (first_NK - second_NK).square()
            apart = (apart_NK if weights_N is None else apart_NK * weights_N[::2, None]).sum()
            loss = loss + self.r_drop / 2 * apart
        return loss

    @cached_property
    def _copies(self) -> tuple[Copies, Copies]:
        return Copies(self.mean_K), Copies(self.std_K)

    def weight(self, targets: Targets) -> Tensor | float:
        """Returns the number of texts, or the sum of their weights, times the numbers of a text."""
        outputs = len(self.mean_K)
        weights_N = targets.weights_N
        return float(len(targets) * outputs) if weights_N is None else weights_N.sum() * outputs


@dataclass(frozen=True)
class Regression(TextTask):
    """The task in which each text has K numbers.

    Attributes:
        mean: the mean of each of the K training numbers.
        std: their standard deviations, above 0.
        separator: the characters between the numbers of a line.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    separator: str = "\t"

    name: ClassVar[str] = "regression"
    unread: ClassVar[tuple[str, ...]] = (
        *("data.corpus", "data.label_order", "optim.label_smoothing", "optim.class_weights"),
    )
    measures: ClassVar[tuple[str, ...]] = ("r2", "mae", "rmse", "pearson", "spearman")
    probes: ClassVar[bool] = False  # the weights of a linear fit are large: under dropout the loss explodes
    card_title: ClassVar[str] = "A model that predicts numbers for texts"
    problem_type: ClassVar[str] = "regression"

    @classmethod
    def reader(cls, config: TrainConfig) -> LabelReader:
        """Returns a reader of label files whose lines hold numbers."""
        return NumberReader(config.data.label_separator)

    @classmethod
    def from_source(cls, source: Source, config: TrainConfig) -> Self:
        """Takes the scale of the training lines, and the separator of the settings."""
        assert isinstance(source, LabelledTexts)
        targets = source.dataset.train.targets
        assert isinstance(targets, Numbers)
        mean_K, std_K = targets.scale()
        # a number that the training lines hold only once in another value may lose it to validation
        std_K = np.where(std_K > 0, std_K, 1.0)
        return cls(tuple(mean_K.tolist()), tuple(std_K.tolist()), config.data.label_separator)

    @classmethod
    def blank(cls) -> Self:
        """Has one number on its own scale."""
        return cls()

    @classmethod
    def restored(cls, directory: Path, stored: Mapping[str, Any]) -> Self:
        """Reads the scale and the separator from config.json.

        Raises:
            RunError: if one of the two is missing or damaged.
        """
        decoder = NumberDecoder.restored(directory, stored, None)
        return cls(decoder.mean, decoder.std, decoder.separator)

    @property
    def num_outputs(self) -> int:
        """K, the number of numbers of a text."""
        return len(self.mean)

    @property
    def mean_K(self) -> np.ndarray:
        """(K,) float64 the mean of the training numbers."""
        return self.decoder(None).mean_K

    @property
    def std_K(self) -> np.ndarray:
        """(K,) float64 the standard deviation of the training numbers."""
        return self.decoder(None).std_K

    def loss(self, config: ResolvedConfig, source: Source) -> Objective:
        """Returns the loss that `optim.regression_loss` names, on the scale of the training numbers."""
        mean_K, std_K = torch.from_numpy(self.mean_K), torch.from_numpy(self.std_K)
        return NumberLoss(mean_K, std_K, config.optim.regression_loss, config.optim.r_drop)

    def kept_by(self, config: ResolvedConfig) -> str:
        """Returns the measure, as a number that is higher where the model is better."""
        return worth_in_words(config.optim.metric)

    def worth(self, measured: Measured, config: ResolvedConfig) -> float:
        """Returns the measure that `optim.metric` names, turned round if it should be low."""
        return worth_of(config.optim.metric, super().worth(measured, config))

    def floor_of(self, data: Dataset, rows_N: np.ndarray, config: ResolvedConfig) -> Fit:
        """Returns a ridge regression on n-grams, whose scores are on the scale of the training numbers."""
        targets = data.train.targets
        scaled_NK = (targets.values(rows_N) - self.mean_K) / self.std_K
        texts = list(data.train.texts(rows_N))
        return partial(fit_numbers, texts, scaled_NK, weights_N=targets.weights(rows_N))

    def scorer(self, thresholds_C: np.ndarray | None) -> NumberScorer:
        """Returns a scorer that measures in the user's unit."""
        return NumberScorer(self.mean_K, self.std_K)

    def decoder(self, thresholds_C: np.ndarray | None) -> NumberDecoder:
        """Returns the decoder of numbers in the user's unit."""
        return NumberDecoder(self.mean, self.std, self.separator)

    def targets_of(self, lines: Iterable[str]) -> Iterator[np.ndarray]:
        """Yields (K,) float64 the numbers of each line."""
        for i, line in enumerate(lines):
            try:
                numbers = parsed_numbers(line, self.separator)
            except ValueError as error:
                raise LabelLineError(i, str(error)) from None
            if len(numbers) != self.num_outputs:
                raise LabelLineError(
                    i, f"{len(numbers):,} numbers, while the model predicts {self.num_outputs:,}"
                )
            yield np.array(numbers, dtype=np.float64)

    def published(self, model: nn.Module) -> dict[str, Any]:
        """Returns the type of the problem, Hugging Face's own names for K outputs, and what stands between
        the numbers of a line."""
        names = [f"LABEL_{i}" for i in range(self.num_outputs)]
        return {
            "id2label": {str(i): name for i, name in enumerate(names)},
            "label2id": {name: i for i, name in enumerate(names)},
            "problem_type": self.problem_type,
            "label_separator": self.separator,
        }

    def published_tensors(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the tensors with the scale in the last layer, so that it computes in the user's unit."""
        std_K, mean_K = torch.from_numpy(self.std_K), torch.from_numpy(self.mean_K)
        weight_KD, bias_K = (state[f"head.projection.{name}"].double() for name in ("weight", "bias"))
        scaled = {"weight": weight_KD * std_K[:, None], "bias": bias_K * std_K + mean_K}
        return {**state, **{f"head.projection.{name}": one.float() for name, one in scaled.items()}}

    def published_outputs(self, outputs: Tensor) -> Tensor:
        """Returns the numbers in the user's unit."""
        return outputs * torch.from_numpy(self.std_K) + torch.from_numpy(self.mean_K)

    def published_task(self) -> Regression:
        """Returns the task with the scale of a model that computes in the user's unit: none."""
        return replace(self, mean=(0.0,) * self.num_outputs, std=(1.0,) * self.num_outputs)

    def card(self, encoder: EncoderConfig, model: nn.Module, about: CardFacts) -> Card:
        """Says how to get the numbers: a pipeline gives one of them, or all with `top_k`."""
        several = self.num_outputs > 1
        return Card(
            "text-classification",
            f"{self.card_title}, {counted(self.num_outputs, 'number')} each: "
            f"{encoder.num_hidden_layers} layers, {encoder.hidden_size} wide, "
            f"{about.texts} of up to {about.max_length} tokens",
            ("The outputs are the numbers themselves, in the unit of the training data.",),
            (
                "from transformers import pipeline",
                "",
                f'predict = pipeline("text-classification", "{about.name}", truncation=True, '
                f'function_to_apply="none"{", top_k=None" if several else ""})',
                f"print(predict({about.example}))",
            ),
        )

    def results(self, record: Mapping[str, Any]) -> str:
        """Returns R2, errors and Pearson's correlation on the validation texts, in a sentence."""
        validation, texts = record["validation"], record["data"]["val_examples"]
        return (
            f"On {texts:,} validation texts: R2 {validation['r2']:.4f}, mean absolute error "
            f"{validation['mae']:.4g}, Pearson {validation['pearson']:.4f}."
        )

    def summary(self) -> str:
        """Returns the number of outputs."""
        return f"{counted(self.num_outputs, 'number')} in the unit of the training data"
