"""The commands that train: `train` and `pretrain`. Every setting is an option of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from custom_bert.commands.common import DividedTable
from custom_bert.config import TrainConfig, replace
from custom_bert.config_sources import load
from custom_bert.errors import ConfigError
from custom_bert.options.option import Command, Mark, as_words
from custom_bert.options.program import say_once


@dataclass(frozen=True, kw_only=True)
class _Training(Command):
    takes_settings: ClassVar[bool] = True

    config: Annotated[str | None, Mark(word="FILE", path=True)] = None
    """A config.py with get_config(), or a JSON file. Options on the command line override its settings."""
    fresh: bool = False
    """Train from the beginning. If the run directory exists, a numbered one is made beside it. Without this
    option, the same command continues an unfinished run."""
    max_minutes: float | None = None
    """Train for at most this many minutes. This is the same as --optim.max-minutes."""
    verbose: bool = False
    """Print every choice with its reason, and every note about the data and the checkpoint. The choices also
    stand in the run's record, which custom-bert info shows."""

    def train(self, *implied: tuple[str, Any, str]) -> None:
        """Trains with the settings of --config, which those on the command line override.

        Args:
            implied: settings that follow from arguments: the name, the value, and the argument for messages.

        Raises:
            ConfigError: if an option and an argument give one setting different values.
        """
        settings = load(self.config or TrainConfig(), note=say_once)
        if self.max_minutes is not None:
            implied = (*implied, ("optim.max_minutes", self.max_minutes, "--max-minutes"))
        changes = dict(self.given.settings)
        for name, value, argument in implied:
            given = changes.setdefault(name, value)
            if given != value:
                option = f"--{name.replace('_', '-')} {as_words(given)}"
                raise ConfigError([f"{option} and {argument} contradict each other; give one"])
        from custom_bert.training.log import Reporter
        from custom_bert.training.loop import train_model

        train_model(replace(settings, changes), fresh=self.fresh, reporter=Reporter(verbose=self.verbose))


@dataclass(frozen=True, kw_only=True)
class Train(DividedTable, _Training):
    """Train a text classifier on texts and their labels."""

    directory: Annotated[str | None, Mark(word="DATA", positional=True, path=True)] = None
    """Folder with train_dataset.txt, train_labels.txt and, if there are any, val_dataset.txt, val_labels.txt,
    test_dataset.txt and test_labels.txt; or a table with texts and labels in columns: .csv, .tsv, .jsonl or
    .parquet. Without it, the data settings say where the data is."""

    def run(self) -> None:
        from custom_bert.data.reading import data_settings

        places = {} if self.directory is None else data_settings(self.directory)
        data = ((name, path, f"DATA ({self.directory})") for name, path in places.items())
        self.train(*data, *self.implied())


@dataclass(frozen=True, kw_only=True)
class Pretrain(_Training):
    """Pretrain an encoder on running text, or adapt a pretrained encoder to it."""

    texts: Annotated[tuple[str, ...], Mark(word="TEXT", positional=True, path=True)] = ()
    """Files of UTF-8 text (.txt, .txt.gz, .txt.zst), or folders of such files. A line is a paragraph, and a
    blank line stands between documents."""

    def run(self) -> None:
        corpus = (("data.corpus", self.texts, "TEXT"),) if self.texts else ()
        self.train(("task", "masked_lm", "pretrain"), *corpus)
