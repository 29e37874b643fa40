"""Do two processes compute the same as one, and how much faster?

    python benchmarks/ranks.py --data FOLDER

The same training runs with one process of one thread, with two processes of one thread each, and with one
process of two threads, which shows how much two cores can bring at all. First the losses of the first steps
are compared in fp32 without dropout. Then tokens per second are measured in the precision that the machine
gets, with the sides in turn. Few validation texts keep evaluations short, since only training steps are
timed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import metrics_of, options_of

from custom_bert.bench.measure import markdown, ratio_row, shown, write_record
from custom_bert.bench.sets import sample
from custom_bert.data.reading import in_directory
from custom_bert.process import prepare_process

ROOT = Path(__file__).resolve().parents[1]
STEPS = 20
VALIDATION = 300
"""Validation lines."""
ONE, TWO, THREADS = "one process, one thread", "two processes, one thread each", "one process, two threads"
SIDES = {ONE: (1, 1), TWO: (2, 1), THREADS: (1, 2)}
"""The number of processes of each side, and of threads in each process."""


def run(side: str, settings: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """Trains as a side does, and returns the lines of metrics.jsonl."""
    ranks, threads = SIDES[side]
    path = folder / "config.json"
    path.write_text(json.dumps({**settings, "runtime.threads": threads}), encoding="utf-8")
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    prepare_process(environment)
    command = [
        *(start if ranks > 1 else [sys.executable]),
        "-m",
        "custom_bert",
        "train",
        "--config",
        str(path),
    ]
    subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    return metrics_of(Path(settings["out"]))


def main() -> None:
    """Compares the losses, then the speed with the sides in turn, and writes the record."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--size", default="256x4")
    parser.add_argument("--minutes", type=float, default=1.0, help="of each training")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    width, layers = map(int, options.size.split("x"))
    settings: dict[str, Any] = {
        "model.init_from": "scratch",
        "model.hidden_size": width,
        "model.num_hidden_layers": layers,
        "model.hidden_dropout": 0.0,
        "optim.pretrain_epochs": 0,
        "optim.embedding_init": "random",
        "optim.r_drop": 0.0,
        "optim.token_dropout": 0.0,
        "optim.max_minutes": options.minutes,
        "optim.eval_every": 1_000_000,
        "optim.epochs": 1000,
        "runtime.log_every": 4,
        "runtime.checkpoint_every": 0,
    }
    speeds: dict[str, list[float]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as base:
        settings["data.cache_dir"] = f"{base}/cache"
        settings |= in_directory(sample(options.data.resolve(), None, VALIDATION, Path(base) / "whole"))
        few = in_directory(sample(options.data.resolve(), 300, VALIDATION, Path(base) / "few"))
        exact = {**settings, **few, "runtime.log_every": 1, "optim.max_minutes": None, "optim.epochs": 1}
        exact |= {"batch.token_budget": 512, "runtime.precision": "fp32"}
        losses = {}
        for side in (ONE, TWO):
            found = run(side, {**exact, "out": f"{base}/exact, {side}"}, Path(base))
            losses[side] = [x["loss"] for x in found if x["kind"] == "train"][:STEPS]
        difference = max(abs(a - b) for a, b in zip(losses[ONE], losses[TWO], strict=True))
        for repeat in range(options.repeats):
            for side, speed in speeds.items():
                begun = time.perf_counter()
                lines = run(side, {**settings, "out": f"{base}/{repeat}, {side}"}, Path(base))
                trained = [x for x in lines if x["kind"] == "train"][2:]  # warm
                speed.append(sum(x["tokens_per_second"] for x in trained) / len(trained))
                print(repeat, side, round(speed[-1]), round(time.perf_counter() - begun), flush=True)
    ratios = {
        side: [b / a for a, b in zip(speeds[ONE], speeds[side], strict=True)] for side in (TWO, THREADS)
    }
    rows = [[f"largest difference of a loss in {len(losses[ONE])} steps, fp32", f"{difference:.1e}"]]
    rows += [[f"tokens per second, {side} / {ONE}", shown(values)] for side, values in ratios.items()]
    table = markdown(["question", "figure"], rows)
    write_record(
        options.out,
        question=f"Two processes against one, {options.size}",
        table=table,
        data=options.data.name,
        results=[ratio_row(f"{side} against {ONE}", values) for side, values in ratios.items()],
        raw={"losses": losses, "tokens_per_second": speeds},
    )
    print("\n".join(table))


if __name__ == "__main__":
    main()
