"""Vocabularies as published checkpoints have them: gaps and repetitions run as in transformers; what is not
supported is named, with the way out."""

import json
from pathlib import Path
from typing import Any

import pytest

from custom_bert.errors import RunError
from custom_bert.model_files.pretrained import Pretrained, load_pretrained

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

from parity.test_pretrained import SPECIALS, WORDS, published  # noqa: E402

TEXTS = [
    "a b c",
    "",
    "ab  ba<mask> z",
    "a[MASK]b",
    "\u00c9 e\u0301 x\u00a0y",
    "abc cab \U0001f642",
    "[PAD] <s>a",
]


def agrees(folder: Path) -> Pretrained:
    """The checkpoint, whose ids are those of transformers on every text."""
    found, theirs = load_pretrained(folder), transformers.AutoTokenizer.from_pretrained(folder)
    for text in TEXTS:
        ours = found.tokenizer.encode([text], 40).sequences
        assert ours[0].tolist() == theirs(text)["input_ids"], text
    return found


def configured(folder: Path, name: str, **settings: Any) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name, **settings}))


def byte_level(folder: Path, gap: int, **settings: Any) -> int:
    """vocab.json and merges.txt whose <mask> stands behind `gap` ids of no token; returns its id."""
    from tokenizers import pre_tokenizers

    (folder / "tokenizer.json").unlink(missing_ok=True)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *letters, "ab", "\u0120a", "\u0120ab"]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    vocab["<mask>"] = len(vocab) + gap
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("#version: 0.2\na b\n\u0120 a\n\u0120 ab\n")
    configured(folder, "RobertaTokenizer", **settings)
    return vocab["<mask>"]


@pytest.mark.parametrize("gap", [0, 2])
def test_a_mask_token_behind_unused_rows_is_as_in_transformers(tmp_path: Path, gap: int) -> None:
    published(tmp_path, "roberta", vocab_size=264 + gap)
    mask = byte_level(tmp_path, gap)
    found = agrees(tmp_path)
    assert found.tokenizer.mask_id == mask and found.tokenizer.vocab_size == mask + 1 == 264 + gap
    assert found.tokenizer.unused_ids == list(range(mask - gap, mask))
    told = [note for note in found.notes if "belong to no token" in note]
    assert told == ([f"tokenizer: 2 of {266} ids belong to no token"] if gap else [])


def test_a_model_needs_a_row_for_the_highest_id(tmp_path: Path) -> None:
    published(tmp_path, "roberta", vocab_size=265)
    byte_level(tmp_path, 2)
    with pytest.raises(RunError, match=r"has 266 entries, but the model has vectors for 265; .*resize_token"):
        load_pretrained(tmp_path)


@pytest.mark.parametrize(
    "lines",
    [
        ["a", "b", "a", *WORDS],
        ["a", "", "b", "", "c", "", "d"],
        ["a ", "b\u00a0", "\u3000", "\u2028", "c\t", "ab", "\u2028ab", "##b"],
        ["[MASK]", "a", "[PAD]", "b", "[CLS]"],
    ],
)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_repeated_and_empty_lines_of_vocab_txt_are_as_in_transformers(
    tmp_path: Path, lines: list[str], ends: str
) -> None:
    published(tmp_path, "bert")
    content = ends.join([*SPECIALS["bert"].split(), *lines]) + ends
    (tmp_path / "vocab.txt").write_bytes(content.encode())
    configured(tmp_path, "BertTokenizer")
    agrees(tmp_path)


def test_repeated_tokens_are_told(tmp_path: Path) -> None:
    published(tmp_path, "bert")
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIALS["bert"].split(), "a", "b", "a", "", "c", ""]))
    notes = load_pretrained(tmp_path).notes
    assert "tokenizer: the token 'a' is on lines 6 and 8, and the last one counts" in notes
    assert "tokenizer: 1 of 10 ids belong to no token" in notes


def test_gaps_in_a_tokenizer_json_are_as_in_transformers(tmp_path: Path) -> None:
    published(tmp_path, "bert")
    configured(tmp_path, "BertTokenizer")
    transformers.AutoTokenizer.from_pretrained(tmp_path).save_pretrained(tmp_path)
    value = json.loads((tmp_path / "tokenizer.json").read_text())
    for token in ("c", "e", "x"):
        del value["model"]["vocab"][token]
    value["model"]["vocab"]["ab"] = 39
    (tmp_path / "tokenizer.json").write_text(json.dumps(value))
    (tmp_path / "vocab.txt").unlink()
    assert len(agrees(tmp_path).tokenizer.unused_ids) > 3


