"""What torch does not promise to keep: names with an underscore, and agreements among its own parts.

The rest of the package calls these functions and nothing of the kind. Each says what it is for and what takes
its place where a later torch has it no more. `tests/unit/test_torch_internals.py` fails by name then.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SEEN_WITH = ("2.11", "2.12", "2.13")
"""The versions of torch in which all of it was there."""


def softmax_gradient(grad: Tensor, out: Tensor) -> Tensor:
    """The gradient of what a softmax over the last dimension read, in one pass over memory.

    In its place: `(grad - (grad * out).sum(-1, keepdim=True)) * out`, in three passes and rounded otherwise,
    so that results in bf16 change.

    Args:
        grad: of what it returned.
        out: what it returned, of the same shape and type.
    """
    return torch._softmax_backward_data(grad, out, -1, out.dtype)


def has_amx() -> bool:
    """Whether this x86 CPU and its system have AMX's tiles.

    In its place: `torch.cpu.get_capabilities()["amx_tile"]`, which says nothing of the system's permission.
    """
    cpu: Any = torch.cpu
    return bool(cpu._is_amx_tile_supported())


def has_avx512_bf16() -> bool:
    """Whether this x86 CPU has AVX512-BF16.

    In its place: `torch.cpu.get_capabilities()["avx512_bf16"]`.
    """
    cpu: Any = torch.cpu
    return bool(cpu._is_avx512_bf16_supported())


def openmp_library() -> Path:
    """The file through which torch's OpenMP is found. A build may have no such file; then OpenMP is not asked
    for its threads (`openmp.py`), and the product that `precision.py` computes tells of missing ones.

    In its place: whatever file `torch.__file__`'s folder holds that has `omp_get_thread_limit`.
    """
    ending = "dylib" if sys.platform == "darwin" else "so"
    return Path(torch.__file__).parent / "lib" / f"libtorch_cpu.{ending}"


def loss_scale(scaler: torch.amp.GradScaler) -> tuple[float, int]:
    """fp16's loss scale, and the steps since it changed last, which decide when it grows. The name of the
    latter in the scaler's state is torch's own.

    In its place: the scale alone, so that a run that is continued lets it grow up to 2,000 steps later.
    """
    state = scaler.state_dict()
    return state["scale"], state["_growth_tracker"]


def set_loss_scale(scaler: torch.amp.GradScaler, scale: float, steps: int) -> None:
    """The way back from `loss_scale`."""
    scaler.load_state_dict({**scaler.state_dict(), "scale": scale, "_growth_tracker": steps})


def scale_next_step(optimizer: torch.optim.Optimizer, divisor: Tensor, skip: Tensor) -> None:
    """Has a fused optimizer's next step divide gradients, or leave parameters and moments as they are; the
    host does not wait to know which. By these two attributes torch's loss scaling tells its fused kernels.

    In its place: gradients divided in a pass of their own, and `if not skip:` before the step, where the host
    waits.

    Args:
        optimizer: fused.
        divisor: fp32, of one element.
        skip: fp32, of one element, 0 or 1.
    """
    optimizer.grad_scale = divisor  # type: ignore[attr-defined]
    optimizer.found_inf = skip  # type: ignore[attr-defined]


def recompile_limit() -> int | None:
    """Graphs that torch may compile of one function. None in a process that has not loaded the compiler:
    loading it takes seconds.

    In its place: `torch.compiler.config.recompile_limit`, another name of the same setting.
    """
    return torch._dynamo.config.recompile_limit if "torch._dynamo" in sys.modules else None


def set_recompile_limit(graphs: int) -> None:
    """Sets what `recompile_limit` reads; loads the compiler."""
    torch._dynamo.config.recompile_limit = graphs


def graphs_compiled() -> int:
    """Graphs that torch has compiled in this process.

    In its place: nothing; metrics go without the number of graphs.
    """
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])
