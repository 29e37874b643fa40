"""Reads the style sheets, which are files of the package beside this module."""

from __future__ import annotations

from importlib import resources

from custom_bert.errors import UserError


def style(name: str) -> str:
    """Returns the content of a style sheet: `style.css` of the page, or `picture.css` of pictures.

    Raises:
        UserError: if the installation lacks the file.
    """
    file = resources.files("custom_bert.reports").joinpath(name)
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{file}: the installation of custom-bert is incomplete; reinstall it") from error
