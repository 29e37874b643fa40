"""Compiles the fused kernels with the machine's own C++ compiler, and loads them.

The library holds plain C functions on addresses. It knows nothing of torch, so that it fits every version of
torch, and it uses the threads of the OpenMP that torch has loaded.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from custom_bert import files
from custom_bert.errors import RunError, first_line

SOURCE = Path(__file__).with_name("kernels.cpp")

FLAGS = ("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-fPIC")
WIDE = "-mprefer-vector-width=512"
"""Has compilers for x86 use the widest vectors, which they avoid for the sake of other programs."""

COMPILERS = ("c++", "g++")
SECONDS = 120
"""The time after which a compiler is given up. It takes about 3 seconds."""


class NoKernelsError(RunError):
    """The kernels cannot be compiled or loaded here."""


def file_name() -> str:
    """Returns the name of the library's file. It changes with the source, the flags, the compiler and the
    processor."""
    words = compiler()
    version = _output([*words, "--version"]) if words else b""
    flags = repr((FLAGS, WIDE)).encode()
    parts = [SOURCE.read_bytes(), flags, version, platform.machine().encode(), _processor()]
    return f"kernels-{hashlib.sha256(b'|'.join(parts)).hexdigest()[:16]}.so"


def _processor() -> bytes:
    """Returns what Linux says of the first core, without what changes: its kind, and its instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_bytes().split(b"\n\n")[0].split(b"\n")
    except OSError:
        return platform.processor().encode()
    kinds = (b"vendor_id", b"cpu family", b"model", b"flags", b"CPU ", b"Features")
    return b"\n".join(line for line in lines if line.startswith(kinds))


def compiler() -> list[str] | None:
    """Returns the words that call the C++ compiler: those of the variable CXX, or the first compiler that is
    found; None if there is none."""
    wanted = shlex.split(os.environ.get("CXX", ""))
    ways = [wanted] if wanted else [[name] for name in COMPILERS]
    return next(([path, *way[1:]] for way in ways if (path := shutil.which(way[0]))), None)


def _output(command: list[str]) -> bytes:
    """Runs a command, and returns what it prints.

    Raises:
        NoKernelsError: if it fails.
    """
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoKernelsError(f"{command[0]}: {first_line(error)}") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        fault = next((line for line in said if "error" in line), said[0] if said else "")
        raise NoKernelsError(f"{command[0]}: {fault or f'code {done.returncode}'}")
    return done.stdout


def compile_into(folder: Path) -> Path:
    """Compiles the kernels, and returns the file of the library.

    Args:
        folder: an existing directory of this user.

    Raises:
        NoKernelsError: if there is no compiler, or it fails.
        WriteError: if the folder cannot be written.
    """
    found = compiler()
    if found is None:
        raise NoKernelsError("there is no C++ compiler (c++ or g++, or the one that CXX names)")
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    with tempfile.TemporaryDirectory() as room:
        compiled, library = Path(room) / "kernels.o", Path(room) / "kernels.so"
        # linked without -fopenmp, so that the functions of OpenMP are those that torch has loaded: a second
        # OpenMP would have threads of its own on the same cores
        flags = (*FLAGS, WIDE) if x86 else FLAGS
        _output([*found, *flags, "-c", str(SOURCE), "-o", str(compiled)])
        _output([*found, "-shared", str(compiled), "-o", str(library)])
        path = folder / file_name()
        files.write_bytes(path, library.read_bytes())
    return path


@cache
def load(path: Path) -> ctypes.CDLL:
    """Loads the library.

    Raises:
        NoKernelsError: if the file cannot be loaded.
    """
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise NoKernelsError(f"{path}: {first_line(error)}") from None
