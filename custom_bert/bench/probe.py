"""What an encoder is worth on labelled texts: accuracy of a linear classifier on its vectors, and fine-tuned.

The linear classifier on frozen vectors measures what the vectors hold (Alain and Bengio 2016, arXiv
1610.01644), and fine-tuning what they are good for. Training the same architecture from scratch measures how
much of that comes from pretraining.

Shapes: N texts, D width of a vector, C classes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from custom_bert import terminal
from custom_bert.config import SCRATCH
from custom_bert.config_sources import from_mapping
from custom_bert.data.batching import texts_at_once
from custom_bert.data.dataset import Dataset, Split
from custom_bert.data.label_files import ClassReader
from custom_bert.data.reading import data_files, in_directory, read_dataset
from custom_bert.errors import DataError
from custom_bert.inference.embeddings import Embedder
from custom_bert.inference.encoder_vectors import load_vectors
from custom_bert.metrics import ConfusionMatrix, Scores
from custom_bert.ops.linear_probe import fit_linear
from custom_bert.training.loop import train_model

VAL_FRACTION = 0.1
"""The share of the training lines that is set aside if there are no validation files, as in training."""

MOST = 20_000
"""The largest number of training texts of the linear probe. Of more texts it takes every n-th."""

STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2)
"""Weight decays of the linear probe. The best one on a tenth of the training texts is taken."""

ARCHITECTURE = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    *("norm", "position", "hidden_act", "mlp", "bias", "pooling", "hidden_dropout"),
    *("local_attention", "global_attn_every_n_layers", "rope_theta", "local_rope_theta"),
)
"""The encoder's settings that training from scratch takes over."""


@dataclass(frozen=True)
class Probe:
    """Accuracy and macro-F1 on the validation texts, as fractions, of two or three models.

    Attributes:
        linear: the linear classifier on frozen vectors.
        fine_tuned: the fine-tuned model.
        from_scratch: the same architecture without pretraining, if it was trained.
    """

    linear: tuple[float, float]
    fine_tuned: tuple[float, float]
    from_scratch: tuple[float, float] | None = None

    @property
    def gain(self) -> float | None:
        """What pretraining adds to the accuracy, as a fraction; None without the model from scratch."""
        return None if self.from_scratch is None else self.fine_tuned[0] - self.from_scratch[0]

    def as_dict(self) -> dict[str, Any]:
        """The scores by name, ready for JSON."""
        named = {"linear": self.linear, "fine_tuned": self.fine_tuned, "from_scratch": self.from_scratch}
        scores: dict[str, Any] = {
            name: {"accuracy": pair[0], "macro_f1": pair[1]} for name, pair in named.items() if pair
        }
        return scores if self.gain is None else {**scores, "gain": self.gain}


def probe(
    encoder: str,
    data: str | Path,
    *,
    from_scratch: bool = False,
    seed: int = 0,
    say: Callable[[str], None] = terminal.say,
) -> Probe:
    """Measures an encoder on a folder of labelled texts.

    Args:
        encoder: a run directory, a directory in Hugging Face's layout, or an id on the Hub.
        data: the folder of the four files.
        from_scratch: whether to train the same architecture without pretraining, too.
        seed: the seed of training and of the linear probe.
        say: called with a line before each part.

    Raises:
        UserError: if the encoder or the data cannot be used.
        KeyboardInterrupt: after Ctrl-C.
    """
    try:
        return _measure(encoder, in_directory(data), from_scratch=from_scratch, seed=seed, say=say)
    except KeyboardInterrupt:
        say("a probe keeps nothing, its runs included: the same command measures anew")
        raise


