"""The tables of the pages that put several records side by side, and those of the README."""

from __future__ import annotations

import statistics
from typing import Any

from record_tables import NO_TOKEN_LEFT_OUT, UNLIKE, mean_of, named, ratio_of, read, spread, table

ROOFLINES = {"bf16, no AMX": "cpu2zen4/roofline_202611", "no bf16": "cpu2avx2/roofline_202611"}


def rooflines() -> list[str]:
    """A row for each encoder and a column for each machine. Each figure links to its record."""
    records = {where: read(f"{name}.json") for where, name in ROOFLINES.items()}
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
    records = {where: read(f"cpu2zen4/peers_{size}_202611.json") for where, size in SIZES.items()}
    by_name: dict[str, list[str]] = {}
    for record in records.values():
        for one in record["results"]:
            if not one["id"].startswith(UNLIKE):
                by_name.setdefault(named(one), []).append(ratio_of(one))
    rows = [[name, *cells] for name, cells in by_name.items() if len(cells) == len(records)]
    ours, theirs = "ours, dropout 0.1", "HF best, dropout 0.1"
    memory = [
        [a["peak_mb"] / b["peak_mb"] for a, b in zip(raw[ours], raw[theirs], strict=True)]
        for raw in (record["raw"] for record in records.values())
    ]
    rows.append(["peak memory, against HF's best, dropout 0.1", *(spread(some, 2) for some in memory)])
    return table(["ours / theirs, speed but for the last row", *records], rows)


