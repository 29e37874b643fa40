"""The command `export`: a run becomes a directory that other programs open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from custom_bert.commands.common import RunDirectory
from custom_bert.options.option import Command, Mark
from custom_bert.terminal import say


@dataclass(frozen=True, kw_only=True)
class Export(Command):
    """Write a classifier or an encoder as a directory that transformers opens."""

    run_directory: RunDirectory
    """The run directory that train or pretrain wrote."""
    out: Annotated[str, Mark(word="OUT", positional=True, path=True)]
    """Directory to write. It must be empty, or not exist."""
    format: Literal["hf"] = "hf"
    """Layout of the directory. hf is Hugging Face's. Where transformers is installed, the exported model is
    compared with the run."""

    def run(self) -> None:
        from custom_bert.inference.exports.hf import export_hugging_face

        for line in export_hugging_face(self.run_directory, self.out):
            say(line)
