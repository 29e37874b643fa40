"""The checkpoints of an unfinished run. Each is written whole or not at all, and is verified when it is read.

    runs/x/checkpoints/000007-train-120/
        state.json              how far the run has come (`state.Progress`), and on which machine
        model.safetensors       weights, random generators, losses that are not logged yet
        optimizer.safetensors   AdamW's moments and step counts
        best.safetensors        the run's best weights so far, a copy, so that no two checkpoints share a file
        manifest.json           names, sizes and hashes of the others, written last

The order of batches, masks and token dropout depend on (seed, epoch, example) alone, so that they need not be
stored: a run continues at once, and skips no data.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from torch import Tensor

from custom_bert import __version__, files, machine
from custom_bert.config_values import coerce
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.errors import RunError
from custom_bert.model_files.description import Description, write_description
from custom_bert.model_files.native import MOMENTS, MOMENTS_RATE, STABLE, write_weights
from custom_bert.model_files.published_files import WEIGHTS
from custom_bert.model_files.tensor_files import write_tensors
from custom_bert.torch_internals import loss_scale, set_loss_scale
from custom_bert.training import manifest
from custom_bert.training.plan import RunPlan
from custom_bert.training.state import Progress, State
from custom_bert.training.state_tensors import (
    begin_moments,
    moments_of,
    put_weights,
    random_state,
    read_tensors,
    restore_moments,
    restore_random,
    weights_of,
)

FORMAT = "custom-bert-checkpoint/1"
FOLDER = "checkpoints"

NAMES = re.compile(r"\d{6,}-(pretrain|train)-\d+")
"""The names of checkpoints: a number that rises from one to the next, the phase, and its step."""

SAME_BITS = (
    *("custom_bert", "source", "torch", "numpy"),
    *("processor", "cpu_capability", "device", "threads", "ranks"),
)
"""What has to be the same so that a continued run computes the same bits."""

NEWER = frozenset({"empty"})
"""The fields of `Progress` that checkpoints of older versions may lack."""

MODEL, OPTIMIZER, STATE, BEST = "model.safetensors", MOMENTS, "state.json", "best.safetensors"


@dataclass(frozen=True)
class Saved:
    """A checkpoint that was read and verified.

    Attributes:
        path: the directory of the checkpoint.
        progress: the progress of the run when it was written.
        machine: the values of `SAME_BITS` in the process that wrote it.
        entries: the size and hash of each of its files.
    """

    path: Path
    progress: Progress
    machine: Mapping[str, Any]
    entries: manifest.Entries


def save(run: Path, state: State, identity: str, best: tuple[int, str] | None) -> None:
    """Writes a checkpoint of the present moment. Of the earlier ones only the last that was written or
    restored stays. Every rank has to call this, and rank 0 writes.

    Args:
        run: the run directory, which no other process writes to.
        state: the state to write.
        identity: the hash of the run's identity.
        best: the size and sha256 of the best weights in the run directory; None if there are none.

    Raises:
        WriteError: if the system refuses to write; earlier checkpoints are as they were.
        RunError: if the best weights in the run directory are not what was written.
    """
    weights, moments = weights_of(state), moments_of(state)
    if state.ranks.leads:
        _write(run, state, identity, best, weights, moments)
    state.saved = state.position
    # a rank that ended before rank 0 has written would look like a failure, and torchrun would end rank 0
    state.ranks.totals(0.0)


def _write(
    run: Path,
    state: State,
    identity: str,
    best: tuple[int, str] | None,
    weights: Mapping[str, Tensor],
    moments: Mapping[str, Tensor],
) -> None:
    """Writes a checkpoint of collected tensors; see `save`."""
    progress = state.progress
    before = _directories(run)
    number = 1 + _number(before[0]) if before else 1
    target = run / FOLDER / f"{number:06d}-{state.phase.name}-{progress.step}"
    scaler = state.precision.scaler
    if scaler.is_enabled():
        progress.scale, progress.scale_steps = loss_scale(scaler)
    about = {
        "format": FORMAT,
        "identity": identity,
        "machine": circumstances(state),
        "progress": dataclasses.asdict(progress),
    }
    with files.new_directory(target) as folder:
        entries = {}
        with files.creating(folder / STATE) as sink:
            sink.write(json.dumps(about, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n")
        entries[STATE] = (sink.size, sink.sha256)
        for name, tensors in ((MODEL, weights), (OPTIMIZER, moments)):
            with files.creating(folder / name) as sink:
                write_tensors(sink, tensors)
            entries[name] = (sink.size, sink.sha256)
        if progress.best_step and best:
            with files.creating(folder / BEST) as sink:
                files.copy_into(run / WEIGHTS, sink)
            entries[BEST] = (sink.size, sink.sha256)
            if entries[BEST] != best:
                raise RunError(f"{run / WEIGHTS}: damaged: its content is not what was written")
        manifest.write_manifest(folder, entries)
    for old in before:  # the one that this process wrote or read last is known to be whole, and stays
        if old != state.saved_in:
            files.remove_directory(old)
    state.saved_in = target


def save_stable(run: Path, state: State, plan: RunPlan, tokenizer: TextTokenizer) -> None:
    """Writes the model from before the learning rate falls, AdamW's moments and the peak rate into `stable/`.
    From there another run may go on with the same learning rate, or let it fall in another way
    (model.init_from). Every rank has to call this, and rank 0 writes.

    Raises:
        WriteError: if the system refuses to write.
    """
    weights, moments = state.ranks.collected(state.model.state_dict()), moments_of(state)
    if not state.ranks.leads:
        return
    files.remove_directory(run / STABLE)
    with files.new_directory(run / STABLE) as folder:
        described = Description(plan.encoder, plan.task, plan.config.data.max_length)
        write_description(folder, described, tokenizer)
        write_weights(folder, weights)
        with files.creating(folder / OPTIMIZER) as sink:
            write_tensors(sink, moments)
        files.write_json(folder / MOMENTS_RATE, {"lr": plan.config.optim.lr})


def newest(run: Path, identity: str, warn: Callable[[str], None]) -> Saved | None:
    """Returns the newest checkpoint that is whole, or None if the run has no checkpoint.

    Args:
        run: the run directory.
        identity: the hash of the run's identity.
        warn: prints a warning about each newer checkpoint that is damaged.

    Raises:
        RunError: if there are checkpoints and none is whole.
    """
    directories = _directories(run)
    for directory in directories:
        try:
            return _read(directory, identity)
        except RunError as error:
            if directory == directories[-1]:
                raise RunError(
                    f"{error}; no checkpoint of this run is left: --fresh trains again in a numbered sibling"
                ) from error
            warn(f"{error}; the checkpoint before it is taken")
    return None


def named(run: Path, name: str, identity: str) -> Saved:
    """Returns the checkpoint that another rank has chosen.

    Raises:
        RunError: if this rank does not find it whole.
    """
    return _read(run / FOLDER / name, identity)


def exists(run: Path) -> bool:
    """Returns whether a run has a checkpoint, whole or damaged."""
    return bool(_directories(run))


def discard(run: Path) -> None:
    """Removes all checkpoints, and what interrupted writes left of others.

    Raises:
        WriteError: if the system refuses to remove them.
    """
    for directory in _directories(run):
        files.remove_directory(directory)
    if (run / FOLDER).is_dir():
        files.remove_litter(run / FOLDER)
        files.remove_if_empty(run / FOLDER)


def restore(saved: Saved, run: Path, state: State) -> None:
    """Brings a state that `build` has made, and the run's best weights, to the moment of the checkpoint.

    Raises:
        RunError: if the checkpoint belongs to another model.
    """
    progress = saved.progress
    if progress.phase >= len(state.phases):
        raise RunError(f"{saved.path}: the run has {len(state.phases)} phases, not {progress.phase + 1}")
    state.progress = progress
    state.saved, state.saved_in = state.position, saved.path
    state.clock.set_run(progress.seconds)
    tensors = read_tensors(saved.path / MODEL)
    random = {key: tensors.pop(key) for key in list(tensors) if key.startswith("random.")}
    own = {name: f"{name}.{state.ranks.rank}" for name in random_state(state.device)}
    # after a change of the device or of the number of ranks, the checkpoint may have no generator for this
    # rank, which then keeps the one that `build` seeded
    if "losses" not in tensors or "random.cpu.0" not in random:
        raise RunError(f"{saved.path / MODEL}: the losses or the random generator are missing")
    state.losses = list(tensors.pop("losses").to(state.device).unbind(0))
    restore_random({name: random[key] for name, key in own.items() if key in random}, state.device)
    put_weights(saved.path / MODEL, tensors, state)
    begin_moments(state.phase.model, state.phase.optimizer)
    restore_moments(saved.path / OPTIMIZER, state)
    scaler = state.precision.scaler
    if scaler.is_enabled() and progress.scale:  # 0 if the run was not in fp16 until now
        set_loss_scale(scaler, progress.scale, progress.scale_steps)
    if BEST in saved.entries and state.ranks.leads:
        with files.writing(run / WEIGHTS) as sink:
            files.copy_into(saved.path / BEST, sink)


def circumstances(state: State) -> dict[str, Any]:
    """Returns the values of `SAME_BITS` in this process."""
    facts = {
        "custom_bert": __version__,
        "source": machine.source_digest(),
        **machine.description(state.device),
        "ranks": state.ranks.world,
    }
    return {name: facts[name] for name in SAME_BITS}


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Returns what differs between two results of `circumstances`, in words."""
    return [
        f"{name.replace('_', ' ')} was {then.get(name)}, is {now.get(name)}"
        for name in SAME_BITS
        if then.get(name) != now.get(name)
    ]


