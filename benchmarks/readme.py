"""Writes the tables of README.md and of pages in docs/ from the records, so that every figure was measured.

    python benchmarks/readme.py            # with --check it only says whether the pages are up to date

A table is between `<!-- NAME -->` and `<!-- end -->`. `make docs` runs this script, and a test runs the
check.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table. `bench.measure.markdown` is not used, because it would import torch."""
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return [lines[0], "|" + "---|" * len(head), *lines[1:]]


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


def comparisons(record: dict[str, Any]) -> list[str]:
    """A row for each comparison. The encoder's size at the end of an id is left out; the page names it."""
    rows = [
        [re.sub(r", \d+x\d+$", "", one["id"]), ratio_of(one), str(one["repeats"])]
        for one in record["results"]
        if not one["id"].startswith(UNLIKE)
    ]
    return table(["comparison", "speed, ours / theirs", "repeats"], rows)


def spread(values: list[float], digits: int) -> str:
    """Median (smallest to largest), or the value if there is only one."""
    middle = f"{statistics.median(values):.{digits}f}"
    return f"{middle} ({min(values):.{digits}f} to {max(values):.{digits}f})" if values[1:] else middle


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


def _mean(cells: dict[str, Any], part: str) -> str:
    """The mean of an accuracy over the seeds, in per cent, with the smallest and the largest."""
    values = [100 * one["accuracy"][part] for one in cells.values() if part in one["accuracy"]]
    if not values:
        return ""
    mean = f"{sum(values) / len(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.1f} to {max(values):.1f})"


def defaults(record: dict[str, Any]) -> list[str]:
    """A row for each set: the floor, the default command, and the same from scratch."""
    rows = []
    for name, sides in record["raw"].items():
        ours, scratch = sides.get("default", {}), sides.get("scratch", {})
        seeds = f"{len(ours)}" if len(ours) == len(scratch) or not scratch else f"{len(ours)}, {len(scratch)}"
        rows.append([name, _mean(ours, "floor"), _mean(ours, "together"), _mean(scratch, "together"), seeds])
    return table(["test accuracy, %", "floor", "default", "from scratch", "seeds"], rows)


SETS = {
    "trec": ("TREC, what a question asks for", 6, 5_452),
    "banking77": ("BANKING77, what a bank's customer wants", 77, 10_003),
    "sst2": ("SST-2, praise or blame of films", 2, 67_349),
    "ag_news": ("AG News, subjects of news", 4, 120_000),
    "imdb": ("IMDB, long reviews of films", 2, 25_000),
    "20ng": ("20 Newsgroups, long messages", 20, 11_314),
    "zh_chnsenticorp_htl": ("Chinese reviews of hotels", 2, 6_989),
}
"""What the sets of the records are: a description for readers, the number of labels, and that of training
texts."""


def described(name: str) -> list[str]:
    """What a set of a record is, and its numbers of labels and of training texts. NAME:N takes N texts."""
    set_name, _, count = name.partition(":")
    about, labels, texts = SETS[set_name]
    return [about, str(labels), f"{int(count.split(':')[0]) if count else texts:,}"]


def well(record: dict[str, Any]) -> list[str]:
    """The README's table of accuracies, with the minutes that training takes."""

    def cell(found: dict[str, Any]) -> str:
        if not found:
            return ""
        seconds = [one["seconds"] for one in found.values()]
        return f"{_mean(found, 'together').split(' ')[0]}, {statistics.mean(seconds) / 60:.0f} min"

    rows = []
    for name, sides in record["raw"].items():
        ours, scratch = sides.get("default", {}), sides.get("scratch", {})
        floor = _mean(ours or scratch, "floor").split(" ")[0]
        rows.append([*described(name), floor, cell(scratch), cell(ours)])
    return table(["texts", "labels", "training texts", "n-grams", "from scratch", "from MiniLM"], rows)


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
                parts = [_mean(cells, part) for part in ("encoder", "floor", "together")]
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


