"""Writes what every configuration does on the simulated GPU, and what a step costs the host, into a record.

    PYTHONPATH=.:tests python -m gpu_simulated.record --out FILE

With `--package FOLDER` it is another version of the package that runs, for a comparison. What that one cannot
do yet is noted as a fault.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from gpu_simulated.connection import ROOT, asking, small_data
from gpu_simulated.matrix import CONFIGURATIONS, REFUSED

SHAPES = ((256, 4), (768, 12))


def shown(answer: dict[str, Any]) -> dict[str, Any]:
    """The parts of an answer that a record holds."""
    ran = "ran" if "returned" in answer else answer.get("refused") or answer["fault"].splitlines()[-1]
    waits = [[line, kind, count] for part, line, kind, count in answer["waits"] if part == "step"]
    return {
        "result": ran,
        "steps": answer.get("returned"),
        "waits_in_steps": waits,
        "kernels_a_step": round(answer["operations"]),
        "operations_a_step": round(answer["dispatched"]),
    }


def write(record: dict[str, Any], out: Path) -> None:
    """Writes the record, and a table for people beside it."""
    out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    lines = [f"# {record['question']}", "", f"`{record['command']}` at {record['commit']}."]
    for part in ("steps", "configurations"):
        lines += ["", f"| {part} | result | kernels a step | operations | waits |", "|---|---|---|---|---|"]
        for name, found in record[part].items():
            waits = sum(count for _, _, count in found["waits_in_steps"])
            counts = (found["kernels_a_step"], found["operations_a_step"], waits)
            lines.append(f"| {name} | {found['result']} | {' | '.join(f'{one:,}' for one in counts)} |")
    out.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def commit_of(package: Path) -> str:
    """The commit of a checkout."""
    command = ["git", "-C", str(package), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout.strip()


def main() -> None:
    """Asks for everything, one after the other, and writes the record after each answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--package", type=Path, default=ROOT)
    options = parser.parse_args()
    record: dict[str, Any] = {
        "question": "What a step costs the host, and which configurations run, on a simulated GPU",
        "command": "PYTHONPATH=.:tests python -m gpu_simulated.record --out FILE",
        "commit": commit_of(options.package),
        "steps": {},
        "configurations": {},
    }
    with asking(options.package) as ask, tempfile.TemporaryDirectory() as folder:
        data = small_data(Path(folder) / "data")
        for (width, layers), masked, plan, capability in (
            (shape, masked, plan, capability)
            for shape in SHAPES
            for masked in (False, True)
            for plan in ("uniform_length", "packed")
            for capability in ([9, 0], [7, 5])
        ):
            what = "masked tokens" if masked else "labels"
            name = f"{width}x{layers} {what} {plan} {'T4' if capability == [7, 5] else 'bf16'}"
            kind = {
                "width": width,
                "layers": layers,
                "plan": plan,
                "masked": masked,
                "capability": capability,
            }
            record["steps"][name] = shown(ask("step", **kind))
            print(name, record["steps"][name], flush=True)
            write(record, options.out)
        for pooling, plan in (("mean", "uniform_length"), ("mean", "packed")):
            name = f"256x4 labels {plan} bf16 mean pooling"
            kind = {"width": 256, "layers": 4, "plan": plan, "masked": False, "capability": [9, 0]}
            record["steps"][name] = shown(ask("step", **kind, pooling=pooling))
            print(name, record["steps"][name], flush=True)
        for number, (name, settings) in enumerate(
            [*CONFIGURATIONS.items(), *((name, changes) for name, (changes, _) in REFUSED.items())]
        ):
            changes = dict(settings)
            machine = changes.pop("machine", None)
            out = Path(folder) / f"run{number}"
            answer = ask("train", data=data, out=out, changes=changes, machine=machine)
            record["configurations"][name] = shown(answer)
            print(name, record["configurations"][name], flush=True)
            write(record, options.out)


if __name__ == "__main__":
    main()
