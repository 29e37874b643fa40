"""Where does the time of the default fine-tuning command go, from the command to its last line?

    python benchmarks/command_profile.py --data FOLDER --sets trec banking77 ag_news:4000 imdb:1000

FOLDER holds one folder for each set, with the four data files. SET:N takes N training lines, drawn once; a
tenth of them validates. Each set is trained once, in a fresh process whose stages are timed, and once more
under torch's profiler, which looks at 20 steps in the middle. Shares of the first table are of the whole
process; those of the second are of processor time in a step.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

from common import begin, options_of

from custom_bert.bench.measure import in_child, markdown, write_record
from custom_bert.bench.sets import divided

QUESTION = "Where the time of the default fine-tuning command goes"

STAGES = {
    "custom_bert.training.loop.prepare": "reading, tokenising, decisions",
    "custom_bert.training.loop.fit_floor": "floor",
    "custom_bert.training.loop.build": "building the model",
    "custom_bert.training.loop._start_head": "start of the head",
    "custom_bert.training.loop._announce": "estimate of the time",
    "custom_bert.training.fit.Fit._evaluate": "evaluations on the way",
    "custom_bert.training.fit.Fit._save": "checkpoints",
    "custom_bert.training.loop.finish": "evaluation at the end, saving",
}
"""What is timed, by the function that does it. Training is the time of `fit_all` without those inside it."""

STEPS = 20
FIRST = 30
"""The step at which the profiler begins."""

GROUPS = {
    "products": ("aten::addmm", "aten::mm", "aten::bmm", "aten::baddbmm", "mkldnn"),
    "fused kernels": ("_AddNorm", "_Activation", "_Attention"),
    "copies and casts": ("aten::copy_", "aten::clone", "aten::contiguous", "aten::cat", "aten::index"),
    "optimizer": ("aten::_fused_adamw_", "aten::_foreach", "aten::linalg_vector_norm"),
    "attention between products": ("aten::softmax", "aten::_softmax", "aten::mul", "aten::masked_fill"),
    "dropout masks": ("aten::random_", "aten::bernoulli_"),
    "zeros and sums": ("aten::fill_", "aten::zero_", "aten::sum", "aten::add_"),
}


def staged(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains by the default command, and returns the seconds of each stage."""
    began = arguments["now"]
    from custom_bert.training import fit, loop
    from custom_bert.training.log import Reporter

    seconds: dict[str, float] = defaultdict(float)
    seconds["start of Python, imports"] = time.time() - began
    inside: list[str] = []

    def timed(label: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **named: Any) -> Any:
            begun = time.perf_counter()
            inside.append(label)
            try:
                return function(*args, **named)
            finally:
                inside.pop()
                took = time.perf_counter() - begun
                seconds[label] += took
                if inside:
                    seconds[inside[-1]] -= took

        return called

    with ExitStack() as patches:
        for name, label in {**STAGES, "custom_bert.training.loop.fit_all": "training"}.items():
            owner: Any = fit.Fit if ".Fit." in name else loop
            attribute = name.rsplit(".", 1)[1]
            patches.enter_context(
                mock.patch.object(owner, attribute, timed(label, getattr(owner, attribute)))
            )
        with tempfile.TemporaryDirectory() as folder:
            result = loop.train_model(_settings(arguments, folder), reporter=Reporter(silent=True))
    return {"stages": dict(seconds), "steps": result.steps, "accuracy": result.accuracy, "ended": time.time()}


def profiled(arguments: dict[str, Any]) -> dict[str, Any]:
    """Profiles some steps of the same command, and returns the shares of their operations."""
    import torch

    from custom_bert.training import fit, loop
    from custom_bert.training.log import Reporter

    profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])
    real, count = fit.Fit._train, 0

    def trained(self: fit.Fit, step: Any) -> Any:
        nonlocal count
        count += 1
        if count == FIRST:
            profiler.start()
        result = real(self, step)
        if count == FIRST + STEPS - 1:
            profiler.stop()
            self.progress.ended = True
        return result

    with mock.patch.object(fit.Fit, "_train", trained), tempfile.TemporaryDirectory() as folder:
        settings = {**_settings(arguments, folder), "floor": False, "optim.max_minutes": 2}
        loop.train_model(settings, reporter=Reporter(silent=True))
    times = {one.key: one.self_cpu_time_total for one in profiler.key_averages()}
    whole = sum(times.values())
    shares: dict[str, float] = defaultdict(float)
    for name, took in times.items():
        shares[_group(name)] += took / whole
    rest = sorted(((took / whole, name) for name, took in times.items() if _group(name) == "the rest"))
    return {"shares": dict(shares), "largest_of_the_rest": rest[:-9:-1]}


def _group(operation: str) -> str:
    for group, names in GROUPS.items():
        if any(operation.startswith(name) for name in names):
            return group
    return "the rest"


def _settings(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    from custom_bert.data.reading import in_directory

    settings = {**in_directory(arguments["folder"]), "out": f"{folder}/run", "data.cache_dir": f"{folder}/c"}
    return {**settings, "runtime.device": "cpu"}


TASKS = {"staged": staged, "profiled": profiled}


def table_of(raw: dict[str, dict[str, Any]]) -> list[str]:
    """Two tables: stages by their share of the process, and operations by their share of a step."""

    def cells(found: list[dict[str, float]]) -> Iterator[list[str]]:
        names = sorted(
            {name for one in found for name in one}, key=lambda n: -sum(o.get(n, 0) for o in found)
        )
        for name in names:
            yield [name, *(f"{one.get(name, 0):.1%}" for one in found)]

    stages, shares = [], []
    for found in raw.values():
        whole = found["wall_seconds"]
        parts = {**found["stages"], "end of the process": whole - sum(found["stages"].values())}
        stages.append({name: seconds / whole for name, seconds in parts.items()})
        shares.append(found["shares"])
    seconds = ["seconds in all", *(f"{found['wall_seconds']:.0f}" for found in raw.values())]
    return [
        *markdown(["the command", *raw], [*cells(stages), seconds]),
        "",
        *markdown(["a step", *raw], list(cells(shares))),
    ]


def main() -> None:
    """Trains on each set, and writes the record after each."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", required=True, help="NAME or NAME:TRAIN")
    options = parser.parse_args()
    raw: dict[str, dict[str, Any]] = {}
    for wanted in options.sets:
        name, _, count = wanted.partition(":")
        with tempfile.TemporaryDirectory() as folder:
            train, _ = divided(options.data / name, int(count) if count else None, 0, Path(folder))
            arguments = {"folder": str(train)}
            found = in_child([__file__], "staged", {**arguments, "now": time.time()})
            raw[wanted] = {**in_child([__file__], "profiled", arguments), **found}
        print(f"{wanted}: {raw[wanted]}", flush=True)
        write_record(options.out, question=QUESTION, table=table_of(raw), results=[], raw=raw)


if __name__ == "__main__":
    begin(main, TASKS)
