"""A worker process with a simulated GPU, which the tests of this folder share."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpu_simulated import guard
from gpu_simulated.connection import Ask, asking, small_data


@pytest.fixture(scope="session")
def ask() -> Iterator[Ask]:
    """Asks the worker to do a job of `jobs.py`, and returns its answer."""
    try:
        guard.built()
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no C++ compiler that can build the simulated GPU: {error}")
    with asking() as worker:

        def asked(job: str, *, refusable: bool = False, **arguments: Any) -> dict[str, Any]:
            answer = worker(job, **arguments)
            assert "fault" not in answer, answer["fault"]
            if not refusable:
                assert "refused" not in answer, answer["refused"]
            return answer

        yield asked


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory of a few texts and a little running text."""
    return small_data(tmp_path_factory.mktemp("simulated") / "data")
