"""Programs make waiting threads sleep soon, before torch is there and unless the user says otherwise."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from custom_bert import threads
from custom_bert.bench.measure import in_child
from custom_bert.process import DYNAMIC, KERNELS, LEVELS, SPINS, WAIT_POLICY, prepare_process

ROOT = Path(__file__).resolve().parents[2]
TRAIN = "import train"
COMMAND = "from custom_bert.cli import main; main(['--version'])"


def spins_after(code: str, given: dict[str, str]) -> str:
    environment = {
        name: value for name, value in os.environ.items() if name not in (SPINS, WAIT_POLICY)
    } | given
    code = f"{code}; import os; print(os.environ.get({SPINS!r}))"
    said = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True, cwd=ROOT)
    return said.split()[-1]


@pytest.mark.parametrize(
    ("code", "given", "found"),
    [
        (COMMAND, {}, "1000"),
        (COMMAND, {SPINS: "7"}, "7"),
        (COMMAND, {WAIT_POLICY: "PASSIVE"}, "None"),
        (TRAIN, {}, "1000"),
        ("import custom_bert", {}, "None"),
    ],
)
def test_programs_decide_and_imports_do_not(code: str, given: dict[str, str], found: str) -> None:
    assert spins_after(code, given) == found


def test_few_kernels_are_kept_unless_the_user_says_otherwise() -> None:
    found: dict[str, str] = {}
    prepare_process(found)
    assert found == {SPINS: "1000", KERNELS: "128", DYNAMIC: "FALSE"}
    given = {KERNELS: "7", WAIT_POLICY: "ACTIVE"}
    prepare_process(given)
    assert given == {KERNELS: "7", WAIT_POLICY: "ACTIVE", DYNAMIC: "FALSE"}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({DYNAMIC: "true"}, {DYNAMIC: "FALSE"}),
        ({LEVELS: "0"}, {LEVELS: "1"}),
        ({LEVELS: " +00"}, {LEVELS: "1"}),
        ({LEVELS: "10"}, {LEVELS: "10"}),
        ({LEVELS: "2"}, {LEVELS: "2"}),
        ({"OMP_THREAD_LIMIT": "1"}, {"OMP_NUM_THREADS": "1"}),
        ({"OMP_THREAD_LIMIT": "3", "OMP_NUM_THREADS": "8"}, {"OMP_NUM_THREADS": "3"}),
        ({"OMP_THREAD_LIMIT": "64", "OMP_NUM_THREADS": "8"}, {"OMP_NUM_THREADS": "8"}),
    ],
)
def test_openmp_gives_a_program_the_threads_that_torch_counts_on(
    given: dict[str, str], found: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "cores", lambda: 4)
    environment = dict(given)
    prepare_process(environment)
    assert found.items() <= environment.items()


def test_what_others_say_of_threads_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "cores", lambda: 4)
    torchrun = {threads.TORCHRUN: "x", "LOCAL_WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    for given, count, why in (
        ({}, 4, "cores"),
        ({"OMP_NUM_THREADS": "3"}, 3, "OMP_NUM_THREADS"),
        ({"OMP_NUM_THREADS": " 2,1"}, 2, "OMP_NUM_THREADS"),
        ({"OMP_NUM_THREADS": "no number"}, 4, "cores"),
        ({"OMP_NUM_THREADS": "9" * 19}, 4, "cores"),
        ({"OMP_NUM_THREADS": "9" * 5000}, 4, "cores"),
        ({"OMP_THREAD_LIMIT": "+1"}, 1, "OMP_THREAD_LIMIT"),
        ({"OMP_THREAD_LIMIT": "2"}, 2, "OMP_THREAD_LIMIT"),
        ({"OMP_THREAD_LIMIT": "9"}, 4, "cores"),
        (torchrun, 2, "cores"),
        ({**torchrun, "OMP_THREAD_LIMIT": "1"}, 1, "OMP_THREAD_LIMIT"),
    ):
        found = threads.allowed(given)
        assert found[0] == count and found[1].startswith(why), given


def test_train_py_decides_before_torch_is_imported() -> None:
    source = (ROOT / "train.py").read_text()
    assert source.index("prepare_process()") < source.index("training.loop")


def test_measuring_processes_wait_as_the_product_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (SPINS, WAIT_POLICY):
        monkeypatch.delenv(name, raising=False)
    script = tmp_path / "task.py"
    script.write_text(
        "import json, os, sys\n"
        f"open(sys.argv[4], 'w').write(json.dumps({{'spins': os.environ.get({SPINS!r})}}))\n"
    )
    assert in_child([str(script)], "any", {})["spins"] == "1000"
    given = in_child([str(script)], "any", {}, environment={SPINS: "9"})
    assert given["spins"] == "9"


HOLES = """
import os, resource
from custom_bert.process import release_memory
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() >> 20
blocks = [b"x" * 60_000 for _ in range(4000)]
del blocks[::2]
held = resident()
release_memory()
print(held - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps what is freed")
def test_freed_memory_is_handed_back() -> None:
    assert int(subprocess.check_output([sys.executable, "-c", HOLES], text=True, cwd=ROOT)) > 80


FAULTS = """
import os, resource
from custom_bert.process import prepare_process
prepare_process()
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [b"x" * (16 << 20) for _ in range(8)]
    del blocks
    pages = (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * os.sysconf("SC_PAGESIZE")
print(pages >> 20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc hands freed memory back like that")
@pytest.mark.parametrize(
    ("given", "faulted"),
    [
        ({}, False),
        ({"GLIBC_TUNABLES": "glibc.malloc.tcache_count=7"}, True),
        ({"MALLOC_ARENA_MAX": "4"}, True),
    ],
)
def test_freed_memory_is_taken_again_unless_the_user_says_otherwise(
    given: dict[str, str], faulted: bool
) -> None:
    untouched = {n: v for n, v in os.environ.items() if not n.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    said = subprocess.check_output([sys.executable, "-c", FAULTS], text=True, cwd=ROOT, env=untouched | given)
    assert (int(said) > 64) == faulted
