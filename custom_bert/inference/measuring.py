"""Measures the scores of texts against their labels.

Shapes: N texts, K outputs of the model.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import torch

from custom_bert.batch import Targets
from custom_bert.data.given import strings
from custom_bert.errors import did_you_mean, shown
from custom_bert.inference.scores import WHOLE, Parts
from custom_bert.tasks.parts import LabelLineError, Measured, UnknownLabelError
from custom_bert.tasks.task import Task


def measured(
    task: Task,
    thresholds: Mapping[str, np.ndarray | None],
    texts: Iterable[str],
    labels: Iterable[str],
    parts: Callable[[Iterable[str]], Iterator[Parts]],
) -> dict[str, Measured]:
    """Returns what is measured of each part of the scores, by its name.

    Args:
        task: what the model has learned.
        thresholds: the thresholds of each part.
        texts: texts or pairs, as `data.given_pairs.texts_or_pairs` returns them.
        labels: what a label file holds, one string for each text.
        parts: yields (n, K) outputs of a chunk of texts at a time, by the names of parts.

    Raises:
        TypeError: if `labels` is not a collection of strings.
        ValueError: if there are not as many labels as texts, the model does not know a label, or a line of
            labels has not the form that it reads.
    """
    labels = strings(labels, "label")
    values = _values(task, labels)
    if isinstance(labels, list):  # a list can be checked before anything is computed
        values = iter(list(values))
        if isinstance(texts, list):
            _check_counts(len(texts), len(labels))
    scorers = {WHOLE: task.scorer(thresholds[WHOLE])}
    for outputs in parts(texts):
        wanted = list(itertools.islice(values, len(outputs[WHOLE])))
        _check_counts(len(outputs[WHOLE]), len(wanted))
        targets = Targets(torch.from_numpy(np.stack(wanted)))
        for name, outputs_NK in outputs.items():
            if name not in scorers:
                scorers[name] = task.scorer(thresholds[name])
            scorers[name].add(torch.from_numpy(outputs_NK), targets)
    _check_counts(0, sum(1 for _ in itertools.islice(values, 1)))
    return {name: scorer.measured() for name, scorer in scorers.items()}


def _values(task: Task, labels: Iterable[str]) -> Iterator[np.ndarray]:
    """Yields the target of each text, as `batch.Targets.values` holds it."""
    try:
        yield from task.targets_of(labels)
    except UnknownLabelError as error:
        label, near = shown(str(error.label)), did_you_mean(error.label, task.output_names)
        raise ValueError(f"label {error.index}: {label} is not one of this model's labels{near}") from None
    except LabelLineError as error:
        raise ValueError(f"label {error.index}: {error.fault}") from None


def _check_counts(texts: int, labels: int) -> None:
    if labels != texts:
        raise ValueError(f"there are {'fewer' if labels < texts else 'more'} labels than texts")
