"""estimator.json in a saved run: the parameters of the estimator, and the type of its labels."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from custom_bert.data.labels import is_label
from custom_bert.errors import RunError
from custom_bert.estimator.labels import FORMS, Labels
from custom_bert.estimator.stored_run import ESTIMATOR, StoredRun

FORMAT = "custom-bert-estimator/1"


def described(parameters: Mapping[str, Any], labels: Labels) -> dict[str, Any]:
    """Returns the content of estimator.json for an estimator of labels."""
    return {
        **parameters_described(parameters),
        "form": labels.form,
        "type": labels.classes.dtype.str,
        "classes": labels.classes.tolist(),
    }


def parameters_described(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the content of estimator.json for an estimator without labels: its format and its parameters.

    Left out are the device, which belongs to the machine, and what JSON cannot hold, such as a RandomState.
    They are at their defaults when the estimator is loaded.
    """
    kept = {name: os.fspath(v) if isinstance(v, os.PathLike) else v for name, v in parameters.items()}
    return {
        "format": FORMAT,
        "parameters": {name: v for name, v in kept.items() if name != "device" and _is_plain(v)},
    }


def read_parameters(stored: StoredRun) -> dict[str, Any]:
    """Returns the parameters of a run, which need not be an estimator's.

    Raises:
        RunError: if estimator.json is damaged.
    """
    value = stored.json(ESTIMATOR) if ESTIMATOR in stored.contents else {"format": FORMAT, "parameters": {}}
    parameters = value.get("parameters") if isinstance(value, dict) else None
    if not isinstance(parameters, dict) or value.get("format") != FORMAT:
        raise RunError(f"{ESTIMATOR}: damaged: not of the format {FORMAT}")
    return parameters


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(one) for key, one in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or type(value) in (bool, int, float, str)


def read_description(stored: StoredRun, names: Sequence[str], *, sets: bool) -> tuple[dict[str, Any], Labels]:
    """Returns the parameters and the labels of a run, which need not be an estimator's.

    Args:
        stored: the files of the run.
        names: the labels of its model.
        sets: whether a text may have several of them.

    Raises:
        RunError: if estimator.json is damaged.
    """
    if ESTIMATOR not in stored.contents:
        return {}, Labels("set" if sets else "one", np.unique(np.array(names, dtype=str)))
    value = stored.json(ESTIMATOR)
    try:
        if (
            value["format"] != FORMAT
            or value["form"] not in FORMS
            or not isinstance(value["parameters"], dict)
        ):
            raise ValueError(f"not of the format {FORMAT}")
        dtype = np.dtype(value["type"])
        if dtype.kind not in "biufUO":
            raise ValueError(f"labels of the type {dtype}")
        labels = Labels(value["form"], np.array(value["classes"], dtype=dtype))
        if labels.classes.ndim != 1 or not all(map(is_label, labels.names)):
            raise ValueError("not a list of labels")
        if not set(names) <= set(labels.names) or labels.are_sets is not sets:
            raise ValueError("its labels are not those of the model")
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{ESTIMATOR}: damaged: {error}") from error
    return value["parameters"], labels
