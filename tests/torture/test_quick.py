"""A few trials of every experiment, in every test run; all of them: `make torture`."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from torture.__main__ import run
from torture.bugs import BUGS, Bug
from torture.experiment import Experiment, upper_bound
from torture.matrix import EXPERIMENTS

PACKAGE = Path(__file__).resolve().parents[2] / "custom_bert"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Experiment], Path]:
    """What trials share and leave as it is: so it is made once for all experiments that prepare alike."""
    folders: dict[Callable[[Path], None], Path] = {}

    def folder(experiment: Experiment) -> Path:
        if experiment.prepare not in folders:
            shared = tmp_path_factory.mktemp("shared")
            experiment.prepare(shared)
            folders[experiment.prepare] = shared
        return folders[experiment.prepare]

    return folder


@pytest.mark.parametrize("experiment", [e for e in EXPERIMENTS if e.quick], ids=lambda e: e.id)
def test_a_few_trials(experiment: Experiment, prepared: Callable[[Experiment], Path], tmp_path: Path) -> None:
    shared = prepared(experiment)
    failures, _ = run(experiment, list(range(experiment.quick)), 0, tmp_path, shared)
    assert not failures, failures[0]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.what)
def test_the_place_of_every_planted_bug_is_there_once(bug: Bug) -> None:
    assert (PACKAGE / bug.file).read_text(encoding="utf-8").count(bug.old) == 1


def test_a_trial_that_fails_is_told(tmp_path: Path) -> None:
    def fail(trial: object) -> None:
        raise AssertionError("broken")

    experiment = Experiment("X", "none", 3, 3, lambda shared: None, fail)
    failures, counts = run(experiment, [0, 1, 2], 0, tmp_path, tmp_path)
    assert len(failures) == 3 and "broken" in failures[0] and counts == Counter()


def test_the_bound_is_the_rule_of_three() -> None:
    assert upper_bound(0, 300) == pytest.approx(3 / 300, rel=0.01)
    assert upper_bound(3, 3) == 1.0
