"""Encoder and floor predict together: fitted on lines that neither learned from, told, kept, and left out on
request."""

import json
import re
import shutil
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from training_runs import arguments, break_off, examples, settings, write_lines

from custom_bert import Classifier, Reporter, in_memory, train_model
from custom_bert.cli import main
from custom_bert.config_sources import from_mapping
from custom_bert.data.reading import data_files
from custom_bert.errors import ConfigError, RunError
from custom_bert.floor.ensemble import NAME, Ensemble, fit_ensemble, read_ensemble
from custom_bert.floor.linear import Floor
from custom_bert.floor.ngrams import NoFloorError
from custom_bert.inference.encoder_scores import EncoderScores
from custom_bert.inference.evaluate_run import evaluate_run
from custom_bert.inference.scores import WHOLE, BothScores
from custom_bert.tasks.classification import Classification
from custom_bert.training import outcome

LINES = 2_100
"""As many training lines as an ensemble needs, and a few more."""

CLASSES = 3
"""The number of labels of these data."""


TOO_FEW = "too few lines to weigh encoder and floor on, or to choose the better one by"

FEW, TOO_FEW_TO_JUDGE = 300, 40
"""Numbers of training lines that allow no weights, and of validation lines that allow no choice."""


def noisy_data(folder: Path, lines: int = LINES, val: int = 200) -> Path:
    """Data of which every eighth label is another one, so that no model is right everywhere."""
    folder.mkdir(parents=True)
    for split, count, seed in (("train", lines, 0), ("val", val, 1)):
        texts, labels = examples(count, seed)
        for i in range(0, count, 8):
            labels[i] = labels[(i + 1) % count]
        write_lines(folder / f"{split}_dataset.txt", texts)
        write_lines(folder / f"{split}_labels.txt", labels)
    return folder


def config(data: Path, out: Path, **changes: Any) -> dict[str, Any]:
    return settings(data, out, **{"floor": True, "optim.epochs": 1, "optim.lr": 3e-4, **changes})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("ensemble")
    data = noisy_data(folder / "data")
    train_model(config(data, folder / "run"))
    return data, folder / "run"


def val_of(data: Path) -> tuple[list[str], list[str]]:
    texts, labels = ((data / name).read_text().splitlines() for name in ("val_dataset.txt", "val_labels.txt"))
    return texts, labels


def test_scores_are_the_weighted_sum_of_both_sides(trained: tuple[Path, Path]) -> None:
    data, run = trained
    texts, _ = val_of(data)
    ensemble = read_ensemble(run, CLASSES, sets=False)
    classifier = Classifier.load(run)
    floor = classifier.task.read_floor(run)
    alone = np.log(Classifier.load(run, encoder_only=True).predict_proba(texts))
    whole = ensemble.encoder * alone + ensemble.floor * floor.scores(texts)
    expected = np.exp(whole - whole.max(1, keepdims=True))
    expected /= expected.sum(1, keepdims=True)
    assert np.allclose(classifier.predict_proba(texts), expected, atol=1e-5)
    assert not np.allclose(classifier.predict_proba(texts), np.exp(alone), atol=1e-3)


def test_its_factors_are_the_best_on_the_lines_that_were_set_aside(trained: tuple[Path, Path]) -> None:
    data, run = trained
    asked = from_mapping({**config(data, run), "data.val_fraction": 0.1})
    aside = Classification.read_lines(data_files(asked.data), asked).dataset.choosing
    assert aside is not None
    rows = np.arange(len(aside))
    texts, ids = list(aside.texts(rows)), aside.targets.values(rows)
    encoder = np.log(Classifier.load(run, encoder_only=True).predict_proba(texts))
    floor = Classifier.load(run).task.read_floor(run).scores(texts)
    expected, found = fit_ensemble(encoder, floor, ids), read_ensemble(run, CLASSES, sets=False)
    assert found.encoder == pytest.approx(expected.encoder, rel=0.01)
    assert found.floor == pytest.approx(expected.floor, rel=0.01)


