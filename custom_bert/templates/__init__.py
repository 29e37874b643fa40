"""The files that `custom-bert init` writes: copies of the repository's own config.py and train.py.

When a wheel is built, copies are put into this folder (`pyproject.toml`, force-include). In a checkout the
files are read from the repository's root.
"""

from __future__ import annotations

from pathlib import Path

from custom_bert.errors import UserError


def template(name: str) -> str:
    """The content of config.py or train.py.

    Raises:
        UserError: if the installation does not have the file.
    """
    here = Path(__file__).resolve().parent
    for candidate in (here / f"{name}.template", here.parent.parent / name):
        if candidate.is_file():
            return candidate.read_text(encoding="utf-8")
    raise UserError(f"{here / name}: the installation of custom-bert is incomplete; reinstall it")
