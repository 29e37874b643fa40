"""What makes a run this run and no other: its settings and the contents of its files; and how two differ."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch

from custom_bert import config as configuration
from custom_bert.config import Precision
from custom_bert.config_sources import PATHS
from custom_bert.errors import ConfigError, RunError, shown
from custom_bert.precision import DTYPES, choose_precision, sound_precision
from custom_bert.training.choices import Choice
from custom_bert.training.prepare import Prepared

Identity = dict[str, dict[str, Any]]
"""`settings`, by dotted name, and `data`, hashes."""

ELSEWHERE = (
    *PATHS,
    "runtime.checkpoint_every",
    "runtime.log_every",
    "runtime.tensorboard",
    "runtime.threads",
)
"""Fields that do not decide what is learned, beyond rounding; the files that paths lead to count by their
content."""

OF_THE_MACHINE = (
    "batch.token_budget",
    "optim.eval_every",
    "runtime.compile",
    "runtime.device",
    "runtime.precision",
)
"""Fields that a rule takes from the machine, its memory included, where the user leaves them open: then they
are no part of the identity, so that another machine finds the run and continues it."""

PLAN = ("batch.token_budget", "optim.eval_every")
"""Of these, the ones that a run keeps when it is continued, since its place in the plan counts by them. It
keeps its precision too, since other numbers would come of another."""


OTHER_TOKENIZER = "tokenizer changed"
"""The one difference of two runs on the same texts and settings where vocabularies are made otherwise."""


def identity(prepared: Prepared) -> Identity:
    """Of a run: resolved settings, contents of the files, the tokenizer."""
    settings, asked = configuration.to_flat(prepared.config), configuration.to_flat(prepared.asked)
    for name in ELSEWHERE:
        del settings[name]
    for name in OF_THE_MACHINE:
        settings[name] = asked[name]
    hashes = {**prepared.source.hashes(), "tokenizer": prepared.tokenizer.sha256}
    if prepared.pretrained:
        hashes["init_from"] = prepared.pretrained.sha256
    return {"settings": settings, "data": hashes}


def digest(found: Mapping[str, Any]) -> str:
    """12 hexadecimal digits of an identity."""
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:12]


def differences(record: Mapping[str, Any], ours: Identity, path: Path) -> list[str]:
    """What sets a run apart from the one that a directory records, in words.

    Args:
        record: run.json.
        ours: of the run that is asked for.
        path: of run.json.

    Raises:
        RunError: if it is not the record of a run.
    """
    theirs, resolved = record.get("identity", {}), record.get("config", {})
    if (
        not isinstance(theirs, dict)
        or not isinstance(resolved, dict)
        or not all(isinstance(theirs.get(part, {}), dict) for part in ours)
    ):
        raise RunError(f"{path}: damaged: not the record of a run; choose another --out")
    found: list[str] = []
    for part in ours:
        old, new = theirs.get(part, {}), ours[part]
        for key in sorted(old.keys() | new.keys()):
            was, is_ = old.get(key), new.get(key)
            if part == "settings" and key in OF_THE_MACHINE and was != is_:
                was = resolved.get(key)  # what it came to
                if is_ is None or key not in new:
                    continue
            if was == is_:
                continue
            found.append(
                f"{key} was {was}, is {is_}" if part == "settings" else f"{key.replace('_', ' ')} changed"
            )
    return found[:5] + ([f"and {len(found) - 5} more"] if len(found) > 5 else [])


def as_begun(prepared: Prepared, record: Mapping[str, Any], warn: Callable[[str], None]) -> Prepared:
    """The same run with the plan, the precision and the order of labels that it began with, where this
    machine or this version would choose otherwise.

    Args:
        prepared: on this machine.
        record: run.json of the run that is continued.
        warn: told of each difference.

    Raises:
        RunError: if the record holds no such settings, or this process cannot compute in that precision.
    """
    here, begun, changes = configuration.to_flat(prepared.config), record.get("config", {}), {}
    for name in OF_THE_MACHINE:
        if name not in begun or begun[name] == here[name]:
            continue
        if name == "runtime.precision":
            changes[name] = _precision(begun[name], prepared.device)
        elif name in PLAN:
            low, high, _ = configuration.RANGES[name]
            if type(begun[name]) is not int or not low <= begun[name] <= high:
                raise RunError(f"run.json: damaged: {name} {shown(begun[name])}; choose another --out")
            changes[name] = begun[name]
        else:
            warn(f"{name} was {begun[name]}, is {here[name]}: the result may not be the same bit for bit")
            continue
        warn(f"{name} stays {begun[name]}, as the run began; this machine would take {here[name]}")
    chosen = tuple(
        Choice(one.name, changes[one.name], "as the run began") if one.name in changes else one
        for one in prepared.choices
    )
    prepared = dataclasses.replace(
        prepared, config=configuration.replace(prepared.config, changes), choices=chosen
    )
    return _with_labels(prepared, record)


def _precision(begun: Any, device: torch.device) -> Precision:
    """The precision that a run began with, if it can go on in it."""
    if not isinstance(begun, str) or begun not in DTYPES:
        raise RunError(f"run.json: damaged: runtime.precision {shown(begun)}; choose another --out")
    try:
        precision, _ = choose_precision(cast(Precision, begun), device)
    except ConfigError as error:
        raise RunError(f"the run began with runtime.precision {begun}, and cannot go on: {error}") from error
    _, fault = sound_precision(precision, device)
    if fault:
        raise RunError(
            f"the run began with runtime.precision {begun}, and cannot go on in this process: {fault}; mend "
            f"that, or --fresh trains in a numbered sibling"
        )
    return precision


def _with_labels(prepared: Prepared, record: Mapping[str, Any]) -> Prepared:
    """The labels in the order that the run's classes have."""
    data = record.get("data")
    begun = data.get("labels") if isinstance(data, dict) else None
    if not prepared.labels or (isinstance(begun, dict) and tuple(begun) == prepared.labels):
        return prepared
    if not isinstance(begun, dict) or not begun:
        raise RunError("run.json: damaged: it has no labels; choose another --out")
    if set(begun) != set(prepared.labels):
        raise RunError(
            "an older version read the labels otherwise, so that this run cannot go on; --fresh trains in a "
            "numbered sibling"
        )
    source = prepared.dataset.with_labels(list(begun))
    train = dataclasses.replace(prepared.train, labels_N=source.train_label_ids)
    val = dataclasses.replace(prepared.val, labels_N=source.val_label_ids)
    return dataclasses.replace(prepared, source=source, train=train, val=val)
