"""The task soft_labels has everything that classification has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from data_files import write_set
from scipy.special import softmax
from training_runs import built, ready, settings, stopped_and_continued

from custom_bert import Classifier, train_model
from custom_bert.batch import Targets
from custom_bert.cli import main
from custom_bert.errors import ConfigError, DataError
from custom_bert.tasks.share_scorer import SoftCrossEntropy
from custom_bert.training.log import Reporter

WORDS = {
    "animals": ["cat", "dog", "horse", "bird"],
    "machines": ["engine", "motor", "pump", "gear"],
    "weather": ["rain", "snow", "wind", "cloud"],
}
OTHER = ["the", "a", "of", "and", "to", "in", "is", "was", "on", "by"]


def texts_of(count: int, seed: int) -> tuple[list[str], list[str]]:
    """Texts of four words about subjects; the share of a subject is the share of its words."""
    draw = np.random.default_rng(seed)
    texts, labels = [], []
    for i in range(count):
        subjects = [str(one) for one in draw.choice([*WORDS], 2)]
        own = [*subjects, subjects[0], subjects[0]]
        words = [str(draw.choice(WORDS[one])) for one in own] + [str(one) for one in draw.choice(OTHER, 3)]
        texts.append(" ".join([*draw.permutation(words).tolist(), str(i)]))
        labels.append("\t".join(f"{one}:{own.count(one) / 4}" for one in sorted(set(own))))
    return texts, labels


def config(data: Path, out: Path | None, **changes: Any) -> dict[str, Any]:
    return settings(data, out, **{"task": "soft_labels", "optim.epochs": 10, **changes})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("shares") / "data", *texts_of(300, 0), *texts_of(80, 1))


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    return train_model(config(data, data.parent / "run"), reporter=Reporter(silent=True)).directory


def shares_in(path: Path, names: tuple[str, ...]) -> np.ndarray:
    """The shares of a label file, read by hand."""
    rows = [dict(field.rsplit(":", 1) for field in x.split("\t")) for x in path.read_text().splitlines()]
    return np.array([[float(row.get(name, 0)) for name in names] for row in rows])


def test_it_learns_and_reports_what_evaluate_finds(
    data: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((run / "run.json").read_text())
    found = record["validation"]
    assert found["accuracy"] > 0.9 and found["divergence"] < 0.2 and found["calibration_error"] < 0.2
    assert record["kept_by"] == "1 / (1 + divergence)"
    assert main(["evaluate", str(run), str(data), "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.err == "", "shares that add up to 1 are no votes"
    again = json.loads(printed.out)
    loss = found.pop("loss")
    sums = ("divergence", "calibration_error", "calibration")  # rounded by the order of the texts
    assert {k: v for k, v in again.items() if k not in sums} == {
        k: v for k, v in found.items() if k not in sums
    }
    assert [again[k] for k in sums[:2]] == pytest.approx([found[k] for k in sums[:2]])
    assert set(again["per_class"]["weather"]) == {"precision", "recall", "f1", "support"}
    assert sum(one["texts"] for one in again["calibration"]) == 80
    assert main(["evaluate", str(run), str(data)]) == 0
    table = capsys.readouterr().out
    assert f"divergence         {found['divergence']:.4f} nats" in table and "calibration error" in table
    # the cross-entropy is the entropy of the given shares and the divergence from them
    shares_NC = shares_in(data / "val_labels.txt", Classifier.load(run).labels)
    entropy = -np.where(shares_NC > 0, shares_NC * np.log(np.maximum(shares_NC, 1e-9)), 0).sum(1).mean()
    assert loss == pytest.approx(entropy + found["divergence"], abs=1e-6)


def test_the_scores_are_those_of_scipy_and_scikit_learn(data: Path, run: Path) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    classifier, found = Classifier.load(run), json.loads((run / "run.json").read_text())["validation"]
    texts = (data / "val_dataset.txt").read_text().splitlines()
    shares_NC = shares_in(data / "val_labels.txt", classifier.labels)
    probabilities_NC = classifier.predict_proba(texts).astype(np.float64)
    predicted_N = probabilities_NC.argmax(1)
    assert not found["tied"] and np.all(np.sort(shares_NC)[:, -1] > np.sort(shares_NC)[:, -2])
    true_N = shares_NC.argmax(1)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(true_N, predicted_N))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(true_N, predicted_N, average="macro"))
    divergence = stats.entropy(shares_NC, probabilities_NC, axis=1).mean()
    assert found["divergence"] == pytest.approx(divergence, abs=1e-5)
    sure_N, share_N = probabilities_NC.max(1), shares_NC[np.arange(80), predicted_N]
    bins_N = np.digitize(sure_N, np.linspace(0, 1, 16)[1:-1])
    error = sum(
        (bins_N == i).mean() * abs(sure_N[bins_N == i].mean() - share_N[bins_N == i].mean())
        for i in np.unique(bins_N)
    )
    assert found["calibration_error"] == pytest.approx(error, abs=1e-5)
    measured = classifier.measure(texts, (data / "val_labels.txt").read_text().splitlines())
    assert measured.numbers["divergence"] == pytest.approx(found["divergence"])


def test_predictions_are_those_of_a_classifier(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts.txt").write_text("the cat and the dog and the horse\nsnow wind cloud of the engine\n")
    assert main(["predict", str(run), str(tmp_path / "texts.txt")]) == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()] == ["animals", "weather"]
    assert main(["predict", str(run), str(tmp_path / "texts.txt"), "--json", "--all-probabilities"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert sum(first["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert second["probabilities"]["machines"] > second["probabilities"]["animals"]


@pytest.mark.parametrize(
    "changes", [{}, {"optim.r_drop": 2.0, "optim.token_dropout": 0.2}], ids=["plain", "r-drop"]
)
def test_a_stopped_run_is_continued_bit_for_bit(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], ctrl_c: None
) -> None:
    table = {"weather": 2.0, "machines": 0.5}
    changes = {**changes, "optim.epochs": 3, "model.hidden_dropout": 0.1, "optim.class_weights": table}
    runs = stopped_and_continued(lambda out: config(data, out, **changes), tmp_path, monkeypatch)
    weights = [(one / "model.safetensors").read_bytes() for one in runs]
    assert weights[0] == weights[1]
    found = [json.loads((one / "run.json").read_text())["validation"] for one in runs]
    assert found[0] == found[1]


def test_settings_reach_the_loss(data: Path) -> None:
    changes = {"optim.class_weights": "balanced", "optim.label_smoothing": 0.2, "optim.r_drop": 3.0}
    one = ready(config(data, None, **changes))
    objective = built(one).phases[-1].objective
    assert isinstance(objective, SoftCrossEntropy)
    assert (objective.label_smoothing, objective.r_drop) == (0.2, 3.0)
    masses = shares_in(data / "train_labels.txt", one.labels).sum(0)
    assert objective.class_weights_C is not None
    assert objective.class_weights_C.tolist() == pytest.approx((300 / 3 / masses).tolist())


@pytest.mark.parametrize("metric", ["divergence", "accuracy", "macro_f1"])
def test_the_metric_chooses_the_weights(data: Path, tmp_path: Path, metric: str) -> None:
    changes = {"optim.metric": metric, "optim.epochs": 6, "optim.lr": 1e-2, "optim.eval_every": 2}
    train_model(config(data, tmp_path / "run", **changes))
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    evaluations = [one for one in map(json.loads, lines) if one["kind"] == "eval"]
    values = [one[metric] for one in evaluations]
    best = min(values) if metric == "divergence" else max(values)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["validation"][metric] == best
    assert record["best_step"] == next(one["step"] for one in evaluations if one[metric] == best)


def test_transformers_gives_the_same_probabilities(data: Path, run: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    assert main(["export", str(run), str(tmp_path / "out")]) == 0
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert written["problem_type"] == "single_label_classification"
    assert written["id2label"] == {"0": "animals", "1": "machines", "2": "weather"}
    texts = (data / "val_dataset.txt").read_text().splitlines()[:20]
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    with torch.no_grad():
        logits = model(**tokenizer(texts, padding=True, truncation=True, return_tensors="pt")).logits
    ours = Classifier.load(run).predict_proba(texts)
    assert np.allclose(softmax(logits.numpy(), axis=1), ours, atol=1e-5)


def test_the_report_and_info_show_the_measures(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(run), str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "Divergence from the given shares (nats)" in page and "Calibration error" in page
    assert "mean share" in page and "weather" in page
    capsys.readouterr()
    assert main(["info", str(run)]) == 0
    said = capsys.readouterr().out
    measured = json.loads((run / "run.json").read_text())["validation"]
    assert f"divergence {measured['divergence']:.4f}" in said and "weather" in said


def test_a_file_of_single_labels_with_share_1_is_classification(data: Path, tmp_path: Path) -> None:
    texts, labels = texts_of(120, 2)
    first = [line.split(":")[0] for line in labels]
    plain = write_set(tmp_path / "plain", texts, first, texts[:20], first[:20])
    soft = write_set(
        tmp_path / "soft", texts, [f"{x}:1" for x in first], texts[:20], [f"{x}:1" for x in first[:20]]
    )
    changes = {"optim.epochs": 2, "optim.metric": "accuracy", "optim.class_weights": "balanced"}
    runs = [
        train_model(settings(plain, tmp_path / "a", **changes)),
        train_model(config(soft, tmp_path / "b", **changes)),
    ]
    found = [Classifier.load(one.directory).predict_proba(texts) for one in runs]
    assert np.allclose(*found, atol=1e-4)


def test_evaluate_refuses_lines_that_it_cannot_read_with_their_number(
    data: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for line, words in (
        ("animals", "'animals' has no share; write label:share, such as animals:1"),
        ("animal:1", "label 'animal' is not one of the model's (did you mean 'animals'?)"),
    ):
        folder = write_set(
            tmp_path / line[:6], ["a", "b"], ["animals:1"] * 2, ["a", "b"], ["animals:1", line]
        )
        assert main(["evaluate", str(run), str(folder)]) == DataError.exit_code
        said = capsys.readouterr().err
        assert f"val_labels.txt:2: {words}" in said and said.count("\n") == 1
    with pytest.raises(ValueError, match="label 1: 'weather' has no share"):
        Classifier.load(run).measure(["a", "b"], ["weather:1", "weather"])


def test_settings_that_do_not_fit_are_refused_in_one_line(data: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"optim\.metric micro_f1: task soft_labels has divergence, accuracy"
    ):
        train_model(config(data, None, **{"optim.metric": "micro_f1"}))
    with pytest.raises(ConfigError, match=r"data\.label_separator: a colon stands between a label"):
        train_model(config(data, None, **{"data.label_separator": ":"}))


def test_the_loss_is_torchs(data: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    logits, shares = torch.randn(5, 4, generator=generator), torch.rand(5, 4, generator=generator).softmax(-1)
    for smoothing in (0.0, 0.1):
        ours = float(SoftCrossEntropy(None, smoothing).loss_sum(logits, Targets(shares)))
        assert ours == pytest.approx(
            float(F.cross_entropy(logits, shares, reduction="sum", label_smoothing=smoothing))
        )


def test_encoder_and_floor_predict_together(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path_factory.mktemp("together")
    data = write_set(folder / "data", *texts_of(1_700, 0), *texts_of(100, 1))
    changes = {"floor": True, "optim.epochs": 2, "optim.class_weights": "effective_number"}
    run = train_model(config(data, folder / "run", **changes), reporter=Reporter(silent=True)).directory
    record = json.loads((run / "run.json").read_text())
    assert record["ensemble"]["fitted_on"] == record["data"]["choosing_examples"] >= 50
    stored = json.loads((run / "ensemble.json").read_text())
    classifier, alone = Classifier.load(run), Classifier.load(run, encoder_only=True)
    texts = (data / "val_dataset.txt").read_text().splitlines()
    floor_NC = classifier.task.read_floor(run).scores(texts)
    encoder_NC = np.log(alone.predict_proba(texts))
    whole = softmax(stored["encoder"] * encoder_NC + stored["floor"] * floor_NC, axis=1)
    assert np.allclose(classifier.predict_proba(texts), whole, atol=1e-5)
    assert main(["evaluate", str(run), str(data), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for name in ("accuracy", "macro_f1", "divergence", "calibration_error"):
        assert found[name] == pytest.approx(record["validation"][name])
        assert found["floor"][name] == pytest.approx(record["floor"][name])
    assert record["floor"]["accuracy"] > 0.8 and record["floor"]["divergence"] < 0.4


def test_without_validation_files_rows_are_set_aside_and_found_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts, labels = texts_of(120, 2)
    votes = [line.replace("0.75", "3").replace("0.25", "1") for line in labels]
    data = write_set(tmp_path / "data", texts, [line.replace("\t", " | ") for line in votes])
    options = ["--task", "soft_labels", "--label-separator", "|"]
    assert main(["check-data", str(data), *options]) == 0
    said = capsys.readouterr().out
    assert "no errors" in said and "they are taken as votes and divided by their sum (lines 1, 2" in said
    run = train_model(config(data, tmp_path / "run", **{"data.label_separator": "|", "optim.epochs": 1}))
    capsys.readouterr()
    assert main(["evaluate", str(run.directory), str(data), "--json"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    # with the numbers that the lines have in the file, in which most of them trained
    told = re.fullmatch(
        r"warning: .*train_labels\.txt: the shares of (\d+) lines? do not add up to 1; they are taken as "
        r"votes and divided by their sum \(lines? ([\d, ]+)[ .a-z]*[\d,]*\)\n",
        printed.err,
    )
    assert told is not None, printed.err
    first = int(told[2].split(",")[0])
    assert 1 <= int(told[1]) <= 12 and "3" in votes[first - 1]
    record = json.loads((run.directory / "run.json").read_text())
    assert found["examples"] == record["data"]["val_examples"] == 12
    assert found["divergence"] == pytest.approx(record["validation"]["divergence"])


def test_a_table_holds_the_same_lines_in_its_column_of_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts, labels = texts_of(120, 2)
    table = tmp_path / "data.jsonl"
    rows = zip(texts, labels, strict=True)
    table.write_text("".join(json.dumps({"text": text, "label": line}) + "\n" for text, line in rows))
    given = {k: v for k, v in config(tmp_path, tmp_path / "run").items() if not k.startswith("data.train")}
    given = {k: v for k, v in given.items() if not k.startswith("data.val_")}
    train_model({**given, "data.table": str(table), "optim.epochs": 1})
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "run"), str(table), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["examples"] == 12
    lines = table.read_text().splitlines()
    broken = json.dumps({"text": "new", "label": "animals"})
    (tmp_path / "broken.jsonl").write_text("\n".join([*lines[:30], broken, *lines[30:]]) + "\n")
    assert main(["check-data", str(tmp_path / "broken.jsonl"), "--task", "soft_labels"]) == 65
    said = capsys.readouterr().err
    assert "row 31" in said and "'animals' has no share" in said


def test_a_soft_label_run_is_a_start_and_other_runs_are_one_for_it(run: Path, tmp_path: Path) -> None:
    small = ("model.hidden_size", "model.num_hidden_layers", "model.num_attention_heads")
    data = write_set(tmp_path / "two", texts_of(60, 5)[0], ["a:0.7\tb:0.3", "b:1"] * 30)
    given = {k: v for k, v in config(data, tmp_path / "next").items() if k not in small}
    train_model({**given, "model.init_from": str(run), "optim.epochs": 1, "data.tokenizer": None})
    assert Classifier.load(tmp_path / "next").labels == ("a", "b")


def test_a_table_of_class_weights_moves_the_predictions_and_unknown_labels_are_refused(
    tmp_path: Path,
) -> None:
    texts = [f"{word} {i}" for i in range(60) for word in ("left", "right")]
    data = write_set(tmp_path / "data", texts, ["a", "a", "b", "a"] * 30)
    last = {"data.val_fraction": 0.0, "optim.epochs": 10}
    shares = []
    for heavy in (None, {"b": 8}):
        changes = last if heavy is None else {**last, "optim.class_weights": heavy}
        run = train_model(settings(data, tmp_path / f"run{len(shares)}", **changes))
        model = Classifier.load(run.directory)
        shares.append(model.predict_proba(texts)[:, model.labels.index("b")].mean())
    assert shares[1] > shares[0] + 0.15
    record = json.loads((tmp_path / "run1" / "run.json").read_text())
    assert record["config"]["optim.class_weights"] == {"b": 8.0}
    for task, name in (("classification", "B"), ("multi_label", "B")):
        refused = {"task": task, "optim.class_weights": {name: 2.0}}
        with pytest.raises(ConfigError, match=r"no training text has the label 'B' \(did you mean 'b'\?\)"):
            train_model(settings(data, None, **refused))
