"""Texts become the same token ids everywhere, in every script, and never more than max_length of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import SPECIALS, lines, sentences, write_vocab
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from custom_bert.data import vocabulary as module
from custom_bert.data.encoded import Frame
from custom_bert.data.text_pairs import paired
from custom_bert.data.tokenizer import CHARACTERS_PER_TOKEN, TextTokenizer
from custom_bert.data.tokenizer_files import from_vocab, load_tokenizer, parse_tokenizer
from custom_bert.data.vocabulary import train_tokenizer
from custom_bert.data.windows import MAX_WINDOWS
from custom_bert.errors import DataError

ROOT = Path(__file__).resolve().parents[3]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def trained(texts: list[str], *, vocab_size: int = 1000, lowercase: bool = True) -> TextTokenizer:
    characters = sum(map(len, texts))
    return train_tokenizer(lambda: [texts], vocab_size=vocab_size, lowercase=lowercase, characters=characters)


def tokens(tokenizer: TextTokenizer, text: str, max_length: int = 512) -> list[str]:
    """The tokens between [CLS] and [SEP]."""
    ids = tokenizer.encode([text], max_length).sequences[0].tolist()
    assert (ids[0], ids[-1]) == (tokenizer.cls_id, tokenizer.sep_id)
    return [tokenizer.backend.id_to_token(i) for i in ids[1:-1]]


# Training


TRAIN_IN_A_PROCESS = """
import random, sys
sys.path[:0] = sys.argv[1:3]
from data_files import sentences
from custom_bert.data.vocabulary import train_tokenizer
texts = sentences(3000)
made = train_tokenizer(lambda: [texts], vocab_size=1500, lowercase=True, characters=sum(map(len, texts)))
print(made.to_json())
"""


def test_training_twice_gives_the_same_vocabulary() -> None:
    outs = [
        subprocess.run(
            [sys.executable, "-c", TRAIN_IN_A_PROCESS, str(ROOT), str(ROOT / "tests")],
            env={"PYTHONHASHSEED": str(i), "RAYON_NUM_THREADS": str(1 + i)},
            capture_output=True,
            check=True,
        ).stdout
        for i in range(3)
    ]
    assert outs[0] == outs[1] == outs[2]
    vocab = json.loads(outs[0])["model"]["vocab"]
    assert any("电" in token for token in vocab) and any(len(token) > 6 for token in vocab)


def test_special_tokens_come_first_with_berts_ids() -> None:
    tokenizer = trained(sentences(50))
    assert [tokenizer.backend.id_to_token(i) for i in range(5)] == list(SPECIALS)
    assert (tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id) == (0, 2, 3)


@pytest.mark.parametrize("vocab_size", [100, 150, 250])
def test_the_vocabulary_is_at_most_as_large_as_asked(vocab_size: int) -> None:
    assert trained(sentences(400), vocab_size=vocab_size).vocab_size == vocab_size


def test_less_text_gives_a_smaller_vocabulary() -> None:
    assert trained(["a b", "a b"], vocab_size=30_000).vocab_size == 5 + 2 * 2


@pytest.mark.parametrize(
    "text",
    [
        "这部电影非常好看，剧情紧凑。",  # noqa: RUF001
        "這部電影的導演很有名",
        "هذا الفيلم جميل جدا",
        "اَلْعَرَبِيَّةُ",
        "Это очень хороший фильм",
        "とても面白い映画でした。カタカナ",
        "아주 재미있는 영화였다",
        "ภาพยนตร์เรื่องนี้ดีมาก",
        "great 🙂 movie 🎬🎬 😀😀😀",
        "flags 🇩🇪🇫🇷 and skin 👍🏽",
        "नमस्ते दुनिया",
        "naïve café Ångström straße",
        "don't (stop): 3.14 – “quoted” …",  # noqa: RUF001
    ],
)
def test_every_script_is_tokenised_without_unknowns_and_read_back(text: str) -> None:
    tokenizer = trained([text] * 3 + sentences(50), vocab_size=2000)
    found = tokens(tokenizer, text)
    assert "[UNK]" not in found
    back = "".join(token.removeprefix("##") for token in found)
    assert back == "".join(text.split()).lower()


def test_unseen_words_of_seen_letters_are_never_unknown() -> None:
    tokenizer = trained(sentences(300))
    assert "[UNK]" not in tokens(
        tokenizer, "tomographically wonderfulness 好电影看非常 zzz".replace("z", "s")
    )


def test_case_is_folded_only_if_asked_and_accents_are_kept() -> None:
    texts = ["Café café CAFÉ Résumé"] * 5
    assert tokens(trained(texts), "CAFÉ") == tokens(trained(texts), "café") == ["café"]
    cased = trained(texts, lowercase=False)
    assert tokens(cased, "Café") == ["Café"] and tokens(cased, "café") == ["café"]


def test_a_sample_takes_lines_at_equal_distances_however_they_come_in_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "TRAINING_CHARACTERS", 26 * 4 // 3)
    texts = [letter * 4 for letter in LETTERS]

    def letters(sizes: list[int]) -> str:
        def blocks() -> Iterator[list[str]]:
            rest = list(texts)
            for size in sizes:
                yield rest[:size]
                del rest[:size]

        made = train_tokenizer(blocks, vocab_size=200, lowercase=True, characters=26 * 4)
        return "".join(sorted(token for token in made.backend.get_vocab() if len(token) == 1))

    assert letters([26]) == LETTERS[::4] == letters([1] * 26) == letters([5, 7, 0, 3, 11])
    texts = [line for text in texts for line in ("", text, " ")]  # documents of a paragraph each
    assert letters([78]) == LETTERS[::4] == letters([1] * 78)


def test_one_endless_line_does_not_stop_training() -> None:
    started = time.process_time()
    trained(["word and " * 300_000, *sentences(100)])
    assert time.process_time() - started < 5


# Encoding


LETTER_TOKENS = from_vocab([*SPECIALS, *LETTERS, *("##" + letter for letter in LETTERS)], lowercase=True)


@settings(deadline=None, derandomize=True, database=None, max_examples=200)
@given(st.lists(st.text(LETTERS + " ", max_size=40), min_size=1, max_size=5), st.integers(3, 20))
def test_at_most_max_length_tokens_are_kept_and_the_others_counted(texts: list[str], max_length: int) -> None:
    encoded = LETTER_TOKENS.encode(texts, max_length)
    arrays, lost = encoded.sequences, encoded.lost_N
    for text, ids, gone in zip(texts, arrays, lost.tolist(), strict=True):
        letters = text.replace(" ", "")
        assert len(ids) == min(len(letters), max_length - 2) + 2
        assert gone == max(0, len(letters) - (max_length - 2))
        kept = [LETTER_TOKENS.backend.id_to_token(i).removeprefix("##") for i in ids[1:-1].tolist()]
        assert "".join(kept) == letters[: max_length - 2]


@settings(deadline=None, derandomize=True, database=None, max_examples=200)
@given(st.lists(st.text("abc", max_size=40), min_size=1, max_size=5), st.integers(3, 30))
def test_head_and_tail_keep_both_ends_in_order(texts: list[str], max_length: int) -> None:
    spaced = [" ".join(text) for text in texts]
    encoded = LETTER_TOKENS.encode(spaced, max_length, "head_tail")
    arrays, lost = encoded.sequences, encoded.lost_N
    encoded = LETTER_TOKENS.encode(spaced, max_length)
    heads, lost_heads = encoded.sequences, encoded.lost_N
    room = max_length - 2
    assert lost.tolist() == lost_heads.tolist()
    for text, ids, head in zip(texts, arrays, heads, strict=True):
        kept = "".join(LETTER_TOKENS.backend.id_to_token(i) for i in ids[1:-1].tolist())
        quarter = room // 4
        assert kept == (text if len(text) <= room else text[:quarter] + text[len(text) - (room - quarter) :])
        if len(text) <= room:
            assert ids.tolist() == head.tolist()


def test_head_and_tail_of_a_text_beyond_the_character_cap() -> None:
    text = "a " * 4000 + "b " * 4000
    encoded = LETTER_TOKENS.encode([text], 10, "head_tail")
    (ids,), (lost,) = encoded.sequences, encoded.lost_N
    kept = [LETTER_TOKENS.backend.id_to_token(i) for i in ids[1:-1].tolist()]
    assert kept == ["a", "a", *"bbbbbb"] and lost > 0
    middle = "a " * 10 + "x" * 100_000 + " b" * 10
    (ids,) = LETTER_TOKENS.encode([middle], 10, "head_tail").sequences
    assert [LETTER_TOKENS.backend.id_to_token(i) for i in ids[1:-1].tolist()] == ["a", "a", *"bbbbbb"]


def test_unknown_characters_are_those_of_the_tokens_that_are_kept() -> None:
    texts = ["a ☃☃ b", "a b c ☃", "☃ b c a", "a b", "☃☃☃☃"]
    for long_texts, unknown in (("head", [2, 0, 1, 0, 4]), ("head_tail", [2, 1, 0, 0, 4])):
        encoded = LETTER_TOKENS.encode(texts, 5, long_texts)  # type: ignore[arg-type]
        assert encoded.unknown_N.tolist() == unknown, long_texts
        assert encoded.characters_N.tolist() == [4, 3, 3, 2, 4]
    plain = LETTER_TOKENS.encode_plain(texts)
    assert plain.unknown_N.tolist() == [2, 1, 1, 0, 4] and plain.characters_N.tolist() == [4, 4, 4, 2, 4]


def test_special_tokens_are_told_by_their_place_not_by_how_they_look() -> None:
    encoded = LETTER_TOKENS.encode(["a [SEP] b", "", "[CLS]"], 16)
    assert encoded.special_NS.tolist() == [[0, 4], [0, 1], [0, 2]]
    assert encoded.special(np.array([2, 0])).tolist() == [[0, 2], [0, 4]]
    for ids, special in zip(encoded.sequences, encoded.special_NS, strict=True):
        assert ids[special].tolist() == [LETTER_TOKENS.cls_id, LETTER_TOKENS.sep_id]
    assert LETTER_TOKENS.encode_plain(["a", "b"]).special_NS.shape == (2, 0)


@pytest.mark.parametrize(("before", "after"), [((), (7,)), ((5,), ()), ((5, 6), (7, 8)), ((), ())])
def test_a_frame_of_any_size_knows_its_places(before: tuple[int, ...], after: tuple[int, ...]) -> None:
    frame, inner = Frame(before, after), [10, 11, 12]
    ids = np.array([*before, *inner, *after])
    special = frame.special(np.array([len(ids)]))
    assert special.shape == (1, frame.size) and ids[special[0]].tolist() == [*before, *after]
    offsets = frame.offsets(np.array([[0, 1], [1, 2], [3, 5]]), 9)
    assert offsets.tolist() == [*[[0, 0]] * len(before), [0, 1], [1, 2], [3, 5], *[[9, 9]] * len(after)]


def test_an_empty_text_is_a_start_and_an_end() -> None:
    encoded = LETTER_TOKENS.encode(["", " \u3000"], 16)
    arrays, lost = encoded.sequences, encoded.lost_N
    assert [ids.tolist() for ids in arrays] == [[2, 3], [2, 3]] and lost.tolist() == [0, 0]


def test_a_ten_megabyte_line_is_cut_before_it_is_tokenised_and_counts_as_truncated() -> None:
    for line in ("a word " * 1_500_000, " " * 10_000_000, "x" * 10_000_000, "漢" * 3_500_000):
        started = time.process_time()
        encoded = LETTER_TOKENS.encode([line, "short"], 128)
        arrays, lost = encoded.sequences, encoded.lost_N
        assert time.process_time() - started < 0.2
        assert len(arrays[0]) <= 128
        assert lost[0] >= (1 if line.strip() else 0) and lost[1] == 0


def test_a_text_at_the_character_cap_is_whole_and_one_beyond_it_is_not() -> None:
    cap = CHARACTERS_PER_TOKEN * 10
    text = "a" + " " * (cap - 2) + "b"
    assert LETTER_TOKENS.encode([text], 10).lost_N.tolist() == [0]
    assert LETTER_TOKENS.encode([text + "b"], 10).lost_N.tolist() == [1]
    for blanks in (" " * cap, "\n\u3000" * cap):  # around a text they are no part of it
        encoded = LETTER_TOKENS.encode([f"{blanks}a b{blanks}", "a b"], 10)
        assert encoded.lost_N.tolist() == [0, 0]
        assert encoded.sequences[0].tolist() == encoded.sequences[1].tolist()


# Files


def as_json(tokenizer: TextTokenizer) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(tokenizer.to_json())
    return value


def write_json(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def fault(path: Path) -> str:
    with pytest.raises(DataError) as raised:
        load_tokenizer(path)
    return str(raised.value).replace(str(path.parent), "DIR")


def test_a_trained_tokenizer_is_the_same_when_it_is_written_and_read(tmp_path: Path) -> None:
    made = trained(sentences(300))
    (tmp_path / "tokenizer.json").write_bytes(made.to_json().encode())
    read = load_tokenizer(tmp_path / "tokenizer.json")
    texts = [*sentences(50, seed=9), "Ünseen Ωords ☃"]
    assert read.sha256 == made.sha256
    for one, other in zip(made.encode(texts, 32).sequences, read.encode(texts, 32).sequences, strict=True):
        assert one.tolist() == other.tolist()


@pytest.mark.parametrize("form", ["json", "txt"])
def test_a_tokenizer_is_read_from_a_pipe_and_its_beginning_tells_which(tmp_path: Path, form: str) -> None:
    """As the shell's <( ) gives it, which can be opened and read once."""
    vocab = write_vocab(tmp_path / "vocab.txt", ["film", "##s"])
    made = load_tokenizer(vocab)
    reading, writing = os.pipe()
    os.write(writing, made.to_json().encode() if form == "json" else vocab.read_bytes())
    os.close(writing)
    assert load_tokenizer(f"/dev/fd/{reading}").sha256 == made.sha256
    os.close(reading)


