"""A classifier in Hugging Face's layout predicts with our engine what transformers' pipeline predicts, in
every family and for every kind of problem; and what is no such classifier is refused in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from custom_bert import Classifier, LabelsPrediction
from custom_bert.errors import RunError
from custom_bert.tasks import published_labels

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

from parity.test_pairs import checkpoint  # noqa: E402
from parity.test_pretrained import MODELS  # noqa: E402

HEAD = "ForSequenceClassification"
FRUIT = ("kiwi", "fig", "date", "plum", "pear", "lime", "nut", "oat", "rye", "yam", "egg", "ham")
NAMES = dict(enumerate(FRUIT))
"""More than ten, in no order of the alphabet, so that 10 stands before 2 if numbers are taken for words."""

THRESHOLDS = {name: round(0.05 + 0.07 * index, 2) for index, name in NAMES.items()}
TEXTS = ["a b c", "", "t h e q u i c k", "x " * 90, "z y x w v", "A n W \u00f6 r d é s \u6f22", "q"]
PAIRS = [("a b c", "d e"), ("", "f g h"), ("x " * 60, "y " * 60), ("k l m n", "k l m n")]
BACKWARDS = {"label2id": {name: index for index, name in NAMES.items()}, "id2label": NAMES}


def published(folder: Path, family: str, **changes: Any) -> Any:
    """A classifier with the tokenizer of its family, which knows how long a text may be. Its outputs depend
    enough on the texts that these get several labels."""
    model = checkpoint(folder, family, HEAD, **changes)
    projection = getattr(model.classifier, "out_proj", model.classifier)
    with torch.no_grad():
        projection.weight.mul_(8)
        ids = torch.randint(5, 30, (16, 12), generator=torch.Generator().manual_seed(0))
        projection.bias.sub_(model(input_ids=ids).logits.mean(0))
    model.save_pretrained(folder)
    edit(folder, "tokenizer_config.json", model_max_length=48)
    return model


def pipeline(folder: Path, **options: Any) -> Any:
    return transformers.pipeline("text-classification", model=str(folder), device="cpu", **options)


def theirs(folder: Path, texts: list[Any], **options: Any) -> np.ndarray:
    """(N, K) the scores of the pipeline, in the order of the outputs."""
    pipe = pipeline(folder, **options)
    given = [{"text": one[0], "text_pair": one[1]} if isinstance(one, tuple) else one for one in texts]
    order = list(pipe.model.config.id2label.values())
    answers = [pipe(one, truncation=True, top_k=None) for one in given]
    scores = [{one["label"]: one["score"] for one in answer} for answer in answers]
    return np.array([[by_label[label] for label in order] for by_label in scores])


def edit(folder: Path, name: str = "config.json", **changes: Any) -> None:
    """Changes keys of a JSON file; None removes one."""
    path = folder / name
    values = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))


@pytest.mark.parametrize("family", MODELS)
def test_one_label_a_text_as_in_the_pipeline(family: str, tmp_path: Path) -> None:
    published(tmp_path, family, **BACKWARDS)
    ours = Classifier.load(tmp_path)
    assert ours.labels == tuple(NAMES.values()) and not ours.pairs
    wanted_NC = theirs(tmp_path, TEXTS)
    assert np.abs(ours.predict_proba(TEXTS) - wanted_NC).max() < 1e-5
    pipe = pipeline(tmp_path)
    answers = [pipe(text, truncation=True)[0] for text in TEXTS]
    predicted = ours.predict(TEXTS)
    assert [one.label for one in predicted] == [answer["label"] for answer in answers]
    assert [one.probability for one in predicted] == pytest.approx([a["score"] for a in answers], abs=1e-5)
    assert len({one.label for one in predicted}) > 1


@pytest.mark.parametrize("family", MODELS)
def test_any_number_of_labels_by_the_thresholds_of_the_directory(family: str, tmp_path: Path) -> None:
    published(tmp_path, family, **BACKWARDS, problem_type="multi_label_classification")
    wanted_NC = theirs(tmp_path, TEXTS)
    assert np.abs(wanted_NC.sum(1) - 1).max() > 0.1

    def sets_at(thresholds_C: Any) -> list[tuple[str, ...]]:
        return [
            tuple(NAMES[i] for i in np.flatnonzero(row_C >= thresholds_C).tolist()) for row_C in wanted_NC
        ]

    for thresholds, values in ((None, 0.5), (THRESHOLDS, np.array(list(THRESHOLDS.values())))):
        edit(tmp_path, thresholds=thresholds)
        ours = Classifier.load(tmp_path)
        assert np.abs(ours.predict_proba(TEXTS) - wanted_NC).max() < 1e-5
        predicted = ours.predict(TEXTS)
        assert all(isinstance(one, LabelsPrediction) for one in predicted)
        assert [one.labels for one in predicted] == sets_at(values)
    assert sets_at(0.5) != sets_at(np.array(list(THRESHOLDS.values())))


@pytest.mark.parametrize("outputs", [1, 3])
def test_numbers_are_the_outputs_themselves(outputs: int, tmp_path: Path) -> None:
    names = {index: f"LABEL_{index}" for index in range(outputs)}
    published(tmp_path, "bert", id2label=names, problem_type="regression")
    ours = Classifier.load(tmp_path)
    wanted_NK = theirs(tmp_path, TEXTS)
    assert ours.labels == () and np.abs(ours.predict_proba(TEXTS) - wanted_NK).max() < 1e-5
    assert [len(one.as_dict()["numbers"]) for one in ours.predict(TEXTS)] == [outputs] * len(TEXTS)
    assert wanted_NK.min() < 0


def test_one_output_without_a_problem_is_a_number_as_transformers_trains_it(tmp_path: Path) -> None:
    published(tmp_path, "roberta", id2label={0: "LABEL_0"})
    ours = Classifier.load(tmp_path).predict_proba(TEXTS)
    assert np.abs(ours - theirs(tmp_path, TEXTS, function_to_apply="none")).max() < 1e-5
    # the pipeline does not know of numbers, and puts them between 0 and 1
    assert np.abs(1 / (1 + np.exp(-ours)) - theirs(tmp_path, TEXTS)).max() < 1e-5


def test_two_outputs_without_names_have_those_of_transformers(tmp_path: Path) -> None:
    published(tmp_path, "bert")
    edit(tmp_path, id2label=None, label2id=None)
    ours = Classifier.load(tmp_path)
    assert ours.labels == ("LABEL_0", "LABEL_1")
    assert np.abs(ours.predict_proba(TEXTS) - theirs(tmp_path, TEXTS)).max() < 1e-5


@pytest.mark.parametrize("family", MODELS)
def test_pairs_where_the_directory_says_so(family: str, tmp_path: Path) -> None:
    published(tmp_path, family, **BACKWARDS)
    edit(tmp_path, text_pairs=True)
    ours = Classifier.load(tmp_path)
    assert ours.pairs
    assert np.abs(ours.predict_proba(PAIRS) - theirs(tmp_path, PAIRS)).max() < 1e-5


def test_a_cross_encoder_of_sentence_transformers_reads_pairs(tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    published(tmp_path / "plain", "bert", id2label={0: "LABEL_0"})
    library.CrossEncoder(str(tmp_path / "plain"), device="cpu").save(str(tmp_path / "saved"))
    cross = library.CrossEncoder(str(tmp_path / "saved"), device="cpu")
    ours = Classifier.load(tmp_path / "saved")
    wanted_N = cross.predict(list(PAIRS), activation_fn=torch.nn.Identity())
    assert ours.pairs and np.abs(ours.predict_proba(PAIRS)[:, 0] - wanted_N).max() < 1e-5


@pytest.mark.parametrize("limit", ["tokenizer", "positions"])
def test_long_texts_are_cut_where_transformers_cuts_them(limit: str, tmp_path: Path) -> None:
    published(tmp_path, "distilbert", **BACKWARDS)
    edit(tmp_path, "tokenizer_config.json", model_max_length=9 if limit == "tokenizer" else None)
    texts = [" ".join("abcdefghijklmnopqrstuvwxyz"[i:] * 4) for i in range(5)]
    options = {} if limit == "tokenizer" else {"max_length": 50}
    pipe = pipeline(tmp_path)
    wanted = [
        {a["label"]: a["score"] for a in pipe(text, truncation=True, top_k=None, **options)} for text in texts
    ]
    wanted_NC = np.array([[row[name] for name in NAMES.values()] for row in wanted])
    assert np.abs(Classifier.load(tmp_path).predict_proba(texts) - wanted_NC).max() < 1e-5


def test_half_precision_and_shards_are_read(tmp_path: Path) -> None:
    model = published(tmp_path, "modernbert", **BACKWARDS)
    before = Classifier.load(tmp_path).predict_proba(TEXTS)
    tensors = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert (tmp_path / "model.safetensors.index.json").exists()
    assert (Classifier.load(tmp_path).predict_proba(TEXTS) == before).all()
    for path in (*tmp_path.glob("model-*"), tmp_path / "model.safetensors.index.json"):
        path.unlink()
    save_file({name: tensor.half() for name, tensor in tensors.items()}, tmp_path / "model.safetensors")
    assert np.abs(Classifier.load(tmp_path).predict_proba(TEXTS) - before).max() < 5e-2


def without_head(folder: Path) -> None:
    """Leaves the classifier out, and does not say so in config.json."""
    tensors = load_file(folder / "model.safetensors")
    left = {name: tensor for name, tensor in tensors.items() if not name.startswith("classifier")}
    save_file(left, folder / "model.safetensors")


def without_special_tokens(folder: Path) -> None:
    """Lets the tokenizer give a text's own tokens alone, as a class without a form of its own does."""
    tokenizer = transformers.BertTokenizer.from_pretrained(folder).backend_tokenizer
    value = {**json.loads(tokenizer.to_str()), "post_processor": None}
    (folder / "tokenizer.json").write_text(json.dumps(value))
    edit(folder, "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")


