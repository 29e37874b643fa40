"""OpenMP gives torch its threads on a CPU. This module finds out if some are missing, or lost by a fork.

oneDNN divides a bf16 product among the threads that torch announces. If OpenMP then gives fewer, parts of the
product are never computed, and no error is raised: a model would train on meaningless numbers. fp32 products
are computed by another library, which divides the work among the threads that it gets.

Threads also do not survive a fork. A child that asks for its parent's threads waits for ever.
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
    """Returns torch's library, which has the functions of its OpenMP; None for a build without them."""
    try:
        library = ctypes.CDLL(str(openmp_library()))
        for name in ("get_dynamic", "get_thread_limit", "get_max_active_levels", "set_num_threads"):
            getattr(library, f"omp_{name}")  # raises if it is missing
    except (OSError, AttributeError):
        return None
    return library


def shortage() -> str | None:
    """Says why torch may get fewer threads than it counts on; None if it gets them all."""
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
    """Keeps torch from starting threads, while a model is loaded: a fork may follow, and then works.

    OpenMP keeps the number for each thread of Python by itself. torch's own function would also change it for
    threads of Python that start meanwhile, and is only used if OpenMP's cannot be called.
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
    """Within the block, torch computes with `count` threads, so that one can try what a run with as many will
    compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_computed_in: int | None = None
"""The id of the process in which threads computed first. A fork copies it, and thereby shows."""

_said_in: int | None = None
"""The id of the forked process that has said that its threads are lost."""


def threads_are_lost() -> bool:
    """Whether this process was forked from one in which threads had computed."""
    return _computed_in not in (None, os.getpid())


def about_to_compute() -> str | None:
    """Call this before threads compute. If they are lost, it sets torch to one thread.

    Returns:
        A line for the user, once in a forked process; otherwise None.
    """
    global _computed_in, _said_in
    if not threads_are_lost():
        _computed_in = os.getpid()
        return None
    torch.set_num_threads(1)
    if _said_in == os.getpid():
        return None
    _said_in = os.getpid()
    return FORKED
