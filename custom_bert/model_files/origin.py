"""Where a pretrained encoder came from: what a run's record keeps of it, and what a model card says."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from custom_bert.model_files.native import STABLE
from custom_bert.model_files.published_files import read_json


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a pretrained encoder came from.

    Attributes:
        name: what was asked for: a name of the catalogue, an id on the Hub, or a directory.
        place: where the files were: a package, the Hub's cache, or a directory.
        repository: the id on the Hub; empty if it is not known.
        revision: the commit on the Hub; empty if it is not known.
        license: the licence of the checkpoint; empty if it is not known.
    """

    name: str
    place: str = ""
    repository: str = ""
    revision: str = ""
    license: str = ""

    def as_dict(self) -> dict[str, str]:
        """Returns the fields for run.json."""
        return dataclasses.asdict(self)

    def with_that_of(self, run: Path) -> Origin:
        """Returns the origin of a run, with the repository and the licence of what that run began from.

        Args:
            run: a run directory, or `stable/` in it, which has no record of its own.

        Raises:
            RunError: if the record cannot be read.
        """
        folders = (run, run.parent) if run.name == STABLE else (run,)
        recorded = next((folder for folder in folders if (folder / "run.json").is_file()), None)
        before = None if recorded is None else read_json(recorded, "run.json").get("pretrained")
        if not isinstance(before, dict):
            return self
        names = ("repository", "revision", "license")
        return dataclasses.replace(self, **{name: str(before.get(name, "")) for name in names})


UNKNOWN = Origin(name="")
"""The origin of an encoder that was not read from a directory."""
