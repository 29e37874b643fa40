"""A CUDA device that computes nothing: the package runs on it from end to end, on a machine without a GPU.

Autograd, autocast, dispatch, and the rules about shapes, types and devices are torch's own
(`FakeTensorMode`). A guard and hooks in C++ (guard.cpp) let a CPU build of torch take the device "cuda".
Every moment at which the host would wait for the GPU is noted, and every operation that the GPU would run
is counted. What the host reads is 0, or 0.5 for one float, or true; integers that the host itself has sent
come back as they were.

It changes torch for the whole process and cannot be undone: import it in a process of its own (`worker.py`).
It does not see real kernels, their alignment checks, NCCL, or torch.compile.
"""

from __future__ import annotations

import sys
import types
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

PACKAGE = "/custom_bert/"

DEVICES = 2

WAITS = {
    "aten::nonzero",
    "aten::masked_select",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::repeat_interleave",
    "aten::bincount",
    "aten::equal",
}
"""Operations whose result has a size, or is a value, that the host has to know."""

SILENT = {
    "aten::empty",
    "aten::empty_strided",
    "aten::empty_like",
    "aten::new_empty",
    "aten::new_empty_strided",
}
"""Operations that only allocate, so that the device runs nothing."""


class Machine:
    """What the simulated GPUs are, and what happened on them.

    Attributes:
        capability: the compute capability; (7, 5) is a T4, which has neither bf16 nor flash attention.
        memory: the bytes of memory of each GPU, and those of them that are free.
        waits: how often the host would have waited, by the part of the run, the package's line and the kind.
        operations: how often each operation ran on the device within `train_step`.
        dispatched: the number of all operations within `train_step` that the host prepared, views too.
        steps: the number of calls of `train_step`.
        seeded: the devices whose generators were set.
        stepping: whether `train_step` runs. The backward pass has a thread of its own, in which no frame says
            so.
    """

    def __init__(self) -> None:
        self.capability = (9, 0)
        self.memory = self.free = 80 * 10**9
        self.waits: Counter[tuple[str, str, str]] = Counter()
        self.operations: Counter[str] = Counter()
        self.dispatched = self.steps = 0
        self.seeded: set[str] = set()
        self.stepping = False

    def forget(self) -> None:
        """Forgets what happened, and makes the GPU what it is at first."""
        self.__init__()  # type: ignore[misc]

    def wait(self, kind: str) -> None:
        """Notes that the host waits."""
        self.waits[(*where(), kind)] += 1


MACHINE = Machine()

PARTS = {"train_step": "step", "outputs_of": "evaluation", "measure": "evaluation", "fit_all": "loop"}
"""The functions that say to which part of a run an operation belongs; the innermost counts."""


def where() -> tuple[str, str]:
    """Returns the part of the run, and the innermost line of the package, as `ops/kernels.py: the line`."""
    part = line = ""
    frame: Any = sys._getframe(1)
    while frame is not None and not part:
        name = frame.f_code.co_filename
        if PACKAGE in name and "site-packages/torch" not in name:
            if not line:
                source = Path(name).read_text(encoding="utf-8").splitlines()[frame.f_lineno - 1].strip()
                line = f"{name.split(PACKAGE)[-1]}: {source}"[:110]
            part = PARTS.get(frame.f_code.co_name, "")
        frame = frame.f_back
    return part or ("step" if MACHINE.stepping else "other"), line


def is_fake(value: object) -> bool:
    return isinstance(value, FakeTensor)


def on_cuda(device: Any) -> bool:
    return device is not None and torch.device(device).type == "cuda"


FAKE = FakeTensorMode(allow_non_fake_inputs=True)


