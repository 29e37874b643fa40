"""Pairs of texts are those of transformers in every family: token ids, token types, truncation, outputs and
gradients."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from custom_bert.batch import Batch
from custom_bert.config import Preset
from custom_bert.data import tokenizer as tokenizer_module
from custom_bert.data.encoded import EncodedTexts
from custom_bert.data.loader import BatchBuilder
from custom_bert.data.pair_frames import longest_first
from custom_bert.data.text_pairs import paired
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.model_files.pretrained import load_pretrained
from custom_bert.models import encoder as encoder_module
from custom_bert.models.encoder import Embeddings

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

from parity.comparison import compare, tiny  # noqa: E402
from parity.hostile_pairs import hostile_pairs  # noqa: E402
from parity.test_pretrained import MODELS, published  # noqa: E402
from parity.test_vocabularies import byte_level, configured  # noqa: E402
from real_checkpoints import data_set, lines_of, minilm  # noqa: E402

PAIRS = int(os.environ.get("CUSTOM_BERT_TEST_PAIRS", "2000"))
"""The number of hostile pairs for each family; `make pairs` takes 10,000."""

ROOM = 20
"""The number of tokens of a pair, so that about half of them lose some."""


def checkpoint(folder: Path, family: str, head: str = "ForMaskedLM", **changes: Any) -> Any:
    """A directory with the tokenizer that the family's published checkpoints have."""
    if family.startswith("roberta"):
        model = published(folder, family, head, vocab_size=264, **changes)
        byte_level(folder, 0)
        # published checkpoints have a tokenizer.json; it says how <mask> takes the space before it
        transformers.RobertaTokenizer.from_pretrained(folder).save_pretrained(folder)
        return model
    model = published(folder, family, head, **changes)
    configured(folder, "DistilBertTokenizer" if family == "distilbert" else "BertTokenizer")
    if family == "modernbert":  # its checkpoints have a tokenizer.json, whose class says nothing about it
        theirs = transformers.BertTokenizer.from_pretrained(folder)
        theirs.backend_tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "vocab.txt").unlink()
        names = {"model_input_names": ["input_ids", "attention_mask"]}
        tokens = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]"}
        configured(folder, "PreTrainedTokenizerFast", mask_token="[MASK]", **names, **tokens)
    return model