FOREIGN = "take a checkpoint whose tokenizer is WordPiece or byte-level BPE"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("spiece.model", "a SentencePiece tokenizer"),
        ("sentencepiece.bpe.model", "a SentencePiece tokenizer"),
        ("bpe.codes", "a fastBPE tokenizer, as BERTweet and PhoBERT have it"),
    ],
)
def test_files_of_other_tokenizers_are_named(tmp_path: Path, name: str, kind: str) -> None:
    published(tmp_path, "bert")
    if name.endswith(".model"):
        (tmp_path / "vocab.txt").unlink()
    (tmp_path / name).write_bytes(b"\n\x0e\x08\xff")
    with pytest.raises(RunError) as caught:
        load_pretrained(tmp_path)
    assert str(caught.value) == f"{tmp_path / name}: {kind}, which is not supported; {FOREIGN}"


def test_no_tokenizer_at_all_says_what_is_expected(tmp_path: Path) -> None:
    published(tmp_path, "bert")
    (tmp_path / "vocab.txt").unlink()
    with pytest.raises(RunError, match=r"expected tokenizer.json, .*SentencePiece's \*\.model, are not supp"):
        load_pretrained(tmp_path)


REGEX = {"type": "Split", "pattern": {"Regex": r"\p{L}+"}, "behavior": "Isolated", "invert": False}


@pytest.mark.parametrize(
    ("part", "value", "kind"),
    [
        (
            "normalizer",
            {"type": "Sequence", "normalizers": [{"type": "Precompiled", "precompiled_charsmap": "AA=="}]},
            "a SentencePiece tokenizer (WordLevel with a Precompiled normalizer)",
        ),
        (
            "pre_tokenizer",
            {"type": "Sequence", "pretokenizers": [REGEX, {"type": "ByteLevel", "add_prefix_space": False}]},
            r"a tokenizer with a regular expression (pre_tokenizer.pretokenizers[0].pattern is '\\p{L}+')",
        ),
        (
            "normalizer",
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
            "a tokenizer with a regular expression (normalizer.pattern is ' {2,}')",
        ),
        (
            "pre_tokenizer",
            {"type": "FixedLength", "length": 3},
            "a tokenizer whose pre_tokenizer is of the type 'FixedLength'",
        ),
    ],
)
def test_what_is_not_supported_is_named_with_the_way_out(
    tmp_path: Path, part: str, value: dict[str, Any], kind: str
) -> None:
    published(tmp_path, "roberta")
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {part: value}))
    with pytest.raises(RunError) as caught:
        load_pretrained(tmp_path)
    assert str(caught.value) == f"{path}: {kind}, which is not supported; {FOREIGN}"


@pytest.mark.parametrize(
    "settings",
    [
        {"added_tokens_decoder": {"5": {"content": "a"}}},
        {"additional_special_tokens": ["[NEW]"]},
        {"extra_special_tokens": {"image_token": "[NEW]"}},
        {"cls_token": "a"},
    ],
)
@pytest.mark.parametrize("name", ["tokenizer_config.json", "special_tokens_map.json"])
def test_tokens_that_a_vocab_txt_alone_does_not_tell_are_refused(
    tmp_path: Path, settings: dict[str, Any], name: str
) -> None:
    published(tmp_path, "bert")
    (tmp_path / name).write_text(json.dumps(settings))
    with pytest.raises(
        RunError, match=r"names .*, and vocab\.txt alone does not say .*save it with transformers"
    ):
        load_pretrained(tmp_path)
    theirs = transformers.BertTokenizer.from_pretrained(tmp_path)
    theirs.save_pretrained(tmp_path)  # the way out
    if "[NEW]" not in json.dumps(settings):  # of which the model has no vector
        assert (tmp_path / "tokenizer.json").is_file() and load_pretrained(tmp_path)


def test_the_usual_tokens_in_a_configuration_are_no_hindrance(tmp_path: Path) -> None:
    published(tmp_path, "bert")
    usual = {str(i): {"content": token} for i, token in enumerate(SPECIALS["bert"].split())}
    configured(
        tmp_path,
        "BertTokenizer",
        added_tokens_decoder=usual,
        additional_special_tokens=[],
        extra_special_tokens={},
        mask_token={"content": "[MASK]", "__type": "AddedToken", "lstrip": False},
        unk_token="[UNK]",
        bos_token=None,
    )
    agrees(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json"])
def test_a_link_out_of_the_directory_is_told_with_its_target_and_the_way_out(
    tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "checkpoint"
    published(folder, "bert")
    configured(folder, "BertTokenizer")
    (folder / name).rename(tmp_path / "kept")
    (folder / name).symlink_to("../kept")
    with pytest.raises(RunError) as caught:
        load_pretrained(folder)
    assert str(caught.value) == (
        f"{folder / name}: a link to ../kept, which leads out of the directory and is not followed; "
        f"cp -rL {folder} COPY makes a copy without links"
    )
    (tmp_path / "kept").unlink()
    with pytest.raises(RunError) as caught:
        load_pretrained(folder)
    assert str(caught.value) == f"{folder / name}: a link to ../kept, which is not there"
