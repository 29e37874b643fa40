"""B1, D1, D3: the same bits in another environment; numbers that are not finite; memory that is not there."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from training_runs import arguments

from custom_bert.batch import Batch
from custom_bert.errors import UserError
from custom_bert.training import fit
from custom_bert.training.phases import Phase, Step
from custom_bert.training.state import State
from torture.experiment import Experiment, Trial
from torture.runs import prepare_data, prepare_texts, recipe, train, whole

ROOT = Path(__file__).resolve().parents[2]


def another_environment(trial: Trial) -> None:
    """The command line in a fresh process with other hash seeds, folders and languages."""
    folder = trial.directory / f"folder {trial.number}"
    folder.mkdir()
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONHASHSEED": str(trial.number * 7919),
        "LC_ALL": ("C", "C.UTF-8", "POSIX", "")[trial.number % 4],
        "TMPDIR": str(folder),
        "TZ": ("UTC", "Asia/Tokyo")[trial.number % 2],
        "COLUMNS": str(40 + 20 * trial.number),
    }
    config = recipe(trial.shared, folder / "run", **{"data.cache_dir": str(folder / "cache")})
    command = [sys.executable, "-m", "custom_bert", "train", *arguments(config)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    weights = hashlib.sha256((folder / "run" / "model.safetensors").read_bytes()).hexdigest()
    assert weights == whole(trial.shared)["weights"]


def not_finite(trial: Trial) -> None:
    """NaN or infinity in the loss, a gradient or an activation, once or three times in a row."""
    run, log = trial.directory / "run", trial.directory / "log"
    where = ("loss", "gradient", "activation")[trial.number % 3]
    value = (float("nan"), float("inf"))[trial.number // 3 % 2]
    times = (1, 3)[trial.number // 6 % 2]
    begin = int(trial.random.integers(2, 20))
    real, calls = fit.step_within_memory, 0

    def poisoned(state: State, phase: Phase, step: Step, model: nn.Module, **options: object) -> object:
        nonlocal calls
        calls += 1
        hooks = []
        if phase.name == "train" and begin <= state.progress.step + 1 < begin + times:
            hooks = poison(phase.model, where, value)
        try:
            return real(state, phase, step, model, **options)  # type: ignore[arg-type]
        finally:
            for hook in hooks:
                hook.remove()

    fit.step_within_memory = poisoned  # type: ignore[assignment]
    try:
        train(recipe(trial.shared, run, **{"optim.pretrain_epochs": 1, "optim.epochs": 6}), log)
        assert times == 1, "three in a row did not stop training"
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert [line for line in lines if line["kind"] == "train"][-1]["skipped"] == 1
    except UserError as error:
        assert times == 3 and "training diverged" in str(error) and "\n" not in str(error), error
    finally:
        fit.step_within_memory = real
    for path in run.rglob("*.safetensors") if run.exists() else []:
        from custom_bert.model_files.tensor_files import parse_tensors

        for name, tensor in parse_tensors(path, path.read_bytes()).items():
            assert tensor.float().isfinite().all() or name == "losses", f"{path}: {name}"


def poison(model: nn.Module, where: str, value: float) -> list[torch.utils.hooks.RemovableHandle]:
    """Puts a number into the next step."""
    if where == "gradient":
        parameter = next(p for p in model.parameters() if p.requires_grad and p.dim() == 2)

        def spoil(grad: Tensor) -> Tensor:
            grad = grad.clone()
            grad.view(-1)[3] = value
            return grad

        return [parameter.register_hook(spoil)]
    # fused kernels call no layer, but the embeddings come before both ways
    module = model if where == "loss" else model.encoder.embeddings  # type: ignore[union-attr]

    def add(module: nn.Module, inputs: tuple[Batch], output: Tensor) -> Tensor:
        output = output.clone()
        output[0, 0] = value
        return output

    return [module.register_forward_hook(add)]  # type: ignore[union-attr]


def no_memory(trial: Trial) -> None:
    """An allocation fails in forward or backward pass: as if batches had been halved from there on."""
    place = ("forward", "backward")[trial.number % 2]
    at = int(trial.random.integers(1, 20))
    fails = out_of_memory(trial, at, place)
    assert fails == out_of_memory(trial, at, "halved")


def out_of_memory(trial: Trial, at: int, way: str) -> bytes:
    """The weights of a run in whose n-th step memory runs out in one of the passes, or which is told to halve
    its batches from that step on."""
    run, log = trial.directory / way / "run", trial.directory / way / "log"
    run.parent.mkdir()
    real, calls = fit.step_within_memory, 0

    def step(state: State, phase: Phase, step: Step, model: nn.Module, **options: object) -> object:
        nonlocal calls
        calls += 1
        hook = None
        if calls == at and way == "halved":
            state.progress.halvings = 1
        elif calls == at:
            hook = fail_once(phase.model, way)
        try:
            return real(state, phase, step, model, **options)  # type: ignore[arg-type]
        finally:
            if hook:
                hook.remove()
            assert state.progress.halvings == int(calls >= at)

    fit.step_within_memory = step  # type: ignore[assignment]
    try:
        train(recipe(trial.shared, run, **{"optim.pretrain_epochs": 2, "optim.epochs": 4}), log)
    finally:
        fit.step_within_memory = real
    return (run / "model.safetensors").read_bytes()


def fail_once(model: nn.Module, place: str) -> torch.utils.hooks.RemovableHandle:
    """The next pass runs out of memory."""
    failed = False

    def fail() -> None:
        nonlocal failed
        if not failed:
            failed = True
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to ...")

    encoder = model.encoder  # of which fused kernels call the embeddings, and no layer
    if place == "forward":
        return encoder.embeddings.register_forward_hook(lambda *_: fail())  # type: ignore[union-attr]
    return encoder.layers[0].mlp.up.weight.register_hook(lambda grad: fail())  # type: ignore[union-attr, index]


EXPERIMENTS = (
    Experiment(
        "B1",
        "the same command under other hash seeds, folders, languages and caches: the same bits",
        1,
        10,
        prepare_data,
        another_environment,
    ),
    Experiment(
        "D1",
        "NaN or infinity in loss, gradient or activation: counted, never on the disk, three in a row stop",
        12,
        120,
        prepare_texts,
        not_finite,
    ),
    Experiment(
        "D3",
        "memory that is not there in forward or backward pass: halves, as if they had been asked for",
        2,
        40,
        prepare_texts,
        no_memory,
    ),
)
