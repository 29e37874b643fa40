"""The rules by which a run decides what the user left open.

Each rule is a pure function of the configuration, the data and the machine. No rule reads a timing, so that
the same command decides the same again. A rule returns a value and the reason, and the caller stores and
prints both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from custom_bert.config import HeadInit, Schedule


@dataclass(frozen=True)
class Choice:
    """A value that a rule has chosen for a setting.

    Attributes:
        name: the dotted name of the field.
        value: the value that was chosen.
        reason: the reason, in a few words.
    """

    name: str
    value: Any
    reason: str


def vocab_size(characters: int) -> tuple[int, str]:
    """Returns the size of a vocabulary: it grows with the square root of the text, from 8,000 to 30,000
    entries."""
    size = min(30_000, max(8_000, round(3.5 * math.sqrt(characters) / 1000) * 1000))
    return size, f"{characters:,} characters of text"


def shape(tokens: int) -> tuple[tuple[int, int], str]:
    """Returns (hidden_size, num_hidden_layers) for a number of training tokens."""
    for limit, hidden_and_layers in ((50_000_000, (256, 2)), (500_000_000, (256, 4))):
        if tokens < limit:
            return hidden_and_layers, _training_tokens(tokens)
    return (512, 4), _training_tokens(tokens)


MOST_ROWS = {"cpu": 8192, "cuda": 131_072}
"""The largest number of rows of a step by device. On a CPU more rows make a step longer and no faster. A GPU
computes 131,072 rows of a small encoder in the time in which the host prepares a step."""


def token_budget(tokens: int, *, fitting: int = 1 << 30, device: str = "cpu") -> tuple[int, str]:
    """Returns the number of rows in a batch: a power of two from 512 to `MOST_ROWS`, which grows with the
    square root of the data, and no more than fit into memory. So little data has small batches on a GPU too,
    since it needs the steps.

    Args:
        tokens: the number of tokens in the training texts.
        fitting: the number of rows that fit into memory; see `fitting_rows`.
        device: the kind of device that trains.
    """
    wanted = min(MOST_ROWS[device], max(512, 2 ** round(math.log2(3.3 * math.sqrt(max(1, tokens))))))
    return _fitting(wanted, fitting, _training_tokens(tokens))


def _fitting(wanted: int, fitting: int, reason: str) -> tuple[int, str]:
    if wanted > fitting:
        return fitting, f"a step of {wanted:,} rows could take more than {MEMORY_SHARE:.0%} of the memory"
    return wanted, reason


MEMORY_SHARE = 0.25
"""The share of the memory that a step's activations may take."""


