"""Confines training to the token vectors that occur in the training texts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from custom_bert.models.encoder import Encoder
from custom_bert.training.plan import Material, RunPlan

WORTH = 0.9
"""If more than this share of the table occurs, all of it is trained: leaving the rest out would save
little."""

TEXTS = 4096
"""How many texts are looked through at a time."""


def train_tokens_in_use(
    encoder: Encoder, plan: RunPlan, material: Material, say: Callable[[str], None]
) -> None:
    """Leaves the vectors of tokens that do not occur out of gradients and optimizer, if there are enough of
    them.

    They would not move anyway: no text gives them a gradient, and token vectors do not decay. A run that
    predicts masked tokens trains all vectors, because the prediction gives each of them a gradient.
    """
    table = encoder.embeddings.token
    masks = plan.config.optim.pretrain_epochs or plan.task.predicts_tokens
    if masks or not table.weight.requires_grad:
        return
    ids_U = tokens_in_use(material, table.num_embeddings, most=int(WORTH * table.num_embeddings))
    if ids_U is None:
        return
    table.train_only(torch.from_numpy(ids_U))
    say(
        f"{len(ids_U):,} of {table.num_embeddings:,} token vectors are trained; "
        f"the other tokens do not occur in the training texts, so their vectors would not change"
    )


def tokens_in_use(material: Material, vocab_size: int, most: int) -> np.ndarray | None:
    """Returns (U,) rising int64 ids of the tokens that occur in the training texts, and of the special
    tokens. Returns None if there are more than `most`, for which the first texts are mostly enough."""
    used_V = np.zeros(vocab_size, dtype=bool)
    used_V[[*material.tokenizer.special_ids, material.tokenizer.pad_id]] = True
    store, rows = material.train.store, material.train.rows_N.tolist()
    for start in range(0, len(rows), TEXTS):
        used_V[np.concatenate([store[row] for row in rows[start : start + TEXTS]])] = True
        if np.count_nonzero(used_V) > most:
            return None
    return np.flatnonzero(used_V)
