"""Spans from files to predictions: train, evaluate, predict, continue, export."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hostile_texts import hostile
from span_data import conll, sentences, span_settings, write_spans
from training_runs import built, ready, stopped_and_continued

from custom_bert import Classifier, Embedder, train_model
from custom_bert.cli import main
from custom_bert.data.unknown import UnknownText
from custom_bert.decoding.spans import SpansPrediction
from custom_bert.errors import ConfigError, DataError, RunError
from custom_bert.server.limits import RefusalError
from custom_bert.server.serving import Kind, Offer
from custom_bert.spans.conll import read_conll
from custom_bert.training.log import Reporter

SILENT = Reporter(silent=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_spans(tmp_path_factory.mktemp("spans") / "data", test=30)


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    return train_model(span_settings(data, data.parent / "run"), reporter=SILENT).directory


def record(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "run.json").read_text())
    return found


def test_it_learns_and_evaluate_finds_what_training_measured(
    data: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = record(run)
    validation = found["validation"]
    assert validation["f1"] > 0.9 and found["kept_by"] == "f1"
    assert found["data"]["labels"].keys() == {"LOC", "ORG", "PER"}
    for split, measured in (("val", validation), ("test", found["test"])):
        assert main(["evaluate", str(run), str(data), "--split", split, "--json"]) == 0
        printed = json.loads(capsys.readouterr().out)
        wanted = {name: value for name, value in measured.items() if name != "loss"}
        assert printed == wanted
    assert {"precision", "recall", "f1"} <= printed.keys()
    assert main(["evaluate", str(run), str(data)]) == 0
    table = capsys.readouterr().out
    assert "PER" in table and f"{validation['f1']:.3f}" in table


def test_predictions_are_the_users_own_characters(
    data: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["the man was seen in  Paris , says Kim", "", "mr Anna\tLee goes on", "again"]
    (tmp_path / "texts.txt").write_text("".join(f"{text}\r\n" for text in texts), newline="")
    assert main(["predict", str(run), str(tmp_path / "texts.txt"), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == len(texts)
    for text, line in zip(texts, lines, strict=True):
        for span in line["spans"]:
            assert text[span["start"] : span["end"]] == span["text"] and 0 < span["score"] <= 1
    spans = [[(span["text"], span["label"]) for span in line["spans"]] for line in lines]
    assert spans[0] == [("Paris", "LOC"), ("Kim", "PER")] and spans[1] == [] and spans[3] == []
    assert main(["predict", str(run), str(tmp_path / "texts.txt")]) == 0
    blocks = capsys.readouterr().out.split("\n")
    first = lines[0]["spans"][0]
    assert blocks[0] == f"{first['start']}\t{first['end']}\tLOC\t{first['score']:.6f}\tParis"
    assert blocks[2:4] == ["", ""], "a text ends with an empty line, also one without spans"
    assert main(["predict", str(run), str(tmp_path / "texts.txt"), "--conll"]) == 0
    columns = capsys.readouterr().out.split("\n")
    assert columns[5:10] == ["Paris\tB-LOC", ",\tO", "says\tO", "Kim\tB-PER", ""]


def test_the_columns_that_predict_prints_are_read_again_as_what_was_found(
    data: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = read_conll(data / "val.conll").texts
    (tmp_path / "texts.txt").write_text("".join(f"{text}\n" for text in texts))
    assert main(["predict", str(run), str(tmp_path / "texts.txt"), "--conll"]) == 0
    (tmp_path / "again.conll").write_text(capsys.readouterr().out)
    again = read_conll(tmp_path / "again.conll")
    assert again.texts == texts and not again.notes
    for prediction, spans in zip(Classifier.load(run).predict(texts), again.spans, strict=True):
        assert isinstance(prediction, SpansPrediction)
        assert [span.label for span in prediction.spans] == [span.label for span in spans]


def test_jsonl_with_the_same_spans_gives_the_same_model(data: Path, tmp_path: Path) -> None:
    for name in ("train", "val"):
        file = read_conll(data / f"{name}.conll")
        lines = [
            json.dumps(
                {"text": text, "spans": [{"start": s.start, "end": s.end, "label": s.label} for s in spans]}
            )
            for text, spans in zip(file.texts, file.spans, strict=True)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    names = {f"data.{name}_spans": str(tmp_path / f"{name}.jsonl") for name in ("train", "val", "test")}
    # evaluated once: parts of a word that are right count for the word where the file has words
    once = {"optim.epochs": 2, "optim.eval_every": 1000}
    one, other = (
        train_model(span_settings(data, tmp_path / out, **once, **changes), reporter=SILENT).directory
        for out, changes in (("words", {}), ("characters", names))
    )
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()


def test_a_run_that_is_stopped_goes_on_bit_for_bit(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def settings(out: Path) -> dict[str, Any]:
        return span_settings(data, out, **{"optim.epochs": 3, "model.hidden_dropout": 0.1})

    whole, stopped = stopped_and_continued(settings, data.parent / "stops", monkeypatch, step=7)
    assert (whole / "model.safetensors").read_bytes() == (stopped / "model.safetensors").read_bytes()
    first, second = (record(one)["validation"] for one in (whole, stopped))
    assert first == second


def test_validation_texts_are_set_aside_by_document_and_found_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "train.conll").write_bytes(conll(sentences(120), every=4))
    out = train_model(span_settings(data, tmp_path / "run", **{"optim.epochs": 2}), reporter=SILENT).directory
    found = record(out)
    assert found["data"]["val_set_aside_from_train"] and 6 <= found["data"]["val_examples"] <= 18
    assert found["data"]["val_examples"] % 4 == 0, "whole documents are set aside"
    assert main(["evaluate", str(out), str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["f1"] == found["validation"]["f1"]
    (data / "train.conll").write_bytes(conll(sentences(121), every=4))
    assert main(["evaluate", str(out), str(data)]) != 0
    assert "not the file that" in capsys.readouterr().err


def test_long_texts_are_read_in_windows_and_every_word_is_decided_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    some = sentences(160)
    joined = [[word for one in some[i : i + 8] for word in one] for i in range(0, 160, 8)]
    (data / "train.conll").write_bytes(conll(joined[:-4]))
    (data / "val.conll").write_bytes(conll(joined[-4:]))
    one = ready(span_settings(data, None, **{"data.max_length": 24}))
    builder = one.train
    assert builder.windows_of_texts().min() > 2 and builder.overlap == 5
    state = built(one)
    batch = next(iter([builder.build(np.arange(len(builder.rows_N)), "packed", 24)]))
    assert batch.targets is not None and batch.windows is not None and batch.targets.rows_M is not None
    words = sum(len(about.units_U2) for about in batch.targets.about or ())
    assert len(batch.targets) == words == len(set(batch.targets.rows_M.tolist()))
    with torch.no_grad():
        assert state.model.eval()(batch).shape == (words, 7)
    changes = {"data.max_length": 24, "optim.epochs": 25}
    out = train_model(span_settings(data, tmp_path / "run", **changes), reporter=SILENT).directory
    found = record(out)["validation"]
    assert found["f1"] > 0.8
    file, classifier = read_conll(data / "val.conll"), Classifier.load(out)
    for text, prediction in zip(file.texts, classifier.predict(file.texts), strict=True):
        assert isinstance(prediction, SpansPrediction)
        places = [(span.start, span.end) for span in prediction.spans]
        assert places == sorted(places) and all(text[a:b] for a, b in places)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(places))


def test_predictions_do_not_depend_on_the_other_texts(data: Path, run: Path) -> None:
    texts = read_conll(data / "val.conll").texts
    classifier = Classifier.load(run)
    together = classifier.predict(texts)
    alone = [classifier.predict([text])[0] for text in texts[:10]]
    for one, other in zip(together, alone, strict=False):
        assert isinstance(one, SpansPrediction) and isinstance(other, SpansPrediction)
        assert [(s.start, s.end, s.label) for s in one.spans] == [
            (s.start, s.end, s.label) for s in other.spans
        ]
        assert [s.score for s in one.spans] == pytest.approx([s.score for s in other.spans], abs=1e-5)


def test_probabilities_of_words_come_with_json(data: Path, run: Path) -> None:
    (found,) = Classifier.load(run).stream(["in paris"], every=True)
    units = found.as_dict()["units"]
    assert [(unit["start"], unit["end"]) for unit in units] == [(0, 2), (3, 8)]
    for unit in units:
        assert list(unit["probabilities"]) == ["O", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-PER", "I-PER"]
        assert sum(unit["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_class_weights_are_those_of_types(data: Path) -> None:
    weights = {"PER": 5.0, "O": 0.5}
    one = ready(span_settings(data, None, **{"optim.class_weights": weights}))
    objective = built(one).phases[-1].objective
    batch = one.train.build(np.arange(20), "packed", 64)
    assert batch.targets is not None
    by_tag = np.array([0.5, 1, 1, 1, 1, 5, 5])
    assert float(objective.weight(batch.targets)) == by_tag[batch.targets.values.numpy()].sum()
    logits = torch.randn(len(batch.targets), 7)
    losses = torch.nn.functional.cross_entropy(logits, batch.targets.values, reduction="none")
    wanted = (losses * torch.from_numpy(by_tag[batch.targets.values.numpy()]).float()).sum()
    assert objective.loss_sum(logits, batch.targets) == pytest.approx(float(wanted), rel=1e-5)
    with pytest.raises(ConfigError, match=r"no training text has the label .PERS."):
        ready(span_settings(data, None, **{"optim.class_weights": {"PERS": 2.0}}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optim.metric": "accuracy"}, "optim.metric accuracy: task tokens has f1, macro_f1"),
        ({"optim.head_init": "probe"}, "optim.head_init probe: task tokens has no probe"),
        ({"data.pairs": True}, "data.pairs: task tokens reads single texts"),
        (
            {"data.table": "x.csv"},
            "data.table x.csv: task tokens reads spans from train.conll or train.jsonl",
        ),
        ({"optim.token_dropout": 0.1}, "optim.token_dropout: task tokens leaves out no token"),
        ({"optim.r_drop": 1.0}, "optim.r_drop: task tokens has none"),
    ],
)
def test_settings_that_it_has_no_use_for_are_refused(
    data: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        ready(span_settings(data, None, **changes))


def test_files_that_are_missing_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match=r"train.conll: no such file; write train.conll or train.jsonl"):
        ready(span_settings(tmp_path, None))
    write_spans(tmp_path / "data", val=None)
    with pytest.raises(DataError, match=r"dev.conll: no such file; leave data.val_spans out"):
        ready(span_settings(tmp_path / "data", None, **{"data.val_spans": str(tmp_path / "dev.conll")}))
    assert main(["train", str(tmp_path / "data")]) != 0
    assert "but there is train.conll; --task tokens learns spans from it" in capsys.readouterr().err


def test_a_type_that_only_validation_has_is_refused_with_its_line(tmp_path: Path) -> None:
    data = write_spans(tmp_path / "data")
    (data / "val.conll").write_text("in O\nparis B-CITY\n")
    with pytest.raises(DataError, match=r"val.conll:2: .*CITY"):
        ready(span_settings(data, None))


def test_options_without_use_are_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts.txt").write_text("in paris\n")
    for option, message in (
        ("--all-probabilities", "a model of spans has them with --json"),
        ("--json --conll", "--conll is for lines of text on standard output, without --json"),
    ):
        assert main(["predict", str(run), str(tmp_path / "texts.txt"), *option.split()]) != 0
        assert message in capsys.readouterr().err
    with pytest.raises(RunError, match="this model has no labels"):
        Classifier.load(run).explain("in paris")


def test_it_is_served_as_it_is_predicted(run: Path) -> None:
    classifier = Classifier.load(run)
    offer = Offer(classifier, lambda: Embedder.load(run))
    texts = ["in paris", "", "mr kim"]
    offer.warm_up()
    assert offer.compute(Kind.LABELS, texts) == [one.as_dict() for one in classifier.predict(texts)]
    assert len(offer.compute(Kind.PROBABILITIES, texts)[0]["units"]) == 2
    with pytest.raises(RefusalError, match="this model finds spans, and only labels of texts are explained"):
        offer.check(Kind.WORDS)


def test_files_and_tables_are_labelled_as_lines_are(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["in paris", "", "mr kim, of rome"]
    (tmp_path / "texts.txt").write_text("".join(f"{text}\n" for text in texts))
    command = ["predict", str(run), str(tmp_path / "texts.txt")]
    assert main(command) == 0
    printed = capsys.readouterr().out
    for option, out in (([], "out.txt"), (["--json"], "out.jsonl")):
        assert main([*command, "--out", str(tmp_path / out), *option, "--processes", "1"]) == 0
    assert (tmp_path / "out.txt").read_text() == printed
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    rows = "".join(f'"{text}",{i}\n' for i, text in enumerate(texts))
    (tmp_path / "table.csv").write_text(f"text,n\n{rows}")
    capsys.readouterr()
    assert main(["predict", str(run), str(tmp_path / "table.csv")]) == 0
    table = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [json.loads(row["predicted_spans"]) for row in table] == [line["spans"] for line in lines]


def test_check_data_tells_what_is_there(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-data", str(data), "--task", "tokens"]) == 0
    told = capsys.readouterr().out
    assert "tags in the scheme BIO" in told and "training spans by type: " in told
    assert main(["check-data", str(data), "--task", "tokens", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["files"]["train"]["texts"] == 160 and not found["divided"]


def test_a_trained_encoder_starts_another_set_of_types(data: Path, run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    content = (data / "train.conll").read_bytes().replace(b"-PER", b"-WHO")
    (other / "train.conll").write_bytes(content)
    changes = {"model.init_from": str(run), "optim.epochs": 1}
    changes |= {f"model.{name}": None for name in ("hidden_size", "num_hidden_layers", "num_attention_heads")}
    one = ready(span_settings(other, None, **changes))
    assert one.material.source.labels == ("LOC", "ORG", "WHO") and one.material.pretrained is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"optim.pretrain_epochs": 2, "data.max_length": 12},
        {"data.long_texts": "head", "data.max_length": 8},
        {"data.long_texts": "head_tail", "data.max_length": 8, "batch.plan": "packed"},
        {"preset": "modern", "model.local_attention": 8, "batch.accumulation": 2},
        {"optim.label_smoothing": 0.1, "optim.class_weights": "effective_number", "optim.max_minutes": 0.02},
    ],
    ids=["masked tokens first", "heads", "heads and tails", "local attention", "weights and smoothing"],
)
def test_it_learns_under_other_settings_too(data: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    settings = span_settings(data, tmp_path / "run", **{"optim.epochs": 2, **changes})
    out = train_model(settings, reporter=SILENT).directory
    assert 0 <= record(out)["validation"]["f1"] <= 1 and len(Classifier.load(out).predict(["in paris"])) == 1


def test_without_texts_to_validate_all_of_them_train(tmp_path: Path) -> None:
    data = write_spans(tmp_path / "data", train=40, val=None)
    settings = span_settings(data, tmp_path / "run", **{"data.val_fraction": 0.0, "optim.epochs": 1})
    found = record(train_model(settings, reporter=SILENT).directory)["data"]
    assert found["train_examples"] == found["val_examples"] == 40 and found["val_trains"]


def test_every_span_of_10_000_hostile_texts_cuts_its_text_where_it_says(run: Path) -> None:
    texts, found = hostile(10, 10_000), 0
    answers = Classifier.load(run).stream(texts, unknown=UnknownText())  # which most of them are
    for text, prediction in zip(texts, answers, strict=True):
        assert isinstance(prediction, SpansPrediction) and prediction.text == text
        stop = 0
        for span in prediction.spans:
            assert stop <= span.start < span.end <= len(text)
            assert text[span.start : span.end] == span.text == span.text.strip() and 0 < span.score <= 1
            stop, found = span.end, found + 1
    assert found > 1_000, "the model finds something in them"
