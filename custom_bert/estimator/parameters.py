"""The parameters of the estimator as settings of a run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
from sklearn.utils import check_random_state

from custom_bert import config as configuration
from custom_bert.config import ClassWeights, TrainConfig
from custom_bert.config_sources import load, named_in
from custom_bert.errors import ConfigError, shown
from custom_bert.tasks.registry import labels_units, takes_sets, takes_shares

SETTING_OF = {
    "init_from": "model.init_from",
    "max_minutes": "optim.max_minutes",
    "epochs": "optim.epochs",
    "lr": "optim.lr",
    "max_length": "data.max_length",
    "class_weight": "optim.class_weights",
    "floor": "floor",
    "ensemble": "ensemble",
    "validation_fraction": "data.val_fraction",
    "device": "runtime.device",
    "random_state": "seed",
    "task": "task",
}
"""The parameters that are settings, and the dotted names of these."""

ELSEWHERE = {
    "out": "nothing is written while fitting; save(directory) writes the run",
    "data.corpus": "fit is given the texts",
    "data.train_texts": "fit is given the texts",
    "data.train_labels": "fit is given the labels",
    "data.val_texts": "fit is given the texts, and validation_fraction of them is set aside",
    "data.val_labels": "fit is given the labels",
    **dict.fromkeys(
        ("data.train_spans", "data.val_spans", "data.test_spans"),
        "fit is given the texts and their spans",
    ),
    "data.label_separator": "fit is given the labels of a text as a set, or the numbers as a row",
    **dict.fromkeys(
        ("data.test_texts", "data.test_labels", "data.test_table"),
        "score(texts, labels) measures on other texts",
    ),
    **dict.fromkeys(
        ("data.table", "data.val_table", "data.text_column", "data.label_column", "data.split_column"),
        "fit is given texts and labels, such as two columns of a table",
    ),
    **dict.fromkeys(
        ("data.pairs", "data.second_text_column"),
        "fit is given pairs as tuples of two texts, or as two columns",
    ),
    "data.group_column": "fit knows no groups; scikit-learn's GroupKFold divides by them",
    "data.encoding": "fit is given the texts",
}
"""Settings that the estimator does not take, with what to do instead."""


def config_of(parameters: Mapping[str, Any], task: str) -> TrainConfig:
    """Returns the settings of a run.

    Args:
        parameters: the values of the estimator's parameters by name.
        task: the task that the labels make of it.

    Raises:
        ConfigError: for every parameter or setting that is wrong.
    """
    others = parameters["settings"]
    if others is None:
        others = {}
    if not isinstance(others, Mapping):
        raise ConfigError([f"settings: expected a mapping of settings, got {shown(others)}"])
    config, named = load(dict(others)), named_in(others)
    faults = [f"settings: {name} is the parameter {own}" for own, name in SETTING_OF.items() if name in named]
    faults += [f"settings: {name}: {instead}" for name, instead in ELSEWHERE.items() if name in named]
    if parameters["task"] not in (None, task):
        faults.append(f"task: {shown(parameters['task'])}, but these are labels of {task}")
    if faults:
        raise ConfigError(faults)
    own = {SETTING_OF[name]: _plain(parameters[name]) for name in SETTING_OF}
    own |= {"task": task, "seed": seed_of(parameters["random_state"])}
    own["optim.class_weights"] = _class_weights(
        parameters["class_weight"], table=takes_shares(task) or takes_sets(task) or labels_units(task)
    )
    if config.runtime.checkpoint_every is None:
        own["runtime.checkpoint_every"] = 0  # nobody could continue from one
    return load(configuration.replace(config, own))


def checked_config(parameters: Mapping[str, Any], task: str) -> TrainConfig:
    """Returns what `config_of` does, and raises what scikit-learn expects.

    Raises:
        ValueError: for every parameter or setting that is wrong.
    """
    try:
        return config_of(parameters, task)
    except ConfigError as error:
        raise ValueError(str(error)) from None


def _class_weights(class_weight: Any, *, table: bool) -> Any:
    """Returns the setting that class_weight means.

    Args:
        class_weight: the parameter.
        table: whether a mapping is handed on, since a text may have several labels. Otherwise it becomes
            weights of texts elsewhere.

    Raises:
        ConfigError: if it is nothing that the parameter can be.
    """
    words = get_args(get_args(ClassWeights)[0])
    if isinstance(class_weight, Mapping) and not class_weight:
        return "none"
    if isinstance(class_weight, Mapping):
        return {str(_plain(label)): weight for label, weight in class_weight.items()} if table else "none"
    if class_weight is None or (isinstance(class_weight, str) and class_weight in words):
        return class_weight or "none"
    quoted = ", ".join(repr(word) for word in words if word != "none")
    raise ConfigError([f"class_weight: expected None, {quoted} or a dict, got {shown(class_weight)}"])


def _plain(value: Any) -> Any:
    """Returns the Python number that a numpy number is, as searches draw them, and a path as a string."""
    if isinstance(value, np.generic):
        return value.item()
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def seed_of(random_state: Any) -> int:
    """Returns the seed of a run: a whole number itself, or one that is drawn.

    Args:
        random_state: None draws from numpy's global generator, as scikit-learn does. A RandomState or a
            Generator is drawn from, too.

    Raises:
        ConfigError: if it is nothing of these.
    """
    if isinstance(random_state, int | np.integer) and not isinstance(random_state, bool):
        return int(random_state)
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(1 << 31))
    try:
        return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    except ValueError:
        raise ConfigError(
            [
                f"random_state: expected None, a whole number, a RandomState or a Generator, got "
                f"{shown(random_state)}"
            ]
        ) from None
