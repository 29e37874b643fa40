"""safetensors files: written without a second copy in memory, and read into memory instead of being mapped.

We write them ourselves, because the library needs a second copy in memory or opens the file itself, and then
the file is not durable as `files` makes it. The format takes a few lines
(https://github.com/huggingface/safetensors, "Format"). Reading is left to the library.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from custom_bert.errors import RunError, first_line, shown
from custom_bert.files import Sink

NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.uint8: "U8",
}
"""The format's name of each type that we write."""

LONGEST_NAME = 300
"""The most characters that a tensor's name may have, in a file that we read."""

ALIGNMENT = 8
"""The header's length is a multiple of this number of bytes, so that tensors begin at such addresses."""


def write_tensors(
    sink: Sink, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes a safetensors file. It copies only tensors that are not contiguous on the CPU, one at a time.

    Args:
        sink: the file; see `files.writing` and `files.creating`.
        tensors: the tensors by name.
        metadata: strings for the header.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    at = 0
    for name, tensor in tensors.items():
        end = at + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [at, end],
        }
        at = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    sink.write(len(text).to_bytes(8, "little"))
    sink.write(text)
    for tensor in tensors.values():
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        if flat.numel():
            sink.write(flat.view(torch.uint8).numpy().data)


def parse_tensors(path: Path, content: bytes) -> dict[str, Tensor]:
    """Returns the tensors of a safetensors file by name.

    Args:
        path: of the file, for messages.
        content: the bytes of the file.

    Raises:
        RunError: if it is damaged, or holds a type that torch does not have.
    """
    try:
        tensors = load_tensors(content)
    except (SafetensorError, ValueError) as error:
        raise RunError(f"{path}: damaged: {first_line(error)[:200]}") from error
    except KeyError as error:
        raise RunError(f"{path}: tensors of type {error}, which torch does not have") from error
    for name in tensors:
        if not name.isprintable() or len(name) > LONGEST_NAME:
            raise RunError(f"{path}: damaged: {shown(name)} is no name of a tensor")
    return tensors
