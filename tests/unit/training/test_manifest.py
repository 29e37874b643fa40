"""A manifest notices every bit of the files that it lists, and of itself."""

from pathlib import Path

import pytest

from custom_bert import files
from custom_bert.errors import RunError
from custom_bert.training import manifest


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
