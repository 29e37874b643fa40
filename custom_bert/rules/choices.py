"""The rules by which a run decides what the user left open.

Each is a pure function of the configuration, the data and the machine, never of a timing, so that the same
command decides the same again. The caller prints every decision with its reason and stores it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from custom_bert.config import Schedule
from custom_bert.rules.schedule import Evaluations


@dataclass(frozen=True)
class Choice:
    """One decision.

    Attributes:
        name: dotted name of the field.
        value: what it became.
        reason: why, in a few words.
    """

    name: str
    value: Any
    reason: str


def vocab_size(characters: int) -> tuple[int, str]:
    """Entries of a vocabulary trained on this much text: from 8,000 up to 30,000, by its square root."""
    size = min(30_000, max(8_000, round(3.5 * math.sqrt(characters) / 1000) * 1000))
    return size, f"{characters:,} characters of text"


def shape(tokens: int) -> tuple[tuple[int, int], str]:
    """(hidden_size, num_hidden_layers) for this many training tokens."""
    for limit, hidden_and_layers in ((50_000_000, (256, 2)), (500_000_000, (256, 4))):
        if tokens < limit:
            return hidden_and_layers, _training_tokens(tokens)
    return (512, 4), _training_tokens(tokens)


def token_budget(tokens: int, *, fitting: int = 1 << 30) -> tuple[int, str]:
    """Rows of a batch: grows with the square root of the data, a power of two from 512 to 8,192, and no more
    than fit into memory.

    Args:
        tokens: of the training texts.
        fitting: rows that fit; see `fitting_rows`.
    """
    wanted = min(8192, max(512, 2 ** round(math.log2(3.3 * math.sqrt(max(1, tokens))))))
    return _fitting(wanted, fitting, _training_tokens(tokens))


def _fitting(wanted: int, fitting: int, reason: str) -> tuple[int, str]:
    if wanted > fitting:
        return fitting, f"a step of {wanted:,} rows could take more than {MEMORY_SHARE:.0%} of the memory"
    return wanted, reason


MEMORY_SHARE = 0.25
"""Of the total memory that a step's activations may take."""


