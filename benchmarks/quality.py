"""Do faster batches and mixed precision keep the accuracy?

    python benchmarks/quality.py --data FOLDER

FOLDER holds the four files of one set. Uniform-length batches are compared with random ones (`packed`: texts
in random order, as many tokens a step), and bf16 with fp32, over several seeds with the sides in turn. Models
are trained from scratch without pretraining, otherwise with the defaults. Each switch should move the mean
accuracy by at most half a point.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch
from common import begin, metrics_of, options_of

from custom_bert.bench.measure import (
    in_child,
    markdown,
    shown,
    spread,
    write_record,
)
from custom_bert.precision import choose_precision

QUESTION = "Accuracy of uniform-length batches and of mixed precision against random batches and fp32"
COMPARISONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "uniform-length batches against random ones": (
        {"batch.plan": "uniform_length"},
        {"batch.plan": "packed"},
    ),
    "bf16 against fp32": ({"runtime.precision": "bf16"}, {"runtime.precision": "fp32"}),
}


def train(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains once. Returns the accuracy of the last evaluation: the best one would be too high by luck."""
    from custom_bert import train_model
    from custom_bert.data.reading import in_directory

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        settings = {**in_directory(arguments["folder"]), **arguments["settings"]}
        train_model({**settings, "out": str(out), "data.cache_dir": arguments["cache"]})
        metrics = metrics_of(out)
    return {"accuracy": [m for m in metrics if m["kind"] == "eval"][-1]["accuracy"]}


def main() -> None:
    """Runs the sides in turn for each seed, and writes the record after each."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--size", default=None, help="of the encoder; default: by the data")
    parser.add_argument("--epochs", type=int, default=None, help="default: by the data")
    parser.add_argument("--comparisons", nargs="+", default=list(COMPARISONS), choices=list(COMPARISONS))
    options = parser.parse_args()
    common = {"optim.pretrain_epochs": 0, "optim.r_drop": 0.0, "model.size": options.size}
    common |= {"model.init_from": "scratch", "floor": False, "optim.epochs": options.epochs}
    common |= {"batch.plan": "uniform_length", "runtime.device": "cpu"}
    common["runtime.precision"] = choose_precision(None, torch.device("cpu"))[0]
    raw: dict[str, list[list[float]]] = {name: [[], []] for name in options.comparisons}
    known: dict[str, float] = {}  # the defaults are a side of every comparison
    with tempfile.TemporaryDirectory() as cache:
        for seed in range(options.seeds):
            for name in options.comparisons:
                for side, changes in enumerate(COMPARISONS[name]):
                    settings = {**common, **changes, "seed": seed}
                    arguments = {"folder": str(options.data.resolve()), "cache": cache, "settings": settings}
                    key = json.dumps(settings, sort_keys=True)
                    if key not in known:
                        known[key] = in_child([__file__], "train", arguments)["accuracy"]
                    raw[name][side].append(known[key])
                print(f"seed {seed}, {name}: {[side[-1] for side in raw[name]]}", flush=True)
            rows, results = [], []
            for name, (ours, theirs) in raw.items():
                difference = 100 * (statistics.mean(ours) - statistics.mean(theirs))
                percent = [[100 * a for a in side] for side in (ours, theirs)]
                rows.append([name, *(shown(p, 1) for p in percent), f"{difference:+.2f}", len(ours)])
                paired = spread([100 * (a - b) for a, b in zip(ours, theirs, strict=True)])
                results.append({"id": name, "difference_of_means": difference, "by_seed": paired})
            write_record(
                options.out,
                question=f"{QUESTION}: {options.data.name}",
                table=markdown(
                    ["comparison", "first, %", "second, %", "difference of means, points", "seeds"], rows
                ),
                results=results,
                raw=raw,
            )


if __name__ == "__main__":
    begin(main, {"train": train})
