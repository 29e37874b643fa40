"""safetensors files that we write are those that the library writes and reads."""

from pathlib import Path

import torch
from safetensors.torch import load, save

from custom_bert import files
from custom_bert.model_files.tensor_files import NAMES, write_tensors


def test_the_library_reads_what_we_write(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tensors = {f"a.{kind}": (100 * torch.randn(3, 5)).to(kind) for kind in NAMES}
    tensors |= {"empty": torch.zeros(0, 4), "number": torch.tensor(3.0), "ünïcode": torch.randn(2)}
    tensors["turned"] = torch.randn(4, 6).T
    with files.writing(tmp_path / "x") as sink:
        write_tensors(sink, tensors, {"format": "pt"})
    found = load((tmp_path / "x").read_bytes())
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    assert sink.size == (tmp_path / "x").stat().st_size


def test_one_type_gives_the_librarys_bytes(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(4)}
    with files.writing(tmp_path / "x") as sink:
        write_tensors(sink, tensors)
    assert (tmp_path / "x").read_bytes() == save(tensors)
