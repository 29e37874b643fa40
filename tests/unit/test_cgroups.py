"""The limits of control groups, of both versions, and of all groups around a process."""

from pathlib import Path

import pytest

from custom_bert import cgroups, machine, threads

GIB = 1 << 30
NOTHING = 9223372036854771712
"""What the first version names where there is no limit."""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty tree of control groups."""
    monkeypatch.setattr(cgroups, "ROOT", tmp_path / "cgroup")
    monkeypatch.setattr(cgroups, "OWN", tmp_path / "own")
    (tmp_path / "cgroup").mkdir()
    return tmp_path / "cgroup"


def written(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{content}\n", encoding="utf-8")


def own(root: Path, lines: str) -> None:
    (root.parent / "own").write_text(lines, encoding="utf-8")


def test_a_system_without_groups_has_no_limits(root: Path) -> None:
    assert cgroups.memory_limit() is None and cgroups.processors_limit() is None


def test_a_container_sees_its_own_group_as_the_root(root: Path) -> None:
    own(root, "0::/\n")
    written(root / "memory.max", 4 * GIB)
    written(root / "cpu.max", "150000 100000")
    assert cgroups.memory_limit() == 4 * GIB and cgroups.processors_limit() == 1.5


def test_no_limit_is_none_in_both_versions(root: Path) -> None:
    own(root, "4:memory:/\n1:cpu,cpuacct:/\n0::/\n")
    written(root / "memory.max", "max")
    written(root / "cpu.max", "max 100000")
    written(root / "memory" / "memory.limit_in_bytes", NOTHING)
    written(root / "cpu" / "cpu.cfs_quota_us", -1)
    written(root / "cpu" / "cpu.cfs_period_us", 100000)
    assert cgroups.memory_limit() is None and cgroups.processors_limit() is None


def test_the_lowest_limit_of_all_groups_around_a_service_counts(root: Path) -> None:
    own(root, "0::/user.slice/job.scope\n")
    written(root / "user.slice" / "memory.max", 2 * GIB)
    written(root / "user.slice" / "job.scope" / "memory.max", 3 * GIB)
    written(root / "user.slice" / "job.scope" / "cpu.max", "100000 100000")
    written(root / "other.slice" / "memory.max", GIB)  # not around this process
    assert cgroups.memory_limit() == 2 * GIB and cgroups.processors_limit() == 1.0


def test_the_first_version_is_read_by_its_controllers(root: Path) -> None:
    own(root, "4:memory:/small\n2:cpu,cpuacct:/half\n0::/\n")
    written(root / "memory" / "small" / "memory.limit_in_bytes", 4 * GIB)
    written(root / "cpu" / "half" / "cpu.cfs_quota_us", 50000)
    written(root / "cpu" / "half" / "cpu.cfs_period_us", 100000)
    assert cgroups.memory_limit() == 4 * GIB and cgroups.processors_limit() == 0.5


def test_a_path_from_outside_the_container_is_passed_over(root: Path) -> None:
    own(root, "4:memory:/docker/0123abcd\n")
    written(root / "memory" / "memory.limit_in_bytes", GIB)
    assert cgroups.memory_limit() == GIB


def test_the_machine_has_no_more_than_its_group(root: Path) -> None:
    own(root, "0::/\n")
    written(root / "memory.max", GIB)
    written(root / "cpu.max", "20000 100000")
    assert machine.memory_bytes() == GIB and threads.cores() == 1
