"""Turns an ONNX graph into one that computes in int8, by onnxruntime's dynamic quantisation.

The weights of each output of a product get a scale of their own. The numbers that go into a product are
quantised when it is computed, with one scale for all of them. So a text's outputs depend a little on the
texts that are computed with it.

`smoothing` makes the model ready for that.

The table of token vectors is the largest part of a small model's file. It is kept in int8 with one scale, or
in fp16, which takes half the room of fp32 and changes outputs far less than products in int8 do.

Weights have 7 bits. Processors without instructions for int8 sum two products of 8 bits in 16 bits, which may
overflow: the same file would then predict worse there than where it was verified. With 7 bits no sum can.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from custom_bert.errors import RunError


def quantised(model: Any, folder: Path, *, token_vectors: bool) -> Any:
    """Returns an `onnx.ModelProto` whose products are in int8.

    Args:
        model: an `onnx.ModelProto` in fp32, which may be changed.
        folder: a directory for temporary files.
        token_vectors: whether the table of token vectors is in int8 too; in fp16 if not.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    path = folder / "quantised.onnx"
    try:
        with _silent():
            quantize_dynamic(
                model,
                path,
                op_types_to_quantize=["MatMul"],
                per_channel=True,
                reduce_range=True,
                weight_type=QuantType.QInt8,
            )
            if token_vectors:
                quantize_dynamic(
                    onnx.load(path),
                    path,
                    op_types_to_quantize=["Gather"],
                    nodes_to_quantize=[node.name for node in model.graph.node if reads_tokens(node)],
                    weight_type=QuantType.QInt8,
                )
        found = onnx.load(path)
        if not token_vectors:
            _halve_token_vectors(found)
        return found
    finally:
        path.unlink(missing_ok=True)


def _halve_token_vectors(model: Any) -> None:
    """Stores the table of token vectors in fp16. What is read from it is turned into fp32 again.

    Raises:
        RunError: if a number is too large for fp16.
    """
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    (reader,) = (node for node in graph.node if reads_tokens(node))
    (table,) = (one for one in graph.initializer if one.name == reader.input[0])
    values = numpy_helper.to_array(table)
    if not np.abs(values).max() <= np.finfo(np.float16).max:
        raise RunError("token vectors have numbers that are too large for fp16; export without --int8")
    half = numpy_helper.from_array(values.astype(np.float16), f"{table.name}_fp16")
    graph.initializer.append(half)
    if not any(table.name in node.input for node in graph.node if node is not reader):
        graph.initializer.remove(table)
    vectors = reader.output[0]
    reader.input[0], reader.output[0] = half.name, f"{vectors}_fp16"
    cast = helper.make_node(
        "Cast", list(reader.output), [vectors], name=f"{reader.name}_fp32", to=TensorProto.FLOAT
    )
    graph.node.insert(list(graph.node).index(reader) + 1, cast)


def reads_tokens(node: Any) -> bool:
    """Whether a node of a graph reads the table of token vectors."""
    return bool(node.op_type == "Gather" and node.input[1] == "input_ids")


@contextmanager
def _silent() -> Iterator[None]:
    """Keeps the library's advice, which is about other kinds of graphs, from users."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
