"""A worker process with a simulated GPU, which the tests of this folder share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gpu_simulated import guard
from training_runs import write_data

ROOT = Path(__file__).parents[2]

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def ask() -> Iterator[Ask]:
    """Asks the worker to do a job of `jobs.py`, and returns its answer."""
    try:
        guard.built()
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no C++ compiler that can build the simulated GPU: {error}")
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "gpu_simulated.worker"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    ) as process:
        assert process.stdin is not None and process.stdout is not None

        def asked(job: str, **arguments: Any) -> dict[str, Any]:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps({"job": job, "arguments": arguments}, default=str) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            assert line, "the worker has ended"
            answer: dict[str, Any] = json.loads(line)
            assert "fault" not in answer, answer["fault"]
            return answer

        yield asked
        process.stdin.close()


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory of a few texts."""
    return write_data(tmp_path_factory.mktemp("simulated") / "data", train=96, val=24)
