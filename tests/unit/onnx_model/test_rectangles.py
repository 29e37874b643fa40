"""Rectangles hold every row once, little padding, and equal lengths where there are enough of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx_models import texts, tokenizer

from custom_bert.data.text_pairs import paired
from custom_bert.onnx_model.rectangles import ENOUGH, PADDING, SLOTS, Rows, planned


@given(st.lists(st.integers(1, 600), max_size=300))
def test_every_row_is_in_one_rectangle_and_padding_is_bounded(lengths: list[int]) -> None:
    lengths_W = np.array(lengths, dtype=np.int64)
    plan = planned(lengths_W)
    assert sorted(np.concatenate([*plan, np.empty(0, np.int64)]).tolist()) == list(range(len(lengths)))
    for rows in plan:
        longest, slots = lengths_W[rows].max(), len(rows) * lengths_W[rows].max()
        assert len(rows) == 1 or slots <= SLOTS
        assert lengths_W[rows].sum() >= slots * (1 - PADDING)
        assert lengths_W[rows][0] == longest


def test_many_texts_of_few_lengths_need_no_padding() -> None:
    lengths_W = np.repeat(np.arange(20, 60), 40)
    padded = sum(
        len(rows) * int(lengths_W[rows].max()) - int(lengths_W[rows].sum()) for rows in planned(lengths_W)
    )
    assert padded < 0.01 * lengths_W.sum()
    assert min(map(len, planned(np.full(100, ENOUGH // 4)))) >= 100 % (SLOTS // (ENOUGH // 4))


@pytest.mark.parametrize("pairs", [False, True])
def test_a_rectangle_holds_the_tokens_the_mask_and_the_types(pairs: bool) -> None:
    reader, found = tokenizer().reading(pairs=pairs), texts(30)
    given_texts = [paired(*both) for both in zip(found, reversed(found), strict=True)] if pairs else found
    encoded = reader.encode(given_texts, 40)
    rows = Rows(encoded, None, reader.pad_id)
    seen = 0
    for one in rows.rectangles(rows.cut()):
        for place, row in enumerate(one.rows_B.tolist()):
            ids, length = encoded.sequences[row], len(encoded.sequences[row])
            assert one.input_ids_BL[place].tolist()[:length] == ids.tolist()
            assert set(one.input_ids_BL[place, length:].tolist()) <= {reader.pad_id}
            assert one.attention_mask_BL[place].sum() == one.attention_mask_BL[place, :length].sum() == length
            second = int(encoded.seconds_N[row]) if encoded.seconds_N is not None else length
            assert one.token_type_ids_BL[place].tolist() == [
                int(second <= i < length) for i in range(one.input_ids_BL.shape[1])
            ]
            seen += 1
    assert seen == len(given_texts)
