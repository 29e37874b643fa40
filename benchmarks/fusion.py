"""How much faster are training steps on a CPU with fused kernels?

    python benchmarks/fusion.py

A model takes some steps with the kernels and as many without, in turn and on the same batches, so that a
ratio is of neighbours in time. `alone` is the preset legacy (fp32, texts padded to 256 tokens), `in custom`
the preset custom as it trains by default, both on texts of AG News's lengths. The other rows have MiniLM's
form, 384 wide with 6 layers and 12 heads, in bf16, on texts of about one length. All have a hidden dropout of
0.1, unless the row says otherwise. Memory is the peak of a process that takes a few steps.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

from common import begin, options_of

from custom_bert.bench.measure import in_child, markdown, ratio_row, shown, write_record

QUESTION = "Training steps on a CPU with fused kernels and without"
SIDES = ("without", "with")
STEPS = 4


def row(name: str, width: int, layers: int, **how: Any) -> dict[str, Any]:
    """What a row of the table measures."""
    return {"name": name, "width": width, "layers": layers, "dropout": 0.1, "heads": None, **how}


ROWS = [
    row("K1-d256 alone", 256, 4, recipe="legacy", steps=1),
    row("K1-d384 alone", 384, 6, recipe="legacy", steps=1),
    row("K1-d256 in custom", 256, 4, recipe="custom"),
    row("K1-d256 in custom, no dropout", 256, 4, recipe="custom", dropout=0.0),
    row("K1-d384 in custom", 384, 6, recipe="custom"),
    row("K1-d384 MiniLM, 32 texts of 14 tokens", 384, 6, texts=32, tokens=14, heads=12),
    row("K1-d384 MiniLM, 32 texts of 54 tokens", 384, 6, texts=32, tokens=54, heads=12),
    row("K1-d384 MiniLM, 32 texts of 230 tokens", 384, 6, texts=32, tokens=230, heads=12, steps=1),
]


def batches_of(row: dict[str, Any]) -> tuple[Any, list[Any]]:
    """Returns a recipe and the batches of its steps, the same at each call."""
    from dataclasses import replace
    from itertools import islice

    import numpy as np
    import torch

    from custom_bert.bench.speed import VOCABULARY, batches, defaults_here, texts_of
    from custom_bert.bench.switches import LEGACY
    from custom_bert.bench.workloads import AG_NEWS, SyntheticTexts

    steps = row.get("steps", STEPS)
    if "recipe" in row:
        custom = defaults_here(torch.device("cpu"), AG_NEWS.max_length)
        recipe = LEGACY if row["recipe"] == "legacy" else custom
        some = batches(recipe, texts_of(AG_NEWS), AG_NEWS, pin_memory=False)
        return recipe, list(islice(some, steps))
    recipe = replace(defaults_here(torch.device("cpu"), 256), norm="post")
    draw = np.random.Generator(np.random.PCG64(0))
    near = draw.integers(round(0.97 * row["tokens"]), round(1.03 * row["tokens"]) + 1, (steps, row["texts"]))
    found = []
    for lengths in -np.sort(-near, axis=1):
        builder = SyntheticTexts(lengths, VOCABULARY).builder()
        found.append(builder.build(np.arange(len(lengths)), "uniform_length", 256))
    return recipe, found


def trainer(row: dict[str, Any]) -> Any:
    """Returns a function that takes all steps once, with the kernels or without."""
    import torch

    from custom_bert import terminal
    from custom_bert.bench.speed import build_model
    from custom_bert.config import ModelConfig
    from custom_bert.precision import MixedPrecision
    from custom_bert.tasks.classification import CrossEntropy
    from custom_bert.threads import thread_count
    from custom_bert.training.compile import cpu_kernels, kernel_cache
    from custom_bert.training.optim import make_optimizer
    from custom_bert.training.step import train_step

    torch.set_num_threads(thread_count())
    torch.manual_seed(0)
    recipe, batches = batches_of(row)
    wishes = ModelConfig(
        hidden_size=row["width"],
        num_hidden_layers=row["layers"],
        num_attention_heads=row["heads"],
        hidden_dropout=row["dropout"],
    )
    model = build_model(recipe, 256, wishes).train()
    if recipe.plan != "padded":
        model.encoder.set_kernel(None)  # as the rule chooses
    optimizer = make_optimizer(model, lr=1e-5, weight_decay=0.01)
    precision = MixedPrecision(recipe.precision, torch.device("cpu"))
    kernels = cpu_kernels(kernel_cache(terminal.complain))

    def train(side: str) -> float:
        model.encoder.kernels = kernels if side == "with" else None
        begun = time.perf_counter()
        for batch in batches:
            train_step(model, optimizer, [batch], CrossEntropy(), precision=precision, clip_norm=1.0)
        return (time.perf_counter() - begun) / len(batches)

    return train


def pairs(arguments: dict[str, Any]) -> dict[str, Any]:
    """Times both sides in turn."""
    train = trainer(arguments["row"])
    for side in (*SIDES, *SIDES):
        train(side)
    turns = [SIDES[:: 1 if number % 2 else -1] for number in range(arguments["repeats"])]
    return {"pairs": [{side: train(side) for side in turn} for turn in turns]}


def memory(arguments: dict[str, Any]) -> dict[str, Any]:
    """Takes a few steps with one side; the caller notes the peak of the process."""
    train = trainer(arguments["row"])
    for _ in range(2):
        train(arguments["side"])
    return {}


def main() -> None:
    """Measures row by row, and writes the record after each."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--repeats", type=int, default=12, help="pairs of each row")
    options = parser.parse_args()
    results, rows, raw = [], [], {}
    for one in ROWS:
        timed = in_child([__file__], "pairs", {"row": one, "repeats": options.repeats})["pairs"]
        peaks = {
            side: in_child([__file__], "memory", {"row": one, "side": side})["peak_mb"] for side in SIDES
        }
        ratios = [pair["without"] / pair["with"] for pair in timed]
        name = one["name"]
        raw[name] = {"pairs": timed, "peak_mb": peaks}
        results.append({**ratio_row(name, ratios), "memory_ratio": peaks["with"] / peaks["without"]})
        middle = 1000 * statistics.median(pair["without"] for pair in timed)
        spent = f"{peaks['with']:,} MB instead of {peaks['without']:,}"
        rows.append([name, shown(ratios), f"{middle:,.0f}", spent, len(ratios)])
        print(*rows[-1], sep="; ", flush=True)
        head = ["steps", "times as fast", "ms without (this run)", "peak memory", "pairs"]
        write_record(
            Path(options.out), question=QUESTION, table=markdown(head, rows), results=results, raw=raw
        )


if __name__ == "__main__":
    begin(main, {"pairs": pairs, "memory": memory})
