"""How time and memory of a training step grow with the texts' length, the encoder's size and the threads.

It also measures what planning an epoch costs as the number of examples grows, and what attention costs by
itself, over all tokens and inside a local window.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from custom_bert import files, machine
from custom_bert.batch import Batch
from custom_bert.bench.measure import in_child, markdown, shown, spread, write_record
from custom_bert.bench.resident import peak_mb
from custom_bert.bench.speed import PROGRAM, defaults_here, measure
from custom_bert.bench.switches import LEGACY
from custom_bert.bench.workloads import AG_NEWS, LENGTHS
from custom_bert.config import Size
from custom_bert.ops.attention import attention
from custom_bert.precision import DTYPES, choose_precision
from custom_bert.presets import ARCHITECTURE
from custom_bert.reports.charts import Axis, Curve
from custom_bert.reports.pictures import panels
from custom_bert.threads import thread_count

QUESTION = "How time and memory grow with length, size, threads and number of examples"
SIZES: tuple[Size, ...] = ("tiny", "mini", "small", "medium")
EXAMPLES = (1_000, 10_000, 100_000, 1_000_000)
"""Numbers of texts for which an epoch is planned."""

HEADS = {
    "examples": ("s to plan an epoch", "MB of the process"),
    "attention": ("µs of a layer's attention per token, there and back", "MB that it adds"),
}
"""The headings of the two columns of figures, for the tables that are not about training steps."""

ROWS = 8192
"""The number of tokens on which attention by itself is measured."""


def plan_an_epoch(arguments: dict[str, Any]) -> dict[str, Any]:
    """Times the plan of an epoch of texts of AG News's lengths, in a measuring process."""
    from custom_bert.data.batching import plan_batches

    lengths = AG_NEWS.lengths(arguments["examples"])
    begun = time.perf_counter()
    plan = plan_batches(lengths, "uniform_length", token_budget=8192, batch_size=None, seed=0, epoch=0)
    return {"seconds": time.perf_counter() - begun, "batches": len(plan)}


def attend(arguments: dict[str, Any]) -> dict[str, Any]:
    """Times a layer's attention, forward and backward, on texts of equal length, in a measuring process.

    There are 4 heads of 64. The kernel and the type are those of the defaults.

    Returns:
        `tokens_per_second` of the fastest pass, and `step_mb`, the MiB by which the passes raise the peak
        memory of the process (on CUDA: of its tensors).
    """
    length, window, device = arguments["length"], arguments["window"], torch.device(arguments["device"])
    torch.set_num_threads(thread_count())
    dtype = DTYPES[choose_precision(None, device)[0]]
    layout = Batch.build([np.ones(length, dtype=np.int64)] * max(1, ROWS // length)).to(device).layout
    torch.manual_seed(0)
    qkv_T3HK = torch.randn(layout.num_rows, 3, 4, 64, dtype=dtype, device=device).requires_grad_()
    grad_THK = torch.randn(layout.num_rows, 4, 64, dtype=dtype, device=device)
    on_gpu = device.type == "cuda"
    before = torch.cuda.memory_allocated() / 2**20 if on_gpu else peak_mb()
    fastest = float("inf")  # other work on the machine only makes a pass slower
    for _ in range(arguments["passes"]):
        begun = time.perf_counter()
        attention(qkv_T3HK, layout, window=window).backward(grad_THK)  # type: ignore[no-untyped-call]
        qkv_T3HK.grad = None
        machine.wait_for(device)
        fastest = min(fastest, time.perf_counter() - begun)
    peak = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else peak_mb()
    return {"tokens_per_second": layout.num_rows / fastest, "step_mb": round(peak - before)}


def run(
    *, device: str, quick: bool, repeats: int | None, out: Path, command: str, say: Callable[[str], None]
) -> None:
    """Measures everything, and writes OUT.json, OUT.md and OUT.svg after each repeat.

    Args:
        device: "cpu" or "cuda".
        quick: measures the smallest value of each axis once, which shows that it works.
        repeats: how often everything is measured, in turn; None takes 3.
        out: the path of OUT.json.
        command: the command line, for the record.
        say: called with a line for each measurement.
    """
    custom = defaults_here(torch.device(device), AG_NEWS.max_length)
    lengths = LENGTHS[:1] if quick else LENGTHS
    sizes = SIZES[:1] if quick else SIZES
    threads = sorted({1, thread_count()}) if device == "cpu" else []
    axes = ("length", "size", "threads", "examples", "attention")
    cells: dict[str, dict[str, list[Any]]] = {axis: {} for axis in axes}
    reach = ARCHITECTURE["modern"]["local_attention"] // 2

    def note(axis: str, key: str, cell: dict[str, Any] | None) -> None:
        cells[axis].setdefault(key, []).append(cell)
        say(f"{axis}, {key}: {_in_words(cell)}")

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
        for workload in lengths:
            for name, window in {"all tokens": -1, f"a window of {reach} to each side": reach}.items():
                wanted = {"length": workload.max_length, "window": window, "device": device}
                answer = in_child(PROGRAM, "attend", {**wanted, "passes": 2 if quick else 12})
                note("attention", f"{name}, {workload.max_length}", answer)
        _write(out, cells, device, command)


def _in_words(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return "does not fit into memory"
    if "tokens_per_second" in cell:
        return f"{cell['tokens_per_second']:,.0f} tokens/s, {cell['step_mb']:,} MB"
    return f"{cell['seconds']:.3f} s, {cell['peak_mb']:,} MB"


def _write(out: Path, measured: dict[str, dict[str, list[Any]]], device: str, command: str) -> None:
    table: list[str] = []
    for axis, by_key in measured.items():
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
        what, memory = HEADS.get(axis, ("µs of a step per real token", "MB of a step"))
        table += [f"## By {axis}", "", *markdown([axis, what, memory], rows), ""]
    write_record(
        out,
        question=QUESTION,
        command=command,
        device=device,
        table=table,
        raw=measured,
    )
    files.write_text(out.with_suffix(".svg"), picture(measured["length"]))


def picture(by_key: dict[str, list[Any]]) -> str:
    """Draws two panels against the texts' length: time for a token, and memory of a step. All axes are
    logarithmic.

    Returns:
        The SVG.
    """
    titles: dict[str, Callable[[dict[str, Any]], float]] = {
        "µs of a training step per token": lambda cell: 1e6 / cell["tokens_per_second"],
        "MB of a training step": lambda cell: float(cell["step_mb"]),
    }
    shown = {}
    for title, value in titles.items():
        points: dict[str, list[tuple[float, float]]] = {}
        for key, cells in by_key.items():
            name, length = key.split(", ")
            if None not in cells:
                middle = spread([value(cell) for cell in cells])["median"]
                points.setdefault(name, []).append((float(length), max(middle, 1e-3)))
        shown[title] = [Curve(name, some) for name, some in points.items()]
    title = "Time and memory against the length of texts, 8,192 tokens a step"
    return panels(title, shown, Axis("tokens of a text", base=2), Axis(base=10))
