"""The session of onnxruntime that computes a model. It is started when it is first needed."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from custom_bert.errors import LibraryError, RunError, first_line, warn_caller
from custom_bert.threads import thread_count

UNFUSED = "SkipLayerNormFusion"
"""A fusion of onnxruntime that is left out. It turns a sum and a norm into one operation that takes longer on
a processor than both: without it, MiniLM in int8 is a fifth faster."""

NOT_INSTALLED = 'onnxruntime is not installed; pip install "custom-bert[onnx]"'

KINDS = {"input_ids": "tensor(int64)", "attention_mask": "tensor(int64)", "token_type_ids": "tensor(int64)"}
"""The types of a model's inputs."""


FORKED = (
    "this process was forked from one in which onnxruntime had computed: it computes here too, but may "
    "not let the process end. Load the model and use it in the same process, or start processes by spawn"
)


def check_installed(directory: Path) -> None:
    """Raises LibraryError if onnxruntime is not installed, which is needed to compute with a directory."""
    if importlib.util.find_spec("onnxruntime") is None:
        raise LibraryError(f"{directory}: {NOT_INSTALLED}")


class OnnxSession:
    """Computes a model.

    onnxruntime is not even imported before the first call: it starts threads, and a process should be able to
    load a model and then fork.

    Args:
        path: of model.onnx, for messages.
        content: what that file holds.
        inputs: the names of the inputs.
        output: the name of the output.

    Raises:
        LibraryError: if onnxruntime is not installed.
    """

    def __init__(self, path: Path, content: bytes, inputs: Sequence[str], output: str) -> None:
        check_installed(path.parent)
        self._path, self._content, self._inputs, self._output = path, content, tuple(inputs), output
        self._sessions: dict[int, Any] = {}

    def run(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Returns the output, for inputs by name.

        Raises:
            RunError: if onnxruntime cannot read or compute the model, or its inputs and its output are not
                the named ones.
        """
        session = self._sessions.get(os.getpid())
        if session is None:
            if self._sessions:  # of the process that this one was forked from
                warn_caller(FORKED)
            session = self._sessions[os.getpid()] = self._started()
        try:
            (output,) = session.run([self._output], dict(inputs))
        except Exception as error:  # onnxruntime raises classes of its own, without a common one
            raise RunError(f"{self._path}: onnxruntime cannot compute it: {first_line(error)}") from error
        return np.asarray(output)

    def _started(self) -> Any:
        try:
            runtime: Any = importlib.import_module("onnxruntime")
        except Exception as error:  # a broken installation raises anything
            raise RunError(f"{self._path}: onnxruntime cannot be imported: {first_line(error)}") from error
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = thread_count(), 1
        options.log_severity_level = 3  # errors, which are raised too
        try:
            session = runtime.InferenceSession(
                self._content,
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=[UNFUSED],
            )
        except Exception as error:  # as above
            raise RunError(f"{self._path}: onnxruntime cannot open it: {first_line(error)}") from error
        _check(self._path, "inputs", {one.name for one in session.get_inputs()}, set(self._inputs))
        _check(self._path, "outputs", {one.name for one in session.get_outputs()}, {self._output})
        for one in session.get_inputs():
            if one.type != KINDS.get(one.name):
                raise RunError(f"{self._path}: the input {one.name} is a {one.type}, not {KINDS[one.name]}")
        return session


def _check(path: Path, what: str, found: set[str], wanted: set[str]) -> None:
    if found != wanted:
        has, should = (", ".join(sorted(names)) for names in (found, wanted))
        raise RunError(f"{path}: its {what} are {has}, not {should}; export the run again")
