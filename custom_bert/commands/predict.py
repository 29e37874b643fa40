"""The command `predict`: a trained classifier labels the lines of a file, or the rows of a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from custom_bert.commands.common import Device, RunDirectory, TextTable, warn_of_precision
from custom_bert.config import Precision
from custom_bert.errors import ConfigError, UserError
from custom_bert.options.option import Mark
from custom_bert.options.program import speaks
from custom_bert.terminal import DataOutput, complain

if TYPE_CHECKING:
    from custom_bert.config import DataConfig
    from custom_bert.inference.chosen_model import ChosenModel
    from custom_bert.inference.classifier import Classifier
    from custom_bert.inference.predict_table import TableTexts
    from custom_bert.spans.spanned import Range

MOST_PROCESSES = 1024
"""The largest number of processes that is believed to be meant."""


@dataclass(frozen=True, kw_only=True)
class Predict(TextTable):
    """Label texts with a trained classifier.

    One line is printed for each line that is read, in the same order: label<TAB>probability. A model that
    gives any number of labels prints the labels above their thresholds, with tabs between them. A model that
    was trained on pairs of texts reads two texts from each line, with a tab between them.

    A model of numbers prints these, with tabs between several.

    A model of spans prints a line for each span, start<TAB>end<TAB>label<TAB>score<TAB>text, and an empty
    line after the spans of each text. Characters are counted from 0, and end is the index after the last one.

    A table (.csv, .tsv, .jsonl, .parquet) is written back in the same format, with two more columns,
    predicted_label and predicted_probability, or for numbers with one, predicted_number.

    With --out FILE, several processes work on texts of any number. FILE appears when it is complete. Until
    then what is done is kept in FILE.part, and the same command goes on there after a stop. The bytes of FILE
    do not depend on the stops or on the number of processes."""

    run_directory: RunDirectory
    """The run directory that train wrote, or a directory that export wrote."""
    texts: Annotated[str, Mark(word="TEXTS", positional=True, path=True)] = "-"
    """File with one text a line, or a table; either may be packed, as .gz or .zst. Without it, or with -,
    texts are read from standard input. Lines of standard input and of pipes are answered as they come."""
    out: Annotated[str | None, Mark(word="FILE", path=True)] = None
    """File to write, which must not exist; .gz or .zst at the end of its name packs it. Without it,
    everything goes to standard output."""
    processes: Annotated[int | None, Mark(word="N", least=1)] = None
    """Largest number of processes that compute with --out, each with one thread. Without this option it is
    the number of cores, and on a GPU 1."""
    json: bool = False
    """Print a JSON object for each text, with its label and probability, or its labels and all
    probabilities."""
    conll: bool = False
    """For a model of spans: print each word of a text with a tab and its BIO tag, a word a line, and an empty
    line after each text. Words stand between white space, or are those of a .conll file."""
    all_probabilities: bool = False
    """Print the probability of every label. Without --json, a line holds pairs of label<TAB>probability, the
    most probable label first. Of a model of spans, --json prints the probabilities of each word and sign."""
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

        table = is_table(self.texts)
        self._check(table=table)
        if self.out is not None:
            self._bulk(self.out)
        elif table:
            self._table()
        else:
            self._lines()

    def _check(self, *, table: bool) -> None:
        """Raises UserError for options that have no use together."""
        from custom_bert.bulk.ranks import ranks_of

        if not table:
            for _, _, option in self.implied():
                raise UserError(f"{option} is for tables, and {self.texts} is read as lines; leave it out")
        for given, option in ((self.json, "--json"), (self.all_probabilities, "--all-probabilities")):
            if given and table:
                raise UserError(f"{option} is for lines of text; a table is written with two more columns")
        if self.conll and (table or self.json or self.out is not None):
            with_ = "a table" if table else "--json" if self.json else "--out FILE"
            raise UserError(f"--conll is for lines of text on standard output, without {with_}")
        if self.out is None:
            if self.processes is not None:
                raise UserError("--processes is for --out FILE; standard output is written by one process")
            if ranks_of()[1] > 1:
                raise ConfigError(["torchrun: the predictions of several processes need --out FILE"])
        if self.processes is not None and self.processes > MOST_PROCESSES:
            raise UserError(
                f"--processes: {self.processes:,} are more than any machine has cores for; give at most "
                f"{MOST_PROCESSES:,}"
            )

    def _has_words(self, classifier: Classifier) -> bool:
        """Returns whether the texts are a file with a word a line, for a model of spans."""
        from custom_bert.spans.word_lines import ENDING

        return self.texts.endswith(ENDING) and classifier.decoder.labels_units

    def _asked(self, classifier: Classifier) -> TableTexts:
        """Returns the table and its columns, and says how they were chosen."""
        from custom_bert.inference.predict_table import table_texts

        asked = table_texts(self.run_directory, self._settings(), classifier.decoder.table_columns)
        if speaks():
            for note in asked.notes:
                complain(note)
        return asked

    def _settings(self) -> DataConfig:
        """Returns the options of the table as settings."""
        from custom_bert.config import TrainConfig, replace
        from custom_bert.config_checks import check

        settings = {name: value for name, value, _ in self.implied()}
        config = replace(TrainConfig(), {"data.table": self.texts, **settings})
        if faults := check(config):
            raise ConfigError([f"config: {fault}" for fault in faults])
        return config.data

    def _bulk(self, out: str) -> None:
        from custom_bert.bulk.computing import Computer
        from custom_bert.bulk.job import is_finished
        from custom_bert.bulk.outputs import check_output
        from custom_bert.bulk.ranks import ranks_of
        from custom_bert.bulk.request import Request, label_file
        from custom_bert.bulk.sources import LineSource
        from custom_bert.data.tables.formats import is_table

        check_output(self.texts, out, json_lines=self.json)
        rank, ranks = ranks_of()
        if is_finished(Path(out), rank, complain):
            return
        lines = None if is_table(self.texts) else LineSource(self.texts)
        warn_of_precision(self.precision, self.device)
        model = self._model()
        computer = Computer(model)
        if self._has_words(computer.classifier):
            raise UserError(
                f"{self.texts}: a file with a word a line is read without --out FILE; leave it out"
            )
        request = Request(
            model=model,
            rows=lines or self._asked(computer.classifier),
            out=Path(out),
            json_lines=self.json,
            every=self.all_probabilities,
        )
        label_file(request, computer, processes=self.processes, rank=rank, ranks=ranks, warn=complain)

    def _model(self) -> ChosenModel:
        from custom_bert.inference.chosen_model import ChosenModel

        return ChosenModel(
            directory=self.run_directory,
            device=self.device,
            precision=self.precision,
            encoder_only=self.encoder_only,
        )

    def _classifier(self) -> Classifier:
        classifier = self._model().classifier()
        warn_of_precision(self.precision, self.device)
        return classifier

    def _table(self) -> None:
        from custom_bert.inference.predict_table import check_printable, write_predictions

        check_printable(self.texts)
        classifier = self._classifier()
        asked = self._asked(classifier)

        def warn(line: str) -> None:
            complain(f"warning: {line}")

        write_predictions(classifier, asked, DataOutput().write, warn)

    def _lines(self) -> None:
        from custom_bert.data.lines import Lines
        from custom_bert.data.pair_files import tabbed
        from custom_bert.data.tables.formats import PACKED
        from custom_bert.data.text import STANDARD_INPUT, LineReader
        from custom_bert.data.text_pairs import sides
        from custom_bert.data.unknown import OF_A_MODEL, UnknownText
        from custom_bert.decoding.spans import SpansPrediction
        from custom_bert.spans.word_lines import WordLines

        path = STANDARD_INPUT if self.texts == "-" else self.texts
        reader: Lines = LineReader(path, unpack=path.endswith(PACKED))
        classifier = self._classifier()
        sentences = None
        if self._has_words(classifier):
            reader = sentences = WordLines(path)
        if classifier.pairs:
            reader = tabbed(reader, f"{self.run_directory} was trained on pairs")
        units = classifier.decoder.labels_units
        if self.all_probabilities and not (classifier.labels or (units and self.json)):
            what = "a model of spans has them with --json" if units else "numbers have no probabilities"
            raise UserError(f"--all-probabilities: {what}; leave it out")
        if self.conll and not units:
            raise UserError(f"--conll: {self.run_directory} does not label words; leave it out")
        output, unknown, warned_at = DataOutput(), UnknownText(), 0

        def warn() -> None:
            complain(f"warning: {reader.path}: {unknown.message()}: {OF_A_MODEL}")

        for block in reader.blocks():
            texts = map(sides, block) if classifier.pairs else block
            words: Iterable[Sequence[Range] | None] = repeat(None) if sentences is None else sentences.places
            predictions = classifier.stream(texts, every=self.all_probabilities, unknown=unknown)
            for prediction, of_file in zip(predictions, words, strict=False):
                if self.json:
                    output.line(json.dumps(prediction.as_dict(), ensure_ascii=False))
                elif self.conll:
                    assert isinstance(prediction, SpansPrediction), "refused above"
                    output.line(prediction.conll(of_file))
                else:
                    output.line(prediction.line())
            output.flush()  # the program that writes standard input may wait for an answer
            if unknown.spoils_predictions and not warned_at:
                # the first warning comes early, since input may go on for hours
                warned_at = unknown.unknown
                warn()
        if unknown.unknown > warned_at and warned_at:
            warn()  # the final counts