ROOFLINES = {"bf16, no AMX": "cpu2zen4/roofline_202611", "no bf16": "cpu2avx2/roofline_202611"}


def rooflines() -> list[str]:
    """A row for each encoder and a column for each machine. Each figure links to its record."""
    records = {where: _read(f"{name}.json") for where, name in ROOFLINES.items()}
    rows = []
    for width, least in ((256, 65), (384, 75), (768, 85)):
        cells = [f"{width} wide", f"{least} %"]
        for where, record in records.items():
            (one,) = [r for r in record["results"] if r["id"] == f"C3-d{width}"]
            share = spread([100 * one[f"ratio_{key}"] for key in ("min", "median", "max")], 0)
            cells.append(f"[{share} %](../../benchmarks/results/{ROOFLINES[where]}.md)")
        rows.append(cells)
    return table(["encoder", "at least", *records], rows)


SIZES = {"384 wide, 6 layers": "384x6", "768 wide, 12 layers": "768x12"}


def peers_by_size() -> list[str]:
    """A row for each comparison, and a column for each encoder."""
    records = {where: _read(f"cpu2zen4/peers_{size}_202611.json") for where, size in SIZES.items()}
    by_name: dict[str, list[str]] = {}
    for record in records.values():
        for one in record["results"]:
            if not one["id"].startswith(UNLIKE):
                by_name.setdefault(re.sub(r", \d+x\d+$", "", one["id"]), []).append(ratio_of(one))
    rows = [[name, *cells] for name, cells in by_name.items() if len(cells) == len(records)]
    ours, theirs = "ours, dropout 0.1", "HF best, dropout 0.1"
    memory = [
        [a["peak_mb"] / b["peak_mb"] for a, b in zip(raw[ours], raw[theirs], strict=True)]
        for raw in (record["raw"] for record in records.values())
    ]
    rows.append(["peak memory, against HF's best, dropout 0.1", *(spread(some, 2) for some in memory)])
    return table(["ours / theirs, speed but for the last row", *records], rows)


def reliability(record: dict[str, Any]) -> list[str]:
    """A row for each experiment."""
    rows = []
    for one in record["results"]:
        counts = ", ".join(f"{count:,} {name}" for name, count in sorted(one["counts"].items()))
        bound = f"{100 * one['upper_bound']:.1f} %"
        cells = [one["id"], one["promise"], f"{one['trials']:,}", str(one["failures"])]
        rows.append([*cells, bound, counts])
    return table(["id", "promise", "trials", "failures", "95 % bound", "counted"], rows)


MACHINES = {"amx": "AMX", "bf16": "bf16, no AMX", "fp32": "no bf16"}
"""Headings for the machines of the records. Each has two cores."""

