"""Evaluations during a run, and its three ends: finished, finished before, interrupted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custom_bert.batch import Batch
from custom_bert.checkpoints.native import read_run_weights
from custom_bert.errors import RunError
from custom_bert.metrics import Scores
from custom_bert.process import release_memory
from custom_bert.reports.tables import score_lines
from custom_bert.signals import Requests
from custom_bert.training import checkpoint
from custom_bert.training.evaluation import measure, validation_batches
from custom_bert.training.log import Reporter, duration
from custom_bert.training.prepare import Prepared
from custom_bert.training.ranks import put_all
from custom_bert.training.run import RunDirectory
from custom_bert.training.state import State


@dataclass(frozen=True)
class TrainResult:
    """What a run achieved.

    Attributes:
        directory: of the run.
        accuracy, macro_f1: of the kept weights on the validation rows, as fractions, in fp32; of running text
            the accuracy of masked tokens, and no macro-F1.
        step: of the kept weights.
        steps: optimizer steps of the last phase taken; 0 if the run had been finished before.
        seconds: of training, evaluations included.
        scores: all metrics; None if the run had been finished before.
    """

    directory: Path
    accuracy: float
    macro_f1: float | None
    step: int
    steps: int
    seconds: float
    scores: Scores | None = None


def evaluate_now(
    state: State, prepared: Prepared, run: RunDirectory, reporter: Reporter, requests: Requests
) -> dict[str, Any]:
    """Evaluates in training precision, and keeps the weights if they are the best so far.

    Raises:
        StopRequested: if there is a request to end meanwhile.
        UserError: if the loss is not finite.
    """
    progress = state.progress
    found = measure(state.model, _batches(prepared, requests), prepared, state.precision.autocast)
    loss, metric = state.finite(found.loss), found.metric  # before anything is kept
    better = metric > progress.best_metric
    if better:
        run.keep_best(state.ranks.collected(state.model.state_dict()))
        progress.best_metric, progress.best_step = metric, progress.step  # not before they are there
    record = {
        "kind": "eval",
        "step": progress.step,
        "epoch": round(progress.epoch, 4),
        "loss": loss,
        **found.numbers,
        "best": better,
        "run_seconds": round(state.seconds, 3),
    }
    run.log.write(record)
    reporter.say(f"epoch {progress.epoch:.2f}  validation: {found.words}{'  (best)' if better else ''}")
    return record


def _batches(prepared: Prepared, requests: Requests) -> Iterable[Batch]:
    """Validation batches, between which a request to end is obeyed; not of several ranks, which have to end
    together, and do so at the next step."""
    batches = validation_batches(prepared)
    return batches if prepared.ranks.world > 1 else requests.between(batches)


def finish(
    state: State, prepared: Prepared, run: RunDirectory, reporter: Reporter, requests: Requests
) -> TrainResult:
    """Puts the best weights back, evaluates them as `custom-bert evaluate` will, and closes the run.

    Raises:
        StopRequested: if there is a request to end meanwhile.
    """
    progress, seconds = state.progress, state.seconds
    release_memory()  # moments are gone, and make room for what is read and evaluated
    state.ranks.totals(0.0)  # rank 0 has written them
    put_all(state.model, read_run_weights(run.path, written=run.best))
    state.model.encoder.set_kernel(None)
    state.model.encoder.skip_unread = True
    found = measure(state.model, _batches(prepared, requests), prepared)
    labels = list(prepared.labels)
    run.log.close()
    run.update(
        "finished",
        steps=progress.step,
        best_step=progress.best_step,
        seconds=round(seconds, 2),
        saving_seconds=round(progress.saving_seconds, 2),
        **({"weights": dict(zip(("size", "sha256"), run.best, strict=True))} if run.best else {}),
        validation={"loss": found.loss, **(found.scores.as_dict(labels) if found.scores else found.numbers)},
    )
    if state.ranks.leads:
        checkpoint.discard(run.path)
    reporter.say("")
    for line in score_lines(found.scores, labels) if found.scores else [found.words]:
        reporter.say(line)
    reporter.say("")
    what = prepared.config.optim.metric if found.scores else "perplexity"
    reporter.say(
        f"{run.path}: weights of step {progress.best_step:,} (best {what}), trained in {duration(seconds)}"
    )
    return TrainResult(
        run.path,
        found.numbers["accuracy"],
        found.numbers.get("macro_f1"),
        progress.best_step,
        progress.step,
        seconds,
        found.scores,
    )


def as_finished(directory: Path, record: dict[str, Any], reporter: Reporter) -> TrainResult:
    """The result of a run that was finished before, from its record.

    Raises:
        RunError: if the record is not one of a finished run.
    """
    try:
        validation = record["validation"]
        result = TrainResult(
            directory,
            float(validation["accuracy"]),
            float(validation["macro_f1"]) if "macro_f1" in validation else None,
            int(record["best_step"]),
            0,
            float(record["seconds"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{directory / 'run.json'}: damaged: not the record of a finished run") from error
    macro = "" if result.macro_f1 is None else f", macro-F1 {result.macro_f1:.4f}"
    reporter.say(
        f"{directory}: this run is finished (accuracy {result.accuracy:.4f}{macro}); nothing to do. --fresh "
        f"trains again in a numbered sibling"
    )
    return result


def interrupted(state: State, run: RunDirectory, reporter: Reporter) -> None:
    """After a request to end: says what is kept, and how it goes on; nothing is, before the first step."""
    progress = state.progress
    if not (progress.phase or progress.step):
        run.discard()
        reporter.say("interrupted before the first step: nothing is kept")
        return
    run.close_log()
    run.update("interrupted", **state.kept())
    ready = (
        f"; the weights of step {progress.best_step:,} are ready for evaluate and predict"
        if progress.best_step
        else ""
    )
    reporter.say(
        f"interrupted after step {progress.step:,}: --out {run.path} and the same settings continue it{ready}"
    )
