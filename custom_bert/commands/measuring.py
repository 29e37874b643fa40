"""The commands that measure a model on labelled texts: `evaluate` and `probe`."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import Annotated, Literal

from custom_bert.commands.common import (
    DataDirectory,
    Device,
    LabelledTable,
    RunDirectory,
    print_json,
    warn_of_precision,
)
from custom_bert.config import Precision
from custom_bert.options.option import Command, Mark
from custom_bert.terminal import complain, say


@dataclass(frozen=True, kw_only=True)
class Evaluate(LabelledTable):
    """Measure a trained classifier on labelled texts."""

    run_directory: RunDirectory
    """The run directory that train wrote, or a directory that export wrote."""
    data: DataDirectory
    """Folder with the data files, or a table. The columns of a table are those of the run, if it has them."""
    split: Literal["val", "train", "test"] = "val"
    """Rows to measure on. val takes val_dataset.txt and val_labels.txt, or the rows of a table that its
    column of splits says; if there are none, the rows that the run had set aside, and of a table that the run
    does not know, all rows. train takes the rows that trained the model. test takes test_dataset.txt and
    test_labels.txt, or the rows of a table that its column of splits says."""
    json: bool = False
    """Print one JSON object instead of tables."""
    device: Device | None = None
    """Where to compute. Without this option it is cuda if there is a CUDA device, else cpu."""
    precision: Precision = "fp32"
    """Number format of matrix products. fp32 computes as an exported model does. bf16 and fp16 are for
    devices that compute in them."""
    encoder_only: bool = False
    """Measure the encoder without its floor, as an exported model predicts."""
    swap: bool = False
    """Also print the share of pairs of texts that get other labels when their texts are swapped. Both orders
    are predicted for it, which takes three times as long."""

    def run(self) -> None:
        from custom_bert.inference.evaluate_run import evaluate_run

        warn_of_precision(self.precision, self.device)
        evaluated = evaluate_run(
            self.run_directory,
            self.data,
            split=self.split,
            columns={name: value for name, value, _ in self.implied()},
            device=self.device,
            precision=self.precision,
            encoder_only=self.encoder_only,
            swap=self.swap,
        )
        for note in evaluated.notes:
            complain(note)
        if self.json:
            print_json(evaluated.as_dict())
        else:
            say("\n".join(evaluated.lines()))


@dataclass(frozen=True, kw_only=True)
class ProbeEncoder(Command):
    """Measure what an encoder is worth on labelled texts.

    A linear classifier is trained on the encoder's vectors, and the encoder is fine-tuned."""

    encoder: Annotated[str, Mark(word="ENCODER", positional=True, path=True)]
    """A run directory that pretrain wrote, a directory in Hugging Face's layout, a name that fetch lists, or
    an id on the Hub."""
    data: DataDirectory
    """Folder with the data files."""
    scratch: bool = False
    """Also train the same architecture from scratch, and print what pretraining adds."""
    seed: int = 0
    """Seed of every training."""
    json: bool = False
    """Print one JSON object and nothing else."""

    def run(self) -> None:
        from custom_bert.bench.probe import probe

        # training prints its progress, which would come before the JSON object
        with contextlib.redirect_stdout(io.StringIO()) if self.json else contextlib.nullcontext():
            result = probe(self.encoder, self.data, from_scratch=self.scratch, seed=self.seed)
        if self.json:
            print_json(result.as_dict())
            return
        say()
        for name, pair in (
            ("linear", result.linear),
            ("fine-tuned", result.fine_tuned),
            ("from scratch", result.from_scratch),
        ):
            if pair:
                say(f"{name:<12}  accuracy {pair[0]:.4f}  macro-F1 {pair[1]:.4f}")
        if result.gain is not None:
            say(f"pretraining adds {100 * result.gain:+.1f} points")
