"""Figures of the newest records for the table of targets, each with whether it is enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from record_tables import NO_TOKEN_LEFT_OUT, mean_of, read


@dataclass(frozen=True, kw_only=True)
class Got:
    """A figure of a record: what it is of, its value, and whether that is enough."""

    what: str
    value: float
    enough: bool
    record: str
    form: str = ".2f"

    def cell(self) -> str:
        """The figure with a link to its record, for a page in docs/benchmarks."""
        return f"{self.what} [{self.value:{self.form}}](../../benchmarks/results/{self.record}.md)".strip()


def ratios(found: Sequence[tuple[str, str, str, float]]) -> Callable[[], list[Got]]:
    """Figures of records: for each what it is of, the record, the id of the comparison, and the least."""

    def got() -> list[Got]:
        figures = []
        for what, record, name, least in found:
            (one,) = [r for r in read(f"{record}.json")["results"] if r["id"] == name]
            value = one["ratio_median"]
            figures.append(Got(what=what, value=value, enough=value >= least, record=record))
        return figures

    return got


def fine_tuning(
    measure: Callable[[dict[str, Any], dict[str, Any]], float],
    enough: Callable[[float], bool],
) -> Callable[[], list[Got]]:
    """A median over the seeds of each set on which fine-tuning was compared with the Trainer."""

    def got() -> list[Got]:
        figures = []
        for record in ("cpu2/finetune_minilm", "cpu2/finetune_minilm_long", "cpu2amx/finetune_imdb"):
            for name, sides in read(f"{record}_202611.json")["raw"].items():
                pairs = list(zip(sides["ours"], sides["hf"], strict=False))
                if pairs:
                    values = sorted(measure(ours, theirs) for ours, theirs in pairs)
                    value = values[len(values) // 2]
                    what = name.split(":")[0]
                    one = Got(what=what, value=value, enough=enough(value), record=f"{record}_202611")
                    figures.append(one)
        return figures

    return got


def above_n_grams() -> list[Got]:
    """Points of accuracy of the default command over its own linear model, on each set of the record."""
    record = "cpu2zen4/defaults_202611"
    figures = []
    for name, sides in read(f"{record}.json")["raw"].items():
        ours = sides.get("default") or sides.get("scratch")
        if ours:
            floor, whole = (float(mean_of(ours, part).split(" ")[0]) for part in ("floor", "together"))
            gain = whole - floor
            what = name.split(":")[0]
            figures.append(Got(what=what, value=gain, enough=gain >= -0.3, record=record, form="+.1f"))
    return figures


def above_the_trainer() -> list[Got]:
    """Points of accuracy of the default command over the Trainer from the same checkpoint: the mean over the
    seeds that both sides have, on each set of the record."""
    record = "cpu2zen4/defaults_202611"
    figures = []
    for name, sides in read(f"{record}.json")["raw"].items():
        ours, theirs = sides.get("default", {}), sides.get("hf", {})
        gains = [
            100 * (ours[seed]["accuracy"]["together"] - theirs[seed]["accuracy"]["encoder"])
            for seed in ours.keys() & theirs.keys()
        ]
        if gains:
            gain, what = sum(gains) / len(gains), name.split(":")[0]
            figures.append(Got(what=what, value=gain, enough=gain >= -0.3, record=record, form="+.1f"))
    return figures


def shares() -> list[Got]:
    """What share of the machine's rate of matrix products a step reaches, in per cent."""
    figures = []
    for where, machine in (("bf16", "cpu2zen4"), ("no bf16", "cpu2avx2")):
        record = f"{machine}/roofline_202611"
        for width, least in ((256, 65), (384, 75), (768, 85)):
            (one,) = [r for r in read(f"{record}.json")["results"] if r["id"] == f"C3-d{width}"]
            share = 100 * one["ratio_median"]
            what = f"{where}, {width} wide"
            figures.append(Got(what=what, value=share, enough=share >= least, record=record, form=".0f"))
    return figures


def seconds(found: Sequence[tuple[str, str, str, float]]) -> Callable[[], list[Got]]:
    """Figures that should be small: what each is of, its record, its id there, and the most."""

    def got() -> list[Got]:
        figures = []
        for what, record, name, most in found:
            (one,) = [r for r in read(f"{record}.json")["results"] if r["id"] == name]
            (value,) = [one[key] for key in ("seconds_median", "ratio_median", "median") if key in one]
            form = ".3f" if value < 0.2 else ".1f" if value < 10 else ".0f"
            figures.append(Got(what=what, value=value, enough=value <= most, record=record, form=form))
        return figures

    return got


def memory_of_custom() -> list[Got]:
    """Peak memory of `custom` as a share of `legacy`'s, no token left out."""
    figures = []
    for where, record in (("AMX", "cpu2amx/ablation_202611"), ("no bf16", "cpu2avx2/ablation_202611")):
        name = f"AG News lengths: {': '.join(NO_TOKEN_LEFT_OUT)}"
        (one,) = [r for r in read(f"{record}.json")["results"] if r["id"] == name]
        value = one["memory"]["median"]
        figures.append(Got(what=where, value=value, enough=value <= 0.4, record=record))
    return figures


AMX, BF16, FP32, SLOWER = "cpu2amx", "cpu2", "cpu2avx2", "cpu2zen4"
"""Folders of machines: with AMX, with bf16, without bf16, and with bf16 and slower products."""


def peers(name: str, *, fp32: bool = True) -> Callable[[], list[Got]]:
    """Training from scratch against the Trainer's best, on all machines and with encoders of three sizes."""
    small = [("AMX", AMX), ("bf16", BF16), *([("no bf16", FP32)] if fp32 else [])]
    found = [(what, f"{where}/peers_256x4_202611", f"{name}, 256x4", 1.3) for what, where in small]
    for width, size, least in ((384, "384x6", 1.3), (768, "768x12", 1.15)):
        found.append((f"{width} wide", f"{SLOWER}/peers_{size}_202611", f"{name}, {size}", least))
    return ratios(found)


def masked(name: str, least: float) -> Callable[[], list[Got]]:
    """Masked language modelling with encoders of two sizes."""
    sizes = ((256, "256x4"), (384, "384x6"))
    found = [
        (f"{width} wide", f"{SLOWER}/peers_mlm_{size}_202611", f"{name}, {size}", least)
        for width, size in sizes
    ]
    return ratios(found)


def on(record: str, name: str, least: float, *machines: tuple[str, str]) -> Callable[[], list[Got]]:
    """One comparison on several machines."""
    return ratios([(what, f"{where}/{record}_202611", name, least) for what, where in machines])