def fitting_rows(bytes_per_row: int, memory: int) -> int:
    """Rows of a step whose activations stay within `MEMORY_SHARE` of the memory: a power of two, 64 or more.

    Args:
        bytes_per_row: that a step keeps for a token row; see `EncoderConfig.bytes_per_row`.
        memory: total bytes of the device that trains, the container's limit included.
    """
    return max(64, 1 << max(0, int(memory * MEMORY_SHARE) // bytes_per_row).bit_length() - 1)


def epochs(tokens: int, *, token_dropout: float = 0.0) -> tuple[int, str]:
    """Passes over the labelled data: about 4 million tokens in all, those that token dropout leaves out not
    counted; from 15 passes down to 2 (1 where the data has more than 20 million tokens), and up to 30 where
    there would be fewer than 300 batches.

    Args:
        tokens: of the training texts.
        token_dropout: share of them that a pass leaves out.
    """
    read = tokens * (1 - token_dropout)
    least = 1 if tokens > 20_000_000 else 2
    by_tokens = min(15, max(least, round(4_000_000 / read)))
    by_steps = min(30, math.ceil(300 * token_budget(tokens)[0] / read))
    reason = _training_tokens(tokens) + (f", {token_dropout:.0%} left out" if token_dropout else "")
    return max(by_tokens, by_steps), reason


def corpus_epochs(tokens: int, *, max_minutes: float | None) -> tuple[int, str]:
    """Passes over running text: 40 million tokens in all, from 40 passes down to one; where the time is
    limited, so many that the time ends them."""
    if max_minutes is not None:
        return 1000, f"until {max_minutes:g} minutes are over"
    return min(40, max(1, round(40_000_000 / tokens))), _training_tokens(tokens)


def pretrain_epochs(tokens: int) -> tuple[int, str]:
    """Passes of masked language modelling: 30 where the data has at most 80,000 tokens. None above: with
    token vectors from co-occurrences no gain was measured there (docs/LOG.md)."""
    if tokens > PRETRAIN_UP_TO:
        return 0, f"no gain measured above {PRETRAIN_UP_TO:,} training tokens"
    return 30, _training_tokens(tokens)


PRETRAIN_UP_TO = 80_000
"""Training tokens up to which masked language modelling pays within a few minutes."""


def token_dropout(mean_tokens: float) -> tuple[float, str]:
    """Share of a text's tokens to leave out in training: a long text can spare more of its words than a short
    one (docs/LOG.md). 0.1 up to 16 tokens in the mean, 0.5 from 80 on, a line between."""
    rate = round(min(0.5, max(0.1, mean_tokens / 160)), 2)
    return rate, f"texts of {mean_tokens:.0f} tokens in the mean"


def embedding_lr_factor(start: str) -> tuple[float, str]:
    """Share of the learning rate for token vectors: those that mean something already are changed gently."""
    if start == "random":
        return 1.0, "token vectors that start at random"
    if start == "checkpoint":
        return 1.0, "optim.layer_lr_decay covers token vectors"
    return 0.4, "token vectors that start from co-occurrences"


def r_drop(tokens: int, *, dropout: float) -> tuple[float, str]:
    """Weight of R-Drop: on where it pays within ten minutes on two cores (docs/LOG.md)."""
    if dropout == 0:
        return 0.0, "no dropout, so nothing to compare"
    if tokens > R_DROP_UP_TO:
        return 0.0, f"each text would pass twice; off above {R_DROP_UP_TO:,} training tokens"
    return 6.0, _training_tokens(tokens)


R_DROP_UP_TO = 80_000
"""Training tokens up to which a second pass of each text is worth its time (docs/LOG.md)."""


def _training_tokens(tokens: int) -> str:
    return f"{tokens:,} training tokens"


def learning_rate(hidden_size: int, *, pretrained: bool) -> tuple[float, str]:
    """Peak learning rate for the labels: smaller for wider models, and after pretraining."""
    rate, start = (4e-4, "after pretraining") if pretrained else (5e-4, "from scratch")
    return _by_width(rate, hidden_size), f"a width of {hidden_size}, {start}"


def finetune_learning_rate(hidden_size: int) -> tuple[float, str]:
    """Peak learning rate where a trained encoder is the start: 2e-4 at a width of 384 (measured,
    docs/LOG.md), falling with width ** 1.5 to the 7e-5 that 768 bears, and at most 4e-4."""
    rate = min(4e-4, 2e-4 * (384 / hidden_size) ** 1.5)
    return round(rate, 6), f"a trained encoder of width {hidden_size}"


def finetune_token_budget(mean_tokens: float, *, fitting: int = 1 << 30) -> tuple[int, str]:
    """Rows of a batch where a trained encoder is the start: about 32 texts, a multiple of 64, 256 to 8,192,
    and no more than fit into memory. Larger batches learn as much per pass as their steps allow, which is
    less (docs/LOG.md)."""
    wanted = min(8192, max(256, 64 * round(FINETUNE_TEXTS * mean_tokens / 64)))
    reason = f"about {FINETUNE_TEXTS} texts of {mean_tokens:.0f} tokens in the mean"
    return _fitting(wanted, fitting, reason)


FINETUNE_TEXTS = 32
"""Texts of a batch when a trained encoder is fine-tuned (Devlin et al. 2018, appendix A.3: 16 or 32)."""


def finetune_epochs(tokens: int, *, texts: int) -> tuple[int, str]:
    """Passes over the labelled data where a trained encoder is the start: 4, 3 above a million tokens and 2
    above 5 million, and up to 20 where there would be fewer than 200 batches."""
    by_tokens = 4 if tokens <= 1_000_000 else 3 if tokens <= 5_000_000 else 2
    by_steps = min(20, math.ceil(200 * FINETUNE_TEXTS / max(1, texts)))
    return max(by_tokens, by_steps), f"{texts:,} texts, {_training_tokens(tokens)}"


def schedule(*, trained: bool) -> tuple[Schedule, str]:
    """How the learning rate falls."""
    if trained:
        return "linear", "a trained encoder, as in Devlin et al. 2018"
    return "cosine", "from scratch"


def layer_lr_decay(*, trained: bool) -> tuple[float, str]:
    """Factor of the learning rate from one layer to the next below."""
    if trained:
        return 0.95, "a trained encoder: what is near the words changes least"
    return 1.0, "from scratch"


def pretrain_learning_rate(hidden_size: int, *, trained: bool) -> tuple[float, str]:
    """Peak learning rate of pretraining: smaller for wider models, and for a trained encoder that goes on."""
    if trained:
        return finetune_learning_rate(hidden_size)
    return _by_width(1e-3, hidden_size), f"a width of {hidden_size}"


def _by_width(rate: float, hidden_size: int) -> float:
    return round(rate * math.sqrt(256 / hidden_size), 6)


def eval_every(
    steps_per_epoch: int, num_epochs: int, *, trained: bool, training_tokens: int, validation_tokens: int
) -> tuple[int, str]:
    """Steps between evaluations: one an epoch, but at least 10 (of a trained encoder, which learns evenly, 4)
    and at most 20 in a run; fewer, at least 4, where they would take more than about a fifth of the time.

    Args:
        steps_per_epoch: optimizer steps.
        num_epochs: passes over the training texts.
        trained: whether a trained encoder is the start.
        training_tokens: of one pass.
        validation_tokens: of one evaluation, which costs a third of a training pass of as many.
    """
    total, wanted = steps_per_epoch * num_epochs, _evaluations(num_epochs, trained=trained)
    affordable = int(EVALUATION_SHARE * 3 * training_tokens * num_epochs / max(1, validation_tokens))
    if affordable >= wanted:
        return max(1, -(-total // wanted)), f"{total:,} steps in all"
    every = max(1, -(-total // max(4, affordable)))
    return every, f"{total:,} steps in all; an evaluation reads {validation_tokens:,} tokens"


def corpus_eval_every(tokens_per_step: int, validation_tokens: int) -> tuple[int, str]:
    """Steps between evaluations on held-out text, which then take about a twentieth of the time; 50 at
    least."""
    training = (
        validation_tokens / 3 / CORPUS_EVALUATION_SHARE
    )  # tokens, a passing of which costs 3 times as much
    every = max(50, math.ceil(training / tokens_per_step))
    return every, f"an evaluation reads {validation_tokens:,} tokens"


def _evaluations(num_epochs: int, *, trained: bool) -> int:
    return min(20, max(4 if trained else 10, num_epochs))


def evaluations_in_time(
    num_epochs: int, *, trained: bool, training_tokens: int, validation_tokens: int, share: float
) -> tuple[Evaluations, str]:
    """When to evaluate where the time ends a run: as often as `eval_every`, by shares of the time, and less
    often where evaluations would take more than `share` of it.

    Args:
        num_epochs: planned passes, which the time may not allow.
        trained: whether a trained encoder is the start.
        training_tokens: of one pass.
        validation_tokens: of one evaluation, which costs a third of a training pass of as many.
        share: of the time that evaluations may take.
    """
    wanted, pause = _evaluations(num_epochs, trained=trained), 1 / share - 1
    when = Evaluations(None, 1 / wanted, pause, pause * validation_tokens / 3 / max(1, training_tokens))
    return when, f"up to {wanted} evaluations, which take up to {share:.0%} of the time"


CORPUS_EVALUATION_SHARE = 0.05
"""Of the time of pretraining that evaluations may take."""

EVALUATION_SHARE = 0.2
"""Of the time of training that evaluations may take, as far as four of them allow."""


def log_every(total_steps: int, *, max_minutes: float | None) -> int:
    """Steps between log lines: about 100 lines in a run; 10 where the time ends it."""
    return max(1, total_steps // 100) if max_minutes is None else max(1, min(10, total_steps // 100))
