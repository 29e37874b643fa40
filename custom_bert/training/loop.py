"""`train_model`, in four stages: resolve, build, fit, finish.

There are no callbacks and there is no engine. This module says from top to bottom what happens in a run, and
each stage is a module of its own.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from custom_bert import config as configuration
from custom_bert import files
from custom_bert.config import SCRATCH, TrainConfig
from custom_bert.config_sources import load as load_config
from custom_bert.data.reading import LabelledLines
from custom_bert.errors import ConfigError, RunError
from custom_bert.signals import Requests
from custom_bert.training import checkpoint, introduction, ranks, start
from custom_bert.training.build import build
from custom_bert.training.caller import caller_state_kept
from custom_bert.training.contrast import draw_together
from custom_bert.training.final_evaluation import changes_told
from custom_bert.training.fit import fit_all
from custom_bert.training.floor import fit_floor
from custom_bert.training.head_start import start_head
from custom_bert.training.identity import (
    KEPT_WHEN_CONTINUED,
    OF_THE_MACHINE,
    Identity,
    check_labels,
    identity,
    keep_as_begun,
)
from custom_bert.training.log import Reporter, require_tensorboard
from custom_bert.training.memory import halvings_needed
from custom_bert.training.outcome import TrainResult, as_finished, finish
from custom_bert.training.phases import estimate_seconds
from custom_bert.training.plan import Material, RunPlan
from custom_bert.training.prepare import Draft, prepare
from custom_bert.training.ranks import Ranks
from custom_bert.training.run import RunDirectory, claim, default_directory, hold, sibling
from custom_bert.training.session import session
from custom_bert.training.state import State


def train_model(
    config: TrainConfig | Mapping[str, Any] | ModuleType | str | Path,
    *,
    fresh: bool = False,
    source: LabelledLines | None = None,
    reporter: Reporter | None = None,
) -> TrainResult:
    """Trains a model as configured and leaves it in a run directory.

    Args:
        config: a module with `get_config()` (`import config; train_model(config)`), a mapping, a
            `TrainConfig`, or the path of a config file.
        fresh: whether to train in a numbered sibling if the directory holds a run already.
        source: labelled texts in memory, from `custom_bert.in_memory`. None for the files that the settings
            name.
        reporter: prints the progress; `Reporter(silent=True)` prints nothing. None for standard output.

    Returns:
        The measures of the kept weights, and the run directory. A finished run is not repeated, and an
        unfinished one is continued from its last checkpoint.

    Raises:
        UserError: for anything that the user has to mend; its text is one line for each fault.
        KeyboardInterrupt: after Ctrl-C, once a checkpoint is written.
        SystemExit: after SIGTERM, once a checkpoint is written.

    The caller's random state, thread count and torch's switches are restored afterwards, also after an
    exception.
    """
    reporter = Reporter() if reporter is None else reporter
    config = load_config(config, note=reporter.say)
    with caller_state_kept(config.runtime.device), ranks.joined(config.runtime.device) as group:
        reporter = reporter if group.leads else reporter.muted()
        return _train(config, group, reporter, source, fresh=fresh)


def _train(
    config: TrainConfig, group: Ranks, reporter: Reporter, source: LabelledLines | None, *, fresh: bool
) -> TrainResult:
    """Resolves: what is asked for becomes a plan, and the plan gets a run directory."""
    if config.runtime.tensorboard:
        group.from_leader(require_tensorboard)
    if config.out:
        group.from_leader(partial(files.check_writable, Path(config.out)))
    begun = None
    if config.out and config.model.init_from is None and not fresh:
        begun = group.from_leader(partial(start.begun, Path(config.out)))
    draft, material = group.one_after_the_other(lambda: prepare(config, reporter.say, source, begun))
    _follow_the_leader(draft, material, group)
    for warning in material.warnings:
        reporter.warn(warning)
    wanted = identity(config, draft.todo.config, material)
    directory = Path(config.out or default_directory(wanted))
    if fresh:
        directory = Path(group.from_leader(lambda: str(sibling(directory))))
    with hold(directory, reporter.warn) if group.leads else nullcontext():
        record = group.from_leader(lambda: claim(directory, wanted, config))
        if record is not None and record.get("status") == "finished":
            if group.leads:
                checkpoint.discard(directory)  # in case the run was interrupted while it removed them
            return as_finished(directory, record, material, reporter)
        if record is not None:
            keep_as_begun(draft, record, reporter.warn)
            check_labels(material.source, record)
            if told := changes_told(record, material, directory):
                reporter.say(told)
        return _train_in(directory, draft.final(), wanted, material, group, reporter, record)


def _follow_the_leader(draft: Draft, material: Material, group: Ranks) -> None:
    """Takes over the batches of rank 0, because the memory of its machine may differ from that of this one.

    Raises:
        RunError: if this rank's machine would compute on another device or in another precision, or has
            another start.
    """
    flat = configuration.to_flat(draft.todo.config)
    own = {name: flat[name] for name in OF_THE_MACHINE}
    # one name may lead to different weights on different machines
    own |= {name: flat[name] for name in ("optim.head_init", "model.pooling")}
    own["model.init_from"] = material.pretrained.sha256 if material.pretrained else SCRATCH
    theirs = group.from_leader(lambda: own)
    for name in sorted(own.keys() - set(KEPT_WHEN_CONTINUED)):
        if own[name] != theirs[name]:
            what = f"{name} is {own[name]} at rank {group.rank}, and {theirs[name]} at rank 0; set it"
            raise RunError(what)
    changes = {name: theirs[name] for name in KEPT_WHEN_CONTINUED if theirs[name] != own[name]}
    draft.follow(changes, "as rank 0 has it")


def _train_in(
    directory: Path,
    plan: RunPlan,
    wanted: Identity,
    material: Material,
    group: Ranks,
    reporter: Reporter,
    record: dict[str, Any] | None,
) -> TrainResult:
    """Builds the model, fits it and finishes the run, or continues a run that `record` describes."""
    for line in introduction.short(plan, material):
        reporter.say(line)
    for line in introduction.details(plan, material):
        reporter.detail(line)
    fitted = fit_floor(directory, plan, material, record, reporter) if group.leads else None
    halvings = halvings_needed(plan, material, group)
    state = build(plan, material, group, reporter)
    state.progress.halvings = halvings
    _refuse_halvings(state)
    if halvings:
        reporter.warn(f"the largest batches do not fit into memory; each is computed in {2**halvings} parts")
    run = RunDirectory(directory, wanted, plan, material, group, record)
    with session(state, run, reporter) as requests:
        if fitted is not None:
            run.keep_floor(fitted)
        if record is None or not _continue(state, run, reporter):
            run.open_log(0, reporter.warn)
            _start_head(state, plan, material, reporter, requests)
        state.progress.halvings = max(halvings, state.progress.halvings)
        _refuse_halvings(state)
        _announce(state, plan, material, directory, reporter)
        fit_all(state, plan, material, run, reporter, requests)
        reporter.stop()
        result = finish(state, plan, material, run, reporter, requests)
    return result


def _start_head(
    state: State, plan: RunPlan, material: Material, reporter: Reporter, requests: Requests
) -> None:
    """Has the head of a new run begin from a probe, if that is decided, and the encoder by contrast."""
    way = plan.config.optim.head_init
    if way == "contrast":
        reporter.say(f"{'encoder':<10} first learns to put texts of one label near each other")
        begun = time.perf_counter()
        steps = draw_together(state, plan, material, lambda: bool(requests.number))
        reporter.detail(f"that took {steps:,} steps and {time.perf_counter() - begun:.1f} s")
    if way != "random":
        reporter.say(f"{'head':<10} begins as a linear classifier on the vectors of the encoder")
        begun = time.perf_counter()
        texts = start_head(state, plan, material)
        seconds = time.perf_counter() - begun
        reporter.detail(f"it was fitted on {texts:,} texts in {seconds:.1f} s")


def _refuse_halvings(state: State) -> None:
    """Raises ConfigError if several ranks would have to halve batches, because they cannot agree on it."""
    if state.progress.halvings and state.ranks.world > 1:
        raise ConfigError(
            ["batch.token_budget: the largest batches do not fit into memory; lower it, or add processes"]
        )


def _continue(state: State, run: RunDirectory, reporter: Reporter) -> bool:
    """Restores the newest checkpoint of an unfinished run. Returns False if the run has none."""
    saved: checkpoint.Saved | None = None

    def newest() -> str | None:
        nonlocal saved
        saved = checkpoint.newest(run.path, run.identity, reporter.warn)
        return saved.path.name if saved else None

    # rank 0 chooses, so that all ranks restore the same checkpoint
    name = state.ranks.from_leader(newest)
    if not state.ranks.leads and name is not None:
        saved = checkpoint.named(run.path, name, run.identity)
    if saved is None:
        reporter.say(f"{run.path}: this run was not finished and has no checkpoint; it begins again")
        return False
    for difference in checkpoint.differences(saved.machine, checkpoint.circumstances(state)):
        reporter.warn(f"since the checkpoint the {difference}: the result may not be the same bit for bit")
    checkpoint.restore(saved, run.path, state)
    run.best = saved.entries.get(checkpoint.BEST)
    run.open_log(state.progress.log_bytes, reporter.warn)
    where = f"step {state.progress.step:,} of {state.phase.name}ing"
    reporter.say(f"{run.path}: continues after {where}, from {saved.path.name}")
    return True


def _announce(state: State, plan: RunPlan, material: Material, directory: Path, reporter: Reporter) -> None:
    """Says how many steps are to come and how long they will take."""
    phases, parts = state.phases[state.progress.phase :], 2**state.progress.halvings
    expected = sum(estimate_seconds(phase, plan, material, state.precision, parts) for phase in phases)
    for line in introduction.work(phases, plan, expected, directory):
        reporter.say(line)