PEERS = {
    "amx": "cpu2amx/peers_256x4_202611",
    "bf16": "cpu2/peers_256x4_202611",
    "fp32": "cpu2avx2/peers_256x4_202611",
}
PEERS_MLM = {"bf16": "cpu2zen4/peers_mlm_256x4_202611"}
PREDICTION = {"amx": "cpu2amx/prediction_minilm_202611", "bf16": "cpu2/prediction_minilm_202611"}
TO_ACCURACY = {"bf16": "cpu2zen4/time_to_accuracy_sst2_202611"}
MEASURED: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    (
        "training a classifier from scratch, against the Trainer at its defaults, dropout 0.1 (C1)",
        "4",
        "C1: dropout 0.1 on both sides, HF otherwise at its defaults, 256x4",
        PEERS,
    ),
    (
        "the same, against its best settings, dropout 0.1 (C2)",
        "1.3",
        "C2: against HF's best, dropout 0.1, 256x4",
        PEERS,
    ),
    (
        "the same, without dropout (C2)",
        "1.3",
        "C2: against HF's best, dropout 0, 256x4",
        {machine: PEERS[machine] for machine in ("amx", "bf16")},
    ),
    (
        "masked language modelling, without dropout, against the Trainer at its defaults, dropout 0.1 (C4)",
        "5",
        "C4: against HF's defaults, 256x4",
        PEERS_MLM,
    ),
    (
        "the same, against its best settings, no dropout (C4)",
        "2",
        "C4: against HF's best, no dropout, 256x4",
        PEERS_MLM,
    ),
    (
        "time to 72 % on SST-2 from 10,000 lines, both sides tuned (C5)",
        "1.5",
        "C5: sst2, ours, tuned, against HF tuned",
        TO_ACCURACY,
    ),
    (
        "the same, against the Trainer at its defaults (C5)",
        "3",
        "C5: sst2, ours, tuned, against HF defaults",
        TO_ACCURACY,
    ),
    (
        "fine-tuning MiniLM on TREC, against the Trainer at its best",
        "1.5",
        "fine-tuning, trec",
        {"bf16": "cpu2/finetune_minilm_202611"},
    ),
    (
        "prediction, against transformers' pipeline, both in fp32",
        "",
        "C7: fp32 against the pipeline in fp32",
        PREDICTION,
    ),
    (
        "the same, both in bf16",
        "",
        "bf16 against the pipeline in bf16",
        PREDICTION,
    ),
    (
        "the same, ours in bf16 and theirs in fp32 (C7)",
        "3.5",
        "C7: bf16 against the pipeline in fp32",
        PREDICTION,
    ),
    (
        "the same, ours in bf16, against ONNX Runtime in int8 (C7)",
        "1",
        "C7: bf16 against ONNX Runtime in int8",
        {"amx": PREDICTION["amx"]},
    ),
    (
        "`custom` against `legacy`, no token left out (C8)",
        "8",
        f"AG News lengths: {': '.join(NO_TOKEN_LEFT_OUT)}",
        {"amx": "cpu2amx/ablation_202611", "fp32": "cpu2avx2/ablation_202611"},
    ),
)
"""What is compared, the least that is wanted, the id in the records, and the record of each machine. Both
sides compute the same tokens at equal dropout. Tokens that token dropout leaves out are counted nowhere."""


def measured() -> list[str]:
    """A row for each comparison and a column for each machine. Each figure links to its record."""
    rows = []
    for what, least, name, records in MEASURED:
        cells = [what, least]
        for machine in MACHINES:
            if machine not in records:
                cells.append("")
                continue
            (one,) = [r for r in _read(f"{records[machine]}.json")["results"] if r["id"] == name]
            ratio = ratio_of(one)
            cells.append(f"[{ratio}](../../benchmarks/results/{records[machine]}.md)")
        rows.append(cells)
    return table(["speed, ours / theirs", "target", *MACHINES.values()], rows)


def fast() -> list[str]:
    """The README's table of speed and memory, of one machine, with links to the records."""
    head = ["task", "time, theirs / ours", "peak memory, ours / theirs", "accuracy, %: ours, theirs"]
    tuned = "cpu2/finetune_minilm_202611"
    rows = []
    for name, sides in _read(f"{tuned}.json")["raw"].items():
        pairs = list(zip(sides["ours"], sides["hf"], strict=True))
        us, them = ([100 * one["accuracy"] for one in side] for side in zip(*pairs, strict=True))
        accuracies = ", ".join(f"{statistics.median(side):.1f}" for side in (us, them))
        speed = f"{statistics.median(b['seconds'] / a['seconds'] for a, b in pairs):.2f}"
        memory = f"{statistics.median(a['peak_mb'] / b['peak_mb'] for a, b in pairs):.2f}"
        task = f"fine-tune MiniLM, {described(name)[0].split(',')[0]}"
        rows.append([task, _linked(speed, tuned), memory, accuracies])
    compared = (
        ("train from scratch, AG News", PEERS["bf16"], "HF best, dropout 0.1", "ours, dropout 0.1", -1),
        ("predict with MiniLM, fp32", PREDICTION["bf16"], "pipeline, fp32", "ours, fp32", 1),
    )
    for what, record, theirs, ours, power in compared:
        raw = _read(f"{record}.json")["raw"]
        pairs = list(zip(raw[ours], raw[theirs], strict=True))
        measure = "seconds" if power == 1 else "tokens_per_second"
        speed = f"{statistics.median((b[measure] / a[measure]) ** power for a, b in pairs):.2f}"
        memory = f"{statistics.median(a['peak_mb'] / b['peak_mb'] for a, b in pairs):.2f}"
        rows.append([what, _linked(speed, record), memory, ""])
    return table(head, rows)


