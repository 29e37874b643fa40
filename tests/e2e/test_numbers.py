"""The task regression has everything that classification has: numbers in, numbers in the same unit out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_files import lines, write_set
from training_runs import built, ready, settings, stopped_and_continued

from custom_bert import Classifier, in_memory, train_model
from custom_bert.batch import Targets
from custom_bert.cli import main
from custom_bert.config_checks import check
from custom_bert.errors import ConfigError, RunError
from custom_bert.model_files.native import load_model
from custom_bert.number_metrics import NumberScores
from custom_bert.tasks.regression import NumberLoss, Regression
from custom_bert.training.log import Reporter

QUIET = Reporter(silent=True)
WORTH = {"awful": -2.0, "bad": -1.0, "plain": 0.0, "good": 1.0, "great": 2.0}
SIZES = {"tiny": 10.0, "small": 20.0, "large": 40.0, "huge": 80.0}


def texts_of(count: int, seed: int, *, several: bool = False) -> tuple[list[str], list[str]]:
    """Texts whose words add up to a number around 1,000 and, with `several`, name another one."""
    draw = np.random.default_rng(seed)
    texts, labels = [], []
    for i in range(count):
        words = draw.choice(list(WORTH), 3).tolist()
        size = str(draw.choice(list(SIZES)))
        texts.append(" ".join(["the", size, "film", "was", *words, str(i)]))
        numbers = [f"{1000 + 50 * sum(map(WORTH.__getitem__, words)):g}", f"{SIZES[size]:g}"]
        labels.append("\t".join(numbers if several else numbers[:1]))
    return texts, labels


def config(data: Path, out: Path | None, **changes: Any) -> dict[str, Any]:
    return settings(data, out, **{"task": "regression", "optim.epochs": 15, **changes})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("numbers") / "data", *texts_of(300, 0), *texts_of(80, 1))


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    return train_model(config(data, data.parent / "run", floor=True), reporter=QUIET).directory


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several")
    data = write_set(folder / "data", *texts_of(200, 0, several=True), *texts_of(60, 1, several=True))
    return train_model(config(data, folder / "run"), reporter=QUIET).directory


def truth(data: Path) -> tuple[list[str], np.ndarray]:
    texts = (data / "val_dataset.txt").read_text().splitlines()
    rows = (data / "val_labels.txt").read_text().splitlines()
    return texts, np.array([list(map(float, row.split("\t"))) for row in rows])


def test_it_learns_and_reports_what_evaluate_finds(
    data: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((run / "run.json").read_text())
    found = record["validation"]
    assert found["r2"] > 0.8 and found["pearson"] > 0.9 and 0 < found["mae"] <= found["rmse"] < 60
    assert record["floor"]["r2"] > 0.5 and record["kept_by"] == "1 / (2 - R2)"
    assert main(["evaluate", str(run), str(data), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    del found["loss"]
    assert again.pop("floor")["r2"] == pytest.approx(record["floor"]["r2"])
    assert json.dumps(again) == json.dumps(found)
    assert set(again["intervals"]) == {"r2", "mae", "rmse", "pearson", "spearman"}
    assert all(low < again[key] < high for key, (low, high) in again["intervals"].items())
    assert main(["evaluate", str(run), str(data)]) == 0
    table = capsys.readouterr().out
    assert "R2" in table and "95 % from" in table and f"{found['mae']:.4f}" in table


def test_without_validation_files_a_share_of_every_size_is_set_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_set(tmp_path / "data", *texts_of(200, 2))
    train_model(config(data, tmp_path / "run", **{"optim.epochs": 2}), reporter=Reporter(verbose=True))
    assert "20 of 200 lines are set aside, stratified by size, seed 0" in capsys.readouterr().out
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["data"]["train_examples"] == 180
    assert main(["evaluate", str(tmp_path / "run"), str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["r2"] == record["validation"]["r2"]
    scale = json.loads((tmp_path / "run" / "config.json").read_text())
    assert record["data"]["numbers"][0]["std"] == scale["std"][0], "of the lines that train"


def test_the_scores_are_scikit_learns_and_scipys(data: Path, run: Path, several: Path) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    stats = pytest.importorskip("scipy.stats")
    for directory, folder in ((run, data), (several, several.parent / "data")):
        (texts, true_NK), classifier = truth(folder), Classifier.load(directory)
        given_NK = classifier.predict_proba(texts)
        found = json.loads((directory / "run.json").read_text())["validation"]
        assert found["r2"] == pytest.approx(metrics.r2_score(true_NK, given_NK), rel=1e-5)
        assert found["mae"] == pytest.approx(metrics.mean_absolute_error(true_NK, given_NK), rel=1e-5)
        assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(true_NK, given_NK), rel=1e-5)
        for key, reference in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
            each = [reference(true_NK[:, i], given_NK[:, i]).statistic for i in range(true_NK.shape[1])]
            assert found[key] == pytest.approx(np.mean(each), abs=1e-5)
            assert [one[key] for one in found["per_output"]] == pytest.approx(each, abs=1e-5)
        scores = classifier.evaluate(texts, ["\t".join(map(str, row)) for row in true_NK.tolist()])
        assert isinstance(scores, NumberScores)
        assert scores.r2 == pytest.approx(found["r2"]) and scores.mae == pytest.approx(found["mae"])


def test_predictions_are_in_the_users_unit(
    run: Path, several: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("the small film was great great great\nthe huge film was awful awful awful\n")
    assert main(["predict", str(run), str(path)]) == 0
    high, low = map(float, capsys.readouterr().out.splitlines())
    assert high > 1100 and low < 900
    assert main(["predict", str(run), str(path), "--json"]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert first == {"numbers": [pytest.approx(high, rel=1e-6)]}
    assert main(["predict", str(several), str(path)]) == 0
    rows = [list(map(float, line.split("\t"))) for line in capsys.readouterr().out.splitlines()]
    assert rows[0][0] > 1050 > 950 > rows[1][0] and rows[0][1] < 40 < rows[1][1]
    assert main(["predict", str(run), str(path), "--all-probabilities"]) == 64
    assert "numbers have no probabilities" in capsys.readouterr().err
    with pytest.raises(RunError, match="and this model has no labels"):
        Classifier.load(run).explain("the film was great")
    with pytest.raises(ValueError, match=r"label 1: 'x' is no decimal number"):
        Classifier.load(run).measure(["a", "b"], ["1", "x"])


def test_tables_are_read_and_written_back_with_one_column(
    data: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts, labels = texts_of(60, 5)
    rows = [f"{text},{label}" for text, label in zip(texts, labels, strict=True)]
    (tmp_path / "films.csv").write_text("text,score\n" + "\n".join(rows) + "\n")
    (tmp_path / "films.jsonl").write_text(
        "".join(json.dumps({"text": t, "score": float(n)}) + "\n" for t, n in zip(texts, labels, strict=True))
    )
    results = []
    for name in ("films.csv", "films.jsonl"):
        given = config(data, tmp_path / name.replace(".", "-"), **{"optim.epochs": 1})
        given = {key: value for key, value in given.items() if not key.startswith("data.")}
        table = {"data.table": str(tmp_path / name), "data.label_column": "score"}
        results.append(train_model({**given, **table}, reporter=QUIET).numbers)
    assert results[0] == results[1]
    capsys.readouterr()
    assert main(["predict", str(run), str(tmp_path / "films.csv")]) == 0
    head, first, *_ = capsys.readouterr().out.splitlines()
    assert head == "text,score,predicted_number" and float(first.split(",")[2]) > 500
    options = ["--label-column", "score", "--json"]
    assert main(["evaluate", str(run), str(tmp_path / "films.jsonl"), *options]) == 0
    assert json.loads(capsys.readouterr().out)["r2"] > 0.8


@pytest.mark.parametrize(
    "changes", [{}, {"optim.r_drop": 2.0, "optim.regression_loss": "huber"}], ids=["plain", "huber, r-drop"]
)
def test_a_stopped_run_is_continued_bit_for_bit(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], ctrl_c: None
) -> None:
    changes = {**changes, "optim.epochs": 3, "model.hidden_dropout": 0.1, "optim.token_dropout": 0.1}
    runs = stopped_and_continued(lambda out: config(data, out, **changes), tmp_path, monkeypatch)
    weights = [(one / "model.safetensors").read_bytes() for one in runs]
    assert weights[0] == weights[1]
    found = [json.loads((one / "run.json").read_text()) for one in runs]
    assert found[0]["validation"] == found[1]["validation"]


def test_settings_reach_the_loss(data: Path) -> None:
    one = ready(config(data, None, **{"optim.regression_loss": "huber", "optim.r_drop": 3.0}))
    objective = built(one).phases[-1].objective
    assert isinstance(objective, NumberLoss) and (objective.kind, objective.r_drop) == ("huber", 3.0)
    numbers = [float(line) for line in (data / "train_labels.txt").read_text().splitlines()]
    assert objective.mean_K.tolist() == pytest.approx([np.mean(numbers)])
    assert objective.std_K.tolist() == pytest.approx([np.std(numbers)])
    output = torch.randn(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = Targets(torch.tensor([[7.0, 5], [7, 5], [1, 30], [1, 30]]), None, torch.tensor([2.0, 2, 1, 1]))
    scale = torch.tensor([4.0, 10.0]), torch.tensor([3.0, 10.0])
    errors = output - (targets.values - scale[0]) / scale[1]
    weights = torch.tensor([[2.0], [2], [1], [1]])
    assert float(NumberLoss(*scale).loss_sum(output, targets)) == pytest.approx(
        float((weights * errors**2).sum())
    )
    huber = torch.where(errors.abs() < 1, errors**2 / 2, errors.abs() - 0.5)
    assert float(NumberLoss(*scale, kind="huber").loss_sum(output, targets)) == pytest.approx(
        float((weights * huber).sum())
    )
    assert float(NumberLoss(*scale).weight(targets)) == 12.0
    apart = float(NumberLoss(*scale, r_drop=6.0).loss_sum(output, targets))
    apart -= float(NumberLoss(*scale).loss_sum(output, targets))
    assert apart == pytest.approx(3 * float((weights[::2] * (output[::2] - output[1::2]) ** 2).sum()))


@pytest.mark.parametrize("which", ["run", "several"])
def test_transformers_gives_the_same_numbers(
    which: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    run: Path = request.getfixturevalue(which)
    assert main(["export", str(run), str(tmp_path / "out")]) == 0
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    outputs = 1 if which == "run" else 2
    assert written["problem_type"] == "regression" and len(written["id2label"]) == outputs
    texts, _ = truth(run.parent / "data")
    pipe = transformers.pipeline("text-classification", str(tmp_path / "out"), top_k=None, truncation=True)
    ours_NK = Classifier.load(run, encoder_only=True).predict_proba(texts[:20])
    for theirs, row in zip(pipe(texts[:20], function_to_apply="none"), ours_NK.tolist(), strict=True):
        numbers = {one["label"]: one["score"] for one in theirs}
        assert [numbers[f"LABEL_{i}"] for i in range(outputs)] == pytest.approx(row, rel=1e-5)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "in the unit of the training data" in card and "mean absolute error" in card


def test_the_report_and_info_show_the_measures(
    several: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(several), str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    found = json.loads((several / "run.json").read_text())["validation"]
    assert "Predicted numbers" in page and "number 2" in page and "95 %" in page and "MAE" in page
    assert f"{found['per_output'][1]['r2']:.4f}" in page
    capsys.readouterr()
    assert main(["info", str(several)]) == 0
    assert f"R2 {found['r2']:.4f}" in capsys.readouterr().out


def test_texts_with_weights_count_by_them(tmp_path: Path) -> None:
    texts, labels = texts_of(60, 0)
    once = in_memory(texts, labels, weights=[3.0] + [1.0] * 59)
    twice = in_memory([texts[0]] * 3 + texts[1:], [labels[0]] * 3 + labels[1:])
    tasks = []
    for source in (once, twice):
        asked = {"task": "regression", "model.init_from": "scratch", "data.val_fraction": 0.0}
        tasks.append(
            train_model(
                {**settings(tmp_path, None), **asked, "out": str(tmp_path / str(len(tasks)))},
                source=source,
                reporter=QUIET,
            ).directory
        )
    one, other = (json.loads((run / "config.json").read_text()) for run in tasks)
    assert one["mean"] == pytest.approx(other["mean"]) and one["std"] == pytest.approx(other["std"])


def test_a_regression_starts_from_a_classifier_and_the_way_back(
    data: Path, run: Path, tmp_path: Path
) -> None:
    small = ("model.hidden_size", "model.num_hidden_layers", "model.num_attention_heads")
    single = write_set(tmp_path / "one", texts_of(60, 5)[0], ["a", "b"] * 30)
    given = {k: v for k, v in settings(single, tmp_path / "cls").items() if k not in small}
    train_model({**given, "model.init_from": str(run), "optim.epochs": 1}, reporter=QUIET)
    given = {k: v for k, v in config(data, tmp_path / "back").items() if k not in small}
    back = train_model({**given, "model.init_from": str(tmp_path / "cls"), "optim.epochs": 1}, reporter=QUIET)
    assert load_model(back.directory).task.num_outputs == 1


@pytest.mark.parametrize("metric", ["r2", "mae", "rmse", "pearson", "spearman"])
def test_the_best_weights_are_those_of_the_best_measure(data: Path, tmp_path: Path, metric: str) -> None:
    task = ready(config(data, None, **{"optim.metric": metric}))
    scorers = [task.plan.task.scorer(None) for _ in range(2)]
    true = torch.tensor([[900.0], [1000.0], [1100.0], [1150.0]], dtype=torch.float64)
    scaled = (true - task.plan.task.mean_K[0]) / task.plan.task.std_K[0]  # type: ignore[attr-defined]
    for scorer, noise in zip(scorers, (0.1, 2.0), strict=True):
        scorer.add(scaled + noise * torch.tensor([[1.0], [-1], [1], [-1]]), Targets(true))
    good, bad = (task.plan.task.worth(one.measured(), task.config) for one in scorers)
    assert good > bad >= 0


REFUSED: dict[str, tuple[dict[str, list[str]], str]] = {
    "a word": (
        {"train_labels": ["1", "2.5", "good"]},
        "train_labels.txt:3: 'good' is no decimal number such as 3.5",
    ),
    "a header": (
        {"train_labels": ["label", "2", "3"]},
        "train_labels.txt:1: 'label' is no decimal number such as 3.5; it looks like a header: if so, "
        "remove the first line of both files",
    ),
    "an empty line": (
        {"train_labels": ["1", "", "3"]},
        "train_labels.txt:2: no number; write one, or remove the line from both files",
    ),
    "not finite": ({"train_labels": ["1", "2", "nan"]}, "train_labels.txt:3: 'nan' is no finite number"),
    "infinite": ({"train_labels": ["1", "-inf", "3"]}, "train_labels.txt:2: '-inf' is no finite number"),
    "a comma": (
        {"train_labels": ["1", "2", "3,5"]},
        "train_labels.txt:3: '3,5' has a comma; write decimals with a point and nothing between thousands",
    ),
    "a unit": (
        {"train_labels": ["1", "85 %", "3"]},
        "train_labels.txt:2: '85 %' is more than a number; write the number alone, without a unit",
    ),
    "too large": (
        {"train_labels": ["1", "2", "1e400"]},
        "train_labels.txt:3: '1e400' is larger than 1e+30; write the numbers in another unit",
    ),
    "another minus": (
        {"train_labels": ["1", "\u22122.5", "3"]},
        "train_labels.txt:2: '\u22122.5' has another sign in the place of the minus; write -2.5",
    ),
    "digits of another script": (
        {"train_labels": ["1", "\uff12", "3"]},
        "train_labels.txt:2: '\uff12' is no decimal number such as 3.5",
    ),
    "too near each other": (
        {"train_labels": ["1e-320", "2e-320", "1e-320"]},
        "train_labels.txt: the number differs by less than 1e-30 between two lines; write the numbers in "
        "another unit",
    ),
    "fewer numbers": (
        {"train_labels": ["1\t2", "3\t4", "5"]},
        "train_labels.txt:3: 1 number, while DIR/train_labels.txt:1 has 2; write as many on every line",
    ),
    "an empty number": (
        {"train_labels": ["1\t2", "3\t", "5\t6"]},
        "train_labels.txt:2: number 2: an empty number",
    ),
    "constant": (
        {"train_labels": ["4", "4.0", "4"]},
        "train_labels.txt: the number is 4 on every line; two different ones are needed",
    ),
    "one of two constant": (
        {"train_labels": ["1\t0", "2\t0", "3\t0"]},
        "train_labels.txt: number 2 of 2 is 0 on every line; two different ones are needed",
    ),
    "swapped files": (
        {"train_labels": ["a b", "c d", "e f"], "train_dataset": ["1", "2", "3"]},
        "train_labels.txt:1: the labels look like texts and DIR/train_dataset.txt like numbers; are the two "
        "files swapped?",
    ),
    "other numbers in validation": (
        {"val_labels": ["1", "2\t3"]},
        "val_labels.txt:2: 2 numbers, while DIR/train_labels.txt:1 has 1; write as many on every line",
    ),
    "too few lines": (
        {"train_labels": ["1", "2"]},
        "train_dataset.txt:3: a text without a label: DIR/train_dataset.txt has 3 lines, "
        "DIR/train_labels.txt 2; 1 text too many",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_number_is_refused_with_its_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes, expected = REFUSED[name]
    content = {"train_dataset": ["a b", "c d", "e f"], "train_labels": ["1", "2.5", "-3e2"]}
    content |= {"val_dataset": ["g", "h"], "val_labels": ["1", "2"]}
    for file, rows in {**content, **changes}.items():
        (tmp_path / f"{file}.txt").write_bytes(lines(rows))
    assert main(["check-data", str(tmp_path), "--task", "regression"]) == 65
    assert capsys.readouterr().err.replace(str(tmp_path), "DIR") == f"error: DIR/{expected}\n"


def test_check_data_says_what_the_numbers_are(
    data: Path, several: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check-data", str(data), "--task", "regression"]) == 0
    said = capsys.readouterr().out
    assert "a number each" in said and "numbers from 700 to 1250, mean 1007.83" in said
    assert main(["check-data", str(several.parent / "data"), "--task", "regression", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["labels"] == {} and [one["min"] for one in found["numbers"]][1] == 10


def test_a_table_of_class_weights_has_no_effect_as_a_word_has_none(data: Path) -> None:
    for weights in ("balanced", {"z": 5.0}):
        told = ready(config(data, None, **{"optim.class_weights": weights})).warnings
        assert any(
            "optim.class_weights" in one and "has no effect: task is regression" in one for one in told
        )


def test_what_does_not_fit_is_refused_in_one_line(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"optim\.metric accuracy: task regression has r2, mae, rmse"):
        train_model(config(data, None, **{"optim.metric": "accuracy"}))
    for way in ("probe", "contrast"):
        with pytest.raises(
            ConfigError, match=rf"optim\.head_init {way}: task regression has no probe; leave"
        ):
            train_model(config(data, None, **{"optim.head_init": way}))
    with pytest.raises(ConfigError, match="ensemble True: task regression has none"):
        train_model(config(data, None, ensemble=True))
    assert not check(ready(config(data, None)).plan.asked)


def test_a_label_file_of_numbers_is_never_taken_for_regression(tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", texts_of(60, 5)[0], ["1.5", "2.5", "4"] * 20)
    assert not isinstance(ready(settings(data, None)).plan.task, Regression)


def test_damage_is_refused_in_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for key, value, words in (
        ("std", [0.0], "std is [0.0]"),
        ("mean", ["a"], "mean is ['a']"),
        ("mean", [1.0, 2.0], "mean has 2 numbers, and std 1"),
        ("label_separator", "", "label_separator is"),
    ):
        copy = tmp_path / f"{key}{len(words)}"
        copy.mkdir()
        for path in run.iterdir():
            if path.is_file():
                (copy / path.name).write_bytes(path.read_bytes())
        described = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps({**described, key: value}))
        assert main(["predict", str(copy), "-"]) == 66
        said = capsys.readouterr().err
        assert words in said and said.count("\n") == 1, said
