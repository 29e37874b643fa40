"""Which settings are the fastest here, for one's own texts, among those that change speed and memory only?

The settings that a run would take are measured against alternatives with one setting changed. A measurement
is some whole training steps in a fresh process. Sides are measured in turn, and each round draws its batches
with another seed. What a setting costs before the first step, as compiling does, counts by its share of the
whole run. Alternatives that are faster in every round are measured again all together, and printed to paste.
Alternatives that change the size of a batch are only shown in the table, since a run with them learns
something else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from custom_bert import machine, terminal
from custom_bert.bench.advice import (
    AS_TAKEN,
    BESIDE,
    TOGETHER,
    Record,
    advice,
    every_round,
    fastest,
    median,
)
from custom_bert.bench.alternatives import Alternative, alternatives, option
from custom_bert.bench.measure import ChildError, in_child, limit_memory
from custom_bert.bench.speed import PROGRAM
from custom_bert.bench.steps import Timed, time_steps
from custom_bert.config import SCRATCH, TrainConfig, replace, to_flat
from custom_bert.config_sources import from_mapping
from custom_bert.errors import UserError, first_line
from custom_bert.tasks.registry import TASKS
from custom_bert.training.compile import fusion_fault
from custom_bert.training.prepare import prepare

LEAST_ROUNDS = 3
"""Nothing is advised after fewer rounds."""

WARM_STEPS, TIMED_STEPS = 4, 10
"""Steps of a measurement that are not timed, and the least number that is."""


def time_settings(arguments: dict[str, Any]) -> dict[str, Any]:
    """Times the product's own steps with some settings, in a measuring process.

    Returns:
        The figures, or `refused` with the reason why these settings cannot be measured.
    """
    try:
        draft, material = prepare(from_mapping(arguments["settings"]), lambda line: None)
        plan = draft.final()
        on_gpu = plan.device.type == "cuda"
        if not on_gpu:
            limit_memory()
        fault = fusion_fault(plan.device, terminal.complain) if plan.config.runtime.compile else None
        if fault:
            return {"refused": f"kernels cannot be fused here: {fault}"}
        timed = time_steps(plan, material, tokens=arguments["tokens"], warm=arguments["warm"])
    except (UserError, ValueError) as error:
        return {"refused": first_line(error)}
    except (MemoryError, RuntimeError) as error:
        if machine.is_out_of_memory(error):
            return {"refused": "a batch does not fit into memory"}
        raise
    taken = to_flat(plan.config)
    looked_at = ("precision", "compile", "threads")
    kernel = [choice.value for choice in plan.choices if choice.name == "runtime.attention"]
    return {
        "tokens_per_second": of_the_run(timed, plan.config.optim.max_minutes),
        "in_steps": timed.texts / timed.seconds,
        "ready_seconds": timed.ready_seconds,
        "tokens_per_step": timed.texts / timed.steps,
        "steps": timed.steps,
        "parameters": timed.parameters,
        "cuda_peak_mb": round(torch.cuda.max_memory_allocated() / 2**20) if on_gpu else None,
        "start": taken["model.init_from"],
        "taken": {
            "runtime.attention": kernel[0] if kernel else taken["runtime.attention"],
            **{f"runtime.{name}": taken[f"runtime.{name}"] for name in looked_at},
            "batch.plan": taken["batch.plan"],
            "batch.token_budget": taken["batch.token_budget"],
        },
    }


def of_the_run(timed: Timed, max_minutes: float | None) -> float:
    """Tokens of texts a second of the whole run, with the time before the first step included.

    That time is spread over all passes, or over `max_minutes` if these end the run earlier.
    """
    rate = timed.texts / timed.seconds
    seconds = timed.planned / rate
    if max_minutes is not None:
        seconds = min(seconds, max(1.0, 60 * max_minutes - timed.ready_seconds))
    return rate * seconds / (timed.ready_seconds + seconds)


def measure(settings: Mapping[str, Any], *, tokens: int, warm: int) -> dict[str, Any]:
    """Runs `time_settings` in a fresh process: `tokens_per_second`, `peak_mb`, `taken`, or `refused`."""
    try:
        arguments = {"settings": dict(settings), "tokens": tokens, "warm": warm}
        # relative paths among the settings are relative to this process's directory
        cell = in_child(PROGRAM, "tune", arguments, cwd=Path.cwd())
    except ChildError as error:
        return {"refused": error.reason}
    if cell.get("cuda_peak_mb") is not None:
        cell["peak_mb"] = cell["cuda_peak_mb"]
    return cell


def steps_alone(config: TrainConfig) -> dict[str, Any]:
    """Changes that reduce a run to the part that is timed, the last phase with full batches."""
    if TASKS[config.task].predicts_tokens:
        return {}
    changes: dict[str, Any] = {"optim.pretrain_epochs": 0}
    if config.model.init_from == SCRATCH:
        changes["optim.embedding_init"] = "random"
    return changes


class _Rounds:
    """Makes and keeps the measurements.

    Args:
        asked: the user's settings, reduced by `steps_alone`.
        seed: the seed of the first round; later rounds count up from it.
        warm: the number of first steps that are not timed.
        say: called with a line for each measurement.

    Attributes:
        asked: the user's settings. After the first measurement they name the start, so that later ones do not
            decide it again.
        raw: the measurements so far by name, one for each round.
        tokens: the least number of tokens that a measurement times.
    """

    def __init__(self, asked: Mapping[str, Any], *, seed: int, warm: int, say: Callable[[str], None]) -> None:
        self.asked, self._seed, self._warm, self._say = asked, seed, warm, say
        self.raw: dict[str, list[dict[str, Any]]] = {AS_TAKEN: []}
        self.tokens = 1

    def note(self, name: str, changes: Mapping[str, Any], number: int) -> dict[str, Any]:
        """Measures the settings with some changes, and keeps the result under a name.

        Args:
            name: the name of the side.
            changes: settings that differ from the user's.
            number: the round, from 0.

        Raises:
            UserError: if the settings cannot be trained with even without changes.
        """
        settings = {**self.asked, **changes, "seed": self._seed + number}
        cell = measure(settings, tokens=self.tokens, warm=self._warm)
        refused = cell.get("refused")
        if refused and name in (AS_TAKEN, BESIDE):
            raise UserError(f"nothing to tune: {refused}")
        self._say(f"{name}: {refused or format(cell['tokens_per_second'], ',.0f') + ' tokens/s'}")
        self.raw.setdefault(name, []).append(cell)
        return cell

    def all_of(self, others: Sequence[Alternative], number: int) -> None:
        """Measures a round: the settings as taken, and each alternative that was never refused."""
        self.note(AS_TAKEN, {}, number)
        for one in others:
            if not any("refused" in cell for cell in self.raw.get(one.name, ())):
                self.note(one.name, {one.setting: one.value}, number)

    def together(self, faster: Sequence[Alternative], number: int) -> None:
        """Measures a round: the settings as taken, and all faster alternatives together."""
        self.note(BESIDE, {}, number)
        self.note(TOGETHER, {one.setting: one.value for one in faster}, number)


def _best(faster: list[Alternative], raw: Mapping[str, Any]) -> list[Alternative]:
    """What to advise: all faster alternatives together, or only the best one if they are no faster together.

    Gains need not add up, since two settings may save the same time.
    """
    best = max(faster, key=lambda one: median(raw[one.name], raw[AS_TAKEN]))
    joint = every_round(raw[TOGETHER], raw[BESIDE])
    if not joint or median(raw[TOGETHER], raw[BESIDE]) < median(raw[best.name], raw[AS_TAKEN]):
        return [best]
    return faster


def run(
    config: TrainConfig,
    *,
    device: str,
    quick: bool,
    repeats: int | None,
    out: Path,
    command: str,
    say: Callable[[str], None],
) -> None:
    """Measures, prints what to paste, and writes OUT.json and OUT.md after each round.

    Args:
        config: the user's settings, with None where a rule decides.
        device: "cpu" or "cuda".
        quick: takes one round of few steps, which shows that it works.
        repeats: the number of rounds; None takes 5.
        out: the path of OUT.json.
        command: the command line, for the record.
        say: called with a line for each measurement.

    Raises:
        UserError: if the settings cannot be trained with, or the data is too little to time.
    """
    warm, count = (1, 1) if quick else (WARM_STEPS, repeats or 5)
    rounds = _Rounds(_asked(config, device), seed=config.seed, warm=warm, say=say)
    # a first measurement shows what the rules take, and how many tokens a measurement needs; it is dropped
    pilot = rounds.note(AS_TAKEN, {}, 0)
    rounds.raw[AS_TAKEN].clear()
    rounds.asked = _asked(replace(config, {"model.init_from": pilot["start"]}), device)
    taken, others = pilot["taken"], alternatives(pilot["taken"], device)
    say(f"taken: {' '.join(option(name, value) for name, value in taken.items())}")
    if not quick:
        rounds.tokens = round(max(4 * pilot["in_steps"], TIMED_STEPS * pilot["tokens_per_step"]))
        seconds = pilot["wall_seconds"] + rounds.tokens / pilot["in_steps"]
        say(f"about {count * (1 + len(others)) * seconds / 60:.0f} minutes, more where something is slow")
    record = Record(out, command, device, taken, others, rounds.raw)
    for number in range(count):
        rounds.all_of(others, number)
        record.write()
    if quick or count < LEAST_ROUNDS:
        say(f"of fewer than {LEAST_ROUNDS} rounds nothing is advised")
        return
    faster = fastest(others, rounds.raw)
    if len(faster) > 1:
        for number in range(count):
            rounds.together(faster, number)
            record.write()
        faster = _best(faster, rounds.raw)
    record.faster = faster
    record.write()
    for line in advice(faster, rounds.raw):
        say(line)


def _asked(config: TrainConfig, device: str) -> dict[str, Any]:
    """The settings that the user gave, with the device, reduced by `steps_alone`."""
    unset = to_flat(TrainConfig())
    asked = {name: value for name, value in to_flat(config).items() if value != unset[name]}
    return asked | {"runtime.device": device} | steps_alone(config)
