"""What the worker can be asked to do. Each function runs in the worker, on the simulated GPU."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from collections.abc import Iterator

import torch
from training_runs import settings

from custom_bert import Classifier, train_model
from custom_bert.ops import kernels
from custom_bert.training import memory
from gpu_simulated.device import MACHINE

LABELS = ("preset", "task")


@contextmanager
def stepped(before: Callable[[int], None] = lambda number: None) -> Iterator[None]:
    """Counts the calls of `train_step` within the block, and calls `before` with the number of each, from 1."""
    real = memory.train_step

    def counted(*positional: Any, **named: Any) -> Any:
        MACHINE.steps += 1
        before(MACHINE.steps)
        return real(*positional, **named)

    memory.train_step = counted
    try:
        yield
    finally:
        memory.train_step = real


def use(capability: list[int] | None = None, memory: int | None = None, free: int | None = None) -> None:
    """Makes the GPUs another kind."""
    MACHINE.capability = (9, 0) if capability is None else tuple(capability)
    MACHINE.memory = memory or 80 * 10**9
    MACHINE.free = free or MACHINE.memory
    kernels.has_flash.cache_clear()


def configured(data: str, out: str, changes: dict[str, Any]) -> dict[str, Any]:
    """The settings of a run on the GPU, of one epoch."""
    base = settings(Path(data), Path(out))
    if changes.get("task") == "masked_lm":
        parts = ("model", "batch", "runtime", "out", "data.cache_dir", "data.max_length", "optim.epochs", "optim.lr")
        base = {name: value for name, value in base.items() if name.startswith(parts)}
        base["data.corpus"] = [str(Path(data) / "train_dataset.txt")]
    gpu = {"optim.epochs": 1, "runtime.device": "cuda", "runtime.precision": None}
    return {**base, **gpu, **changes}


def train(data: str, out: str, changes: dict[str, Any], machine: dict[str, Any] | None = None) -> int:
    """Trains, and returns the number of steps."""
    use(**(machine or {}))
    with stepped():
        return train_model(configured(data, out, changes)).steps


def train_with_failing_step(data: str, out: str, changes: dict[str, Any], error: str, message: str) -> int:
    """Trains; the third step raises an error in its midst."""
    use()

    def fail(number: int) -> None:
        if number == 3:
            raise {"memory": torch.OutOfMemoryError, "runtime": RuntimeError}[error](message)

    with stepped(fail):
        return train_model(configured(data, out, changes)).steps


def train_and_stop(data: str, out: str, changes: dict[str, Any]) -> list[str]:
    """Trains, gets a request to end in the third step, and trains on. Returns the devices whose generators were
    restored."""
    use()

    def stop(number: int) -> None:
        if number == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        with stepped(stop):
            train_model(configured(data, out, changes))
    except SystemExit:
        pass
    MACHINE.seeded.clear()
    train_model(configured(data, out, changes))
    return sorted(MACHINE.seeded)


def predict(run: str, device: str, precision: str | None, texts: int) -> int:
    """Predicts, and returns the number of predictions."""
    use()
    classifier = Classifier.load(run, device=device, precision=precision)
    return len(classifier.predict(["a dog barks in the yard"[: 7 + i % 16] for i in range(texts)]))
