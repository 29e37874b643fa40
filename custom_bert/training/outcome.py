"""The evaluations during a run, and its result, whether it is finished now or was finished before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custom_bert.batch import Batch
from custom_bert.data.labelled_texts import MEASURED_ON_TRAINING
from custom_bert.data.loader import BatchBuilder
from custom_bert.errors import RunError
from custom_bert.model_files.native import read_run_weights
from custom_bert.phrases import duration
from custom_bert.process import release_memory
from custom_bert.reports.facts import ensemble_lines, floor_line, lines_of_test
from custom_bert.reports.measures import in_words as in_one_line
from custom_bert.reports.measures import is_worse, measured, words_of
from custom_bert.signals import Requests
from custom_bert.tasks.parts import Measured
from custom_bert.training import checkpoint
from custom_bert.training.ensemble import LastEvaluation, evaluate_finally
from custom_bert.training.evaluation import choose, evaluation_batches, in_words, measure
from custom_bert.training.final_evaluation import changes_told, evaluate_on_test
from custom_bert.training.log import Reporter
from custom_bert.training.plan import Material, RunPlan
from custom_bert.training.ranks import Ranks, put_all
from custom_bert.training.run import RunDirectory
from custom_bert.training.state import State


@dataclass(frozen=True)
class TrainResult:
    """The result of a run.

    Attributes:
        directory: the run directory.
        numbers: the measures on the validation rows by name, computed in fp32, of what predicts: the kept
            weights, or their ensemble with the floor. Of labels they are accuracy and macro_f1, as fractions;
            of label sets micro_f1, macro_f1 and exact_match; of masked tokens accuracy and perplexity.
        step: the optimizer step after which the kept weights were saved.
        steps: how many optimizer steps the last phase took; 0 if the run had been finished before.
        seconds: the duration of the run in seconds, evaluations and checkpoints included.
        test: the measures on the test rows by name, of what predicts; None if there are no test rows.
        measured: everything that was measured on the validation rows; None if the run had been finished
            before, and at ranks other than 0 if encoder and floor predict together.
    """

    directory: Path
    numbers: dict[str, float]
    step: int
    steps: int
    seconds: float
    measured: Measured | None = None
    test: dict[str, float] | None = None

    @property
    def accuracy(self) -> float | None:
        """The share of right predictions; for label sets, the share of texts whose labels are all right."""
        return self.numbers.get("accuracy", self.numbers.get("exact_match"))

    @property
    def scores(self) -> Any:
        """`Scores` of a classifier, or `LabelScores` of a multi-label classifier. None of an encoder, and if
        the run had been finished before."""
        return None if self.measured is None else self.measured.scores

    @property
    def macro_f1(self) -> float | None:
        """The mean F1 of the classes; None if the task has no classes."""
        return self.numbers.get("macro_f1")


def evaluate_now(
    state: State, plan: RunPlan, material: Material, run: RunDirectory, reporter: Reporter, requests: Requests
) -> dict[str, Any]:
    """Evaluates in training precision, and keeps the weights if they are the best so far.

    Returns:
        The record that metrics.jsonl has of the evaluation.

    Raises:
        StopRequested: if there is a request to end meanwhile.
        DivergedError: if the loss is not finite.
    """
    progress, autocast = state.progress, state.precision.autocast
    if plan.task.chooses and material.choosing is not None:
        batches = _batches(material.choosing, plan, material, state.ranks, requests)
        choose(state.model, batches, plan, state.ranks, autocast)
    batches = _batches(material.val, plan, material, state.ranks, requests)
    evaluation = measure(state.model, batches, plan, state.ranks, autocast)
    loss = state.finite(evaluation.loss)  # before anything is kept: weights that diverged are no best ones
    worth = plan.task.worth(evaluation, plan.config)
    better = worth > progress.best_metric
    if better:
        run.keep_best(state.ranks.collected(state.model.state_dict()))
        # not before the weights are written: a full disk must not leave a best step without its weights
        progress.best_metric, progress.best_step = worth, progress.step
    record = {
        "kind": "eval",
        "step": progress.step,
        "epoch": round(progress.epoch, 4),
        "loss": loss,
        **evaluation.numbers,
        "best": better,
        "run_seconds": round(state.clock.run_seconds, 3),
    }
    run.log.write(record)
    reporter.say(
        f"epoch {progress.epoch:.2f}  validation: {in_words(evaluation)}{'  (best)' if better else ''}"
    )
    return record


def _batches(
    examples: BatchBuilder, plan: RunPlan, material: Material, ranks: Ranks, requests: Requests
) -> Iterable[Batch]:
    """Yields the batches of an evaluation. Between them a request to end is obeyed, but not if there are
    several ranks: these have to end together, and agree on it at the next step."""
    batches = evaluation_batches(examples, plan, material, ranks)
    return batches if ranks.world > 1 else requests.between(batches)


def finish(
    state: State, plan: RunPlan, material: Material, run: RunDirectory, reporter: Reporter, requests: Requests
) -> TrainResult:
    """Puts the best weights back, evaluates them as `custom-bert evaluate` will, and closes the run.

    Raises:
        StopRequested: if there is a request to end meanwhile.
    """
    progress, seconds = state.progress, state.clock.run_seconds
    release_memory()  # the optimizer's moments are freed, and make room for what is read and evaluated
    state.ranks.totals(0.0)  # the others wait here until rank 0 has written the weights
    put_all(state.model, read_run_weights(run.path, written=run.best))
    state.model.encoder.set_kernel(None)
    state.model.encoder.skip_unread = True

    def batches(some: BatchBuilder) -> Iterable[Batch]:
        return _batches(some, plan, material, state.ranks, requests)

    last = evaluate_finally(state, plan, material, run, batches, reporter.warn)
    ensemble = None if last.combined is None else last.combined.ensemble
    tested = evaluate_on_test(state, plan, material, run, batches, ensemble, reporter.warn)
    evaluation = last.predicts
    numbers = state.ranks.from_leader(lambda: evaluation.numbers)
    test = state.ranks.from_leader(lambda: None if tested is None else tested.model.numbers)
    test_record = {} if tested is None else {"test": {"loss": tested.model.loss, **tested.as_dict()}}
    run.log.close()
    run.update(
        "finished",
        steps=progress.step,
        best_step=progress.best_step,
        seconds=round(seconds, 2),
        saving_seconds=round(progress.saving_seconds, 2),
        **({"weights": dict(zip(("size", "sha256"), run.best, strict=True))} if run.best else {}),
        validation={"loss": evaluation.loss, **evaluation.as_dict()},
        **last.record(),
        **test_record,
    )
    if state.ranks.leads:
        checkpoint.discard(run.path)
    best = f"best {words_of(plan.config.optim.metric)}" if material.source.validates else "the last"
    for line in (
        "",
        *evaluation.lines(),
        *_sides(last, run.floor, plan.config.optim.metric, advises=material.source.validates),
        *lines_of_test(test_record),
        *([] if material.source.validates else ["", MEASURED_ON_TRAINING]),
        "",
        f"{run.path}: weights of step {progress.best_step:,} ({best}), trained in {duration(seconds)}",
    ):
        reporter.say(line)
    together = state.ranks.from_leader(lambda: last.combined is not None)
    whole = evaluation if state.ranks.leads or not together else None
    return TrainResult(run.path, numbers, progress.best_step, progress.step, seconds, whole, test)


def _sides(last: LastEvaluation, floor: Mapping[str, Any] | None, metric: str, *, advises: bool) -> list[str]:
    """Returns lines with the measures of floor and encoder, alone and together, and a line of advice if the
    encoder is below its floor.

    Args:
        last: the evaluation of the weights that are kept.
        floor: the record of the floor; None if there is none.
        metric: the key of the measure by which the weights were chosen.
        advises: whether the texts did not train, so that what is measured on them can be compared.
    """
    if floor is None:
        return []
    lines = ["", floor_line(floor), *ensemble_lines(last.record().get("ensemble"), last.predicts.numbers)]
    if advises and is_worse(metric, last.encoder.numbers[metric], floor[metric]):
        lines.append(
            "the encoder does not reach its floor: a pretrained start (model.init_from) or more passes "
            "(optim.epochs) may help"
        )
    return lines


def as_finished(
    directory: Path, record: dict[str, Any], material: Material, reporter: Reporter
) -> TrainResult:
    """Returns the result of a run that was finished before, from its record, and says that nothing is to do.

    Args:
        directory: the run directory.
        record: the content of its run.json.
        material: the data as it is now; its test texts may be others than the run was measured on.
        reporter: prints lines.

    Raises:
        RunError: if the record is not one of a finished run.
    """
    try:
        validation = record["validation"]
        numbers = {one.key: float(value) for one, value in measured(validation)}
        of_test = record.get("test")
        test = None if of_test is None else {one.key: float(value) for one, value in measured(of_test)}
        result = TrainResult(
            directory, numbers, int(record["best_step"]), 0, float(record["seconds"]), test=test
        )
        if not numbers:
            raise ValueError("no measures")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{directory / 'run.json'}: damaged: not the record of a finished run") from error
    reporter.say(
        f"{directory}: this run is finished ({in_one_line(numbers)}); nothing to do. --fresh trains again in "
        f"a numbered sibling"
    )
    if told := changes_told(record, material, directory):
        reporter.say(told)
    return result
