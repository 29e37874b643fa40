"""The demo: it trains on the sample data once, answers what is typed, and ends politely."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pair_data import write_pairs
from training_runs import settings, write_data

from custom_bert import Classifier, Reporter, terminal, train_model
from custom_bert.cli import main
from custom_bert.commands import demo
from custom_bert.data import sample
from custom_bert.decoding.sets import SetDecoder
from custom_bert.errors import RunError
from custom_bert.inference.answers import Answers

ROOT = Path(__file__).resolve().parents[2]
TINY = {
    name: value
    for name, value in settings(Path("data"), None, **{"optim.epochs": 1}).items()
    if not name.startswith("data.") and name != "out"
}
BAR = "█"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    train_model(settings(write_data(folder / "data"), folder / "run"), reporter=Reporter(silent=True))
    return folder / "run"


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several")
    data = write_data(folder / "data")
    train_model(settings(data, folder / "run", task="multi_label"), reporter=Reporter(silent=True))
    return folder / "run"


@pytest.fixture
def typing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes a person type some lines; the exceptions among them are raised."""
    monkeypatch.setenv("COLUMNS", "100")

    def types(*lines: str | BaseException) -> None:
        coming: Iterator[str | BaseException] = iter([*lines, EOFError()])

        def asked(prompt: str) -> str:
            line = next(coming)
            if isinstance(line, BaseException):
                raise line
            return line

        monkeypatch.setattr(terminal, "asked", asked)
        monkeypatch.setattr(terminal, "is_dialogue", lambda: True)

    return types