def _directories(run: Path) -> list[Path]:
    """Returns the checkpoints of a run, the newest first. Directories with other names are not ours."""
    folder = run / FOLDER
    directories = [path for path in folder.iterdir() if NAMES.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(directories, key=_number, reverse=True)


def _number(directory: Path) -> int:
    return int(directory.name.partition("-")[0])


def _read(directory: Path, identity: str) -> Saved:
    """Reads and verifies a checkpoint. Raises RunError if it is damaged or belongs to another run."""
    entries = manifest.verify(directory)
    path = directory / STATE
    if not {STATE, MODEL, OPTIMIZER} <= entries.keys() <= {STATE, MODEL, OPTIMIZER, BEST}:
        raise RunError(f"{directory}: not the files of a checkpoint")
    try:
        value = files.parse_json(files.read_regular(path))
        if value["format"] != FORMAT or value.keys() != {"format", "identity", "machine", "progress"}:
            raise ValueError(f"not a {FORMAT} checkpoint")
        given, types = value["progress"], get_type_hints(Progress)
        if not types.keys() - NEWER <= given.keys() <= types.keys() or not isinstance(value["machine"], dict):
            raise ValueError("its keys are not those of this version")
        progress = Progress(**{key: coerce(given[key], types[key]) for key in given})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: damaged: {error}") from error
    if value["identity"] != identity:
        raise RunError(f"{path}: the checkpoint of another run")
    if min(v for k, v in given.items() if k != "best_metric") < 0:
        raise RunError(f"{path}: damaged: a number is negative")
    return Saved(directory, progress, value["machine"], entries)
