"""The rules by which a run decides how often it evaluates and writes records. They are as those of
`rules.choices`."""

from __future__ import annotations

import math

from custom_bert.rules.schedule import Evaluations


def eval_every(
    steps_per_epoch: int,
    num_epochs: int,
    *,
    pretrained: bool,
    training_tokens: int,
    validation_tokens: int,
    validation_texts: int,
) -> tuple[int, str]:
    """Returns the number of steps between two evaluations.

    There is one evaluation in an epoch, but at least 10 and at most 20 in a run. A pretrained encoder learns
    evenly, so that 2 are enough, and with fewer than `JUDGING_TEXTS` validation texts the last weights are
    better than those that the few texts prefer. If evaluations would take more than about a fifth of the time
    there are fewer, but no fewer than 4 where there would be more.

    Args:
        steps_per_epoch: the number of optimizer steps in an epoch.
        num_epochs: the number of epochs.
        pretrained: whether training starts from a pretrained encoder.
        training_tokens: the number of tokens in an epoch.
        validation_tokens: the number of tokens in an evaluation, which takes a third of the time that
            training on as many takes.
        validation_texts: the number of validation texts.
    """
    total, wanted = steps_per_epoch * num_epochs, _evaluations(num_epochs, pretrained, validation_texts)
    if wanted == 1:
        few = (
            f"{validation_texts:,} validation texts are too few" if validation_texts else "there are no texts"
        )
        return max(1, total), f"{few} to choose the best step by"
    affordable = int(EVALUATION_SHARE * 3 * training_tokens * num_epochs / max(1, validation_tokens))
    if affordable >= wanted:
        return max(1, -(-total // wanted)), f"{total:,} steps in all"
    every = max(1, -(-total // max(min(4, wanted), affordable)))
    return every, f"{total:,} steps in all; an evaluation reads {validation_tokens:,} tokens"


def corpus_eval_every(tokens_per_step: int, validation_tokens: int) -> tuple[int, str]:
    """Returns the number of steps between two evaluations on held-out text, at least 50. Evaluations then
    take about a twentieth of the time."""
    # tokens to train on between two evaluations; training on a token takes 3 times as long as evaluating it
    training = validation_tokens / 3 / CORPUS_EVALUATION_SHARE
    every = max(50, math.ceil(training / tokens_per_step))
    return every, f"an evaluation reads {validation_tokens:,} tokens"


def _evaluations(num_epochs: int, pretrained: bool, validation_texts: int) -> int:
    """Returns how many evaluations a run should have, whatever they cost; see `eval_every`."""
    if not validation_texts or (pretrained and validation_texts < JUDGING_TEXTS):
        return 1
    return min(20, max(2 if pretrained else 10, num_epochs))


JUDGING_TEXTS = 50
"""The number of validation texts from which on they choose the best step of a fine-tuned encoder. Six texts
chose weights that were worse by 7 points than the last ones (docs/log/0024)."""


def evaluations_in_time(
    num_epochs: int,
    *,
    pretrained: bool,
    training_tokens: int,
    validation_tokens: int,
    validation_texts: int,
    share: float,
) -> tuple[Evaluations, str]:
    """Returns when to evaluate if the time ends a run: as often as `eval_every` would, by shares of the time,
    and less often if evaluations would take more than `share` of it.

    Args:
        num_epochs: the number of planned epochs, for which the time may not be enough.
        pretrained: whether training starts from a pretrained encoder.
        training_tokens: the number of tokens in an epoch.
        validation_tokens: the number of tokens in an evaluation, which takes a third of the time that
            training on as many takes.
        validation_texts: the number of validation texts.
        share: the share of the time that evaluations may take.
    """
    wanted, pause = _evaluations(num_epochs, pretrained, validation_texts), 1 / share - 1
    when = Evaluations(None, 1 / wanted, pause, pause * validation_tokens / 3 / max(1, training_tokens))
    return when, f"up to {wanted} evaluations, which take up to {share:.0%} of the time"


CORPUS_EVALUATION_SHARE = 0.05
"""The share of the time of pretraining that evaluations may take."""

EVALUATION_SHARE = 0.2
"""The share of the time of training that evaluations may take, if there are more than four."""


def log_every(total_steps: int, *, max_minutes: float | None) -> int:
    """Returns the number of steps between two log records, of which a run then has about 100. If the time
    ends the run, it is 10 at most, since the run may end long before its last step."""
    return max(1, total_steps // 100) if max_minutes is None else max(1, min(10, total_steps // 100))
