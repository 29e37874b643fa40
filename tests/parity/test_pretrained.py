"""Published checkpoints load: what transformers saves gives its hidden states, and nothing else gets in."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from custom_bert.batch import Batch
from custom_bert.errors import RunError
from custom_bert.model_files.pretrained import load_pretrained
from custom_bert.model_files.tables import to_hugging_face
from custom_bert.models.heads import SequenceClassifier

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

from parity.comparison import randomise  # noqa: E402

SPECIALS = {"bert": "[PAD] [UNK] [CLS] [SEP] [MASK]", "roberta": "<s> <pad> </s> <unk> <mask>"}
WORDS = [chr(c) for c in range(ord("a"), ord("z") + 1)]
SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 24}
COMMON = {**SIZES, "vocab_size": 40, "max_position_embeddings": 50}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("Bert", {**COMMON, "pad_token_id": 0}),
    "roberta": ("Roberta", {**COMMON, "pad_token_id": 1, "type_vocab_size": 1}),
    "distilbert": (
        "DistilBert",
        dict(dim=32, n_layers=3, n_heads=4, hidden_dim=24, vocab_size=40, max_position_embeddings=50),
    ),
    "roberta-prelayernorm": ("RobertaPreLayerNorm", {**COMMON, "pad_token_id": 1, "type_vocab_size": 1}),
    "modernbert": ("ModernBert", {**COMMON, "pad_token_id": 0, "local_attention": 8}),
}
HEADS = (
    "Model",
    "ForMaskedLM",
    "ForSequenceClassification",
    "ForQuestionAnswering",
    "ForTokenClassification",
)


def published(folder: Path, family: str, head: str = "ForMaskedLM", **changes: Any) -> Any:
    """A directory as transformers saves it, with random weights; returns the model."""
    name, values = MODELS[family]
    ids = {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
    config = getattr(transformers, f"{name}Config")(**values, **(ids if family == "modernbert" else {}))
    for key, value in changes.items():
        setattr(config, key, value)
    model = getattr(transformers, f"{name}{head}")(config).eval()
    randomise(model)
    model.save_pretrained(folder)
    specials = SPECIALS["roberta" if family.startswith("roberta") else "bert"].split()
    if family.startswith("roberta"):
        from tokenizers import Tokenizer, models

        vocab = {token: i for i, token in enumerate([*specials, *WORDS])}
        Tokenizer(models.WordLevel(vocab, unk_token="<unk>")).save(str(folder / "tokenizer.json"))
    else:
        (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in [*specials, *WORDS]))
    return model


def hidden(folder: Path, sequences: list[np.ndarray]) -> torch.Tensor:
    found = load_pretrained(folder)
    model = SequenceClassifier(found.encoder, 2).eval()
    missing, extra = model.load_state_dict(found.state, strict=False)
    assert not extra and all(name.startswith("head.") for name in missing)
    with torch.no_grad():
        return model.encoder(Batch.build(sequences))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("family", MODELS)
def test_hidden_states_are_transformers(family: str, head: str, tmp_path: Path) -> None:
    theirs = published(tmp_path, family, head)
    base = theirs if head == "Model" else getattr(theirs, theirs.base_model_prefix)
    generator = np.random.Generator(np.random.PCG64(0))
    sequences = [generator.integers(5, 40, size=n) for n in (1, 30, 7)]
    ours = hidden(tmp_path, sequences)
    for i, ids in enumerate(sequences):
        start = sum(len(s) for s in sequences[:i])
        with torch.no_grad():
            wanted = base(input_ids=torch.from_numpy(ids)[None]).last_hidden_state[0]
        assert (ours[start : start + len(ids)] - wanted).abs().max() < 1e-5


@pytest.mark.parametrize("family", MODELS)
def test_a_classifier_comes_back_byte_for_byte(family: str, tmp_path: Path) -> None:
    theirs = published(tmp_path, family, "ForSequenceClassification")
    found = load_pretrained(tmp_path)
    from custom_bert.model_files.families import FAMILIES, family_of

    assert family_of(found.encoder) is FAMILIES[family]
    back = to_hugging_face(FAMILIES[family], found.state)
    state = theirs.state_dict()
    for name, tensor in back.items():
        assert torch.equal(tensor, state[name]), name
    left = {name for name in state if name not in back}
    assert all(name.startswith("classifier") for name in left), left
    assert any("not needed for new labels: classifier" in note for note in found.notes)


def test_what_was_done_is_told(tmp_path: Path) -> None:
    published(tmp_path, "bert", "ForPreTraining", pooler_fc_size=768)
    tensors = load_file(tmp_path / "model.safetensors")
    for old, new in (("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta")):
        tensors = {name.replace(old, new): tensor for name, tensor in tensors.items()}
    tensors["bert.embeddings.position_ids"] = torch.arange(50)[None]
    half = {n: t.half() if t.is_floating_point() else t for n, t in tensors.items()}
    save_file(half, tmp_path / "model.safetensors")
    notes = "\n".join(load_pretrained(tmp_path).notes)
    assert "config.json: not read: " in notes and "pooler_fc_size" in notes
    assert "tensors named gamma and beta" in notes and "float16, converted to float32" in notes
    assert "bert.embeddings.position_ids" in notes and "cls.seq_relationship.weight" in notes
    assert "newly initialised: head.projection.weight, head.projection.bias" in notes


SELF = "bert.encoder.layer.0.attention.self"


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "config.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("is_decoder", True, "is_decoder is True"),
        ("position_embedding_type", "relative_key", "position_embedding_type is 'relative_key'"),
        ("hidden_act", "silu", "hidden_act is 'silu'; known are gelu"),
        ("model_type", "t5", "model_type is 't5'; known are bert, roberta"),
        ("hidden_size", "big", "hidden_size: expected a whole number, got 'big'"),
        ("vocab_size", None, "vocab_size is missing"),
        ("num_hidden_layers", -1, "num_hidden_layers is -1, not between 1 and 1024"),
        ("num_hidden_layers", 1024, "bytes of weights, but"),
        ("hidden_dropout_prob", 1.5, "hidden_dropout is 1.5"),
        ("type_vocab_size", -1, "type_vocab_size is -1"),
        ("layer_norm_eps", 7, "norm_eps is 7"),
        ("hidden_size", 1 << 40, "hidden_size is"),
        ("num_attention_heads", 5, "not divisible"),
        ("pad_token_id", 40, "pad_token_id 40 is not in a vocabulary"),
        ("num_hidden_layers", 4, "encoder.layer.3"),
        ("num_hidden_layers", 2, "no place for the tensors bert.encoder.layer.2"),
        ("intermediate_size", 25, "config.json describes"),
    ],
)
def test_what_we_do_not_compute_is_refused(key: str, value: Any, told: str, tmp_path: Path) -> None:
    published(tmp_path, "bert")
    edit(tmp_path, lambda values: values.update({key: value}))
    with pytest.raises(RunError) as caught:
        load_pretrained(tmp_path)
    assert told in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("norm_bias", True, "norm_bias is True"),
        ("layer_types", ["full_attention"] * 2 + ["sliding_attention"], "no regular alternation"),
        ("rope_parameters", {"full_attention": {"rope_type": "yarn"}}, "rope_type is 'yarn'"),
        ("rope_scaling", {"type": "linear", "factor": 2.0}, "rope_scaling is .*; known are none"),
        ("rope_parameters", 3, "rope_parameters: expected a dict"),
        ("rope_parameters", {"full_attention": 3}, "full_attention: expected a dict"),
        ("rope_parameters", {"rope_theta": 5.0}, "rope_parameters.rope_theta: known are full_attention"),
        ("num_hidden_layers", 10**9, "layer_types has 3 entries for 1000000000 layers"),
        ("local_attention", -2, "local_attention is -2"),
    ],
)
def test_modernberts_own_keys_are_checked(key: str, value: Any, told: str, tmp_path: Path) -> None:
    published(tmp_path, "modernbert")
    edit(tmp_path, lambda values: values.update({key: value}))
    with pytest.raises(RunError, match=told):
        load_pretrained(tmp_path)


def test_modernberts_empty_rotation_is_the_classs_own(tmp_path: Path) -> None:
    published(tmp_path, "modernbert")
    for empty in (None, {}, {"full_attention": None, "sliding_attention": {}}):
        edit(tmp_path, lambda values, empty=empty: values.update(rope_parameters=empty))  # type: ignore[misc]
        encoder = load_pretrained(tmp_path).encoder
        assert (encoder.rope_theta, encoder.local_rope_theta) == (160_000, 10_000)


def test_an_alternation_of_0_layers_is_refused(tmp_path: Path) -> None:
    published(tmp_path, "modernbert")

    def older(values: dict[str, Any]) -> None:
        del values["layer_types"]
        values["global_attn_every_n_layers"] = 0

    edit(tmp_path, older)
    with pytest.raises(RunError, match="global_attn_every_n_layers is 0"):
        load_pretrained(tmp_path)


def test_modernberts_older_keys_are_understood(tmp_path: Path) -> None:
    published(tmp_path, "modernbert")

    def older(values: dict[str, Any]) -> None:
        del values["layer_types"], values["rope_parameters"]
        values |= {"global_attn_every_n_layers": 2, "global_rope_theta": 5e4, "local_rope_theta": 1e3}

    edit(tmp_path, older)
    encoder = load_pretrained(tmp_path).encoder
    assert [encoder.is_local(i) for i in range(3)] == [False, True, False]
    assert (encoder.rope_theta, encoder.local_rope_theta) == (5e4, 1e3)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.pop("bert.embeddings.word_embeddings.weight"), "word_embeddings.weight are missing"),
        (lambda t: t.update({"surprise.weight": torch.ones(2)}), "no place for the tensors surprise.weight"),
        (lambda t: t["bert.embeddings.LayerNorm.weight"].fill_(float("nan")), "not finite"),
        (lambda t: t.update({"bert.embeddings.LayerNorm.weight": torch.ones(31)}), r"is \(31,\)"),
        (lambda t: t.update({"bert.embeddings.LayerNorm.bias": torch.ones(32).long()}), "not finite numbers"),
        (lambda t: t.update({f"{SELF}.key.weight": torch.ones(32, 31)}), r"key.weight is \(32, 31\)"),
        (lambda t: t.update({f"{SELF}.value.bias": torch.tensor(1.0)}), r"value.bias is \(\)"),
        (
            lambda t: t.update({"bert.embeddings.LayerNorm.gamma": torch.ones(32)}),
            "gamma means bert.embeddings.LayerNorm.weight, which stands there too|LayerNorm.weight means",
        ),
        (
            lambda t: t.update({"embeddings.LayerNorm.weight": torch.ones(32)}),
            "LayerNorm.weight, which stands there too",
        ),
    ],
)
def test_wrong_tensors_are_refused_by_name(change: Any, told: str, tmp_path: Path) -> None:
    published(tmp_path, "bert")
    tensors = load_file(tmp_path / "model.safetensors")
    change(tensors)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(RunError, match=told):
        load_pretrained(tmp_path)


def test_shards_are_read_and_may_not_leave_the_directory(tmp_path: Path) -> None:
    published(tmp_path / "whole", "bert")
    shutil.copytree(tmp_path / "whole", tmp_path / "sharded")
    tensors = load_file(tmp_path / "whole" / "model.safetensors")
    (tmp_path / "sharded" / "model.safetensors").unlink()
    halves = sorted(tensors)[::2], sorted(tensors)[1::2]
    weight_map = {}
    for i, names in enumerate(halves):
        save_file({n: tensors[n] for n in names}, tmp_path / "sharded" / f"part-{i}.safetensors")
        weight_map |= dict.fromkeys(names, f"part-{i}.safetensors")
    index = tmp_path / "sharded" / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    whole, sharded = (load_pretrained(tmp_path / name).state for name in ("whole", "sharded"))
    assert whole.keys() == sharded.keys()
    assert all(torch.equal(whole[name], sharded[name]) for name in whole)
    for name in ("../whole/model.safetensors", "/etc/passwd", ".."):
        index.write_text(json.dumps({"weight_map": {"x": name}}))
        with pytest.raises(RunError, match="leaves the directory"):
            load_pretrained(tmp_path / "sharded")


def test_pickles_are_refused_with_the_way_out(tmp_path: Path) -> None:
    published(tmp_path, "bert")
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(RunError, match=r"pytorch_model\.bin is a pickle.*save_pretrained"):
        load_pretrained(tmp_path)


def test_a_tokenizer_larger_than_the_embeddings_is_refused(tmp_path: Path) -> None:
    published(tmp_path, "bert")
    with (tmp_path / "vocab.txt").open("a") as stream:
        stream.writelines(f"w{i}\n" for i in range(20))
    with pytest.raises(RunError, match="51 lines, but the model has vectors for 40"):
        load_pretrained(tmp_path)


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    published(tmp_path, "bert")
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights.replace(b'"F32"', b'"F4X"', 1))
    with pytest.raises(RunError, match=r"model\.safetensors: ") as caught:
        load_pretrained(tmp_path)
    assert "\n" not in str(caught.value)
    (tmp_path / "model.safetensors").write_bytes(weights)
    (tmp_path / "vocab.txt").write_bytes("[PAD]\ncaf\xe9".encode("latin-1"))
    with pytest.raises(RunError, match=r"vocab\.txt: not valid UTF-8 at byte 10"):
        load_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"tokenizer_class": "BertJapaneseTokenizer"}, "'BertJapaneseTokenizer', of which vocab.txt is not"),
        ({"word_tokenizer_type": "mecab"}, "word_tokenizer_type is 'mecab'; known is 'basic'"),
        ({"do_basic_tokenize": False}, "do_basic_tokenize is False"),
        ({"never_split": ["a"]}, "never_split is"),
    ],
)
def test_tokenizers_that_split_otherwise_are_refused(
    settings: dict[str, Any], told: str, tmp_path: Path
) -> None:
    published(tmp_path, "bert")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(RunError, match=told):
        load_pretrained(tmp_path)


def test_a_tokenizers_class_may_stand_in_config_json_and_tokens_may_not_stand_elsewhere(
    tmp_path: Path,
) -> None:
    published(tmp_path, "bert")
    (tmp_path / "added_tokens.json").write_text('{"[NEW]": 31}')
    with pytest.raises(RunError, match=r"added_tokens\.json adds to vocab.txt; save it with transformers"):
        load_pretrained(tmp_path)
    (tmp_path / "added_tokens.json").unlink()
    edit(tmp_path, lambda values: values.update(tokenizer_class="CanineTokenizer"))
    with pytest.raises(RunError, match="tokenizer_class is 'CanineTokenizer'"):
        load_pretrained(tmp_path)


@pytest.mark.parametrize("settings", [{}, {"do_lower_case": False}, {"strip_accents": False}])
def test_word_pieces_from_vocab_txt_are_transformers(settings: dict[str, Any], tmp_path: Path) -> None:
    published(tmp_path, "bert")
    (tmp_path / "vocab.txt").write_text(
        "\n".join([*SPECIALS["bert"].split(), "é", "E", "e", "漢", "##字", "!"])
    )
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", **settings})
    )
    theirs = transformers.BertTokenizer.from_pretrained(tmp_path)
    texts = ["É e E! 漢字", "e\u0301", "", "漢 ! \t é"]
    ours = load_pretrained(tmp_path).tokenizer.encode(texts, 40).sequences
    assert [ids.tolist() for ids in ours] == [theirs(text)["input_ids"] for text in texts]


def test_byte_pairs_from_vocab_json_are_transformers(tmp_path: Path) -> None:
    published(tmp_path, "roberta")
    (tmp_path / "tokenizer.json").unlink()
    letters = [chr(c) for c in (*range(33, 127), 0x120)]
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *letters[:20], "Ġ", "a", "b", "ab", "Ġa", "Ġab", "<mask>"]
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    (tmp_path / "vocab.json").write_text(json.dumps(vocab))
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\nĠ a\nĠa b\n")
    theirs = transformers.RobertaTokenizer.from_pretrained(tmp_path)
    texts = ["ab a ab", " ab", "a<mask> b", "", "a  ab"]
    ours = load_pretrained(tmp_path).tokenizer.encode(texts, 40).sequences
    assert [ids.tolist() for ids in ours] == [theirs(text)["input_ids"] for text in texts]


@pytest.mark.parametrize(
    ("setting", "value", "text"),
    [
        ("do_lower_case", False, "A b"),
        ("strip_accents", True, "\u00e9 b"),
        ("tokenize_chinese_chars", False, "a\u597db"),
    ],
)
def test_what_tokenizer_config_says_counts_more_than_tokenizer_json(
    tmp_path: Path, setting: str, value: bool, text: str
) -> None:
    published(tmp_path, "bert")
    (tmp_path / "vocab.txt").write_text(
        "".join(f"{t}\n" for t in [*SPECIALS["bert"].split(), *WORDS, "\u00e9", "\u597d"])
    )
    before = transformers.BertTokenizer(vocab=str(tmp_path / "vocab.txt"), strip_accents=False)
    before.save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").unlink()
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {setting: value}))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ours = load_pretrained(tmp_path).tokenizer
    assert ours.encode([text], 32).sequences[0].tolist() == theirs(text)["input_ids"]
    assert theirs(text)["input_ids"] != before(text)["input_ids"]
