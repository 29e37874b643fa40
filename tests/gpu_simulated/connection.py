"""Starts a worker with a simulated GPU, and asks it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from span_data import write_spans
from training_runs import examples, write_data, write_lines

ROOT = Path(__file__).parents[2]

Ask = Callable[..., dict[str, Any]]


def small_data(folder: Path) -> Path:
    """Writes a data directory of a few texts and a little running text, and returns it."""
    texts, _ = examples(400)
    write_data(folder, train=96, val=24)
    write_spans(folder, train=96, val=24)
    write_lines(folder / "corpus.txt", [" ".join(texts[i : i + 6]) for i in range(0, 390, 3)])
    for name, count in (("train", 96), ("val", 24)):
        _, labels = examples(count)
        write_lines(folder / f"{name}_soft_labels.txt", [f"{label}:0.75\tother:0.25" for label in labels])
        write_lines(folder / f"{name}_regression.txt", [str(i % 7) for i in range(count)])
    return folder


@contextmanager
def asking(package: Path = ROOT) -> Iterator[Ask]:
    """Yields what asks a worker, whose package is the one in a folder."""
    path = os.pathsep.join([str(package), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "gpu_simulated.worker"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=package
    ) as process:

        def asked(job: str, **arguments: Any) -> dict[str, Any]:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps({"job": job, "arguments": arguments}, default=str) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            assert line, "the worker has ended"
            answer: dict[str, Any] = json.loads(line)
            return answer

        yield asked
        assert process.stdin is not None
        process.stdin.close()
