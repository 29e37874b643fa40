"""Which settings that change speed and memory only are the fastest here, for one's own texts and settings?

Each alternative to what is taken is measured against it, one setting at a time, whole training steps in fresh
processes, in turn, each round with batches of another seed. What a setting costs before the first step, as
compiling does, counts as it would in the whole run. What is faster in every round is measured once more, all
together, and printed to paste. What changes the size of a batch stands in the table only, since it learns
something else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from custom_bert import machine
from custom_bert.bench.measure import (
    ChildError,
    in_child,
    limit_memory,
    markdown,
    ratio_row,
    shown,
    spread,
    write_record,
)
from custom_bert.bench.speed import PROGRAM
from custom_bert.bench.steps import Timed, time_steps
from custom_bert.config import TrainConfig, to_flat
from custom_bert.config_sources import from_mapping
from custom_bert.errors import UserError, first_line
from custom_bert.tasks.registry import TASKS
from custom_bert.training.compile import compiler_fault
from custom_bert.training.prepare import prepare

QUESTION = "Which settings are the fastest here, for these texts and settings"
LEAST = 1.03
"""Times as fast, in every round, that an alternative has to be to be worth a line in a configuration."""
LEAST_ROUNDS = 3
"""From which anything is advised."""
WARM_STEPS, TIMED_STEPS = 4, 10
AS_TAKEN, BESIDE, TOGETHER = "as taken", "as taken, beside them", "all that are faster"

Cells = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Alternative:
    """One setting with another value than the one that is taken.

    Attributes:
        setting: dotted name.
        value: to measure.
        learns_alike: whether as many texts make a step.
    """

    setting: str
    value: Any
    learns_alike: bool = True

    @property
    def name(self) -> str:
        """As an option of the command line."""
        return option(self.setting, self.value)


def option(setting: str, value: Any) -> str:
    """`--runtime.compile True`."""
    return f"--{setting} {value}"


def alternatives(taken: Mapping[str, Any], device: str) -> list[Alternative]:
    """What could be faster than the settings that are taken, one at a time.

    Args:
        taken: every setting that is looked at, with the value that it has.
        device: "cpu" or "cuda".
    """
    on_gpu, budget, plan = device == "cuda", taken["batch.token_budget"], taken["batch.plan"]
    flash = ("varlen",) if plan == "packed" else ()
    half = ("bf16",) if on_gpu or machine.has_cpu_bf16() else ()
    threads = taken["runtime.threads"]
    values: dict[str, Sequence[Any]] = {
        "runtime.attention": ("dense", "grouped", *flash) if on_gpu else ("matmul", "dense", "grouped"),
        "runtime.precision": (*half, "fp16") if on_gpu else (*half, "fp32"),
        "runtime.compile": (True, False),
        "runtime.threads": () if on_gpu or threads < 2 else (threads // 2,),
        "batch.plan": ("uniform_length", "packed"),
        "batch.token_budget": () if plan == "padded" else (budget // 2, 2 * budget),
    }
    resizes = {"batch.token_budget", *(("batch.plan",) if plan == "padded" else ())}
    return [
        Alternative(name, value, learns_alike=name not in resizes)
        for name, some in values.items()
        for value in some
        if value != taken[name]
    ]


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


def run(
    config: TrainConfig,
    *,
    device: str,
    quick: bool,
    repeats: int | None,
    out: Path,
    command: str,
    tell: Callable[[str], None],
) -> None:
    """Measures, prints what to paste, and writes OUT.json and OUT.md; complete after each round.

    Args:
        config: the user's settings, with None where a rule decides.
        device: "cpu" or "cuda".
        quick: one round of few steps: shows that it works.
        repeats: rounds; None for 5.
        out: the record's path.
        command: for the record.
        tell: called with a line for each measurement.

    Raises:
        UserError: if the settings cannot be trained with, or the data is too little to time.
    """
    unset = to_flat(TrainConfig())
    asked = {name: value for name, value in to_flat(config).items() if value != unset[name]}
    asked |= {"runtime.device": device} | steps_alone(config)
    warm, rounds = (1, 1) if quick else (WARM_STEPS, repeats or 5)
    tokens = 1
    raw: dict[str, list[dict[str, Any]]] = {AS_TAKEN: []}

    def note(name: str, changes: Mapping[str, Any], seed: int) -> dict[str, Any]:
        found = measure({**asked, **changes, "seed": config.seed + seed}, tokens=tokens, warm=warm)
        refused = found.get("refused")
        if refused and name in (AS_TAKEN, BESIDE):
            raise UserError(f"nothing to tune: {refused}")
        tell(f"{name}: {refused or format(found['tokens_per_second'], ',.0f') + ' tokens/s'}")
        raw.setdefault(name, []).append(found)
        return found

    pilot = note(AS_TAKEN, {}, 0)
    raw[AS_TAKEN].clear()
    taken, others = pilot["taken"], alternatives(pilot["taken"], device)
    tell(f"taken: {' '.join(option(name, value) for name, value in taken.items())}")
    if not quick:
        tokens = round(max(4 * pilot["in_steps"], TIMED_STEPS * pilot["tokens_per_step"]))
        seconds = pilot["wall_seconds"] + tokens / pilot["in_steps"]
        tell(f"about {rounds * (1 + len(others)) * seconds / 60:.0f} minutes, more where something is slow")

    def save(faster: Sequence[Alternative]) -> None:
        _write(out, raw, others, faster, taken, device, command)

    for seed in range(rounds):
        note(AS_TAKEN, {}, seed)
        for one in others:
            if not any("refused" in cell for cell in raw.get(one.name, ())):
                note(one.name, {one.setting: one.value}, seed)
        save([])
    if quick or rounds < LEAST_ROUNDS:
        tell(f"of fewer than {LEAST_ROUNDS} rounds nothing is advised")
        return
    faster = fastest(others, raw)
    if len(faster) > 1:  # gains need not add up
        for seed in range(rounds):
            note(BESIDE, {}, seed)
            note(TOGETHER, {one.setting: one.value for one in faster}, seed)
            save([])
        best = max(faster, key=lambda one: median(raw[one.name], raw[AS_TAKEN]))
        joint = every_round(raw[TOGETHER], raw[BESIDE])
        if not joint or median(raw[TOGETHER], raw[BESIDE]) < median(raw[best.name], raw[AS_TAKEN]):
            faster = [best]
    save(faster)
    for line in advice(faster, raw):
        tell(line)


def ratios(cells: Cells, base: Cells, what: str = "tokens_per_second") -> list[float]:
    """Round by round, of those that were measured."""
    return [a[what] / b[what] for a, b in zip(cells, base, strict=False) if "refused" not in a]


def median(cells: Cells, base: Cells) -> float:
    """Times as fast."""
    return spread(ratios(cells, base))["median"]


def every_round(cells: Cells, base: Cells) -> bool:
    """Whether a side was measured, and faster, in every round."""
    found = ratios(cells, base)
    return len(found) == len(base) and min(found) >= LEAST


def fastest(others: Sequence[Alternative], raw: Mapping[str, Cells]) -> list[Alternative]:
    """Of each setting the value that is fastest, if it is faster than what is taken in every round."""
    best: dict[str, Alternative] = {}
    base = raw[AS_TAKEN]
    for one in others:
        if not one.learns_alike or not every_round(raw[one.name], base):
            continue
        other = best.get(one.setting)
        if other is None or median(raw[one.name], base) > median(raw[other.name], base):
            best[one.setting] = one
    return list(best.values())


def advice(faster: Sequence[Alternative], raw: Mapping[str, Cells]) -> list[str]:
    """What to tell, and to paste."""
    if not faster:
        return [f"nothing is {LEAST - 1:.0%} faster in every round: what is taken stays"]
    own, base = (TOGETHER, BESIDE) if len(faster) > 1 else (faster[0].name, AS_TAKEN)
    found = ratios(raw[own], raw[base])
    lines = [
        f"{shown(found)} times as fast as what is taken, in {len(found)} rounds; to paste:",
        f"  command line: {' '.join(one.name for one in faster)}",
    ]
    groups: dict[str, list[str]] = {}
    for one in faster:
        group, _, name = one.setting.partition(".")
        groups.setdefault(group, []).append(f'"{name}": {_literal(one.value)},')
    lines += [f'  config.py, in "{group}": {" ".join(some)}' for group, some in groups.items()]
    return [*lines, "  instead of lines of the same names, where there are any"]


def _literal(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _write(
    out: Path,
    raw: Mapping[str, list[dict[str, Any]]],
    others: Sequence[Alternative],
    faster: Sequence[Alternative],
    taken: Mapping[str, Any],
    device: str,
    command: str,
) -> None:
    learns = {one.name: "yes" if one.learns_alike else "no, batches of another size" for one in others}
    rows, results = [], []
    for name, cells in raw.items():
        if name in (AS_TAKEN, BESIDE):
            continue
        base, alike = raw[BESIDE if name == TOGETHER else AS_TAKEN], learns.get(name, "yes")
        refused = next((cell["refused"] for cell in cells if "refused" in cell), None)
        if refused:
            rows.append([name, refused, "", alike])
            continue
        speed, memory = ratios(cells, base), ratios(cells, base, "peak_mb")
        rows.append([name, shown(speed), shown(memory), alike])
        results.append({**ratio_row(f"tune: {name}", speed), "memory": spread(memory)})
    write_record(
        out,
        question=QUESTION,
        command=command,
        device=device,
        table=[
            f"Taken: `{' '.join(option(name, value) for name, value in taken.items())}`. Tokens of texts a "
            f"second of the whole run, what precedes its first step included, against what is taken; ratios "
            f"of runs in turn, median (smallest to largest).",
            "",
            *markdown(["instead", "speed", "memory of the process", "learns the same"], rows),
            *(["", *(f"    {line}" for line in advice(faster, raw))] if faster else []),
        ],
        taken=dict(taken),
        faster={one.setting: one.value for one in faster},
        results=results,
        raw=raw,
    )
