"""How long does it take until something happens: the help, and the first training step?

    python benchmarks/startup.py --data FOLDER

FOLDER holds the four files of one set. `custom-bert --help` is timed as a fresh process, from its start to
its end. The first step is timed in a fresh process with torch and the package imported, from the call of
`train_model` to the end of the step, on texts that were tokenised before. These are seconds for which a
person waits on this machine; nothing is compared.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import begin, options_of

from custom_bert.bench.measure import in_child, markdown, shown, write_record

QUESTION = "Seconds from a start to the help and to the first training step"
HELP, FIRST = "custom-bert --help", "the first step, texts tokenised before"


class FirstStep(BaseException):
    """Raised to end a run after its first step; a BaseException, so that nothing handles it."""


def first_step(arguments: dict[str, Any]) -> dict[str, Any]:
    """Measures the seconds from the call of `train_model` to the end of the first step."""
    from custom_bert import train_model
    from custom_bert.data.reading import in_directory
    from custom_bert.training import fit

    real = fit.step_within_memory

    def step(*positional: Any, **named: Any) -> Any:
        float(real(*positional, **named).loss)
        raise FirstStep

    fit.step_within_memory = step
    with tempfile.TemporaryDirectory() as folder:
        settings = {**in_directory(arguments["folder"]), "model.init_from": "scratch", "floor": False}
        settings["out"] = f"{folder}/run"
        begun = time.perf_counter()
        try:
            train_model({**settings, "data.cache_dir": arguments["cache"]})
        except FirstStep:
            return {"seconds": time.perf_counter() - begun}
    raise RuntimeError("the run ended before its first step")


def help_seconds() -> float:
    """The seconds that one process of `custom-bert --help` takes."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "custom_bert", "--help"], capture_output=True, check=True)
    return time.perf_counter() - begun


def main() -> None:
    """Measures both in turn, and writes the record."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    raw: dict[str, list[float]] = {HELP: [], FIRST: []}
    with tempfile.TemporaryDirectory() as cache:
        arguments = {"folder": str(options.data.resolve()), "cache": cache}
        in_child([__file__], "first_step", arguments)  # tokenises
        help_seconds()  # writes what Python compiles
        for _ in range(options.repeats):
            raw[HELP].append(help_seconds())
            raw[FIRST].append(in_child([__file__], "first_step", arguments)["seconds"])
            print({name: round(values[-1], 2) for name, values in raw.items()}, flush=True)
    table = markdown(["what", "seconds"], [[name, shown(values)] for name, values in raw.items()])
    results = [
        {"id": f"S1: {name}", "seconds_median": statistics.median(values), "repeats": len(values)}
        for name, values in raw.items()
    ]
    write_record(
        options.out,
        question=f"{QUESTION}, {options.data.name}",
        table=table,
        results=results,
        raw=raw,
    )
    print("\n".join(table))


if __name__ == "__main__":
    begin(main, {"first_step": first_step})
