"""The task ordinal has everything that classification has: ranks in an order, measured by how far off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_files import lines, write_set
from training_runs import built, ready, settings, stopped_and_continued

from custom_bert import Classifier, train_model
from custom_bert.batch import Targets
from custom_bert.cli import main
from custom_bert.decoding.ranks import middle_ranks
from custom_bert.errors import ConfigError
from custom_bert.model_files.native import load_model
from custom_bert.rank_metrics import RankScores
from custom_bert.training.log import Reporter

QUIET = Reporter(silent=True)
WORDS = ["awful", "bad", "plain", "good", "great"]
ORDER = "awful,bad,plain,good,great"


def texts_of(count: int, seed: int, names: list[str] | None = None) -> tuple[list[str], list[str]]:
    """Texts whose words say on the whole which of five ranks they have."""
    draw = np.random.default_rng(seed)
    texts, labels = [], []
    for i in range(count):
        words = draw.choice(5, 3)
        texts.append(" ".join(["the film was", *(WORDS[word] for word in words), str(i)]))
        rank = round(float(words.mean()))
        labels.append(str(rank + 8) if names is None else names[rank])
    return texts, labels


def config(data: Path, out: Path | None, **changes: Any) -> dict[str, Any]:
    return settings(data, out, **{"task": "ordinal", "optim.epochs": 12, **changes})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("ranks") / "data", *texts_of(300, 0), *texts_of(80, 1))


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    return train_model(config(data, data.parent / "run"), reporter=QUIET).directory


@pytest.mark.parametrize(
    ("setting", "weights"),
    [("none", [1, 1, 1, 1, 1]), ("balanced", None), ({"8": 9.0, "12": 3}, [9, 1, 1, 1, 3])],
)
def test_the_first_thresholds_give_each_rank_its_weighted_share(
    data: Path, setting: Any, weights: list[int] | None
) -> None:
    one = ready(config(data, None, **{"optim.class_weights": setting}))
    biases = one.plan.task.first_biases(one.plan.config, one.material.source)
    assert biases is not None
    counts = np.array(list(one.material.source.dataset.label_counts().values())) + 0.5  # type: ignore[attr-defined]
    shares = np.ones(5) if weights is None else counts * weights
    expected = np.cumsum(shares / shares.sum())[:-1]
    assert np.allclose(biases.sigmoid().numpy(), expected, atol=1e-3)


def test_it_learns_and_reports_what_evaluate_finds(
    data: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((run / "run.json").read_text())
    found = record["validation"]
    assert found["kappa"] > 0.7 and found["adjacent_accuracy"] > 0.95 and found["mae_ranks"] < 0.4
    assert record["kept_by"] == "(1 + kappa) / 2"
    assert found["labels"] == ["8", "9", "10", "11", "12"], "in the order of the numbers"
    assert main(["evaluate", str(run), str(data), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    del found["loss"]
    assert again == found
    assert main(["evaluate", str(run), str(data)]) == 0
    table = capsys.readouterr().out
    assert "adjacent accuracy" in table and f"kappa {found['kappa']:.4f}" in table and "true / pred" in table


def test_the_scores_are_scikit_learns(data: Path, run: Path) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    classifier, found = Classifier.load(run), json.loads((run / "run.json").read_text())["validation"]
    texts, labels = ((data / f"val_{name}.txt").read_text().splitlines() for name in ("dataset", "labels"))
    given = [one.as_dict()["label"] for one in classifier.predict(texts)]
    ranks = [np.array(list(map(int, some))) for some in (labels, given)]
    assert found["kappa"] == pytest.approx(metrics.cohen_kappa_score(*ranks, weights="quadratic"))
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(*ranks))
    assert found["mae_ranks"] == pytest.approx(metrics.mean_absolute_error(*ranks))
    assert found["adjacent_accuracy"] == pytest.approx(float((abs(ranks[0] - ranks[1]) <= 1).mean()))
    scores = classifier.evaluate(texts, labels)
    assert isinstance(scores, RankScores) and scores.kappa == pytest.approx(found["kappa"])


def test_probabilities_are_differences_of_sigmoids_of_one_score(data: Path, run: Path) -> None:
    trained = load_model(run)
    head = trained.model.get_submodule("head")
    texts = (data / "val_dataset.txt").read_text().splitlines()[:20]
    thresholds = head.thresholds.detach().double()
    assert (thresholds.diff() > 0).all() and len(thresholds) == 4
    probabilities_NC = torch.from_numpy(Classifier.load(run).predict_proba(texts)).double()
    assert probabilities_NC.sum(1).tolist() == pytest.approx([1.0] * 20)
    # whatever the text: the logits of being at most a rank are apart by the distances of the thresholds
    below_NC = torch.logit(probabilities_NC.cumsum(1)[:, :-1])
    assert torch.allclose(below_NC.diff(dim=1), thresholds.diff().expand(20, 3), atol=1e-2)


def test_the_middle_rank_is_predicted_everywhere(data: Path, run: Path) -> None:
    assert middle_ranks(np.array([[0.4, 0.2, 0.4], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7]])).tolist() == [1, 0, 2]
    texts, classifier = (data / "val_dataset.txt").read_text().splitlines(), Classifier.load(run)
    probabilities_NC, model = classifier.predict_proba(texts), load_model(run)
    given = [int(one.as_dict()["label"]) - 8 for one in classifier.predict(texts)]
    assert given == middle_ranks(probabilities_NC).tolist()
    # the rank between whose thresholds the score lies
    head = model.model.get_submodule("head")
    raised = torch.logit(torch.from_numpy(probabilities_NC).double().cumsum(1)[:, :-1]) < 0
    assert given == raised.sum(1).tolist() and len(head.thresholds) == 4


def test_labels_with_an_order_of_the_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_set(tmp_path / "data", *texts_of(120, 0, WORDS), *texts_of(40, 1, WORDS))
    run = train_model(
        config(data, tmp_path / "run", **{"data.label_order": ORDER, "optim.epochs": 2}), reporter=QUIET
    ).directory
    assert load_model(run).task.output_names == tuple(WORDS)
    assert main(["evaluate", str(run), str(data)]) == 0
    capsys.readouterr()
    options = ["--task", "ordinal", "--label-order", ORDER]
    assert main(["check-data", str(data), *options]) == 0
    assert "5 labels" in capsys.readouterr().out
    for path in data.glob("val_*"):
        path.unlink()
    run = train_model(
        config(data, tmp_path / "set-aside", **{"data.label_order": ORDER, "optim.epochs": 1}), reporter=QUIET
    ).directory
    assert main(["evaluate", str(run), str(data), "--json"]) == 0
    record = json.loads((run / "run.json").read_text())
    assert json.loads(capsys.readouterr().out)["kappa"] == record["validation"]["kappa"]


def test_predictions_and_explanations(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "texts.txt").write_text("the film was great great great\nthe film was awful awful bad\n")
    assert main(["predict", str(run), str(tmp_path / "texts.txt"), "--json", "--all-probabilities"]) == 0
    high, low = map(json.loads, capsys.readouterr().out.splitlines())
    assert int(high["label"]) >= 11 > 9 >= int(low["label"])
    assert sum(high["probabilities"].values()) == pytest.approx(1.0)
    words = Classifier.load(run).explain("the film was great awful", label="12").labels[0].words
    effects = {one.word: one.effect for one in words}
    assert effects["great"] > 0 > effects["awful"]


@pytest.mark.parametrize("changes", [{}, {"optim.r_drop": 2.0, "optim.class_weights": "balanced"}])
def test_a_stopped_run_is_continued_bit_for_bit(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], ctrl_c: None
) -> None:
    changes = {**changes, "optim.epochs": 3, "model.hidden_dropout": 0.1, "optim.label_smoothing": 0.1}
    runs = stopped_and_continued(lambda out: config(data, out, **changes), tmp_path, monkeypatch)
    weights = [(one / "model.safetensors").read_bytes() for one in runs]
    assert weights[0] == weights[1]


def test_a_head_begins_with_how_often_each_rank_is_there(data: Path) -> None:
    one = ready(config(data, None))
    head = built(one).model.get_submodule("head")
    scores = head(torch.zeros(1, 32)).softmax(-1)[0].tolist()
    counts = np.array([*one.material.source.dataset.label_counts().values()])  # type: ignore[attr-defined]
    assert scores == pytest.approx(((counts + 0.5) / (counts + 0.5).sum()).tolist(), abs=1e-3)


def test_two_ranks_are_exported_exactly(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    texts, labels = texts_of(80, 0, ["no", "no", "no", "yes", "yes"])
    data = write_set(tmp_path / "data", texts, labels)
    changes = {"data.label_order": "no,yes", "optim.epochs": 4}
    run = train_model(config(data, tmp_path / "run", **changes), reporter=QUIET).directory
    assert main(["export", str(run), str(tmp_path / "out")]) == 0
    pipe = transformers.pipeline("text-classification", str(tmp_path / "out"), top_k=None, truncation=True)
    ours_NC = Classifier.load(run, encoder_only=True).predict_proba(texts[:20])
    for theirs, row in zip(pipe(texts[:20]), ours_NC.tolist(), strict=True):
        assert [{one["label"]: one["score"] for one in theirs}[label] for label in ("no", "yes")] == (
            pytest.approx(row, abs=1e-5)
        )


def test_more_ranks_are_exported_as_the_probabilities_of_being_above_each(
    data: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    assert main(["export", str(run), str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "5 ranks; an output is the probability of being above a rank, and README.md shows how" in said
    assert "labels by id, from 0: > 8, > 9, > 10, > 11" in said and "verified with transformers" in said
    card = (tmp_path / "out" / "README.md").read_text()
    assert "The ranks, from the lowest to the highest: `8`, `9`, `10`, `11`, `12`." in card
    pipe = transformers.pipeline("text-classification", str(tmp_path / "out"), top_k=None, truncation=True)
    assert pipe.model.config.thresholds == {"> 8": 0.5, "> 9": 0.5, "> 10": 0.5, "> 11": 0.5}
    texts = (data / "val_dataset.txt").read_text().splitlines()
    classifier = Classifier.load(run, encoder_only=True)
    ours = zip(classifier.predict(texts), classifier.predict_proba(texts), strict=True)
    for theirs, (one, row_C) in zip(pipe(texts), ours, strict=True):
        above = {answer["label"]: answer["score"] for answer in theirs}
        assert int(one.as_dict()["label"]) == 8 + sum(share > 0.5 for share in above.values())
        assert above["> 9"] == pytest.approx(row_C[2:].sum(), abs=1e-5)


def test_the_report_and_info_show_the_measures(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(run), str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "kappa" in page and "MAE in ranks" in page and "Classes" in page
    capsys.readouterr()
    assert main(["info", str(run)]) == 0
    found = json.loads((run / "run.json").read_text())["validation"]
    assert f"kappa {found['kappa']:.4f}" in capsys.readouterr().out


def test_the_worth_of_every_measure_rises_with_the_quality(data: Path) -> None:
    for metric in ("kappa", "accuracy", "adjacent_accuracy", "mae_ranks", "macro_f1"):
        one = ready(config(data, None, **{"optim.metric": metric}))
        found = []
        for predicted in ([0, 1, 2, 3, 4, 1], [2, 4, 0, 1, 1, 4], [4, 3, 0, 0, 0, 4]):
            scorer = one.plan.task.scorer(None)
            outputs = 20 * torch.nn.functional.one_hot(torch.tensor(predicted), 5).float()
            scorer.add(outputs, Targets(torch.tensor([0, 1, 2, 3, 4, 1])))
            found.append(one.plan.task.worth(scorer.measured(), one.config))
        assert found[0] > found[1] >= found[2] >= 0, metric


def test_a_run_from_a_classifier_and_the_way_back(data: Path, run: Path, tmp_path: Path) -> None:
    small = ("model.hidden_size", "model.num_hidden_layers", "model.num_attention_heads")
    single = write_set(tmp_path / "one", texts_of(60, 5)[0], ["a", "b"] * 30)
    given = {k: v for k, v in settings(single, tmp_path / "cls").items() if k not in small}
    train_model({**given, "model.init_from": str(run), "optim.epochs": 1}, reporter=QUIET)
    given = {k: v for k, v in config(data, tmp_path / "back").items() if k not in small}
    train_model({**given, "model.init_from": str(tmp_path / "cls"), "optim.epochs": 1}, reporter=QUIET)
    assert load_model(tmp_path / "back").task.output_names == ("8", "9", "10", "11", "12")


REFUSED: dict[str, tuple[list[str], list[str], str]] = {
    "no number": (
        ["1", "2", "good"],
        [],
        "DIR/train_labels.txt:3: label 'good' is no number; give the order of the labels by "
        "data.label_order, from the lowest to the highest",
    ),
    "a header": (
        ["label", "2", "3"],
        [],
        "DIR/train_labels.txt:1: label 'label' is no number; it looks like a header: if so, remove the first "
        "line of both files",
    ),
    "one number twice": (
        ["1", "2", "1.0"],
        [],
        "DIR/train_labels.txt:3: labels '1' and '1.0' are one number, so they have no order; write it in one "
        "way",
    ),
    "one rank": (
        ["4", "4", "4"],
        [],
        "DIR/train_labels.txt: every line has the label '4'; two different ones are needed",
    ),
    "an empty label": (
        ["1", "", "2"],
        [],
        "DIR/train_labels.txt:2: empty label; write one, or remove the line from both files",
    ),
    "not in the order": (
        ["low", "high", "Mid"],
        ["low,mid,high"],
        "DIR/train_labels.txt:3: label 'Mid' is not in data.label_order (did you mean 'mid'?)",
    ),
    "never there": (
        ["low", "high", "low"],
        ["low,mid,high"],
        "DIR/train_labels.txt: label 'mid' of data.label_order never occurs; leave it out there",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_order_is_refused_with_its_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels, order, expected = REFUSED[name]
    (tmp_path / "train_dataset.txt").write_bytes(lines(["a b", "c d", "e f"]))
    (tmp_path / "train_labels.txt").write_bytes(lines(labels))
    options = [part for one in order for part in ("--label-order", one)]
    assert main(["check-data", str(tmp_path), "--task", "ordinal", *options]) == 65
    assert capsys.readouterr().err.replace(str(tmp_path), "DIR") == f"error: {expected}\n"


def test_an_unknown_rank_of_the_validation_files_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in data.iterdir():
        (tmp_path / path.name).write_bytes(
            path.read_bytes().replace(b"12\n", b"13\n", 1)
            if path.name == "val_labels.txt"
            else path.read_bytes()
        )
    assert main(["check-data", str(tmp_path), "--task", "ordinal"]) == 65
    assert "label '13' never occurs in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optim.metric": "r2"}, r"optim\.metric r2: task ordinal has kappa, accuracy, adjacent_accuracy"),
        ({"optim.head_init": "probe"}, r"optim\.head_init probe: task ordinal has no probe; leave it out"),
        ({"data.label_order": "a"}, r"data\.label_order: expected two labels or more"),
        ({"data.label_order": "a,,b"}, r"data\.label_order: expected two labels or more"),
        ({"data.label_order": "a\tb\ta"}, r"data\.label_order: the label 'a' stands there twice"),
    ],
)
def test_settings_that_do_not_fit_are_refused_in_one_line(
    data: Path, changes: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        train_model(config(data, None, **changes))
