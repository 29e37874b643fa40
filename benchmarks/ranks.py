"""Do two processes compute what one computes, and how much faster?

    python benchmarks/ranks.py --data FOLDER

The same training with one process of one thread and with two of one thread each, in turn: the losses of the
first steps, in fp32 without dropout, side by side; and tokens per second at the precision of the machine.
Few validation texts keep evaluations short, since only training steps are timed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from custom_bert.bench.measure import markdown, ratio_row, shown, write_record
from custom_bert.bench.sets import sample
from custom_bert.data.dataset import in_directory
from custom_bert.process import prepare_process

ROOT = Path(__file__).resolve().parents[1]
STEPS = 20
VALIDATION = 300
"""Lines."""


def run(ranks: int, settings: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """metrics.jsonl of a training by so many processes."""
    path = folder / "config.json"
    path.write_text(json.dumps(settings))
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
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
    lines = (Path(settings["out"]) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def main() -> None:
    """In turn, so that a change of the machine's speed meets both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--size", default="256x4")
    parser.add_argument("--minutes", type=float, default=1.0, help="of each training")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/ranks.json"))
    options = parser.parse_args()
    width, layers = map(int, options.size.split("x"))
    settings: dict[str, Any] = {
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
        "runtime.threads": 1,
        "runtime.log_every": 10,
        "runtime.checkpoint_every": 0,
    }
    speeds: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as base:
        settings["data.cache_dir"] = f"{base}/cache"
        settings |= in_directory(sample(options.data.resolve(), None, VALIDATION, Path(base) / "whole"))
        few = sample(options.data.resolve(), 300, VALIDATION, Path(base) / "few")
        exact = {**settings, "runtime.log_every": 1, "optim.max_minutes": None, "optim.epochs": 1}
        exact |= {"batch.token_budget": 512, "runtime.precision": "fp32"}
        losses = {}
        for ranks in (1, 2):
            config = {**exact, **in_directory(few), "out": f"{base}/exact{ranks}"}
            found = [x for x in run(ranks, config, Path(base)) if x["kind"] == "train"]
            losses[ranks] = [x["loss"] for x in found][:STEPS]
        difference = max(abs(a - b) for a, b in zip(losses[1], losses[2], strict=True))
        for repeat in range(options.repeats):
            for ranks in (1, 2):
                begun = time.perf_counter()
                lines = run(ranks, {**settings, "out": f"{base}/run{ranks}-{repeat}"}, Path(base))
                trained = [x for x in lines if x["kind"] == "train"][2:]  # warm
                speeds[ranks].append(sum(x["tokens_per_second"] for x in trained) / len(trained))
                print(repeat, ranks, round(speeds[ranks][-1]), round(time.perf_counter() - begun), flush=True)
    ratios = [two / one for one, two in zip(speeds[1], speeds[2], strict=True)]
    rows = [
        [f"largest difference of a loss in {len(losses[1])} steps, fp32, no dropout", f"{difference:.1e}"],
        ["tokens per second, two processes / one, a thread each", shown(ratios)],
    ]
    table = markdown(["question", "figure"], rows)
    write_record(
        options.out,
        question=f"Two processes against one, {options.size}",
        command=f"python benchmarks/ranks.py --data FOLDER --minutes {options.minutes:g}",
        table=table,
        data=options.data.name,
        results=[ratio_row("two processes against one", ratios)],
        raw={"losses": losses, "tokens_per_second": speeds},
    )
    print("\n".join(table))


if __name__ == "__main__":
    main()
