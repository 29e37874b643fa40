"""Builds and loads the library of guard.cpp. Nothing here imports torch, which has to find it loaded."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

SOURCE = Path(__file__).with_name("guard.cpp")


def built() -> Path:
    """Returns the library for this torch, which is compiled the first time.

    Raises: OSError or subprocess.CalledProcessError: without a C++ compiler that can build it.
    """
    spec = find_spec("torch")
    assert spec is not None and spec.origin is not None
    folder = Path(spec.origin).parent
    key = hashlib.sha256(SOURCE.read_bytes() + f"{version('torch')} {folder}".encode()).hexdigest()
    library = Path(tempfile.gettempdir()) / f"custom-bert-simulated-gpu-{key[:16]}.so"
    if not library.exists():
        made = library.with_suffix(f".{os.getpid()}.so")
        includes = [f"-I{folder}/include", f"-I{folder}/include/torch/csrc/api/include"]
        links = [f"-L{folder}/lib", "-lc10", "-ltorch_cpu", f"-Wl,-rpath,{folder}/lib"]
        options = ["-shared", "-fPIC", "-O1", "-std=c++20"]
        command = ["c++", *options, *includes, str(SOURCE), "-o", str(made), *links]
        subprocess.run(command, check=True, capture_output=True)
        made.rename(library)  # another process may build it at the same time
    return library


def load() -> None:
    """Makes this process one with a simulated GPU."""
    ctypes.CDLL(str(built()))