def test_what_cannot_be_read_as_a_tokenizer_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("custom_bert.data.tokenizer_files.LARGEST_FILE", 100)
    assert (
        fault(tmp_path / "none") == "DIR/none: no such tokenizer file; expected a vocab.txt or tokenizer.json"
    )
    (tmp_path / "folder").mkdir()
    assert fault(tmp_path / "folder") == "DIR/folder: cannot read: Is a directory"
    assert fault(Path("/dev/zero")).endswith("zero: cannot read: larger than 100 bytes")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_vocab_txt_is_read_line_by_line(tmp_path: Path, end: str) -> None:
    words = [*SPECIALS, "film", "##s", "\u2028", "好"]
    (tmp_path / "vocab.txt").write_bytes(("\ufeff" + end.join(words) + end + end).encode())
    tokenizer = load_tokenizer(tmp_path / "vocab.txt")
    assert tokenizer.vocab_size == len(words)
    assert tokens(tokenizer, "Films 好 x") == ["film", "##s", "好", "[UNK]"]
    assert tokens(load_tokenizer(tmp_path / "vocab.txt", lowercase=False), "Films") == ["[UNK]"]


def test_truncation_and_padding_inside_a_tokenizer_json_are_ignored(tmp_path: Path) -> None:
    value = as_json(LETTER_TOKENS)
    value["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    value["padding"] = {
        "strategy": {"Fixed": 12},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    tokenizer = load_tokenizer(write_json(tmp_path / "tokenizer.json", value))
    encoded = tokenizer.encode(["a b c d e f", "a"], 8)
    arrays, lost = encoded.sequences, encoded.lost_N
    assert [len(ids) for ids in arrays] == [8, 3] and lost.tolist() == [0, 0]


@pytest.mark.parametrize("missing", ["[CLS]", "[SEP]", "[PAD]"])
def test_a_vocabulary_without_a_special_token_is_refused(tmp_path: Path, missing: str) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(lines([token for token in SPECIALS if token != missing] + ["a"]))
    other = {"[CLS]": "<s>", "[SEP]": "</s>", "[PAD]": "<pad>"}[missing]
    assert fault(path) == f"DIR/vocab.txt: the vocabulary has no {missing} or {other} token"


def test_a_vocabulary_without_the_unknown_token_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(lines(["[PAD]", "[CLS]", "[SEP]", "a"]))
    assert fault(path) == (
        "DIR/vocab.txt: cannot encode an unknown word: "
        "WordPiece error: Missing [UNK] token from the vocabulary"
    )


def test_the_frame_is_what_the_tokenizer_says_not_an_entry_that_looks_like_one() -> None:
    """As in vocabularies of text from the web, where <s> strikes through."""
    words = ["<pad>", "<bos>", "<eos>", "<unk>", "<s>", "</s>", "film"]
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    frame = [("<bos>", 1), ("<eos>", 2)]
    backend.post_processor = processors.TemplateProcessing(single="<bos> $A <eos>", special_tokens=frame)
    tokenizer = TextTokenizer(backend)
    assert tokenizer.encode(["film"], 8).sequences[0].tolist() == [1, 6, 2]
    backend.post_processor = processors.Sequence([])
    assert TextTokenizer(backend).encode(["film"], 8).sequences[0].tolist() == [4, 6, 5]


def test_which_tokens_go_on_with_a_word() -> None:
    words = from_vocab([*SPECIALS, "film", "##s", "\u597d"], lowercase=True)
    assert words.continues_V.tolist() == [False] * len(SPECIALS) + [False, True, False]


def test_a_byte_level_tokenizer_needs_no_unknown_token(tmp_path: Path) -> None:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.train_from_iterator(
        sentences(50),
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<s>", "<pad>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    (tmp_path / "tokenizer.json").write_text(backend.to_str(), encoding="utf-8")
    tokenizer = load_tokenizer(tmp_path / "tokenizer.json")
    assert (tokenizer.cls_id, tokenizer.pad_id, tokenizer.sep_id) == (0, 1, 2)
    vocabulary = tokenizer.backend.get_vocab()
    goes_on = {token: bool(tokenizer.continues_V[vocabulary[token]]) for token in ("a", "\u0120", "<s>")}
    assert goes_on == {"a": True, "\u0120": False, "<s>": False}
    encoded = tokenizer.encode(["a film 🙂"], 64)
    arrays, lost = encoded.sequences, encoded.lost_N
    assert (arrays[0][0], arrays[0][-1], lost[0]) == (0, 2, 0)


def test_an_id_beyond_the_vocabulary_is_refused(tmp_path: Path) -> None:
    value = as_json(LETTER_TOKENS)
    value["model"]["vocab"]["a"] = 5000
    assert fault(write_json(tmp_path / "t.json", value)) == (
        f"DIR/t.json: the highest token id is 5,000, but only {LETTER_TOKENS.vocab_size} ids belong to a "
        f"token, and at most 1,000 may belong to none; number the tokens without such gaps"
    )


def test_ids_of_no_token_are_rows_of_the_model_and_are_told(tmp_path: Path) -> None:
    value, size = as_json(LETTER_TOKENS), LETTER_TOKENS.vocab_size
    value["model"]["vocab"]["more"] = size + 2
    tokenizer = load_tokenizer(write_json(tmp_path / "t.json", value))
    assert tokenizer.vocab_size == len(tokenizer.continues_V) == size + 3
    assert tokenizer.unused_ids == [size, size + 1] and tokenizer.ids.tolist() == [*range(size), size + 2]
    assert tokenizer.notes == (f"2 of {size + 3} ids belong to no token",)
    assert tokenizer.encode(["more"], 8).sequences[0].tolist() == [2, size + 2, 3]
    assert LETTER_TOKENS.notes == () and LETTER_TOKENS.unused_ids == []
    assert parse_tokenizer(tmp_path / "t.json", tokenizer.to_json().encode()).sha256 == tokenizer.sha256


def test_of_a_repeated_token_the_last_line_counts_and_both_are_told(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(write_vocab(tmp_path / "vocab.txt", ["a", "b", "c", "a", "", "b", "", "d"]))
    assert tokenizer.encode(["a b c d"], 8).sequences[0].tolist() == [2, 8, 10, 7, 12, 3]
    assert tokenizer.unused_ids == [5, 6, 9]
    assert tokenizer.notes == (
        "the token 'a' is on lines 6 and 9, and the last one counts; 2 other lines like this",
        "3 of 13 ids belong to no token",
    )


def test_an_added_token_to_which_the_library_gives_another_id_is_refused(tmp_path: Path) -> None:
    value, size = as_json(LETTER_TOKENS), LETTER_TOKENS.vocab_size
    value["added_tokens"].append({**value["added_tokens"][0], "content": "[NEW]", "id": size + 7})
    assert fault(write_json(tmp_path / "t.json", value)) == (
        f"DIR/t.json: a tokenizer with an added token out of order ('[NEW]' has the id {size + 7}, and the "
        f"tokenizers library gives it {size}), which is not supported; take a tokenizer that is WordPiece or "
        f"byte-level BPE"
    )


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("no.txt", None, "no such tokenizer file; expected a vocab.txt or tokenizer.json"),
        ("vocab.txt", b"", "the vocabulary has no [CLS] or <s> token"),
        ("vocab.txt", b"[PAD]\n\xff\n", "not valid UTF-8 at byte 7"),
        (
            "spiece.model",
            b"\n\x0e",
            "a SentencePiece tokenizer (a *.model file), which is not supported; take",
        ),
        ("t.json", b'{"model": {"type": "BPE"}}', "not a valid tokenizer.json: model: the key"),
        ("t.json", b"", "not a tokenizer.json: Expecting value: line 1 column 1 (char 0)"),
        ("t.json", b"[PAD]\n", "not a tokenizer.json: Expecting value: line 1 column 2 (char 1)"),
        ("t.json", b"[]", "not a tokenizer.json: expected an object"),
        ("t.json", b'{"version": "1.0"}', "not a tokenizer.json: the key 'model' is missing"),
    ],
)
def test_what_is_no_tokenizer_is_refused(
    tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert fault(tmp_path / name).startswith(f"DIR/{name}: {reason}")


def test_windows_keep_sixteen_windows_of_a_text() -> None:
    text = " ".join("abcdefgh" * 30)
    encoded = LETTER_TOKENS.encode([text], 10, "windows")
    (ids,), (lost,) = encoded.sequences, encoded.lost_N
    assert len(ids) == 8 * MAX_WINDOWS + 2 and lost == 240 - 8 * MAX_WINDOWS
    encoded = LETTER_TOKENS.encode([text[:199]], 10, "windows")
    (ids,), (lost,) = encoded.sequences, encoded.lost_N
    assert len(ids) == 102 and lost == 0
    (lost,) = LETTER_TOKENS.encode(["a" * 10**6], 10, "windows").lost_N
    assert lost >= 1


def test_the_tokens_of_a_pair_know_their_places_in_their_own_text() -> None:
    tokenizer = from_vocab([*SPECIALS, "ab", "##c", "d"], lowercase=True).reading(pairs=True)
    encoded = tokenizer.encode([paired("abc d", " d ab")], 20, offsets=True)
    assert encoded.offsets is not None
    tokens = ("[CLS]", "[SEP]", "ab", "##c", "d")
    cls, sep, ab, c, d = map(tokenizer.backend.token_to_id, tokens)
    assert encoded[0].tolist() == [cls, ab, c, d, sep, d, ab, sep]
    places = [(0, 0), (0, 2), (2, 3), (4, 5), (5, 5), (1, 2), (3, 5), (5, 5)]
    assert encoded.offsets[0].tolist() == [list(place) for place in places]
    assert encoded.special(np.array([0])).tolist() == [[0, 4, 7]]
    assert tokenizer.reading(pairs=True) is tokenizer and not tokenizer.reading(pairs=False).frame.between


def test_a_tokenizer_that_puts_pairs_together_in_another_way_is_refused() -> None:
    tokenizer = from_vocab([*SPECIALS, "a", "b"], lowercase=True, name="mine")
    ids = [(token, tokenizer.backend.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    for pair in ("[CLS] $B [SEP] $A:1 [SEP]:1", "$A [CLS] [SEP] $B", "[CLS] $A $B:1 [SEP]:1"):
        tokenizer.backend.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair=pair, special_tokens=ids
        )
        with pytest.raises(DataError, match=r"^mine: puts two texts together as .*; pairs are read as start"):
            tokenizer.reading(pairs=True)
