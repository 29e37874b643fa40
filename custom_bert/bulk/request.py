"""What a user asks for, made into a run: the rows, the work, and what may not change when it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from custom_bert import __version__, threads
from custom_bert.bulk import shards
from custom_bert.bulk.computing import Computer, Work
from custom_bert.bulk.identity import MODEL, model_digest, on_or_off
from custom_bert.bulk.job import Team, label
from custom_bert.bulk.outputs import Form, packing, versions
from custom_bert.bulk.sources import LineSource, Source, TableSource
from custom_bert.errors import UserError
from custom_bert.inference.chosen_model import ChosenModel
from custom_bert.inference.predict_table import TableTexts, TextRows
from custom_bert.options.program import speaks


@dataclass(frozen=True, kw_only=True)
class Request:
    """A file that is to be labelled.

    Attributes:
        model: what computes.
        rows: the lines of the file; for a table, it and its columns.
        out: the file to write.
        json_lines: whether lines are answered with JSON objects.
        every: whether they have the probabilities of all labels.
    """

    model: ChosenModel
    rows: LineSource | TableTexts
    out: Path
    json_lines: bool = False
    every: bool = False

    def identity(self) -> dict[str, str]:
        """Returns what a run that goes on has to have been begun with, by the names that messages have for
        it.

        The device is not part of it: what computes says so itself when the model is loaded.
        """
        found = {
            "custom-bert": __version__,
            MODEL: model_digest(self.model.directory),
            "--precision": self.model.precision,
            "--encoder-only": on_or_off(self.model.encoder_only),
            "--json": on_or_off(self.json_lines),
            "--all-probabilities": on_or_off(self.every),
            "rows of a shard": str(shards.ROWS),
            **versions(self.out),
        }
        if isinstance(self.rows, TableTexts):
            found |= {
                "--text-column": self.rows.text,
                "--second-text-column": self.rows.second or "nothing",
                "--encoding": self.rows.table.encoding or "nothing",
            }
        return found


def label_file(
    request: Request,
    computer: Computer,
    *,
    processes: int | None,
    rank: int,
    ranks: int,
    warn: Callable[[str], None],
) -> None:
    """Labels a file. See `job.label`, also for what is raised.

    Args:
        request: what is asked for.
        computer: the model, loaded.
        processes: the largest number of processes that compute; None for one a core, or one on a GPU.
        rank, ranks: the number of this process among those that were started with the same command, and how
            many these are.
        warn: takes a line for the user.
    """
    # the classifier itself is not kept here, so that `Computer.release` frees its memory
    pairs = computer.classifier.pairs
    if request.every and not computer.classifier.labels:
        raise UserError("--all-probabilities: numbers have no probabilities; leave it out")
    source: Source
    asked: TableTexts | None = None
    if isinstance(request.rows, TableTexts):
        asked = request.rows
        source = TableSource(asked, TextRows(asked, pairs=pairs))
    else:
        source = request.rows
        if pairs:
            request.rows.take_pairs(request.model.directory)
    form = Form(asked=asked, json_lines=request.json_lines, packed=packing(request.out))
    if processes is None:
        processes = threads.thread_count() if computer.by["device"] == "cpu" else 1
    elif processes > (cores := threads.cores()) and speaks():
        warn(f"warning: --processes {processes}: this process may use {cores} cores; more are not faster")
    label(
        source,
        request.out,
        request.model,
        computer,
        Work(every=request.every, form=form, folder=request.out.parent),
        request.identity(),
        Team(processes=processes, rank=rank, ranks=ranks),
        warn=warn,
        shown=speaks(),
    )
