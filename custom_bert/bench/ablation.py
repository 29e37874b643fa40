"""What does each of the improvements buy on this machine?

Each is measured alone against `legacy`, taken out of `custom`, and as a step of the ladder from one to the
other. Beside the speed stands a proof that the improvement computes the same, or what it does to learning.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from custom_bert.bench import convergence
from custom_bert.bench.ablation_record import Cell, Record
from custom_bert.bench.equality import Proof, prove
from custom_bert.bench.parts import PARTS, Part
from custom_bert.bench.recipes import at_lengths, available, recipes, rows_for
from custom_bert.bench.speed import measure
from custom_bert.bench.switches import Improvement
from custom_bert.bench.workloads import AG_NEWS, LENGTHS, Workload
from custom_bert.config import Size


def run(
    *,
    device: str,
    quick: bool,
    size: Size | None,
    repeats: int | None,
    parts: Collection[Part] = PARTS,
    out: Path,
    command: str,
    say: Callable[[str], None],
) -> None:
    """Measures everything and writes OUT.json, OUT.md and, where AG News's lengths are measured, OUT.svg.

    The files are written after each round, so that an interrupted measurement leaves a complete record.

    Args:
        device: "cpu" or "cuda".
        quick: takes one repeat, one seed and AG News's lengths only, which shows that it works.
        size: the size of the encoder; None takes mini on a CPU and base on CUDA.
        repeats: how often each recipe is measured, recipes in turn; None takes 5.
        parts: which parts are measured; see `PARTS`.
        out: the path of OUT.json.
        command: the command line, for the record.
        say: called with a line for each measurement.
    """
    size = size or ("base" if device == "cuda" else "mini")
    repeats = 1 if quick else repeats or 5
    switched, notes = available(device)
    workloads: tuple[Workload, ...] = (AG_NEWS,) if "speed" in parts else ()
    if "lengths" in parts and not quick:
        workloads += LENGTHS
    say(f"{size} encoder on {device}, {repeats} repeats; proofs first")
    chosen = {workload.name: at_lengths(switched, workload, device) for workload in workloads}
    proofs = _proofs([*switched, *(one for some in chosen.values() for one in some)], device, say)
    cells: dict[str, dict[str, list[Cell]]] = {workload.name: {} for workload in workloads}
    record = Record(out, command, size, device, chosen, proofs, notes, cells)
    for repeat in range(repeats):
        for workload in workloads:
            label = f"{repeat + 1}/{repeats} {workload.name}"
            _measure(cells[workload.name], chosen[workload.name], workload, device, size, quick, label, say)
            record.write()
    if "learning" in parts:
        record.learned |= convergence.compare(
            [one for one in switched if one.changes_learning],
            seeds=1 if quick else 5,
            epochs=1 if quick else 6,
            rates=() if quick else convergence.RATES,
            say=say,
        )
        record.write()


def _proofs(
    switched: Sequence[Improvement], device: str, say: Callable[[str], None]
) -> Mapping[str, Proof | None]:
    """The proof of each improvement, by name. Of several improvements with one name, the last is proved."""
    proofs = {name: prove(one, device) for name, one in {one.name: one for one in switched}.items()}
    for name, proof in proofs.items():
        if proof is not None:
            say(f"{name}: {proof.what}: {proof.difference:.1e} (at most {proof.bound:g})")
    return proofs


def _measure(
    cells: dict[str, list[Cell]],
    switched: Sequence[Improvement],
    workload: Workload,
    device: str,
    size: Size,
    quick: bool,
    label: str,
    say: Callable[[str], None],
) -> None:
    """Measures every recipe of a workload once and appends to `cells`. Each line begins with `label`."""
    seconds, warm = (0.0, 1) if quick else (4.0, 3)
    for key, switches in recipes(rows_for(switched, workload), switched).items():
        cell = measure(switches, workload, device=device, size=size, warm_steps=warm, seconds=seconds)
        cells.setdefault(key, []).append(cell)
        result = "does not fit" if cell is None else f"{cell['tokens_per_second']:,.0f} tokens/s"
        say(f"{label}, {key}: {result}")
