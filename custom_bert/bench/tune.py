"""Which settings that change speed and memory only are the fastest here, for one's own texts and settings?

Each alternative to what is taken is measured against it, one setting at a time, whole training steps in fresh
processes, in turn, each round with batches of another seed. What a setting costs before the first step, as
compiling does, counts as it would in the whole run. What is faster in every round is measured once more, all
together, and printed to paste. What changes the size of a batch stands in the table only, since it learns
something else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from custom_bert import machine
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
from custom_bert.config import TrainConfig, to_flat
from custom_bert.config_sources import from_mapping
from custom_bert.errors import UserError, first_line
from custom_bert.tasks.registry import TASKS
from custom_bert.training.compile import compiler_fault
from custom_bert.training.prepare import prepare

LEAST_ROUNDS = 3
"""From which anything is advised."""
WARM_STEPS, TIMED_STEPS = 4, 10


def time_settings(arguments: dict[str, Any]) -> dict[str, Any]:
    """The child's side: the product's own steps under some settings; `refused` says why not."""
    try:
        draft, material = prepare(from_mapping(arguments["settings"]), lambda line: None)
        plan = draft.final()
        on_gpu = plan.device.type == "cuda"
        if not on_gpu:
            limit_memory()
        fault = compiler_fault(plan.device) if plan.config.runtime.compile else None
        if fault:
            return {"refused": f"torch.compile does not work here: {fault}"}
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
        "taken": {
            "runtime.attention": kernel[0] if kernel else taken["runtime.attention"],
            **{f"runtime.{name}": taken[f"runtime.{name}"] for name in looked_at},
            "batch.plan": taken["batch.plan"],
            "batch.token_budget": taken["batch.token_budget"],
        },
    }


def of_the_run(timed: Timed, max_minutes: float | None) -> float:
    """Tokens of texts a second of the whole run: what precedes the first step is spread over its passes, or
    over the time that ends it."""
    rate = timed.texts / timed.seconds
    seconds = timed.planned / rate
    if max_minutes is not None:
        seconds = min(seconds, max(1.0, 60 * max_minutes - timed.ready_seconds))
    return rate * seconds / (timed.ready_seconds + seconds)


def measure(settings: Mapping[str, Any], *, tokens: int, warm: int) -> dict[str, Any]:
    """In a fresh process: `tokens_per_second`, `peak_mb` and what was `taken`, or `refused` and why."""
    try:
        arguments = {"settings": dict(settings), "tokens": tokens, "warm": warm}
        found = in_child(PROGRAM, "tune", arguments, cwd=Path.cwd())  # the settings' places are from here
    except ChildError as error:
        return {"refused": error.reason}
    if found.get("cuda_peak_mb") is not None:
        found["peak_mb"] = found["cuda_peak_mb"]
    return found


def steps_alone(config: TrainConfig) -> dict[str, Any]:
    """Changes that leave of a run what is timed: full batches of the last phase."""
    if TASKS[config.task].predicts_tokens:
        return {}
    changes: dict[str, Any] = {"optim.pretrain_epochs": 0}
    if config.model.init_from is None:
        changes["optim.embedding_init"] = "random"
    return changes


class _Rounds:
    """Measurements so far, by name and round.

    Args:
        asked: the user's settings, less what is not timed.
        seed: of the first round.
        warm: steps before those that are timed.
        say: called with a line for each measurement.

    Attributes:
        raw: measurements by name, round by round.
        tokens: that a measurement takes, at least.
    """

    def __init__(
        self, asked: Mapping[str, Any], *, seed: int, warm: int, say: Callable[[str], None]
    ) -> None:
        self._asked, self._seed, self._warm, self._say = asked, seed, warm, say
        self.raw: dict[str, list[dict[str, Any]]] = {AS_TAKEN: []}
        self.tokens = 1

    def note(self, name: str, changes: Mapping[str, Any], number: int) -> dict[str, Any]:
        """Measures the settings with some changes, in a round, under a name.

        Raises:
            UserError: if the settings as they are taken cannot be trained with.
        """
        settings = {**self._asked, **changes, "seed": self._seed + number}
        found = measure(settings, tokens=self.tokens, warm=self._warm)
        refused = found.get("refused")
        if refused and name in (AS_TAKEN, BESIDE):
            raise UserError(f"nothing to tune: {refused}")
        self._say(f"{name}: {refused or format(found['tokens_per_second'], ',.0f') + ' tokens/s'}")
        self.raw.setdefault(name, []).append(found)
        return found

    def all_of(self, others: Sequence[Alternative], number: int) -> None:
        """A round of what is taken and of each alternative that was not refused."""
        self.note(AS_TAKEN, {}, number)
        for one in others:
            if not any("refused" in cell for cell in self.raw.get(one.name, ())):
                self.note(one.name, {one.setting: one.value}, number)

    def together(self, faster: Sequence[Alternative], number: int) -> None:
        """A round of what is taken and of all that are faster."""
        self.note(BESIDE, {}, number)
        self.note(TOGETHER, {one.setting: one.value for one in faster}, number)


def _best(faster: list[Alternative], raw: Mapping[str, Any]) -> list[Alternative]:
    """All that are faster if together they are faster than the best of them alone, else that one: gains need
    not add up."""
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
    """Measures, prints what to paste, and writes OUT.json and OUT.md; complete after each round.

    Args:
        config: the user's settings, with None where a rule decides.
        device: "cpu" or "cuda".
        quick: one round of few steps: shows that it works.
        repeats: rounds; None for 5.
        out: the record's path.
        command: for the record.
        say: called with a line for each measurement.

    Raises:
        UserError: if the settings cannot be trained with, or the data is too little to time.
    """
    warm, count = (1, 1) if quick else (WARM_STEPS, repeats or 5)
    rounds = _Rounds(_asked(config, device), seed=config.seed, warm=warm, say=say)
    pilot = rounds.note(AS_TAKEN, {}, 0)
    rounds.raw[AS_TAKEN].clear()
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
    """What the user set, for that device, less what is not timed."""
    unset = to_flat(TrainConfig())
    asked = {name: value for name, value in to_flat(config).items() if value != unset[name]}
    return asked | {"runtime.device": device} | steps_alone(config)
