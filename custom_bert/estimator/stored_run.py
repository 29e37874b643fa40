"""A finished run as the bytes of its files: what a fitted estimator holds, pickles and copies.

Nothing else is kept, no module, no open file and no path. The model is read from the bytes when it is first
used.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from custom_bert import files
from custom_bert.errors import RunError
from custom_bert.floor.ensemble import NAME as ENSEMBLE
from custom_bert.floor.storage import DESCRIPTION, FOLDER, TENSORS
from custom_bert.inference.classifier import Classifier
from custom_bert.model_files.published_files import WEIGHTS

ESTIMATOR = "estimator.json"

NAMES = (
    *("config.json", "labels.json", "tokenizer.json", "run.json", "metrics.jsonl", WEIGHTS, ENSEMBLE),
    *(f"{FOLDER}/{DESCRIPTION}", f"{FOLDER}/{TENSORS}", ESTIMATOR),
)
"""The files of a finished run, all that its commands read. The last one is the estimator's own."""

LARGEST = 1 << 40
"""The most bytes of a file that is read."""

IN_TURN = threading.RLock()
"""Whoever trains or loads holds it. Both use states of the process: random numbers, threads, precision."""


class StoredRun:
    """The files of a run directory in memory.

    Args:
        contents: the content of each file by its path within the run directory.

    Attributes:
        contents: the same.
        loaded: the device that was asked for and the model, once it is loaded. Copies are without it.
    """

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self.contents = dict(contents)
        self.loaded: tuple[str | None, Classifier] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"contents": self.contents, "loaded": None}

    @staticmethod
    def read(directory: Path) -> StoredRun:
        """Reads the files of a run directory.

        Raises:
            RunError: if a file is there and cannot be read.
        """
        contents = {}
        for name in NAMES:
            try:
                contents[name] = files.read_regular(directory / name, LARGEST)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise RunError(f"{directory / name}: cannot read: {error.strerror or error}") from error
        return StoredRun(contents)

    def with_json(self, name: str, value: Any) -> StoredRun:
        """Returns the run with another JSON file, or another content of one."""
        content = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        return StoredRun({**self.contents, name: content.encode("utf-8", "backslashreplace")})

    def json(self, name: str) -> Any:
        """Returns the content of a JSON file.

        Raises:
            RunError: if it is not there, or no JSON.
        """
        try:
            return files.parse_json(self.contents[name])
        except (KeyError, ValueError) as error:
            raise RunError(f"{name}: missing or damaged: {error}") from error

    def write(self, directory: Path) -> None:
        """Writes a run directory, whole or not at all.

        Raises:
            WriteError: if the directory exists and is not empty, or the system refuses.
        """
        with files.new_directory(directory) as folder:
            self._write_into(folder)

    def _write_into(self, folder: Path) -> None:
        for name, content in self.contents.items():
            files.make_directory((folder / name).parent)
            files.write_bytes(folder / name, content)

    def classifier(self, device: str | None) -> Classifier:
        """Returns the model, which is loaded by the first call for a device.

        Raises:
            RunError: if a file is damaged.
            ConfigError: if the device is not there.
        """
        loaded = self.loaded
        if loaded is None or loaded[0] != device:
            # through a directory that is gone afterwards, since whoever reads a model reads files
            with IN_TURN, tempfile.TemporaryDirectory(prefix="custom-bert-") as folder:
                self._write_into(Path(folder))
                loaded = self.loaded = (device, Classifier.load(folder, device=device))
        return loaded[1]
