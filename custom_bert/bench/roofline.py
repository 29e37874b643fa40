"""What share of this machine's own rate of matrix products does a whole training step reach?

The limit is measured beside each step. It is the rate of a layer's products at the step's number of rows and
in its precision: forward, for the gradient of the inputs and for that of the weights, the best of five tries
each. The operations of the step are counted by the textbook's formula, for real tokens only. All other work
is overhead: padding, the optimizer, norms, dropout.

Shapes: T rows, D hidden, F MLP width, L layers, S tokens of a text.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from custom_bert import machine
from custom_bert.bench.measure import in_child, markdown, shown, spread, write_record
from custom_bert.bench.speed import DROPOUT, PROGRAM, batches, build_model, defaults_here, texts_of
from custom_bert.bench.switches import Switches
from custom_bert.bench.workloads import AG_NEWS
from custom_bert.config import ModelConfig
from custom_bert.precision import DTYPES, MixedPrecision
from custom_bert.tasks.classification import CrossEntropy
from custom_bert.threads import thread_count
from custom_bert.training.optim import make_optimizer
from custom_bert.training.step import train_step

QUESTION = "Share of the machine's matrix products that a whole training step reaches"
SHAPES = ((256, 4), (384, 6), (768, 12))
"""(hidden_size, num_hidden_layers) of the encoders that are measured."""

TEXTS = replace(AG_NEWS, examples=40)
"""About 2,100 tokens a step, as many as the defaults take for a set of AG News's size."""


def training_flops(lengths: Sequence[int], width: int, layers: int) -> int:
    """The operations of a training step on texts of these lengths: forward, and twice as many backward.

    3 L (8 D^2 + 4 D F + 4 S D) for each token, with F = 4 D. A multiplication and an addition are two.
    """
    each = 8 * width**2 + 16 * width**2
    return 3 * layers * sum(s * each + 4 * s * s * width for s in lengths)


def gemm_rate(rows: int, width: int, dtype: torch.dtype, device: torch.device, *, tries: int = 5) -> float:
    """FLOP/s of a layer's matrix products, each taken at the best of some tries."""
    flops = seconds = 0.0
    for inner, outer in ((width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)):
        x = torch.randn(rows, inner, dtype=dtype, device=device)
        weight = torch.randn(outer, inner, dtype=dtype, device=device)
        grad = torch.randn(rows, outer, dtype=dtype, device=device)
        for left, right in ((x, weight.T), (grad, weight), (grad.T, x)):
            times = []
            for _ in range(tries):
                machine.wait_for(device)
                begun = time.perf_counter()
                left @ right
                machine.wait_for(device)
                times.append(time.perf_counter() - begun)
            flops, seconds = flops + 2 * rows * inner * outer, seconds + min(times)
    return flops / seconds


def reach(arguments: dict[str, Any]) -> dict[str, Any]:
    """Times training steps and bare products in turn, in a measuring process."""
    device, switches = torch.device(arguments["device"]), Switches(**arguments["switches"])
    width, layers = arguments["shape"]
    torch.set_num_threads(thread_count())
    torch.manual_seed(0)
    wishes = ModelConfig(hidden_size=width, num_hidden_layers=layers, hidden_dropout=DROPOUT)
    model = build_model(switches, TEXTS.max_length, wishes).to(device).train()
    optimizer = make_optimizer(model, lr=1e-4, weight_decay=0.01)
    precision = MixedPrecision(switches.precision, device)
    texts, rates, limits = texts_of(TEXTS), [], []
    for count, batch in enumerate(batches(switches, texts, TEXTS, pin_memory=device.type == "cuda")):
        limits.append(gemm_rate(batch.num_rows, width, DTYPES[switches.precision], device))
        machine.wait_for(device)
        begun = time.perf_counter()
        train_step(model, optimizer, [batch.to(device)], CrossEntropy(), precision=precision, clip_norm=1.0)
        machine.wait_for(device)
        lengths = texts.lengths_N[batch.indices].tolist()
        rates.append(training_flops(lengths, width, layers) / (time.perf_counter() - begun))
        if count == arguments["steps"]:
            break
    rates, limits = rates[1:], limits[1:]  # the first step pays for allocations
    return {
        "step_gflops": spread(rates)["median"] / 1e9,
        # the fastest measurement is nearest to the machine's limit: other work only makes it slower
        "gemm_gflops": max(limits) / 1e9,
        "share": spread(rates)["median"] / max(limits),
    }


def run(
    *, device: str, quick: bool, repeats: int | None, out: Path, command: str, say: Callable[[str], None]
) -> None:
    """Measures the sizes in turn, and writes OUT.json and OUT.md after each round.

    Args:
        device: "cpu" or "cuda".
        quick: measures only the smallest size, and only once.
        repeats: how often each size is measured; None takes 5.
        out: the path of OUT.json.
        command: the command line, for the record.
        say: called with a line for each measurement.
    """
    defaults = defaults_here(torch.device(device), AG_NEWS.max_length)
    switches = replace(defaults, skip_unread=False)  # the formula counts all rows
    raw: dict[str, list[dict[str, Any]]] = {}
    for _ in range(1 if quick else repeats or 5):
        for shape in SHAPES[:1] if quick else SHAPES:
            arguments = {"device": device, "switches": asdict(switches), "shape": shape}
            cell = in_child(PROGRAM, "reach", arguments | {"steps": 2 if quick else 6})
            raw.setdefault(f"d{shape[0]}", []).append(cell)
            reached = f"{cell['share']:.0%} of {cell['gemm_gflops']:,.0f} GFLOP/s"
            say(f"{shape[0]} wide, {shape[1]} layers: {reached}")
        _write(out, raw, switches, device, command)


def _write(
    out: Path, raw: dict[str, list[dict[str, Any]]], switches: Switches, device: str, command: str
) -> None:
    rows, results = [], []
    for (width, layers), (name, cells) in zip(SHAPES, raw.items(), strict=False):
        shares = spread([one["share"] for one in cells])
        rows.append(
            [
                f"{width} wide, {layers} layers",
                shown([100 * one["share"] for one in cells], 0),
                shown([one["step_gflops"] for one in cells], 0),
                shown([one["gemm_gflops"] for one in cells], 0),
            ]
        )
        ratio = {f"ratio_{key}": shares[key] for key in ("median", "min", "max")}
        results.append({"id": f"C3-{name}", **ratio, "repeats": len(cells)})
    what = f"{switches.precision}, {TEXTS.name}, {TEXTS.tokens:,} tokens a step, dropout {DROPOUT}."
    head = ["encoder", "share in %", "step, GFLOP/s", "bare products, GFLOP/s"]
    write_record(
        out,
        question=QUESTION,
        command=command,
        device=device,
        table=[what, "", *markdown(head, rows)],
        results=results,
        raw=raw,
    )
