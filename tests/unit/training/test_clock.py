"""The clock of a run: training alone is timed, whatever happens between its steps."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from training_runs import built, ready, settings, write_data

from custom_bert.training import build
from custom_bert.training.clock import Clock


def begun() -> Clock:
    clock = Clock()
    clock.begin_phase(0.0)
    return clock


def test_waiting_for_batches_is_measured_apart_from_work() -> None:
    def slow() -> Iterator[int]:
        for i in range(3):
            time.sleep(0.05)
            yield i

    clock = begun()
    for _ in clock.waiting_for(slow()):
        clock.count(8, 10)
        time.sleep(0.05)
    found = clock.read()
    assert 0.15 <= clock.waited < clock.trained
    assert 0.2 < found["host_data_wait"] < 0.8 and found["padding"] == pytest.approx(0.2)
    time.sleep(0.01)
    assert clock.read()["host_data_wait"] == 0.0  # since the last call


def test_a_continued_record_counts_the_time_that_its_tokens_took_before() -> None:
    first = begun()
    first.count(1000, 1000)
    time.sleep(0.2)
    with first.stopped():
        tokens, rows, seconds = first.tokens, first.rows, first.log_seconds
    second = Clock()
    second.begin_phase(0.0, tokens=tokens, rows=rows, log_seconds=seconds)
    second.count(10, 10)
    assert second.read()["tokens_per_second"] < 1010 / 0.2
    time.sleep(0.01)
    assert second.read()["tokens_per_second"] == 0  # since the last call


def test_what_happens_while_training_stands_still_counts_for_the_run_and_the_phase_alone() -> None:
    clock = begun()
    with clock.stopped():
        before = clock.trained
        time.sleep(0.05)
        with clock.stopped():  # an evaluation that saves
            pass
    assert before <= clock.trained < before + 0.04
    assert clock.phase_seconds >= 0.05 and clock.run_seconds >= 0.05


def test_what_earlier_processes_took_counts() -> None:
    clock = Clock()
    clock.set_run(100.0)
    clock.begin_phase(30.0)
    assert 100 <= clock.run_seconds < 101 and 30 <= clock.phase_seconds < 31 and clock.trained == 0


def test_the_time_of_a_run_includes_its_first_token_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "start_from_cooccurrences", lambda *_: time.sleep(0.3))
    config = settings(write_data(tmp_path / "data"), None, **{"optim.embedding_init": "ppmi"})
    assert built(ready(config)).clock.run_seconds >= 0.3
