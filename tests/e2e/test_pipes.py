"""From pipes what is read once is read, and what is read several times is refused; faults of the output."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from data_files import lines, write_run, write_set
from training_runs import arguments, settings, write_data

from custom_bert.cli import main
from custom_bert.inference import evaluate_run as evaluate

ROOT = Path(__file__).resolve().parents[2]
TEXTS = ["a fine film", "a dull film", "fine music", "dull music"]
LABELS = ["good", "bad"] * 2
SEVERAL = "is read several times, which no pipe or device allows; write it to a regular file"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = write_run(tmp_path_factory.mktemp("pipes") / "run")
    write_set(directory.parent / "data", TEXTS, LABELS, TEXTS, LABELS)
    (directory.parent / "texts.txt").write_bytes(lines(TEXTS))
    return directory


@pytest.fixture(autouse=True)
def no_endless_wait() -> Iterator[None]:
    """Whoever opens a pipe without a writer waits for ever; a test fails instead."""

    def give_up(*_: object) -> None:
        raise TimeoutError("waited at a pipe for a minute")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def fed(path: Path, content: bytes, do: Callable[[], int]) -> int:
    """What `do` returns while another thread writes to a named pipe."""
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(content,))
    writer.start()
    code = do()
    writer.join(10)
    assert not writer.is_alive()
    return code


def test_predict_answers_a_named_pipe_as_a_file(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(run), str(run.parent / "texts.txt")]) == 0
    expected = capsys.readouterr()
    pipe = tmp_path / "pipe"
    assert fed(pipe, lines(TEXTS), lambda: main(["predict", str(run), str(pipe)])) == 0
    assert capsys.readouterr() == expected and expected.out.count("\n") == len(TEXTS)
    empty = tmp_path / "empty"
    assert fed(empty, b"", lambda: main(["predict", str(run), str(empty)])) == 0
    assert capsys.readouterr() == ("", "")


def test_a_fault_of_a_pipe_is_told_of_the_pipe(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe = tmp_path / "pipe"
    assert fed(pipe, b"fine\n\xff\n", lambda: main(["predict", str(run), str(pipe)])) == 65
    assert capsys.readouterr().err == f"error: {pipe}:2: not valid UTF-8 at byte 1 (0xff); save it as UTF-8\n"


@pytest.mark.parametrize("name", ["val_dataset.txt", "val_labels.txt"])
def test_evaluate_refuses_a_pipe_before_it_waits_for_it(
    run: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_set(tmp_path / "data", TEXTS, LABELS, TEXTS, LABELS)
    pipe = tmp_path / "data" / name
    pipe.unlink()
    os.mkfifo(pipe)
    assert main(["evaluate", str(run), str(tmp_path / "data")]) == 65
    assert capsys.readouterr() == ("", f"error: {pipe}: {SEVERAL}\n")


def test_pretrain_and_train_refuse_a_pipe_before_they_wait_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe = tmp_path / "pipe.txt"
    os.mkfifo(pipe)
    out = ["--out", str(tmp_path / "run")]
    assert main(["pretrain", str(pipe), *out]) == 65
    assert capsys.readouterr() == ("", f"error: {pipe}: {SEVERAL}\n")
    assert main(["train", "--data.train-texts", str(pipe), "--data.train-labels", "/dev/null", *out]) == 65
    assert capsys.readouterr() == ("", f"error: {pipe}: {SEVERAL}\n")
    assert not (tmp_path / "run").exists()


def test_settings_and_a_tokenizer_come_from_pipes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, pipe = write_data(tmp_path / "data", train=24, val=6), tmp_path / "pipe"
    command = ["train", *arguments(settings(data, None, **{"optim.epochs": 1})), "--out"]
    content = b"def get_config():\n    return {'seed': 7}\n"
    assert fed(pipe, content, lambda: main([*command, str(tmp_path / "run"), "--config", str(pipe)])) == 0
    record = (tmp_path / "run" / "run.json").read_text(encoding="utf-8")
    assert '"seed": 7' in record
    tokenizer = (tmp_path / "run" / "tokenizer.json").read_bytes()
    again = [*command, str(tmp_path / "other"), "--data.tokenizer", str(tmp_path / "vocab")]
    assert fed(tmp_path / "vocab", tokenizer, lambda: main(again)) == 0
    assert (tmp_path / "other" / "tokenizer.json").read_bytes() == tokenizer


def test_an_error_without_a_file_is_not_blamed_on_the_output(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(29, "Illegal seek")

    monkeypatch.setattr(evaluate, "evaluate_run", fails)
    assert main(["evaluate", str(run), "DATA"]) == 74
    assert capsys.readouterr().err == "error: Illegal seek\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a system without /dev/full")
@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_an_output_that_is_full_is_told_once(run: Path, command: str) -> None:
    given = {"predict": "texts.txt", "evaluate": "data"}[command]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "custom_bert", command, str(run), str(run.parent / given)],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            cwd=ROOT,
        )
    message = b"error: standard output: cannot write: No space left on device (ENOSPC)\n"
    assert (done.returncode, done.stderr) == (74, message)
