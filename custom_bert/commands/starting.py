"""The commands that come before training: `check-data`, `sample-data` and `init`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from custom_bert import files
from custom_bert.commands.common import DataDirectory, DividedTable, print_json
from custom_bert.errors import WriteError
from custom_bert.options.option import Command, Mark
from custom_bert.terminal import say


@dataclass(frozen=True, kw_only=True)
class CheckData(DividedTable):
    """Check data files as train does, without training."""

    directory: DataDirectory
    """Folder with the data files, or a table."""
    vocabulary: Annotated[str | None, Mark(word="PATH", path=True)] = None
    """A tokenizer.json, a vocab.txt, a checkpoint or its name, or a run directory. The text that its
    vocabulary does not know is counted. Without this option, the vocabulary is the one that train would make
    from scratch."""
    task: Literal["classification", "multi_label", "soft_labels", "regression", "ordinal", "tokens"] = (
        "classification"
    )
    """What the labels are for. multi_label allows any number of labels in a line, soft_labels divides a text
    among labels, regression reads numbers, ordinal labels that have an order, and tokens texts with spans."""
    label_separator: str = "\t"
    """What stands between the labels or numbers of a line, for multi_label, soft_labels and regression.
    Without this option it is a tab."""
    label_order: str | None = None
    """For ordinal: the labels from the lowest rank to the highest, with commas between them. Without this
    option it is the order of the numbers."""
    pairs: bool = False
    """Read each line of the text files as two texts with a tab between them."""
    json: bool = False
    """Print one JSON object, with the line numbers of everything that was found."""

    def run(self) -> None:
        from custom_bert.data.findings import as_json, describe
        from custom_bert.tasks.registry import labels_units
        from custom_bert.training.check_data import check_data

        settings: dict[str, Any] = {"task": self.task, "data.label_separator": self.label_separator}
        settings |= {"data.label_order": self.label_order, "data.pairs": self.pairs}
        settings |= {name: value for name, value, _ in self.implied()}
        if labels_units(self.task):
            self._spans(settings)
            return
        dataset = check_data(self.directory, self.vocabulary, settings)
        if self.json:
            print_json(as_json(dataset))
        else:
            say("\n".join(describe(dataset)))

    def _spans(self, settings: dict[str, Any]) -> None:
        from custom_bert.training.check_spans import check_spans, describe_spans, spans_as_json

        checked = check_spans(self.directory, self.vocabulary, settings)
        if self.json:
            print_json(spans_as_json(checked))
        else:
            say("\n".join(describe_spans(checked)))


@dataclass(frozen=True, kw_only=True)
class SampleData(Command):
    """Write sample data to try the other commands on.

    The texts are paragraphs of the documentation of Python's standard library. Their labels are its areas."""

    directory: DataDirectory
    """Folder for the four files. Existing files are never overwritten."""

    def run(self) -> None:
        from custom_bert.data.sample import write_sample_data

        report = write_sample_data(Path(self.directory))
        say(
            f"{self.directory}: {report.train:,} training and {report.val:,} validation texts, "
            f"{len(report.labels)} labels"
        )


@dataclass(frozen=True, kw_only=True)
class Init(Command):
    """Write a config.py and a train.py to edit."""

    directory: Annotated[str, Mark(word="DIR", positional=True, path=True)]
    """Folder for the two files. Existing files are never overwritten."""

    def run(self) -> None:
        from custom_bert.templates import template

        target = Path(self.directory)
        names = ("config.py", "train.py")
        for name in names:
            if (target / name).exists():
                raise WriteError(f"{target / name}: exists already and is not overwritten")
        files.make_directory(target)
        for name in names:
            files.write_text(target / name, template(name), replace=False)
        say(f"{target}: config.py and train.py; edit config.py, then run python train.py there")
