"""Runs the experiments and shows a table that grows.

    python -m torture [--only A1 A6 ...] [--quick] [--seed N] [--trials N] [--out FILE]

A trial depends on the seed and its number alone, so that a failure can be had again: --only A6 --trial 17.
What is done stands in FILE after every experiment; started again with the same seed, those are left out.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from custom_bert.bench.measure import commit, markdown, write_record
from torture.experiment import Experiment, Trial, draws, upper_bound
from torture.matrix import EXPERIMENTS

QUESTION = "Reliability: experiments that would break a promise, and their failures"


def run(
    experiment: Experiment, numbers: list[int], seed: int, directory: Path, shared: Path
) -> tuple[list[str], Counter[str]]:
    """What failed, a line each, and what was counted."""
    failures: list[str] = []
    counts: Counter[str] = Counter()
    for done, number in enumerate(numbers):
        with tempfile.TemporaryDirectory(dir=directory) as folder:
            trial = Trial(
                number,
                Path(folder),
                shared,
                draws(seed, experiment, number),
                lambda name: counts.update([name]),
            )
            try:
                experiment.trial(trial)
            except Exception:
                failures.append(f"trial {number}: {traceback.format_exc(limit=-3)}")
                print(f"\n{experiment.id}, {failures[-1]}", flush=True)
        if sys.stdout.isatty():
            print(f"\r{experiment.id}: {done + 1:,} of {len(numbers):,}", end="", flush=True)
    return failures, counts


def row(experiment: Experiment, found: dict[str, Any]) -> list[str]:
    """Of the table."""
    counts = ", ".join(f"{count:,} {name}" for name, count in sorted(found["counts"].items()))
    return [
        experiment.id,
        experiment.promise,
        f"{found['trials']:,}",
        f"{len(found['failures']):,}",
        f"{100 * upper_bound(len(found['failures']), found['trials']):.1f} %",
        f"{found['seconds']:.0f} s",
        counts,
    ]


HEAD = ["id", "promise", "trials", "failures", "95 % bound", "time", "counted"]


def main() -> int:
    """1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", help="ids of experiments")
    parser.add_argument("--quick", action="store_true", help="the trials of a test run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, help="of each experiment; default: all")
    parser.add_argument("--trial", type=int, help="one of them, again")
    parser.add_argument("--out", type=Path, help="the record; continued if it is of the same seed and commit")
    options = parser.parse_args()
    torch.set_num_threads(1)
    wanted = [e for e in EXPERIMENTS if not options.only or e.id in options.only]
    if not wanted:
        print(f"error: no such experiment; there are {', '.join(e.id for e in EXPERIMENTS)}", file=sys.stderr)
        return 64
    raw: dict[str, Any] = {}
    if options.out and options.out.exists():
        before = json.loads(options.out.read_text(encoding="utf-8"))
        if (before["seed"], before["commit"]) == (options.seed, commit()):
            raw = before["raw"]
    failed = False
    for experiment in wanted:
        count = options.trials or (experiment.quick if options.quick else experiment.full)
        numbers = list(range(count)) if options.trial is None else [options.trial]
        if raw.get(experiment.id, {}).get("trials", 0) < len(numbers):
            with tempfile.TemporaryDirectory() as scratch:
                shared = Path(scratch) / "shared"
                shared.mkdir()
                begun = time.perf_counter()
                experiment.prepare(shared)
                failures, counts = run(experiment, numbers, options.seed, Path(scratch), shared)
            raw[experiment.id] = {
                "trials": len(numbers),
                "failures": failures,
                "counts": dict(counts),
                "seconds": round(time.perf_counter() - begun, 1),
            }
        found = raw[experiment.id]
        failed |= bool(found["failures"])
        print("\r" + "  ".join(row(experiment, found)), flush=True)
        if options.out:
            write_record(
                options.out,
                question=QUESTION,
                command=f"python -m torture --seed {options.seed}",
                table=markdown(HEAD, [row(e, raw[e.id]) for e in EXPERIMENTS if e.id in raw]),
                seed=options.seed,
                results=[
                    {
                        "id": e.id,
                        "promise": e.promise,
                        "trials": raw[e.id]["trials"],
                        "failures": len(raw[e.id]["failures"]),
                        "upper_bound": upper_bound(len(raw[e.id]["failures"]), raw[e.id]["trials"]),
                        "counts": raw[e.id]["counts"],
                    }
                    for e in EXPERIMENTS
                    if e.id in raw
                ],
                raw=raw,
            )
            torch.set_num_threads(1)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
