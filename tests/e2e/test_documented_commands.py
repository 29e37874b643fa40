"""The commands and the Python of the first pages and of the how-to pages run as they are shown."""

import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from documented import (
    GETTING_STARTED,
    HOW_TO,
    OF_ITS_OWN,
    README,
    ROOT,
    blocks,
    calls,
    command_lines,
    not_there_yet,
)
from pair_data import write_pairs
from span_data import span_settings, write_spans
from training_runs import arguments, examples, settings, write_data, write_lines

from custom_bert.cli import main

QUICKSTART = next(
    [line for line in block.splitlines() if line]
    for block in blocks("sh", README)
    if block.startswith("custom-bert sample-data")
)
SKIPPED = re.compile(
    r"bench |serve |torchrun|fetch|OWNER/NAME|ettin|--max-minutes 10$|--device cuda|--scratch|\$\("
)
"""What takes minutes to hours or has no end, or needs a network, a GPU or several machines."""

SHOWN = [GETTING_STARTED, *(page for page in HOW_TO if page.name not in OF_ITS_OWN)]
RUNNING = [
    line
    for page in (README, *SHOWN)
    for line in command_lines(page)
    if calls(line) and not SKIPPED.search(line) and line not in QUICKSTART
]
PYTHON = dict.fromkeys(code for page in (README, *SHOWN) for code in blocks("python", page))


def test_the_output_shown_is_that_of_the_quickstarts_commands() -> None:
    text = README.read_text(encoding="utf-8")
    (output,) = re.findall(r"<!-- quickstart output -->\n```\n(.*?)```", text, flags=re.DOTALL)
    assert re.findall(r"^\$ (.*)$", output, flags=re.MULTILINE) == QUICKSTART