def differing(ours: TextTokenizer, theirs: Any, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs whose ids or types are others than those of transformers."""
    encoded = ours.encode([paired(*pair) for pair in pairs], ROOM)
    wanted = theirs(
        [first for first, _ in pairs],
        [second for _, second in pairs],
        truncation="longest_first",
        max_length=ROOM,
        return_token_type_ids=True,
    )
    rows = np.arange(len(pairs))
    batch = BatchBuilder(encoded, rows, None, ours.pad_id).build(rows, "packed", ROOM)
    assert batch.type_ids_T is not None
    types = np.split(batch.type_ids_T.numpy(), np.cumsum(encoded.lengths_N))
    found = []
    for i, pair in enumerate(pairs):
        theirs_of_pair = wanted["token_type_ids"][i]
        typed = any(theirs_of_pair)  # RoBERTa's tokenizer has no types
        if encoded[i].tolist() != wanted["input_ids"][i] or (typed and types[i].tolist() != theirs_of_pair):
            found.append(pair)
    return found


@pytest.mark.parametrize("family", MODELS)
def test_ids_and_types_are_those_of_transformers_on_hostile_pairs(family: str, tmp_path: Path) -> None:
    checkpoint(tmp_path, family)
    ours = load_pretrained(tmp_path).tokenizer.reading(pairs=True)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert len(ours.frame.between) == (2 if family.startswith("roberta") else 1)
    assert differing(ours, theirs, hostile_pairs(PAIRS)) == []


def test_every_pair_of_mrpc_has_the_ids_of_transformers(tmp_path: Path) -> None:
    pairs = [(a, b) for a, b in (line.split("\t") for line in lines_of(data_set("mrpc", tmp_path)))]
    ours = load_pretrained(minilm()).tokenizer.reading(pairs=True)
    theirs = transformers.AutoTokenizer.from_pretrained(minilm())
    assert len(pairs) == 5801
    for start in range(0, len(pairs), 1000):
        assert differing(ours, theirs, pairs[start : start + 1000]) == []


def shifted(patch: pytest.MonkeyPatch) -> None:
    """The separator counts to the second text."""
    right = EncodedTexts.seconds
    patch.setattr(EncodedTexts, "seconds", lambda self, rows: right(self, rows) - 1)  # type: ignore[operator]


def one_separator(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tokenizer_module, "separators", lambda tokenizer, name, start, end: (end,))


def second_only(patch: pytest.MonkeyPatch) -> None:
    """Only the second text is cut."""
    patch.setattr(
        tokenizer_module,
        "longest_first",
        lambda first, second, room: (min(first, room), max(0, room - first)),
    )


def first_odd(patch: pytest.MonkeyPatch) -> None:
    """Of an odd number of tokens, the first text keeps the one that is left over."""

    def halves(first: int, second: int, room: int) -> tuple[int, int]:
        kept = longest_first(second, first, room)
        return kept[1], kept[0]

    patch.setattr(tokenizer_module, "longest_first", halves)


MUTANTS: dict[str, tuple[str, Callable[[pytest.MonkeyPatch], None]]] = {
    "types shifted by one": ("bert", shifted),
    "RoBERTa with one </s>": ("roberta", one_separator),
    "truncation of the second text only": ("distilbert", second_only),
    "the odd token to the other text": ("modernbert", first_odd),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_the_comparison_of_ids_notices(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    family, plant = MUTANTS[name]
    checkpoint(tmp_path, family)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    pairs = hostile_pairs(200)
    assert differing(load_pretrained(tmp_path).tokenizer.reading(pairs=True), theirs, pairs) == []
    plant(monkeypatch)
    assert differing(load_pretrained(tmp_path).tokenizer.reading(pairs=True), theirs, pairs)


@pytest.mark.parametrize("layout", ["packed", "longest", "padded"])
@pytest.mark.parametrize("preset", ["legacy", "custom", "modern"])
def test_outputs_and_gradients_with_token_types_are_those_of_transformers(
    preset: Preset, layout: str
) -> None:
    found = compare(preset, layout=layout, pairs=True)
    assert found.agree, found


def test_the_comparison_notices_token_types_that_are_left_out() -> None:
    class Forgotten(Embeddings):
        def forward(self, batch: Batch) -> torch.Tensor:
            return super().forward(dataclasses.replace(batch, type_ids_T=None))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder_module, "Embeddings", Forgotten)
        assert not compare("legacy", pairs=True).agree
        assert compare("modern", pairs=True).agree  # it has no types


def test_single_texts_cost_and_compute_what_they_did() -> None:
    """A batch without types takes the vector of type 0 as it is, bit for bit what zeros give."""
    torch.manual_seed(0)
    model = Embeddings(tiny("legacy")).eval()
    sequences = [np.arange(5, 5 + n) for n in (3, 9, 1)]
    plain = Batch.build(sequences)
    assert plain.type_ids_T is None
    zeros = Batch.build(sequences, types=[np.zeros(len(ids), dtype=np.int64) for ids in sequences])
    assert torch.equal(model(plain), model(zeros))


@pytest.mark.parametrize("room", [1, 2, 7, 8])
def test_the_longer_text_loses_tokens_first_as_in_the_tokenizers_library(room: int) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    library = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    library.enable_truncation(room, strategy="longest_first")
    for first in range(11):
        for second in range(11):
            found = library.encode(" ".join("a" * first), " ".join("a" * second)).sequence_ids
            assert longest_first(first, second, room) == (found.count(0), found.count(1)), (first, second)
