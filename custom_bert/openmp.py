"""OpenMP, whose threads torch computes with on a CPU: whether it gives as many as torch believes, and forks.

oneDNN divides a bf16 product among the threads that torch announces. Where OpenMP then gives fewer, parts of
the product are never computed, and nobody is told: a model trains on numbers that mean nothing. fp32 products
go through another library, which divides its work by the threads that came.

Threads also do not survive a fork. A child that asks for those of its parent waits for ever.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

from custom_bert.torch_internals import openmp_library

FORKED = (
    "this process was forked from one that had computed already, and threads do not survive a fork: it "
    "computes with one thread. Load the model and use it in the same process, or start processes by spawn"
)


@cache
def _library() -> Any:
    """torch's library, through which the functions of its OpenMP are found; None for a build without one."""
    try:
        found = ctypes.CDLL(str(openmp_library()))
        for name in ("get_dynamic", "get_thread_limit", "get_max_active_levels", "set_num_threads"):
            getattr(found, f"omp_{name}")
    except (OSError, AttributeError):
        return None
    return found


def shortage() -> str | None:
    """Why a parallel region may get fewer threads than torch announces; None if it gets them all."""
    count, library = torch.get_num_threads(), _library()
    if count == 1 or library is None:
        return None
    if library.omp_get_dynamic():
        return "OpenMP may give fewer threads than torch counts on (OMP_DYNAMIC, omp_set_dynamic)"
    limit = library.omp_get_thread_limit()
    if limit < count:
        return f"OpenMP gives {limit} of the {count} threads that torch counts on (OMP_THREAD_LIMIT)"
    if library.omp_get_max_active_levels() == 0:
        return f"OpenMP gives 1 of the {count} threads that torch counts on (OMP_MAX_ACTIVE_LEVELS)"
    return None


@contextmanager
def one_thread() -> Iterator[None]:
    """Within, torch starts no threads: for loading, which a fork may follow.

    OpenMP keeps the number for each thread of Python, while torch's own function would change it for threads
    that begin meanwhile, too.
    """
    count, library = torch.get_num_threads(), _library()
    set_count = torch.set_num_threads if library is None else library.omp_set_num_threads
    set_count(1)
    try:
        yield
    finally:
        set_count(count)


@contextmanager
def threads_set(count: int) -> Iterator[None]:
    """Within, torch computes with `count` threads: for a trial of what a run will compute with as many."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_computed_in: int | None = None
"""The process whose threads were started first; of a forked one, its parent or an older one."""

_said_in: int | None = None
"""The forked process that has told of its lost threads."""


def threads_are_lost() -> bool:
    """Whether this process was forked from one whose threads had computed for us."""
    return _computed_in not in (None, os.getpid())


def about_to_compute() -> str | None:
    """To be called before threads compute. Sets torch to one thread where the others are lost, and says so
    once in a process."""
    global _computed_in, _said_in
    if not threads_are_lost():
        _computed_in = os.getpid()
        return None
    torch.set_num_threads(1)
    if _said_in == os.getpid():
        return None
    _said_in = os.getpid()
    return FORKED
