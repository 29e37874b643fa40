"""What every benchmark shares: fresh child processes, their peak memory, spreads, and records."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from custom_bert import files, machine

ROOT = Path(__file__).resolve().parents[1]


def in_child(script: str, task: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Runs `script --child TASK` in a fresh process and returns the JSON object that it leaves.

    The result gains `wall_seconds` of the whole process and `peak_mb`, the largest resident set that the
    kernel saw.

    Raises:
        RuntimeError: if the child fails; the last lines that it printed are the message.
    """
    import time

    with tempfile.TemporaryDirectory() as folder:
        answer, log = Path(folder) / "answer.json", Path(folder) / "log.txt"
        command = [sys.executable, script, "--child", task, json.dumps(arguments), str(answer)]
        begun = time.perf_counter()
        with log.open("w") as stream:
            process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, cwd=ROOT)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - begun
        if process.returncode:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
            raise RuntimeError(f"{task} {arguments} ended with {process.returncode}:\n{tail}")
        result: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return {**result, "wall_seconds": round(wall, 2), "peak_mb": round(usage.ru_maxrss / 1024)}


def answer(path: str, value: dict[str, Any]) -> None:
    """Leaves a child's result for `in_child`."""
    Path(path).write_text(json.dumps(value), encoding="utf-8")


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def shown(values: Sequence[float], digits: int = 2) -> str:
    """`1.23 (1.20 to 1.31)`."""
    s = spread(values)
    return f"{s['median']:.{digits}f} ({s['min']:.{digits}f} to {s['max']:.{digits}f})"


def commit() -> str:
    """The commit that is measured, with a mark if files differ from it."""
    head = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    dirty = subprocess.run(
        ["git", "status", "--porcelain", "--", "custom_bert"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def write_record(path: Path, *, question: str, command: str, table: list[str], **content: Any) -> None:
    """Writes PATH (JSON) and its neighbour with the ending .md (a table for people)."""
    torch.set_num_threads(machine.cores())
    facts = machine.description(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    record = {"question": question, "command": command, "commit": commit(), "machine": facts, **content}
    files.make_directory(path.parent)
    files.write_json(path, record)
    lines = [
        f"# {question}",
        "",
        f"`{command}` at {record['commit']}: {facts['processor']}, {facts['threads']} threads, "
        f"torch {facts['torch']}, Python {facts['python']}.",
        "",
        *table,
        "",
    ]
    files.write_text(path.with_suffix(".md"), "\n".join(lines))


def markdown(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
