"""Helpers that the scripts of this folder share: how they start, and how the peer is set up.

Nothing is measured in a script's own process. A script starts itself again for each measurement, as a child.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custom_bert.bench.measure import Task, answer_as_child
from custom_bert.process import LIBRARY_DEFAULTS

if TYPE_CHECKING:  # the parent of all measurements needs no torch
    import torch

    from custom_bert.training.plan import Material, RunPlan

ENVIRONMENT = {"ours": {}, "hf": LIBRARY_DEFAULTS}
"""Variables of the measuring process. custom-bert sets how threads wait and what oneDNN keeps; the peer runs
with the libraries' own defaults."""

QUIET: dict[str, Any] = {
    "report_to": "none",
    "save_strategy": "no",
    "logging_strategy": "no",
    "disable_tqdm": True,
    "use_cpu": True,
}
"""TrainingArguments with which the peer only trains: no logging, no saving."""

BEST: dict[str, Any] = {"optim": "adamw_torch_fused", "train_sampling_strategy": "group_by_length"}
"""TrainingArguments that make the peer fastest on a CPU. Where the CPU computes bf16, that is added."""


def options_of(script: str, doc: str | None) -> argparse.ArgumentParser:
    """A parser with a script's description and --out, which all scripts have.

    A record belongs into the folder of its machine (benchmarks/results/README.md). By default it is written
    into the folder new, from which it is moved there.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawTextHelpFormatter)
    record = Path("benchmarks") / "results" / "new" / f"{Path(script).stem}.json"
    parser.add_argument("--out", type=Path, default=record, help="the record")
    return parser


def begin(main: Callable[[], None], tasks: Mapping[str, Task]) -> None:
    """Runs the whole benchmark or, in a child, the one task that it was started for."""
    if not answer_as_child(sys.argv[1:], tasks):
        main()


def record_of(run: Path) -> dict[str, Any]:
    """Reads run.json of a run directory."""
    found: dict[str, Any] = json.loads((run / "run.json").read_text(encoding="utf-8"))
    return found


def metrics_of(run: Path) -> list[dict[str, Any]]:
    """Reads metrics.jsonl of a run directory that nobody writes."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def memory(measured: Mapping[str, Any]) -> int:
    """The peak of a measured process in MiB, with what the processes hold that it has started."""
    # the second is sampled, and the first is not
    return max(measured["peak_mb"], measured["family_peak_mb"])


def prepared(settings: Mapping[str, Any]) -> tuple[RunPlan, Material]:
    """What a run with these settings would train, and on what, before its first step."""
    from custom_bert.config_sources import from_mapping
    from custom_bert.training.prepare import prepare

    draft, material = prepare(from_mapping(settings), lambda line: None)
    return draft.final(), material


def padded(
    features: list[dict[str, Any]], *, multiple: int = 1, at_least: int = 0
) -> dict[str, torch.Tensor]:
    """A padded batch as DataCollatorWithPadding makes it, but without a tokenizer of transformers.

    Args:
        features: `input_ids` and `labels` of each text.
        multiple: the width of the batch is rounded up to a multiple of it.
        at_least: the smallest width of a batch.
    """
    import torch

    longest = max(len(f["input_ids"]) for f in features)
    longest = max(at_least, -(-longest // multiple) * multiple)
    ids = torch.zeros(len(features), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, feature in enumerate(features):
        n = len(feature["input_ids"])
        ids[row, :n], mask[row, :n] = torch.tensor(feature["input_ids"]), 1
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "labels": torch.tensor([f["labels"] for f in features]),
    }


def accuracy(evaluated: Any) -> dict[str, float]:
    """Computes the accuracy in the peer's evaluations."""
    right = evaluated.predictions.argmax(-1) == evaluated.label_ids
    return {"accuracy": float(right.mean())}
