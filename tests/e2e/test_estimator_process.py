"""What the estimator does to its process: it leaves no file, no thread and no memory, and waits its turn."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import pickletools
import signal
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from training_runs import TINY, examples

from custom_bert import TextClassifier
from custom_bert.training import fit as fit_module

TEXTS, NAMES = examples(60)
SOME = TEXTS[:6]


def tiny(**changes: Any) -> TextClassifier:
    given = {"init_from": "scratch", "epochs": 2, "lr": 3e-3, "max_length": 32, "floor": False}
    return TextClassifier(**{**given, "random_state": 0, "settings": TINY, **changes})


@pytest.fixture(scope="module")
def fitted() -> TextClassifier:
    return tiny().fit(TEXTS, NAMES)


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds the working directory, the home, the cache and the temporary directory."""
    for name in ("work", "home", "cache", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path


def written(folder: Path) -> list[Path]:
    """What was written; torch makes an empty folder of this name when its compiler is imported."""
    found = [path for path in folder.rglob("*") if path.parent != folder]
    return [path for path in found if not path.name.startswith("torchinductor_")]


def test_a_fit_and_a_prediction_leave_no_file_and_change_nothing_of_torch(watched: Path) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state(), torch.get_num_threads(), torch.get_default_dtype()
    tiny(floor=True).fit(TEXTS, NAMES).predict(SOME)
    assert written(watched) == []
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (torch.get_num_threads(), torch.get_default_dtype()) == before[1:]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, "SIGINT", "data"])
def test_a_fit_that_ends_early_leaves_no_file_and_no_thread(
    watched: Path, monkeypatch: pytest.MonkeyPatch, ctrl_c: None, error: Any
) -> None:
    real, threads = fit_module.step_within_memory, threading.active_count()

    def broken(*given: Any, **named: Any) -> Any:
        if error != "SIGINT":
            raise error
        signal.raise_signal(signal.SIGINT)
        return real(*given, **named)

    monkeypatch.setattr(fit_module, "step_within_memory", broken)
    expected = {"SIGINT": KeyboardInterrupt, "data": ValueError}.get(error, error)
    model = tiny()
    with pytest.raises(expected):
        model.fit(TEXTS if error != "data" else [""] * 60, NAMES)
    assert written(watched) == [] and threading.active_count() == threads
    assert not hasattr(model, "classes_") and not model.__sklearn_is_fitted__()
    monkeypatch.setattr(fit_module, "step_within_memory", real)
    assert model.fit(TEXTS, NAMES).predict(SOME).shape == (6,)


def test_a_fitted_estimator_pickles_to_its_files_and_nothing_else(fitted: TextClassifier) -> None:
    fitted.predict(SOME)
    content = pickle.dumps(fitted)
    assert len(content) < 1.05 * sum(map(len, fitted.run_.contents.values())) + 4096
    names = {
        str(value)
        for op, value, _ in pickletools.genops(content)
        if op.name in ("GLOBAL", "SHORT_BINUNICODE")
    }
    assert "torch" not in " ".join(names) and tempfile.gettempdir() not in " ".join(names)
    for name, one in fitted.run_.contents.items():
        assert name.endswith((".safetensors", ".json", ".jsonl")) and type(one) is bytes
        assert str(tempfile.gettempdir()).encode() + b"/custom-bert" not in one
        assert sys.argv[0].encode() not in one
    stream = BytesIO()
    joblib.dump(fitted, stream)
    stream.seek(0)
    for again in (pickle.loads(content), joblib.load(stream), copy.deepcopy(fitted)):
        assert again.run_.loaded is None
        assert np.array_equal(again.predict_proba(SOME), fitted.predict_proba(SOME))
        assert again.get_params() == fitted.get_params()


def test_fits_in_several_threads_take_turns_and_are_what_they_are_alone() -> None:
    def found(seed: int) -> np.ndarray:
        model = tiny(random_state=seed).fit(TEXTS, NAMES)
        return model.predict_proba(SOME)

    alone = [found(seed) for seed in (1, 2)]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(found, (1, 2)))
    assert all(map(np.array_equal, alone, together)) and not np.array_equal(*alone)


GROWTH = 24 << 20
"""The most bytes that eight fits may leave in memory, after two that warm up. One fit allocates about as much
for a moment, so that a leak of a model or of its data would show."""


def footprint() -> tuple[int, int, int]:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return len(os.listdir("/proc/self/fd")), threading.active_count(), pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells what a process holds")
def test_ten_fits_leave_no_open_file_no_thread_and_no_memory() -> None:
    model = tiny(epochs=1, settings={**TINY, "model.hidden_size": 256})
    for _ in range(2):
        model.fit(TEXTS, NAMES).predict(SOME)
    files, threads, memory = footprint()
    for _ in range(8):
        model.fit(TEXTS, NAMES).predict(SOME)
    later = footprint()
    assert later[:2] == (files, threads)
    assert later[2] - memory < GROWTH