def test_without_a_run_it_trains_on_the_sample_data_once_and_opens_that_run_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typing: Callable[..., None],
) -> None:
    monkeypatch.chdir(tmp_path)
    every = [
        sample.Example(f"{area} {'word ' * (i % 7)}{i}", area, str(i))
        for area in sample.AREAS
        for i in range(12)
    ]
    monkeypatch.setattr(sample, "make_examples", lambda: every)
    monkeypatch.setattr(demo, "SETTINGS", {**TINY, "data.cache_dir": str(tmp_path / "cache")})
    typing()
    assert main(["demo"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(
        "Without RUN, a classifier of the sample data is trained, for 2 minutes at most, into runs/demo. "
    )
    assert all(f"  {i}  " in said for i in (1, 2, 3)) and "7 labels. Type a text" in said
    assert "custom-bert predict runs/demo TEXTS" in said
    before = (tmp_path / "runs" / "demo" / "run.json").read_bytes()
    typing("2")
    assert main(["demo"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("runs/demo: opened") and "trained, for" not in said
    assert demo.EXAMPLES[1].split(" by ")[0] in said and said.count(BAR) >= 3
    assert (tmp_path / "runs" / "demo" / "run.json").read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["demo"]


@pytest.mark.parametrize("other", ["a run", "a file"])
def test_what_stands_where_it_would_train_is_kept(
    other: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    name = "run.json" if other == "a run" else "notes.txt"
    content = (run / "run.json").read_text() if other == "a run" else "mine"
    (tmp_path / "runs" / "demo" / name).write_text(content)
    assert main(["demo"]) == RunError.exit_code
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "move it away" in said.err
    assert (tmp_path / "runs" / "demo" / name).read_text() == content


def test_the_two_minutes_of_the_help_are_those_that_it_trains() -> None:
    assert demo.SETTINGS == {"optim.max_minutes": demo.MINUTES} and demo.MINUTES == 2


@pytest.mark.parametrize("columns", [40, 80])
def test_every_line_of_an_answer_fits_the_terminal(
    columns: int,
    run: Path,
    several: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typing: Callable[..., None],
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for directory in (run, several):
        typing(
            "the engine starts near the river", "", "这部电影 the wind blows", "a dog barks " * 500, "1", "9"
        )
        assert main(["demo", str(directory)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert max(len(line) for line in lines if "custom-bert predict" not in line) <= columns
        assert sum(line.endswith("%") for line in lines) >= 5 * 3


def test_it_tells_what_was_not_read_and_not_known(
    run: Path, capsys: pytest.CaptureFixture[str], typing: Callable[..., None]
) -> None:
    undecoded = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    typing(undecoded, " ", "这部 the wind blows", "这部电影", "a dog barks " * 100)
    assert main(["demo", str(run)]) == 0
    said = capsys.readouterr()
    assert said.err == "this line is not text in the terminal's encoding; type it again\n"
    assert "an empty text: there is nothing to read" in said.out
    assert "2 of 14 characters are unknown to the model\n" in said.out
    assert "4 of 4 characters are unknown to the model: predictions for such texts are unreliable" in said.out
    assert "tokens of it are not read" in said.out
    assert "only the first 256 words were left out" in said.out


@pytest.mark.parametrize(("threshold", "given"), [(0.0, 3), (1.0, 0)])
def test_a_model_of_several_labels_says_which_it_gives(threshold: float, given: int, several: Path) -> None:
    classifier = Classifier.load(several)
    assert isinstance(classifier.decoder, SetDecoder)
    classifier.decoder.thresholds_C.fill(threshold)
    text = "the engine starts and the rain falls hard and a dog barks"
    said = "\n".join(Answers(classifier).to(text, repeat=False))
    names = ", ".join(classifier.labels)
    assert f"labels: {names if given else 'none; no probability reaches'}" in said
    assert said.count("%") == 3
    assert [f" ({label}): " in said for label in classifier.labels] == [bool(given)] * 3


@pytest.mark.parametrize("end", [EOFError, KeyboardInterrupt])
def test_it_ends_politely(
    end: type[BaseException], run: Path, capsys: pytest.CaptureFixture[str], typing: Callable[..., None]
) -> None:
    typing("the engine starts", end())
    assert main(["demo", str(run)]) == 0
    said = capsys.readouterr()
    assert said.err == "" and said.out.split()[-4:] == ["file", "with", "this", "classifier."]


def test_the_examples_of_a_run_are_texts_that_it_has_read(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], typing: Callable[..., None]
) -> None:
    first = (run.parent / "data" / "val_dataset.txt").read_text().splitlines()[0]
    typing("1")
    assert main(["demo", str(run)]) == 0
    said = capsys.readouterr().out
    assert said.count(first[:30]) == 2 and "or the number of an example" in said
    record = json.loads((run / "run.json").read_text())
    record["data"]["files"] = {"gone": "", "gone too": ""}
    (tmp_path / "run.json").write_text(json.dumps(record))
    for name in ("config.json", "labels.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    typing("1")  # is a text now
    assert main(["demo", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "number of an example" not in said and said.count("%") == 3


def test_a_pipe_is_answered_without_a_prompt(run: Path) -> None:
    command = [sys.executable, "-m", "custom_bert", "demo", str(run)]
    text = "the engine starts\n\n" + "a dog barks " * 20_000 + "\n"
    done = subprocess.run(
        command, input=text.encode(), capture_output=True, cwd=ROOT, timeout=60, check=False
    )
    said = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert said.startswith("the engine starts\n") and "\x1b" not in said and "> " not in said
    assert said.count("%") == 6 and "an empty text: there is nothing to read" in said


@pytest.fixture(scope="module")
def of_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    given = settings(write_pairs(folder / "data"), folder / "run", **{"data.pairs": True})
    train_model(given, reporter=Reporter(silent=True))
    return folder / "run"


def test_a_model_of_pairs_asks_for_two_texts(
    of_pairs: Path, capsys: pytest.CaptureFixture[str], typing: Callable[..., None]
) -> None:
    typing("the cat", "a motor on the pump", "the cat\ta motor on the pump", "1", "", " ")
    assert main(["demo", str(of_pairs)]) == 0
    printed = capsys.readouterr()
    said = printed.out
    assert "2 labels. Type the first text, Enter, the second text and Enter, or the number" in said
    assert "(1) is a word of the first text, (2) one of the second" in " ".join(said.split())
    both, pasted, example, empty, *_ = said.split("\n\n")[1:]
    assert both == pasted and " (2) +" in both and both.count("%") == 2
    first, second = (of_pairs.parent / "data" / "val_dataset.txt").read_text().splitlines()[0].split("\t")
    assert example.startswith(f"{first}\n{second}\n") and f"  1  {first} {second}" in said
    assert empty == "an empty text: there is nothing to read" and printed.err == ""


def test_a_pipe_of_pairs_has_a_tab_in_each_line(of_pairs: Path) -> None:
    command = [sys.executable, "-m", "custom_bert", "demo", str(of_pairs)]
    given = {"input": b"the cat\ta motor\nno tab\n", "capture_output": True, "cwd": ROOT, "timeout": 60}
    done = subprocess.run(command, check=False, **given)  # type: ignore[call-overload]
    assert done.returncode == 65 and done.stderr.decode() == (
        f"error: /dev/stdin:2: no tab, and {of_pairs} was trained on pairs: two texts with a tab between "
        f"them\n"
    )


def test_a_model_of_numbers_is_refused_before_anything_is_typed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], typing: Callable[..., None]
) -> None:
    data = write_data(tmp_path / "data", train=20, val=None)
    (data / "train_labels.txt").write_text("".join(f"{i % 7}\n" for i in range(20)))
    changes = {"task": "regression", "optim.epochs": 1}
    train_model(settings(data, tmp_path / "run", **changes), reporter=Reporter(silent=True))
    typing("a text")
    assert main(["demo", str(tmp_path / "run")]) == RunError.exit_code
    said = capsys.readouterr()
    assert (
        said.out == "" and said.err.count("\n") == 1 and "the model predicts numbers; custom-bert" in said.err
    )


class Terminal:
    """A program at a terminal of some columns, which a test types into."""

    def __init__(self, columns: int, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "custom_bert", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=ROOT,
            env={**environment, "TERM": "xterm"},
        )
        os.close(theirs)

    def until(self, end: bytes) -> str:
        """What the program prints until some bytes come, or until it ends."""
        said = b""
        while not said.endswith(end) or not end:
            ready, _, _ = select.select([self._ours], [], [], 60)
            assert ready, said
            try:
                part = os.read(self._ours, 1 << 16)
            except OSError:  # the other side is closed
                break
            if not part:
                break
            said += part
        return said.decode().replace("\r\n", "\n")

    def types(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def interrupt(self) -> None:
        """Sends SIGINT once the program waits for a line. Between the prompt and the waiting, Python would
        notice the signal only after the next line."""
        status = Path(f"/proc/{self.process.pid}/stat")
        for _ in range(600):
            if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "S":
                break
            time.sleep(0.1)
        self.process.send_signal(signal.SIGINT)

    def close(self) -> int:
        code = self.process.wait(30)
        os.close(self._ours)
        return code


@pytest.mark.parametrize("end", ["ctrl-d", "ctrl-c"])
def test_at_a_terminal_it_asks_marks_words_and_ends(end: str, run: Path) -> None:
    dialogue = Terminal(60, "demo", str(run))
    said = dialogue.until(demo.PROMPT.encode())
    assert "3 labels. Type a text" in said and "Traceback" not in said
    dialogue.types(b"the engine starts near the river\n")
    said = dialogue.until(demo.PROMPT.encode())
    assert "\x1b[1m" in said and BAR in said and "words for it: " in said
    if end == "ctrl-d":
        dialogue.types(b"\x04")
    else:
        dialogue.interrupt()
    said = dialogue.until(b"")
    assert "Traceback" not in said and "custom-bert predict" in said
    assert dialogue.close() == 0


def test_the_help_comes_without_torch() -> None:
    show = "from custom_bert.cli import main; main(['demo', '--help'])"
    code = f"import sys; {show}; print('torch' in sys.modules)"
    said = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT)
    assert "Type texts and see their labels" in said and said.strip().endswith("False")


def test_marks_need_a_terminal_that_knows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "is_terminal", lambda: True)
    for name, shown in (("xterm", True), ("dumb", False), (None, False)):
        if name is None:
            monkeypatch.delenv("TERM", raising=False)
        else:
            monkeypatch.setenv("TERM", name)
        assert terminal.shows_marks() == shown


def test_without_standard_input_there_is_no_dialogue(monkeypatch: pytest.MonkeyPatch) -> None:
    value: Any = None
    monkeypatch.setattr(sys, "stdin", value)
    assert not terminal.is_dialogue()
