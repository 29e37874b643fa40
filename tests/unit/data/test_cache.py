"""A cache is never a reason to stop: what cannot be read is made, what cannot be written goes elsewhere."""

from __future__ import annotations

import os
import resource
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from custom_bert import files
from custom_bert.data.cache import Cache
from custom_bert.errors import WriteError
from custom_bert.files import system
from custom_bert.places import Place


def put(cache: Cache, name: str = "entry", content: bytes = b"content") -> Path:
    def write(root: Path) -> Path:
        path = cache.folder(root, "folder") / name
        files.write_bytes(path, content)
        return path

    return cache.get(lambda root: None, write)


def there(root: Path, name: str = "entry") -> Path | None:
    path = root / "folder" / name
    return path if path.is_file() else None


def find(cache: Cache, name: str = "entry") -> Path | None:
    return cache.look(lambda root: there(root, name))


def a_file(path: Path) -> None:
    path.write_bytes(b"")


def a_link_to_nowhere(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere" / "at all")


@pytest.mark.parametrize(
    ("spoil", "why"), [(a_file, "Not a directory (ENOTDIR)"), (a_link_to_nowhere, "ENO")]
)
def test_a_place_that_refuses_is_told_once_with_the_next_one(
    tmp_path: Path, spoil: Callable[[Path], None], why: str
) -> None:
    spoil(tmp_path / "first")
    said: list[str] = []
    cache = Cache(tmp_path / "first", tmp_path / "second", say=said.append)
    assert put(cache) == tmp_path / "second" / "folder" / "entry" == find(cache)
    put(cache, "other")
    (line,) = said
    assert line.startswith(f"cache: {tmp_path}/first: cannot write: ") and why in line
    assert line.endswith(f"; prepared data is kept in {tmp_path}/second") and "\n" not in line


def test_only_where_no_place_can_be_written_is_it_an_error(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).write_bytes(b"")
    cache = Cache(tmp_path / "first", tmp_path / "second", reasons=["there is no home directory"])
    for _ in range(2):
        with pytest.raises(WriteError) as raised:
            put(cache)
        assert str(raised.value) == (
            f"cache: there is no home directory; "
            f"{tmp_path}/first: cannot write: Not a directory (ENOTDIR); "
            f"{tmp_path}/second: cannot write: Not a directory (ENOTDIR); "
            f"set data.cache_dir to a directory that can be written"
        )


def test_a_cache_that_can_only_be_read_serves_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(Cache(tmp_path / "first"))
    said: list[str] = []
    cache = Cache(tmp_path / "first", tmp_path / "second", say=said.append)
    real = system.current.open

    def read_only(path: Path, flags: int) -> int:
        if flags & os.O_CREAT and (tmp_path / "first") in Path(path).parents:
            raise OSError(30, "Read-only file system")
        return real(path, flags)

    monkeypatch.setattr(system.current, "open", read_only)
    assert find(cache) == tmp_path / "first" / "folder" / "entry" and not said
    assert put(cache, "new") == tmp_path / "second" / "folder" / "new" and "EROFS" in said[0]
    assert find(cache) == tmp_path / "first" / "folder" / "entry"
    assert find(cache, "new") == tmp_path / "second" / "folder" / "new"
    later = Cache(tmp_path / "first", tmp_path / "second", say=said.append)
    for name, place in (("entry", "first"), ("new", "second"), ("entry", "first"), ("new", "second")):
        found = later.get(lambda root, name=name: there(root, name), lambda root: put(Cache(root)))  # type: ignore[misc]
        assert found == tmp_path / place / "folder" / name
    assert len(said) == 2  # once of each


def test_a_place_in_reserve_is_not_read_while_the_one_before_it_serves(tmp_path: Path) -> None:
    put(Cache(tmp_path / "second"))
    cache = Cache(tmp_path / "first", tmp_path / "second")
    assert cache.get(there, lambda root: put(Cache(root))) == tmp_path / "first" / "folder" / "entry"


def test_a_disk_that_fills_up_within_an_entry_leaves_nothing_and_the_next_place_has_all(
    tmp_path: Path,
) -> None:
    """The kernel's own limit on the size of files stands for the full disk, at the first place alone."""
    said: list[str] = []
    cache = Cache(tmp_path / "first", tmp_path / "second", say=said.append)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def write(root: Path) -> Path:
        small = root == tmp_path / "first"
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000 if small else limit[0], limit[1]))
        target = cache.folder(root, "folder") / "entry"
        with files.new_directory(target) as folder, files.creating(folder / "ids") as sink:
            sink.write(b"x" * 5000)
        return root / "folder" / "entry" / "ids"

    try:
        kept = cache.get(lambda root: None, write)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    assert kept == tmp_path / "second" / "folder" / "entry" / "ids" and kept.stat().st_size == 5000
    assert not list((tmp_path / "first" / "folder").iterdir())
    assert "EFBIG" in said[0] and len(said) == 1


@pytest.fixture
def shared(tmp_path: Path) -> Place:
    """A place in a directory that everybody may write into."""
    (tmp_path / "tmp").mkdir()
    return Place(tmp_path / "tmp" / "custom-bert-1", shared=True)


def test_a_place_among_others_things_is_this_users_alone(shared: Place) -> None:
    before = os.umask(0)
    try:
        kept = put(Cache(shared))
    finally:
        os.umask(before)
    assert kept.parents[1] == shared.path
    assert stat.S_IMODE(shared.path.stat().st_mode) == 0o700
    assert find(Cache(shared)) == kept


def of_everybody(path: Path) -> None:
    path.mkdir()
    path.chmod(0o777)


def a_link(path: Path) -> None:
    (path.parent / "elsewhere").mkdir()
    path.symlink_to(path.parent / "elsewhere")


@pytest.mark.parametrize("take", [of_everybody, a_link, a_file])
def test_a_place_that_somebody_has_taken_is_neither_read_nor_written(
    shared: Place, take: Callable[[Path], None]
) -> None:
    take(shared.path)
    if shared.path.is_dir():
        (shared.path / "folder").mkdir()
        (shared.path / "folder" / "entry").write_bytes(b"planted")
    cache = Cache(shared)
    assert find(cache) is None
    kept = put(cache)
    assert kept.parents[1] != shared.path and kept.parents[1].name.startswith("custom-bert-1-")
    assert stat.S_IMODE(kept.parents[1].stat().st_mode) & 0o077 == 0
    assert find(cache) == kept


def test_a_place_of_another_user_is_neither_read_nor_written(
    shared: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(Cache(shared))
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    cache = Cache(shared, shared.path.parent / "last")
    assert find(cache) is None
    assert shared.path not in put(cache).parents


def test_a_directory_for_temporary_files_that_is_missing_is_not_made(tmp_path: Path) -> None:
    place = Place(tmp_path / "missing" / "custom-bert-1", shared=True)
    assert put(Cache(place, tmp_path / "second", say=lambda line: None)).parents[1] == tmp_path / "second"
    assert not (tmp_path / "missing").exists()