class Simulated(TorchDispatchMode):
    """Within the context, operations on "cuda" tensors are fake, counted, and searched for waits."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        leaves = pytree.arg_tree_leaves(*args, **kwargs)
        to_cuda = on_cuda(kwargs.get("device"))
        if not to_cuda and not any(map(is_fake, leaves)):
            return func(*args, **kwargs)
        name: str = func._schema.name
        if name == "aten::_local_scalar_dense":
            MACHINE.wait("value read")
            skips = any("count_skips" in frame for frame in calls())
            if args[0].dtype is torch.bool:
                return True
            return 0.5 if args[0].dtype.is_floating_point and not skips else 0
        if name == "aten::is_pinned":
            return False
        if name in WAITS:
            MACHINE.wait(name)
            if name == "aten::equal":
                return True
        if name == "aten::_to_copy" and kwargs.get("device") is not None and not to_cuda:
            MACHINE.wait("copy to the host")
            return self._sent_back(args[0], kwargs.get("dtype"))
        if name == "aten::_to_copy" and to_cuda and not is_fake(args[0]):
            self._note_copy(args[0], bool(kwargs.get("non_blocking")))
        if name == "aten::copy_" and is_fake(args[0]) != is_fake(args[1]):
            if not is_fake(args[0]):
                MACHINE.wait("copy to the host")
                return args[0]
            if args[1].dim():
                self._note_copy(args[1], bool(kwargs.get("non_blocking") or args[2:]))
        if name in ("aten::index", "aten::index_put_", "aten::_index_put_impl_") and is_fake(args[0]):
            for index in args[1]:
                if isinstance(index, torch.Tensor):
                    if not is_fake(index):
                        MACHINE.wait("index from the host")
                    if index.dtype in (torch.bool, torch.uint8):
                        MACHINE.wait("index by booleans")
                        return args[0].new_empty(1, *args[0].shape[1:]) if name == "aten::index" else args[0]
        if MACHINE.stepping and not name.startswith("prim::"):
            MACHINE.dispatched += 1
            if name not in SILENT and not is_view(func):
                MACHINE.operations[str(func)] += 1
        if name == "aten::_amp_update_scale_":
            return args[0]
        if name == "aten::_amp_foreach_non_finite_check_and_unscale_":
            return None
        with _disable_current_modes(), FAKE:
            out = func(*args, **kwargs)
        if (
            name == "aten::_to_copy"
            and to_cuda
            and not is_fake(args[0])
            and not args[0].dtype.is_floating_point
        ):
            out._sent = args[0]
        return out

    @staticmethod
    def _note_copy(source: torch.Tensor, non_blocking: bool) -> None:
        if not non_blocking:
            MACHINE.wait("blocking copy to the device")
        elif not source.is_pinned() and source.numel():
            MACHINE.wait("copy from pageable memory")

    @staticmethod
    def _sent_back(tensor: Any, dtype: torch.dtype | None) -> torch.Tensor:
        with _disable_current_modes():
            sent: torch.Tensor | None = getattr(tensor, "_sent", None)
            return (
                sent.clone() if sent is not None else torch.zeros(tensor.shape, dtype=dtype or tensor.dtype)
            )


def calls() -> list[str]:
    """Returns the names of the functions that are running, the innermost first."""
    names, frame = [], sys._getframe(1)
    while frame is not None:
        names.append(frame.f_code.co_name)
        frame = frame.f_back  # type: ignore[assignment]
    return names


def is_view(func: Any) -> bool:
    """Whether an operation returns a view, so that the device runs nothing."""
    return any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns)


def _reseeded(_state: Any, device: Any = "cuda") -> None:
    MACHINE.seeded.add(str(device))


def _moved(module: torch.nn.Module, move: Callable[[Any], Any], recurse: bool = True) -> torch.nn.Module:
    """Moves a module by giving it new parameters, since fake tensors cannot take the place of real ones."""
    for child in module.children():
        _moved(child, move)
    for name, parameter in module._parameters.items():
        if parameter is not None:
            with torch.no_grad():
                new = move(parameter)
            if new is not parameter:
                module._parameters[name] = torch.nn.Parameter(new.detach(), parameter.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = move(buffer)
    return module


_sdpa = torch.nn.functional.scaled_dot_product_attention


def _fused_sdpa(
    q: Any, k: Any, v: Any, attn_mask: Any = None, dropout_p: float = 0.0, **others: Any
) -> torch.Tensor:
    """Takes the fused kernel that a GPU has, instead of the written-out form that fake tensors would take."""
    if not is_fake(q):
        return _sdpa(q, k, v, attn_mask, dropout_p, **others)
    if attn_mask is not None:
        shape = (*q.shape[:3], k.shape[2])
        attn_mask = (
            torch.zeros_like(attn_mask, dtype=q.dtype).masked_fill(~attn_mask, -torch.inf).expand(shape)
        )
    kernel = torch.ops.aten._scaled_dot_product_efficient_attention
    out: torch.Tensor = kernel(q, k, v, attn_mask, torch.is_grad_enabled(), dropout_p)[0]
    return out


def _nothing(*_args: Any, **_others: Any) -> None:
    return None


def _random_state(_device: Any = "cuda") -> torch.Tensor:
    return torch.zeros(16, dtype=torch.uint8)


def install() -> None:
    """Puts what asks the driver in torch.cuda by what `MACHINE` says."""
    torch._C._set_only_lift_cpu_tensors(True)
    FakeTensorMode.avoid_device_init = property(lambda self: True)  # type: ignore[assignment, method-assign]
    torch.nn.functional.scaled_dot_product_attention = _fused_sdpa
    torch.nn.Module._apply = _moved  # type: ignore[method-assign, assignment]
    warnings.filterwarnings("ignore", message=".*CUDA.*")
    replaced: dict[str, Callable[..., Any]] = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: DEVICES,
        "current_device": lambda: 0,
        "get_device_name": lambda device=None: "simulated GPU",
        "get_device_capability": lambda device=None: MACHINE.capability,
        "get_device_properties": lambda device=None: types.SimpleNamespace(total_memory=MACHINE.memory),
        "mem_get_info": lambda device=None: (MACHINE.free, MACHINE.memory),
        "is_bf16_supported": lambda *args, **others: MACHINE.capability >= (8, 0),
        "memory_allocated": lambda device=None: 0,
        "memory_reserved": lambda device=None: 0,
        "max_memory_allocated": lambda device=None: 0,
        "synchronize": lambda device=None: MACHINE.wait("synchronize"),
        "get_rng_state": _random_state,
        "get_rng_state_all": lambda: [_random_state()] * DEVICES,
        "set_rng_state": _reseeded,
    }
    for name in (
        "_lazy_init",
        "manual_seed",
        "manual_seed_all",
        "empty_cache",
        "set_device",
        "set_rng_state_all",
    ):
        replaced[name] = _nothing
    for name, function in replaced.items():
        setattr(torch.cuda, name, function)
