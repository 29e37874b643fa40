"""The command `predict`: a trained classifier labels the lines of a file, or the rows of a table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from custom_bert.commands.common import Device, RunDirectory, TextTable, warn_of_precision
from custom_bert.config import Precision
from custom_bert.errors import ConfigError, UserError
from custom_bert.options.option import Mark
from custom_bert.terminal import DataOutput, complain

if TYPE_CHECKING:
    from custom_bert.inference.classifier import Classifier


@dataclass(frozen=True, kw_only=True)
class Predict(TextTable):
    """Label texts with a trained classifier.

    One line is printed for each line that is read, in the same order: label<TAB>probability. A model that
    gives any number of labels prints the labels above their thresholds, with tabs between them. A model that
    was trained on pairs of texts reads two texts from each line, with a tab between them.

    A model of numbers prints these, with tabs between several.

    A table (.csv, .tsv, .jsonl, .parquet) is written back in the same format, with two more columns,
    predicted_label and predicted_probability, or for numbers with one, predicted_number."""

    run_directory: RunDirectory
    """The run directory that train wrote, or a directory that export wrote."""
    texts: Annotated[str, Mark(word="TEXTS", positional=True, path=True)] = "-"
    """File with one text a line, or a table. Without it, or with -, texts are read from standard input. Lines
    of standard input and of pipes are answered as they come."""
    out: Annotated[str | None, Mark(word="FILE", path=True)] = None
    """File to write a table to, which must not exist. Without it, the table goes to standard output."""
    json: bool = False
    """Print a JSON object for each text, with its label and probability, or its labels and all
    probabilities."""
    all_probabilities: bool = False
    """Print the probability of every label. Without --json, a line holds pairs of label<TAB>probability, the
    most probable label first."""
    device: Device | None = None
    """Where to compute. Without this option it is cuda if there is a CUDA device, else cpu."""
    precision: Precision = "fp32"
    """Number format of matrix products. fp32 computes as an exported model does. bf16 and fp16 are for
    devices that compute in them."""
    encoder_only: bool = False
    """Predict with the encoder alone, as an exported model does. Otherwise encoder and floor predict
    together, if the run has an ensemble."""

    def run(self) -> None:
        from custom_bert.data.tables.formats import is_table

        if is_table(self.texts):
            self._table()
            return
        for value, option in ((self.out, "--out"), *((value, option) for _, value, option in self.implied())):
            if value is not None:
                raise UserError(f"{option} is for tables, and {self.texts} is read as lines; leave it out")
        self._lines()

    def _classifier(self) -> Classifier:
        from custom_bert.inference.classifier import Classifier

        classifier = Classifier.load(
            self.run_directory,
            device=self.device,
            precision=self.precision,
            encoder_only=self.encoder_only,
        )
        warn_of_precision(self.precision, self.device)
        return classifier

    def _table(self) -> None:
        from custom_bert import files
        from custom_bert.config import TrainConfig, replace
        from custom_bert.config_checks import check
        from custom_bert.inference.predict_table import check_output, table_texts, write_predictions

        for given, option in ((self.json, "--json"), (self.all_probabilities, "--all-probabilities")):
            if given:
                raise UserError(f"{option} is for lines of text; a table is written with two more columns")
        settings = {name: value for name, value, _ in self.implied()}
        config = replace(TrainConfig(), {"data.table": self.texts, **settings})
        if faults := check(config):
            raise ConfigError([f"config: {fault}" for fault in faults])
        check_output(self.texts, self.out)
        classifier = self._classifier()
        asked = table_texts(self.run_directory, config.data, classifier.decoder.table_columns)
        for note in asked.notes:
            complain(note)

        def warn(line: str) -> None:
            complain(f"warning: {line}")

        if self.out is None:
            write_predictions(classifier, asked, DataOutput().write, warn)
        else:
            with files.writing(Path(self.out), replace=False) as sink:
                write_predictions(classifier, asked, sink.write, warn)

    def _lines(self) -> None:
        from custom_bert.data.lines import Lines
        from custom_bert.data.pair_files import tabbed
        from custom_bert.data.text import STANDARD_INPUT, LineReader
        from custom_bert.data.text_pairs import sides
        from custom_bert.data.unknown import OF_A_MODEL, UnknownText

        reader: Lines = LineReader(STANDARD_INPUT if self.texts == "-" else self.texts)
        classifier = self._classifier()
        if classifier.pairs:
            reader = tabbed(reader, f"{self.run_directory} was trained on pairs")
        if self.all_probabilities and not classifier.labels:
            raise UserError("--all-probabilities: numbers have no probabilities; leave it out")
        output, unknown, warned_at = DataOutput(), UnknownText(), 0

        def warn() -> None:
            complain(f"warning: {reader.path}: {unknown.message()}: {OF_A_MODEL}")

        for block in reader.blocks():
            texts = map(sides, block) if classifier.pairs else block
            for prediction in classifier.stream(texts, every=self.all_probabilities, unknown=unknown):
                output.line(
                    json.dumps(prediction.as_dict(), ensure_ascii=False) if self.json else prediction.line()
                )
            output.flush()  # the program that writes standard input may wait for an answer
            if unknown.spoils_predictions and not warned_at:
                # the first warning comes early, since input may go on for hours
                warned_at = unknown.unknown
                warn()
        if unknown.unknown > warned_at and warned_at:
            warn()  # the final counts
