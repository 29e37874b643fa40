"""Models of spans in transformers and from there: the same tensors, logits and, where it can be, spans."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from span_data import span_settings, write_spans

from custom_bert import Classifier, train_model
from custom_bert.cli import main
from custom_bert.config import Preset
from custom_bert.decoding.spans import SpansPrediction
from custom_bert.errors import RunError
from custom_bert.inference.exports.hf import export_hugging_face
from custom_bert.spans.conll import read_conll
from custom_bert.training.log import Reporter

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

CLASSES: dict[Preset, str] = {
    "legacy": "BertForTokenClassification",
    "custom": "RobertaPreLayerNormForTokenClassification",
    "modern": "ModernBertForTokenClassification",
}
TEXTS = ["", "a", "the man was seen in  Paris , says Kim", "mr anna lee with acme corp. from los angeles"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_spans(tmp_path_factory.mktemp("spans") / "data")


@pytest.fixture(scope="module")
def exports(data: Path) -> dict[Preset, tuple[Path, Path]]:
    """A run of each preset, and its export."""
    found: dict[Preset, tuple[Path, Path]] = {}
    for preset in CLASSES:
        run, out = data.parent / preset, data.parent / f"{preset}-export"
        changes = {"preset": preset, "model.num_hidden_layers": 2, "optim.epochs": 10}
        train_model(span_settings(data, run, **changes), reporter=Reporter(silent=True))
        export_hugging_face(run, out)
        found[preset] = run, out
    return found


def places(prediction: Any) -> list[tuple[int, int, str]]:
    assert isinstance(prediction, SpansPrediction)
    return [(span.start, span.end, span.label) for span in prediction.spans]


@pytest.mark.parametrize("preset", CLASSES)
def test_transformers_computes_our_probabilities(
    preset: Preset, exports: dict[Preset, tuple[Path, Path]]
) -> None:
    run, out = exports[preset]
    model, report = transformers.AutoModelForTokenClassification.from_pretrained(
        out, output_loading_info=True
    )
    assert type(model).__name__ == CLASSES[preset] and not any(report.values())
    assert list(model.config.id2label.values())[:3] == ["O", "B-LOC", "I-LOC"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    for text, ours in zip(TEXTS, Classifier.load(run).stream(TEXTS, every=True), strict=True):
        inputs = tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
        offsets = inputs.pop("offset_mapping")[0].tolist()
        with torch.no_grad():
            theirs = model.eval()(**inputs).logits[0].softmax(-1).numpy()
        for unit in ours.as_dict()["units"]:
            row = next(i for i, (start, end) in enumerate(offsets) if start < end and start == unit["start"])
            assert theirs[row] == pytest.approx(np.array(list(unit["probabilities"].values())), abs=1e-5)


@pytest.mark.parametrize("preset", CLASSES)
def test_a_pipeline_gives_the_spans_that_the_card_says_it_gives(
    preset: Preset, data: Path, exports: dict[Preset, tuple[Path, Path]]
) -> None:
    run, out = exports[preset]
    texts = read_conll(data / "val.conll").texts
    ours = list(map(places, Classifier.load(run).predict(texts)))
    pipe = transformers.pipeline("token-classification", model=str(out), device="cpu")
    card = (out / "README.md").read_text()
    for strategy, said in (
        ("simple", "`simple` gives the same spans for {} of"),
        ("first", "`first` for {}."),
    ):
        found = [pipe(text, aggregation_strategy=strategy) for text in texts]
        theirs = [[(one["start"], one["end"], one["entity_group"]) for one in some] for some in found]
        equal = sum(a == b for a, b in zip(ours, theirs, strict=True))
        assert said.format(equal) in card, (strategy, equal)
        assert equal > len(texts) / 2
    assert "Compared on 40 validation texts" in card and "pipeline_tag: token-classification" in card


def test_where_tags_form_a_sequence_of_whole_words_first_gives_the_same(
    data: Path, exports: dict[Preset, tuple[Path, Path]]
) -> None:
    """The reason that the card gives for differences is the only one."""
    run, out = exports["legacy"]
    pipe = transformers.pipeline("token-classification", model=str(out), device="cpu")
    texts = read_conll(data / "val.conll").texts
    compared = 0
    for text, ours in zip(texts, Classifier.load(run).stream(texts, every=True), strict=True):
        units = ours.as_dict()["units"]
        tags = [max(unit["probabilities"], key=unit["probabilities"].get) for unit in units]
        broken = any(
            tag[:1] == "I" and before not in (tag, f"B{tag[1:]}")
            for before, tag in zip(["O", *tags], tags, strict=False)
        )
        if broken:
            continue
        compared += 1
        theirs = pipe(text, aggregation_strategy="first")
        assert [(one["start"], one["end"], one["entity_group"]) for one in theirs] == places(ours), text
        scores = [float(one["score"]) for one in theirs]
        assert scores == pytest.approx([span.score for span in ours.spans], abs=1e-5)
    assert compared > 30


@pytest.mark.parametrize("preset", CLASSES)
def test_an_export_predicts_here_what_its_run_does(
    preset: Preset, exports: dict[Preset, tuple[Path, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = exports[preset]
    ours, back = (list(map(places, Classifier.load(one).predict(TEXTS))) for one in (run, out))
    assert ours == back
    assert main(["evaluate", str(out), str(out.parent / "data"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["f1"] > 0.8


def test_tags_in_another_order_are_read_and_others_are_refused(
    exports: dict[Preset, tuple[Path, Path]], tmp_path: Path
) -> None:
    run, out = exports["legacy"]
    model = transformers.AutoModelForTokenClassification.from_pretrained(out)
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    order = [6, 0, 3, 1, 2, 5, 4]
    names = list(model.config.id2label.values())
    with torch.no_grad():
        model.classifier.weight.copy_(model.classifier.weight[order].clone())
        model.classifier.bias.copy_(model.classifier.bias[order].clone())
    model.config.id2label = {i: names[j] for i, j in enumerate(order)}
    model.config.label2id = {name: i for i, name in model.config.id2label.items()}
    model.save_pretrained(tmp_path / "mixed"), tokenizer.save_pretrained(tmp_path / "mixed")
    ours, theirs = (
        list(map(places, Classifier.load(one).predict(TEXTS))) for one in (run, tmp_path / "mixed")
    )
    assert ours == theirs and any(ours)
    config = json.loads((tmp_path / "mixed" / "config.json").read_text())
    config["id2label"]["0"] = "PER"
    (tmp_path / "mixed" / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        RunError, match=r"id2label is \['PER'.*expected O, and B- and I- of each type of spans"
    ):
        Classifier.load(tmp_path / "mixed")


def test_without_its_validation_texts_an_export_compares_no_spans(
    data: Path, exports: dict[Preset, tuple[Path, Path]], tmp_path: Path
) -> None:
    run, _ = exports["legacy"]
    kept = (data / "val.conll").read_bytes()
    (data / "val.conll").unlink()
    try:
        export_hugging_face(run, tmp_path / "out")
    finally:
        (data / "val.conll").write_bytes(kept)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Compared on" not in card and "A pipeline of transformers takes" in card


def test_the_command_prints_its_own_lines_and_nothing_of_transformers(
    exports: dict[Preset, tuple[Path, Path]], tmp_path: Path
) -> None:
    run, _ = exports["legacy"]
    done = subprocess.run(
        [sys.executable, "-m", "custom_bert", "export", str(run), str(tmp_path / "out")],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert done.stderr == "" and len(done.stdout.splitlines()) == 3
    assert "In 0 texts" not in done.stdout
