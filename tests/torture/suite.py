"""E1, F5: promises that the ordinary tests hold, counted here; every test run has them already."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from torture.experiment import Experiment, Trial, nothing

ROOT = Path(__file__).resolve().parents[2]


def passes(*selection: str) -> Callable[[Trial], None]:
    """A trial that runs these tests, and notes each that passes."""

    def trial_of(trial: Trial) -> None:
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *selection]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
        found = re.search(r"(\d+) passed", done.stdout)
        assert done.returncode == 0 and found, done.stdout[-1500:]
        for _ in range(int(found.group(1))):
            trial.note("tests passed")

    return trial_of


EXPERIMENTS = (
    Experiment(
        "E1",
        "bad files, settings, command lines and runs made by hand: each its line, or a documented warning",
        0,
        1,
        nothing,
        passes(
            "tests/e2e/test_bad_data_files.py",
            "tests/e2e/test_doubtful_data_files.py",
            "tests/e2e/test_bad_settings.py",
            "tests/e2e/test_bad_runs.py",
        ),
    ),
    Experiment(
        "F5",
        "no module loads pickles, evaluates text or starts a shell",
        0,
        1,
        nothing,
        passes("tests/unit/test_architecture.py", "-k", "runs_code"),
    ),
)
