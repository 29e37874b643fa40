"""Token vectors that start from the texts' co-occurrences, instead of from noise.

The vectors are factors of the positive pointwise mutual information (Levy and Goldberg 2014, "Neural Word
Embedding as Implicit Matrix Factorization"). The context distribution is smoothed and near words count more
(Levy, Goldberg and Dagan 2015, "Improving Distributional Similarity with Lessons Learned from Word
Embeddings"). This takes seconds, and gives rare words a meaning from the first step on (docs/log/0005).

Shapes: V entries of the vocabulary, U of them used in the texts, K context tokens, D width of the vectors, R
rank of the factorisation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from custom_bert.models.encoder import Encoder
from custom_bert.training.plan import Material

CONTEXT = 15
"""The number of tokens on either side that count as context, at distance n with weight 1 / n. A far reach
makes vectors topical: with a linear model on mean vectors, AG News gains 0.7 points over a reach of 5, and
SST-2 gains nothing (docs/log/0005)."""
CONTEXTS = 4096
"""How many of the most frequent tokens are contexts, so that the matrix is U x K and not V x V."""
CELLS = 1 << 26
"""The largest U x K; with more tokens in use there are fewer contexts."""
SMOOTHING = 0.75
"""The power to which context counts are raised, which makes rare contexts count less."""
TOKENS = 5_000_000
"""About how many tokens are counted; of larger data every n-th text is taken."""


def cooccurrences(texts: Iterable[np.ndarray], row_of_V: np.ndarray, column_of_V: np.ndarray) -> Tensor:
    """Returns (U, K) float32: how often each token occurs near each context token, weighted by distance.

    Args:
        texts: the token ids of each text.
        row_of_V: (V,) the row of each token that occurs; of others it is not read.
        column_of_V: (V,) the column of each token, -1 for those that are no context.
    """
    num_rows, num_columns = int(row_of_V.max()) + 1, int(column_of_V.max()) + 1
    counts = torch.zeros(num_rows * num_columns)
    gap = np.full(CONTEXT, -1)  # between two texts, so that no token has context in another text
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
    """Yields lists of whole texts with about `tokens` tokens, to bound the memory of what is done with
    them."""
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
    """Turns counts, in place, into the positive pointwise mutual information, which is
    max(0, log(P(context | token) / P(context))). Rows without counts stay 0."""
    smoothed_K = counts_UK.sum(0).pow(SMOOTHING)
    expected_K = smoothed_K / smoothed_K.sum().clamp(min=1e-12)
    counts_UK.div_(counts_UK.sum(1, keepdim=True).clamp(min=1e-12))
    counts_UK.div_(expected_K.clamp(min=1e-12))
    return counts_UK.clamp_(min=1.0).log_()


def token_vectors(
    texts: Callable[[], Iterable[np.ndarray]], vocab_size: int, width: int, *, seed: int
) -> tuple[Tensor, Tensor]:
    """Returns vectors of the tokens that occur near others.

    Args:
        texts: returns the token ids of each text, without special tokens; it is called twice.
        vocab_size: V, the size of the vocabulary.
        width: D, the width of the vectors.
        seed: the seed of the factorisation's random projection and of the rotation.

    Returns: (V, D) float32 vectors of norm 1 in no preferred direction, and (V,) bool whether a token has
        such a vector.
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
    # the mean is what all tokens share, and tells none of them apart; the rotation spreads the strongest
    # factors, which come first, over all columns
    found_UD = (found_UR - found_UR[met_U].mean(0)) @ rotation_DD[:rank]
    norms_U = found_UD.norm(dim=1)
    met_U &= norms_U > 1e-6
    vectors_VD[used] = found_UD / norms_U.clamp(min=1e-6)[:, None]
    found_V[used] = met_U
    return vectors_VD, found_V


@torch.no_grad()
def start_from_cooccurrences(encoder: Encoder, material: Material, seed: int) -> None:
    """Gives the tokens of the training texts vectors from their co-occurrences, as long as random vectors are
    in the mean. Tokens without such a vector, and special tokens, keep their random ones.

    Args:
        encoder: the encoder, which is changed.
        material: the training texts and the tokenizer.
        seed: the seed of `token_vectors`.
    """
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
