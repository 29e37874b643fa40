"""The identity of a run: its settings and the contents of its files, and how two identities differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from custom_bert import config as configuration
from custom_bert import openmp
from custom_bert.config import Precision, TrainConfig
from custom_bert.config_checks import RANGES
from custom_bert.config_sources import PATHS
from custom_bert.data.source import Source
from custom_bert.errors import ConfigError, RunError, shown
from custom_bert.phrases import as_set
from custom_bert.precision import DTYPES, choose_precision, sound_precision
from custom_bert.rules import choices
from custom_bert.training.plan import Material
from custom_bert.training.prepare import Draft

Identity = dict[str, dict[str, Any]]
"""Two parts: `settings`, the values by dotted name, and `data`, the hashes of what was read by name."""

ELSEWHERE = (
    *PATHS,
    "data.text_column",
    "data.second_text_column",
    "data.label_column",
    "data.split_column",
    "data.encoding",
    "floor",
    "runtime.checkpoint_every",
    "runtime.log_every",
    "runtime.tensorboard",
    "runtime.threads",
)
"""Settings that are no part of the identity, because they change what is learned by rounding at most. The
files that paths lead to count by their content, and the columns of a table by the hash that names them.
`floor` counts by `ensemble`, which is off without it; that counts by the lines that are set aside for it."""

OF_THE_MACHINE = (
    "batch.accumulation",
    "batch.token_budget",
    "optim.eval_every",
    "runtime.compile",
    "runtime.device",
    "runtime.precision",
    "runtime.tf32",
)
"""Settings that a rule decides by the machine and its memory. Where the user leaves them open they are no
part of the identity, so that another machine finds the run and continues it."""

KEPT_WHEN_CONTINUED = ("batch.accumulation", "batch.token_budget", "optim.eval_every")
"""Those settings of the machine that a run keeps when it is continued, because its place in the plan is
counted by them. It also keeps its precision, because another one would give other numbers."""

OTHER_TOKENIZER = "tokenizer changed"
"""The only difference between two runs on the same texts and settings if another version trained the
vocabulary."""


def identity(asked: TrainConfig, config: TrainConfig, material: Material) -> Identity:
    """Returns the identity of a run.

    Args:
        asked: the configuration as the user wrote it.
        config: the configuration with what was decided.
        material: the data, the tokenizer and the pretrained encoder.
    """
    settings, wished = configuration.to_flat(config), configuration.to_flat(asked)
    for name in ELSEWHERE:
        del settings[name]
    for name in OF_THE_MACHINE:
        settings[name] = wished[name]
    # without lines that are set aside for it, an ensemble changes nothing that is learned
    settings["ensemble"] = settings["ensemble"] and material.weighs
    hashes = {**material.source.hashes(), "tokenizer": material.tokenizer.sha256}
    if material.pretrained:
        hashes["init_from"] = material.pretrained.sha256
    return {"settings": settings, "data": hashes}


BEFORE: dict[str, Any] = {
    "batch.accumulation": 1,
    "ensemble": False,
    "optim.head_init": "random",
    "data.long_texts": "head",
}
"""What runs did before a setting existed, for settings whose default does not say it because a rule decides
them. Every other new setting has a default under which runs do what they did."""


def _before(name: str) -> Any:
    """Returns what a run did that does not know a setting, as a value of the setting."""
    return BEFORE.get(name, configuration.to_flat(TrainConfig())[name])


def short_name(identity: Identity) -> str:
    """Returns the name of a run's directory where the user gives none: 12 hexadecimal digits.

    Settings with the value that means what happened before they existed do not count. So a run is found again
    by a version that has more settings.
    """
    settings = {name: value for name, value in identity["settings"].items() if value != _before(name)}
    return digest({**identity, "settings": settings})


def digest(identity: Mapping[str, Any]) -> str:
    """Returns 12 hexadecimal digits that name an identity."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]


def differences(record: Mapping[str, Any], ours: Identity, path: Path) -> list[str]:
    """Returns how a run differs from the one that a directory holds: at most six phrases, none if they are
    the same.

    Args:
        record: the content of run.json.
        ours: the identity of the run that is asked for.
        path: the path of run.json, for messages.

    Raises:
        RunError: if run.json is not the record of a run.
    """
    theirs, resolved = record.get("identity", {}), record.get("config", {})
    if (
        not isinstance(theirs, dict)
        or not isinstance(resolved, dict)
        or not all(isinstance(theirs.get(part, {}), dict) for part in ours)
    ):
        raise RunError(f"{path}: damaged: not the record of a run; choose another --out")
    differing: list[str] = []
    for part in ours:
        old, new = theirs.get(part, {}), ours[part]
        old = of_today(theirs, ours) if part == "settings" else old
        for key in sorted(old.keys() | new.keys()):
            was, is_ = old.get(key), new.get(key)
            if part == "settings" and key in OF_THE_MACHINE and was != is_:
                # one of the two was left open: the value that it came to then is what counts
                was = resolved.get(key)
                if is_ is None or key not in new:
                    continue
            if was == is_:
                continue
            differing.append(
                f"{key} was {as_set(was)}, is {as_set(is_)}"
                if part == "settings"
                else f"{key.replace('_', ' ')} changed"
            )
    return differing[:5] + ([f"and {len(differing) - 5} more"] if len(differing) > 5 else [])