def fitting_rows(bytes_per_row: int, memory: int) -> int:
    """Returns how many rows a step may have so that its activations stay within `MEMORY_SHARE` of the memory:
    a power of two, 64 or more.

    Args:
        bytes_per_row: the bytes that a step keeps for a row; see `EncoderConfig.bytes_per_row`.
        memory: the bytes of memory of the device that trains, within the limit of a container.
    """
    return max(64, 1 << max(0, int(memory * MEMORY_SHARE) // bytes_per_row).bit_length() - 1)


def epochs(tokens: int, *, token_dropout: float = 0.0) -> tuple[int, str]:
    """Returns the number of epochs over labelled data: so many that about 4 million tokens are read in all,
    without those that token dropout leaves out. It is at most 15 and at least 2, or 1 if the data has more
    than 20 million tokens. It is up to 30 if there would be fewer than 300 batches.

    Args:
        tokens: the number of tokens in the training texts.
        token_dropout: the share of them that an epoch leaves out.
    """
    read = tokens * (1 - token_dropout)
    least = 1 if tokens > 20_000_000 else 2
    by_tokens = min(15, max(least, round(4_000_000 / read)))
    by_steps = min(30, math.ceil(300 * token_budget(tokens)[0] / read))
    reason = _training_tokens(tokens) + (f", {token_dropout:.0%} left out" if token_dropout else "")
    return max(by_tokens, by_steps), reason


def corpus_epochs(tokens: int, *, max_minutes: float | None) -> tuple[int, str]:
    """Returns the number of epochs over running text: so many that 40 million tokens are read in all, from 1
    to 40. If the time is limited, it is so large that the time ends the run."""
    if max_minutes is not None:
        return 1000, f"until {max_minutes:g} minutes are over"
    return min(40, max(1, round(40_000_000 / tokens))), _training_tokens(tokens)


def pretrain_epochs(tokens: int) -> tuple[int, str]:
    """Returns the number of epochs of masked language modelling before the labels are learned: 30 if the data
    has at most 80,000 tokens, else 0. Above that no gain was measured over token vectors from co-occurrences
    (docs/log/0005).
    """
    if tokens > PRETRAIN_UP_TO:
        return 0, f"no gain measured above {PRETRAIN_UP_TO:,} training tokens"
    return 30, _training_tokens(tokens)


PRETRAIN_UP_TO = 80_000
"""The number of training tokens up to which masked language modelling pays within a few minutes."""


def token_dropout(mean_tokens: float) -> tuple[float, str]:
    """Returns the share of a text's tokens to leave out in training. A long text can spare more of its words
    than a short one (docs/log/0006): the share is 0.1 up to a mean of 16 tokens, 0.5 from 80 tokens on, and
    linear between.
    """
    rate = round(min(0.5, max(0.1, mean_tokens / 160)), 2)
    return rate, f"texts of {mean_tokens:.0f} tokens in the mean"


def embedding_lr_factor(start: str) -> tuple[float, str]:
    """Returns the share of the learning rate for token vectors. Those that start from co-occurrences mean
    something already, and are changed slowly."""
    if start == "random":
        return 1.0, "token vectors that start at random"
    if start == "checkpoint":
        return 1.0, "optim.layer_lr_decay covers token vectors"
    return 0.4, "token vectors that start from co-occurrences"


def r_drop(tokens: int, *, dropout: float) -> tuple[float, str]:
    """Returns the weight of R-Drop, which is 0 where it does not pay within ten minutes on two cores
    (docs/log/0005)."""
    if dropout == 0:
        return 0.0, "no dropout, so nothing to compare"
    if tokens > R_DROP_UP_TO:
        return 0.0, f"each text would pass twice; off above {R_DROP_UP_TO:,} training tokens"
    return 6.0, _training_tokens(tokens)


R_DROP_UP_TO = 80_000
"""The number of training tokens up to which a second pass of each text is worth its time (docs/log/0005)."""


def _training_tokens(tokens: int) -> str:
    return f"{tokens:,} training tokens"


def learning_rate(hidden_size: int, *, after_pretraining: bool) -> tuple[float, str]:
    """Returns the peak learning rate for labels: smaller for wider models, and after pretraining."""
    rate, start = (4e-4, "after pretraining") if after_pretraining else (5e-4, "from scratch")
    return _by_width(rate, hidden_size), f"a width of {hidden_size}, {start}"


def finetune_learning_rate(hidden_size: int) -> tuple[float, str]:
    """Returns the peak learning rate for a pretrained encoder: 2e-4 at a width of 384 (measured,
    docs/log/0008). It falls with width ** 1.5, to 7e-5 at a width of 768, and is at most 4e-4."""
    rate = min(4e-4, 2e-4 * (384 / hidden_size) ** 1.5)
    return round(rate, 6), f"a pretrained encoder of width {hidden_size}"


def finetune_token_budget(mean_tokens: float, *, fitting: int = 1 << 30) -> tuple[int, str]:
    """Returns the number of rows in a batch for a pretrained encoder: about 32 texts, a multiple of 64 from
    256 to 8,192, and no more than fit into memory. With larger batches an epoch has fewer steps, and learns
    less (docs/log/0008)."""
    wanted = min(8192, max(256, 64 * round(FINETUNE_TEXTS * mean_tokens / 64)))
    reason = f"about {FINETUNE_TEXTS} texts of {mean_tokens:.0f} tokens in the mean"
    return _fitting(wanted, fitting, reason)


def finetune_accumulation(rows: int) -> int:
    """Returns into how many batches a CPU divides a step of a pretrained encoder: so many that each has at
    most `ROWS_AT_ONCE` rows. They take less memory, and no longer: the products of so many rows are as fast
    as those of more."""
    return -(-rows // ROWS_AT_ONCE)


ROWS_AT_ONCE = 2048
"""The most rows of a batch in which a CPU trains a pretrained encoder."""

FINETUNE_TEXTS = 32
"""The number of texts in a batch when a pretrained encoder is fine-tuned (Devlin et al. 2018, appendix A.3:
16 or 32)."""


def finetune_epochs(tokens: int, *, texts: int, contrast: bool = False) -> tuple[int, str]:
    """Returns the number of epochs over labelled data for a pretrained encoder: 3, or 2 above 5 million
    tokens. It is up to 20 if there would be fewer than 200 batches. 4 are no better (docs/log/0029).

    After contrast it is 5, since the encoder has learned most by then: with 10 texts a label of TREC, 20 were
    worse by 1 to 2 points, and of BANKING77 10 were no better (docs/log/0025).
    """
    if contrast:
        return CONTRAST_EPOCHS, f"{texts:,} texts, after contrast"
    by_tokens = 3 if tokens <= 5_000_000 else 2
    by_steps = min(20, math.ceil(200 * FINETUNE_TEXTS / max(1, texts)))
    return max(by_tokens, by_steps), f"{texts:,} texts, {_training_tokens(tokens)}"


def freeze_layers(layers: int, *, tokens: int) -> tuple[int, str]:
    """Returns how many of the lowest layers keep their weights when an encoder that was made for mean vectors
    learns labels: a third, which costs no accuracy and saves a quarter of the time (docs/log/0029). It is 0
    above a million tokens, where that is not measured.

    Args:
        layers: the number of layers.
        tokens: the number of tokens in the training texts.
    """
    if tokens > FREEZE_UP_TO:
        return 0, _training_tokens(tokens)
    return layers // 3, f"the lowest of {layers} layers change little with {_training_tokens(tokens)}"


FREEZE_UP_TO = 1_000_000
"""The number of training tokens up to which lower layers keep their weights."""


def head_init(texts: int, *, epochs: int, classes: int) -> tuple[HeadInit, str]:
    """Returns how the head of a classifier begins, whose encoder was pretrained for mean vectors.

    It begins from a probe where there are few steps for each label, since a random head does not learn enough
    in so few. Where there are enough, a random head is better: it does not hold the encoder where it was
    (docs/log/0023). With few texts of each label the encoder first learns to put them near each other, which
    is worth far more than either (docs/log/0024).

    Args:
        texts: the number of training texts.
        epochs: the number of epochs.
        classes: the number of labels.
    """
    if min(texts, PROBE_TEXTS) < 2 * classes:
        return "random", _too_many(classes, min(texts, PROBE_TEXTS))
    if texts <= CONTRAST_TEXTS * classes:
        return "contrast", f"about {texts / classes:,.0f} texts a label"
    steps = texts * epochs / FINETUNE_TEXTS
    reason = f"about {steps:,.0f} steps for {classes:,} labels"
    return ("probe" if steps < PROBE_STEPS * classes else "random"), reason


def probe_texts(texts: int, *, classes: int) -> int:
    """Returns how many training texts the probe of a classifier is fitted on: 40 a label, but at least 3,000
    and at most `PROBE_TEXTS`. On BANKING77, whose labels are 77, 9,000 are no better than 3,000
    (docs/log/0029)."""
    return min(texts, PROBE_TEXTS, max(3_000, 40 * classes))


def _too_many(classes: int, texts: int) -> str:
    return f"{classes:,} labels are too many for a probe on {texts:,} texts"


def head_init_of_sets(texts: int, *, classes: int) -> tuple[HeadInit, str]:
    """Returns how the head begins where a text has any number of classes, and the encoder was pretrained for
    mean vectors: from a probe, if there are enough texts for one.

    Args:
        texts: the number of training texts.
        classes: the number of labels.
    """
    fitted = min(texts, PROBE_TEXTS)
    if fitted < 2 * classes:
        return "random", _too_many(classes, fitted)
    return "probe", "few texts have each of several labels"


CONTRAST_TEXTS = 20
"""The mean number of texts a label up to which the encoder first learns by contrast. With 10 it was worth 2
to 15 points, with 50 it cost 7 (docs/log/0024)."""

CONTRAST_EPOCHS = 5
"""The number of epochs after contrast."""

PROBE_TEXTS = 10_000
"""The largest number of training texts that a probe is fitted on."""

PROBE_STEPS = 20
"""The number of steps a label below which the head starts from a probe."""


def ensemble_share(texts: int) -> float:
    """Returns the share of the training texts that is set aside to fit the weights of an ensemble: a
    twentieth, about 400 texts at most. It is 0 with fewer than `ENSEMBLE_FROM`.

    100 texts are enough to find weights whose accuracy is within 0.1 points of what 800 give (docs/log/0023).
    """
    return 0.0 if texts < ENSEMBLE_FROM else min(0.05, 400 / texts)


ENSEMBLE_FROM = 1_500
"""The number of training texts from which on some are set aside to weigh encoder and floor. With 1,800 texts
of IMDB it was worth 1.3 points. With 540 an encoder misses the 50 that it gives away, and 50 do not find good
weights (docs/log/0025)."""


def weighs(lines: int) -> bool:
    """Returns whether encoder and floor can be weighed on a number of lines that are set aside."""
    return lines >= ENSEMBLE_LINES


ENSEMBLE_LINES = 50
"""The smallest number of lines that an ensemble is fitted on. With fewer it could be worse than the encoder.
"""


def schedule(*, pretrained: bool) -> tuple[Schedule, str]:
    """Returns the form in which the learning rate falls."""
    if pretrained:
        return "linear", "a pretrained encoder, as in Devlin et al. 2018"
    return "cosine", "from scratch"


def layer_lr_decay(*, pretrained: bool) -> tuple[float, str]:
    """Returns the factor of the learning rate from one layer to the one below."""
    if pretrained:
        return 0.95, "a pretrained encoder: what is near the words changes least"
    return 1.0, "from scratch"


def pretrain_learning_rate(hidden_size: int, *, pretrained: bool) -> tuple[float, str]:
    """Returns the peak learning rate of pretraining: smaller for wider models, and for a pretrained encoder
    that is trained further."""
    if pretrained:
        return finetune_learning_rate(hidden_size)
    return _by_width(1e-3, hidden_size), f"a width of {hidden_size}"


def _by_width(rate: float, hidden_size: int) -> float:
    return round(rate * math.sqrt(256 / hidden_size), 6)
