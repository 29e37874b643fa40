"""Settings of the process: variables that its libraries read once, before torch is imported, and memory."""

from __future__ import annotations

import ctypes
import io
import os
import sys
from collections.abc import Mapping, MutableMapping

from custom_bert import threads

SPINS = "GOMP_SPINCOUNT"
"""How often a waiting thread polls before it sleeps, in GNU OpenMP, which torch brings on Linux."""

WAIT_POLICY = "OMP_WAIT_POLICY"
"""The OpenMP standard's variable for the same. GNU OpenMP does not poll at all if it is PASSIVE."""

DYNAMIC, LEVELS = "OMP_DYNAMIC", "OMP_MAX_ACTIVE_LEVELS"
"""The OpenMP standard's variables by which a program gets fewer threads than it asks for: on a busy machine,
or always one if the second is 0. bf16 products are wrong then (`openmp.py`)."""

KERNELS = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
"""How many kernels oneDNN keeps. It multiplies bf16 matrices on a CPU, and builds a kernel for each shape."""

TUNABLES = "GLIBC_TUNABLES"
"""Settings of glibc, which it reads when a program starts. It also reads their older names, MALLOC_..."""

LIBRARY_DEFAULTS = {SPINS: "300000", KERNELS: "1024", TUNABLES: "glibc.malloc.tcache_count=7"}
"""The libraries' own defaults. A benchmark gives them to the tool that is compared with ours."""

MAPPED_FROM, KEPT = 32 << 20, 1 << 30
"""Bytes. A block of at least the first size gets a mapping of its own, which is returned to the system when
it is freed; glibc allows no larger value. The second is the free memory that is kept at the heap's end."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""The numbers of mallopt's parameters, from glibc's malloc.h."""


def prepare_process(environment: MutableMapping[str, str] = os.environ) -> None:
    """Sets variables that the user has not set, and turns off what would make products wrong.

    Programs call it when they start, before torch is imported. Importing the package changes nothing.

    A thread that waits for another one should sleep soon. With the library's default of 300,000 turns of the
    waiting loop, one other busy process halves the speed. With no turns at all, a quiet machine loses a fifth
    of its speed where steps are short. 1,000 turns cost 5 % there, and keep 0.85 of the speed that sleeping
    at once reaches beside a busy process (docs/log/0007).

    The matrix products of a run have about 120 shapes, since attention rounds the shapes of its own products
    (`ops.matmul_attention`), so 128 kernels are kept. With oneDNN's default of 1,024, evaluations of texts of
    many lengths fill 185 MB with kernels that are not used again.
    """
    if WAIT_POLICY not in environment:
        environment.setdefault(SPINS, "1000")
    environment.setdefault(KERNELS, "128")
    environment[DYNAMIC] = "FALSE"
    if environment.get(LEVELS, "").strip().strip("+0") == "" and environment.get(LEVELS):
        environment[LEVELS] = "1"  # it was set to 0, perhaps spelled " 0", "+0" or "00"
    count, reason = threads.allowed(environment)
    if reason == threads.LIMIT:  # otherwise OpenMP announces more threads than it gives
        environment[threads.WISH] = str(count)
    if environment is os.environ:
        _keep_memory(environment)
        _replace_missing_streams()
        _accept_any_file_name()


def _replace_missing_streams() -> None:
    """Discards what is printed if the program was started without standard output or standard error."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))


def _accept_any_file_name() -> None:
    """Lets standard output take file names that are not UTF-8: their bytes are written unchanged."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="surrogateescape")


def _keep_memory(environment: Mapping[str, str]) -> None:
    """Makes glibc keep freed memory, unless the user has set something of its malloc.

    By default glibc returns the end of its heap to the system. A training step frees most of what it took, so
    the next step has to fault the pages in again, which costs up to a tenth of its time on a virtual machine.
    The peak of memory is the same (docs/log/0015).
    """
    user_decides = "glibc.malloc" in environment.get(TUNABLES, "") or any(
        x.startswith("MALLOC_") for x in environment
    )
    if sys.platform == "linux" and not user_decides:
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has no mallopt
        if mallopt is not None:
            mallopt(M_MMAP_THRESHOLD, MAPPED_FROM)
            mallopt(M_TRIM_THRESHOLD, KEPT)


def release_memory() -> None:
    """Returns freed memory to the system, which glibc otherwise keeps for later (see `_keep_memory`)."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has no malloc_trim, and keeps less
        if trim is not None:
            trim(0)
