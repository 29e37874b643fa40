"""Files of any size are labelled in shards: the same bytes after any stop, with any number of processes."""

from __future__ import annotations

import errno
import gzip
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Command
from torture.disk import Disk, Recorder
from torture.faults import Faulty, through
from torture.runs import ended, forked
from training_runs import examples, write_lines

from custom_bert.bulk import job, shards, workers
from custom_bert.bulk.computing import Computer
from custom_bert.cli import main

ROOT = Path(__file__).resolve().parents[2]
ROWS = 16
"""Rows of a shard in these tests."""


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "ROWS", ROWS)
    monkeypatch.setattr(workers, "START", "fork")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [*examples(100, seed=4)[0], "", "naïve 猫\u2028x"]


@pytest.fixture
def predict(command: Command, run: Path, texts: list[str]) -> Command:
    write_lines(command.directory / "t.txt", texts)
    (command.directory / "run").symlink_to(run)
    return command


def content(path: Path) -> bytes:
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".zst":
        import zstandard

        with zstandard.ZstdDecompressor().stream_reader(path.read_bytes(), read_across_frames=True) as stream:
            return stream.read()
    return path.read_bytes()


def table(directory: Path, ending: str, texts: list[str]) -> Path:
    """A table of the texts, with a column more."""
    path = directory / f"t{ending}"
    if ending == ".parquet":
        pyarrow = pytest.importorskip("pyarrow.parquet")
        import pyarrow as arrow

        names = arrow.array([f"kind {i % 3}" for i in range(len(texts))]).dictionary_encode()
        pyarrow.write_table(arrow.table({"kind": names, "text": texts}), path, row_group_size=40)
    elif ending == ".jsonl":
        rows = [json.dumps({"text": text, "n": [i]}, ensure_ascii=False) for i, text in enumerate(texts)]
        path.write_text("\n".join(rows), encoding="utf-8")
    else:
        rows = [f'{i};"{text}\n"' for i, text in enumerate(texts)]
        path.write_text("\n".join(["n;text", *rows]), encoding="utf-8")
    return path


@pytest.mark.parametrize("options", ["", "--json", "--all-probabilities", "--json --all-probabilities"])
def test_lines_are_those_of_standard_output(
    predict: Command, options: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "ROWS", 8)  # more than ten of them
    said = predict(f"predict DIR/run DIR/t.txt --out DIR/o.txt {options}")
    assert (said.code, said.out, said.err) == (0, "", "")
    shown = predict(f"predict DIR/run DIR/t.txt {options}").out
    numbers = re.compile(r"\d\.\d+(e-\d+)?")
    found = (predict.directory / "o.txt").read_text(encoding="utf-8")
    assert numbers.sub("#", found) == numbers.sub("#", shown)
    for one, other in zip(numbers.finditer(found), numbers.finditer(shown), strict=True):
        assert float(one.group()) == pytest.approx(float(other.group()), abs=2e-6)
    assert sorted(path.name for path in predict.directory.iterdir()) == ["o.txt", "run", "t.txt"]


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_tables_of_several_shards_are_one_table(predict: Command, texts: list[str], ending: str) -> None:
    path = table(predict.directory, ending, texts)
    assert predict(f"predict DIR/run {path} --out DIR/o{ending}").code == 0
    out = predict.directory / f"o{ending}"
    if ending == ".parquet":
        import pyarrow.parquet

        before, after = map(pyarrow.parquet.read_table, (path, out))
        assert after.select(["kind", "text"]).to_pylist() == before.to_pylist()
        assert after.schema.field("kind").type == before.schema.field("kind").type
        assert pyarrow.parquet.ParquetFile(out).num_row_groups == 1
        assert after.column_names == ["kind", "text", "predicted_label", "predicted_probability"]
    else:
        assert out.read_bytes() == predict(f"predict DIR/run {path}").out.encode()
        assert out.read_bytes().count(b"predicted_label") == (1 if ending == ".csv" else len(texts))


