"""The tables of the pages that are made from one record each."""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table. `bench.measure.markdown` is not used, because it would import torch."""
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return [lines[0], "|" + "---|" * len(head), *lines[1:]]


def read(file: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / file).read_text(encoding="utf-8"))
    return found


def spread(values: list[float], digits: int) -> str:
    """Median (smallest to largest), or the value if there is only one."""
    middle = f"{statistics.median(values):.{digits}f}"
    return f"{middle} ({min(values):.{digits}f} to {max(values):.{digits}f})" if values[1:] else middle


def mean_of(cells: dict[str, Any], part: str) -> str:
    """The mean of an accuracy over the seeds, in per cent, with the smallest and the largest."""
    values = [100 * one["accuracy"][part] for one in cells.values() if part in one["accuracy"]]
    if not values:
        return ""
    mean = f"{sum(values) / len(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.1f} to {max(values):.1f})"


def ratio_of(one: dict[str, Any]) -> str:
    """A result of a record as text: median (smallest to largest), and whether it is only a bound."""
    ratio = f"{one['ratio_median']:.2f} ({one['ratio_min']:.2f} to {one['ratio_max']:.2f})"
    if one.get("lower_bound") and one.get("upper_bound"):
        return "neither side always got there"
    bound = "at least " if one.get("lower_bound") else "at most " if one.get("upper_bound") else ""
    return bound + ratio


UNLIKE = "C1: ours at its defaults against HF at its defaults"
"""A comparison in the records that no page shows, since it is not like for like: it counts tokens that our
defaults leave out, and the sides have different dropout."""


def named(one: dict[str, Any]) -> str:
    """What a comparison of a record is, without the number of its target and the encoder's size."""
    return re.sub(r"^[A-Z]\d: |, \d+x\d+$", "", one["id"])


def comparisons(record: dict[str, Any]) -> list[str]:
    """A row for each comparison that is like for like. The page names the encoder."""
    rows = [
        [named(one), ratio_of(one), str(one["repeats"])]
        for one in record["results"]
        if not one["id"].startswith(UNLIKE)
    ]
    return table(["comparison", "speed, ours / theirs", "repeats"], rows)


def accuracy(record: dict[str, Any]) -> list[str]:
    """A row for each set. Bold marks an accuracy above both peers' best settings."""
    head = ["set", "accuracy", "last evaluation", "TF-IDF + LR", "its best C", "fastText", "its best of 4"]
    rows = []
    for name, found in record["results"].items():
        us, by_c = found["ours"], found["tfidf"]["by_c"]
        best = max(one["accuracy"] for one in by_c.values())
        fast = list(found["fasttext"]["by_setting"].values())
        ours = f"{us['accuracy']:.3f}"
        shares = [us["last_accuracy"], by_c["1"]["accuracy"], best, fast[0], max(fast)]
        cells = [name, f"**{ours}**" if us["accuracy"] > max(best, *fast) else ours]
        cells += [f"{share:.3f}" for share in shares]
        rows.append([*cells, f"{us['wall_seconds'] / 60:.1f} min", f"{us['peak_mb']:,} MB"])
    return table([*head, "wall", "peak memory"], rows)


def finetune(record: dict[str, Any]) -> list[str]:
    """A row for each set: the accuracies of both sides, and ratios of speed and memory."""
    rows = []
    for name, sides in record["raw"].items():
        pairs = list(zip(sides["ours"], sides["hf"], strict=False))
        if pairs:
            us, them = ([100 * one["accuracy"] for one in side] for side in zip(*pairs, strict=True))
            speed = spread([b["seconds"] / a["seconds"] for a, b in pairs], 2)
            memory = spread([a["peak_mb"] / b["peak_mb"] for a, b in pairs], 2)
            cells = [name, str(len(pairs)), str(pairs[0][0]["epochs"])]
            rows.append([*cells, spread(us, 1), spread(them, 1), speed, memory])
    return table(["set", "seeds", "passes", "ours, %", "Trainer, %", "speed", "peak memory"], rows)