SIX = (
    ("uniform-length batching", "`batch.plan`: `uniform_length`, `padded`", "no padding is computed"),
    ("mixed precision", "`runtime.precision`: `bf16`, `fp32`", "faster products, if the CPU has bf16"),
    ("flash attention", "`runtime.attention`: `dense`, `naive`", "long texts in less memory"),
    ("pre-norm", "`model.norm`: `pre`, `post`", ""),
    ("GELU", "`model.hidden_act`: `gelu`, `relu`", ""),
    ("kernel fusion", "`runtime.compile`: `True`, `False`", "nothing on a CPU: off by default"),
)
"""The improvements of the README: the name in the records, the setting with its values for on and off, and
what it is good for. Where that is empty, the model learns something else, and a record says how well."""


def six() -> list[str]:
    """A row for each improvement: its setting, and what it brings alone in `legacy`."""
    record, long = _read("cpu2amx/ablation_202611.json"), _read("cpu2zen4/ablation_lengths_202611.json")
    without = {one["id"]: one for one in _read("cpu2avx2/ablation_202611.json")["results"]}
    by_id = {one["id"]: one for one in (*record["results"], *long["results"])}
    learning = _read("cpu2zen4/ablation_learning_202611.json")["learning"]

    def brought(name: str) -> list[str]:
        one, other = by_id[name], without.get(name)
        slower = f"{other['ratio_median']:.2f}" if other else ""
        return [f"{one['ratio_median']:.2f}", slower, f"{one['memory']['median']:.2f}"]

    def learned_more(name: str) -> str:
        on, off = ([100 * one for one in side["accuracy"]] for side in learning[name].values())
        same = max(min(on), min(off)) <= min(max(on), max(off))
        found = f"accuracy {statistics.median(on):.1f} against {statistics.median(off):.1f} %"
        return "accuracy: no difference beyond that of seeds" if same else found

    rows = []
    for name, setting, use in SIX:
        bought = brought(f"AG News lengths: alone: {name}")
        rows.append([name, setting, *bought, use or learned_more(name)])
        if name == "flash attention":
            rows.append(["the same, 8,192 tokens", "", *brought(f"8,192 tokens each: alone: {name}"), ""])
    total = brought(f"AG News lengths: {': '.join(NO_TOKEN_LEFT_OUT)}")
    rows.append(["`--preset custom` against `legacy`", "", *total, ""])
    head = ["improvement", "switch: on, off", "speed, bf16", "speed, no bf16", "memory", "what it brings"]
    return table(head, rows)


def _linked(figure: str, record: str) -> str:
    """A figure of the README with a link to its record."""
    return f"[{figure}](benchmarks/results/{record}.md)"


def _read(file: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / file).read_text(encoding="utf-8"))
    return found


def of(file: str, make: Callable[[dict[str, Any]], list[str]]) -> Callable[[], list[str]]:
    """A function without arguments that makes a table of one record."""
    return lambda: make(_read(file))


