"""The record of `bench ablation`: OUT.json, its tables as OUT.md, and a picture as OUT.svg."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from custom_bert import files
from custom_bert.bench import convergence
from custom_bert.bench.equality import Proof
from custom_bert.bench.measure import markdown, shown, spread, write_record
from custom_bert.bench.recipes import Row, rows_for
from custom_bert.bench.speed import DROPOUT, VOCABULARY
from custom_bert.bench.switches import Improvement
from custom_bert.bench.workloads import AG_NEWS, LENGTHS, Workload
from custom_bert.config import Size
from custom_bert.reports.pictures import Bar, bars

QUESTION = "What each improvement buys: speed, memory, and what it changes"
PART_NAMES = {"alone": "alone, against legacy", "removed": "custom with it, against custom without it"}
Cell = dict[str, Any] | None
"""A measurement, or None where the recipe does not fit into memory."""


@dataclass
class Record:
    """Everything measured so far. It is written after each round.

    Attributes:
        out: the path of OUT.json.
        command: the command line that measures this again.
        size: the size of the encoder.
        device: "cpu" or "cuda".
        chosen: the improvements that are measured, by workload.
        proofs: for each improvement the proof that it computes the same, or None if it changes learning.
        notes: a line for each improvement that this machine cannot switch or that `custom` leaves off here.
        cells: measurements by workload and recipe, one for each round.
        learned: the result of `convergence.compare`.
    """

    out: Path
    command: str
    size: Size
    device: str
    chosen: Mapping[str, Sequence[Improvement]]
    proofs: Mapping[str, Proof | None]
    notes: Sequence[str]
    cells: dict[str, dict[str, list[Cell]]]
    learned: dict[str, Any] = field(default_factory=dict)

    def write(self) -> None:
        """Writes OUT.json, OUT.md and, once texts of AG News's lengths are measured, OUT.svg."""
        measured = [workload for workload in (AG_NEWS, *LENGTHS) if self.cells.get(workload.name)]
        table = [
            f"Encoder `{self.size}`, vocabulary {VOCABULARY:,}, dropout {DROPOUT}, no attention dropout, "
            f"whole training steps on {self.device}; tokens of the texts taken in per second, padding not "
            f"counted. Speed-up and memory are ratios of runs in turn: median (smallest to largest). Memory "
            f"is the peak of a fresh process less what it held before its first step.",
            "",
            *(f"- {note}" for note in self.notes),
            *(line for workload in measured for line in self._table(workload)),
            *(_learning_table(self.learned) if self.learned else ()),
        ]
        record = write_record(
            self.out,
            question=QUESTION,
            command=self.command,
            table=table,
            device=self.device,
            size=self.size,
            results=[entry for workload in measured for entry in self._entries(workload)],
            proofs={name: None if p is None else asdict(p) for name, p in self.proofs.items()},
            learning=self.learned,
            raw=self.cells,
        )
        if self.cells.get(AG_NEWS.name):  # the picture shows these alone
            files.write_text(self.out.with_suffix(".svg"), _picture(record, self.size, self.device))

    def _sides(self, workload: Workload) -> list[tuple[Row, list[Cell], list[Cell]]]:
        """The rows of a workload, each with its own measurements and those of its baseline."""
        measured = self.cells[workload.name]
        rows = rows_for(self.chosen[workload.name], workload)
        return [(row, measured.get(row.key, []), measured.get(row.base, [])) for row in rows]

    def _table(self, workload: Workload) -> list[str]:
        """The Markdown table of one workload: what each improvement buys at its lengths."""
        lines = []
        for row, ours, base in self._sides(workload):
            speed = _ratios(ours, base, "tokens_per_second")
            memory = _ratios(ours, base, "step_mb")
            lines.append(
                [
                    PART_NAMES.get(row.part, row.part),
                    row.name,
                    shown(speed) if speed else _why_not(ours, base),
                    shown(memory) if memory else "",
                    _verdict(self.proofs.get(row.name)) if row.part == "alone" else "",
                ]
            )
        return [
            "",
            f"## {workload.name}, {workload.examples} texts a step, max_length {workload.max_length:,}",
            "",
            *markdown(["part", "improvement", "speed-up", "memory, share", "the same?"], lines),
        ]

    def _entries(self, workload: Workload) -> list[dict[str, Any]]:
        """The record's results: one for each row that was measured on both sides."""
        entries = []
        for row, ours, base in self._sides(workload):
            speed, memory = _ratios(ours, base, "tokens_per_second"), _ratios(ours, base, "step_mb")
            if speed:
                entries.append(_entry(row, workload, speed, memory, self.device))
        return entries


def _learning_table(learned: dict[str, Any]) -> list[str]:
    return [
        "",
        "## What changes learning",
        "",
        "Sample data, `tiny` encoder, accuracy and loss on its validation rows over the seeds; the largest "
        "learning rate whose accuracy is at least half of the best one's.",
        "",
        *markdown(
            ["improvement", "value", "accuracy in %", "loss", "largest rate that trains"],
            convergence.rows_of(learned),
        ),
    ]


def _ratios(cells: list[Cell], base: list[Cell], field: str) -> list[float] | None:
    """The ratio in each round; None if a side was not measured or did not fit into memory."""
    if not cells or not base or None in cells or None in base:
        return None
    pairs = [(float(a[field]), float(b[field])) for a, b in zip(cells, base, strict=False) if a and b]
    return [a / max(b, 1e-9) for a, b in pairs]  # a step may take 0 MB by the system's count


def _why_not(*sides: list[Cell]) -> str:
    return "does not fit into memory" if any(None in side for side in sides) else "not measured"


def _verdict(proof: Proof | None) -> str:
    if proof is None:
        return "changes learning, see below"
    return f"{'yes' if proof.holds else 'NO'}: {proof.difference:.0e}, {proof.what}"


def _entry(
    row: Row, workload: Workload, speed: list[float], memory: list[float] | None, device: str
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
