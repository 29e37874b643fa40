"""Kernel fusion by torch.compile: whether, and of what."""

from __future__ import annotations

import torch

from custom_bert import torch_internals
from custom_bert.errors import first_line
from custom_bert.models.encoder import Encoder
from custom_bert.models.layers import EncoderLayer

GRAPHS = 8
"""Graphs of one function that a run may compile; later shapes run as they were, and torch says so."""


def choose_compile(device: torch.device) -> tuple[bool, str]:
    """Whether to compile when the user did not say."""
    if device.type == "cuda":
        return False, "off until a measurement on this kind of device supports it"
    return False, "measured on CPUs to gain 0.9 to 1.1 x after 12 to 60 s of compiling"


def compiler_fault(device: torch.device) -> str | None:
    """One line about why torch.compile cannot work here, or None. Compiles a trivial function."""
    probe = torch.ones(8, device=device)

    def add(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.gelu(x) + 1

    try:
        torch.compile(add)(probe)
    except Exception as error:  # whatever a missing toolchain raises
        return first_line(error)[:200]
    return None


def compile_layers(encoder: Encoder) -> None:
    """Compiles the MLP of every layer with dynamic shapes: one graph serves all layers and batches.

    Attention stays as it is: its kernels are fused already, or matrix products.
    """
    torch_internals.set_recompile_limit(GRAPHS)
    for layer in encoder.layers:
        assert isinstance(layer, EncoderLayer)
        layer.mlp.compile(dynamic=True)


def fusion_line(eager: float, first: float, fused: float) -> str:
    """What compiling cost and whether it pays back, from the seconds of three passes of one batch.

    Args:
        eager: before compiling.
        first: the pass that compiled.
        fused: one after it.
    """
    cost = max(0.0, first - fused)
    pays = f"pays back after {cost / (eager - fused):,.0f} batches" if fused < eager else "does not pay back"
    return f"kernel fusion: {cost:.0f} s to compile; a pass takes {fused / eager:.2f} of its time, {pays}"