SETS = {
    "trec": ("TREC, what a question asks for", 6, 5_452),
    "banking77": ("BANKING77, what a bank's customer wants", 77, 10_003),
    "sst2": ("SST-2, is a film review positive", 2, 67_349),
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
    about, labels, texts = SETS.get(set_name, (set_name, "", 0))
    texts = int(count.split(":")[0]) if count else texts
    return [about, str(labels), f"{texts:,}" if texts else ""]


def well(record: dict[str, Any]) -> list[str]:
    """The README's table of accuracies of at most six sets, with the minutes that training takes."""

    def accuracy(found: dict[str, Any]) -> str:
        return mean_of(found, "together").split(" ")[0] if found else ""

    def minutes(found: dict[str, Any]) -> str:
        # accuracies that were measured while the machine had other work come without their seconds
        seconds = [one["seconds"] for one in found.values() if "seconds" in one]
        return f"{statistics.mean(seconds) / 60:.0f}" if seconds else ""

    rows = []
    for name, sides in record["raw"].items():
        ours, scratch = sides.get("default", {}), sides.get("scratch", {})
        if not ours or not scratch:  # the other sets stand on the page of comparisons
            continue
        floor = mean_of(ours, "floor").split(" ")[0]
        rows.append([*described(name), floor, accuracy(scratch), accuracy(ours), minutes(ours)])
    head = ["texts", "labels", "training texts", "n-grams", "from scratch", "from MiniLM", "minutes, MiniLM"]
    return table(head, rows[:6])


def linked(figure: str, record: str) -> str:
    """A figure of the README with a link to its record."""
    return f"[{figure}](benchmarks/results/{record}.md)"


PREDICTED = 5_000
"""The number of texts in the record of prediction."""


def fast() -> list[str]:
    """The README's table of speed and memory, of one machine, with links to the records. The last columns
    have accuracies of fine-tuning, and amounts a second otherwise."""
    head = ["task", "times as fast", "share of its memory", "ours", "the Trainer or pipeline"]
    tuned = "cpu2/finetune_minilm_202611"
    rows = []
    for name, sides in read(f"{tuned}.json")["raw"].items():
        pairs = list(zip(sides["ours"], sides["hf"], strict=True))
        us, them = ([100 * one["accuracy"] for one in side] for side in zip(*pairs, strict=True))
        accuracies = [f"{statistics.median(side):.1f} %" for side in (us, them)]
        speed = f"{statistics.median(b['seconds'] / a['seconds'] for a, b in pairs):.2f}"
        memory = f"{statistics.median(a['peak_mb'] / b['peak_mb'] for a, b in pairs):.2f}"
        task = f"fine-tune MiniLM, {described(name)[0].split(',')[0]}"
        rows.append([task, linked(speed, tuned), memory, *accuracies])
    compared = (
        (
            "train from scratch, AG News",
            "cpu2/peers_256x4_202611",
            "HF best, dropout 0.1",
            "ours, dropout 0.1",
            -1,
        ),
        ("predict with MiniLM, fp32", "cpu2/prediction_minilm_202611", "pipeline, fp32", "ours, fp32", 1),
    )
    for what, record, theirs, ours, power in compared:
        raw = read(f"{record}.json")["raw"]
        pairs = list(zip(raw[ours], raw[theirs], strict=True))
        measure = "seconds" if power == 1 else "tokens_per_second"
        rates = [
            f"{PREDICTED / one[measure]:,.0f} texts/s" if power == 1 else f"{one[measure]:,.0f} tokens/s"
            for one in (
                {measure: statistics.median(one[measure] for one in raw[side])} for side in (ours, theirs)
            )
        ]
        speed = f"{statistics.median((b[measure] / a[measure]) ** power for a, b in pairs):.2f}"
        memory = f"{statistics.median(a['peak_mb'] / b['peak_mb'] for a, b in pairs):.2f}"
        rows.append([what, linked(speed, record), memory, *rates])
    return table(head, rows)


SIX = (
    ("uniform-length batching", "`batch.plan`: `uniform_length`, `padded`", "no padding is computed"),
    ("mixed precision", "`runtime.precision`: `bf16`, `fp32`", "faster products, if the CPU has bf16"),
    ("flash attention", "`runtime.attention`: `dense`, `naive`", "long texts in less memory"),
    ("pre-norm", "`model.norm`: `pre`, `post`", ""),
    ("GELU", "`model.hidden_act`: `gelu`, `relu`", ""),
    ("kernel fusion", "`runtime.compile`: `True`, `False`", "fewer passes over memory (bf16: in `custom`)"),
)
"""The improvements of the README: the name in the records, the setting with its values for on and off, and
what it is good for. Where that is empty, the model learns something else, and a record says how well."""


def six() -> list[str]:
    """A row for each improvement: its setting, and what it brings alone in `legacy`."""
    record, long = read("cpu2amx/ablation_202611.json"), read("cpu2zen4/ablation_lengths_202611.json")
    without = {one["id"]: one for one in read("cpu2avx2/ablation_202611.json")["results"]}
    by_id = {one["id"]: one for one in (*record["results"], *long["results"])}
    learning = read("cpu2zen4/ablation_learning_202611.json")["learning"]

    def brought(name: str) -> list[str]:
        one, other = by_id[name], without.get(name)
        slower = f"{other['ratio_median']:.2f}" if other else "-"
        return [f"{one['ratio_median']:.2f}", slower, f"{one['memory']['median']:.2f}"]

    def learned_more(name: str) -> str:
        on, off = ([100 * one for one in side["accuracy"]] for side in learning[name].values())
        same = max(min(on), min(off)) <= min(max(on), max(off))
        found = f"accuracy from scratch {statistics.median(on):.1f} against {statistics.median(off):.1f} %"
        return "accuracy: no difference beyond that of seeds" if same else found

    fusion = {one["id"]: one for one in read("cpu2zen4/fusion_202611.json")["results"]}
    fused, fp32 = fusion["K1-d256 in custom"], fusion["K1-d256 alone"]
    rows = []
    for name, setting, use in SIX:
        if name == "kernel fusion":  # the records of the other rows have what was tried before these kernels
            speed = linked(f"{fused['ratio_median']:.2f}", "cpu2zen4/fusion_202611")
            bought = [speed, f"{fp32['ratio_median']:.2f}", f"{fused['memory_ratio']:.2f}"]
        else:
            bought = brought(f"AG News lengths: alone: {name}")
        rows.append([name, setting, *bought, use or learned_more(name)])
        if name == "flash attention":
            rows.append([f"{name}, 8,192 tokens", "", *brought(f"8,192 tokens each: alone: {name}"), ""])
    total = brought(f"AG News lengths: {': '.join(NO_TOKEN_LEFT_OUT)}")
    rows.append(["`--preset custom`, the default, against `legacy`", "", *total, ""])
    head = ["improvement", "switch: on, off", "speed, bf16", "speed, no bf16", "memory", "what it brings"]
    return table(head, rows)