Change = Callable[[Path], None]


def class_of(name: str) -> Change:
    return lambda folder: edit(folder, architectures=[name])


def key(**changes: Any) -> Change:
    return lambda folder: edit(folder, **changes)


TRAIN = "custom-bert train DATA --model.init-from {folder} trains a classifier from it"
REFUSED: dict[str, tuple[Change, str]] = {
    "a masked language model": (
        class_of("BertForMaskedLM"),
        f"{{config}}: BertForMaskedLM is a masked language model, which knows no labels; {TRAIN}",
    ),
    "a bare encoder": (
        class_of("BertModel"),
        f"{{config}}: BertModel is a bare encoder, which knows no labels; {TRAIN}, and Embedder.load gives "
        f"vectors",
    ),
    "a token classifier without tags": (
        class_of("BertForTokenClassification"),
        "{config}: id2label is ['kiwi', 'fig', 'date', 'plum', 'pear', 'lime', 'nut', 'oat', 'rye', '"
        "yam', '...; expected O, and B- and I- of each type of spans, as B-PER and I-PER",
    ),
    "a generative model": (
        class_of("LlamaForCausalLM"),
        "{config}: LlamaForCausalLM is a generative model; only encoders with a classifier are read",
    ),
    "another class": (
        class_of("BertForMultipleChoice"),
        "{config}: BertForMultipleChoice is no classifier of texts; expected a class such as "
        "BertForSequenceClassification",
    ),
    "an unsupported family": (
        key(model_type="deberta-v2", architectures=["DebertaV2ForSequenceClassification"]),
        "{config}: model_type is 'deberta-v2'; known are bert, roberta, distilbert, roberta-prelayernorm, "
        "modernbert",
    ),
    "custom code": (
        key(auto_map={"AutoModel": "modeling.Model"}),
        "{config}: auto_map names code that comes with the checkpoint and computes something of its own; "
        "code is never run",
    ),
    "no names for twelve outputs": (
        key(id2label=None, label2id=None),
        "{folder}: classifier.bias has 12 outputs, and config.json describes 2; give each output a name in "
        "id2label",
    ),
    "more outputs than can be": (
        key(id2label=None, label2id=None, num_labels=1 << 40),
        "{config}: num_labels is 1099511627776",
    ),
    "a name left out": (
        key(id2label={**{str(i): name for i, name in NAMES.items() if i}, "12": "tea"}),
        "{config}: id2label has the keys ['1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '11', '12']; "
        "expected the numbers of the outputs, 0 to 11",
    ),
    "one name for two outputs": (
        key(id2label={**{str(i): name for i, name in NAMES.items()}, "11": "kiwi"}),
        "{config}: id2label has the label 'kiwi' twice; rename one",
    ),
    "an empty name": (
        key(id2label={**{str(i): name for i, name in NAMES.items()}, "11": ""}),
        "{config}: id2label: '' cannot be a label",
    ),
    "names in a list": (
        key(id2label=["a", "b"]),
        "{config}: id2label is ['a', 'b']; expected a name for each output, by its number",
    ),
    "an unknown problem": (
        key(problem_type="ranking"),
        "{config}: problem_type is 'ranking'; known are single_label_classification, "
        "multi_label_classification, regression",
    ),
    "one label of one": (
        key(problem_type="single_label_classification", id2label={"0": "kiwi"}),
        "{config}: problem_type is 'single_label_classification', which needs two labels or more, and there "
        "is one; for a number, write 'regression'",
    ),
    "thresholds of other labels": (
        key(problem_type="multi_label_classification", thresholds={"kiwi": 0.5}),
        "{config}: thresholds is {{'kiwi': 0.5}}; expected a number for each label of id2label",
    ),
    "a threshold beyond 1": (
        key(problem_type="multi_label_classification", thresholds={**THRESHOLDS, "fig": 1.5}),
        "{config}: thresholds: 1.5 of the label 'fig' is no number from 0 to 1",
    ),
    "no classifier among the tensors": (
        without_head,
        "{folder}: classifier.bias is missing, so it is no BertForSequenceClassification; custom-bert train "
        "DATA --model.init-from {folder} trains a classifier from its encoder",
    ),
    "an empty separator": (
        key(label_separator=""),
        "{config}: label_separator is ''; expected characters",
    ),
    "pairs that are neither": (
        key(text_pairs="yes"),
        "{config}: text_pairs is 'yes'; expected true or false",
    ),
    "texts cut at their beginnings": (
        lambda folder: edit(folder, "tokenizer_config.json", truncation_side="left"),
        "{folder}/tokenizer_config.json: truncation_side is 'left', which keeps the ends of long texts; "
        "known is 'right'",
    ),
    "no special tokens": (
        without_special_tokens,
        "{folder}/tokenizer.json: puts nothing around a text; texts are read with one token before and one "
        "after",
    ),
    "a length of two tokens": (
        lambda folder: edit(folder, "tokenizer_config.json", model_max_length=2),
        "{folder}/tokenizer_config.json: model_max_length is 2; expected a number of tokens from 3 on",
    ),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    published(folder, "bert", **BACKWARDS)
    return folder


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_classifier_is_refused_in_one_line(case: str, whole: Path, tmp_path: Path) -> None:
    change, message = REFUSED[case]
    folder = shutil.copytree(whole, tmp_path / "folder")
    change(folder)
    with pytest.raises(RunError) as caught:
        Classifier.load(folder)
    assert str(caught.value) == message.format(folder=folder, config=folder / "config.json")


def by_word(patch: pytest.MonkeyPatch) -> None:
    """The names in the order of their numbers as words: 10 before 2."""
    right = published_labels._names
    patch.setattr(
        published_labels,
        "_names",
        lambda path, values: tuple(
            right(path, values)[int(one)] for one in sorted(map(str, range(len(right(path, values)))))
        ),
    )


def test_a_planted_order_of_labels_is_noticed(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted_NC = theirs(whole, TEXTS)
    labels = tuple(NAMES.values())
    by_word(monkeypatch)
    ours = Classifier.load(whole)
    columns = [ours.labels.index(name) for name in labels]
    assert ours.labels != labels and np.abs(ours.predict_proba(TEXTS)[:, columns] - wanted_NC).max() > 1e-2
