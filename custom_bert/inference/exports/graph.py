"""Writes a model as an ONNX graph, with torch's own exporter.

The exporter runs the model over rectangles (`models.rectangular`) with shapes that stand for any number
of rows and any length, and translates the operations that it sees.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from custom_bert.errors import LibraryError, RunError, first_line
from custom_bert.model_files.native import TrainedModel
from custom_bert.models.rectangular import RectangularClassifier, RectangularEncoder, RectangularTagger
from custom_bert.onnx_model.description import INPUTS, OutputName

NEEDED = ("onnx", "onnxscript", "onnxruntime")
"""What an export needs; a prediction needs the last one only."""

BATCH, LENGTH = "batch", "length"
"""The names of a graph's dimensions."""


def check_installed() -> None:
    """Raises LibraryError if a library that an export needs is not installed."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise LibraryError(f'--format onnx needs {" and ".join(missing)}; pip install "custom-bert[onnx]"')


class Outputs(nn.Module):
    """A model over rectangles whose outputs are those that other programs expect, such as numbers in a
    unit.

    Args:
        trained: the model.

    Attributes:
        inputs: the names of the inputs.
        output: the name of the output.
        width: K, the number of outputs for a text or a token; of an encoder D, the width of its vectors.
    """

    def __init__(self, trained: TrainedModel) -> None:
        super().__init__()
        model: Any = trained.model
        encoder = RectangularEncoder(model.encoder)
        self.task = trained.task
        self.rectangular: nn.Module
        if trained.task.num_outputs:
            self.output: OutputName = "logits"
            over = RectangularTagger if trained.task.labels_units else RectangularClassifier
            self.rectangular, self.width = over(model), trained.task.num_outputs
        else:
            self.output = "last_hidden_state"
            self.rectangular, self.width = encoder, encoder.encoder.config.hidden_size
        typed = trained.described.pairs and encoder.reads_types
        self.inputs = INPUTS if typed else INPUTS[:2]

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """Returns (N, K) fp32 outputs, or (N, L, K) where tokens have them; of an encoder (N, L, D)
        vectors."""
        outputs: Tensor = self.rectangular(input_ids, attention_mask, token_type_ids)
        return self.task.published_outputs(outputs).float() if self.output == "logits" else outputs


def graph_of(outputs: Outputs) -> Any:
    """Returns an `onnx.ModelProto` that computes a model.

    Raises:
        RunError: if torch cannot export it.
    """
    # a tensor of its own for each input: the exporter takes one that is given twice for one input
    given = tuple(torch.ones(2, 5, dtype=torch.int64) for _ in outputs.inputs)
    any_shape = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    try:
        with _silent():
            program = torch.onnx.export(
                outputs.eval(),
                given,
                dynamo=True,
                input_names=list(outputs.inputs),
                output_names=[outputs.output],
                dynamic_shapes=dict.fromkeys(outputs.inputs, any_shape),
                verbose=False,
            )
    except Exception as error:  # the exporter raises classes of its own and of dynamo
        raise RunError(f"torch {torch.__version__} cannot export the model: {first_line(error)}") from error
    assert program is not None
    return _tidied(program.model_proto)


@contextmanager
def _silent() -> Iterator[None]:
    """Keeps the exporter's warnings, which are about its own code, from users."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _tidied(model: Any) -> Any:
    """Names the dimensions, and removes what the exporter notes of this machine, such as paths of files."""
    graph = model.graph
    names: dict[str, str] = {}
    for value in graph.input:
        for dimension, name in zip(value.type.tensor_type.shape.dim, (BATCH, LENGTH), strict=True):
            names[dimension.dim_param] = name
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.dim_param = names.get(dimension.dim_param, dimension.dim_param)
    del graph.value_info[:]
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
    return model