TABLES: dict[str, Callable[[], list[str]]] = {
    "fast": fast,
    "six": six,
    "measured": measured,
    "accuracy_240tflop": of("cpu2zen4/accuracy_240tflop_202611.json", accuracy),
    "accuracy_240tflop_others": of("cpu2zen4/accuracy_240tflop_others_202611.json", accuracy),
    "ablation": of("cpu2amx/ablation_202611.json", ablation),
    "defaults": of("cpu2zen4/defaults_202611.json", defaults),
    "well": of("cpu2zen4/defaults_202611.json", well),
    "ensembles": of("cpu2zen4/defaults_202611.json", ensembles),
    "multi_label": of("cpu2zen4/multi_label_goemotions_202611.json", multi_label),
    "ready": of("cpu2zen4/ready_202611.json", ready),
    "peers": of("cpu2avx2/peers_256x4_202611.json", comparisons),
    "peers_bf16": of("cpu2/peers_256x4_202611.json", comparisons),
    "peers_amx": of("cpu2amx/peers_256x4_202611.json", comparisons),
    "peers_by_size": peers_by_size,
    "time_to_accuracy_sst2": of("cpu2zen4/time_to_accuracy_sst2_202611.json", comparisons),
    "time_to_accuracy_sst2_sides": of("cpu2zen4/time_to_accuracy_sst2_202611.json", sides),
    "time_to_accuracy": of("cpu2zen4/time_to_accuracy_202611.json", comparisons),
    "time_to_accuracy_sides": of("cpu2zen4/time_to_accuracy_202611.json", sides),
    "prediction": of("cpu2amx/prediction_minilm_202611.json", comparisons),
    "finetune": of("cpu2/finetune_minilm_202611.json", finetune),
    "finetune_imdb": of("cpu2amx/finetune_imdb_202611.json", finetune),
    "reliability": of("cpu2avx2/reliability_202611.json", reliability),
    "peers_mlm": of("cpu2amx/peers_mlm_256x4_202611.json", comparisons),
    "peers_mlm_zen4": of("cpu2zen4/peers_mlm_256x4_202611.json", comparisons),
    "peers_mlm_384x6_zen4": of("cpu2zen4/peers_mlm_384x6_202611.json", comparisons),
    "peers_mlm_fp32": of("cpu2avx2/peers_mlm_256x4_202611.json", comparisons),
    "peers_mlm_384x6": of("cpu2amx/peers_mlm_384x6_202611.json", comparisons),
    "mlm_learning": of("cpu2amx/peers_mlm_learning_202611.json", learning),
    "corpus": of("cpu2zen5/corpus_preparation_202611.json", comparisons),
    "few": of("cpu2amx/pretraining_value_few_202611.json", value),
    "scratch": of("cpu2amx/pretraining_value_scratch_202611.json", value),
    "rooflines": rooflines,
    "lengths": of("cpu2zen4/ablation_lengths_202611.json", lengths),
    "by_length": of("cpu2zen4/scaling_202611.json", by_length),
    "learned": of("cpu2zen4/ablation_learning_202611.json", learned),
    "ranks": of("cpu2amx/ranks_202611.json", comparisons),
}
"""The name of each table, and the function that makes it from the records."""


def filled(text: str) -> str:
    """A page with its tables made anew.

    Raises:
        ValueError: if the page marks a table with an unknown name.
    """

    def replaced(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in TABLES:
            raise ValueError(f"a page marks the table {name!r}; known are {', '.join(TABLES)}")
        return "\n".join([f"<!-- {name} -->", *TABLES[name](), "<!-- end -->"])

    return re.sub(r"<!-- (\w+) -->\n.*?<!-- end -->", replaced, text, flags=re.DOTALL)


def main() -> int:
    """Writes or checks the pages. The exit code is 1 if a checked page is not up to date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="check the pages and change nothing")
    options = parser.parse_args()
    code = 0
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = filled(before)
        if not options.check:
            page.write_text(after, encoding="utf-8")
        elif before != after:
            print(
                f"{page.name}: its tables are not those of the records; "
                f"python benchmarks/readme.py writes them"
            )
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
