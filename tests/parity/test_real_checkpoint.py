"""all-MiniLM-L6-v2 on real texts: the same token ids and hidden states as transformers, however batched."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from real_checkpoints import data_set, lines_of, minilm

from custom_bert import Embedder
from custom_bert.batch import Batch
from custom_bert.data.batching import by_length, near_equal_slots
from custom_bert.data.tokenizer import CHARACTERS_PER_TOKEN
from custom_bert.model_files.pretrained import load_pretrained
from custom_bert.models.heads import SequenceClassifier

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

LENGTH = 128


@pytest.fixture(scope="module")
def theirs() -> Any:
    return transformers.AutoTokenizer.from_pretrained(minilm())


def same_ids(theirs: Any, texts: list[str], length: int = LENGTH) -> None:
    ours = load_pretrained(minilm()).tokenizer.encode(texts, length).sequences
    for start in range(0, len(texts), 1000):
        part = slice(start, start + 1000)
        wanted = theirs(texts[part], truncation=True, max_length=length)["input_ids"]
        for text, ids, found in zip(texts[part], wanted, ours[part], strict=True):
            assert found.tolist() == ids, ascii(text[:200])


@pytest.mark.parametrize("name", ["trec", "ag_news", "banking77", "zh_chnsenticorp_htl"])
def test_every_line_of_a_data_set_has_the_same_ids(name: str, theirs: Any, tmp_path: Path) -> None:
    texts = lines_of(data_set(name, tmp_path))
    assert len(texts) > 5000
    same_ids(theirs, texts)


def hostile(count: int) -> list[str]:
    """Controls, bidirectional marks, emoji with joiners and tones, combining marks, planes beyond the first,
    unpaired quotes, special tokens spelled out, long words."""
    draw = random.Random(0)
    controls = [chr(c) for c in (*range(1, 10), 11, 12, *range(14, 32), 127, 0x85, 0xA0, 0xAD, 0xFEFF)]
    marks = [chr(c) for c in (*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x206A))]
    emoji = ["👩\u200d🚀", "👍🏽", "🇩🇪", "❤\ufe0f", "🏴\U000e0067\U000e0062\U000e007f", "😀"]
    combining = [
        "e\u0301\u0323",
        "é",
        "İ",
        "ß",
        "ﬁ",
        "Ⅷ",
        "\u0345",
        "ก็",
        "한글",
        "が",
        "か\u3099",
        "漢",
        "𠀀",
        "\U0001d4b3",
    ]
    specials = ["[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]", "##ing", "[cls]", "<s>", "[ SEP ]"]
    words = ["the", "Don't", "a.b", "--", '"', "\\", "%s", "NULL", "x" * 101, "y" * 100, "1e-5", "\t", "  "]
    kinds = [controls, marks, emoji, combining, specials, words]
    found = []
    for _ in range(count):
        pieces = [draw.choice(draw.choice(kinds)) for _ in range(draw.randint(0, 24))]
        if draw.random() < 0.3:
            points = [draw.randrange(0x20, 0x110000) for _ in range(8)]
            pieces += [chr(point) for point in points if not 0xD800 <= point < 0xE000]  # no surrogates
        found.append(draw.choice(["", " "]).join(pieces))
    return found


def test_ten_thousand_hostile_strings_have_the_same_ids(theirs: Any) -> None:
    same_ids(theirs, hostile(10_000))


def test_a_text_beyond_the_character_cap_is_counted_as_truncated(theirs: Any) -> None:
    cap = CHARACTERS_PER_TOKEN * 16
    tokenizer = load_pretrained(minilm()).tokenizer
    texts = ["a " * cap, " " * cap + "late words", "short"]
    encoded = tokenizer.encode(texts, 16)
    ours, lost = encoded.sequences, encoded.lost_N
    for text, ids in zip(texts, ours, strict=True):
        assert ids.tolist() == theirs(text, truncation=True, max_length=16)["input_ids"]
    assert lost[0] >= 1 and lost[1] == 0 and lost[2] == 0  # white space around a text is no part of it


def test_hidden_states_of_real_texts_are_transformers_however_they_are_batched(
    theirs: Any, tmp_path: Path
) -> None:
    texts = random.Random(0).sample(lines_of(data_set("ag_news", tmp_path)), 40)
    texts += random.Random(0).sample(lines_of(data_set("trec", tmp_path)), 20)
    found = load_pretrained(minilm())
    sequences = found.tokenizer.encode(texts, LENGTH).sequences
    lengths_N = np.array([len(ids) for ids in sequences])
    model = SequenceClassifier(found.encoder, 2).eval()
    model.load_state_dict(found.state, strict=False)
    reference = transformers.AutoModel.from_pretrained(minilm()).eval()
    ways = {
        "packed": [Batch.build(sequences[i : i + 20]) for i in range(0, 60, 20)],
        "one by one": [Batch.build([ids]) for ids in sequences],
        "grouped": [
            Batch.build(
                [sequences[i] for i in indices],
                slots=near_equal_slots(lengths_N[indices], 0.05),
                indices=indices,
            )
            for indices in by_length(lengths_N, 1024)
        ],
    }
    with torch.no_grad():
        wanted = [reference(input_ids=torch.from_numpy(ids)[None]).last_hidden_state[0] for ids in sequences]
        for way, batches in ways.items():
            done = 0
            for batch in batches:
                hidden_TD = model.encoder(batch)
                members = range(done, done + len(batch.layout.lengths_N))
                order = members if way != "grouped" else batch.indices.tolist()
                for rows, i in zip(rows_of(batch), order, strict=True):
                    difference = (hidden_TD[rows] - wanted[i]).abs().max().item()
                    assert difference <= 1e-5, (way, texts[i])
                done += len(members)
            assert done == len(texts)


def rows_of(batch: Batch) -> list[slice]:
    """The rows of each sequence of a batch, padding left out."""
    firsts, lengths = batch.layout.first_N.tolist(), batch.layout.lengths_N.tolist()
    return [slice(first, first + length) for first, length in zip(firsts, lengths, strict=True)]


def test_embeddings_are_sentence_transformers(tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    texts = [*lines_of(data_set("ag_news", tmp_path))[:60], "", "one", "漢字 é", "word " * 400]
    theirs = library.SentenceTransformer(str(minilm()), device="cpu")
    wanted = theirs.encode(texts)  # the model's last module brings vectors to length 1
    encoder = Embedder.load(minilm())
    assert encoder.max_length == theirs.max_seq_length == 256
    ours = encoder.embed(texts)
    assert ours.shape == wanted.shape and np.abs(ours - wanted).max() <= 1e-5
