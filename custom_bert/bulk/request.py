"""What a user asks for, made into a run: the rows, the work, and what may not change when it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from custom_bert import __version__, threads
from custom_bert.bulk import shards
from custom_bert.bulk.computing import Work
from custom_bert.bulk.identity import MODEL, model_digest, on_or_off
from custom_bert.bulk.job import Share, label
from custom_bert.bulk.outputs import Form, packing, versions
from custom_bert.bulk.sources import LineSource, Source, TableSource
from custom_bert.config import Precision
from custom_bert.errors import UserError
from custom_bert.inference.predict_table import TableTexts, TextRows
from custom_bert.model_files.description import read_description
from custom_bert.options.program import speaks


@dataclass(frozen=True, kw_only=True)
class Request:
    """A file that is to be labelled.

    Attributes:
        model: the directory of the model.
        texts: the path of the file.
        out: the file to write.
        asked: the table and its columns; None for lines of text.
        json_lines: whether lines are answered with JSON objects.
        every: whether they have the probabilities of all labels.
        device, precision, encoder_only: see `Classifier.load`.
    """

    model: str
    texts: str
    out: Path
    asked: TableTexts | None = None
    json_lines: bool = False
    every: bool = False
    device: str | None = None
    precision: Precision = "fp32"
    encoder_only: bool = False

    def identity(self) -> dict[str, str]:
        """Returns what a run that goes on has to have been begun with, by the names that messages have for
        it.

        The device is not part of it: what computes says so itself when the model is loaded.
        """
        found = {
            "custom-bert": __version__,
            MODEL: model_digest(self.model),
            "--precision": self.precision,
            "--encoder-only": on_or_off(self.encoder_only),
            "--json": on_or_off(self.json_lines),
            "--all-probabilities": on_or_off(self.every),
            "rows of a shard": str(shards.ROWS),
            **versions(self.out),
        }
        if self.asked is not None:
            found |= {
                "--text-column": self.asked.text,
                "--second-text-column": self.asked.second or "nothing",
                "--encoding": self.asked.table.encoding or "nothing",
            }
        return found


def label_file(
    request: Request, *, processes: int | None, rank: int, ranks: int, warn: Callable[[str], None]
) -> None:
    """Labels a file. See `job.label`, also for what is raised.

    Args:
        request: what is asked for.
        processes: the largest number of processes that compute; None for one a core, or one on a GPU.
        rank, ranks: the number of this process among those that were started with the same command, and how
            many these are.
        warn: takes a line for the user.
    """
    described = read_description(Path(request.model))
    if request.every and not described.task.output_names:
        raise UserError("--all-probabilities: numbers have no probabilities; leave it out")
    source: Source
    if request.asked is None:
        source = LineSource(request.texts, request.model, pairs=described.pairs)
    else:
        source = TableSource(request.asked, TextRows(request.asked, pairs=described.pairs))
    work = Work(
        model=request.model,
        device=request.device,
        precision=request.precision,
        encoder_only=request.encoder_only,
        every=request.every,
        form=Form(asked=request.asked, json_lines=request.json_lines, packed=packing(request.out)),
        folder=request.out.parent,
    )
    share = Share(
        processes=threads.thread_count() if processes is None else processes,
        asked=processes is not None,
        rank=rank,
        ranks=ranks,
    )
    cores = threads.cores()
    if processes is not None and processes > cores and speaks():
        warn(f"warning: --processes {processes}: this process may use {cores} cores, and more are not faster")
    label(source, request.out, work, request.identity(), share, warn=warn, shown=speaks())
