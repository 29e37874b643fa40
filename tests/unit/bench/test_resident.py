"""Memory of a process, and of those that it has started."""

import subprocess
import sys
import time

import pytest

from custom_bert.bench import resident
from custom_bert.bench.resident import FamilyPeak, peak_mb

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what others hold")

HOLDS = "import time; held = bytearray(b'x') * (100 << 20); time.sleep(0.5)"
STARTS = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLDS!r}])"


def _seen(program: str) -> int:
    process = subprocess.Popen([sys.executable, "-c", program])
    with FamilyPeak(process.pid) as family:
        assert process.wait() == 0
    return family.peak_mb


def test_the_peak_includes_what_a_started_process_holds() -> None:
    assert 100 <= _seen(STARTS) <= 160


def test_what_two_processes_hold_at_the_same_time_is_added() -> None:
    together = f"import subprocess, sys; held = bytearray(b'x') * (100 << 20); {STARTS}"
    assert 200 <= _seen(together) <= 260
    in_turn = f"import time; held = bytearray(b'x') * (100 << 20); time.sleep(0.5); del held; {STARTS}"
    assert 100 <= _seen(in_turn) <= 160


def test_a_process_that_ends_at_once_is_no_error() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with FamilyPeak(process.pid) as family:
        time.sleep(0.3)
    assert family.peak_mb == 0


def test_the_peak_of_this_process_is_in_mib() -> None:
    before = peak_mb()
    held = bytearray(b"x") * (before + 200 << 20)
    assert before + 150 <= peak_mb() <= before * 2 + 400
    del held


def test_what_is_seen_once_only_is_a_process_that_has_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([100, 900, 110, 300, 310])
    monkeypatch.setattr(resident, "_family", lambda pid: [pid])
    monkeypatch.setattr(resident, "_resident_kib", lambda pid: 1024 * next(looks, 0))
    monkeypatch.setattr(resident, "PAUSE", 0.01)
    with FamilyPeak(1) as family:
        time.sleep(0.5)
    assert family.peak_mb == 300
