"""What goes wrong on a GPU is told in one line or mended, as a simulated GPU shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpu_simulated.connection import Ask


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("memory", "CUDA out of memory"),
        ("runtime", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `x`"),
    ],
)
def test_a_step_without_memory_is_computed_in_halves(
    ask: Ask, data: Path, tmp_path: Path, error: str, message: str
) -> None:
    changes = {"runtime.precision": "fp16"}
    answer = ask(
        "train_with_failing_step",
        data=data,
        out=tmp_path / "run",
        changes=changes,
        error=error,
        message=message,
    )
    assert answer["returned"] > 3
    assert any("from now on batches are halved" in line for line in answer["said"])


def test_an_evaluation_without_memory_is_computed_in_halves(ask: Ask, data: Path, tmp_path: Path) -> None:
    answer = ask("train_with_failing_evaluation", data=data, out=tmp_path / "run", most=8)
    assert answer["returned"] > 0


def test_a_stopped_run_continues_with_the_generator_of_its_gpu(ask: Ask, data: Path, tmp_path: Path) -> None:
    answer = ask("train_and_stop", data=data, out=tmp_path / "run", changes={"runtime.precision": "fp16"})
    assert "cuda:0" in answer["returned"], "by its own number, not as the current device"


def test_a_run_that_leaves_gpus_idle_says_how_to_use_them(ask: Ask, data: Path, tmp_path: Path) -> None:
    answer = ask("train", data=data, out=tmp_path / "run", changes={"runtime.precision": "bf16"})
    assert any("torchrun --nproc-per-node 2 uses all" in line for line in answer["said"])
    # the run is there: prediction reads the outputs of a window of texts once, whatever the number of batches
    for precision in ("bf16", "fp32"):
        found: dict[str, Any] = ask(
            "predict", run=tmp_path / "run", device="cuda:1", precision=precision, texts=300, rows=512
        )
        assert found["returned"] == 300
        reads = [count for _, line, kind, count in found["waits"] if kind == "copy to the host"]
        assert reads == [1], found["waits"]


def test_spans_are_predicted_with_one_copy_for_all_batches(ask: Ask, data: Path, tmp_path: Path) -> None:
    ask("train", data=data, out=tmp_path / "run", changes={"task": "tokens"})
    for precision in ("bf16", "fp32"):
        found: dict[str, Any] = ask(
            "predict", run=tmp_path / "run", device="cuda", precision=precision, texts=300, rows=512
        )
        assert found["returned"] == 300
        reads = [count for _, line, kind, count in found["waits"] if kind == "copy to the host"]
        assert reads == [1], found["waits"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_test_of_flash_attention_runs_through(ask: Ask, dtype: str) -> None:
    """What it asserts needs a GPU, and that it gets there does not."""
    answer = ask("gpu_test", dtype=dtype)
    assert answer["returned"] == "done"


def test_training_multiplies_in_tf32_and_evaluation_does_not(ask: Ask, data: Path, tmp_path: Path) -> None:
    answer = ask("products", data=data, out=tmp_path / "run")
    assert answer["returned"] == {"training": ["tf32"], "evaluation": ["ieee"], "afterwards": "none"}
