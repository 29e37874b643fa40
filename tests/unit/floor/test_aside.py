"""A floor that is fitted in a process of its own is the same, and every way in which the process may end is
told."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_runs import examples

from custom_bert.errors import CustomBertWarning
from custom_bert.floor import aside
from custom_bert.floor.linear import Floor, fit_classes
from custom_bert.floor.linear_sets import fit_sets
from custom_bert.floor.ngrams import NoFloorError

TEXTS, LABELS = examples(120)
IDS_N = np.unique(LABELS, return_inverse=True)[1]
CLASSES = len(set(LABELS))


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every floor is worth a process."""
    monkeypatch.setattr(aside, "WORTH", 0)


def result(fit: aside.Fit, texts: list[str] = TEXTS) -> tuple[Floor, np.ndarray]:
    with aside.fitted(fit, learned_from=1) as (floor, scored):
        return floor, np.concatenate(list(scored(texts)))


def same(one: Floor, other: Floor) -> bool:
    thresholds = [floor.thresholds_C for floor in (one, other)]
    equal = all(a is b is None or np.array_equal(a, b) for a, b in [thresholds])
    arrays = [
        (floor.weights_FC, floor.bias_C, *(p.idf_F for p in floor.ngrams.parts)) for floor in (one, other)
    ]
    terms = [[part.terms for part in floor.ngrams.parts] for floor in (one, other)]
    numbers = [(floor.scale, floor.offset) for floor in (one, other)]
    same_arrays = all(np.array_equal(a, b) for a, b in zip(*arrays, strict=True))
    return equal and same_arrays and terms[0] == terms[1] and numbers[0] == numbers[1]


def test_a_floor_of_another_process_is_the_same_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    hot_NC = np.eye(CLASSES)[IDS_N] > 0
    for fit in (
        partial(fit_classes, TEXTS, IDS_N, CLASSES, seed=3),
        partial(fit_sets, TEXTS[:90], hot_NC[:90], TEXTS[90:], hot_NC[90:]),
    ):
        floor, scores_NC = result(fit)
        assert same(floor, fit()) and np.array_equal(scores_NC, fit().scores(TEXTS))


def test_scores_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = TEXTS * 40
    fit = partial(fit_classes, TEXTS, IDS_N, CLASSES, seed=3)
    with aside.fitted(fit, learned_from=1) as (_, scored):
        assert [len(part) for part in scored(iter(texts))] == [4096, len(texts) - 4096]
        assert list(scored([])) == []


def test_a_floor_that_was_fitted_before_scores_as_it_does_here() -> None:
    floor = fit_classes(TEXTS, IDS_N, CLASSES, seed=3)
    with aside.loaded(floor, learned_from=1) as scored:
        for texts in (TEXTS[:7], TEXTS):
            assert np.array_equal(np.concatenate(list(scored(texts))), floor.scores(texts))


def test_a_fault_of_the_texts_is_raised_as_it_is() -> None:
    def broken() -> Iterator[str]:
        yield "a text"
        raise OSError("gone")

    fit = partial(fit_classes, TEXTS, IDS_N, CLASSES, seed=3)
    with pytest.raises(OSError, match=r"^gone$"), aside.fitted(fit, learned_from=1) as (_, scored):
        list(scored(broken()))


