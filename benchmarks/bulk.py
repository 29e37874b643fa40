"""How fast are a million lines labelled, does memory stay flat, and what do two processes buy?

    python benchmarks/bulk.py

A tiny model labels generated lines with `predict --out`: once with one process and once with two, each with
one thread, in turn. The resident memory of the command and of its workers is sampled, and compared at the
quarters of the way. Both outputs have to be the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import begin, options_of
from million_lines import generate

from custom_bert.bench.measure import in_child, markdown, ratio_row, write_record

QUESTION = "Labelling many lines with predict --out: lines a second, memory, and two processes"

SETTINGS: dict[str, Any] = {
    "model.init_from": "scratch",
    "model.hidden_size": 64,
    "model.num_hidden_layers": 2,
    "model.num_attention_heads": 2,
    "optim.epochs": 1,
    "optim.pretrain_epochs": 0,
    "floor": False,
}
"""A tiny model, whose speed leaves nothing to hide behind."""


def train(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains the model on some thousand lines."""
    from custom_bert import train_model
    from custom_bert.data.reading import in_directory

    train_model(
        {
            **in_directory(arguments["folder"]),
            **SETTINGS,
            "data.cache_dir": arguments["cache"],
            "out": arguments["run"],
        }
    )
    return {}


def resident(process: int) -> float:
    """The resident memory of a process and its children, in MB."""
    total = 0
    for one in (process, *children(process)):
        try:
            total += int(Path(f"/proc/{one}/statm").read_text(encoding="utf-8").split()[1])
        except OSError:  # it has ended
            continue
    return total * os.sysconf("SC_PAGE_SIZE") / 2**20


def children(process: int) -> list[int]:
    """The processes that a process has started."""
    found = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            found += [int(word) for word in task.read_text(encoding="utf-8").split()]
        except OSError:
            continue
    return found


def label(arguments: dict[str, Any]) -> dict[str, Any]:
    """Labels the lines with the command line, and samples its memory."""
    out, count = Path(arguments["out"]), arguments["processes"]
    command = [sys.executable, "-m", "custom_bert", "predict", arguments["run"], arguments["texts"]]
    command += ["--out", str(out), "--processes", str(count)]
    log = out.with_name(f"{out.name}.part") / "0-of-1" / "done.jsonl"
    samples: list[tuple[float, float]] = []
    first = 0.0
    begun = time.perf_counter()
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            time.sleep(0.2)
            if not first and log.exists() and log.stat().st_size:
                first = time.perf_counter()
            if first:
                samples.append((time.perf_counter() - begun, resident(process.pid)))
    ended = time.perf_counter()
    if process.returncode:
        raise RuntimeError(f"{command}: code {process.returncode}")
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    out.unlink()
    return {
        "seconds": ended - begun,
        "until_first_shard": first - begun,
        "lines_per_second": arguments["lines"] / (ended - begun),
        "sha256": digest,
        "samples": samples,
    }


def at_quarters(samples: list[tuple[float, float]]) -> list[float]:
    """The memory at the end of each quarter of the way: the median of the samples around it."""
    quarter = max(1, len(samples) // 4)
    window = max(1, quarter // 4)
    ends = [min(len(samples), quarter * k) for k in (1, 2, 3)]
    ends.append(max(1, len(samples) - window))  # the last moments put the shards together
    return [statistics.median(mb for _, mb in samples[max(0, end - window) : end]) for end in ends]


def main() -> None:
    """Measures both numbers of processes in turn, each time in a fresh process, and writes the record."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    raw: dict[str, list[dict[str, Any]]] = {"1": [], "2": []}
    with tempfile.TemporaryDirectory() as base:
        small, large = Path(base) / "small", Path(base) / "large"
        for folder, lines in ((small, 4000), (large, options.lines)):
            folder.mkdir()
            generate(folder, lines)
        run, texts = f"{base}/run", str(large / "train_dataset.txt")
        in_child([__file__], "train", {"folder": str(small), "cache": f"{base}/cache", "run": run})
        for repeat in range(options.repeats):
            for count in sorted(raw, reverse=bool(repeat % 2)):
                arguments = {"run": run, "texts": texts, "lines": options.lines, "processes": int(count)}
                raw[count].append(in_child([__file__], "label", {**arguments, "out": f"{base}/out.txt"}))
    digests = {one["sha256"] for found in raw.values() for one in found}
    if len(digests) != 1:
        raise RuntimeError("one process and two gave other bytes")
    results, rows = [], []
    for count, found in raw.items():
        speeds = [one["lines_per_second"] for one in found]
        memory = [
            statistics.median(column)
            for column in zip(*(at_quarters(one["samples"]) for one in found), strict=True)
        ]
        results.append(
            {
                "id": f"bulk, processes: {count}",
                "lines_per_second": statistics.median(speeds),
                "memory_mb_at_quarters": memory,
                "memory_growth": memory[-1] / memory[0],
            }
        )
        rows.append(
            [
                count,
                f"{statistics.median(speeds):,.0f} ({min(speeds):,.0f} to {max(speeds):,.0f})",
                ", ".join(f"{mb:,.0f}" for mb in memory),
                str(len(found)),
            ]
        )
    ratios = [
        two["lines_per_second"] / one["lines_per_second"] for one, two in zip(raw["1"], raw["2"], strict=True)
    ]
    results.append(ratio_row("bulk, two processes against one", ratios))
    rows.append(["2 against 1", f"{statistics.median(ratios):.2f} x", "the same bytes", str(len(ratios))])
    write_record(
        options.out,
        question=QUESTION,
        command=f"python benchmarks/bulk.py --lines {options.lines} --repeats {options.repeats}",
        table=markdown(["processes", "lines a second", "memory at the quarters, MB", "repeats"], rows),
        lines=options.lines,
        results=results,
        raw=raw,
    )


if __name__ == "__main__":
    begin(main, {"train": train, "label": label})
