"""Training in a run directory, which is left in order however training ends. There are four ways.

- The run is finished: its record says so, and the checkpoints are removed.
- Somebody asked for an end: a checkpoint of the last step is written, and the same command continues the run.
  Before the first step the floor is kept, if there is one.
- The run failed before anything was worth keeping: the directory is free for another attempt.
- The run failed later: what was kept stays, and the record says "interrupted".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from custom_bert import signals
from custom_bert.errors import UserError, WriteError
from custom_bert.signals import Requests
from custom_bert.training import checkpoint
from custom_bert.training.log import Reporter
from custom_bert.training.run import RunDirectory
from custom_bert.training.state import State
from custom_bert.training.state_tensors import begin_moments


@contextmanager
def session(state: State, run: RunDirectory, reporter: Reporter) -> Iterator[Requests]:
    """Within the block, requests to end are noted, and obeyed where the run can be continued from.

    Raises:
        KeyboardInterrupt: after Ctrl-C.
        SystemExit: after SIGTERM.
    """
    try:
        with signals.noted() as requests:
            try:
                yield requests
            except signals.StopRequested:
                reporter.stop()
                _keep_for_later(state, run, reporter)
        if requests.number:  # also where the request came so late that the run is finished
            requests.obey()
    except (KeyboardInterrupt, SystemExit):
        raise  # everything is in order already, or a second request wants an end at once
    except BaseException as error:
        reporter.stop()
        with suppress(WriteError):  # on a full disk this fails too, and the first error is the one to report
            _keep_after(error, state, run)
        raise


def _keep_for_later(state: State, run: RunDirectory, reporter: Reporter) -> None:
    """Leaves the directory so that the same command continues the run, and prints how. Before the first step
    nothing is kept."""
    progress = state.progress
    if progress.ended and state.saved != state.position:
        # all that is left is to evaluate the best weights, which needs no moments, so that zeros will do
        begin_moments(state.phase.model, state.phase.optimizer)
        run.save(state)
    if not (progress.phase or progress.step):
        if run.floor is not None:
            run.close_log()
            run.update("interrupted")
            reporter.say(
                f"interrupted before the first step: {run.path} predicts with its floor, the linear model on "
                f"n-grams; the same command trains the encoder"
            )
            return
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


def _keep_after(error: BaseException, state: State, run: RunDirectory) -> None:
    """Keeps what a failed run has to show. If that is nothing and the user can mend the fault, the directory
    becomes free again."""
    worthless = state.progress.best_step == 0 and not checkpoint.exists(run.path)
    if isinstance(error, UserError) and worthless:
        run.discard()
        return
    run.close_log()
    run.update("interrupted", **state.kept())