def test_its_libraries_are_not_loaded_here() -> None:
    code = (
        "import sys, numpy as np\nfrom functools import partial\nfrom custom_bert.floor import aside\n"
        "from custom_bert.floor.linear import fit_classes\naside.WORTH = 0\n"
        "fit = partial(fit_classes, ['a b', 'b c', 'c d', 'd e'], np.array([0, 1, 0, 1]), 2, seed=0)\n"
        "with aside.fitted(fit, learned_from=4) as (floor, scored):\n"
        "    assert next(scored(['a'])).shape == (1, 2) and floor.weights_FC.shape[1] == 2\n"
        "print([name for name in ('sklearn', 'scipy', 'torch') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_module_in_the_users_folder_hides_none_of_pythons_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "statistics.py").write_text("raise SystemExit('the wrong one')\n", encoding="utf-8")
    (tmp_path / "pickle.py").write_text("raise SystemExit('the wrong one')\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    result(partial(fit_classes, TEXTS, IDS_N, CLASSES, seed=3))


def test_texts_that_allow_no_floor_are_told() -> None:
    with pytest.raises(NoFloorError, match="the texts have no n-gram"):
        result(partial(fit_classes, [" ", "  ", " ", "   "], np.array([0, 1, 0, 1]), 2, seed=0))


def killed(number: int) -> Floor:
    """Is a fit whose process is killed."""
    os.kill(os.getpid(), number)
    raise AssertionError


def exits() -> Floor:
    """Is a fit that ends its process, after words on standard output and on standard error."""
    print("no answer")
    os.write(2, b"something\nthe reason\n")
    os._exit(3)


@pytest.fixture
def functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the other process find the functions of this file."""
    folder = str(Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([folder, str(Path(__file__).parents[2])]))
    monkeypatch.setitem(sys.modules, "test_aside", sys.modules[__name__])
    for function in (killed, exits, prints):
        monkeypatch.setattr(function, "__module__", "test_aside")


def test_a_process_that_was_killed_leaves_no_floor_and_a_reason(functions: None) -> None:
    with pytest.raises(NoFloorError, match="its process was killed, as one is that does not fit into memory"):
        result(partial(killed, int(signal.SIGKILL)))


def test_a_process_that_ends_in_another_way_is_a_fault_with_its_last_words(functions: None) -> None:
    with pytest.raises(RuntimeError, match=r"^the process of the floor ended with 3: the reason$"):
        result(exits)


def prints(texts: list[str]) -> Floor:
    """Is a fit that prints, as libraries may."""
    print("progress: 100 %", flush=True)
    os.write(1, b"from C\n")
    return fit_classes(texts, IDS_N, CLASSES, seed=3)


def test_what_libraries_print_is_no_answer(functions: None, capfd: pytest.CaptureFixture[str]) -> None:
    floor, _ = result(partial(prints, TEXTS))
    assert same(floor, fit_classes(TEXTS, IDS_N, CLASSES, seed=3)) and capfd.readouterr() == ("", "")


def test_a_system_that_starts_no_process_is_told_and_the_floor_fitted_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuses(*arguments: Any, **named: Any) -> Any:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuses)
    with pytest.warns(CustomBertWarning, match="the floor is fitted in this process, .*temporarily"):
        result(partial(fit_classes, TEXTS, IDS_N, CLASSES, seed=3))


@pytest.mark.parametrize("why", ["few texts", "a program that holds Python"])
def test_no_process_is_started_for_a_few_texts_or_by_a_program_that_holds_python(
    why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    if why == "few texts":
        monkeypatch.setattr(aside, "WORTH", 1000)
    else:
        monkeypatch.setattr(sys, "frozen", True, raising=False)
    result(partial(fit_classes, TEXTS, IDS_N, CLASSES, seed=3))


def test_an_exception_here_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    started, real = [], subprocess.Popen

    def kept(*arguments: Any, **named: Any) -> Any:
        started.append(real(*arguments, **named))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", kept)
    fit = partial(fit_classes, TEXTS, IDS_N, CLASSES, seed=3)
    with pytest.raises(KeyboardInterrupt), aside.fitted(fit, learned_from=1) as (_, scored):
        next(scored(TEXTS * 400))
        raise KeyboardInterrupt
    assert [process.returncode for process in started] == [-signal.SIGKILL]


def test_a_pickled_floor_has_its_numbers_alone() -> None:
    floor = fit_classes(TEXTS, IDS_N, CLASSES, seed=3)
    before = len(pickle.dumps(floor))
    floor.scores(TEXTS)
    assert len(pickle.dumps(floor)) == before
