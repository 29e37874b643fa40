"""Token vectors that start from the texts' co-occurrences, instead of from noise.

Factorised positive pointwise mutual information (Levy and Goldberg 2014, "Neural Word Embedding as Implicit
Matrix Factorization"), with the context distribution smoothed and near words counted more (Levy, Goldberg
and Dagan 2015, "Improving Distributional Similarity with Lessons Learned from Word Embeddings"). Seconds of
work that give rare words a place from the first step on (docs/LOG.md).

Shapes: V entries of the vocabulary, U of them used in the texts, K context tokens, D width of the vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from custom_bert.models.encoder import Encoder
from custom_bert.training.plan import Material

CONTEXT = 15
"""Tokens on either side that count as context, at distance n with weight 1 / n. A far reach makes vectors
topical: of a linear model on mean vectors AG News gains 0.7 points over a reach of 5, SST-2 nothing
(docs/LOG.md)."""
CONTEXTS = 4096
"""The most frequent tokens are the contexts: memory is U x K, not V x V."""
CELLS = 1 << 26
"""Largest U x K; above it there are fewer contexts."""
SMOOTHING = 0.75
"""Power of the context counts."""
TOKENS = 5_000_000
"""Tokens that are counted; of larger data every n-th text."""


def cooccurrences(texts: Iterable[np.ndarray], row_of_V: np.ndarray, column_of_V: np.ndarray) -> Tensor:
    """(U, K) float32: how often a token stands near a context token.

    Args:
        texts: token ids of each text.
        row_of_V: (V,) row of each token that occurs.
        column_of_V: (V,) column of each token, -1 for those that are no context.
    """
    num_rows, num_columns = int(row_of_V.max()) + 1, int(column_of_V.max()) + 1
    counts = torch.zeros(num_rows * num_columns)
    gap = np.full(CONTEXT, -1)
    for chunk in _chunks(texts):
        ids = np.concatenate([part for text in chunk for part in (text, gap)])
        for distance in range(1, CONTEXT + 1):
            for token, near in ((ids[:-distance], ids[distance:]), (ids[distance:], ids[:-distance])):
                inside = (token >= 0) & (near >= 0)
                row, column = row_of_V[token[inside]], column_of_V[near[inside]]
                cells = torch.from_numpy((row * num_columns + column)[column >= 0])
                counts.index_add_(0, cells, torch.full((len(cells),), 1.0 / distance))
    return counts.view(num_rows, num_columns)


def _chunks(texts: Iterable[np.ndarray], tokens: int = 1 << 20) -> Iterator[list[np.ndarray]]:
    chunk: list[np.ndarray] = []
    held = 0
    for text in texts:
        chunk.append(text)
        held += len(text)
        if held >= tokens:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


def positive_pmi_(counts_UK: Tensor) -> Tensor:
    """Counts to max(0, log P(context | token) / P(context)), in place; rows without counts stay 0."""
    smoothed_K = counts_UK.sum(0).pow(SMOOTHING)
    expected_K = smoothed_K / smoothed_K.sum().clamp(min=1e-12)
    counts_UK.div_(counts_UK.sum(1, keepdim=True).clamp(min=1e-12))
    counts_UK.div_(expected_K.clamp(min=1e-12))
    return counts_UK.clamp_(min=1.0).log_()


def token_vectors(
    texts: Callable[[], Iterable[np.ndarray]], vocab_size: int, width: int, *, seed: int
) -> tuple[Tensor, Tensor]:
    """Vectors of the tokens that stand near others, and which those are.

    Args:
        texts: gives the token ids of each text, without special tokens; called twice.
        vocab_size: V.
        width: D.
        seed: of the factorisation's random projection and of the rotation.

    Returns:
        (V, D) float32 rows of norm 1 in no preferred direction, and (V,) bool whether a row is one.
    """
    frequency_V = np.zeros(vocab_size, dtype=np.int64)
    for chunk in _chunks(texts()):
        frequency_V += np.bincount(np.concatenate(chunk), minlength=vocab_size)
    used = np.argsort(-frequency_V, kind="stable")[: np.count_nonzero(frequency_V)]
    vectors_VD, found_V = torch.zeros(vocab_size, width), torch.zeros(vocab_size, dtype=torch.bool)
    if not len(used):
        return vectors_VD, found_V
    contexts = used[: min(CONTEXTS, max(1, CELLS // len(used)))]
    row_of_V, column_of_V = np.full((2, vocab_size), -1, dtype=np.int64)
    row_of_V[used], column_of_V[contexts] = np.arange(len(used)), np.arange(len(contexts))
    pmi_UK = positive_pmi_(cooccurrences(texts(), row_of_V, column_of_V))
    met_U = pmi_UK.sum(1) > 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        rank = min(width, *pmi_UK.shape)
        left_UR, strengths_R, _ = torch.svd_lowrank(pmi_UK, q=rank, niter=3)
        rotation_DD = torch.linalg.qr(torch.randn(width, width))[0]
    if not met_U.any():
        return vectors_VD, found_V
    found_UR = left_UR * strengths_R.sqrt()
    found_UD = (found_UR - found_UR[met_U].mean(0)) @ rotation_DD[:rank]
    norms_U = found_UD.norm(dim=1)
    met_U &= norms_U > 1e-6
    vectors_VD[used] = found_UD / norms_U.clamp(min=1e-6)[:, None]
    found_V[used] = met_U
    return vectors_VD, found_V


@torch.no_grad()
def start_from_cooccurrences(encoder: Encoder, material: Material, seed: int) -> None:
    """Gives the tokens of the training texts their vectors, at the size that random ones have."""
    train, tokenizer = material.train, material.tokenizer
    ordinary_V = np.ones(tokenizer.vocab_size, dtype=bool)
    ordinary_V[list(tokenizer.special_ids)] = False
    rows = train.rows_N[:: max(1, -(-int(train.lengths_N.sum()) // TOKENS))].tolist()

    def texts() -> Iterator[np.ndarray]:
        for row in rows:
            ids = train.store[row]
            yield ids[ordinary_V[ids]]

    weight_VD = encoder.embeddings.token.weight
    vectors_VD, found_V = token_vectors(texts, len(weight_VD), weight_VD.shape[1], seed=seed)
    size = weight_VD.norm(dim=1).mean()
    weight_VD[found_V.to(weight_VD.device)] = vectors_VD[found_V].to(weight_VD.device) * size
