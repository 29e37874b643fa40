"""A few trials of every experiment, in every test run; all of them: `make torture`."""

from collections import Counter
from pathlib import Path

import pytest

from torture.__main__ import run
from torture.experiment import Experiment, upper_bound
from torture.matrix import EXPERIMENTS


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda e: e.id)
def test_a_few_trials(experiment: Experiment, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    experiment.prepare(shared)
    failures, _ = run(experiment, list(range(experiment.quick)), 0, tmp_path, shared)
    assert not failures, failures[0]


def test_a_trial_that_fails_is_told(tmp_path: Path) -> None:
    def fail(trial: object) -> None:
        raise AssertionError("broken")

    experiment = Experiment("X", "none", 3, 3, lambda shared: None, fail)
    failures, counts = run(experiment, [0, 1, 2], 0, tmp_path, tmp_path)
    assert len(failures) == 3 and "broken" in failures[0] and counts == Counter()


def test_the_bound_is_the_rule_of_three() -> None:
    assert upper_bound(0, 300) == pytest.approx(3 / 300, rel=0.01)
    assert upper_bound(3, 3) == 1.0
