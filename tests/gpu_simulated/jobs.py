"""What the worker can be asked to do. Each function runs in the worker, on the simulated GPU."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from span_data import span_settings
from training_runs import settings

from custom_bert import Classifier, train_model
from custom_bert.batch import Batch
from custom_bert.bench.workloads import AG_NEWS, SyntheticTexts
from custom_bert.config import ModelConfig
from custom_bert.data import batching
from custom_bert.data.batching import plan_batches
from custom_bert.data.loader import Transform
from custom_bert.data.masking import Masker
from custom_bert.models.heads import SequenceClassifier
from custom_bert.models.masked_lm import MaskedLanguageModel
from custom_bert.ops import kernels
from custom_bert.precision import MixedPrecision
from custom_bert.presets import encoder_config
from custom_bert.tasks.classification import CrossEntropy
from custom_bert.tasks.token_scorer import TokenCrossEntropy
from custom_bert.training import memory
from custom_bert.training.optim import make_optimizer
from custom_bert.training.state_tensors import begin_moments
from custom_bert.training.step import train_step
from gpu_simulated.device import MACHINE


@contextmanager
def stepping() -> Iterator[None]:
    """Within the block, what runs belongs to a step."""
    MACHINE.stepping = True
    try:
        yield
    finally:
        MACHINE.stepping = False


@contextmanager
def stepped(before: Callable[[int], None] = lambda number: None) -> Iterator[None]:
    """Counts the calls of `train_step` within the block, and calls `before` with the number of each."""
    real = memory.train_step

    def counted(*positional: Any, **named: Any) -> Any:
        MACHINE.steps += 1
        before(MACHINE.steps)
        with stepping():
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
        parts = (
            "model",
            "batch",
            "runtime",
            "out",
            "data.cache_dir",
            "data.max_length",
            "optim.epochs",
            "optim.lr",
        )
        base = {name: value for name, value in base.items() if name.startswith(parts)}
        base["data.corpus"] = [str(Path(data) / "corpus.txt")]
    if changes.get("task") == "tokens":
        base = span_settings(Path(data), Path(out))
    if (task := changes.get("task")) in ("soft_labels", "regression"):
        base |= {f"data.{name}_labels": str(Path(data) / f"{name}_{task}.txt") for name in ("train", "val")}
    gpu = {
        "optim.epochs": 1,
        "optim.eval_every": 3,
        "runtime.device": "cuda",
        "runtime.precision": None,
    }
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
    """Trains, gets a request to end in the third step, and trains on. Returns the devices whose generators
    were restored."""
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


def predict(run: str, device: str, precision: str | None, texts: int, rows: int) -> int:
    """Predicts in batches of some rows, and returns the number of predictions."""
    use()
    before = batching.EVALUATION_ROWS["cuda"]
    batching.EVALUATION_ROWS["cuda"] = rows
    try:
        classifier = Classifier.load(run, device=device, precision=precision)
        return len(classifier.predict(["a dog barks in the yard"[: 7 + i % 16] for i in range(texts)]))
    finally:
        batching.EVALUATION_ROWS["cuda"] = before


def step(
    width: int, layers: int, plan: str, masked: bool, capability: list[int], pooling: str = "cls"
) -> int:
    """Runs one step of a batch of 8,192 rows with texts of AG News's lengths. Returns the number of its rows.

    It uses only what earlier versions of the package have too, so that these can be compared.
    """
    use(capability)
    device, precision = torch.device("cuda"), "bf16" if capability >= [8, 0] else "fp16"
    wishes = ModelConfig(hidden_size=width, num_hidden_layers=layers, pooling=pooling)
    config = encoder_config(
        "custom", wishes, vocab_size=30_000, pad_token_id=0, max_length=256, default_shape=(0, 0)
    )
    classifier = SequenceClassifier(config, 4)
    model = (MaskedLanguageModel(classifier.encoder) if masked else classifier).to(device).train()
    optimizer = make_optimizer(model, lr=1e-4, weight_decay=0.01)
    lengths = AG_NEWS.lengths(2_000)
    builder = SyntheticTexts(lengths, 30_000).builder(pin_memory=True)
    if "ahead" in {field.name for field in dataclasses.fields(builder)}:
        from custom_bert.ops.attention import plan_ahead

        flash = capability >= [8, 0]
        builder = dataclasses.replace(builder, ahead=partial(plan_ahead, kernel=None, flash=flash))
    masker = Masker(4, (0, 1, 2, 3, 4), 30_000, 0.25, 0) if masked else None
    (first, *_) = plan_batches(lengths, plan, token_budget=8192, batch_size=None, seed=0, epoch=0)
    batch = builder.build(first, plan, 256, transform=Transform(masker=masker))
    objective = TokenCrossEntropy() if masked else CrossEntropy()
    mixed = MixedPrecision(precision, device)
    begin_moments(model, optimizer)
    MACHINE.steps = 1
    on_device = batch.to(device)
    with stepping():
        train_step(model, optimizer, [on_device], objective, precision=mixed, clip_norm=1.0)
    return batch.num_rows


def train_with_failing_evaluation(data: str, out: str, most: int) -> int:
    """Trains; a batch of more than `most` texts in evaluation mode finds no memory."""
    use()
    real = SequenceClassifier.forward

    def limited(self: SequenceClassifier, batch: Batch) -> torch.Tensor:
        if not self.training and batch.num_texts > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, batch)

    SequenceClassifier.forward = limited  # type: ignore[method-assign]
    try:
        return train_model(configured(data, out, {})).steps
    finally:
        SequenceClassifier.forward = real  # type: ignore[method-assign]


def gpu_test(dtype: str) -> str:
    """Runs the tests of flash attention that need a GPU. What they compare is always true here."""
    use()
    path = Path(__file__).parents[1] / "gpu" / "test_cuda.py"
    spec = importlib.util.spec_from_file_location("test_cuda", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.test_varlen_agrees_with_the_formula(getattr(torch, dtype), -1)
    module.test_flash_attention_of_first_tokens_agrees_with_the_formula(getattr(torch, dtype), 128)
    return "done"


def products(data: str, out: str) -> dict[str, Any]:
    """Trains in fp32, and returns in which formats the GPU multiplied fp32 matrices."""
    use()
    matmul, real = torch.backends.cuda.matmul, SequenceClassifier.forward
    seen: dict[bool, set[str]] = {True: set(), False: set()}

    def noted(self: SequenceClassifier, batch: Batch) -> torch.Tensor:
        if MACHINE.stepping or not self.training:
            seen[self.training].add(matmul.fp32_precision)
        return real(self, batch)

    SequenceClassifier.forward = noted  # type: ignore[method-assign]
    try:
        with stepped():
            train_model(configured(data, out, {"runtime.precision": "fp32"}))
    finally:
        SequenceClassifier.forward = real  # type: ignore[method-assign]
    return {
        "training": sorted(seen[True]),
        "evaluation": sorted(seen[False]),
        "afterwards": matmul.fp32_precision,
    }
