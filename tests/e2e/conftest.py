"""What end-to-end tests share: a command line, and one data set and one run for all files.

A test that changes a data set or a run makes its own copy.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command_line import Command
from training_runs import settings, write_data

from custom_bert import train_model
from custom_bert.training.compile import FOLDER


@pytest.fixture
def command(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    kept_kernels: Path,
) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if (kept_kernels / FOLDER).is_dir():  # compiling them takes 3 seconds
        shutil.copytree(kept_kernels / FOLDER, tmp_path / "cache" / "custom-bert" / FOLDER)
    return Command(tmp_path, capsys)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("shared") / "data")


@pytest.fixture(scope="session")
def run(data: Path) -> Path:
    train_model(settings(data, data.parent / "run"))
    return data.parent / "run"
