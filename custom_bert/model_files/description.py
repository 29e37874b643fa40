"""config.json of a model directory: the architecture, the task, and how texts are read; older formats too.

Reading is strict: unknown and missing keys are refused with one line.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from custom_bert import files
from custom_bert.config import LongTexts, TaskName
from custom_bert.config_values import coerce
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.errors import RunError, did_you_mean, shown
from custom_bert.presets import EncoderConfig, check_encoder
from custom_bert.tasks.registry import TASKS
from custom_bert.tasks.task import Task

FORMAT = "custom-bert/3"
"""The format that is written. Since 2, tokenizers of trained vocabularies split at unknown characters, and
labels that are numbers have ids in the order of the numbers. Since 3, config.json names the task."""

FORMATS = ("custom-bert/1", "custom-bert/2", FORMAT)
"""The formats that are read. An older directory means what it meant when it was written."""

OLDER_TASK: TaskName = "classification"
OLDER_OBJECTIVES: tuple[TaskName, ...] = ("masked_lm",)
"""The formats 1 and 2 name an objective in the place of a task, and only where it is not `OLDER_TASK`."""

LONGEST = 1 << 20
"""The most tokens that max_length may ask for, as in `data.max_length`."""

SINUSOIDAL, POSITIONS = "sinusoidal", "encoder.embeddings.position.weight"
"""The positions that models of older formats could have, and the table that holds the same vectors today."""

OUTER = {"format", "max_length", "encoder"}
"""The keys that every config.json has. `long_texts` is missing in the oldest directories, and `pairs` where a
model reads single texts."""


@dataclass(frozen=True)
class Description:
    """What config.json says about a model.

    Attributes:
        encoder: the architecture.
        task: what the model has learned.
        max_length: the number of tokens that are kept of a text, or of each window; of running text, the
            number of tokens of a sequence.
        long_texts: how a text with more tokens is read.
        pairs: whether it reads pairs of texts (`data.text_pairs`).
        computed: names of the tensors that the directory does not hold, because a formula gives them.
    """

    encoder: EncoderConfig
    task: Task
    max_length: int
    long_texts: LongTexts = "head"
    pairs: bool = False
    computed: frozenset[str] = frozenset()


def write_description(directory: Path, described: Description, tokenizer: TextTokenizer) -> None:
    """Writes everything but the weights: config.json, tokenizer.json, and the files of the task.

    Raises:
        WriteError: if the system refuses.
    """
    task = described.task
    content = {
        "format": FORMAT,
        "task": task.name,
        **task.stored(),
        "max_length": described.max_length,
        "long_texts": described.long_texts,
        **({"pairs": True} if described.pairs else {}),
        "encoder": dataclasses.asdict(described.encoder),
    }
    files.write_json(directory / "config.json", content)
    files.write_text(directory / "tokenizer.json", tokenizer.to_json())
    task.store(directory)


def read_description(directory: Path) -> Description:
    """Reads config.json, and labels.json if the task has labels."""
    path, value = directory / "config.json", files.read_run_json(directory, "config.json", 1 << 20)
    if not isinstance(value, dict) or value.get("format") not in FORMATS:
        raise RunError(f"{path}: not a configuration of the format {' or '.join(FORMATS)}")
    for key in sorted(OUTER - value.keys()):
        raise RunError(f"{path}: the key {key!r} is missing")
    if not isinstance(value["encoder"], dict):
        raise RunError(f"{path}: encoder: expected an object, got {shown(value['encoder'])}")
    kind, key = _task_of(path, value)
    is_sinusoidal = value["encoder"].get("position") == SINUSOIDAL
    encoder = _read_encoder(path, value["encoder"])
    try:
        max_length = coerce(value["max_length"], int)
        long_texts: LongTexts = coerce(value.get("long_texts", "head"), LongTexts)
        pairs = coerce(value.get("pairs", False), bool)
    except ValueError as error:
        raise RunError(f"{path}: {error}") from error
    if not 3 <= max_length <= LONGEST:
        raise RunError(f"{path}: max_length is {max_length}, not between 3 and {LONGEST}")
    task = kind.restored(directory, value)
    known = OUTER | {key, "long_texts", "pairs"} | task.stored().keys()
    for name in sorted(value.keys() - known):
        raise RunError(f"{path}: unknown key {name!r}{did_you_mean(name, sorted(known))}")
    computed = frozenset([POSITIONS]) if is_sinusoidal else frozenset[str]()
    return Description(encoder, task, max_length, long_texts, pairs, computed)


def _task_of(path: Path, value: dict[str, Any]) -> tuple[type[Task], str]:
    """Returns the task that config.json names, and the key that names it."""
    key, names = "task", tuple(TASKS)
    if value["format"] != FORMAT:
        key, names = "objective", OLDER_OBJECTIVES
        if key not in value:
            return TASKS[OLDER_TASK], key
    name = value.get(key)
    if not isinstance(name, str) or name not in names:
        raise RunError(f"{path}: {key} is {shown(name)}; known are {', '.join(names)}")
    return TASKS[name], key


def _read_encoder(path: Path, given: dict[str, Any]) -> EncoderConfig:
    types = get_type_hints(EncoderConfig)
    for key in sorted(given.keys() - types.keys()):
        raise RunError(f"{path}: unknown key {key!r}{did_you_mean(key, list(types))}")
    for key in sorted(types.keys() - given.keys()):
        raise RunError(f"{path}: the key {key!r} is missing")
    is_sinusoidal = given["position"] == SINUSOIDAL
    if is_sinusoidal:
        given = {**given, "position": "learned"}
    try:
        config = EncoderConfig(**{key: coerce(given[key], types[key]) for key in types})
    except ValueError as error:
        raise RunError(f"{path}: {error}") from error
    faults = check_encoder(config)
    if is_sinusoidal and config.hidden_size % 2:
        faults.append(f"model.position sinusoidal needs an even width, got {config.hidden_size}")
    if faults:
        raise RunError(f"{path}: {faults[0]}")
    return config
