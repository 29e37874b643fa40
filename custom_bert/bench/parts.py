"""The names of the ablation's parts, in a module without torch, so that the command line starts fast."""

from __future__ import annotations

from typing import Literal, get_args

Part = Literal["speed", "lengths", "learning"]
PARTS: tuple[Part, ...] = get_args(Part)
"""speed: on texts of AG News's lengths. lengths: on texts of one length each. learning: accuracy and loss."""
