"""A run as a page, and what an encoder is worth."""

import html.parser
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from e2e.test_pretrain import recipe, write_corpus
from training_runs import settings, write_data, write_lines

from custom_bert import train_model
from custom_bert.bench import probe
from custom_bert.bench.probe import fit_classes
from custom_bert.cli import main
from custom_bert.data import batching

# the numbers behind the example sentences are in no corpus
pytestmark = pytest.mark.filterwarnings("ignore:.*unknown to the vocabulary")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_data(folder / "data", train=90, val=30)
    for split in ("train", "val"):  # a label that is no innocent text
        path = folder / "data" / f"{split}_labels.txt"
        write_lines(path, [x.replace("weather", "<b>& weather") for x in path.read_text().splitlines()])
    write_corpus(folder / "corpus")
    train_model(settings(folder / "data", folder / "cls", **{"optim.pretrain_epochs": 2}))
    train_model(recipe(folder / "corpus", folder / "enc"))
    return folder


class Page(html.parser.HTMLParser):
    """Whether tags match, and what is shown."""

    VOID = ("meta", "path", "polyline", "circle", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.sources += [str(value) for name, value in attributes if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_a_classifiers_page_holds_curves_scores_and_settings(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(folder / "cls")]) == 0
    path = folder / "cls" / "report.html"
    assert capsys.readouterr().out == f"{path}\n"
    page = Page(path.read_text())
    text = " ".join(page.text)
    assert not page.open and not page.sources, "all tags are closed, and nothing is fetched"
    assert "<b>& weather" in text and "<b>&" not in path.read_text()
    for words in ("macro-F1", "Learning rate", "Padding, %", "true \\ predicted", "optim.lr", "validation"):
        assert words in text, words
    assert path.read_text().count("<svg") == 6
    assert main(["report", str(folder / "cls")]) == 0, "its own page is written anew"


def test_an_encoders_page_shows_perplexity_and_goes_where_it_is_told(folder: Path) -> None:
    out = folder / "enc.html"
    assert main(["report", str(folder / "enc"), str(out)]) == 0
    page = Page(out.read_text())
    assert not page.open and "Perplexity of held-out text" in " ".join(page.text)


def test_a_file_that_is_no_report_is_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = folder / "mine.html"
    mine.write_text("<p>mine</p>")
    assert main(["report", str(folder / "cls"), str(mine)]) == 74
    assert "is not a report of a run, and is not overwritten" in capsys.readouterr().err
    assert mine.read_text() == "<p>mine</p>"


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("run.json", b"{}", "run.json: damaged: not the record of a run"),
        ("metrics.jsonl", b"nonsense\n{}\n", "metrics.jsonl:1: not valid JSON"),
        ("metrics.jsonl", b'{"kind": "train"}\n', "metrics.jsonl:1: damaged: not the record of a step"),
        (
            "metrics.jsonl",
            b'{"kind": "train", "step": 1, "loss": "low"}',
            "metrics.jsonl:1: damaged: not the",
        ),
        (
            "metrics.jsonl",
            b'{"kind": "train", "step": 1%s}' % (400 * b"0"),
            "metrics.jsonl:1: damaged: not the",
        ),
        ("metrics.jsonl", b"5\n", "metrics.jsonl:1: damaged: not the record of a step"),
    ],
)
def test_damaged_records_are_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, told: str
) -> None:
    for file in ("run.json", "metrics.jsonl"):
        (tmp_path / file).write_bytes((folder / "cls" / file).read_bytes())
    (tmp_path / name).write_bytes(content)
    assert main(["report", str(tmp_path)]) == 66
    said = capsys.readouterr().err
    assert told in said and said.count("\n") == 1


def test_a_linear_classifier_is_the_one_that_scikit_learn_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed")
    generator = np.random.Generator(np.random.PCG64(0))
    x_ND = generator.normal(size=(300, 6)).astype(np.float32)
    labels_N = (x_ND[:, 0] + 0.5 * x_ND[:, 1] > 0).astype(int) + (x_ND[:, 2] > 0.5)
    strength = 1e-2
    ours = fit_classes(torch.from_numpy(x_ND), torch.from_numpy(labels_N), 3, strength)
    theirs = linear_model.LogisticRegression(C=1 / (2 * strength * len(x_ND)), tol=1e-8, max_iter=1000)
    theirs.fit(x_ND, labels_N)
    ours_NC = ours(torch.from_numpy(x_ND)).softmax(-1).numpy()
    assert np.abs(ours_NC - theirs.predict_proba(x_ND)).max() < 1e-3
    monkeypatch.setattr(
        batching, "EVALUATION_OUTPUTS", 3 * 7
    )  # as many classes have it: a few texts at a time
    parts = fit_classes(torch.from_numpy(x_ND), torch.from_numpy(labels_N), 3, strength)
    assert torch.allclose(parts.weight, ours.weight, atol=1e-3)
    assert probe.predicted(parts, torch.from_numpy(x_ND)).tolist() == ours_NC.argmax(1).tolist()


def test_the_worth_of_an_encoder_is_one_number(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    passes = {"optim.epochs": 2, "optim.pretrain_epochs": 1}  # a probe's own are minutes

    def shortened(config: dict[str, Any]) -> Any:
        return train_model({**config, **(passes if "preset" in config else {"optim.epochs": 2})})

    monkeypatch.setattr(probe, "train_model", shortened)
    command = ["probe", str(folder / "enc"), str(folder / "data")]
    assert main([*command, "--scratch", "--json"]) == 0
    out = capsys.readouterr().out
    found = json.loads(out)
    assert found.keys() == {"linear", "fine_tuned", "from_scratch", "gain"}
    assert found["gain"] == pytest.approx(found["fine_tuned"]["accuracy"] - found["from_scratch"]["accuracy"])
    assert found["linear"]["accuracy"] > 0.5
    assert main(["probe", str(folder / "no"), str(folder / "data")]) != 0
    assert "error: " in capsys.readouterr().err


def test_what_is_trained_from_scratch_for_comparison_trains_by_the_best_recipe(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_model(recipe(folder / "corpus", tmp_path / "bert", preset="legacy", **{"optim.epochs": 1}))
    asked: list[dict[str, Any]] = []

    def train(config: dict[str, Any]) -> SimpleNamespace:
        asked.append(config)
        return SimpleNamespace(accuracy=0.5, macro_f1=0.5)

    monkeypatch.setattr(probe, "train_model", train)
    probe.probe(str(tmp_path / "bert"), folder / "data", from_scratch=True)
    tuned, plain = asked
    assert (tuned["model.init_from"], plain["model.init_from"]) == (str(tmp_path / "bert"), "scratch")
    assert (plain["preset"], plain["model.norm"]) == ("custom", "post")


def test_an_interrupted_probe_says_that_it_keeps_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(config: dict[str, Any]) -> SimpleNamespace:
        raise KeyboardInterrupt

    monkeypatch.setattr(probe, "train_model", stopped)
    with pytest.raises(KeyboardInterrupt):
        probe.probe(str(folder / "enc"), folder / "data")
    assert capsys.readouterr().out.endswith(
        "a probe keeps nothing, its runs included: the same command measures anew\n"
    )