def test_predictions_do_not_depend_on_how_texts_are_chunked(
    trained: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, run = trained
    texts, _ = val_of(data)
    whole = Classifier.load(run).predict_proba(texts)
    monkeypatch.setattr("custom_bert.inference.chunks.CHUNK", 7)
    monkeypatch.setattr("custom_bert.floor.linear.CHUNK", 3)
    in_parts = np.concatenate([row[None] for row in Classifier.load(run).stream_proba(iter(texts))])
    assert np.allclose(in_parts, whole, atol=1e-5)


def test_its_weights_are_fitted_on_lines_that_neither_side_learned_from(trained: tuple[Path, Path]) -> None:
    _, run = trained
    record = json.loads((run / "run.json").read_text())
    aside = record["data"]["choosing_examples"]
    assert aside == record["ensemble"]["fitted_on"] == pytest.approx(0.05 * LINES, abs=3)
    assert record["data"]["train_examples"] == record["floor"]["texts"] == LINES - aside
    factors = read_ensemble(run, CLASSES, sets=False)
    assert record["ensemble"]["factors"] == {"encoder": factors.encoder, "floor": factors.floor}


def test_what_each_side_scores_alone_and_together_is_told(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = trained
    record = json.loads((run / "run.json").read_text())
    told = {
        "floor": record["floor"]["accuracy"],
        "encoder": record["ensemble"]["encoder_alone"]["accuracy"],
        "together": record["validation"]["accuracy"],
    }
    assert main(["train", *arguments(config(data, tmp_path / "run"))]) == 0
    said = capsys.readouterr().out
    last = said.splitlines()[-6:]
    for name, accuracy in told.items():
        assert any(line.startswith(f"{name:<10} accuracy {accuracy:.4f}") for line in last), (name, last)
    assert main(["evaluate", str(run), str(data), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["accuracy"] == pytest.approx(told["together"])
    assert found["encoder"]["accuracy"] == pytest.approx(told["encoder"])
    assert found["floor"]["accuracy"] == pytest.approx(told["floor"])
    assert main(["evaluate", str(run), str(data)]) == 0
    said = capsys.readouterr().out
    assert main(["info", str(run)]) == 0
    said += capsys.readouterr().out
    for name in ("encoder", "together"):
        assert len(re.findall(rf"{name} +accuracy {told[name]:.4f}", said)) == 2
    assert main(["report", str(run), str(tmp_path / "page.html")]) == 0
    assert "accuracy of the encoder alone" in (tmp_path / "page.html").read_text()


def test_the_encoder_alone_is_what_an_export_is(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = trained
    record = json.loads((run / "run.json").read_text())
    alone, together = record["ensemble"]["encoder_alone"]["accuracy"], record["validation"]["accuracy"]
    assert main(["export", str(run), str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith(f"the encoder alone, as exported: accuracy {alone:.4f}")
    assert f"with its floor: accuracy {together:.4f}" in said
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"accuracy {alone:.4f}" in card and "a linear model on n-grams too, which is not part" in card
    transformers = pytest.importorskip("transformers")
    texts = val_of(data)[0][:50]
    pipe = transformers.pipeline("text-classification", str(tmp_path / "out"), top_k=None, truncation=True)
    theirs = [{one["label"]: one["score"] for one in row} for row in pipe(texts)]
    classifier = Classifier.load(run, encoder_only=True)
    for row, scores in zip(classifier.predict_proba(texts), theirs, strict=True):
        assert row.tolist() == pytest.approx([scores[label] for label in classifier.labels], abs=1e-5)
    assert main(["predict", str(run), str(data / "val_dataset.txt"), "--encoder-only"]) == 0
    alone_lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in alone_lines[:50]] == [max(one, key=one.get) for one in theirs]
    assert main(["evaluate", str(run), str(data), "--encoder-only", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["accuracy"] == pytest.approx(alone) and found.keys().isdisjoint(("encoder", "floor"))


@pytest.mark.parametrize(
    ("lines", "changes", "reason"),
    [
        (FEW, {}, TOO_FEW),
        (LINES, {"floor": False}, "floor is off"),
        (LINES, {"ensemble": False}, None),
    ],
)
def test_where_there_is_none_the_encoder_learns_from_all_lines_and_predicts_alone(
    tmp_path: Path, lines: int, changes: dict[str, Any], reason: str | None
) -> None:
    data = noisy_data(tmp_path / "data", lines, val=TOO_FEW_TO_JUDGE)
    train_model(config(data, tmp_path / "run", **changes))
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert not (tmp_path / "run" / NAME).exists() and "ensemble" not in record
    assert record["config"]["ensemble"] is False
    reasons = [one["reason"] for one in record["choices"] if one["name"] == "ensemble"]
    assert reasons == ([] if reason is None else [reason])
    aside = record["data"].get("choosing_examples", 0)
    assert record["data"]["train_examples"] == lines and not aside


def test_where_there_is_one_the_choice_and_its_reason_are_kept(trained: tuple[Path, Path]) -> None:
    record = json.loads((trained[1] / "run.json").read_text())
    assert record["config"]["ensemble"] is True
    (reason,) = [one["reason"] for one in record["choices"] if one["name"] == "ensemble"]
    assert reason == f"{record['data']['choosing_examples']} training lines to fit it on"


@pytest.mark.parametrize(
    ("lines", "changes", "reason"),
    [
        (FEW, {}, TOO_FEW),
        (FEW, {"floor": False}, "floor is off"),
        (FEW, {"task": "multi_label"}, TOO_FEW),
    ],
)
def test_one_that_is_asked_for_and_cannot_be_had_is_refused_in_a_line(
    tmp_path: Path, lines: int, changes: dict[str, Any], reason: str
) -> None:
    data = noisy_data(tmp_path / "data", lines, val=TOO_FEW_TO_JUDGE)
    with pytest.raises(ConfigError) as refused:
        train_model(config(data, tmp_path / "run", ensemble=True, **changes), reporter=Reporter(silent=True))
    assert str(refused.value) == f"config: ensemble True: {reason}; leave it out"
    assert not (tmp_path / "run").exists()


def test_one_that_is_asked_for_is_refused_where_the_data_allow_no_floor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*positional: Any, **named: Any) -> Any:
        raise NoFloorError("3 classes are too many")

    data = noisy_data(tmp_path / "data")
    monkeypatch.setattr("custom_bert.tasks.floored.drawn_for_training", none)
    with pytest.raises(ConfigError, match="ensemble True: there is no floor: 3 classes are too many"):
        train_model(config(data, tmp_path / "run", ensemble=True), reporter=Reporter(silent=True))
    assert not (tmp_path / "run").exists()


def test_a_run_of_the_time_when_it_was_on_by_default_goes_on(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    data, whole = trained
    broken = config(data, tmp_path / "run", **{"runtime.checkpoint_every": 5})
    break_off(broken, step=20)
    path = tmp_path / "run" / "run.json"
    record = json.loads(path.read_text())
    record["choices"] = [one for one in record["choices"] if one["name"] != "ensemble"]
    path.write_text(json.dumps(record))
    for asked in ({"ensemble": True}, {}):  # it was the default, and may stand in their config file
        train_model({**broken, **asked}, reporter=Reporter(silent=True))
    assert (tmp_path / "run" / NAME).read_bytes() == (whole / NAME).read_bytes()


def test_the_rows_that_a_run_held_out_are_found_again(tmp_path: Path) -> None:
    data = noisy_data(tmp_path / "data", 2_400)  # of which a tenth is held out
    for name in ("val_dataset.txt", "val_labels.txt"):
        (data / name).unlink()
    train_model(config(data, tmp_path / "run"))
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    found = evaluate_run(tmp_path / "run", data, split="val")
    for name in ("accuracy", "macro_f1"):
        assert found.model.numbers[name] == pytest.approx(record["validation"][name])
    trained_on = evaluate_run(tmp_path / "run", data, split="train")
    assert trained_on.model.scores.examples == record["data"]["train_examples"]


def test_a_run_that_was_broken_off_ends_with_the_same(trained: tuple[Path, Path], tmp_path: Path) -> None:
    data, whole = trained
    broken = config(data, tmp_path / "run", **{"runtime.checkpoint_every": 5})
    break_off(broken, step=20)
    assert not (tmp_path / "run" / NAME).exists()
    (tmp_path / "run" / NAME).write_text("of an attempt that was broken off later")
    break_off(broken, step=40)
    assert not (tmp_path / "run" / NAME).exists()
    train_model(broken)
    assert (tmp_path / "run" / NAME).read_bytes() == (whole / NAME).read_bytes()


def test_without_its_parts_it_is_one_line(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = trained
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / NAME).write_text("{")
    texts = str(data / "val_dataset.txt")
    assert main(["predict", str(tmp_path / "run"), texts]) == RunError.exit_code
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "ensemble.json: damaged" in said and "--encoder-only" in said
    assert main(["predict", str(tmp_path / "run"), texts, "--encoder-only"]) == 0
    shutil.copy(run / NAME, tmp_path / "run" / NAME)
    shutil.rmtree(tmp_path / "run" / "floor")
    assert main(["predict", str(tmp_path / "run"), texts]) == RunError.exit_code
    assert "floor.json: no such file" in capsys.readouterr().err


def test_a_floor_that_is_gone_is_fitted_again(trained: tuple[Path, Path], tmp_path: Path) -> None:
    data, whole = trained
    broken = config(data, tmp_path / "run", **{"runtime.checkpoint_every": 5})
    break_off(broken, step=20)
    shutil.rmtree(tmp_path / "run" / "floor")
    train_model(broken)
    assert (tmp_path / "run" / NAME).read_bytes() == (whole / NAME).read_bytes()


def test_texts_that_change_while_the_encoder_learns_cost_the_ensemble_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = noisy_data(tmp_path / "data")
    real = outcome.evaluate_finally

    def changed(*positional: Any, **named: Any) -> Any:
        write_lines(data / "val_dataset.txt", ["another text"] * 200)
        return real(*positional, **named)

    monkeypatch.setattr(outcome, "evaluate_finally", changed)
    train_model(config(data, tmp_path / "run"))
    assert "the encoder predicts alone: " in capsys.readouterr().out
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "finished" and "ensemble" not in record
    assert not (tmp_path / "run" / NAME).exists()


def test_a_run_of_a_version_without_ensembles_is_measured_on_the_rows_that_it_held_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = noisy_data(tmp_path / "data", 2_400)
    for name in ("val_dataset.txt", "val_labels.txt"):
        (data / name).unlink()
    train_model(config(data, tmp_path / "run", ensemble=False))
    path = tmp_path / "run" / "run.json"
    record = json.loads(path.read_text())
    del record["config"]["ensemble"]
    del record["identity"]["settings"]["ensemble"]
    path.write_text(json.dumps(record))
    found = evaluate_run(tmp_path / "run", data, split="train")
    assert found.model.scores.examples == record["data"]["train_examples"] == 2_160
    assert train_model(config(data, tmp_path / "run", ensemble=False)).steps == 0
    with pytest.raises(RunError, match="ensemble was False, is True"):
        train_model(config(data, tmp_path / "run"))


@pytest.mark.parametrize("changes", [{"optim.max_minutes": 0.02}, {"data.long_texts": "windows"}])
def test_any_way_of_training_ends_with_one(tmp_path: Path, changes: dict[str, Any]) -> None:
    data = noisy_data(tmp_path / "data")
    train_model(config(data, tmp_path / "run", **changes))
    read_ensemble(tmp_path / "run", CLASSES, sets=False)


def test_texts_in_memory_have_one(tmp_path: Path) -> None:
    texts, labels = examples(2_600)
    given = {name: value for name, value in config(tmp_path, tmp_path / "run").items() if "data." not in name}
    train_model({**given, "data.cache_dir": str(tmp_path / "cache")}, source=in_memory(texts, labels))
    read_ensemble(tmp_path / "run", CLASSES, sets=False)


@pytest.mark.parametrize("task", ["classification", "multi_label"])
def test_with_few_lines_the_floor_predicts_if_it_is_better_on_the_validation_texts(
    tmp_path: Path, task: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, run = noisy_data(tmp_path / "data", FEW), tmp_path / "run"
    train_model(config(data, run, **{"task": task, "optim.lr": 1e-7}))  # an encoder that learns nothing
    said = capsys.readouterr().out
    assert "together" in said and "which is the floor alone: it is better on the validation texts" in said
    record = json.loads((run / "run.json").read_text())
    assert record["ensemble"]["factors"] == {"encoder": 0.0, "floor": 1.0}
    assert record["ensemble"]["fitted_on"] == 0
    metric = record["config"]["optim.metric"]
    assert (
        record["validation"][metric] == record["floor"][metric] > record["ensemble"]["encoder_alone"][metric]
    )
    texts, _ = val_of(data)
    classifier = Classifier.load(run)
    floor = classifier.task.read_floor(run)
    expected = classifier.decoder.probabilities(next(iter(floor.scored(texts))))
    assert np.allclose(classifier.predict_proba(texts), expected, atol=1e-6)
    with monkeypatch.context() as patch:  # an encoder that does not count is not computed either
        patch.delattr(EncoderScores, "of")
        assert np.array_equal(Classifier.load(run).predict_proba(texts), classifier.predict_proba(texts))
    found = evaluate_run(run, data, split="val")
    assert found.model.numbers[metric] == pytest.approx(record["validation"][metric])


def test_with_few_lines_the_encoder_predicts_alone_if_the_floor_is_not_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def guessed(_: Floor, texts: Iterable[str]) -> Iterator[np.ndarray]:
        yield np.zeros((len(list(texts)), CLASSES), dtype=np.float32)

    monkeypatch.setattr(Floor, "scored", guessed)
    data, run = noisy_data(tmp_path / "data", FEW), tmp_path / "run"
    train_model(config(data, run, **{"optim.epochs": 20}))
    record = json.loads((run / "run.json").read_text())
    assert record["config"]["ensemble"] is True and "ensemble" not in record
    assert record["validation"]["accuracy"] > record["floor"]["accuracy"]
    assert not (run / NAME).exists()


def test_with_few_lines_the_choice_can_be_turned_off(tmp_path: Path) -> None:
    data, run = noisy_data(tmp_path / "data", FEW), tmp_path / "run"
    train_model(config(data, run, **{"optim.lr": 1e-7, "ensemble": False}))
    assert not (run / NAME).exists()


def test_weighed_sides_predict_together_whatever_the_validation_texts_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Classification, "worth", lambda *_: 0.5)  # the encoder is as good as both together
    train_model(config(noisy_data(tmp_path / "data"), tmp_path / "run"))
    read_ensemble(tmp_path / "run", CLASSES, sets=False)


def test_each_side_scores_the_same_texts_where_the_encoder_reads_ahead() -> None:
    """As on a GPU, where the next texts are read while the last ones are computed."""

    class Ahead:
        thresholds = dict.fromkeys([WHOLE])

        def of(self, texts: Iterable[str], unknown: Any = None) -> Iterator[np.ndarray]:
            waiting: list[np.ndarray] = []
            source = iter(texts)
            while chunk := list(islice(source, 2)):
                waiting.append(np.array([[len(text)] for text in chunk], dtype=np.float32))
                if len(waiting) > 1:
                    yield waiting.pop(0)
            yield from waiting

    class Same:
        thresholds = dict.fromkeys([WHOLE])

        def of(self, texts: Iterable[str], unknown: Any = None) -> Iterator[np.ndarray]:
            yield np.array([[len(text)] for text in texts], dtype=np.float32)

    both = BothScores(cast(Any, Ahead()), cast(Any, Same()), Ensemble(1.0, 10.0))
    found = np.concatenate(list(both.of(["a", "bb", "ccc", "dddd", "eeeee"])))
    assert found[:, 0].tolist() == [11.0, 22.0, 33.0, 44.0, 55.0]
