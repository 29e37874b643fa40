"""In every locale every command works: data goes out as UTF-8, tables in what the terminal can show."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest
from data_files import lines, write_run, write_set
from training_runs import settings

from custom_bert import train_model
from custom_bert.cli import main

ROOT = Path(__file__).resolve().parents[2]
LABELS = ("gut, für alle Kinder", "机器")
ENCODINGS = ("ascii", "latin-1", "utf-8")


class Terminal(io.TextIOWrapper):
    """Standard output or standard error in an encoding, maybe of a terminal."""

    def __init__(self, encoding: str, *, tty: bool = False) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, newline="\n")
        self._tty = tty

    def isatty(self) -> bool:
        return self._tty

    def content(self) -> bytes:
        self.flush()
        return cast(io.BytesIO, self.buffer).getvalue()


class Said(NamedTuple):
    code: int
    out: bytes
    err: bytes


def run_in(encoding: str, arguments: list[str], *, tty: bool = False) -> Said:
    """Runs a command line with standard streams in an encoding."""
    out, err = Terminal(encoding, tty=tty), Terminal(encoding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        code = main(arguments)
    return Said(code, out.content(), err.content())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = write_run(tmp_path_factory.mktemp("locales") / "run", LABELS)
    texts = [f"ein Text {i}" for i in range(8)]
    write_set(directory.parent / "data", texts, LABELS * 4, texts, LABELS * 4)
    (directory.parent / "texts.txt").write_bytes(lines(texts))
    return directory


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_data_goes_out_as_utf8(run: Path, encoding: str) -> None:
    data, texts = str(run.parent / "data"), str(run.parent / "texts.txt")
    for command in (
        ["predict", str(run), texts],
        ["predict", str(run), texts, "--all-probabilities"],
        ["predict", str(run), texts, "--json"],
        ["evaluate", str(run), data, "--json"],
        ["check-data", data, "--json"],
    ):
        said = run_in(encoding, command)
        assert (said.code, said.err) == (0, b"")
        assert said == run_in("utf-8", command)
        assert any(label in said.out.decode("utf-8") for label in LABELS)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_tables_are_shown_in_what_the_terminal_has(run: Path, encoding: str) -> None:
    data = str(run.parent / "data")
    for command in (["evaluate", str(run), data], ["check-data", data]):
        said = run_in(encoding, command)
        assert (said.code, said.err) == (0, b"")
        text = said.out.decode(encoding)
        assert all(escaped(label, encoding) in text for label in LABELS)
        if command[0] == "evaluate":  # the first label is too long for the confusion matrix's head
            assert ("…" if encoding == "utf-8" else "...") in text


def escaped(label: str, encoding: str) -> str:
    return label.encode(encoding, "backslashreplace").decode(encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("tty", [False, True])
def test_a_run_trains_in_every_terminal(
    tmp_path: Path, encoding: str, tty: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From Python, where nobody has prepared the process, in a terminal too narrow for the bar's line."""
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    texts = [f"ein Text {i}" for i in range(8)]
    data = write_set(tmp_path / "für", texts, LABELS * 4, [*texts, "x"], [*LABELS * 4, "机器"])
    out = Terminal(encoding, tty=tty)
    monkeypatch.setattr(sys, "stdout", out)
    wanted: dict[str, Any] = {"optim.epochs": 1, "model.hidden_size": 8, "model.num_attention_heads": 1}
    result = train_model({**settings(data, None, **wanted), "out": str(tmp_path / "rün")})
    monkeypatch.undo()
    assert result.steps
    text = out.content().decode(encoding)
    assert escaped(f"{tmp_path / 'rün'}: weights of step", encoding) in text
    assert ("\x1b[" in text) == tty  # the bar's


USAGE = {
    "error: --split needs a value: one of val, train, test": "RUN DATA --split",
    f"error: unexpected argument '{'c' * 76}...; custom-bert evaluate takes RUN and DATA; see custom-bert "
    "evaluate --help": f"a b {'c' * 100}",
    "error: unknown option --splt (did you mean --split?); see custom-bert evaluate --help": (
        "RUN DATA --splt train"
    ),
    "error: DATA is missing (folder with the data files, or a table); see custom-bert evaluate --help": "RUN",
}


@pytest.mark.parametrize("columns", [20, 60, 80, 200])
@pytest.mark.parametrize("encoding", [*ENCODINGS, "UTF-8"])
@pytest.mark.parametrize("tty", [False, True])
def test_a_usage_error_says_the_same_in_every_terminal(
    encoding: str, columns: int, tty: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    for expected, arguments in USAGE.items():
        said = run_in(encoding, ["evaluate", *arguments.split()], tty=tty)
        assert said == (64, b"", expected.encode() + b"\n")
    assert os.environ["COLUMNS"] == str(columns)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_help_shows_any_default(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "c.json").write_text(json.dumps({"out": "rün …"}), encoding="utf-8")
    said = run_in(encoding, ["train", "--config", str(tmp_path / "c.json"), "--help"])
    assert (said.code, said.err) == (0, b"")
    ellipsis = "…" if encoding == "utf-8" else "..."
    unwrapped = " ".join(said.out.decode(encoding).split())
    assert escaped("rün ", encoding) + ellipsis in unwrapped


@pytest.mark.parametrize(
    "environment",
    [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"PYTHONIOENCODING": "latin-1"}],
)
def test_a_process_in_another_locale_writes_utf8(run: Path, environment: dict[str, str]) -> None:
    odd = run.parent / "für"
    if not odd.exists():
        odd.symlink_to(run.parent / "data")
    program = (
        "import sys\nfrom custom_bert.cli import main\n"
        "sys.exit(main(['check-data', sys.argv[1], '--json']) or main(['predict', sys.argv[2]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(odd), str(run)],
        input=b"ein Text\n",
        capture_output=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    checked, predicted = done.stdout.decode("utf-8").splitlines()
    assert json.loads(checked)["files"]["train"]["texts"] == str(odd / "train_dataset.txt")
    assert predicted.split("\t")[0] in LABELS
