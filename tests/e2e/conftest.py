"""What end-to-end tests share: a command line, and one data set and one run for all files.

A test that changes a data set or a run makes its own copy.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Command
from training_runs import settings, write_data

from custom_bert import train_model


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Command(tmp_path, capsys)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("shared") / "data")


@pytest.fixture(scope="session")
def run(data: Path) -> Path:
    train_model(settings(data, data.parent / "run"))
    return data.parent / "run"
