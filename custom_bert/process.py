"""The process: what its libraries read once, before torch is there; memory that it hands back."""

from __future__ import annotations

import ctypes
import io
import os
import sys
from collections.abc import Mapping, MutableMapping

from custom_bert import threads

SPINS = "GOMP_SPINCOUNT"
"""GNU OpenMP, which torch brings on Linux, reads it: turns of a waiting loop before a thread sleeps."""

OTHERS = "OMP_WAIT_POLICY"
"""The standard's variable; GNU OpenMP takes 0 turns for PASSIVE."""


DYNAMIC, LEVELS = "OMP_DYNAMIC", "OMP_MAX_ACTIVE_LEVELS"
"""The standard's variables by which OpenMP gives fewer threads than it was asked for: on a busy machine, or
none at all where the second is 0. bf16 products are wrong then (`openmp.py`)."""

KERNELS = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
"""oneDNN, which multiplies bf16 matrices on a CPU, keeps so many kernels, each made for one shape."""


TUNABLES = "GLIBC_TUNABLES"
"""glibc reads it at a program's start; so it does MALLOC_..., its older names."""

LIBRARY_DEFAULTS = {SPINS: "300000", KERNELS: "1024", TUNABLES: "glibc.malloc.tcache_count=7"}
"""What the libraries do by themselves: for a peer in a comparison."""

MAPPED_FROM, KEPT = 32 << 20, 1 << 30
"""Bytes: of a block that glibc maps by itself, at its largest value; free at the heap's end that it keeps."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of malloc.h."""


def prepare_process(environment: MutableMapping[str, str] = os.environ) -> None:
    """Sets what the user has not set, and turns off what would make products wrong. For the start of a
    program: importing the package changes nothing.

    A thread that waits for another shall soon sleep. The library's own 300,000 turns halve the speed beside
    one busy process; no turns at all cost a fifth of it on a quiet machine where steps are short. 1,000 turns
    cost 5 % there, and beside a busy process keep 0.85 of what sleeping at once reaches (docs/LOG.md).

    Products of a run have about 120 shapes, since attention rounds its own (`ops.matmul_attention`): 128
    kernels are kept. Evaluations of many lengths fill the library's own 1,024, for 185 MB and nothing.
    """
    if OTHERS not in environment:
        environment.setdefault(SPINS, "1000")
    environment.setdefault(KERNELS, "128")
    environment[DYNAMIC] = "FALSE"
    if environment.get(LEVELS, "").strip().strip("+0") == "" and environment.get(LEVELS):
        environment[LEVELS] = "1"  # it was a 0, in some spelling
    count, reason = threads.allowed(environment)
    if reason == threads.LIMIT:  # OpenMP would announce more threads than it gives
        environment[threads.WISH] = str(count)
    if environment is os.environ:
        _keep_memory(environment)
        _print_somewhere()
        _print_any_name()


def _print_somewhere() -> None:
    """Has what is printed go nowhere where a program is started without standard output or error."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))


def _print_any_name() -> None:
    """Has standard output take names of files that are no UTF-8, as the bytes that they are."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="surrogateescape")


def _keep_memory(environment: Mapping[str, str]) -> None:
    """Has glibc keep what is freed, unless the user said something about its malloc.

    By itself it hands the end of its heap back, and a training step, which frees most of what it took, faults
    pages in again: up to a tenth of its time on a virtual machine. The peak is the same (docs/LOG.md).
    """
    said = "glibc.malloc" in environment.get(TUNABLES, "") or any(
        x.startswith("MALLOC_") for x in environment
    )
    if sys.platform == "linux" and not said:
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
        if mallopt is not None:
            mallopt(M_MMAP_THRESHOLD, MAPPED_FROM)
            mallopt(M_TRIM_THRESHOLD, KEPT)


def release_memory() -> None:
    """Hands freed memory back to the system where the C library, glibc, would keep it for later."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none, and keeps less
        if trim is not None:
            trim(0)