def learning(record: dict[str, Any]) -> list[str]:
    """A row for each side: accuracy of hidden tokens on the way and at the end."""
    minutes = (2.5, 5, 7.5)
    rows = []
    for side, run in record["raw"].items():
        until = [min(run["curve"], key=lambda one: abs(one[0] - 60 * m)) for m in minutes]
        cells = [side, *(f"{100 * accuracy:.1f} %" for _, accuracy, _ in until)]
        rows.append([*cells, f"{100 * run['accuracy']:.1f} %", f"{run['loss']:.2f}", f"{run['steps']:,}"])
    return table(["side", *(f"{m:g} min" for m in minutes), "at the end", "loss", "steps"], rows)


def sides(record: dict[str, Any]) -> list[str]:
    """A row for each set and side: how often and when it reached the target."""
    head = ["set", "target", "side", "reached it", "seconds", "best accuracy, %"]
    rows = []
    for name, by_side in record["raw"].items():
        for side, runs in by_side.items():
            there = f"{sum(run['reached'] for run in runs)} of {len(runs)}"
            seconds = spread([run["seconds"] for run in runs], 0)
            found = [100 * run["accuracy"] for run in runs]
            best = spread(found, 1) if any(found) else "not evaluated by then"
            cells = [name, f"{record['targets'][name]:.0%}", side, there, seconds, best]
            rows.append(cells)
    return table(head, rows)


def value(record: dict[str, Any]) -> list[str]:
    """A row for each side: accuracy after fine-tuning."""
    rows = [
        [side, spread([100 * run["accuracy"] for run in runs], 1), str(len(runs))]
        for side, runs in record["raw"].items()
        if side not in ("pretraining", "adapting")
    ]
    return table(["side", "accuracy, %", "seeds"], rows)


def defaults(record: dict[str, Any]) -> list[str]:
    """A row for each set: the floor, the default command, the Trainer from the same checkpoint, and the
    default command from scratch. The numbers of seeds are in the same order."""
    rows = []
    for name, sides in record["raw"].items():
        ours, theirs, scratch = (sides.get(side, {}) for side in ("default", "hf", "scratch"))
        found = [mean_of(ours, "floor"), mean_of(ours, "together"), mean_of(theirs, "encoder")]
        seeds = ", ".join(str(len(side)) for side in (ours, theirs, scratch))
        rows.append([name, *found, mean_of(scratch, "together"), seeds])
    return table(["test accuracy, %", "floor", "default", "Trainer", "from scratch", "seeds of these"], rows)


def ensembles(record: dict[str, Any]) -> list[str]:
    """A row for each set and start: each side alone, both together, and what that brought."""
    rows = []
    for name, sides in record["raw"].items():
        for side, cells in sides.items():
            gains = [
                100 * (found["together"] - max(found["encoder"], found["floor"]))
                for found in (one["accuracy"] for one in cells.values())
                if "together" in found and "encoder" in found
            ]
            if gains:
                parts = [mean_of(cells, part) for part in ("encoder", "floor", "together")]
                brought = f"{sum(gains) / len(gains):+.2f} ({min(gains):+.2f} to {max(gains):+.2f})"
                rows.append([name, side, *parts, brought])
    head = ["set", "start", "encoder alone", "floor alone", "together", "over the better of the two"]
    return table(head, rows)


def multi_label(record: dict[str, Any]) -> list[str]:
    """A row for each side of a multi-label comparison."""
    rows = [
        [
            one["id"].split()[-1],
            *(f"{100 * measure['mean']:.1f}" for measure in one["test"].values()),
            str(len(one["cells"])),
        ]
        for one in record["results"]
    ]
    return table(["side", "micro-F1, %", "macro-F1, %", "exact match, %", "seeds"], rows)


def ready(record: dict[str, Any]) -> list[str]:
    """A row for each number of lines: seconds until the run predicts, and until it is done."""
    rows = []
    for name, cells in record["raw"].items():
        whole = [one for one in cells if one["done_seconds"] is not None]
        until = [spread([one["ready_seconds"] for one in cells], 0)]
        until.append(spread([one["done_seconds"] for one in whole], 0) if whole else "")
        memory = f"{max(one['peak_mb'] for one in cells):,} MB"
        rows.append([name, until[0], str(len(cells)), until[1], str(len(whole)), memory])
    return table(
        ["lines", "s until it predicts", "repeats", "s until it is done", "repeats", "peak memory"], rows
    )


