"""Helpers of all measurements: fresh processes, their peak memory, medians with ranges, and records.

Each measurement runs in a process of its own. So the allocator and the compiler carry nothing over from an
earlier one, and the system knows the peak of its memory.
"""

from __future__ import annotations

import json
import os
import resource
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from custom_bert import files, machine
from custom_bert.bench.resident import FamilyPeak, peak_mb
from custom_bert.process import prepare_process
from custom_bert.threads import thread_count

ROOT = Path(__file__).resolve().parents[2]

Task = Callable[[dict[str, Any]], dict[str, Any]]


class ChildError(RuntimeError):
    """A measuring process ended without a result. The message is the end of what it printed.

    Attributes:
        reason: why it ended, in one line.
    """

    def __init__(self, task: str, arguments: Mapping[str, Any], code: int, log: str) -> None:
        tail = log.splitlines()[-8:]
        super().__init__("\n".join([f"{task} {dict(arguments)} ended with {code}:", *tail]))
        killed = "killed, as a process is that does not fit into memory"
        self.reason = killed if code == -signal.SIGKILL else (tail or [f"ended with {code}"])[-1][:200]


MEMORY_SHARE = 0.85
"""The share of the machine's memory that a measuring process may take."""


def limit_memory() -> None:
    """Bounds what this process may allocate, so that it gets a MemoryError and the system kills nothing."""
    limit = int(machine.memory_bytes() * MEMORY_SHARE)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def in_child(
    program: Sequence[str],
    task: str,
    arguments: Mapping[str, Any],
    *,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> dict[str, Any]:
    """Runs `python PROGRAM --child TASK ...` in a fresh process and returns its result.

    `wall_seconds` of the whole process and `peak_mb`, the peak of its resident memory in MiB, are added, and
    `family_peak_mb`, which includes the processes that it has started; see `FamilyPeak`.

    Args:
        program: a script's path, or `("-m", module)`. It has to pass its arguments to `answer_as_child`.
        task: the name of the function that the child runs.
        arguments: the function's argument, ready for JSON.
        environment: variables that the child gets in addition to this process's. Those that
            `prepare_process` sets are set as well, unless this names them.
        cwd: the child's working directory; None takes the directory that holds the package.

    Raises:
        ChildError: if the child ends without a result.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer, log = Path(folder) / "answer.json", Path(folder) / "log.txt"
        own = ("-P",) if cwd else ()  # the caller's folder may hold a statistics.py
        command = [sys.executable, *own, *program, "--child", task, json.dumps(arguments), str(answer)]
        variables = {**os.environ, **(environment or {})}
        prepare_process(variables)
        if cwd:  # the package need not be installed
            path = variables.get("PYTHONPATH")
            variables["PYTHONPATH"] = os.pathsep.join([str(ROOT), *([path] if path else [])])
        begun = time.perf_counter()
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command,
                stdout=stream,
                stderr=subprocess.STDOUT,
                cwd=cwd or ROOT,
                env=variables,
            )
            with FamilyPeak(process.pid) as family:
                process.wait()
        wall = time.perf_counter() - begun
        if process.returncode:
            raise ChildError(
                task, arguments, process.returncode, log.read_text(encoding="utf-8", errors="replace")
            )
        result: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return {**result, "wall_seconds": round(wall, 2), "family_peak_mb": family.peak_mb}


def answer_as_child(arguments: Sequence[str], tasks: Mapping[str, Task]) -> bool:
    """If the arguments are those that `in_child` gives, runs the task and writes its result.

    Returns:
        Whether they were such arguments.
    """
    if list(arguments[:1]) != ["--child"]:
        return False
    prepare_process()
    task, values, path = arguments[1:4]
    result = tasks[task](json.loads(values))
    Path(path).write_text(json.dumps({"peak_mb": peak_mb(), **result}), encoding="utf-8")
    return True


def spread(values: Sequence[float]) -> dict[str, float]:
    """The median, the smallest and the largest of some values."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def shown(values: Sequence[float], digits: int = 2) -> str:
    """Median and range as text, such as `1.23 (1.20 to 1.31)`."""
    s = spread(values)
    return f"{s['median']:.{digits}f} ({s['min']:.{digits}f} to {s['max']:.{digits}f})"


def ratio_row(name: str, ratios: Sequence[float]) -> dict[str, Any]:
    """A comparison as an entry of a record's `results`."""
    return {
        "id": name,
        **{f"ratio_{key}": value for key, value in spread(ratios).items()},
        "repeats": len(ratios),
    }


def as_given(program: str, arguments: Sequence[str] | None = None) -> str:
    """The command that measures this again, with a general word for each path of this machine.

    Args:
        program: a benchmark's file, or the words of a command.
        arguments: the words after it; None takes those of this process.
    """
    words_out = [f"python benchmarks/{Path(program).name}" if program.endswith(".py") else program]
    words = iter(sys.argv[1:] if arguments is None else arguments)
    for word in words:
        name, equals, _ = word.partition("=")
        if name not in PLACES:
            words_out.append(shlex.quote(word))
            continue
        if not equals:
            next(words, None)
        words_out += [name, PLACES[name]]
    return " ".join(words_out)


PLACES = {
    "--out": "FILE",
    "--data": "FOLDER",
    "--text": "FILE",
    "--texts": "FILE",
    "--checkpoint": "DIR",
    "--config": "CONFIG",
    "--encoder": "DIR",
    "--onnx": "DIR",
    "--peers": "PYTHON",
    "--run": "RUN",
    "--export": "DIR",
    "--small": "PYTHON",
}
"""Options whose value is a path, each with the word that a record shows instead."""


def commit() -> str:
    """The commit that is measured, with a + if the package's files have changes that are not committed.

    If there is no repository, it is the package's version.
    """
    try:
        head = _git("rev-parse", "--short", "HEAD")
        return head + ("+" if _git("status", "--porcelain", "--", "custom_bert") else "")
    except (OSError, subprocess.CalledProcessError):
        from custom_bert import __version__

        return f"version {__version__}"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, encoding="utf-8", cwd=ROOT, check=True)
    return done.stdout.strip()


def write_record(
    path: Path,
    *,
    question: str,
    table: Sequence[str],
    command: str | None = None,
    device: str = "cpu",
    **content: Any,
) -> dict[str, Any]:
    """Writes a record as JSON to `path`, and its tables for people to the same name with the ending .md.

    Args:
        path: the path of the JSON file.
        question: what was measured, as a title.
        table: the tables, as lines of Markdown.
        command: the command line that measured it; None takes this process's, see `as_given`.
        device: the device that was measured, "cpu" or "cuda".
        content: further keys of the record.

    Returns:
        The record.
    """
    torch.set_num_threads(thread_count())
    facts = machine.description(torch.device(device))
    command = command or as_given(sys.argv[0])
    record = {"question": question, "command": command, "commit": commit(), "machine": facts, **content}
    files.make_directory(path.parent)
    files.write_json(path, record)
    where = facts["processor"] if facts["device"] == "cpu" else facts["device"]
    lines = [
        f"# {question}",
        "",
        f"`{command}` at {record['commit']}: {where}, {facts['cpu_capability']}, {facts['threads']} threads, "
        f"torch {facts['torch']}, Python {facts['python']}.",
        "",
        *table,
        "",
    ]
    files.write_text(path.with_suffix(".md"), "\n".join(lines))
    return record


def markdown(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
