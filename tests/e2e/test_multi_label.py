"""The task multi_label has everything that classification has."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_files import write_set
from scipy.special import expit, logit
from training_runs import built, ready, settings, stopped_and_continued

from custom_bert import Classifier, train_model
from custom_bert.batch import Targets
from custom_bert.cli import main
from custom_bert.config_sources import from_mapping
from custom_bert.data.reading import data_files
from custom_bert.errors import ConfigError, RunError
from custom_bert.label_metrics import best_thresholds
from custom_bert.model_files.native import load_model
from custom_bert.tasks.multi_label import BinaryCrossEntropy, MultiLabel
from custom_bert.training.log import Reporter

WORDS = {
    "animals": ["cat", "dog", "horse", "bird"],
    "machines": ["engine", "motor", "pump", "gear"],
    "weather": ["rain", "snow", "wind", "cloud"],
}
OTHER = ["the", "a", "of", "and", "to", "in", "is", "was", "on", "by"]


def texts_of(count: int, seed: int) -> tuple[list[str], list[str]]:
    draw = np.random.default_rng(seed)
    texts, labels = [], []
    for i in range(count):
        own = [label for label in WORDS if draw.random() < 0.45]
        words = [str(draw.choice(WORDS[label])) for label in own for _ in range(2)]
        words += [str(word) for word in draw.choice(OTHER, 5)]
        texts.append(" ".join([*draw.permutation(words).tolist(), str(i)]))
        labels.append("\t".join(own))
    return texts, labels


def config(data: Path, out: Path | None, **changes: Any) -> dict[str, Any]:
    return settings(data, out, **{"task": "multi_label", "optim.epochs": 12, **changes})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("sets") / "data", *texts_of(300, 0), *texts_of(80, 1))


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    return train_model(config(data, data.parent / "run"), reporter=Reporter(silent=True)).directory


def test_it_learns_and_reports_what_evaluate_finds(
    data: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((run / "run.json").read_text())
    found = record["validation"]
    assert found["micro_f1"] > 0.9 and found["macro_f1"] > 0.9 and found["exact_match"] > 0.8
    assert record["data"]["choosing_examples"] + record["data"]["train_examples"] == 300
    assert main(["evaluate", str(run), str(data), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    del found["loss"]
    assert again == found
    assert set(again["per_class"]["weather"]) == {"precision", "recall", "f1", "support", "threshold"}
    assert main(["evaluate", str(run), str(data)]) == 0
    table = capsys.readouterr().out
    assert "micro average" in table and "exact match" in table and "threshold" in table


def test_the_scores_are_scikit_learns(data: Path, run: Path) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    classifier, found = Classifier.load(run), json.loads((run / "run.json").read_text())["validation"]
    texts = (data / "val_dataset.txt").read_text().splitlines()
    lines = (data / "val_labels.txt").read_text().split("\n")[: len(texts)]
    true_NC = np.array([[label in line.split("\t") for label in classifier.labels] for line in lines])
    thresholds_C = np.array([found["per_class"][label]["threshold"] for label in classifier.labels])
    given_NC = classifier.predict_proba(texts) >= thresholds_C.astype(np.float32)
    assert found["micro_f1"] == pytest.approx(metrics.f1_score(true_NC, given_NC, average="micro"))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(true_NC, given_NC, average="macro"))
    assert found["exact_match"] == pytest.approx(metrics.accuracy_score(true_NC, given_NC))
    assert [p.labels for p in classifier.predict(texts)] == [
        tuple(label for label, given in zip(classifier.labels, row, strict=True) if given) for row in given_NC
    ]
    scores = classifier.evaluate(texts, lines)
    assert scores.micro_f1 == pytest.approx(found["micro_f1"])  # type: ignore[union-attr]


def test_predictions_are_labels_with_tabs_between_and_json_has_all(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts.txt").write_text("the cat and the dog in snow wind\nof the to and in\n")
    assert main(["predict", str(run), str(tmp_path / "texts.txt")]) == 0
    assert capsys.readouterr().out == "animals\tweather\n\n"
    assert main(["predict", str(run), str(tmp_path / "texts.txt"), "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["labels"] == ["animals", "weather"] and second["labels"] == []
    assert list(second["probabilities"]) == ["animals", "machines", "weather"]
    assert main(["predict", str(run), str(tmp_path / "texts.txt"), "--all-probabilities"]) == 0
    pairs = capsys.readouterr().out.splitlines()[0].split("\t")
    assert {pairs[0], pairs[2]} == {"animals", "weather"} and float(pairs[1]) >= float(pairs[3]) > float(
        pairs[5]
    )


def test_thresholds_are_chosen_on_rows_set_aside_and_kept_with_the_weights(data: Path, run: Path) -> None:
    trained = load_model(run)
    thresholds_C = trained.model.get_buffer("thresholds_C")
    assert not torch.equal(thresholds_C, torch.full((3,), 0.5))
    one = ready(config(data, None))
    assert one.material.choosing is not None
    aside = {*one.material.choosing.rows_N.tolist()}
    assert 25 <= len(aside) <= 35 and not aside & {*one.train.rows_N.tolist()}
    assert one.val.store is not one.train.store  # validation has files of its own


def test_rows_that_choose_are_not_among_the_training_rows_of_evaluate(
    data: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((run / "run.json").read_text())["data"]
    assert main(["evaluate", str(run), str(data), "--split", "train", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["examples"] == record["train_examples"] < 300


def test_without_validation_files_both_parts_are_set_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_set(tmp_path / "data", *texts_of(240, 2))
    train_model(config(data, tmp_path / "run", **{"optim.epochs": 2}))
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    sizes = [record["data"][f"{name}_examples"] for name in ("train", "choosing", "val")]
    assert sum(sizes) == 240 and min(sizes) > 15
    for split, count in (("val", sizes[2]), ("train", sizes[0])):
        capsys.readouterr()
        assert main(["evaluate", str(tmp_path / "run"), str(data), "--split", split, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["examples"] == count
        if split == "val":
            assert found["micro_f1"] == record["validation"]["micro_f1"]


@pytest.mark.parametrize(
    "changes", [{}, {"optim.r_drop": 2.0, "optim.token_dropout": 0.2}], ids=["plain", "r-drop"]
)
def test_a_stopped_run_is_continued_bit_for_bit(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], ctrl_c: None
) -> None:
    changes = {**changes, "optim.epochs": 3, "model.hidden_dropout": 0.1, "optim.class_weights": "balanced"}
    runs = stopped_and_continued(lambda out: config(data, out, **changes), tmp_path, monkeypatch)
    weights = [(one / "model.safetensors").read_bytes() for one in runs]
    assert weights[0] == weights[1]
    found = [json.loads((one / "run.json").read_text())["validation"] for one in runs]
    assert found[0] == found[1]


def test_settings_reach_the_loss(data: Path) -> None:
    changes = {"optim.class_weights": "balanced", "optim.label_smoothing": 0.2, "optim.r_drop": 3.0}
    one = ready(config(data, None, **changes))
    objective = built(one).phases[-1].objective
    assert isinstance(objective, BinaryCrossEntropy)
    assert (objective.label_smoothing, objective.r_drop) == (0.2, 3.0)
    counts, texts = one.material.source.dataset.label_counts(), len(one.train.rows_N)  # type: ignore[attr-defined]
    assert objective.class_weights_2C is not None
    wanted = [texts / 2 / count for count in counts.values()]
    assert objective.class_weights_2C[1].tolist() == pytest.approx(wanted)
    logits = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = Targets(torch.tensor([[1.0, 0, 1]] * 2 + [[0, 0, 1.0]] * 2))
    p, q = logits[::2].sigmoid(), logits[1::2].sigmoid()

    def kl(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a * (a / b).log() + (1 - a) * ((1 - a) / (1 - b)).log()

    apart = float(BinaryCrossEntropy(r_drop=6.0).loss_sum(logits, targets))
    plain = float(BinaryCrossEntropy().loss_sum(logits, targets))
    assert apart - plain == pytest.approx(3.0 * float((kl(p, q) + kl(q, p)).sum()))


def test_transformers_gives_the_same_probabilities(data: Path, run: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    assert main(["export", str(run), str(tmp_path / "out")]) == 0
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert written["problem_type"] == "multi_label_classification"
    assert written["id2label"] == {"0": "animals", "1": "machines", "2": "weather"}
    thresholds = load_model(run).model.get_buffer("thresholds_C").tolist()
    assert written["thresholds"] == pytest.approx(dict(zip(written["label2id"], thresholds, strict=True)))
    card = (tmp_path / "out" / "README.md").read_text()
    assert all(f"| `{label}` | {value:.3f} |" in card for label, value in written["thresholds"].items())
    texts = (data / "val_dataset.txt").read_text().splitlines()[:20]
    pipe = transformers.pipeline("text-classification", str(tmp_path / "out"), top_k=None, truncation=True)
    ours = Classifier.load(run)
    for text, theirs, row_C, said in zip(
        texts, pipe(texts), ours.predict_proba(texts), ours.predict(texts), strict=True
    ):
        scores = {one["label"]: one["score"] for one in theirs}
        assert [scores[label] for label in ours.labels] == pytest.approx(row_C.tolist(), abs=1e-5), text
        assert {label for label, value in scores.items() if value >= written["thresholds"][label]} == {
            *said.labels
        }


def test_the_report_and_info_show_thresholds_and_measures(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(run), str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "threshold" in page and "micro-F1" in page and "exact match" in page and "weather" in page
    capsys.readouterr()
    assert main(["info", str(run)]) == 0
    said = capsys.readouterr().out
    measured = json.loads((run / "run.json").read_text())["validation"]
    assert f"micro-F1 {measured['micro_f1']:.4f}" in said and "macro-F1" in said and "weather" in said


def test_a_random_head_begins_with_how_often_each_label_is_there(data: Path) -> None:
    one = ready(config(data, None))
    first = built(one).model.head.projection.bias.detach()  # type: ignore[union-attr]
    counts = torch.tensor([*one.material.source.dataset.label_counts().values()])  # type: ignore[attr-defined]
    assert first.sigmoid().tolist() == pytest.approx((counts / len(one.train.rows_N)).tolist(), abs=0.01)
    heavy = built(ready(config(data, None, **{"optim.class_weights": {"weather": 3.0}})))
    moved = heavy.model.head.projection.bias.detach() - first  # type: ignore[union-attr]
    assert moved.tolist() == pytest.approx([0, 0, np.log(3)], abs=1e-5)
    balanced = built(ready(config(data, None, **{"optim.class_weights": "balanced"})))
    assert not balanced.model.head.projection.bias.any()  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Data with enough lines for an ensemble, and a run that has one."""
    folder = tmp_path_factory.mktemp("together")
    data = write_set(folder / "data", *texts_of(700, 0), *texts_of(100, 1))
    run = train_model(
        config(data, folder / "run", floor=True, **{"optim.epochs": 2}), reporter=Reporter(silent=True)
    )
    return data, run.directory


