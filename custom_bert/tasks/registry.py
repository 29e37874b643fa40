"""The table of all tasks, by the value of the setting `task`."""

from __future__ import annotations

from custom_bert.config import TaskName
from custom_bert.tasks.classification import Classification
from custom_bert.tasks.masked_lm import MaskedLanguageModelling
from custom_bert.tasks.multi_label import MultiLabel
from custom_bert.tasks.ordinal import Ordinal
from custom_bert.tasks.regression import Regression
from custom_bert.tasks.soft_labels import SoftLabels
from custom_bert.tasks.task import Task
from custom_bert.tasks.tokens import Tokens

TASKS: dict[TaskName, type[Task]] = {
    "classification": Classification,
    "multi_label": MultiLabel,
    "soft_labels": SoftLabels,
    "masked_lm": MaskedLanguageModelling,
    "regression": Regression,
    "ordinal": Ordinal,
    "tokens": Tokens,
}


def task_of_labels(*, sets: bool, asked: str | None = None) -> TaskName:
    """Returns the name of a task whose texts have one label each, or with `sets` any number of them: the one
    that is asked for if it is such a task, else the first."""
    fitting = [name for name, task in TASKS.items() if task.label_sets is sets]
    return next((name for name in fitting if name == asked), fitting[0])


def task_of_shares() -> TaskName:
    """Returns the name of the task whose texts are divided among labels by shares."""
    return next(name for name, task in TASKS.items() if task.takes_shares)


def takes_shares(name: object) -> bool:
    """Returns whether a task divides texts among labels by shares; False for what names no task."""
    return any(task.takes_shares for known, task in TASKS.items() if known == name)


def takes_sets(name: object) -> bool:
    """Returns whether a text may have any number of labels; False for what names no task."""
    return any(bool(task.label_sets) for known, task in TASKS.items() if known == name)


def labels_units(name: object) -> bool:
    """Returns whether a task gives labels to the units of a text; False for what names no task."""
    return any(task.labels_units for known, task in TASKS.items() if known == name)
