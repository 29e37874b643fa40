"""Windows read every token of a text, next to none twice; their batches count texts as texts."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from custom_bert.config import ModelConfig, Plan
from custom_bert.data.encoded import EncodedTexts, Frame
from custom_bert.data.loader import BatchBuilder, Transform
from custom_bert.data.masking import Masker
from custom_bert.data.targets import ClassIds
from custom_bert.data.token_dropout import TokenDropout
from custom_bert.data.windows import cut, whole
from custom_bert.models.heads import SequenceClassifier
from custom_bert.presets import encoder_config

CLS, SEP, MAX = 2, 3, 10
LENGTHS = np.array([5, 10, 11, 26, 19, 3])


FRAME = Frame((CLS,), (SEP,))


def in_memory(sequences: list[np.ndarray]) -> EncodedTexts:
    special_NS = FRAME.special(np.array([len(ids) for ids in sequences]))
    return EncodedTexts(sequences, special_NS, *np.zeros((3, len(sequences)), dtype=np.int64))


def builder(lengths: np.ndarray, window: int | None = MAX) -> BatchBuilder:
    """Texts of tokens 10, 11, 12, ..."""
    texts = [np.array([CLS, *range(10, 8 + n), SEP]) for n in lengths.tolist()]
    rows = np.arange(len(texts))
    return BatchBuilder(in_memory(texts), rows, ClassIds(rows % 3), pad_token_id=0, window=window)


@given(st.lists(st.integers(2, 100), min_size=1, max_size=20), st.integers(3, 30))
def test_every_token_is_read_in_as_few_equal_windows_as_it_takes(lengths: list[int], longest: int) -> None:
    found = cut(np.array(lengths), FRAME.special(np.array(lengths)), longest)
    assert (found.length_W <= longest).all()
    for text, length in enumerate(lengths):
        mine = found.text_W == text
        starts, sizes = found.start_W[mine], found.length_W[mine] - 2
        assert len(set(sizes.tolist())) == 1
        assert len(starts) == max(1, -(-(length - 2) // (longest - 2)))
        ids = np.array([CLS, *range(10, 8 + length), SEP])
        windows = [found.window(i, ids) for i in np.flatnonzero(mine).tolist()]
        assert all(w[0] == CLS and w[-1] == SEP for w in windows)
        assert sorted({int(i) for w in windows for i in w[1:-1]}) == ids[1:-1].tolist()
        assert sizes.sum() < length - 2 + len(starts)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=8), st.integers(6, 20)
)
def test_special_tokens_between_texts_are_in_every_window_at_their_place(
    pairs: list[tuple[int, int]], longest: int
) -> None:
    """As <s> a </s></s> b </s> has them. Windows do not count from the ends."""
    texts = [[1, *range(10, 10 + a), 2, 2, *range(50, 50 + b), 2] for a, b in pairs]
    lengths = np.array([len(ids) for ids in texts])
    special = np.array([[0, a + 1, a + 2, a + b + 3] for a, b in pairs])
    found = cut(lengths, special, longest)
    assert (found.length_W <= longest).all() and found.special_WS.shape == (len(found.text_W), 4)
    seen: list[list[int]] = [[] for _ in pairs]
    for i, text in enumerate(found.text_W.tolist()):
        ids = found.window(i, np.array(texts[text]))
        assert len(ids) == found.length_W[i]
        assert ids[found.special_WS[i]].tolist() == [1, 2, 2, 2]
        inner = np.delete(ids, found.special_WS[i]).tolist()
        assert inner == sorted(inner) and (np.array(inner) >= 10).all()
        places = {token: at for at, token in enumerate(ids.tolist()) if token >= 10}
        for token, at in places.items():  # draws go by the place in the text
            assert texts[text][at + int(found.start_W[i])] == token
        seen[text] += inner
    assert [sorted(set(ids)) for ids in seen] == [[i for i in ids if i >= 10] for ids in texts]


def test_texts_that_fit_are_left_as_they_are() -> None:
    short = np.array([2, 3, 10])
    special = FRAME.special(short)
    made = (vars(cut(short, special, 10)), vars(whole(short, special)))
    for found, wanted in zip(*(one.values() for one in made), strict=True):
        assert (found == wanted).all()
    batch = builder(short).build(np.arange(3), "uniform_length", MAX)
    assert batch.windows is None and batch.num_texts == 3


@pytest.mark.parametrize("plan", ["uniform_length", "packed", "padded"])
@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_a_batch_of_windows_has_a_label_a_text_and_the_planned_tokens(plan: Plan, rate: float) -> None:
    texts, dropout = builder(LENGTHS), TokenDropout(rate, 0) if rate else None
    indices = np.array([3, 4, 0])
    batch = texts.build(indices, plan, MAX, transform=Transform(token_dropout=dropout), epoch=1)
    assert batch.windows is not None and batch.targets is not None
    assert batch.windows.text_N.tolist() == [0, 0, 0, 1, 1, 1, 2] and batch.num_texts == 3
    assert batch.targets.values.tolist() == [0, 1, 0]
    assert batch.num_tokens == texts.kept_lengths(dropout, 1)[indices].sum()
    assert texts.windows_of_texts().tolist() == [1, 1, 2, 3, 3, 1]
    if not rate:
        inside = batch.input_ids_T[batch.layout.sequence_T < batch.num_sequences]
        assert set(inside[inside >= 10].tolist()) == set(range(10, 34))


def test_copies_of_a_text_stand_side_by_side_with_all_their_windows() -> None:
    batch = builder(LENGTHS).build(np.array([2, 0]), "uniform_length", MAX, transform=Transform(copies=2))
    assert batch.windows is not None and batch.targets is not None
    assert batch.windows.text_N.tolist() == [0, 0, 1, 1, 2, 3] and batch.targets.values.tolist() == [
        2,
        2,
        0,
        0,
    ]


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_texts_logits_are_the_mean_of_its_windows_logits(pooling: str) -> None:
    config = encoder_config(
        "custom",
        ModelConfig(num_attention_heads=2, pooling=pooling),  # type: ignore[arg-type]
        vocab_size=60,
        pad_token_id=0,
        max_length=MAX,
        default_shape=(32, 2),
    )
    torch.manual_seed(0)
    model = SequenceClassifier(config, 3).double().eval()
    texts = builder(LENGTHS)
    found = model(texts.build_for_evaluation(np.argsort(-LENGTHS)))
    for row, text in enumerate(np.argsort(-LENGTHS).tolist()):
        pieces = cut(LENGTHS[[text]], texts.store.special(np.array([text])), MAX)
        windows = [pieces.window(i, texts.store[text]) for i in range(len(pieces.text_W))]
        alone = BatchBuilder(in_memory(windows), np.arange(len(windows)), None, pad_token_id=0)
        each = [model(alone.build_for_evaluation(np.array([i])))[0] for i in range(len(windows))]
        assert torch.allclose(found[row], torch.stack(each).mean(0), atol=1e-10)


def test_tokens_of_one_text_draw_their_masks_apart() -> None:
    masker = Masker(mask_id=4, special_ids=(0, CLS, SEP, 4), vocab_size=1000, rate=0.5, seed=0)
    batch = builder(np.array([402]), window=52).build(np.array([0]), "uniform_length", 52)
    hidden = (masker.mask(batch, 0).input_ids_T != batch.input_ids_T)[: 8 * 52].view(8, 52)
    assert len({tuple(row.tolist()) for row in hidden}) == 8


def test_the_mean_of_a_texts_windows() -> None:
    built = builder(np.array([26, 5])).build(np.arange(2), "packed", MAX)
    assert built.windows is not None
    rows = torch.arange(built.num_sequences, dtype=torch.float32)[:, None]
    count = built.num_sequences - 1
    assert built.windows.mean(rows).flatten().tolist() == [sum(range(count)) / count, count]