NO_TOKEN_LEFT_OUT = ("ladder", "+ unread rows skipped")
"""The step of the ladder before token dropout, in the records of an ablation: all of `custom` with every
token computed. With token dropout, the speed would count tokens that were left out."""


def ablation(record: dict[str, Any]) -> list[str]:
    """A row for each improvement, on AG News's lengths, and a last row for all of them but token dropout."""
    found = {
        (one["part"], one["name"]): one for one in record["results"] if one["workload"] == "AG News lengths"
    }

    def cell(part: str, name: str) -> list[str]:
        one = found.get((part, name))
        if one is None:
            return ["", ""]
        ratio = ratio_of(one)
        return [ratio, f"{one['memory']['median']:.2f}" if one["memory"] else ""]

    names = dict.fromkeys(name for part, name in found if part == "alone")
    rows = [[name, *cell("alone", name), *cell("removed", name)] for name in names]
    rows.append(["**`custom` against `legacy`, no token left out**", *cell(*NO_TOKEN_LEFT_OUT), "", ""])
    return table(["improvement", "alone: speed", "memory", "in `custom`: speed", "memory"], rows)


def lengths(record: dict[str, Any]) -> list[str]:
    """A row for each length: what flash attention does to `legacy` and to `custom`."""
    found = {(one["workload"], one["part"], one["name"]): one for one in record["results"]}
    workloads = dict.fromkeys(one["workload"] for one in record["results"])
    columns = (("alone", "flash attention"), ("removed", "flash attention"))
    head = ["texts", "in `legacy`: speed", "memory", "in `custom`: speed", "memory"]
    rows = []
    for workload in workloads:
        cells = [workload]
        for part, name in columns:
            one = found.get((workload, part, name))
            cells += [ratio_of(one), f"{one['memory']['median']:.2f}"] if one else ["one does not fit", ""]
        rows.append(cells)
    return table(head, rows)


def learned(record: dict[str, Any]) -> list[str]:
    """A row for each switch and value: accuracy and loss, and the largest rate that trains."""
    head = ["improvement", "value", "accuracy, %", "loss", "largest learning rate that trains"]
    rows = []
    for name, sides in record["learning"].items():
        for value, side in sides.items():
            accuracy = spread([100 * one for one in side["accuracy"]], 1)
            loss = spread([one for one in side["loss"] if one is not None], 2)
            rows.append([name, value, accuracy, loss, f"{side['largest_rate']:g}"])
    return table(head, rows)


def by_length(record: dict[str, Any]) -> list[str]:
    """A row for each length: time for a token of a whole step, and of a layer's attention."""
    raw = record["raw"]
    axes = {"length": "a step", "attention": "attention"}
    columns = dict.fromkeys((axis, key.rpartition(", ")[0]) for axis in axes for key in raw[axis])
    head = ["tokens of a text", *(f"{axes[axis]}, {name}" for axis, name in columns)]
    rows = []
    for length in dict.fromkeys(int(key.rpartition(", ")[2]) for key in raw["length"]):
        cells = [f"{length:,}"]
        for axis, name in columns:
            found = raw[axis][f"{name}, {length}"]
            if None in found:
                cells.append("does not fit")
                continue
            time = statistics.median(1e6 / one["tokens_per_second"] for one in found)
            memory = statistics.median(one["step_mb"] for one in found)
            cells.append(f"{time:.0f} µs, {memory:,.0f} MB")
        rows.append(cells)
    return table(head, rows)


def reliability(record: dict[str, Any]) -> list[str]:
    """A row for each experiment."""
    rows = []
    for one in record["results"]:
        counts = ", ".join(f"{count:,} {name}" for name, count in sorted(one["counts"].items()))
        bound = f"{100 * one['upper_bound']:.1f} %"
        cells = [one["id"], one["promise"], f"{one['trials']:,}", str(one["failures"])]
        rows.append([*cells, bound, counts])
    return table(["id", "promise", "trials", "failures", "95 % bound", "counted"], rows)


def records(folder: str) -> list[str]:
    """A row for each record of a machine, with its question and the commit that was measured."""
    rows = []
    for path in sorted((RESULTS / folder).glob("*.json")):
        record = read(f"{folder}/{path.name}")
        rows.append([f"[{path.stem}]({path.stem}.md)", record["question"], f"`{record['commit'][:7]}`"])
    return table(["record", "question", "commit"], rows)
