"""Kernel fusion by torch.compile: whether to use it, and for which parts of a model."""

from __future__ import annotations

import torch

from custom_bert import torch_internals
from custom_bert.errors import first_line
from custom_bert.models.encoder import Encoder
from custom_bert.models.layers import EncoderLayer

GRAPHS = 8
"""The number of graphs that a run may compile of one function. Shapes that come later run uncompiled, and
torch logs that."""


def choose_compile(device: torch.device) -> tuple[bool, str]:
    """Returns whether to compile if the user leaves it open, and the reason."""
    if device.type == "cuda":
        return False, "off until a measurement on this kind of device supports it"
    return False, "measured on CPUs to gain 0.9 to 1.1 x after 12 to 60 s of compiling"


def compiler_fault(device: torch.device) -> str | None:
    """Compiles a trivial function, and returns one line about why torch.compile cannot work here; None if it
    can."""
    probe = torch.ones(8, device=device)

    def add(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.gelu(x) + 1

    try:
        torch.compile(add)(probe)
    except Exception as error:  # a missing toolchain raises errors of many kinds
        return first_line(error)[:200]
    return None


def compile_layers(encoder: Encoder) -> None:
    """Compiles the MLP of every layer with dynamic shapes, so that all layers and batches use one graph.

    Attention is not compiled, because its kernels are fused already or are matrix products.
    """
    torch_internals.set_recompile_limit(GRAPHS)
    for layer in encoder.layers:
        assert isinstance(layer, EncoderLayer)
        layer.mlp.compile(dynamic=True)


def fusion_line(eager: float, first: float, fused: float) -> str:
    """Returns a line about what compiling cost and whether it pays back.

    Args:
        eager: the seconds of a pass of one batch before compiling.
        first: the seconds of the pass that compiled.
        fused: the seconds of a pass after that.
    """
    cost = max(0.0, first - fused)
    pays = f"pays back after {cost / (eager - fused):,.0f} batches" if fused < eager else "does not pay back"
    return f"kernel fusion: {cost:.0f} s to compile; a pass takes {fused / eager:.2f} of its time, {pays}"
