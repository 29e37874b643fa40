"""The loop of a phase: step, log, evaluate and save, until the schedule ends or the metric stops improving.

Where several ranks train, each of them has to make the same collective calls in the same order. So whatever
decides about a branch here is the same at all ranks: it comes from the plan, or from numbers that all ranks
have exchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch

from custom_bert import signals
from custom_bert.phrases import duration
from custom_bert.reports.measures import words_of
from custom_bert.rules.evaluations import log_every
from custom_bert.rules.schedule import falls, lr_factor
from custom_bert.signals import Requests
from custom_bert.torch_internals import graphs_compiled
from custom_bert.training import checkpoint
from custom_bert.training.log import Board, Reporter
from custom_bert.training.memory import step_within_memory
from custom_bert.training.optim import set_lr
from custom_bert.training.outcome import evaluate_now
from custom_bert.training.pace import Pace
from custom_bert.training.phases import Step, steps_of, total_steps
from custom_bert.training.plan import Material, RunPlan, evaluations
from custom_bert.training.run import RunDirectory
from custom_bert.training.state import State
from custom_bert.training.state_tensors import begin_moments, restore_moments
from custom_bert.training.step import StepResult, Totals, totals_of

SAVED_BYTES = 12
"""The bytes that a parameter takes in a checkpoint: its value and AdamW's two moments, in fp32."""


def fit_all(
    state: State, plan: RunPlan, material: Material, run: RunDirectory, reporter: Reporter, requests: Requests
) -> None:
    """Trains the present phase and all phases after it; see `Fit.run` for what it raises."""
    for phase in range(state.progress.phase, len(state.phases)):
        if phase > state.progress.phase:
            state.progress.enter(phase)
            state.saved = None  # steps are counted anew, so a position of the last phase may come again
        Fit(state, plan, material, run, reporter, requests).run()
        state.phase.optimizer.state.clear()  # moments make room for those of the next phase


