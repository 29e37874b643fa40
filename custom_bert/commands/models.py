"""`evaluate`, `predict`, `probe` and `export`: what is done with a trained model."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from custom_bert.commands.common import DataDirectory, Device, RunDirectory, print_json, warn_of_precision
from custom_bert.config import Precision
from custom_bert.options.option import Command, Mark
from custom_bert.terminal import DataOutput, complain, say


@dataclass(frozen=True, kw_only=True)
class Evaluate(Command):
    """Measure a trained classifier on labelled texts."""

    run_directory: RunDirectory
    """The run directory that train wrote."""
    data: DataDirectory
    """Folder with the data files."""
    split: Literal["val", "train"] = "val"
    """Which rows to measure on. val takes val_dataset.txt and val_labels.txt or, if there are none, the rows
    that the run set aside. train takes the rows that the run was trained on."""
    json: bool = False
    """Print one JSON object instead of tables."""
    device: Device | None = None
    """Where to compute. Without this option it is cuda if there is a CUDA device, else cpu."""
    precision: Precision = "fp32"
    """Number format of matrix products. fp32 computes as an exported model does. bf16 and fp16 are for
    devices that compute in them."""

    def run(self) -> None:
        from custom_bert.inference.evaluate import evaluate_run
        from custom_bert.report import score_lines

        warn_of_precision(self.precision, self.device)
        scores, labels = evaluate_run(
            self.run_directory, self.data, split=self.split, device=self.device, precision=self.precision
        )
        if self.json:
            print_json(scores.as_dict(labels))
        else:
            say("\n".join(score_lines(scores, labels)))


@dataclass(frozen=True, kw_only=True)
class Predict(Command):
    """Label texts with a trained classifier.

    One line is printed for each line that is read, in the same order: label<TAB>probability."""

    run_directory: RunDirectory
    """The run directory that train wrote."""
    texts: Annotated[str, Mark(word="TEXTS", positional=True, path=True)] = "-"
    """File with one text a line. Without it, or with -, texts are read from standard input. Lines of
    standard input and of pipes are answered as they come."""
    json: bool = False
    """Print a JSON object for each text, with its label and probability."""
    all_probabilities: bool = False
    """Print the probability of every label. Without --json, a line holds pairs of label<TAB>probability, the
    most probable label first."""
    device: Device | None = None
    """Where to compute. Without this option it is cuda if there is a CUDA device, else cpu."""
    precision: Precision = "fp32"
    """Number format of matrix products. fp32 computes as an exported model does. bf16 and fp16 are for
    devices that compute in them."""

    def run(self) -> None:
        from custom_bert.data.text import STANDARD_INPUT, LineReader
        from custom_bert.data.unknown import OF_A_MODEL, UnknownText
        from custom_bert.inference.classifier import Classifier

        reader = LineReader(STANDARD_INPUT if self.texts == "-" else self.texts)
        classifier = Classifier.load(self.run_directory, device=self.device, precision=self.precision)
        warn_of_precision(self.precision, self.device)
        output, unknown, told = DataOutput(), UnknownText(), 0

        def tell() -> None:
            complain(f"warning: {reader.path}: {unknown.message()}: {OF_A_MODEL}")

        for block in reader.blocks():
            for row in classifier.stream_proba(block, unknown=unknown):
                line = prediction_line(
                    classifier.labels, row, as_json=self.json, every_label=self.all_probabilities
                )
                output.line(line)
            output.flush()  # whoever feeds standard input may wait for an answer
            if unknown.spoils_predictions and not told:
                told = unknown.unknown
                tell()
        if unknown.unknown > told and told:
            tell()


def prediction_line(labels: tuple[str, ...], row: Any, *, as_json: bool, every_label: bool) -> str:
    """What `predict` prints for the (C,) probabilities of a text."""
    best = int(row.argmax())
    label, probability = labels[best], float(row[best])
    if as_json:
        value: dict[str, Any] = {"label": label, "probability": probability}
        if every_label:
            value["probabilities"] = dict(zip(labels, row.tolist(), strict=True))
        return json.dumps(value, ensure_ascii=False)
    if every_label:
        order = (-row).argsort(kind="stable").tolist()
        return "\t".join(f"{labels[i]}\t{row[i]:.6f}" for i in order)
    return f"{label}\t{probability:.6f}"


@dataclass(frozen=True, kw_only=True)
class ProbeEncoder(Command):
    """Measure what an encoder is worth on labelled texts.

    A linear classifier is trained on the encoder's vectors, and the encoder is fine-tuned."""

    encoder: Annotated[str, Mark(word="ENCODER", positional=True, path=True)]
    """A run directory that pretrain wrote, a directory in Hugging Face's layout, or an id on the Hub."""
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

        with contextlib.redirect_stdout(io.StringIO()) if self.json else contextlib.nullcontext():
            found = probe(self.encoder, self.data, from_scratch=self.scratch, seed=self.seed)
        if self.json:
            print_json(found.as_dict())
            return
        say()
        for name, pair in (
            ("linear", found.linear),
            ("fine-tuned", found.fine_tuned),
            ("from scratch", found.from_scratch),
        ):
            if pair:
                say(f"{name:<12}  accuracy {pair[0]:.4f}  macro-F1 {pair[1]:.4f}")
        if found.gain is not None:
            say(f"pretraining adds {100 * found.gain:+.1f} points")


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
        from custom_bert.inference.export import export_hugging_face

        for line in export_hugging_face(self.run_directory, self.out):
            say(line)
