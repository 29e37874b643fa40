"""Confines training to the token vectors that occur in the training texts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from custom_bert.models.encoder import Encoder
from custom_bert.training.plan import Material, RunPlan

WORTH = 0.9
"""Share of the table from which on training the whole of it is simpler."""

TEXTS = 4096
"""Texts that are looked through at a time."""


def train_tokens_in_use(
    encoder: Encoder, plan: RunPlan, material: Material, say: Callable[[str], None]
) -> None:
    """Leaves the vectors of other tokens out of gradients and optimizer, where there are enough of them.

    They would not move: no text gives them a gradient, and token vectors do not decay. Predicting masked
    tokens gives one to every vector, so that a run that does so trains all of them.
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
    """(U,) rising int64 ids of the tokens of the training texts, special tokens included; None if there are
    more than `most`, which a look at the first texts mostly tells."""
    used_V = np.zeros(vocab_size, dtype=bool)
    used_V[[*material.tokenizer.special_ids, material.tokenizer.pad_id]] = True
    store, rows = material.train.store, material.train.rows_N.tolist()
    for start in range(0, len(rows), TEXTS):
        used_V[np.concatenate([store[row] for row in rows[start : start + TEXTS]])] = True
        if np.count_nonzero(used_V) > most:
            return None
    return np.flatnonzero(used_V)
