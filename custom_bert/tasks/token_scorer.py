"""The loss and the measures of predicting hidden tokens.

Shapes: M hidden tokens, V entries of the vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from custom_bert.batch import Targets
from custom_bert.ops.losses import cross_entropy_sum
from custom_bert.tasks.parts import ONE_PROCESS, Gathering


class TokenCrossEntropy:
    """Cross-entropy of each hidden token.

    In training mode the model returns the loss itself, so that logits exist for a few tokens at a time only.
    """

    def loss_sum(self, output: Tensor, targets: Targets) -> Tensor:
        """Returns `output`, which is the sum already; see `MaskedLanguageModel`."""
        assert output.dim() == 0, "the model is not in training mode"
        return output

    def weight(self, targets: Targets) -> float:
        """Returns the number of hidden tokens."""
        return float(len(targets))


@dataclass(frozen=True)
class TokensMeasured:
    """The result of evaluating a masked language model.

    Attributes:
        loss: the mean cross-entropy of a hidden token, in nats.
        accuracy: the share of the hidden tokens that are predicted right.
    """

    loss: float
    accuracy: float

    @property
    def scores(self) -> None:
        """None, because there are no classes."""
        return None

    @property
    def perplexity(self) -> float:
        """exp(loss), the pseudo-perplexity of the text under this masking.

        Salazar et al. 2020 (arXiv 1910.14659) hide one token at a time. Here `optim.mask_rate` of them are
        hidden together, so that figures can be compared only at one rate.
        """
        # exp overflows above 709
        return math.exp(min(self.loss, 700.0))

    @property
    def numbers(self) -> dict[str, float]:
        """Accuracy as a fraction, and perplexity."""
        return {"accuracy": self.accuracy, "perplexity": self.perplexity}

    @property
    def weighted_numbers(self) -> dict[str, float]:
        """The same numbers, since tokens have no weights."""
        return self.numbers

    def as_dict(self) -> dict[str, Any]:
        """Returns `numbers`, since there is nothing for each class."""
        return dict(self.numbers)

    def lines(self) -> list[str]:
        """Returns accuracy, perplexity and loss on one line."""
        return [f"accuracy {self.accuracy:.4f}  perplexity {self.perplexity:.4f}  loss {self.loss:.4f}"]


class TokenScorer:
    """Counts the hidden tokens that are predicted right."""

    def __init__(self) -> None:
        self._loss = self._right = 0.0
        self._targets = 0

    def add(self, outputs: Tensor, targets: Targets) -> None:
        """Counts a batch of (M, V) logits and (M,) ids of the hidden tokens."""
        self._loss += float(cross_entropy_sum(outputs, targets.values))
        self._right += float((outputs.argmax(-1) == targets.values).sum())
        self._targets += len(targets)

    def measured(self, gathering: Gathering = ONE_PROCESS) -> TokensMeasured:
        """Returns the result over the batches of all processes."""
        sums = torch.tensor([self._loss, self._right, self._targets], dtype=torch.float64)
        loss, right, targets = gathering.total(sums).tolist()
        assert targets, "a source refuses held-out texts without a token to hide"
        return TokensMeasured(loss / targets, right / targets)