def test_encoder_and_floor_predict_together_with_thresholds_of_their_own(
    together: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = together
    record = json.loads((run / "run.json").read_text())
    assert record["ensemble"]["fitted_on"] == record["data"]["choosing_examples"] >= 50
    stored = json.loads((run / "ensemble.json").read_text())
    classifier, alone = Classifier.load(run), Classifier.load(run, encoder_only=True)
    texts = (data / "val_dataset.txt").read_text().splitlines()
    floor = classifier.task.read_floor(run)
    whole = stored["encoder"] * logit(alone.predict_proba(texts)) + stored["floor"] * floor.scores(texts)
    assert np.allclose(classifier.predict_proba(texts), expit(whole), atol=1e-5)
    given = classifier.predict_proba(texts) >= np.array(stored["thresholds"], dtype=np.float32)
    assert [one.labels for one in classifier.predict(texts)] == [
        tuple(np.array(classifier.labels)[row].tolist()) for row in given
    ]
    assert main(["evaluate", str(run), str(data), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for name in ("micro_f1", "macro_f1", "exact_match"):
        assert found[name] == pytest.approx(record["validation"][name])
        assert found["encoder"][name] == pytest.approx(record["ensemble"]["encoder_alone"][name])
        assert found["floor"][name] == pytest.approx(record["floor"][name])
    shown = [one["threshold"] for one in found["per_class"].values()]
    assert shown == pytest.approx(stored["thresholds"])


def test_the_thresholds_of_both_are_chosen_on_the_rows_set_aside(together: tuple[Path, Path]) -> None:
    data, run = together
    asked = from_mapping({**config(data, run), "data.val_fraction": 0.1})
    aside = MultiLabel.read_lines(data_files(asked.data), asked).dataset.choosing
    assert aside is not None
    rows = np.arange(len(aside))
    probabilities = Classifier.load(run).predict_proba(list(aside.texts(rows)))
    expected = best_thresholds(probabilities, aside.targets.values(rows) > 0)
    stored = json.loads((run / "ensemble.json").read_text())
    assert stored["thresholds"] == pytest.approx(expected.tolist(), abs=1e-4)


@pytest.mark.parametrize("thresholds", [None, [0.5], [0.5, 0.5, "0.5"], [0.5, 0.5, float("nan")]])
def test_damaged_thresholds_of_both_are_one_line(
    together: tuple[Path, Path], tmp_path: Path, thresholds: object, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(together[1], tmp_path / "run")
    path = tmp_path / "run" / "ensemble.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "thresholds": thresholds}))
    assert (
        main(["predict", str(tmp_path / "run"), str(together[0] / "val_dataset.txt")]) == RunError.exit_code
    )
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "ensemble.json: damaged" in said


def test_check_data_and_the_separator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts, labels = texts_of(60, 3)
    data = write_set(tmp_path / "data", texts, [line.replace("\t", ",") for line in labels])
    options = ["--task", "multi_label", "--label-separator", ","]
    assert main(["check-data", str(data), *options]) == 0
    assert "no errors" in capsys.readouterr().out
    train_model(config(data, tmp_path / "run", **{"data.label_separator": ",", "optim.epochs": 1}))
    assert main(["evaluate", str(tmp_path / "run"), str(data)]) == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["label_separator"] == ","


def test_a_metric_of_another_task_is_refused_in_one_line(data: Path) -> None:
    with pytest.raises(ConfigError, match=r"optim\.metric accuracy: task multi_label has micro_f1, macro_f1"):
        train_model(config(data, None, **{"optim.metric": "accuracy"}))
    with pytest.raises(
        ConfigError, match=r"optim\.metric micro_f1: task classification has accuracy, macro_f1"
    ):
        train_model(settings(data, None, **{"optim.metric": "micro_f1"}))


def test_a_multi_label_run_is_a_start_for_a_classifier_and_the_way_back(
    data: Path, run: Path, tmp_path: Path
) -> None:
    small = ("model.hidden_size", "model.num_hidden_layers", "model.num_attention_heads")
    single = write_set(tmp_path / "one", texts_of(60, 5)[0], ["a", "b"] * 30)
    given = {k: v for k, v in settings(single, tmp_path / "cls").items() if k not in small}
    train_model({**given, "model.init_from": str(run), "optim.epochs": 1})
    given = {k: v for k, v in config(data, tmp_path / "back").items() if k not in small}
    train_model({**given, "model.init_from": str(tmp_path / "cls"), "optim.epochs": 1})
    assert load_model(tmp_path / "back").task.output_names == ("animals", "machines", "weather")


def test_damage_is_refused_in_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, (key, value, words) in enumerate(
        (
            ("label_separator", "", "label_separator is"),
            ("task", "classification", "unknown key 'label_separator'"),
        )
    ):
        copy = tmp_path / str(number)
        copy.mkdir()
        for path in run.iterdir():
            if path.is_file():
                (copy / path.name).write_bytes(path.read_bytes())
        described = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps({**described, key: value}))
        assert main(["predict", str(copy), "-"]) == 66
        said = capsys.readouterr().err
        assert words in said and said.count("\n") == 1
