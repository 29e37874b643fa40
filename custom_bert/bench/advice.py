"""What follows from the rounds of `bench tune`: the settings to paste, and the record of all measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from custom_bert.bench.alternatives import Alternative, option
from custom_bert.bench.measure import markdown, ratio_row, shown, spread, write_record

QUESTION = "Which settings are the fastest here, for these texts and settings"
LEAST = 1.03
"""How many times as fast an alternative has to be in every round to be worth a line in a configuration."""

AS_TAKEN, BESIDE, TOGETHER = "as taken", "as taken, beside them", "all that are faster"
"""Names of the measurements that are not of a single alternative: the settings as they are taken, the same
again beside all faster ones, and all faster ones together."""

Cells = Sequence[Mapping[str, Any]]
"""Measurements of one side, one for each round; see `tune.time_settings` for the keys."""


def ratios(cells: Cells, base: Cells, what: str = "tokens_per_second") -> list[float]:
    """The ratio of one side to another in each round, without rounds in which the side was refused."""
    return [a[what] / b[what] for a, b in zip(cells, base, strict=False) if "refused" not in a]


def median(cells: Cells, base: Cells) -> float:
    """The median speed-up of one side over another."""
    return spread(ratios(cells, base))["median"]


def every_round(cells: Cells, base: Cells) -> bool:
    """Whether a side was measured in every round, and was faster in each by at least `LEAST`."""
    speed_ups = ratios(cells, base)
    return len(speed_ups) == len(base) and min(speed_ups) >= LEAST


def fastest(others: Sequence[Alternative], raw: Mapping[str, Cells]) -> list[Alternative]:
    """The fastest value of each setting, if it is faster than the value that is taken in every round."""
    best: dict[str, Alternative] = {}
    base = raw[AS_TAKEN]
    for one in others:
        if not one.learns_the_same or not every_round(raw[one.name], base):
            continue
        other = best.get(one.setting)
        if other is None or median(raw[one.name], base) > median(raw[other.name], base):
            best[one.setting] = one
    return list(best.values())


def advice(faster: Sequence[Alternative], raw: Mapping[str, Cells]) -> list[str]:
    """The lines that advise the user: how much faster it is, and what to paste where."""
    if not faster:
        return [f"nothing is {LEAST - 1:.0%} faster in every round: what is taken stays"]
    own, base = (TOGETHER, BESIDE) if len(faster) > 1 else (faster[0].name, AS_TAKEN)
    speed_ups = ratios(raw[own], raw[base])
    lines = [
        f"{shown(speed_ups)} times as fast as what is taken, in {len(speed_ups)} rounds; to paste:",
        f"  command line: {' '.join(one.name for one in faster)}",
    ]
    groups: dict[str, list[str]] = {}
    for one in faster:
        group, _, name = one.setting.partition(".")
        groups.setdefault(group, []).append(f'"{name}": {_literal(one.value)},')
    lines += [f'  config.py, in "{group}": {" ".join(some)}' for group, some in groups.items()]
    return [*lines, "  instead of lines of the same names, where there are any"]


def _literal(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


@dataclass
class Record:
    """Everything measured so far. It is written after each round.

    Attributes:
        out: the path of OUT.json.
        command: the command line that measures this again.
        device: "cpu" or "cuda".
        taken: the settings that a run takes without advice.
        others: the alternatives that are measured against them.
        raw: measurements by name, one for each round.
        faster: the alternatives that are advised so far.
    """

    out: Path
    command: str
    device: str
    taken: Mapping[str, Any]
    others: Sequence[Alternative]
    raw: Mapping[str, Cells]
    faster: Sequence[Alternative] = field(default_factory=tuple)

    def write(self) -> None:
        """Writes OUT.json and OUT.md."""
        rows, results = self._rows()
        write_record(
            self.out,
            question=QUESTION,
            command=self.command,
            device=self.device,
            table=[
                f"Taken: `{' '.join(option(name, value) for name, value in self.taken.items())}`. Tokens of "
                f"texts a second of the whole run, what precedes its first step included, against what is "
                f"taken; ratios of runs in turn, median (smallest to largest).",
                "",
                *markdown(["instead", "speed", "memory of the process", "learns the same"], rows),
                *(["", *(f"    {line}" for line in advice(self.faster, self.raw))] if self.faster else []),
            ],
            taken=dict(self.taken),
            faster={one.setting: one.value for one in self.faster},
            results=results,
            raw=self.raw,
        )

    def _rows(self) -> tuple[list[list[str]], list[dict[str, Any]]]:
        """The table's rows and the record's results: one for each alternative, one for all faster ones."""
        learns = {
            one.name: "yes" if one.learns_the_same else "no, batches of another size" for one in self.others
        }
        rows, results = [], []
        for name, cells in self.raw.items():
            if name in (AS_TAKEN, BESIDE):
                continue
            base, alike = self.raw[BESIDE if name == TOGETHER else AS_TAKEN], learns.get(name, "yes")
            refused = next((cell["refused"] for cell in cells if "refused" in cell), None)
            if refused:
                rows.append([name, refused, "", alike])
                continue
            speed, memory = ratios(cells, base), ratios(cells, base, "peak_mb")
            rows.append([name, shown(speed), shown(memory), alike])
            results.append({**ratio_row(f"tune: {name}", speed), "memory": spread(memory)})
        return rows, results
