"""The command `export`: a run becomes a directory that other programs open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from custom_bert.commands.common import LabelledTable, RunDirectory
from custom_bert.errors import ConfigError
from custom_bert.options.option import Mark
from custom_bert.terminal import say


@dataclass(frozen=True, kw_only=True)
class Export(LabelledTable):
    """Write a classifier or an encoder as a directory that other programs open."""

    run_directory: RunDirectory
    """The run directory that train or pretrain wrote."""
    out: Annotated[str, Mark(word="OUT", positional=True, path=True)]
    """Directory to write. It must be empty, or not exist."""
    format: Literal["hf", "onnx"] = "hf"
    """Layout of the directory. hf is Hugging Face's. Where transformers is installed, the exported model is
    compared with the run. onnx is a model that onnxruntime computes, also where torch is not installed. It is
    compared with the run on the run's validation rows, and refused if it predicts something else."""
    int8: bool = False
    """Compute products in int8, with --format onnx. It is refused if it loses more than half a point on 1,000
    rows or more."""
    data: Annotated[str | None, Mark(word="DATA", path=True)] = None
    """Folder with data files, or a table, on whose validation rows an ONNX model is compared with the run;
    for an encoder that pretrain wrote, a file or a folder with text. Without it, the data of the run."""

    def run(self) -> None:
        columns = {name: value for name, value, _ in self.implied()}
        if self.format == "onnx":
            from custom_bert.inference.exports.onnx import export_onnx

            lines = export_onnx(self.run_directory, self.out, int8=self.int8, data=self.data, columns=columns)
        else:
            asked = [("--int8", self.int8), ("--data", self.data is not None)]
            asked += [(option, True) for _, _, option in self.implied()]
            if unread := [option for option, given in asked if given]:
                raise ConfigError([f"{unread[0]}: is for --format onnx; --format hf does not read it"])
            from custom_bert.inference.exports.hf import export_hugging_face

            lines = export_hugging_face(self.run_directory, self.out)
        for line in lines:
            say(line)