GONE: dict[str, Any] = {"batch.warmup": 0.0, "batch.length_warmup": 0.0, "runtime.compile_mode": "default"}
"""Settings that earlier versions recorded and that no longer exist, with the value that means what happens
now."""


def of_today(record: Mapping[str, Any], ours: Identity) -> dict[str, Any]:
    """Returns the settings of a recorded identity under the names of today, and with all that exist today.

    Args:
        record: the identity in run.json.
        ours: the identity of the run that is asked for.
    """
    settings, data, now = dict(record.get("settings", {})), record.get("data", {}), ours["settings"]
    unknown = {name: _before(name) for name in now if name not in settings}
    if "objective" not in settings:  # the name that `task` had in earlier versions
        return unknown | settings
    settings["task"] = settings.pop("objective")
    held_out = settings.pop("data.held_out", None)
    if "corpus" in data:
        settings |= {"data.val_fraction": held_out, "optim.metric": now["optim.metric"]}
    for name, value in GONE.items():
        if settings.get(name) == value:
            del settings[name]
    width, rate = settings.get("model.hidden_size"), settings.get("optim.pretrain_lr")
    by_rule = (
        choices.pretrain_learning_rate(width, pretrained="init_from" in data) if type(width) is int else None
    )
    if rate is None or (by_rule and rate == by_rule[0]):  # a rate of the user's own stays, as a difference
        settings.pop("optim.pretrain_lr", None)
    return unknown | settings


def keep_as_begun(draft: Draft, record: Mapping[str, Any], warn: Callable[[str], None]) -> None:
    """Gives a plan the batches and the precision that its run began with, where this machine or this version
    would choose otherwise.

    Args:
        draft: the plan on this machine, which is changed.
        record: the content of run.json of the run that is continued.
        warn: prints a warning about each difference.

    Raises:
        RunError: if the record holds no such settings, or this process cannot compute in that precision.
    """
    here, begun, changes = configuration.to_flat(draft.todo.config), record.get("config", {}), {}
    for name in OF_THE_MACHINE:
        if begun.get(name, here[name]) in (here[name], None):
            continue
        if name == "runtime.precision":
            changes[name] = _precision(begun[name], draft)
        elif name in KEPT_WHEN_CONTINUED:
            low, high, _ = RANGES[name]
            if type(begun[name]) is not int or not low <= begun[name] <= high:
                raise RunError(f"run.json: damaged: {name} {shown(begun[name])}; choose another --out")
            changes[name] = begun[name]
        else:
            warn(f"{name} was {begun[name]}, is {here[name]}: the result may not be the same bit for bit")
            continue
        warn(f"{name} stays {begun[name]}, as the run began; this machine would take {here[name]}")
    draft.follow(changes, "as the run began")


def check_labels(source: Source, record: Mapping[str, Any]) -> None:
    """Raises RunError if the classes of a run that is continued are others, or in another order.

    Args:
        source: the data.
        record: the content of run.json of the run.
    """
    data = record.get("data")
    begun = data.get("labels") if isinstance(data, dict) else None
    if not source.labels or (isinstance(begun, dict) and tuple(begun) == source.labels):
        return
    if not isinstance(begun, dict) or not begun:
        raise RunError("run.json: damaged: it has no labels; choose another --out")
    raise RunError(
        "an older version read the labels otherwise, so that this run cannot go on; --fresh trains in a "
        "numbered sibling"
    )


def _precision(begun: Any, draft: Draft) -> Precision:
    """Returns the precision that a run began with. Raises RunError if this process cannot compute in it."""
    device, count = draft.device, draft.todo.config.runtime.threads
    assert count is not None
    if not isinstance(begun, str) or begun not in DTYPES:
        raise RunError(f"run.json: damaged: runtime.precision {shown(begun)}; choose another --out")
    try:
        precision, _ = choose_precision(cast(Precision, begun), device)
    except ConfigError as error:
        raise RunError(f"the run began with runtime.precision {begun}, and cannot go on: {error}") from error
    with openmp.threads_set(count):
        _, fault = sound_precision(precision, device)
    if fault:
        raise RunError(
            f"the run began with runtime.precision {begun}, and cannot go on in this process: {fault}; mend "
            f"that, or --fresh trains in a numbered sibling"
        )
    return precision
