"""What does each of the improvements buy on this machine? Alone against `legacy`, taken out of `custom`, and
the whole ladder from one to the other; with the proof that it computes the same, or what it does to learning.
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
    switched, notes = available(device)
    workloads: tuple[Workload, ...] = (AG_NEWS,) if "speed" in parts else ()
    if "lengths" in parts and not quick:
        workloads += LENGTHS
    tell(f"{size} encoder on {device}, {repeats} repeats; proofs first")
    chosen = {workload.name: at_lengths(switched, workload, device) for workload in workloads}
    proofs = _proofs([*switched, *(one for some in chosen.values() for one in some)], device, tell)
    cells: dict[str, dict[str, list[Cell]]] = {workload.name: {} for workload in workloads}
    record = Record(out, command, size, device, chosen, proofs, notes, cells)
    for repeat in range(repeats):
        for workload in workloads:
            told = f"{repeat + 1}/{repeats} {workload.name}"
            _measure(cells[workload.name], chosen[workload.name], workload, device, size, quick, told, tell)
            record.write()
    if "learning" in parts:
        record.learned |= convergence.compare(
            [one for one in switched if one.changes_learning],
            seeds=1 if quick else 5,
            epochs=1 if quick else 6,
            rates=() if quick else convergence.RATES,
            tell=tell,
        )
        record.write()


def _proofs(
    switched: Sequence[Improvement], device: str, tell: Callable[[str], None]
) -> Mapping[str, Proof | None]:
    """That each improvement computes the same, by its name; of some of one name, the last."""
    proofs = {name: prove(one, device) for name, one in {one.name: one for one in switched}.items()}
    for name, proof in proofs.items():
        if proof is not None:
            tell(f"{name}: {proof.what}: {proof.difference:.1e} (at most {proof.bound:g})")
    return proofs


def _measure(
    cells: dict[str, list[Cell]],
    switched: Sequence[Improvement],
    workload: Workload,
    device: str,
    size: Size,
    quick: bool,
    told: str,
    tell: Callable[[str], None],
) -> None:
    """A round: every recipe of a workload once, put with those before it; `told` begins each line."""
    seconds, warm = (0.0, 1) if quick else (4.0, 3)
    for key, switches in recipes(rows_for(switched, workload), switched).items():
        cell = measure(switches, workload, device=device, size=size, warm_steps=warm, seconds=seconds)
        cells.setdefault(key, []).append(cell)
        said = "does not fit" if cell is None else f"{cell['tokens_per_second']:,.0f} tokens/s"
        tell(f"{told}, {key}: {said}")