def run(command: str, folder: Path) -> str:
    """What a command of a page prints, which has to succeed."""
    command = command.replace("custom-bert ", f"{sys.executable} -m custom_bert ")
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def test_the_quickstart_runs_from_its_first_command_to_its_last(tmp_path: Path) -> None:
    """With a small encoder in the place of the published one."""
    transformers = pytest.importorskip("transformers")
    (train,) = [line for line in QUICKSTART if " train " in line]
    tiny = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    texts = "\n".join(path.read_text() for path in (ROOT / "docs").rglob("*.md"))
    vocabulary = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *sorted(set(re.findall(r"\w+|[^\w\s]", texts))),
    ]
    transformers.BertModel(transformers.BertConfig(vocab_size=len(vocabulary), **tiny)).save_pretrained(
        tmp_path / "small"
    )
    (tmp_path / "small" / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    printed = {}
    small = "--model.init-from small --optim.epochs 1 --data.max-length 32 --batch.token-budget 4096"
    for command in [*QUICKSTART, "custom-bert evaluate runs/mine data/"]:
        shown = f"{train} {small}" if command == train else command
        printed[command.partition("custom-bert ")[2].split()[0]] = run(shown, tmp_path)
    assert len(printed["predict"].splitlines()) == 3
    assert "accuracy" in printed["evaluate"]
    for line in ("floor      ", "encoder    ", "together   "):  # as in the output that the page shows
        assert f"\n{line}" in printed["train"] and f"\n{line}" in printed["evaluate"]
    assert "the encoder alone, as exported" in printed["export"]
    assert (tmp_path / "my-classifier" / "model.safetensors").is_file()


TINY = {
    "model.hidden_size": 32,
    "model.num_hidden_layers": 1,
    "model.num_attention_heads": 2,
    "data.max_length": 32,
    "optim.epochs": 1,
}


SCORES = ("4", "2.5", "-0.25")
STARS = ("very_negative", "negative", "neutral", "positive", "very_positive")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the pages assume: data, trained runs, pretrained encoders, and exports."""
    folder = tmp_path_factory.mktemp("pages")
    for name in ("data", "few", "multi", "renamed", "soft"):
        write_data(folder / name)
    for split in ("train", "val"):
        labels = folder / "multi" / f"{split}_labels.txt"
        labels.write_text(labels.read_text().replace("weather", "weather,animals"))
        labels = folder / "soft" / f"{split}_labels.txt"
        shares = [f"{label}:0.75\tother:0.25" for label in labels.read_text().splitlines()]
        write_lines(labels, shares)
    texts, _ = examples(400)
    (folder / "books").mkdir()
    for name in ("books/novel.txt", "letters.txt"):
        write_lines(folder / name, [*texts, "", *texts[::-1], "", *texts])
    for name, made in (("scores", SCORES), ("stars", STARS)):
        write_data(folder / name)
        for split, count in (("train", 240), ("val", 60)):
            write_lines(folder / name / f"{split}_labels.txt", [made[i % len(made)] for i in range(count)])
    rows = [f"{text},{len(label)}" for text, label in zip(*examples(240), strict=True)]
    for name in ("reviews.csv", "new.csv"):
        write_lines(folder / name, ["review,stars", *rows])
    for name in ("texts.txt", "unlabelled.txt"):
        write_lines(folder / name, ["a dog barks", "snow covers all"])
    values = settings(folder / "data", folder / "runs" / "mine")
    (folder / "train.py").write_bytes((ROOT / "train.py").read_bytes())
    (folder / "config.py").write_text(
        f"def get_config():\n    return {values | {'out': 'runs/other', 'optim.epochs': 1}!r}\n"
    )
    for out in ("mine", "few", "balanced", "reviews"):
        assert main(["train", *arguments(values | {"out": str(folder / "runs" / out)})]) == 0
    for name, changes in (
        ("scores", {"task": "regression"}),
        ("stars", {"task": "ordinal", "data.label_order": ",".join(STARS)}),
    ):
        ready = settings(folder / name, folder / "runs" / name, **changes, **{"optim.epochs": 1})
        assert main(["train", *arguments(ready)]) == 0
    several = settings(folder / "multi", folder / "runs" / "multi")
    several |= {"task": "multi_label", "data.label_separator": ","}
    assert main(["train", *arguments(several)]) == 0
    soft = settings(folder / "soft", folder / "runs" / "soft") | {"task": "soft_labels"}
    assert main(["train", *arguments(soft)]) == 0
    write_spans(folder / "names", train=60, val=20)
    of_names = span_settings(folder / "names", folder / "runs" / "names", **{"optim.epochs": 1})
    assert main(["train", *arguments(of_names)]) == 0
    write_pairs(folder / "pairs", train=60, val=20)
    write_lines(folder / "pairs.txt", ["a dog barks\tthe pump leaks"])
    of_pairs = settings(folder / "pairs", folder / "runs" / "pairs", **{"data.pairs": True})
    assert main(["train", *arguments(of_pairs)]) == 0
    ranks = {"task": "ordinal", "data.label_order": "animals,machines,weather", "optim.epochs": 1}
    assert main(["train", *arguments(settings(folder / "data", folder / "runs" / "ranks") | ranks)]) == 0
    for out in ("encoder", "adapted"):
        cache = {"data.cache_dir": str(folder / "cache")}
        books, out = str(folder / "books"), str(folder / "runs" / out)
        assert main(["pretrain", books, "--out", out, *arguments(TINY | cache)]) == 0
    exports = {"mine": "my-classifier", "multi": "several", "pairs": "pairs-classifier", "ranks": "my-ranks"}
    for name, out in exports.items():
        assert main(["export", str(folder / "runs" / name), str(folder / out)]) == 0
    assert main(["export", str(folder / "runs" / "mine"), str(folder / "my-onnx"), "--format", "onnx"]) == 0
    return folder


def shortened(words: list[str], place: Path) -> list[str]:
    """A call that trains for minutes, with settings of tests for those that it does not give.

    It begins a run of its own, and a start that would have to be fetched is replaced by one that is there.
    """
    name = words[0]
    words = ["runs/few" if word == "minilm" and name == "train" else word for word in words]
    words = ["runs/encoder" if word in ("minilm", "runs/encoder/stable") else word for word in words]
    if name not in ("train", "pretrain"):
        return words
    line = " ".join(words).replace("_", "-")
    small = settings(place / "data", None, **{"optim.epochs": 1}) if name == "train" else TINY
    data = {"data.train_texts", "data.train_labels", "data.val_texts", "data.val_labels"}
    model = {key for key in small if key.startswith("model.") and "--model.init-from runs" in line}
    own = {
        key: value
        for key, value in small.items()
        if key not in data | model and key.replace("_", "-") not in line
    }
    return [*words, "--fresh", *arguments(own)]


@pytest.mark.parametrize("line", RUNNING)
def test_command_lines_run(place: Path, line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not_there_yet(line):
        pytest.skip(f"comes with {not_there_yet(line)}")
    if "|" in line:
        run(line, place)
        return
    monkeypatch.chdir(tmp_path if " init" in line else place)
    (words,) = calls(line)
    words = shortened(words, place)
    if words[0] == "export":
        words[2] = str(tmp_path / "out")
    assert main(words) == 0


@pytest.mark.parametrize("code", PYTHON, ids=lambda code: code.split("\n")[0][:40])
def test_python_blocks_run(place: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing := not_there_yet(code):
        pytest.skip(f"comes with {missing}")
    for library in ("transformers", "ray", "pyspark"):
        if f"import {library}" in code or f"from {library}" in code:
            pytest.importorskip(library)
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(str(place))
    given = {}
    code = re.sub(r"max_minutes=\d+", "max_minutes=0.05", code)  # three seconds are enough to run
    if "fit(texts, labels)" in code:
        given = dict(zip(("texts", "labels"), examples(240), strict=True))
    if "runs/longer" in code:  # the same settings beside those of tests
        given = {"small": settings(place / "data", None)}
        code = code.replace('train_model({"out": "runs/longer"', 'train_model(small | {"out": "runs/python"')
        code = code.replace('"data.max_length": 512, "optim.epochs": 6', '"optim.epochs": 1')
    if "thresholds" in code:
        code = code.replace("my-classifier", "several")
    for name in ("train", "config"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of transformers
        exec(code, given)


def test_the_example_on_the_card_of_a_multi_label_export_runs(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers")
    (example,) = blocks("python", place / "several" / "README.md")
    monkeypatch.chdir(place)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(example, {})
    assert re.fullmatch(r"\[.*\]", capsys.readouterr().out.splitlines()[-1])
