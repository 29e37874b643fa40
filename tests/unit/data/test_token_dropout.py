"""Token dropout leaves out the stated share, keeps order, ends and positions, and depends on nothing else."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_bert.data import token_dropout
from custom_bert.data.encoded import Frame
from custom_bert.data.loader import BatchBuilder, Transform
from custom_bert.data.targets import ClassIds
from custom_bert.data.token_dropout import TokenDropout, _smallest
from custom_bert.data.windows import Cut, whole

FRAME = Frame((2,), (3,))


def framed(lengths_N: np.ndarray) -> Cut:
    return whole(lengths_N, FRAME.special(lengths_N))


def positions_of(dropout: TokenDropout, cut: Cut, examples_W: np.ndarray, epoch: int) -> list[np.ndarray]:
    """The positions that are kept of each window."""
    stays = np.split(dropout.stays(cut, examples_W, epoch), np.cumsum(cut.length_W)[:-1])
    return [np.flatnonzero(one) for one in stays]


LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.floats(0.0, 0.95), st.integers(0, (1 << 63) - 1), st.integers(0, 50))
def test_what_is_kept(lengths: list[int], rate: float, seed: int, epoch: int) -> None:
    lengths_N, examples_N = np.array(lengths), np.arange(len(lengths)) * 3
    dropout = TokenDropout(rate, seed)
    planned_N = dropout.lengths(framed(lengths_N), examples_N, epoch)
    kept = positions_of(dropout, framed(lengths_N), examples_N, epoch)
    assert [len(k) for k in kept] == planned_N.tolist()
    for length, positions in zip(lengths, kept, strict=True):
        assert (np.diff(positions) > 0).all()
        assert positions[0] == 0 and positions[-1] == length - 1
        assert len(positions) >= min(length, 3)
        left_out = length - len(positions)
        assert left_out <= np.ceil(rate * max(0, length - 2))
        if length > 3:
            assert left_out >= min(np.floor(rate * (length - 2)), length - 3)


@pytest.mark.parametrize("length", [5, 20, 200])
@pytest.mark.parametrize("rate", [0.1, 0.3, 0.6])
def test_every_inner_token_is_left_out_at_the_rate(length: int, rate: float) -> None:
    texts = 4000
    kept = positions_of(TokenDropout(rate, 1), framed(np.full(texts, length)), np.arange(texts), 0)
    share = np.bincount(np.concatenate(kept), minlength=length) / texts
    assert share[0] == share[-1] == 1
    error = (rate * (1 - rate) / texts) ** 0.5
    assert np.abs(share[1:-1] - (1 - rate)).max() < 5 * error


def test_company_changes_nothing_and_epochs_and_seeds_do() -> None:
    lengths_N, examples_N = np.array([30, 12, 25]), np.array([7, 3, 9])
    together = positions_of(TokenDropout(0.4, 0), framed(lengths_N), examples_N, 2)
    for i in range(3):
        alone = positions_of(TokenDropout(0.4, 0), framed(lengths_N[i : i + 1]), examples_N[i : i + 1], 2)
        assert np.array_equal(alone[0], together[i])
    for other in (
        positions_of(TokenDropout(0.4, 0), framed(lengths_N), examples_N, 3),
        positions_of(TokenDropout(0.4, 1), framed(lengths_N), examples_N, 2),
    ):
        assert any(not np.array_equal(a, b) for a, b in zip(together, other, strict=True))


def test_special_tokens_between_two_texts_always_stay() -> None:
    """As [CLS] a [SEP] b [SEP] has them; the rate is of the other tokens."""
    generator = np.random.Generator(np.random.PCG64(0))
    texts, special = 500, np.empty((500, 3), dtype=np.int64)
    a_N, b_N = generator.integers(1, 30, size=(2, texts))
    lengths_N = a_N + b_N + 3
    special[:, 0], special[:, 1], special[:, 2] = 0, a_N + 1, lengths_N - 1
    dropout, pairs = TokenDropout(0.5, 0), whole(lengths_N, special)
    kept = positions_of(dropout, pairs, np.arange(texts), 0)
    assert [len(k) for k in kept] == dropout.lengths(pairs, np.arange(texts), 0).tolist()
    for positions, own, inner in zip(kept, special, (a_N + b_N).tolist(), strict=True):
        assert set(own.tolist()) <= set(positions.tolist())
        assert abs(len(positions) - 3 - inner / 2) <= 0.5


class Texts:
    """Text i holds i x 100 + its positions."""

    lengths_N = np.array([9, 20, 14, 20])

    def __getitem__(self, row: int) -> np.ndarray:
        return row * 100 + np.arange(self.lengths_N[row])

    def tokens(self, rows: np.ndarray) -> np.ndarray:
        return np.concatenate([self[row] for row in rows.tolist()])

    def special(self, rows: np.ndarray) -> np.ndarray:
        return FRAME.special(self.lengths_N[rows])

    def seconds(self, rows: np.ndarray) -> None:
        return None


BUILDER = BatchBuilder(Texts(), np.array([3, 1, 0]), ClassIds(np.array([0, 1, 2])), pad_token_id=-1)
"""A split of three of the four texts, in another order."""


@pytest.mark.parametrize("plan", ["uniform_length", "packed", "padded"])
def test_a_batch_holds_the_kept_tokens_at_their_own_positions(plan: str) -> None:
    dropout = TokenDropout(0.5, 3)
    indices = np.array([1, 2])
    batch = BUILDER.build(
        indices,
        plan,  # type: ignore[arg-type]
        24,
        transform=Transform(copies=2, token_dropout=dropout),
        epoch=4,
    )
    lengths = BUILDER.kept_lengths(dropout, 4)[indices]
    assert batch.layout.lengths_N.tolist() == np.repeat(lengths, 2).tolist()
    assert batch.num_tokens == 2 * lengths.sum()
    seen = []
    for sequence, (text, start) in enumerate(zip([1, 1, 0, 0], batch.layout.first_N.tolist(), strict=True)):
        rows = slice(start, start + int(batch.layout.lengths_N[sequence]))
        ids, positions = batch.input_ids_T[rows].numpy(), batch.positions_T[rows].numpy()
        assert np.array_equal(ids - text * 100, positions)
        seen.append(positions)
    assert np.array_equal(seen[0], seen[1]) and np.array_equal(seen[2], seen[3])
    assert len(seen[0]) == 11 and len(seen[2]) in (5, 6)
    outside = batch.layout.sequence_T == batch.num_sequences
    assert (batch.input_ids_T[outside] == -1).all()


def test_without_dropout_a_batch_is_whole() -> None:
    assert BUILDER.kept_lengths(None, 0).tolist() == [20, 20, 9]
    batch = BUILDER.build(np.array([2]), "uniform_length", 24)
    assert batch.positions_T[:9].tolist() == list(range(9))


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(0, 3), st.sampled_from([0, 30, 51]), st.randoms(use_true_random=False))
def test_equal_draws_leave_the_stated_number_and_keep_what_is_special(
    lengths: list[int], largest: int, shift: int, random: Any
) -> None:
    lengths_W = np.array(lengths)
    kept_W = np.array([random.randint(min(n, 2), n) for n in lengths])
    bits_L = np.array([random.randint(0, largest) << shift for _ in range(sum(lengths))], dtype=np.uint64)
    special = (np.cumsum(lengths_W) - lengths_W)[:, None] + FRAME.special(lengths_W).clip(min=0)
    stays = np.split(_smallest(bits_L, lengths_W, kept_W, special.ravel()), np.cumsum(lengths_W)[:-1])
    draws = np.split(bits_L, np.cumsum(lengths_W)[:-1])
    assert [int(one.sum()) for one in stays] == kept_W.tolist()
    for stay, draw in zip(stays, draws, strict=True):
        assert stay[0] and stay[-1]
        inner = slice(1, -1)
        if stay[inner].any() and not stay[inner].all():
            assert draw[inner][stay[inner]].max() <= draw[inner][~stay[inner]].min()


def test_of_many_windows_the_same_tokens_stay_as_of_each_alone() -> None:
    lengths_N, examples_N = np.full(5000, 6), np.arange(5000)
    together = positions_of(TokenDropout(0.4, 0), framed(lengths_N), examples_N, 1)
    for i in (0, 1, 2047, 2048, 4999):
        (alone,) = positions_of(TokenDropout(0.4, 0), framed(lengths_N[:1]), examples_N[i : i + 1], 1)
        assert np.array_equal(alone, together[i])


def test_short_keys_and_long_ones_keep_the_same_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths_N, examples_N = np.full(500, 40), np.arange(500)
    short = positions_of(TokenDropout(0.4, 0), framed(lengths_N), examples_N, 1)
    monkeypatch.setattr(token_dropout, "RARE", 1 << 60)
    long = positions_of(TokenDropout(0.4, 0), framed(lengths_N), examples_N, 1)
    assert all(map(np.array_equal, short, long))
