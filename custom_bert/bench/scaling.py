"""How time and memory of a training step grow: with the texts' length, the encoder's size, the threads; and
what planning an epoch costs as the number of examples grows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from custom_bert import files, machine
from custom_bert.bench.measure import in_child, markdown, shown, spread, write_record
from custom_bert.bench.picture import Line, lines
from custom_bert.bench.speed import PROGRAM, defaults_here, measure
from custom_bert.bench.switches import LEGACY
from custom_bert.bench.workloads import AG_NEWS, LENGTHS
from custom_bert.config import Size

QUESTION = "How time and memory grow with length, size, threads and number of examples"
SIZES: tuple[Size, ...] = ("tiny", "mini", "small", "medium")
EXAMPLES = (1_000, 10_000, 100_000, 1_000_000)


def plan_an_epoch(arguments: dict[str, Any]) -> dict[str, Any]:
    """The child's side: seconds to plan an epoch of so many texts of AG News's lengths."""
    from custom_bert.data.batching import plan_batches

    lengths = AG_NEWS.lengths(arguments["examples"])
    begun = time.perf_counter()
    plan = plan_batches(lengths, "uniform_length", token_budget=8192, batch_size=None, seed=0, epoch=0)
    return {"seconds": time.perf_counter() - begun, "batches": len(plan)}


def run(*, device: str, quick: bool, repeats: int | None, out: Path, tell: Callable[[str], None]) -> None:
    """Measures everything and writes OUT.json, OUT.md and OUT.svg; complete after each repeat.

    Args:
        device: "cpu" or "cuda".
        quick: one repeat of the shortest: shows that it works.
        repeats: of each measurement, in turn; None for 3.
        out: the record's path.
        tell: called with a line for each measurement.
    """
    custom = defaults_here(torch.device(device), AG_NEWS.max_length)
    lengths = LENGTHS[:1] if quick else LENGTHS
    sizes = SIZES[:1] if quick else SIZES
    threads = sorted({1, machine.cores()}) if device == "cpu" else []
    found: dict[str, dict[str, list[Any]]] = {"length": {}, "size": {}, "threads": {}, "examples": {}}

    def note(axis: str, key: str, cell: dict[str, Any] | None) -> None:
        found[axis].setdefault(key, []).append(cell)
        tell(f"{axis}, {key}: {_said(cell)}")

    for _ in range(1 if quick else repeats or 3):
        common: dict[str, Any] = {
            "device": device,
            "warm_steps": 1 if quick else 2,
            "seconds": 0 if quick else 3,
        }
        for workload in lengths:
            ours = defaults_here(torch.device(device), workload.max_length)
            for name, switches in {"custom": ours, "legacy": LEGACY}.items():
                cell = measure(switches, workload, size="tiny" if quick else "mini", **common)
                note("length", f"{name}, {workload.max_length}", cell)
        for size in sizes:
            note("size", size, measure(custom, AG_NEWS, size=size, **common))
        for count in threads:
            note("threads", str(count), measure(custom, AG_NEWS, size="mini", threads=count, **common))
        for examples in EXAMPLES[:1] if quick else EXAMPLES:
            answer = in_child(PROGRAM, "plan", {"examples": examples})
            note("examples", f"{examples:,}", answer)
        _write(out, found, device, quick)


def _said(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return "does not fit into memory"
    if "tokens_per_second" in cell:
        return f"{cell['tokens_per_second']:,.0f} tokens/s, {cell['step_mb']:,} MB"
    return f"{cell['seconds']:.3f} s, {cell['peak_mb']:,} MB"


def _write(out: Path, found: dict[str, dict[str, list[Any]]], device: str, quick: bool) -> None:
    table: list[str] = []
    for axis, by_key in found.items():
        rows = []
        for key, cells in by_key.items():
            if None in cells:
                rows.append([key, "does not fit into memory", ""])
            elif axis == "examples":
                rows.append(
                    [key, shown([c["seconds"] for c in cells], 3), shown([c["peak_mb"] for c in cells], 0)]
                )
            else:
                microseconds = [1e6 / c["tokens_per_second"] for c in cells]
                rows.append([key, shown(microseconds, 1), shown([c["step_mb"] for c in cells], 0)])
        what = "s to plan an epoch" if axis == "examples" else "µs of a step per real token"
        memory = "MB of the process" if axis == "examples" else "MB of a step"
        table += [f"## By {axis}", "", *markdown([axis, what, memory], rows), ""]
    words = ["custom-bert bench scaling --device", device, *(["--quick"] if quick else []), "--out", out.name]
    write_record(
        out,
        question=QUESTION,
        command=" ".join(words),
        table=table,
        raw=found,
    )
    files.write_text(out.with_suffix(".svg"), picture(found["length"]))


def picture(by_key: dict[str, list[Any]]) -> str:
    """Two panels against the texts' length: time for a token and memory of a step, both axes by powers."""
    panels: dict[str, list[Line]] = {}
    for title, value in (
        ("µs of a training step per token", lambda c: 1e6 / c["tokens_per_second"]),
        ("MB of a training step", lambda c: float(c["step_mb"])),
    ):
        curves: dict[str, list[tuple[float, float]]] = {}
        for key, cells in by_key.items():
            name, length = key.split(", ")
            if None not in cells:
                middle = spread([value(c) for c in cells])["median"]
                curves.setdefault(name, []).append((float(length), max(middle, 1e-3)))
        panels[title] = [Line(name, tuple(points)) for name, points in curves.items()]
    return lines(
        "Time and memory against the length of texts, 8,192 tokens a step", panels, "tokens of a text"
    )
