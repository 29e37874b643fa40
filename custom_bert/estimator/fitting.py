"""Trains a run in a directory that is gone afterwards, and returns its files as bytes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from custom_bert import config as configuration
from custom_bert import files
from custom_bert.config import TrainConfig
from custom_bert.data.memory import in_memory
from custom_bert.data.reading import LabelledLines
from custom_bert.errors import ConfigError, DataError, warn_caller
from custom_bert.estimator.stored_run import IN_TURN, StoredRun
from custom_bert.training.log import Reporter
from custom_bert.training.loop import train_model


class FitReporter(Reporter):
    """Prints what concerns a caller who sees no run directory.

    Args:
        verbose: 0 prints nothing and keeps warnings, 1 prints progress, 2 every choice too.
        directory: the temporary directory, whose path no line shows.

    Attributes:
        warnings: the warnings that were not printed.
    """

    def __init__(self, verbose: int, directory: Path) -> None:
        super().__init__(silent=verbose < 1, verbose=verbose > 1)
        self.warnings: list[str] = []
        self._quiet, self._directory = verbose < 1, str(directory)

    def say(self, line: str) -> None:
        """Prints one line, without the path. A line about what to do with the directory is left out."""
        line = line.removeprefix(f"{self._directory}: ")
        if self._directory not in line:
            super().say(line)

    def warn(self, line: str) -> None:
        """Prints or keeps one warning."""
        if self._quiet:
            self.warnings.append(line)
        else:
            super().warn(line)


def fitted_run(
    config: TrainConfig, texts: list[Any], labels: list[str], weights: np.ndarray | None, verbose: int
) -> StoredRun:
    """Trains a model on texts in memory.

    The run directory and the cache are in a temporary directory, which is removed also after an error or
    Ctrl-C. Fits in several threads take turns, because training uses states of the whole process.

    Args:
        config: the settings.
        texts: N texts, or N tuples of two texts.
        labels: the line of a label file for each.
        weights: (N,) how much each text counts, above 0; None for the same.
        verbose: see `FitReporter`.

    Raises:
        ValueError: for settings or data that cannot be used, with the text of the `UserError`.
        UserError: for anything else that the user has to mend.
    """
    return _fitted(config, {}, lambda: in_memory(texts, labels, weights=weights), verbose)


def fitted_on_files(
    config: TrainConfig, contents: Mapping[str, tuple[str, bytes]], verbose: int
) -> StoredRun:
    """Trains a model on the contents of files, which are written into the temporary directory; see
    `fitted_run`.

    Args:
        config: the settings.
        contents: for each setting that is the path of a file, the file's name and its content.
        verbose: see `FitReporter`.
    """
    return _fitted(config, contents, lambda: None, verbose)


def _fitted(
    config: TrainConfig,
    contents: Mapping[str, tuple[str, bytes]],
    source: Callable[[], LabelledLines | None],
    verbose: int,
) -> StoredRun:
    with IN_TURN, tempfile.TemporaryDirectory(prefix="custom-bert-") as folder:
        run = Path(folder) / "run"
        inside = {"out": str(run)}
        if config.data.cache_dir is None:
            inside["data.cache_dir"] = str(Path(folder) / "cache")
        for name, (file, content) in contents.items():
            inside[name] = str(Path(folder) / file)
            files.write_bytes(Path(folder) / file, content)
        reporter = FitReporter(verbose, run)
        try:
            train_model(configuration.replace(config, inside), source=source(), reporter=reporter)
        except (ConfigError, DataError) as error:
            raise ValueError(str(error).replace(f"{folder}/", "")) from error
        stored = StoredRun.read(run)
    record = stored.json("run.json")
    record["config"] |= dict.fromkeys(inside)  # these directories are gone
    record["argv"] = []  # the caller's program, which may be any
    for line in reporter.warnings:
        warn_caller(line)
    return stored.with_json("run.json", record)
