"""Writes are atomic: the old content or the new, no litter, one line when the system refuses."""

import errno
import json
import os
from pathlib import Path

import pytest

from custom_bert import files
from custom_bert.errors import WriteError
from custom_bert.files import locks, system


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    files.write_text(target, "old")
    with pytest.raises(RuntimeError), files.writing(target) as stream:
        stream.write(b"half of the n")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_an_existing_file_is_not_replaced_unless_allowed(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    files.write_text(target, "old")
    with pytest.raises(WriteError, match="exists already"):
        files.write_text(target, "new", replace=False)
    assert target.read_text() == "old"
    files.write_text(target, "new")
    assert target.read_text() == "new"


def test_a_file_made_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with pytest.raises(WriteError), files.writing(target, replace=False) as stream:
        stream.write(b"ours")
        target.write_text("theirs")
    assert target.read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_refused_write_is_one_line_with_the_path(tmp_path: Path) -> None:
    with pytest.raises(WriteError) as caught:
        files.write_text(tmp_path / "missing" / "a.txt", "x")
    assert str(caught.value) == f"{tmp_path}/missing/a.txt: cannot write: No such file or directory (ENOENT)"
    (tmp_path / "file").write_text("x")
    with pytest.raises(WriteError, match="cannot write"):
        files.make_directory(tmp_path / "file" / "below")


def test_a_place_that_cannot_be_written_is_told_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    files.check_writable(tmp_path / "new" / "below")
    assert not (tmp_path / "new").exists()
    with pytest.raises(WriteError, match="file is not a directory"):
        files.check_writable(tmp_path / "file" / "run")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if not os.access(locked, os.W_OK):  # root may write anywhere
        with pytest.raises(WriteError, match="no permission in"):
            files.check_writable(locked / "run")


def test_files_have_the_permissions_that_the_umask_gives(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        files.write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(old)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_json_keeps_every_character_and_refuses_nan(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {"labél": "价格\u2028"})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"labél": "价格\u2028"}
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "b.json", float("nan"))
    assert not (tmp_path / "b.json").exists()


def test_the_line_log_is_readable_after_every_line(tmp_path: Path) -> None:
    log = files.LineLog(tmp_path / "m.jsonl")
    log.write({"step": 1})
    assert (tmp_path / "m.jsonl").read_text() == '{"step": 1}\n'
    log.write({"step": 2})
    log.close()
    log.close()
    assert len((tmp_path / "m.jsonl").read_text().splitlines()) == 2


def test_a_directory_gets_its_name_only_when_complete(tmp_path: Path) -> None:
    with files.new_directory(tmp_path / "final") as folder:
        files.write_text(folder / "a", "x")
        assert not (tmp_path / "final").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["final"]
    with pytest.raises(WriteError), files.new_directory(tmp_path / "final"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["final"]
    assert (tmp_path / "final" / "a").read_text() == "x"


def test_where_there_are_no_links_a_new_file_is_copied_to_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoLinks(system.System):
        def link(self, source: Path, target: Path) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(system, "current", NoLinks())
    files.write_text(tmp_path / "a", "a", replace=False)
    assert (tmp_path / "a").read_text() == "a"
    with pytest.raises(WriteError, match="exists already"):
        files.write_text(tmp_path / "a", "b", replace=False)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_directories_are_removed_without_following_links(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").write_text("x")
    (tmp_path / "old" / "inner").mkdir(parents=True)
    (tmp_path / "old" / "link").symlink_to(tmp_path / "mine")
    files.remove_directory(tmp_path / "old")
    files.remove_directory(tmp_path / "never there")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["mine", "x"]


def test_a_file_system_without_locks_is_told_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(locks.fcntl, "flock", none)
    said: list[str] = []
    with files.locked(tmp_path, warn=said.append):
        assert "has no locks" in said[0]