class Fit:
    """Trains the present phase of a run.

    Args:
        state: everything that changes while training.
        plan: what was decided.
        material: the data and the tokenizer.
        run: the run directory.
        reporter: prints the progress.
        requests: the requests to end, from Ctrl-C or SIGTERM.
    """

    def __init__(
        self,
        state: State,
        plan: RunPlan,
        material: Material,
        run: RunDirectory,
        reporter: Reporter,
        requests: Requests,
    ) -> None:
        self.state, self.plan, self.material = state, plan, material
        self.run_directory, self.reporter, self.requests = run, reporter, requests
        self.phase, self.progress, self.clock, self.ranks = (
            state.phase,
            state.progress,
            state.clock,
            state.ranks,
        )
        config = plan.config
        self.total = total_steps(self.phase)
        self.limit = self._time_limit()
        # where the time ends the phase, its number of steps says nothing, and the bar counts in per cent
        self.shown = self.total if self.limit == float("inf") else None
        self.log_every = config.runtime.log_every or log_every(
            self.total, max_minutes=config.optim.max_minutes
        )
        self.when, _ = evaluations(config, plan.task, material)
        size = SAVED_BYTES * sum(parameter.numel() for parameter in self.phase.model.parameters())
        self.pace = Pace(config.runtime.checkpoint_every, size)
        # what all ranks know before a step; see `_exchange`
        self.stepped = False
        self.elapsed, self.due, self.totals = 0.0, False, cast(Totals | None, None)
        self.board = Board(run.path) if config.runtime.tensorboard and self.ranks.leads else None

    def _time_limit(self) -> float:
        """Returns the seconds that the phase may take: its share of max_minutes, by epochs."""
        minutes = self.plan.config.optim.max_minutes
        if minutes is None:
            return float("inf")
        return 60 * minutes * self.phase.epochs / sum(phase.epochs for phase in self.state.phases)

    def run(self) -> None:
        """Trains until the phase ends.

        Raises:
            StopRequested: after a request to end, once a checkpoint of the last step is written.
            DivergedError: if training diverges.
        """
        self._begin()
        self.reporter.start(self.phase.name, self.shown)
        try:
            if self.progress.evaluation_due:
                self._evaluate()
            for step in self._steps():
                self._save_if_due()
                done = self._share_done(step)
                lr = self._set_lr(done)
                result = self._train(step)
                self._advance(step, result, done)
                self._log(lr, result, done)
                self._evaluate_if_due(done)
                if self.progress.ended:
                    break
        except signals.StopRequested:
            if self.state.saved != self.state.position and (self.progress.phase or self.progress.step):
                self._save()
            raise
        finally:
            self.reporter.stop()
            if self.board:
                self.board.close()
        self._say_how_it_was()

    def _begin(self) -> None:
        """Gets the model, the optimizer's moments and the clock ready for the first step of this process."""
        phase, progress = self.phase, self.progress
        phase.begin()
        begin_moments(phase.model, phase.optimizer)
        pretrained = self.material.pretrained
        if pretrained and pretrained.moments and not progress.step:
            restore_moments(pretrained.moments, self.state)
        self.model = self.ranks.parallel(phase.model)
        self.clock.begin_phase(
            progress.phase_seconds,
            tokens=progress.tokens,
            rows=progress.rows,
            log_seconds=progress.log_seconds,
        )

    def _steps(self) -> Iterator[Step]:
        """Yields the steps that are left. After a request to end it raises StopRequested, at all ranks
        together."""
        if self.progress.ended:
            return iter(())
        steps = steps_of(self.phase, self.progress.epochs_done, self.progress.steps_done)
        return iter(self.requests.between(self.clock.waiting_for(steps), self._exchange))

    def _exchange(self, number: int, step: Step) -> int:
        """Has the ranks tell each other, once before each step, all that they have to agree on: requests to
        end, the time, whether a checkpoint is due, and what the step's batches add up to.

        Args:
            number: the signal that asked this process to end; 0 for none.
            step: the next step.

        Returns:
            The signal that all ranks obey; 0 for none.
        """
        seconds, due = self.clock.phase_seconds, self.stepped and self.pace.due(self.progress.step)
        if self.ranks.world == 1:
            self.elapsed, self.due, self.totals = seconds, due, None
            return number
        sums = totals_of(step.microbatches, self.phase.objective).numbers()
        told = self.ranks.told(number, seconds, due, *sums)
        agreed, self.elapsed, due = told[:, :3].max(0).tolist()
        self.due, self.totals = bool(due), Totals.of(told[:, 3:].sum(0).tolist())
        return int(agreed)

    def _share_done(self, step: Step) -> float:
        """Returns the share of the phase that is done after a step: by epochs or by the time, whichever is
        larger."""
        return min(1.0, max(step.progress, self.elapsed / self.limit))

    def _set_lr(self, done: float) -> float:
        """Sets and returns the learning rate of the step. Before wsd's rate begins to fall, saves the
        encoder."""
        optim, task = self.plan.config.optim, self.plan.task
        middle = max(
            0.0, done - 0.5 / self.total
        )  # of the step, so that neither end of the schedule is wasted
        keeps = optim.schedule == "wsd" and task.keeps_stable and not self.progress.falling
        if keeps and falls(middle, optim.warmup, optim.decay):
            with self.clock.stopped():
                checkpoint.save_stable(
                    self.run_directory.path, self.state, self.plan, self.material.tokenizer
                )
            self.progress.falling = True
        factor = lr_factor(middle, warmup=optim.warmup, schedule=optim.schedule, decay=optim.decay)
        set_lr(self.phase.optimizer, self.phase.lr * factor)
        return self.phase.lr * factor

    def _train(self, step: Step) -> StepResult:
        return step_within_memory(
            self.state,
            self.phase,
            step,
            self.model,
            device=self.plan.device,
            clip_norm=self.plan.config.optim.clip_norm,
            warn=self.reporter.warn,
            totals=self.totals,
        )

    def _advance(self, step: Step, result: StepResult, done: float) -> None:
        """Notes that a step is done, and whether the phase ends with it."""
        progress = self.progress
        self.stepped = True
        progress.step, progress.epoch = progress.step + 1, step.epoch
        progress.epochs_done, progress.steps_done = step.epochs_done, step.steps_done
        progress.ended = step.last or done >= 1
        if result.empty:
            progress.empty += 1
        else:
            self.state.losses.append(result.loss)
            self.state.skips.append(result.skipped)
        self.clock.count(result.tokens, result.rows)

    def _log(self, lr: float, result: StepResult, done: float) -> None:
        """Writes a record to metrics.jsonl and prints it, if one is due."""
        progress = self.progress
        due = progress.step % self.log_every == 0 or progress.ended
        # reading makes the host wait for a GPU, so it is done with a record only
        if due or self.plan.device.type == "cpu":
            self.state.count_skips()
        if due:
            elapsed = self.clock.phase_seconds
            record = self._record(lr, float(result.grad_norm), elapsed)
            self.state.losses.clear()
            self.run_directory.log.write(record)
            remaining = elapsed * (1 - done) / max(done, 1e-9)
            self.reporter.progress(record, self.shown, remaining=remaining)
            if self.board:
                self.board.add(record)
        self.reporter.advance(progress.step if self.shown else round(100 * done))

    def _record(self, lr: float, grad_norm: float, elapsed: float) -> dict[str, Any]:
        """Returns the line of metrics.jsonl about the steps since the phase's last line."""
        losses, progress = self.state.losses, self.progress
        return {
            "kind": self.phase.name,
            "step": progress.step,
            "epoch": round(progress.epoch, 4),
            "loss": _or_none(float(torch.stack(losses).nanmean())) if losses else None,
            "lr": lr,
            "grad_norm": _or_none(grad_norm),
            "skipped": progress.skipped,
            "empty": progress.empty,
            **self.clock.read(),
            "seconds": round(elapsed, 3),
            **({"graphs": graphs_compiled()} if self.state.fused else {}),
        }

    def _evaluate_if_due(self, done: float) -> None:
        """Evaluates after the steps that the plan names, and after the last one of the phase."""
        progress = self.progress
        due = self.when.due(progress.step, done, progress.epoch, progress.next_evaluation)
        if self.phase.evaluates and (due or progress.ended):
            progress.evaluation_due = True  # an interrupted evaluation is made when the run is continued
            self._evaluate()

    def _evaluate(self) -> None:
        """Evaluates, plans the next evaluation, and ends the phase if `optim.patience` is exhausted."""
        progress, optim = self.progress, self.plan.config.optim
        with self.clock.stopped():
            begun = self.clock.phase_seconds
            record = evaluate_now(
                self.state, self.plan, self.material, self.run_directory, self.reporter, self.requests
            )
            now = self.clock.phase_seconds
            cost, elapsed = self.ranks.largest(now - begun, now)
            done = max(progress.epoch / self.phase.epochs, elapsed / self.limit)
            progress.next_evaluation = self.when.after(done, elapsed, cost)
        if self.board:
            self.board.add(record)
        progress.evaluation_due = False
        stale = progress.step - progress.best_step
        if optim.patience and stale >= optim.patience and not progress.ended:
            metric = words_of(self.plan.config.optim.metric)
            self.reporter.say(f"stopped: {metric} has not improved for {stale:,} steps")
            progress.ended = True

    def _save_if_due(self) -> None:
        """Writes a checkpoint of the steps before this one, if one is due."""
        if self.due:
            self._save()

    def _save(self) -> None:
        """Writes a checkpoint, off the clock of training."""
        with self.clock.stopped():
            self.state.count_skips()
            self.pace.saved(self.run_directory.save(self.state))

    def _say_how_it_was(self) -> None:
        """Prints, at the end of the phase, which steps were left out and how long training took."""
        for line in self.state.left_out():
            self.reporter.warn(line)
        self.clock.end_phase()
        trained = self.clock.trained
        waited = self.clock.waited / max(trained, 1e-9)
        gpu = self.plan.device.type == "cuda"
        what = "the host waited for batches, not always the GPU" if gpu else "waiting for batches"
        self.reporter.say(f"{self.phase.name}ing took {duration(trained)}, {waited:.1%} of it {what}")


def _or_none(value: float) -> float | None:
    """Returns a number as JSON can hold it. JSON has no infinity, and the loss and the gradient norm of a
    skipped step are not finite."""
    return value if np.isfinite(value) else None
