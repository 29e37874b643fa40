"""What torch does not promise to keep: names with an underscore, and agreements among its own parts.

Other modules call these functions, and use nothing of this kind themselves. Each function says what can
replace it if a later torch no longer has what it calls. `tests/unit/test_torch_internals.py` then names it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SEEN_WITH = ("2.11", "2.12", "2.13")
"""The versions of torch with which all of it was tested."""


def softmax_gradient(grad: Tensor, out: Tensor) -> Tensor:
    """Returns the gradient of the input of a softmax over the last dimension, in one pass over memory.

    Replacement: `(grad - (grad * out).sum(-1, keepdim=True)) * out`. It takes three passes and rounds in
        other
    places, so that results in bf16 change.

    Args:
        grad: the gradient of the softmax's output.
        out: that output, of the same shape and type.
    """
    return torch._softmax_backward_data(grad, out, -1, out.dtype)


def has_amx() -> bool:
    """Whether this x86 CPU has AMX's tiles and its system permits their use.

    Replacement: `torch.cpu.get_capabilities()["amx_tile"]`, which says nothing about the permission.
    """
    cpu: Any = torch.cpu
    return bool(cpu._is_amx_tile_supported())


def has_avx512_bf16() -> bool:
    """Whether this x86 CPU has AVX512-BF16.

    Replacement: `torch.cpu.get_capabilities()["avx512_bf16"]`.
    """
    cpu: Any = torch.cpu
    return bool(cpu._is_avx512_bf16_supported())


def openmp_library() -> Path:
    """Returns the file through which the functions of torch's OpenMP can be called.

    A build may have no such file. Then OpenMP is not asked for its threads (`openmp.py`), and missing threads
    show in the product that `precision.py` computes.

    Replacement: whichever file in the folder of `torch.__file__` has `omp_get_thread_limit`.
    """
    ending = "dylib" if sys.platform == "darwin" else "so"
    return Path(torch.__file__).parent / "lib" / f"libtorch_cpu.{ending}"


def loss_scale(scaler: torch.amp.GradScaler) -> tuple[float, int]:
    """Returns fp16's loss scale, and the number of steps since it last changed, which decides when it grows.

    The name of this number in the scaler's state is torch's own. Replacement: the scale alone. Then a run
    that is continued lets the scale grow up to 2,000 steps later.
    """
    state = scaler.state_dict()
    return state["scale"], state["_growth_tracker"]


def set_loss_scale(scaler: torch.amp.GradScaler, scale: float, steps: int) -> None:
    """Sets what `loss_scale` returns."""
    scaler.load_state_dict({**scaler.state_dict(), "scale": scale, "_growth_tracker": steps})


def fused_adamw(
    parameters: list[Tensor],
    gradients: list[Tensor],
    moments: list[Tensor],
    squares: list[Tensor],
    steps: list[Tensor],
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    divisor: Tensor | None,
    skip: Tensor | None,
) -> None:
    """Updates parameters by AdamW in one pass over memory, as `torch.optim.AdamW(fused=True)` does.

    Replacement: that class. Its base class loads torch's compiler and sympy, which takes a second and 40 MB.

    Args:
        parameters, gradients: on one device, fp32.
        moments, squares: the running means of the gradients and of their squares, changed in place.
        steps: the number of updates of each parameter, one fp32 element each, changed in place.
        lr, betas, eps, weight_decay: the settings.
        divisor: one fp32 element, by which gradients are divided; None for 1.
        skip: one fp32 element: 1 leaves everything as it is, and 0 does not, without the host knowing which.
            None for 0.
    """
    torch._foreach_add_(steps, 1)
    torch._fused_adamw_(
        parameters,
        gradients,
        moments,
        squares,
        [],
        steps,
        lr=lr,
        beta1=betas[0],
        beta2=betas[1],
        weight_decay=weight_decay,
        eps=eps,
        amsgrad=False,
        maximize=False,
        grad_scale=divisor,
        found_inf=skip,
    )
    if skip is not None:
        torch._foreach_sub_(steps, [skip] * len(steps))


def recompile_limit() -> int | None:
    """Returns the number of graphs that torch may compile for one function.

    It is None in a process that has not loaded the compiler, since loading it takes seconds.

    Replacement: `torch.compiler.config.recompile_limit`, another name of the same setting.
    """
    return torch._dynamo.config.recompile_limit if "torch._dynamo" in sys.modules else None


def set_recompile_limit(graphs: int) -> None:
    """Sets what `recompile_limit` returns. This loads the compiler."""
    torch._dynamo.config.recompile_limit = graphs


def graphs_compiled() -> int:
    """Returns the number of graphs that torch has compiled in this process.

    Replacement: none; the metrics then lack this number.
    """
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])
