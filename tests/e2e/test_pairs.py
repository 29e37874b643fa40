"""Pairs of texts have everything that single texts have: training, resume, prediction, floor, export."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_files import read
from pair_data import pairs_of, write_pairs
from training_runs import break_off, built, ready, settings, write_data, write_lines

from custom_bert import Classifier, TextClassifier, in_memory, train_model
from custom_bert.batch import Batch
from custom_bert.cli import main
from custom_bert.data.loader import Transform
from custom_bert.data.text_pairs import paired
from custom_bert.data.token_dropout import TokenDropout
from custom_bert.model_files.native import load_model
from custom_bert.training.log import Reporter

PAIRS, LABELS = pairs_of(40, seed=3)


def config(data: Path, out: Path | None, **changes: Any) -> dict[str, Any]:
    learning = {"optim.epochs": 8, "optim.token_dropout": 0.1}
    return settings(data, out, **{"data.pairs": True, **learning, **changes})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs") / "data")


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    made = config(data, data.parent / "run", floor=True, **{"data.val_fraction": 0.1})
    return train_model(made, reporter=Reporter(silent=True)).directory


def test_it_learns_and_its_run_says_that_it_reads_pairs(
    data: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((run / "run.json").read_text())
    assert record["data"]["pairs"] is True and record["validation"]["accuracy"] > 0.9
    assert record["encoder"]["type_vocab_size"] == 2
    assert json.loads((run / "config.json").read_text())["pairs"] is True
    assert main(["evaluate", str(run), str(data), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["accuracy"] == record["validation"]["accuracy"]
    assert main(["info", str(run)]) == 0
    assert "trained on  240 pairs of texts, " in capsys.readouterr().out


def test_single_texts_have_one_token_type_and_no_word_of_pairs_in_their_files(tmp_path: Path) -> None:
    made = settings(write_data(tmp_path / "data", train=60, val=12), tmp_path / "run", **{"optim.epochs": 1})
    train_model(made, reporter=Reporter(silent=True))
    described = json.loads((tmp_path / "run" / "config.json").read_text())
    assert "pairs" not in described and described["encoder"]["type_vocab_size"] == 1
    assert "pairs" not in json.loads((tmp_path / "run" / "run.json").read_text())["data"]
    stores = [path.name for path in tmp_path.glob("cache/tokens/*/*")]
    assert "ids.bin" in stores and "seconds.bin" not in stores


def losses(directory: Path) -> list[float]:
    records = map(json.loads, (directory / "metrics.jsonl").read_text().splitlines())
    return [record["loss"] for record in records if "loss" in record]


def test_tabs_files_columns_and_lists_give_the_same_run(tmp_path: Path) -> None:
    few = {"optim.epochs": 2, "data.max_length": 16, "runtime.log_every": 1}
    tab = write_pairs(tmp_path / "tab", train=60, val=None)
    train_model(config(tab, tmp_path / "run", **few), reporter=Reporter(silent=True))
    two = write_pairs(tmp_path / "two", train=60, val=None, form="two")
    train_model(
        config(two, tmp_path / "run2", **few, **{"data.pairs": False}), reporter=Reporter(silent=True)
    )
    table = write_pairs(tmp_path / "table", train=60, form="table") / "pairs.csv"
    columns = {"data.text_column": "question", "data.second_text_column": "answer", "data.pairs": False}
    of_table = {
        key: v for key, v in config(tab, tmp_path / "run3", **few, **columns).items() if "_texts" not in key
    }
    train_model({**of_table, "data.table": str(table)}, reporter=Reporter(silent=True))
    listed = config(tab, tmp_path / "run4", **few, **{"data.pairs": False})
    train_model(listed, source=in_memory(*pairs_of(60)), reporter=Reporter(silent=True))
    first = losses(tmp_path / "run")
    assert len(first) > 8
    for other in ("run2", "run3", "run4"):
        assert losses(tmp_path / other) == first, other


def test_predictions_are_the_same_from_lines_tables_and_python(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = Classifier.load(run)
    found = classifier.predict(PAIRS)
    assert sum(one.as_dict()["label"] == label for one, label in zip(found, LABELS, strict=True)) >= 38
    wanted = [one.line() for one in found]
    probabilities = classifier.predict_proba(np.array(PAIRS, dtype=object))
    assert np.array_equal(probabilities, classifier.predict_proba(iter(PAIRS)))
    text = "".join(f"{a}\t{b}\n" for a, b in PAIRS)
    (tmp_path / "pairs.txt").write_text(text)
    assert main(["predict", str(run), str(tmp_path / "pairs.txt")]) == 0
    assert capsys.readouterr().out.splitlines() == wanted
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    write_lines(tmp_path / "t.csv", ["a,b", *(f"{a},{b}" for a, b in PAIRS)])
    columns = ["--text-column", "a", "--second-text-column", "b"]
    assert main(["predict", str(run), str(tmp_path / "t.csv"), *columns]) == 0
    rows = [line.split(",") for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["a", "b", "predicted_label", "predicted_probability"]
    assert [row[2] for row in rows[1:]] == [line.split("\t")[0] for line in wanted]


def test_a_run_on_a_table_remembers_its_second_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_pairs(tmp_path / "data", train=80, form="table") / "pairs.csv"
    columns = {"data.text_column": "question", "data.second_text_column": "answer", "data.pairs": False}
    made = config(
        tmp_path / "data", tmp_path / "run", **columns, **{"optim.epochs": 1, "data.table": str(table)}
    )
    train_model({k: v for k, v in made.items() if "_texts" not in k and "_labels" not in k})
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["data"]["columns"]["second_text"] == "answer"
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "run"), str(table), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == record["validation"]["accuracy"]
    assert main(["predict", str(tmp_path / "run"), str(table)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 81


def test_an_interrupted_run_goes_on_bit_for_bit(data: Path, tmp_path: Path) -> None:
    few = {"optim.epochs": 3, "runtime.checkpoint_every": 5, "optim.pretrain_epochs": 1}
    whole = train_model(config(data, tmp_path / "whole", **few), reporter=Reporter(silent=True)).directory
    broken = config(data, tmp_path / "broken", **few)
    break_off(broken, 23)
    train_model(broken, reporter=Reporter(silent=True))
    assert (whole / "model.safetensors").read_bytes() == (
        tmp_path / "broken" / "model.safetensors"
    ).read_bytes()


def test_every_plan_and_window_of_rows_gives_a_pair_the_same_logits(data: Path) -> None:
    one = ready(config(data, None, **{"optim.epochs": 1}))
    model, rows = built(one).model.eval(), np.arange(12)
    assert isinstance(model.encoder.embeddings.token_type, torch.nn.Embedding)
    found = {}
    with torch.no_grad():
        for plan in ("padded", "uniform_length", "packed"):
            batch = one.train.build(rows, plan, 32)
            assert batch.type_ids_T is not None and 0 < int(batch.type_ids_T.sum()) < batch.num_tokens
            found[plan] = model(batch)
        model.encoder.skip_unread = False
        found["every row"] = model(one.train.build(rows, "packed", 32))
        alone = torch.cat([model(one.train.build(rows[i : i + 1], "packed", 32)) for i in rows])
    for name, logits_NC in found.items():
        assert (logits_NC - alone).abs().max() < 1e-5, name


def test_token_dropout_keeps_every_separator_and_the_type_of_every_token(data: Path) -> None:
    one = ready(config(data, None, **{"optim.epochs": 1}))
    transform, train = Transform(token_dropout=TokenDropout(0.6, 0)), one.train
    left_out = set()
    for epoch in range(3):
        batch = train.build(np.arange(20), "packed", 32, transform=transform, epoch=epoch)
        assert batch.type_ids_T is not None
        starts = batch.layout.cu_seqlens.tolist()
        for i, length in enumerate(batch.layout.lengths_N.tolist()):
            rows = slice(starts[i], starts[i] + length)
            positions, ids = batch.positions_T[rows].numpy(), batch.input_ids_T[rows].numpy()
            whole, row = train.store[train.rows_N[i]], np.array([train.rows_N[i]])
            special_S, seconds = train.store.special(row)[0], train.store.seconds(row)
            assert seconds is not None and len(special_S) == 3 and set(special_S) <= set(positions)
            assert np.array_equal(ids, whole[positions])
            separator = one.tokenizer.sep_id
            assert whole[special_S].tolist() == [one.tokenizer.cls_id, separator, separator]
            assert whole[seconds[0] - 1] == separator
            assert np.array_equal(batch.type_ids_T[rows].numpy(), (positions >= seconds[0]).astype(int))
            gone = set(range(len(whole))) - set(positions)
            left_out |= {bool(place >= seconds[0]) for place in gone}
    assert left_out == {False, True}  # of both texts


def test_what_is_cut_off_is_counted_and_both_ends_can_be_kept(data: Path) -> None:
    for long_texts in ("head", "head_tail"):
        one = ready(config(data, None, **{"data.max_length": 9, "data.long_texts": long_texts}))
        assert any("pairs of 240 cut to 9 tokens" in line for line in one.warnings)
    tokenizer = one.tokenizer
    words = ["the cat of and dog", "a motor in to was is on"]
    ids = [tokenizer.backend.encode(text, add_special_tokens=False).ids for text in words]
    encoded = tokenizer.encode([paired(*words)], 11, "head_tail")
    first, second = encoded[0][1:5], encoded[0][6:10]
    assert first.tolist() == [ids[0][0], *ids[0][-3:]] and second.tolist() == [ids[1][0], *ids[1][-3:]]
    assert encoded.lost_N.tolist() == [len(ids[0]) + len(ids[1]) - 8]


def test_a_damaged_store_of_pairs_is_made_again(tmp_path: Path) -> None:
    made = config(write_pairs(tmp_path / "data", train=40, val=None), None)
    first = ready(made).train.store
    path = next(tmp_path.glob("cache/tokens/*/seconds.bin"))
    content = path.read_bytes()
    for damage in (content[:-8], b"\0" * len(content), None):
        path.unlink()
        if damage is not None:
            path.write_bytes(damage)
        rows = np.arange(40)
        assert np.array_equal(first.special(rows), ready(made).train.store.special(rows))
        assert path.read_bytes() == content


def test_conflicts_go_by_the_whole_pair(tmp_path: Path) -> None:
    directory = write_pairs(tmp_path, train=40, val=None)
    texts = (directory / "train_dataset.txt").read_text().splitlines()
    first, second = texts[0].split("\t")
    write_lines(directory / "train_dataset.txt", [texts[0], f"{first}\t{second} x", *texts[2:]])
    assert not any("more than one label" in line for line in read(directory, pairs=True).warnings)
    write_lines(directory / "train_dataset.txt", [texts[0], texts[0], *texts[2:]])
    assert any("more than one label" in line for line in read(directory, pairs=True).warnings)


def test_the_floor_tells_the_two_texts_apart_and_predicts_beside_the_encoder(run: Path) -> None:
    floor = json.loads((run / "floor" / "floor.json").read_text())
    kinds = [part["kind"] for part in floor["ngrams"]]
    assert "words of first texts" in kinds and "words of second texts" in kinds and "words in common" in kinds
    record = json.loads((run / "run.json").read_text())
    assert record["floor"]["accuracy"] > 0.9  # the words of both texts together say nothing
    classifier = Classifier.load_to_measure(run)
    measured = classifier.measure_parts(PAIRS, LABELS)
    assert measured["floor"].numbers["accuracy"] > 0.9 and measured["whole"].numbers["accuracy"] > 0.9


def test_evaluate_says_how_many_labels_change_with_the_order(
    run: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(run), str(data), "--swap", "--json"]) == 0
    share = json.loads(capsys.readouterr().out)["changed_when_swapped"]
    lines = [line.split("\t") for line in (data / "val_dataset.txt").read_text().splitlines()]
    classifier = Classifier.load(run)
    here = [one.as_dict()["label"] for one in classifier.predict([(a, b) for a, b in lines])]
    there = [one.as_dict()["label"] for one in classifier.predict([(b, a) for a, b in lines])]
    assert share == np.mean([a != b for a, b in zip(here, there, strict=True)]) > 0.8
    assert main(["evaluate", str(run), str(data), "--swap"]) == 0
    assert f"{share:.1%} of the pairs get other labels" in capsys.readouterr().out


def test_a_text_may_have_several_labels_and_be_two_texts(tmp_path: Path) -> None:
    directory = write_pairs(tmp_path / "data", train=80, val=20)
    many = {"task": "multi_label", "data.label_separator": ",", "optim.epochs": 1}
    result = train_model(config(directory, tmp_path / "run", **many), reporter=Reporter(silent=True))
    assert len(Classifier.load(result.directory).predict(PAIRS)) == len(PAIRS)


def test_a_new_run_decides_itself_what_it_reads(run: Path, tmp_path: Path) -> None:
    single = write_data(tmp_path / "single", train=60, val=12)
    start = {"optim.epochs": 1, "model.init_from": str(run)}
    names = [f"model.{name}" for name in ("hidden_size", "num_hidden_layers", "num_attention_heads")]
    made = {k: v for k, v in settings(single, tmp_path / "run", **start).items() if k not in names}
    train_model(made, reporter=Reporter(silent=True))
    classifier = Classifier.load(tmp_path / "run")
    assert not classifier.pairs and len(classifier.predict(["a text"])) == 1
    assert load_model(tmp_path / "run").described.encoder.type_vocab_size == 2


def test_the_estimator_takes_tuples_and_two_columns(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pairs, labels = pairs_of(120)
    shape = {"model.hidden_size": 32, "model.num_hidden_layers": 1, "model.num_attention_heads": 2}
    estimator = TextClassifier(
        init_from="scratch",
        epochs=4,
        max_length=32,
        random_state=0,
        floor=False,
        lr=3e-3,
        settings={**shape, "optim.pretrain_epochs": 0, "runtime.threads": 1},
    )
    estimator.fit(pairs, labels)
    table = pandas.DataFrame(PAIRS, columns=["question", "answer"])
    forms = (PAIRS, [list(pair) for pair in PAIRS], np.array(PAIRS, dtype=object), table)
    found = [estimator.predict_proba(form) for form in forms]
    for other in found[1:]:
        assert np.array_equal(found[0], other)
    estimator.save(tmp_path / "saved")
    assert np.array_equal(TextClassifier.load(tmp_path / "saved").predict_proba(table), found[0])
    with pytest.raises(TypeError, match=r"^pair 0: expected two texts.*got 'a text'; this model reads pairs"):
        estimator.predict(["a text"])


@pytest.mark.parametrize("preset", ["custom", "legacy", "modern"])
def test_an_export_opens_in_transformers_with_the_same_probabilities(
    data: Path, tmp_path: Path, preset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    made = config(data, tmp_path / "run", preset=preset, **{"optim.epochs": 1, "model.pooling": "cls"})
    train_model(made, reporter=Reporter(silent=True))
    assert main(["export", str(tmp_path / "run"), str(tmp_path / "hf")]) == 0
    assert "32 pairs have the same token ids, and logits within" in capsys.readouterr().out
    card = (tmp_path / "hf" / "README.md").read_text()
    example = '({"text": "a text", "text_pair": "another"})'
    assert example in card and "pairs of texts of up to 32 tokens" in card
    assert "Trained on 240 pairs of texts (" in card
    pipe = transformers.pipeline("text-classification", str(tmp_path / "hf"), top_k=None)
    wanted = Classifier.load(tmp_path / "run").predict_proba(PAIRS[:6])
    for i, (a, b) in enumerate(PAIRS[:6]):
        scores = {one["label"]: one["score"] for one in pipe({"text": a, "text_pair": b})}
        assert [scores["animals"], scores["machines"]] == pytest.approx(wanted[i].tolist(), abs=1e-5)


def test_a_batch_of_pairs_moves_to_a_device_with_its_types() -> None:
    batch = Batch.build([np.arange(4)], types=[np.array([0, 0, 1, 1])], slots=6, rows=8)
    assert batch.type_ids_T is not None and batch.type_ids_T.tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    moved = batch.to(torch.device("meta"))
    assert moved.type_ids_T is not None and moved.type_ids_T.device.type == "meta"


@pytest.mark.parametrize("family", ["roberta", "distilbert", "modernbert", "bert"])
def test_a_run_from_a_checkpoint_of_each_family_opens_with_the_same_probabilities(
    family: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    from parity.test_pairs import checkpoint

    checkpoint(tmp_path / "start", family)
    start = {"model.init_from": str(tmp_path / "start"), "optim.epochs": 1, "batch.batch_size": 16}
    made = config(data, tmp_path / "run", **start)
    shape = {f"model.{name}" for name in ("hidden_size", "num_hidden_layers", "num_attention_heads")}
    train_model({k: v for k, v in made.items() if k not in shape}, reporter=Reporter(silent=True))
    assert main(["export", str(tmp_path / "run"), str(tmp_path / "hf")]) == 0
    assert "32 pairs have the same token ids, and logits within" in capsys.readouterr().out
    names = json.loads((tmp_path / "hf" / "tokenizer_config.json").read_text())["model_input_names"]
    assert ("token_type_ids" in names) is (family == "bert")
