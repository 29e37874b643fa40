"""The published checkpoints that have a short name, such as `minilm`.

`catalogue.json` is the list. A SHA-256 hash stands there only where the weights were at hand to be hashed,
and a revision only where it is known; an empty one means the main branch of the repository.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from custom_bert.files import parse_json, read_regular

DEFAULT = "minilm"
"""The name of the checkpoint from which training starts if the user names none."""

LANGUAGES = {"en": "English"}
"""The languages of the catalogue, in words."""


@dataclass(frozen=True, kw_only=True)
class Package:
    """A Python package that carries the files of a checkpoint. It is never imported.

    Attributes:
        name: the name of the package in the package index.
        folder: the folder of the files, from the directory that the package is installed into.
        sha256: the hashes of files that have to be as they were measured, the weights apart.
    """

    name: str
    folder: str
    sha256: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A published checkpoint with a short name.

    Attributes:
        name: the short name.
        repository: its id on the Hugging Face Hub.
        revision: the commit or tag that is fetched; empty for the main branch.
        license: the SPDX name of its licence.
        languages: the ISO 639-1 codes of the languages that it was trained on.
        type: `model_type` of its config.json.
        parameters: the number of its parameters in millions.
        sha256: the hash of model.safetensors; empty if nobody has measured it.
        about: what it is good for, in a few words.
        lowercase: whether its tokenizer turns capitals into small letters.
        architecture: what settings of the architecture have to be, and `max_position_embeddings`. Only the
            default start needs it, to tell without a file whether settings fit.
        package: the Python package that carries it; None if there is none.
    """

    name: str
    repository: str
    revision: str
    license: str
    languages: tuple[str, ...]
    type: str
    parameters: float
    sha256: str
    about: str
    lowercase: bool = True
    architecture: Mapping[str, Any] = field(default_factory=dict)
    package: Package | None = None

    @property
    def megabytes(self) -> int:
        """About how much is downloaded, in units of 10^6 bytes: four bytes for each parameter."""
        return round(4 * self.parameters)

    @property
    def language(self) -> str:
        """Its languages in words."""
        return " and ".join(LANGUAGES[code] for code in self.languages)


@cache
def catalogue() -> Mapping[str, Checkpoint]:
    """Returns the checkpoints by name, the default one first."""
    listed = parse_json(read_regular(Path(__file__).with_name("catalogue.json")))
    return {name: _checkpoint(name, values) for name, values in listed.items()}


def _checkpoint(name: str, values: dict[str, Any]) -> Checkpoint:
    package = values.pop("package", None)
    languages = tuple(values.pop("languages"))
    return Checkpoint(
        name=name, languages=languages, package=Package(**package) if package else None, **values
    )
