"""Every preset, plan, precision and objective runs on a simulated GPU, and no step waits for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gpu_simulated.connection import Ask
from gpu_simulated.matrix import CONFIGURATIONS, QUICK, REFUSED

ALL = bool(os.environ.get("CUSTOM_BERT_TEST_GPU_MATRIX"))


def waits(answer: dict[str, Any], part: str) -> list[str]:
    """What the host waited for in a part of the run, as `line: kind, times`."""
    return [f"{line}: {kind}, {count} times" for where, line, kind, count in answer["waits"] if where == part]


@pytest.mark.parametrize("name", [name for name in CONFIGURATIONS if ALL or name in QUICK])
def test_a_step_never_waits_for_the_gpu(ask: Ask, data: Path, tmp_path: Path, name: str) -> None:
    changes = dict(CONFIGURATIONS[name])
    machine = changes.pop("machine", None)
    answer = ask("train", data=data, out=tmp_path / "run", changes=changes, machine=machine)
    assert answer["returned"] > 1
    assert waits(answer, "step") == []


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_run_is_refused_in_one_line(ask: Ask, data: Path, tmp_path: Path, name: str) -> None:
    changes, words = REFUSED[name]
    changes = dict(changes)
    machine = changes.pop("machine", None)
    answer = ask("train", data=data, out=tmp_path / "run", changes=changes, machine=machine, refusable=True)
    assert words in answer["refused"] and "\n" not in answer["refused"]
