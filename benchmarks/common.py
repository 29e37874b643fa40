"""What the scripts of this folder have in common: how they begin, and how the peer is set up.

Nothing here is measured: a script measures in children of its own, and each child is that script again.
"""

from __future__ import annotations

import argparse
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
"""custom-bert sets how threads wait and what oneDNN keeps; the peer keeps what the libraries do."""

QUIET: dict[str, Any] = {
    "report_to": "none",
    "save_strategy": "no",
    "logging_strategy": "no",
    "disable_tqdm": True,
    "use_cpu": True,
}
"""TrainingArguments of a peer that does nothing but train."""

BEST: dict[str, Any] = {"optim": "adamw_torch_fused", "train_sampling_strategy": "group_by_length"}
"""TrainingArguments that are the peer's fastest on a CPU, beside bf16 where the CPU computes it."""


def options_of(script: str, doc: str | None) -> argparse.ArgumentParser:
    """A parser that describes a script, with the option that all of them have."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawTextHelpFormatter)
    record = Path("benchmarks") / "results" / f"{Path(script).stem}.json"
    parser.add_argument("--out", type=Path, default=record, help="the record")
    return parser


def begin(main: Callable[[], None], tasks: Mapping[str, Task]) -> None:
    """Does what the process was started for: the whole benchmark, or one of its tasks in a child."""
    if not answer_as_child(sys.argv[1:], tasks):
        main()


def prepared(settings: Mapping[str, Any]) -> tuple[RunPlan, Material]:
    """What a run with these settings would train, and on what, before its first step."""
    from custom_bert.config_sources import from_mapping
    from custom_bert.training.prepare import prepare

    draft, material = prepare(from_mapping(settings), lambda line: None)
    return draft.final(), material


def padded(
    features: list[dict[str, Any]], *, multiple: int = 1, at_least: int = 0
) -> dict[str, torch.Tensor]:
    """Texts and labels as DataCollatorWithPadding gives them, for token ids that need no tokenizer of theirs.

    Args:
        features: of each text.
        multiple: the width of a batch is a multiple of it.
        at_least: the smallest width.
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
    """The metric by which the peer's evaluations are compared."""
    right = evaluated.predictions.argmax(-1) == evaluated.label_ids
    return {"accuracy": float(right.mean())}
