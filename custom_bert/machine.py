"""Facts about the machine: memory, devices, and the precisions that it computes in hardware.

All of them are constant for a machine and a container. So the same choices follow from them each time.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

import torch

from custom_bert import cgroups, threads, torch_internals
from custom_bert.errors import ConfigError, did_you_mean

ALLOCATORS = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""Words by which a lack of memory is recognised where it has no error class of its own: in torch's allocator
for CPUs, and in libraries that allocate beside torch."""


def memory_bytes() -> int:
    """Returns the bytes of the machine's memory, or of the container's limit if that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = cgroups.memory_limit()
    return total if limit is None else min(total, limit)


def memory_of(device: torch.device) -> int:
    """Returns the bytes of memory that a process can compute in: the GPU's, or its share of the machine's."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return memory_bytes() // threads.processes()


def free_memory_of(device: torch.device) -> int:
    """Returns the bytes of memory that this process can get now: of a GPU, what others leave of it and what
    this process holds already. Use it for what must not fail, and `memory_of` for what has to be decided the
    same way again."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free) + int(torch.cuda.memory_reserved(device))
    return memory_of(device)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in ALLOCATORS)


def has_cpu_bf16() -> bool:
    """Whether the CPU multiplies bf16 matrices in hardware (AVX512-BF16, AMX, or Arm's BF16)."""
    return bool(_bf16_hardware())


def _bf16_hardware() -> str:
    """Returns "AMX", "BF16", or "" for a CPU without instructions for bf16 products."""
    if platform.machine() in ("x86_64", "AMD64"):
        return "AMX" if torch_internals.has_amx() else "BF16" if torch_internals.has_avx512_bf16() else ""
    return "BF16" if " bf16 " in _read("/proc/cpuinfo").replace("\n", " \n") else ""


ROCM = "this torch build is for AMD GPUs (ROCm), on which nothing of this package was ever tried"
"""torch calls an AMD GPU cuda too, but some kernels that are chosen for CUDA are not there."""


def other_gpus(device: torch.device) -> int:
    """Returns how many GPUs of this machine a run in one process leaves idle."""
    if device.type != "cuda" or threads.processes() > 1:
        return 0
    return int(torch.cuda.device_count()) - 1


def choose_device(wanted: str | None) -> tuple[torch.device, str]:
    """Chooses the device. Returns it with the reason.

    Raises:
        ConfigError: if the wanted device is not there or not supported.
    """
    if wanted == "mps":
        raise ConfigError(["runtime.device: mps is not supported; Apple machines train on the cpu device"])
    if wanted and not re.fullmatch(r"cpu|cuda(:\d+)?", wanted):
        near = did_you_mean(wanted, ["cpu", "cuda"])
        raise ConfigError([f"runtime.device: expected cpu or cuda, got {wanted!r}{near}"])
    if wanted and wanted != "cpu" and torch.version.hip is not None:
        raise ConfigError([f"runtime.device: {ROCM}; take cpu, or a torch build for CUDA"])
    if wanted and wanted != "cpu" and not torch.cuda.is_available():
        raise ConfigError(["runtime.device: this machine or this torch build has no CUDA device"])
    if wanted and int(wanted.partition(":")[2] or 0) >= max(1, torch.cuda.device_count()):
        count = torch.cuda.device_count()
        raise ConfigError([f"runtime.device: {wanted} is not there; the last of {count} is cuda:{count - 1}"])
    if wanted:
        return torch.device(wanted), "as configured"
    if torch.version.hip is not None:
        return torch.device("cpu"), ROCM
    if torch.cuda.is_available():
        return torch.device("cuda"), f"{torch.cuda.get_device_name()} found"
    return torch.device("cpu"), "no CUDA device found"


def wait_for(device: torch.device) -> None:
    """Waits until the device has done all its work, so that a clock can be read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def description(device: torch.device) -> dict[str, Any]:
    """Returns facts about the machine and its software, for run.json."""
    import numpy
    import tokenizers

    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": threads.cores(),
        "memory_gib": round(memory_bytes() / 2**30, 1),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "cpu_capability": _capability(),
        "threads": torch.get_num_threads(),
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "tokenizers": tokenizers.__version__,
    }


@functools.cache
def source_digest() -> str:
    """Returns 8 hexadecimal digits of a hash of this package's source. It also changes with edits."""
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:8]


def _capability() -> str:
    """Returns the instructions of torch's kernels and of bf16 products, as "AVX512 AMX".

    The name of a virtual machine's processor may not say which instructions it has.
    """
    return f"{torch.backends.cpu.get_cpu_capability()} {_bf16_hardware()}".rstrip()


def _processor() -> str:
    """Returns the processor's name. Linux adds family and model, since some names are only brands."""
    known: dict[str, str] = {}
    for line in _read("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        known.setdefault(name.strip(), value.strip())
    if "model name" not in known:
        return platform.processor()
    numbers = [
        f"{word} {known[key]}" for word, key in (("family", "cpu family"), ("model", "model")) if key in known
    ]
    return ", ".join([known["model name"], *numbers])


def _read(path: str) -> str:
    """Returns a file of the system, or "" on systems that do not have it."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""