def _measure(
    encoder: str, folder: dict[str, Any], *, from_scratch: bool, seed: int, say: Callable[[str], None]
) -> Probe:
    files = data_files(from_mapping(folder).data)
    if files.train[0].pairs:
        raise DataError(
            files.train[0].name,
            f"pairs of texts, and a probe measures the vectors of single texts; what the encoder is worth "
            f"for pairs, training shows: --model.init-from {encoder}",
        )
    dataset = read_dataset(files, ClassReader(), val_fraction=VAL_FRACTION, seed=seed)
    say("a linear classifier on the frozen vectors")
    vectors = load_vectors(encoder, None)
    shape = vectors.model.config
    linear = linear_probe(Embedder(vectors, min(256, vectors.longest)), dataset, seed=seed)
    with tempfile.TemporaryDirectory() as scratch:
        say("fine-tuning")
        common = {
            **folder,
            "floor": False,
            "seed": seed,
            "data.max_length": min(256, shape.max_position_embeddings),
        }
        tuned = train_model({**common, "model.init_from": encoder, "out": f"{scratch}/tuned"})
        plain = None
        if from_scratch:
            say("the same architecture from scratch")
            plain = train_model(
                {
                    **common,
                    # legacy trains so poorly from scratch that any pretrained start would look like a gain
                    "preset": "custom" if shape.preset == "legacy" else shape.preset,
                    "model.init_from": SCRATCH,
                    **{f"model.{name}": getattr(shape, name) for name in ARCHITECTURE},
                    "out": f"{scratch}/plain",
                }
            )

    def pair(result: Any) -> tuple[float, float]:
        return result.accuracy, result.macro_f1

    return Probe((linear.accuracy, linear.macro_f1), pair(tuned), pair(plain) if plain else None)


def linear_probe(encoder: Embedder, dataset: Dataset, *, seed: int = 0) -> Scores:
    """The scores of multinomial logistic regression on the texts' mean vectors, standardised."""
    train = Split(dataset.train.file, dataset.train.rows_N[:: -(-len(dataset.train) // MOST)])
    train_ND = torch.from_numpy(_vectors(encoder, train))
    val_ND = torch.from_numpy(_vectors(encoder, dataset.val))
    mean_D, size_D = train_ND.mean(0), train_ND.std(0).clamp(min=1e-6)
    train_ND, val_ND = (train_ND - mean_D) / size_D, (val_ND - mean_D) / size_D
    labels_N = torch.from_numpy(_classes(train))
    order = torch.from_numpy(np.random.Generator(np.random.PCG64(seed)).permutation(len(train)))
    inner, outer = order[len(order) // 10 :], order[: len(order) // 10]
    count = len(dataset.labels)

    def accuracy(strength: float) -> float:
        model = fit_classes(train_ND[inner], labels_N[inner], count, strength)
        return float((predicted(model, train_ND[outer]) == labels_N[outer]).float().mean())

    best = max(STRENGTHS, key=accuracy) if len(outer) else STRENGTHS[1]
    predicted_N = predicted(fit_classes(train_ND, labels_N, count, best), val_ND)
    matrix = ConfusionMatrix(count)
    matrix.add(_classes(dataset.val), predicted_N.numpy())
    return matrix.scores()


def fit_classes(x_ND: Tensor, labels_N: Tensor, count: int, strength: float) -> nn.Linear:
    """Fits multinomial logistic regression with weight decay.

    Args:
        x_ND: (N, D) fp32 vectors.
        labels_N: (N,) class indices.
        count: C.
        strength: the factor of the sum of squared weights, which is added to the mean cross-entropy.
    """

    def loss(logits_nC: Tensor, rows: slice) -> Tensor:
        return F.cross_entropy(logits_nC, labels_N[rows], reduction="sum") / len(labels_N)

    return fit_linear(x_ND, count, loss, strength, portion=texts_at_once(count))


def predicted(model: nn.Linear, x_ND: Tensor) -> Tensor:
    """(N,) indices of the most probable class of each vector."""
    parts = torch.split(x_ND, texts_at_once(model.out_features))
    return torch.cat([model(rows_ND).argmax(-1) for rows_ND in parts])


def _classes(split: Split) -> np.ndarray:
    """(N,) int64 index of the class of each line."""
    return split.targets.values(np.arange(len(split)))


def _vectors(encoder: Embedder, split: Split) -> np.ndarray:
    """(N, D) mean vectors of the lines, not scaled to length 1."""
    return encoder.embed(split.texts(np.arange(len(split))), normalize=False)
