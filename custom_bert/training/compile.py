"""Kernel fusion: whether to use it, and how a model gets it.

On a CPU the kernels of `ops.fused` compute what lies between an encoder's matrix products. A C++ compiler
builds them once on each machine, and the cache keeps them. On a GPU torch.compile fuses the MLPs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from custom_bert import files, torch_internals
from custom_bert.batch import Batch
from custom_bert.data.cache import Cache
from custom_bert.errors import WriteError, first_line
from custom_bert.models.encoder import Encoder
from custom_bert.models.layers import EncoderLayer
from custom_bert.ops.fused.functions import Kernels
from custom_bert.ops.fused.library import NoKernelsError, compile_into, compiler, file_name, load
from custom_bert.ops.kernels import naive
from custom_bert.places import cache_places

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


def fuse(encoder: Encoder, device: torch.device, say: Callable[[str], None]) -> None:
    """Fuses the kernels of an encoder in training.

    Args:
        encoder: the encoder.
        device: the device that trains.
        say: prints a line if a place for compiled kernels cannot be used.

    Raises:
        NoKernelsError: if this machine cannot compile them.
    """
    if device.type == "cpu":
        encoder.kernels = cpu_kernels(kernel_cache(say))
        return
    if fault := compiler_fault(device):
        raise NoKernelsError(fault)
    compile_layers(encoder)


def kernel_cache(say: Callable[[str], None]) -> Cache:
    """Returns the user's own places for compiled kernels. The place beside a run is none of them: a folder
    that came from elsewhere must not bring code."""
    places, reasons = cache_places(None, None)
    own = places[:-1]
    return Cache(*own, reasons=reasons, say=say, what="compiled kernels", remedy="set XDG_CACHE_HOME")


def cpu_kernels(cache: Cache) -> Kernels:
    """Returns the fused kernels for this CPU, from the cache or compiled now.

    Raises:
        NoKernelsError: if they cannot be compiled, kept or loaded, or compute wrong numbers.
    """
    try:
        name = file_name()
        if name not in _loaded:
            _loaded[name] = cache.get(lambda root: _read(root / FOLDER / name), partial(_compiled, cache))
    except OSError as error:
        raise NoKernelsError(first_line(error)) from None
    except WriteError as error:
        raise NoKernelsError(str(error)) from None
    return _loaded[name]


_loaded: dict[str, Kernels] = {}
"""The kernels that this process has loaded and tried, by the name of their file."""


def _read(path: Path) -> Kernels | None:
    """Returns the kernels of a file that only this user can have written; None if they are to be compiled."""
    if not files.is_private(path.parent) or path.is_symlink() or not path.is_file():
        return None
    status = path.stat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        return None
    try:
        return _sound(Kernels(load(path)))
    except NoKernelsError:  # damaged
        return None


def _compiled(cache: Cache, root: Path) -> Kernels:
    """Compiles the kernels into a place of the cache."""
    folder = cache.folder(root, FOLDER)
    if not files.is_private(folder):
        raise WriteError(f"{folder}: others may write into it, and code is to be kept there")
    path = compile_into(folder)
    path.chmod(0o600)
    return _sound(Kernels(load(path)))


def _sound(kernels: Kernels) -> Kernels:
    """Returns the kernels, after each of them has computed a few numbers forward and backward as torch does.

    Raises:
        NoKernelsError: if one computes wrong numbers.
    """
    generator = torch.Generator().manual_seed(0)
    layout = Batch.build([np.arange(3), np.arange(2)]).layout
    for dtype, bound in ((torch.float32, 1e-4), (torch.bfloat16, 0.05)):
        x_RD, grad_RD = (torch.randn(5, 16, generator=generator).to(dtype) for _ in range(2))
        qkv_RE = torch.randn(5, 48, generator=generator).to(dtype)
        norm = torch.nn.LayerNorm(16)

        def activated(x: Tensor, fused: bool) -> Tensor:
            return kernels.activation(x, None, "gelu", gated=False) if fused else F.gelu(x)

        def normed(x: Tensor, fused: bool, norm: torch.nn.LayerNorm = norm) -> Tensor:
            if fused:
                return kernels.add_norm(x.float(), x, None, norm, dropout=0.0, wanted="sum")[1]
            plain: Tensor = norm(x.float() + x.float())
            return plain.to(x.dtype)

        def attended(x: Tensor, fused: bool) -> Tensor:
            if fused:
                return kernels.attention(x, None, layout, 1)
            return naive(x.view(5, 3, 1, 16), layout, -1, 0.0).flatten(1)

        for compute, given in ((activated, x_RD), (normed, x_RD), (attended, qkv_RE)):
            found = []
            for fused in (True, False):
                leaf = given.clone().requires_grad_()
                with torch.enable_grad():
                    out = compute(leaf, fused)
                    # of one number, since torch loads sympy to look at a gradient that is given
                    (grad_leaf,) = torch.autograd.grad((out * grad_RD).sum(), leaf)
                    found.append(torch.cat([out, grad_leaf], 1).float())
            if not torch.allclose(found[0], found[1], rtol=bound, atol=bound):
                raise NoKernelsError("the compiled kernels compute wrong numbers")
    return kernels


def fusion_fault(device: torch.device, say: Callable[[str], None]) -> str | None:
    """Returns one line about why kernels cannot be fused here; None if they can."""
    if device.type == "cuda":
        return compiler_fault(device)
    try:
        cpu_kernels(kernel_cache(say))
    except NoKernelsError as error:
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
