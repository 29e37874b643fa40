"""Kernel fusion: whether to use it, and how a model gets it.

On a CPU the kernels of `ops.fused` compute what lies between an encoder's matrix products. A C++ compiler
builds them once on each machine, and the cache keeps them. On a GPU torch.compile fuses the MLPs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.nn.functional as F

from custom_bert import torch_internals
from custom_bert.data.cache import Cache
from custom_bert.errors import WriteError, first_line
from custom_bert.models.encoder import Encoder
from custom_bert.models.layers import EncoderLayer
from custom_bert.ops.fused.functions import Kernels
from custom_bert.ops.fused.library import NoKernelsError, compile_into, compiler, file_name, load

GRAPHS = 8
"""The number of graphs that a run may compile of one function. Shapes that come later run uncompiled, and
torch logs that."""

FOLDER = "kernels"
"""The folder of the cache in which the compiled kernels are kept."""


def choose_compile(device: torch.device, *, shard: bool = False) -> tuple[bool, str]:
    """Returns whether to fuse kernels if the user leaves it open, and the reason.

    Args:
        device: the device that trains.
        shard: whether weights are divided among processes, which the kernels cannot read.
    """
    if device.type == "cuda":
        return False, "off until a measurement on this kind of device supports it"
    if shard:
        return False, "fused kernels read whole weights"
    if sys.platform != "linux":
        return False, "fused kernels were tried on Linux only"
    if compiler() is None:
        return False, "there is no C++ compiler that could build fused kernels"
    return True, "a C++ compiler builds fused kernels once on this machine"


def fuse(encoder: Encoder, device: torch.device, cache: Cache) -> None:
    """Fuses the kernels of an encoder in training.

    Raises:
        NoKernelsError: if this machine cannot compile them.
    """
    if device.type == "cpu":
        encoder.kernels = cpu_kernels(cache)
        return
    if fault := compiler_fault(device):
        raise NoKernelsError(fault)
    compile_layers(encoder)


def cpu_kernels(cache: Cache) -> Kernels:
    """Returns the fused kernels for this CPU, from the cache or compiled now.

    Raises:
        NoKernelsError: if they cannot be compiled or loaded, or compute wrong numbers.
        WriteError: if no place of the cache can be written.
    """

    def read(root: Path) -> Kernels | None:
        path = root / FOLDER / file_name()
        try:
            return Kernels(load(path)) if path.is_file() else None
        except NoKernelsError:  # damaged: it is compiled anew
            return None

    name = file_name()
    if name in _loaded:
        return _loaded[name]
    kernels = cache.get(read, lambda root: Kernels(load(compile_into(cache.folder(root, FOLDER)))))
    x = torch.linspace(-9, 9, 74).view(2, 37)
    with torch.no_grad():
        found = kernels.activation(x, None, "gelu", gated=False)
    if not torch.allclose(found, F.gelu(x), atol=1e-5):
        raise NoKernelsError("the compiled kernels compute wrong numbers")
    _loaded[name] = kernels
    return kernels


_loaded: dict[str, Kernels] = {}
"""The kernels that this process has loaded and tried, by the name of their file."""


def fusion_fault(device: torch.device, cache: Cache) -> str | None:
    """Returns one line about why kernels cannot be fused here; None if they can."""
    if device.type == "cuda":
        return compiler_fault(device)
    try:
        cpu_kernels(cache)
    except (NoKernelsError, WriteError) as error:
        return str(error)
    return None


def compiler_fault(device: torch.device) -> str | None:
    """Compiles a trivial function by torch.compile, and returns one line about why it cannot work here; None
    if it can."""
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
    """Returns a line about what torch.compile cost and whether it pays back.

    Args:
        eager: the seconds of a pass of one batch before compiling.
        first: the seconds of the pass that compiled.
        fused: the seconds of a pass after that.
    """
    cost = max(0.0, first - fused)
    pays = f"pays back after {cost / (eager - fused):,.0f} batches" if fused < eager else "does not pay back"
    return f"kernel fusion: {cost:.0f} s to compile; a pass takes {fused / eager:.2f} of its time, {pays}"
