"""Which settings that change speed and memory only are the fastest here, for one's own texts and settings?

Each alternative to what the rules take is measured against it, one setting at a time, whole training steps
in fresh processes, in turn. What is faster in every round is measured once more, all together, and printed to
paste. Other token budgets stand in the table only, since a batch of another size learns something else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from custom_bert import machine
from custom_bert.bench.measure import ChildError, in_child, markdown, ratio_row, shown, spread, write_record
from custom_bert.bench.speed import PROGRAM
from custom_bert.bench.steps import time_steps
from custom_bert.config import TrainConfig, to_flat
from custom_bert.config_sources import from_mapping
from custom_bert.errors import UserError, first_line
from custom_bert.training.compile import compiler_fault
from custom_bert.training.prepare import prepare

QUESTION = "Which settings are the fastest here, for these texts and settings"
LEAST = 1.03
"""Times as fast, in every round, that an alternative has to be to be worth a line in a configuration."""
WARM_STEPS = 4
TOGETHER = "all that are faster"
NOT_TIMED = {"optim.pretrain_epochs": 0, "optim.embedding_init": "random"}
"""What comes before the steps of learning labels."""


@dataclass(frozen=True)
class Alternative:
    """One setting with another value than the one that is taken.

    Attributes:
        setting: dotted name.
        value: to measure.
        learns_alike: whether it changes speed and memory only.
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
        taken: every setting that is looked at, with the value that the rules took.
        device: "cpu" or "cuda".
    """
    on_gpu, budget = device == "cuda", taken["batch.token_budget"]
    flash = ("varlen",) if taken["batch.plan"] == "packed" else ()
    half = ("bf16",) if on_gpu or machine.has_cpu_bf16() else ()
    values: dict[str, Sequence[Any]] = {
        "runtime.attention": ("dense", "grouped", *flash) if on_gpu else ("matmul", "dense", "grouped"),
        "runtime.precision": (*half, "fp16") if on_gpu else (*half, "fp32"),
        "runtime.compile": (True, False),
        "runtime.threads": () if on_gpu or taken["runtime.threads"] < 2 else (taken["runtime.threads"] // 2,),
        "batch.plan": ("uniform_length", "packed"),
        "batch.token_budget": () if budget is None else (budget // 2, 2 * budget),
    }
    return [
        Alternative(name, value, learns_alike=name != "batch.token_budget")
        for name, some in values.items()
        for value in some
        if value != taken[name]
    ]


def time_settings(arguments: dict[str, Any]) -> dict[str, Any]:
    """The child's side: the product's own steps under some settings; `refused` says why not."""
    try:
        prepared = prepare(from_mapping(arguments["settings"]), lambda line: None)
        fault = compiler_fault(prepared.device) if prepared.config.runtime.compile else None
        if fault:
            return {"refused": f"torch.compile does not work here: {fault}"}
        timed = time_steps(prepared, tokens=arguments["tokens"], warm=arguments["warm"])
    except (UserError, ValueError) as error:
        return {"refused": first_line(error)}
    kernel = [choice.value for choice in prepared.choices if choice.name == "runtime.attention"]
    taken = to_flat(prepared.config)
    return {
        "tokens_per_second": timed.texts / timed.seconds,
        "steps": timed.steps,
        "parameters": timed.parameters,
        "cuda_peak_mb": round(torch.cuda.max_memory_allocated() / 2**20)
        if prepared.device.type == "cuda"
        else None,
        "taken": {
            name: taken[name]
            for name in (
                *("runtime.precision", "runtime.compile", "runtime.threads"),
                *("batch.plan", "batch.token_budget"),
            )
        }
        | {"runtime.attention": kernel[0] if kernel else taken["runtime.attention"]},
    }


def measure(settings: Mapping[str, Any], *, tokens: int, warm: int) -> dict[str, Any]:
    """In a fresh process: `tokens_per_second`, `peak_mb` and what was `taken`, or `refused` and why."""
    try:
        arguments = {"settings": dict(settings), "tokens": tokens, "warm": warm}
        found = in_child(PROGRAM, "tune", arguments, cwd=Path.cwd())  # the settings' places are from here
    except ChildError as error:  # it did not fit into memory, most likely
        return {"refused": str(error).splitlines()[-1][:200]}
    if found.get("cuda_peak_mb") is not None:
        found["peak_mb"] = found["cuda_peak_mb"]
    return found


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
    asked |= {"runtime.device": device} | (NOT_TIMED if config.objective == "classification" else {})
    warm = 1 if quick else WARM_STEPS
    pilot = measure(asked, tokens=1, warm=warm)
    if "refused" in pilot:
        raise UserError(f"nothing to tune: {pilot['refused']}")
    taken, rounds = pilot["taken"], 1 if quick else repeats or 5
    tell(f"taken: {' '.join(option(name, value) for name, value in taken.items())}")
    tokens = 1 if quick else round(4 * pilot["tokens_per_second"])
    others = alternatives(taken, device)
    raw: dict[str, list[dict[str, Any]]] = {"as taken": [], **{one.name: [] for one in others}}

    def note(name: str, changes: Mapping[str, Any]) -> None:
        found = measure({**asked, **changes}, tokens=tokens, warm=warm)
        raw[name].append(found)
        refused = found.get("refused")
        tell(f"{name}: {refused or format(found['tokens_per_second'], ',.0f') + ' tokens/s'}")

    def save(faster: Sequence[Alternative]) -> None:
        _write(out, raw, others, faster, taken, device, command)

    for _ in range(rounds):
        note("as taken", {})
        for one in others:
            if "refused" not in (raw[one.name] or [{}])[0]:
                note(one.name, {one.setting: one.value})
        save([])
    if quick:
        tell("--quick shows that it works; what is faster is found without it")
        return
    faster = fastest(others, raw)
    if len(faster) > 1:  # gains need not add up
        raw |= {TOGETHER: [], "as taken, beside them": []}
        for _ in range(rounds):
            note("as taken, beside them", {})
            note(TOGETHER, {one.setting: one.value for one in faster})
        base = raw["as taken, beside them"]
        single = max(faster, key=lambda one: spread(ratios(raw[one.name], raw["as taken"]))["median"])
        alone = spread(ratios(raw[single.name], raw["as taken"]))["median"]
        if spread(ratios(raw[TOGETHER], base) or [0.0])["median"] < alone:
            faster = [single]
    save(faster)
    for line in advice(faster, raw):
        tell(line)


def ratios(
    cells: Sequence[Mapping[str, Any]], base: Sequence[Mapping[str, Any]], what: str = "tokens_per_second"
) -> list[float]:
    """Round by round; none if either side was refused."""
    pairs = zip(cells, base, strict=False)
    return [a[what] / b[what] for a, b in pairs if "refused" not in a and "refused" not in b]


def fastest(
    others: Sequence[Alternative], raw: Mapping[str, Sequence[Mapping[str, Any]]]
) -> list[Alternative]:
    """Of each setting the value that is fastest, if it is faster than what is taken in every round."""
    best: dict[str, tuple[float, Alternative]] = {}
    for one in others:
        found = ratios(raw[one.name], raw["as taken"])
        if not one.learns_alike or not found or min(found) < LEAST:
            continue
        middle = spread(found)["median"]
        if one.setting not in best or middle > best[one.setting][0]:
            best[one.setting] = (middle, one)
    return [one for _, one in best.values()]


def advice(faster: Sequence[Alternative], raw: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """What to tell, and to paste."""
    if not faster:
        return [f"nothing is {LEAST - 1:.0%} faster in every round: what the rules take stays"]
    together = len(faster) > 1
    cells, base = (
        (raw[TOGETHER], raw["as taken, beside them"]) if together else (raw[faster[0].name], raw["as taken"])
    )
    pasted = ", ".join(f'"{one.setting}": {one.value!r}' for one in faster)
    return [
        f"{shown(ratios(cells, base))} times as fast as what the rules take, in {len(cells)} rounds:",
        f"  command line: {' '.join(one.name for one in faster)}",
        f"  config.py:    {pasted}",
    ]


def _write(
    out: Path,
    raw: Mapping[str, list[dict[str, Any]]],
    others: Sequence[Alternative],
    faster: Sequence[Alternative],
    taken: Mapping[str, Any],
    device: str,
    command: str,
) -> None:
    learns = {one.name: "yes" if one.learns_alike else "no, another batch" for one in others}
    rows, results = [], []
    for name, cells in raw.items():
        if name.startswith("as taken"):
            continue
        base = raw["as taken, beside them" if name == TOGETHER else "as taken"]
        speed, memory = ratios(cells, base), ratios(cells, base, "peak_mb")
        if not speed:
            refused = cells[0]["refused"] if cells else "not measured yet"
            rows.append([name, refused, "", learns.get(name, "yes")])
            continue
        rows.append([name, shown(speed), shown(memory), learns.get(name, "yes")])
        results.append({**ratio_row(f"tune: {name}", speed), "memory": spread(memory)})
    head = ["instead of what is taken", "speed", "memory of the process", "learns the same"]
    write_record(
        out,
        question=QUESTION,
        command=command,
        device=device,
        table=[
            f"Taken by the rules: `{' '.join(option(name, value) for name, value in taken.items())}`. "
            f"Ratios of runs in turn, median (smallest to largest).",
            "",
            *markdown(head, rows),
            *(["", *advice(faster, raw)] if faster else []),
        ],
        taken=dict(taken),
        faster={one.setting: one.value for one in faster},
        results=results,
        raw=raw,
    )
