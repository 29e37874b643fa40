"""What the thread that builds batches prepares for a GPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from custom_bert.config import TrainConfig
from custom_bert.layout import Layout
from custom_bert.ops.attention import plan_ahead
from custom_bert.ops.kernels import has_flash
from custom_bert.training.decisions import HEAD_WIDTH


def plans_ahead(config: TrainConfig, device: torch.device) -> Callable[[Layout, bool], None] | None:
    """Returns what plans, in the loader's thread, how a GPU's kernels take a batch; None for a CPU, on which
    a plan costs the same wherever it is made."""
    if device.type != "cuda":
        return None
    flash = config.runtime.precision != "fp32" and has_flash(device, HEAD_WIDTH)
    if config.model.attention_dropout and config.batch.plan != "packed":
        flash = True  # block by block, since flash attention does not drop weights: nothing is to be planned
    return partial(plan_ahead, kernel=config.runtime.attention, flash=flash)
