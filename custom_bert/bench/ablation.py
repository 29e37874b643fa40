"""What does each of the improvements buy on this machine? Alone against `legacy`, taken out of `custom`, and
the whole ladder from one to the other; with the proof that it computes the same, or what it does to learning.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import torch

from custom_bert import files
from custom_bert.bench import convergence
from custom_bert.bench.commands import Part
from custom_bert.bench.equality import Proof, prove
from custom_bert.bench.measure import markdown, shown, spread, write_record
from custom_bert.bench.picture import Bar, bars
from custom_bert.bench.speed import DROPOUT, VOCABULARY, defaults_here, measure
from custom_bert.bench.switches import LEGACY, Improvement, Switches, improvements
from custom_bert.bench.workloads import AG_NEWS, LENGTHS, Workload
from custom_bert.config import Precision, Size
from custom_bert.precision import choose_precision
from custom_bert.training.choices import token_dropout
from custom_bert.training.compile import choose_compile, compiler_fault

QUESTION = "What each improvement buys: speed, memory, and what it changes"
PARTS: tuple[Part, ...] = get_args(Part)
PART_NAMES = {"alone": "alone, against legacy", "removed": "custom with it, against custom without it"}
Cell = dict[str, Any] | None
"""A measurement, or None where the recipe does not fit into memory."""


@dataclass(frozen=True)
class Row:
    """One recipe to measure.

    Attributes:
        part: alone (against legacy without it), removed (custom with it, against custom without it), ladder
            or recipe.
        name: what was switched.
        switches: the recipe.
        base: key of the recipe that it is compared with.
    """

    part: str
    name: str
    switches: Switches
    base: str

    @property
    def key(self) -> str:
        """Identifies the recipe; equal recipes are measured once."""
        return key_of(self.switches)


def key_of(switches: Switches) -> str:
    """`naive gelu post eager fp32 padded all whole`."""
    words = (
        switches.attention,
        switches.hidden_act,
        switches.norm,
        "compiled" if switches.compile else "eager",
        switches.precision,
        switches.plan,
        "read" if switches.skip_unread else "all",
        f"dropping {switches.token_dropout:g}" if switches.token_dropout else "whole",
    )
    return " ".join(words)


def custom_recipe(switched: Sequence[Improvement]) -> Switches:
    """Everything on that the defaults take on this machine."""
    return replace(LEGACY, **{one.field: one.on for one in switched if one.in_custom})


def rows_for(switched: Sequence[Improvement], workload: Workload) -> list[Row]:
    """The recipes of a workload. Where all texts are equally long only attention is of interest."""
    custom = custom_recipe(switched)
    legacy = key_of(LEGACY)
    rows = [Row("recipe", "legacy", LEGACY, legacy), Row("recipe", "custom, all on", custom, legacy)]
    chosen = switched if workload is AG_NEWS else [i for i in switched if i.field == "attention"]
    for one in chosen:
        off = replace(LEGACY, **{one.field: one.off})
        rows.append(Row("alone", one.name, replace(LEGACY, **{one.field: one.on}), key_of(off)))
        on, off = (replace(custom, **{one.field: value}) for value in (one.on, one.off))
        rows.append(Row("removed", one.name, on, key_of(off)))
    if workload is AG_NEWS:
        step = LEGACY
        for one in switched:
            if one.in_custom:
                step = replace(step, **{one.field: one.on})
                rows.append(Row("ladder", f"+ {one.name}", step, legacy))
    return rows


def recipes(rows: Sequence[Row], switched: Sequence[Improvement]) -> dict[str, Switches]:
    """Every recipe that the rows need, each once."""
    custom = custom_recipe(switched)
    needed = {row.key: row.switches for row in rows}
    known = [replace(base, **{i.field: i.off}) for base in (LEGACY, custom) for i in switched]
    by_key = {key_of(switches): switches for switches in known}
    return needed | {row.base: by_key.get(row.base, LEGACY) for row in rows if row.base not in needed}


def run(
    *,
    device: str,
    quick: bool,
    size: Size | None,
    repeats: int | None,
    parts: Collection[Part] = PARTS,
    out: Path,
    command: str,
    tell: Callable[[str], None],
) -> None:
    """Measures everything and writes OUT.json, OUT.md and, of AG News's lengths, OUT.svg; the record is
    complete after each round.

    Args:
        device: "cpu" or "cuda".
        quick: one repeat, AG News lengths only, one seed: shows that it works.
        size: of the encoder; None for mini on a CPU and base on CUDA.
        repeats: measurements of each recipe, recipes in turn; None for 5.
        parts: speed at AG News's lengths, speed at fixed lengths, what changes learning.
        out: the record's path.
        command: for the record.
        tell: called with a line for each measurement.
    """
    size = size or ("base" if device == "cuda" else "mini")
    repeats = 1 if quick else repeats or 5
    switched, notes = _available(device)
    workloads: tuple[Workload, ...] = (AG_NEWS,) if "speed" in parts else ()
    if "lengths" in parts and not quick:
        workloads += LENGTHS
    tell(f"{size} encoder on {device}, {repeats} repeats; proofs first")
    chosen = {workload.name: at_lengths(switched, workload, device) for workload in workloads}
    everything = {one.name: one for some in (switched, *chosen.values()) for one in some}
    proofs = {name: prove(one, device) for name, one in everything.items()}
    for name, proof in proofs.items():
        if proof is not None:
            tell(f"{name}: {proof.what}: {proof.difference:.1e} (at most {proof.bound:g})")
    cells: dict[str, dict[str, list[Cell]]] = {w.name: {} for w in workloads}
    learned: dict[str, Any] = {}

    def save() -> None:
        _write(out, chosen, proofs, cells, learned, notes, size, device, command)

    for repeat in range(repeats):
        for workload in workloads:
            rows = rows_for(chosen[workload.name], workload)
            for key, switches in recipes(rows, chosen[workload.name]).items():
                seconds, warm = (0.0, 1) if quick else (4.0, 3)
                cell = measure(switches, workload, device=device, size=size, warm_steps=warm, seconds=seconds)
                cells[workload.name].setdefault(key, []).append(cell)
                said = "does not fit" if cell is None else f"{cell['tokens_per_second']:,.0f} tokens/s"
                tell(f"{repeat + 1}/{repeats} {workload.name}, {key}: {said}")
            save()
    if "learning" in parts:
        learned |= convergence.compare(
            [one for one in switched if one.changes_learning],
            seeds=1 if quick else 5,
            epochs=1 if quick else 6,
            rates=() if quick else convergence.RATES,
            tell=tell,
        )
        save()


def at_lengths(switched: Sequence[Improvement], workload: Workload, device: str) -> list[Improvement]:
    """The improvements for texts of a workload's lengths, token dropout by its rule. Where the defaults take
    another kernel than flash attention, that is a row of its own, and `custom` has it instead."""
    rule = defaults_here(torch.device(device), workload.max_length).attention
    found: list[Improvement] = []
    for one in switched:
        if one.field == "token_dropout":
            one = replace(one, on=token_dropout(workload.mean_tokens)[0])
        other = one.field == "attention" and rule != one.on
        found.append(replace(one, in_custom=one.in_custom and not other))
        if other:
            found.append(replace(one, name=f"attention by rule: {rule}", on=rule))
    return found


def _available(device: str) -> tuple[list[Improvement], list[str]]:
    """The improvements that this machine can switch, and a line for each that it cannot."""
    chosen, _ = choose_precision(None, torch.device(device))
    half: Precision = "bf16" if chosen == "fp32" else chosen
    rate, _ = token_dropout(AG_NEWS.mean_tokens)
    found, notes = list(improvements(half, "dense", rate)), []
    fault = compiler_fault(torch.device(device))
    if fault:
        found = [one for one in found if one.field != "compile"]
        notes.append(f"kernel fusion: not measured, torch.compile does not work here: {fault}")
    compiles, why = choose_compile(torch.device(device))
    left_out = {} if compiles else {"compile": f"off by default: {why}"}
    if chosen == "fp32":
        found = [one for one in found if one.field != "precision"]
        notes.append(
            "mixed precision: not measured: this CPU has no bf16 hardware and emulates it, 35 times slower "
            "where it was tried"
        )
    notes += [
        f"{one.name}: not in custom, as the defaults do not take it: {left_out[one.field]}"
        for one in found
        if one.field in left_out
    ]
    return [replace(one, in_custom=one.field not in left_out) for one in found], notes


def _ratios(cells: list[Cell], base: list[Cell], field: str) -> list[float] | None:
    """Repeat by repeat; None if either side did not fit."""
    if not cells or not base or None in cells or None in base:
        return None
    pairs = [(float(a[field]), float(b[field])) for a, b in zip(cells, base, strict=False) if a and b]
    return [a / max(b, 1e-9) for a, b in pairs]


def _write(
    out: Path,
    chosen: dict[str, list[Improvement]],
    proofs: dict[str, Proof | None],
    cells: dict[str, dict[str, list[Cell]]],
    learned: dict[str, Any],
    notes: list[str],
    size: Size,
    device: str,
    command: str,
) -> None:
    table = [
        f"Encoder `{size}`, vocabulary {VOCABULARY:,}, dropout {DROPOUT}, no attention dropout, whole "
        f"training steps on {device}; tokens of the texts taken in per second, padding not counted. Speed-up "
        f"and memory are ratios of runs in turn: median (smallest to largest). Memory is the peak of a fresh "
        f"process less what it held before its first step.",
        "",
        *(f"- {note}" for note in notes),
    ]
    entries: list[dict[str, Any]] = []
    for workload in (AG_NEWS, *LENGTHS):
        measured = cells.get(workload.name)
        if not measured:
            continue
        lines = []
        for row in rows_for(chosen[workload.name], workload):
            ours, base = measured.get(row.key, []), measured.get(row.base, [])
            speed = _ratios(ours, base, "tokens_per_second")
            memory = _ratios(ours, base, "step_mb")
            proof = proofs.get(row.name)
            lines.append(
                [
                    PART_NAMES.get(row.part, row.part),
                    row.name,
                    shown(speed) if speed else _why_not(ours, base),
                    shown(memory) if memory else "",
                    _verdict(proof) if row.part == "alone" else "",
                ]
            )
            if speed:
                entries.append(_entry(row, workload, speed, memory, out, device))
        table += [
            "",
            f"## {workload.name}, {workload.examples} texts a step, max_length {workload.max_length:,}",
            "",
            *markdown(["part", "improvement", "speed-up", "memory, share", "the same?"], lines),
        ]
    if learned:
        table += [
            "",
            "## What changes learning",
            "",
            "Sample data (sentences of Python's documentation, 12 areas), `tiny` encoder, accuracy and loss "
            "on its validation rows over the seeds; the largest learning rate whose accuracy is at least "
            "half of the best one's.",
            "",
            *markdown(
                ["improvement", "value", "accuracy in %", "loss", "largest rate that trains"],
                convergence.rows_of(learned),
            ),
        ]
    record = write_record(
        out,
        question=QUESTION,
        command=command,
        table=table,
        device=device,
        size=size,
        results=entries,
        proofs={name: None if p is None else asdict(p) for name, p in proofs.items()},
        learning=learned,
        raw=cells,
    )
    if cells.get(AG_NEWS.name):  # what the picture shows
        files.write_text(out.with_suffix(".svg"), _picture(record, size, device))


def _why_not(*sides: list[Cell]) -> str:
    return "does not fit into memory" if any(None in side for side in sides) else "not measured"


def _verdict(proof: Proof | None) -> str:
    if proof is None:
        return "changes learning, see below"
    return f"{'yes' if proof.holds else 'NO'}: {proof.difference:.0e}, {proof.what}"


def _entry(
    row: Row, workload: Workload, speed: list[float], memory: list[float] | None, out: Path, device: str
) -> dict[str, Any]:
    ratios = spread(speed)
    return {
        "id": f"{workload.name}: {row.part}: {row.name}",
        "ratio_median": ratios["median"],
        "ratio_min": ratios["min"],
        "ratio_max": ratios["max"],
        "memory": spread(memory) if memory else None,
        "repeats": len(speed),
        "recipe": row.key,
        "against": row.base,
        "device": device,
        "part": row.part,
        "name": row.name,
        "workload": workload.name,
        "values": speed,
    }


def _picture(record: dict[str, Any], size: Size, device: str) -> str:
    groups = {"alone": 0, "removed": 1, "ladder": 2}
    legend = (
        "alone, against legacy",
        "custom with it, against custom without it",
        "ladder from legacy to custom",
    )
    data = [
        Bar(entry["name"], groups[entry["part"]], tuple(entry["values"]))
        for entry in record["results"]
        if entry["part"] in groups and entry["workload"] == AG_NEWS.name
    ]
    facts = record["machine"]
    where = facts["processor"] if device == "cpu" else facts["device"]
    subtitle = f"{size} encoder, {AG_NEWS.name}, {where}, {facts['cpu_capability']}, torch {facts['torch']}"
    return bars(
        "Training speed: what each improvement buys", subtitle, legend, data, "times as many tokens a second"
    )
