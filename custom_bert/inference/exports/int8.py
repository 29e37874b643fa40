"""Turns an ONNX graph into one that computes in int8, by onnxruntime's dynamic quantisation.

The weights of each output of a product get a scale of their own. The numbers that go into a product are
quantised when it is computed, with one scale for all of them. So a text's outputs depend a little on the
texts that are computed with it.

`smoothing` makes the model ready for that.

Weights have 7 bits. Processors without instructions for int8 sum two products of 8 bits in 16 bits, which may
overflow: the same file would then predict worse there than where it was verified. With 7 bits no sum can.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def quantised(model: Any, folder: Path, *, token_vectors: bool) -> Any:
    """Returns an `onnx.ModelProto` whose products are in int8.

    Args:
        model: an `onnx.ModelProto` in fp32, which may be changed.
        folder: a directory for temporary files.
        token_vectors: whether the table of token vectors is in int8 too, which makes the file smaller.
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
        return onnx.load(path)
    finally:
        path.unlink(missing_ok=True)


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
