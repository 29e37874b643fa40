"""safetensors files that we write are those that the library writes and reads; manifests notice every bit."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from custom_bert import files
from custom_bert.checkpoints import manifest
from custom_bert.checkpoints.tensor_files import NAMES, write_tensors
from custom_bert.errors import RunError


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


def write_directory(directory: Path) -> None:
    with files.new_directory(directory) as folder:
        entries = {}
        for name in ("a", "b"):
            with files.creating(folder / name) as sink:
                sink.write(name.encode() * 20)
            entries[name] = (sink.size, sink.sha256)
        manifest.write_manifest(folder, entries)


def test_every_bit_of_a_manifest_counts(tmp_path: Path) -> None:
    write_directory(tmp_path / "whole")
    assert manifest.verify(tmp_path / "whole").keys() == {"a", "b"}
    path = tmp_path / "whole" / manifest.NAME
    content = path.read_bytes()
    for bit in range(8 * len(content)):
        spoilt = bytearray(content)
        spoilt[bit // 8] ^= 1 << bit % 8
        path.write_bytes(spoilt)
        with pytest.raises(RunError, match="damaged"):
            manifest.verify(tmp_path / "whole")


def test_what_is_missing_too_many_or_no_file_is_named(tmp_path: Path) -> None:
    write_directory(tmp_path / "x")
    (tmp_path / "x" / "more").write_text("")
    (tmp_path / ".DS_Store").write_bytes(b"of a file browser")
    with pytest.raises(RunError, match="more is not part of it"):
        manifest.verify(tmp_path / "x")
    (tmp_path / "x" / "more").unlink()
    (tmp_path / "x" / "a").rename(tmp_path / "a")
    with pytest.raises(RunError, match="a is missing"):
        manifest.verify(tmp_path / "x")
    (tmp_path / "x" / "a").symlink_to(tmp_path / "a")
    with pytest.raises(RunError, match=r"a link to .*/a, not a regular file; cp -rL .*/x COPY"):
        manifest.verify(tmp_path / "x")
