"""Vectors from co-occurrences: counts as counted by hand, what stands alike lies together, and no noise."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from training_runs import Ready, built, ready, settings, write_data

from custom_bert.training import embedding_init
from custom_bert.training.embedding_init import cooccurrences, positive_pmi_, token_vectors

TEXTS = [np.array(ids, dtype=np.int64) for ids in ([1, 2, 3, 1], [4], [], [2, 2, 3, 5, 1, 0, 4, 3])]


@pytest.mark.parametrize("chunk", [1, 5, 1 << 20])
def test_counts_are_those_of_a_loop(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    whole = embedding_init._chunks
    monkeypatch.setattr(embedding_init, "_chunks", lambda texts: whole(texts, chunk))
    wanted: Counter[tuple[int, int]] = Counter()
    for text in TEXTS:
        for (i, a), (k, b) in itertools.permutations(enumerate(text.tolist()), 2):
            if abs(i - k) <= embedding_init.CONTEXT and b != 5:
                wanted[a, b] += 1 / abs(i - k)  # type: ignore[assignment]
    context_of = np.array([0, 1, 2, 3, 4, -1])  # token 5 is no context
    found = cooccurrences(TEXTS, np.arange(6), context_of)
    for token, context in itertools.product(range(6), range(5)):
        assert found[token, context].item() == pytest.approx(wanted[token, context], abs=1e-5)


def test_pmi_is_the_papers() -> None:
    counts = torch.tensor([[3.0, 1.0], [0.0, 4.0], [0.0, 0.0]])
    smoothed = [3**0.75, 5**0.75]
    wanted = math.log((3 / 4) / (smoothed[0] / sum(smoothed)))
    found = positive_pmi_(counts)
    assert found[0].tolist() == pytest.approx([wanted, 0.0], abs=1e-6)
    assert found[1, 0] == 0 and found[1, 1] > 0 and found[2].tolist() == [0, 0]


def test_tokens_of_like_surroundings_lie_together_and_unseen_ones_have_no_vector() -> None:
    draw = np.random.Generator(np.random.PCG64(0))
    # tokens 0-9 stand among 20-29, tokens 10-19 among 30-39; 40-49 never occur
    texts = []
    for _ in range(800):
        kind = int(draw.integers(2))
        words, near = draw.integers(10, size=4) + 10 * kind, draw.integers(10, size=4) + 20 + 10 * kind
        texts.append(np.stack([words, near], axis=1).ravel())
    vectors, found = token_vectors(lambda: texts, 50, 16, seed=0)
    assert found[:40].all() and not found[40:].any()
    assert torch.allclose(vectors[:40].norm(dim=1), torch.ones(40), atol=1e-5)
    alike = vectors[:20] @ vectors[:20].T
    assert alike[:10, :10].mean() > 0.3 + alike[:10, 10:].mean()
    again, _ = token_vectors(lambda: texts, 50, 16, seed=0)
    assert torch.equal(vectors, again)


def test_texts_of_single_tokens_give_none() -> None:
    for texts in ([], [np.array([3])], [np.array([], dtype=np.int64)]):
        _, found = token_vectors(lambda texts=texts: texts, 10, 8, seed=0)  # type: ignore[misc]
        assert not found.any()


def test_a_run_starts_with_them_where_the_tokens_occur(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")

    def start(kind: str) -> tuple[Ready, torch.Tensor]:
        prepared = ready(settings(data, None, **{"optim.embedding_init": kind}))
        return prepared, built(prepared).model.encoder.embeddings.token.weight.detach()

    (prepared, random), (_, ppmi) = start("random"), start("ppmi")
    changed = (random != ppmi).any(dim=1)
    train = prepared.train
    occurring = set(np.concatenate([train.store[row] for row in train.rows_N]).tolist())
    occurring -= set(prepared.tokenizer.special_ids)
    assert set(changed.nonzero().flatten().tolist()) == occurring
    assert ppmi[changed].norm(dim=1).mean() == pytest.approx(random.norm(dim=1).mean().item(), rel=1e-4)
