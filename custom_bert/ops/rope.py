"""Rotary position embedding (Su et al. 2021, arXiv 2104.09864).

As in ModernBERT, element j of a head is rotated together with element j + K / 2.

Shapes: T rows, H heads, K head width.
"""

from __future__ import annotations

import torch
from torch import Tensor


def rope_tables(positions_T: Tensor, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Returns the cosines and sines of every row's angles, each (T, 1, K) in fp32.

    Args:
        positions_T: (T,) integers from 0.
        head_dim: K, even.
        theta: the base; the frequency j is theta ** (-2 j / K).
    """
    steps = torch.arange(0, head_dim, 2, device=positions_T.device, dtype=torch.float32) / head_dim
    angles = positions_T[:, None].float() * (1.0 / theta**steps)
    angles_T1K = torch.cat([angles, angles], dim=-1)[:, None, :]
    return angles_T1K.cos(), angles_T1K.sin()


def apply_rope(x_THK: Tensor, cos_T1K: Tensor, sin_T1K: Tensor) -> Tensor:
    """Rotates queries or keys. It computes in the tables' precision, and returns x's."""
    first, second = x_THK.chunk(2, dim=-1)
    rotated = torch.cat([-second, first], dim=-1)
    return (x_THK * cos_T1K + rotated * sin_T1K).to(x_THK.dtype)
