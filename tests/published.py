"""A tiny published checkpoint that stands in for the default one: in a package, a cache, or nowhere."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from custom_bert.model_files.catalogue import DEFAULT, Checkpoint, Package, catalogue

PACKAGE = "tiny-checkpoint"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Published:
    """The stand-in, under the name of the default checkpoint.

    Args:
        directory: a directory in Hugging Face's layout.
        architecture: what the catalogue says of its architecture.
        folder: an empty directory that is on the path of modules.
        patch: undoes everything at the end of a test.
    """

    def __init__(
        self,
        directory: Path,
        architecture: Mapping[str, Any],
        folder: Path,
        patch: pytest.MonkeyPatch,
    ) -> None:
        self.directory, self.folder, self._patch = directory, folder, patch
        self.asked: list[dict[str, Any]] = []
        self.package = folder / "tiny_checkpoint" / "model"
        sha = {name: sha256(directory / name) for name in ("config.json", "tokenizer.json")}
        package = Package(name=PACKAGE, folder="tiny_checkpoint/model", sha256=sha)
        known: dict[str, Checkpoint] = catalogue()  # type: ignore[assignment]
        self.checkpoint = replace(
            known[DEFAULT],
            repository="some/tiny",
            sha256=sha256(directory / "model.safetensors"),
            architecture=architecture,
            package=package,
        )
        patch.setitem(known, DEFAULT, self.checkpoint)
        self.hub(lambda **_: None)

    def install(self) -> Path:
        """Puts it into a package that fails when it is imported."""
        shutil.copytree(self.directory, self.package)
        (self.package.parent / "__init__.py").write_text("raise AssertionError('imported')")
        record = self.folder / "tiny_checkpoint-0.1.0.dist-info"
        record.mkdir()
        (record / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {PACKAGE}\nVersion: 0.1.0\n")
        return self.package

    def hub(self, answer: Callable[..., Path | None]) -> None:
        """Lets the hub's library give what `answer` gives for its arguments; None means that it fails."""

        def snapshot_download(repository: str, **arguments: Any) -> str:
            self.asked.append({"repository": repository, **arguments})
            found = answer(**arguments)
            if found is None:
                raise LocalEntryNotFoundError("no network\nand more")
            return str(found)

        self._patch.setattr(huggingface_hub, "snapshot_download", snapshot_download)

    def fetched(self, to: Path) -> Path:
        """Puts it into the hub's cache."""
        shutil.copytree(self.directory, to)
        self.hub(lambda **_: to)
        return to

    @property
    def connections(self) -> list[dict[str, Any]]:
        """The calls of the hub's library that may have opened a connection."""
        return [one for one in self.asked if not one["local_files_only"]]
