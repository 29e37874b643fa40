"""The parts of the ablation, by name. torch is not needed to know them."""

from __future__ import annotations

from typing import Literal, get_args

Part = Literal["speed", "lengths", "learning"]
PARTS: tuple[Part, ...] = get_args(Part)