@pytest.mark.parametrize("packed", [".gz", ".zst"])
@pytest.mark.parametrize("ending", [".txt", ".csv"])
def test_input_and_output_may_be_packed(predict: Command, texts: list[str], ending: str, packed: str) -> None:
    zstandard = pytest.importorskip("zstandard")
    plain = predict.directory / "t.txt" if ending == ".txt" else table(predict.directory, ending, texts)
    assert predict(f"predict DIR/run {plain} --out DIR/plain{ending}").code == 0
    pack = gzip.compress if packed == ".gz" else zstandard.ZstdCompressor().compress
    (predict.directory / f"i{ending}{packed}").write_bytes(pack(plain.read_bytes()))
    assert predict(f"predict DIR/run DIR/i{ending}{packed} --out DIR/o{ending}{packed}").code == 0
    expected = (predict.directory / f"plain{ending}").read_bytes()
    assert content(predict.directory / f"o{ending}{packed}") == expected
    assert predict(f"predict DIR/run DIR/i{ending}{packed}").out.encode() == expected


class KilledError(BaseException):
    """Ends a run in the middle of a test's process."""


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The shards that are computed, in their order."""
    real, found = Computer.compute, list[int]()

    def compute(self: Computer, shard: shards.Shard, work: Any) -> Any:
        found.append(shard.index)
        return real(self, shard, work)

    monkeypatch.setattr(Computer, "compute", compute)
    return found


def stop_before(shard: int, patch: pytest.MonkeyPatch, error: Callable[[], None]) -> None:
    """Something happens when a shard is about to be computed."""
    real = Computer.compute

    def compute(self: Computer, one: shards.Shard, work: Any) -> Any:
        if one.index == shard:
            error()
        return real(self, one, work)

    patch.setattr(Computer, "compute", compute)


OUTPUTS = ["o.txt", "o.txt.gz", "o.txt.zst", "o.csv", "o.csv.gz", "o.parquet"]


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_run_that_is_killed_goes_on_and_gives_the_same_bytes(
    predict: Command, texts: list[str], name: str, computed: list[int]
) -> None:
    if name.endswith(".zst"):
        pytest.importorskip("zstandard")
    source = predict.directory / "t.txt"
    if not name.startswith("o.txt"):
        source = table(predict.directory, Path(name.removesuffix(".gz")).suffix, texts)
    line = f"predict DIR/run {source} --out DIR/"
    assert predict(f"{line}whole_{name}").code == 0
    for shard in (2, 5):

        def kill() -> None:
            raise KilledError

        with pytest.MonkeyPatch.context() as patch, pytest.raises(KilledError):
            stop_before(shard, patch, kill)
            predict(line + name)
    computed.clear()
    assert predict(line + name).code == 0
    assert computed == [5, 6]
    whole = (predict.directory / f"whole_{name}").read_bytes()
    assert (predict.directory / name).read_bytes() == whole
    assert not (predict.directory / f"{name}.part").exists()


def test_killed_at_any_call_of_the_system_the_same_command_ends_with_the_same_bytes(
    predict: Command, run: Path
) -> None:
    directory = predict.directory

    def label(name: str) -> int:
        return main(["predict", str(run), str(directory / "t.txt"), "--out", str(directory / name)])

    counter = Faulty(lambda *_: None)
    with through(counter):
        assert label("whole.txt") == 0
    assert counter.calls > 80, counter.calls
    whole = (directory / "whole.txt").read_bytes()
    # most at the end, where the output gets its name; all of them: python -m torture --only B-calls
    for place in [*range(2 * counter.calls - 1, 2 * counter.calls - 25, -5), *range(1, 80, 23)]:
        number, after = divmod(place, 2)

        def fault(call: int, name: str, done: bool, at: tuple[int, bool] = (number, bool(after))) -> None:
            if (call, done) == at:
                os.kill(os.getpid(), signal.SIGKILL)

        def work(fault: Any = fault) -> None:
            with through(Faulty(fault)):
                label("o.txt")

        errors = directory / "errors"
        assert ended(forked(work, errors), errors) == -signal.SIGKILL
        out = directory / "o.txt"
        assert not out.exists() or out.read_bytes() == whole  # whole or not there
        complete = out.exists() and not (directory / "o.txt.part").exists()
        assert label("o.txt") == (74 if complete else 0)
        assert out.read_bytes() == whole
        left = {path.name for path in directory.iterdir()} - {"o.txt", "whole.txt", "run", "t.txt"}
        assert not left, (place, left)
        out.unlink()


def test_a_power_cut_at_any_moment_leaves_nothing_that_only_seems_done(predict: Command, run: Path) -> None:
    outputs = predict.directory / "outputs"
    outputs.mkdir()
    disk = Disk(outputs)
    with through(Recorder(disk)):
        assert predict("predict DIR/run DIR/t.txt --out DIR/outputs/o.txt").code == 0
    whole, random = (outputs / "o.txt").read_bytes(), np.random.Generator(np.random.PCG64(0))
    for state in range(12):
        after = disk.materialise(predict.directory / f"after{state}", random)
        found = (after / "o.txt").exists()
        if not found or (after / "o.txt.part").exists():
            said = predict(f"predict DIR/run DIR/t.txt --out {after}/o.txt")
            assert said.code == 0 or "exists already" in said.err, said
        assert (after / "o.txt").read_bytes() == whole
        assert not disk.cut_at_the_end or found


def test_a_file_that_appears_meanwhile_is_not_overwritten(
    predict: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = predict.directory / "o.txt"

    def appear() -> None:
        out.write_bytes(b"mine")

    stop_before(3, monkeypatch, appear)
    said = predict("predict DIR/run DIR/t.txt --out DIR/o.txt")
    assert said.code == 74 and out.read_bytes() == b"mine"
    assert said.err.splitlines()[-1] == "error: DIR/o.txt: exists already and is not overwritten"
    out.rename(predict.directory / "mine.txt")
    assert predict("predict DIR/run DIR/t.txt --out DIR/o.txt").code == 0


def test_two_processes_give_the_bytes_of_one_and_a_dead_one_ends_the_whole(
    predict: Command, run: Path
) -> None:
    line = "predict DIR/run DIR/t.txt --out DIR/"
    assert predict(f"{line}one.txt").code == 0
    with pytest.MonkeyPatch.context() as patch:
        stop_before(4, patch, lambda: os.kill(os.getpid(), signal.SIGKILL))
        said = predict(f"{line}two.txt --processes 2")
    assert said.code == 75 and said.out == ""
    errors = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "Traceback" not in said.err
    assert re.fullmatch(
        r"error: a worker process \(number \d+\) was ended by SIGKILL, as the system does where memory runs "
        "out",
        errors[0],
    )
    assert re.search(
        r"^\d+ lines done and kept in DIR/two.txt.part; the same command goes on there$", said.err, re.M
    )
    assert predict(f"{line}two.txt --processes 2").code == 0
    assert (predict.directory / "two.txt").read_bytes() == (predict.directory / "one.txt").read_bytes()


def test_what_a_worker_cannot_do_is_said_in_one_line(
    predict: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        from custom_bert.errors import WriteError

        raise WriteError("o.txt.part/x: cannot write: No space left on device (ENOSPC)")

    stop_before(3, monkeypatch, full)
    said = predict("predict DIR/run DIR/t.txt --out DIR/o.txt --processes 2")
    assert said.code == 74
    assert said.err.splitlines()[-1] == (
        "error: o.txt.part/x: cannot write: No space left on device (ENOSPC)"
    )


def test_processes_that_start_anew_give_the_bytes_of_one(predict: Command, run: Path) -> None:
    """With the command line as users have it, and shards of full size."""
    write_lines(predict.directory / "many.txt", examples(2100, seed=8)[0])
    command = [sys.executable, "-m", "custom_bert", "predict", str(run), "many.txt", "--out", "two.txt"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([*command, "--processes", "2"], env=environment, cwd=predict.directory, check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "ROWS", 2048)
        assert predict("predict DIR/run DIR/many.txt --out DIR/one.txt").code == 0
    assert (predict.directory / "two.txt").read_bytes() == (predict.directory / "one.txt").read_bytes()


def test_ranks_share_the_work_and_the_last_one_puts_it_together(
    predict: Command, monkeypatch: pytest.MonkeyPatch, computed: list[int]
) -> None:
    line = "predict DIR/run DIR/t.txt --out DIR/"
    assert predict(f"{line}one.txt").code == 0
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, mine in (("1", [1, 3, 5]), ("0", [0, 2, 4, 6])):
        assert not (predict.directory / "two.txt").exists()
        monkeypatch.setenv("RANK", rank)
        computed.clear()
        assert predict(f"{line}two.txt").code == 0
        assert computed == mine
    assert (predict.directory / "two.txt").read_bytes() == (predict.directory / "one.txt").read_bytes()
    assert not (predict.directory / "two.txt.part").exists()


def test_another_number_of_ranks_goes_on(
    predict: Command, monkeypatch: pytest.MonkeyPatch, computed: list[int]
) -> None:
    line = "predict DIR/run DIR/t.txt --out DIR/"
    assert predict(f"{line}one.txt").code == 0
    with monkeypatch.context() as patch:
        patch.setenv("WORLD_SIZE", "2")
        patch.setenv("RANK", "1")
        assert predict(f"{line}two.txt").code == 0
    computed.clear()
    assert predict(f"{line}two.txt").code == 0
    assert computed == [0, 2, 4, 6]
    assert (predict.directory / "two.txt").read_bytes() == (predict.directory / "one.txt").read_bytes()


def test_rank_0_puts_together_what_was_done_before(predict: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    line = "predict DIR/run DIR/t.txt --out DIR/o.txt"
    with monkeypatch.context() as patch, pytest.raises(KilledError):

        def kill(*_: object) -> None:
            raise KilledError

        patch.setattr(job, "join", kill)
        predict(line)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert predict(line).code == 0 and not (predict.directory / "o.txt").exists()
    monkeypatch.setenv("RANK", "0")
    assert predict(line).code == 0 and (predict.directory / "o.txt").exists()
    monkeypatch.setenv("RANK", "1")
    assert predict(line).code == 0  # a rank that comes late finds it done


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_keep_what_is_done_and_say_how_to_go_on(
    predict: Command, run: Path, capsys: pytest.CaptureFixture[str], ctrl_c: None, number: signal.Signals
) -> None:
    before = signal.getsignal(number)
    with pytest.MonkeyPatch.context() as patch:
        stop_before(3, patch, lambda: os.kill(os.getpid(), number))
        try:
            code: Any = predict("predict DIR/run DIR/t.txt --out DIR/o.txt").code
        except SystemExit as end:
            code = end.code
    assert code == 128 + number and signal.getsignal(number) == before
    said = capsys.readouterr().err.replace(str(predict.directory), "DIR")
    assert (
        number == signal.SIGINT
        or said == "48 lines done and kept in DIR/o.txt.part; the same command goes on there\n"
    )
    assert not (predict.directory / "o.txt").exists()


def test_a_row_late_in_a_file_can_be_mended(
    predict: Command, texts: list[str], computed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = table(predict.directory, ".jsonl", texts)
    good = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*good[:60], b"{", *good[61:]]))
    for name in ("ROWS", "SAMPLED_ROWS"):
        monkeypatch.setattr(f"custom_bert.data.tables.json_table.{name}", 10)
    said = predict(f"predict DIR/run {path} --out DIR/o.jsonl --text-column text")
    assert said.code == 65
    assert said.err.splitlines() == [
        "48 rows done and kept in DIR/o.jsonl.part; the same command goes on there",
        "error: DIR/t.jsonl:61: row 61: not valid JSON at character 2: Expecting property name enclosed in "
        "double quotes",
    ]
    path.write_bytes(b"\n".join(good))
    computed.clear()
    assert predict(f"predict DIR/run {path} --out DIR/o.jsonl").code == 0
    assert computed == [3, 4, 5, 6]
    printed = [json.loads(line) for line in predict(f"predict DIR/run {path}").out.rstrip("\n").split("\n")]
    written = [json.loads(line) for line in (predict.directory / "o.jsonl").read_bytes().splitlines()]
    # texts that are computed together may change the last digit of a probability
    for one, other in zip(printed, written, strict=True):
        (name,) = [name for name, value in one.items() if isinstance(value, float)]
        assert one.pop(name) == pytest.approx(other.pop(name), abs=1e-5)
    assert printed == written


def test_a_full_disk_keeps_what_is_done(predict: Command) -> None:
    def full(call: int, name: str, done: bool) -> None:
        if call > 60 and name == "write" and not done:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    line = "predict DIR/run DIR/t.txt --out DIR/o.txt"
    with through(Faulty(full)):
        said = predict(line)
    assert said.code == 74
    kept, error = said.err.splitlines()
    assert re.fullmatch(r"\d+ lines done and kept in DIR/o.txt.part; the same command goes on there", kept)
    assert re.fullmatch(
        r"error: DIR/o.txt.part/0-of-1/\S+: cannot write: No space left on device \(ENOSPC\)", error
    )
    assert predict(line).code == 0


def test_a_damaged_shard_is_named_and_its_rows_are_labelled_again(
    predict: Command, monkeypatch: pytest.MonkeyPatch, ctrl_c: None
) -> None:
    line = "predict DIR/run DIR/t.txt --out DIR/"
    assert predict(f"{line}whole.txt").code == 0
    with monkeypatch.context() as patch:
        stop_before(3, patch, lambda: os.kill(os.getpid(), signal.SIGINT))
        assert predict(f"{line}o.txt").code == 130
    shard = predict.directory / "o.txt.part" / "0-of-1" / "00000001"
    shard.write_bytes(shard.read_bytes().replace(b"0", b"1"))
    said = predict(f"{line}o.txt")
    assert said.err.splitlines()[-1] == (
        "error: DIR/o.txt.part/0-of-1/00000001: damaged: its bytes are not those that were written; remove "
        "it, and the same command labels its rows again"
    )
    shard.unlink()
    said = predict(f"{line}o.txt")
    assert said.code == 0
    assert said.err == (
        "DIR/o.txt.part/0-of-1: 1 shard is missing or cut short; its rows are labelled again\n"
    )
    assert (predict.directory / "o.txt").read_bytes() == (predict.directory / "whole.txt").read_bytes()


def test_what_may_not_change_is_refused_with_the_way_to_begin_anew(
    predict: Command, run: Path, texts: list[str], monkeypatch: pytest.MonkeyPatch, ctrl_c: None
) -> None:
    line = "predict DIR/run DIR/t.txt --out DIR/o.txt"
    with monkeypatch.context() as patch:
        stop_before(3, patch, lambda: os.kill(os.getpid(), signal.SIGINT))
        assert predict(line).code == 130
    begun, anew = (
        "DIR/o.txt.part: was begun with",
        "go on with the same, or remove DIR/o.txt.part to begin anew",
    )
    for option, what in (
        ("--json", "--json off, and this command has on"),
        ("--all-probabilities", "--all-probabilities off, and this command has on"),
        ("--encoder-only", "--encoder-only off, and this command has on"),
        ("--precision bf16", "--precision fp32, and this command has bf16"),
    ):
        assert predict(f"{line} {option}").err.splitlines()[-1] == f"error: {begun} {what}; {anew}"
    other = predict.directory / "other"
    other.mkdir()
    for path in run.iterdir():
        if path.is_file():
            (other / path.name).write_bytes(path.read_bytes())
    assert predict(line.replace("DIR/run", "DIR/other")).code == 0  # the same model in another place
    (predict.directory / "o.txt").unlink()
    with monkeypatch.context() as patch:
        stop_before(3, patch, lambda: os.kill(os.getpid(), signal.SIGINT))
        assert predict(line).code == 130
    labels = json.loads((other / "labels.json").read_text(encoding="utf-8"))
    (other / "labels.json").write_text(json.dumps(labels).replace("animals", "beasts"), encoding="utf-8")
    assert predict(line.replace("DIR/run", "DIR/other")).err == f"error: {begun} another model; {anew}\n"
    for changed, what in (
        (["x", *texts[1:]], "has changed in lines 1 to 16, which are"),
        (texts[:20], "has changed in lines 17 to 20, which are"),
        (texts[:16], "has fewer lines than are"),
    ):
        write_lines(predict.directory / "t.txt", changed)
        assert predict(line).err.splitlines()[-1] == (
            f"error: DIR/t.txt: {what} labelled already; give the file as it was, or remove DIR/o.txt.part "
            "to begin anew"
        )
    write_lines(predict.directory / "t.txt", texts)
    assert predict(line).code == 0


def test_what_cannot_be_done_is_said_before_anything_is_written(
    predict: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = predict.directory
    (directory / "there.txt").write_bytes(b"mine")
    (directory / "e.txt.gz").write_bytes(gzip.compress(b""))
    before = sorted(directory.iterdir())
    lines = "predict DIR/run DIR/t.txt"
    for line, code, message in (
        (f"{lines} --out DIR/there.txt", 74, "DIR/there.txt: exists already and is not overwritten"),
        (f"{lines} --out DIR/o.txt --processes 0", 64, "--processes must be at least 1, got 0"),
        (
            f"{lines} --out DIR/o.txt --processes 2000",
            64,
            "--processes: 2,000 are more than any machine has cores for; give at most 1,024",
        ),
        (
            f"{lines} --processes 2",
            64,
            "--processes is for --out FILE; standard output is written by one process",
        ),
        (
            "predict DIR/run --out DIR/o.txt",
            65,
            "standard input: --out needs a file, which can be read again after a stop; write the texts into "
            "one",
        ),
        (
            "predict DIR/run DIR/e.txt.gz --out DIR/o.txt",
            65,
            "DIR/e.txt.gz: the file is empty; expected one text a line",
        ),
        ("predict DIR/run DIR/no.txt --out DIR/o.txt", 65, "DIR/no.txt: no such file"),
        ("predict DIR/no DIR/t.txt --out DIR/o.txt", 66, "DIR/no: no such run directory"),
    ):
        assert predict.refused(line, code) == [message]
    assert sorted(directory.iterdir()) == before
    assert (directory / "there.txt").read_bytes() == b"mine"
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert predict.refused(lines, 64) == ["torchrun: the predictions of several processes need --out FILE"]
    monkeypatch.setenv("RANK", "2")
    assert predict.refused(lines, 64) == ["RANK=2 and WORLD_SIZE=2 are not the numbers of a process"]


def test_text_that_the_model_does_not_know_is_told_with_the_lines_of_the_whole_file(
    predict: Command, texts: list[str]
) -> None:
    write_lines(predict.directory / "t.txt", [*texts[:40], "猫猫猫猫", *texts[40:], "犬犬犬犬"])
    said = predict("predict DIR/run DIR/t.txt --out DIR/o.txt")
    first, last = said.err.splitlines()
    assert "in 1 text (line 41) it is more than half" in first
    assert "(lines 41, " in last and last.endswith("predictions for such texts are unreliable")
