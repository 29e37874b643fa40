"""Decides what training starts from: a pretrained encoder that the user names, the default one, or none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

from custom_bert.config import SCRATCH, TrainConfig
from custom_bert.data.source import Source
from custom_bert.data.text_sample import spread
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.errors import ConfigError, RunError, UserError
from custom_bert.files import read_run_json
from custom_bert.model_files.catalogue import DEFAULT, Checkpoint, catalogue
from custom_bert.model_files.hub import Found, at_hand, find
from custom_bert.model_files.pretrained import Pretrained, load_pretrained
from custom_bert.rules.decisions import Decisions
from custom_bert.rules.language import CHARACTERS, SAMPLE, Cutting, not_of_its_language, writing
from custom_bert.tasks.task import Task

OPEN = ("init_from", "hidden_dropout", "attention_dropout", "pooling")
"""Fields of ModelConfig that a user may set for a pretrained encoder, since no tensor depends on them."""


class Begun(TypedDict):
    """What a run that is continued began from.

    Attributes:
        init_from: the name of the start; None in runs of versions that had no default start.
        sha256: the hash of the pretrained weights; None if it began from scratch.
    """

    init_from: str | None
    sha256: str | None


def begun(directory: Path) -> Begun | None:
    """Returns what the run in a directory began from; None if there is no run that can be read, which is
    told later."""
    try:
        record = read_run_json(directory, "run.json")
        name, digest = record["config"].get("model.init_from"), record["identity"]["data"].get("init_from")
    except (UserError, OSError, AttributeError, LookupError, TypeError):
        return None
    if not all(value is None or isinstance(value, str) for value in (name, digest)):
        return None
    return Begun(init_from=name, sha256=digest)


def named_start(todo: Decisions, task: type[Task], say: Callable[[str], None]) -> Pretrained | None:
    """Reads the pretrained encoder that the user names, and checks the settings against it.

    Args:
        todo: the decisions.
        task: the task, whose head is kept if the checkpoint has it.
        say: prints a line about what was converted or left behind.

    Returns:
        The pretrained encoder; None if the user names none or wants random weights.

    Raises:
        ConfigError: if settings contradict the encoder, or need one and there is none.
        RunError: if the encoder cannot be read.
    """
    if todo.asked.model.init_from == SCRATCH:
        _need_nothing_pretrained(todo.asked)
    if not todo.asked.model.is_pretrained:
        return None
    name = str(todo.asked.model.init_from)
    found = find(name, say)
    pretrained = load_pretrained(found.directory, task, source=name, origin=found.origin)
    for note in pretrained.notes:
        say(f"{pretrained.source}: {note}")
    faults = _faults(todo.asked, pretrained)
    if faults:
        raise ConfigError(faults)
    return pretrained


def default_start(
    todo: Decisions, task: type[Task], source: Source, begun: Begun | None, say: Callable[[str], None]
) -> Pretrained | None:
    """Decides what training starts from if the user leaves that open, and reads it.

    The default is a pretrained encoder if it is on this machine, no setting asks for another architecture,
    and the texts read as its language. A run that is continued keeps what it began from.

    Args:
        todo: the decisions, to which this one is added with its reason.
        task: the task.
        source: the data.
        begun: what the run began from, if it is continued.
        say: prints a line about what a user can do.

    Returns:
        The pretrained encoder; None for random weights.

    Raises:
        ConfigError: if settings need a pretrained encoder and there is none.
        RunError: if the run began from weights that are not on this machine.
    """
    checkpoint = catalogue()[DEFAULT]
    reason = "" if task.pretrained_by_default else f"task {task.name} pretrains an encoder of its own"
    reason = reason or contradiction(todo.asked, checkpoint)
    pretrained = None
    if not reason and begun is not None and begun["init_from"] in (None, SCRATCH, *catalogue()):
        pretrained, reason = _as_begun(begun, task)
    elif not reason:
        pretrained, reason = _by_rule(checkpoint, task, source, say)
    todo.set("model.init_from", pretrained.source if pretrained else SCRATCH, reason)
    if pretrained is None:
        _need_nothing_pretrained(todo.asked, f" ({reason})")
    elif faults := _faults(todo.asked, pretrained):
        raise ConfigError(faults)
    return pretrained


def contradiction(asked: TrainConfig, checkpoint: Checkpoint) -> str:
    """Returns which setting asks for something that a checkpoint does not have; empty if none does."""
    has = checkpoint.architecture
    if asked.preset != "custom":
        return f"preset {asked.preset} has its own architecture"
    for item in dataclasses.fields(asked.model):
        wanted = getattr(asked.model, item.name)
        if wanted is not None and item.name not in OPEN and wanted != has.get(item.name):
            return f"model.{item.name} {wanted} is asked for"
    if asked.data.tokenizer:
        return "data.tokenizer names a vocabulary"
    if not asked.data.lowercase and checkpoint.lowercase:
        return f"data.lowercase is False, and {checkpoint.name} does not see capitals"
    if asked.optim.embedding_init not in (None, "checkpoint"):
        return f"optim.embedding_init {asked.optim.embedding_init} is asked for"
    length, limit = asked.data.max_length, has["max_position_embeddings"]
    if length is not None and length > limit:
        return f"data.max_length {length:,} is asked for, and {checkpoint.name} has {limit} positions"
    return ""


def _by_rule(
    checkpoint: Checkpoint, task: type[Task], source: Source, say: Callable[[str], None]
) -> tuple[Pretrained | None, str]:
    """Takes the checkpoint if it is at hand and the texts read as its language; returns it and the reason."""
    texts = [text[:CHARACTERS] for text in spread(source.text().blocks(), SAMPLE)]
    written = writing(texts)
    other, measured = not_of_its_language(written, None)
    if other:
        return None, f"the texts do not read as {checkpoint.language} ({measured})"
    found = at_hand(checkpoint, say)
    pretrained = None if found is None else _loaded(found, task, say)
    if pretrained is None:
        say(
            f"{checkpoint.name} is not on this machine: custom-bert fetch {checkpoint.name} brings it "
            f"({checkpoint.megabytes} MB, {checkpoint.license}), and {checkpoint.language} texts are usually "
            f"learned better from it than from scratch"
        )
        return None, f"{checkpoint.name} is not on this machine"
    other, measured = not_of_its_language(written, cutting(texts, pretrained.tokenizer))
    if other:
        return None, f"the texts do not read as {checkpoint.language} ({measured})"
    return pretrained, f"the texts read as {checkpoint.language} ({measured})"


def cutting(texts: list[str], tokenizer: TextTokenizer) -> Cutting:
    """Returns how the vocabulary of a checkpoint cuts texts of at most `CHARACTERS` characters."""
    # in a vocabulary of bytes, a character may be four tokens
    encoded = tokenizer.encode(texts, 4 * CHARACTERS + tokenizer.frame.size)
    return Cutting(
        characters=int(encoded.characters_N.sum()),
        unknown=int(encoded.unknown_N.sum()),
        pieces=int(encoded.lengths_N.sum()) - len(texts) * tokenizer.frame.size,
    )


def _loaded(found: Found, task: type[Task], say: Callable[[str], None]) -> Pretrained | None:
    """Reads a checkpoint that nobody named. If it cannot be read, a line says so, and the run goes on."""
    try:
        return load_pretrained(found.directory, task, source=found.origin.name, origin=found.origin)
    except UserError as error:
        say(f"{found.origin.name}, {found.origin.place}: {error}; it is not used")
        return None


def _as_begun(begun: Begun, task: type[Task]) -> tuple[Pretrained | None, str]:
    """Returns what a run began from. Raises RunError if these weights are not on this machine."""
    if begun["sha256"] is None:
        return None, "as the run began"
    name, said = str(begun["init_from"]), list[str]()
    found = at_hand(catalogue()[name], said.append)
    pretrained = None if found is None else _loaded(found, task, said.append)
    if pretrained is not None and pretrained.sha256 == begun["sha256"]:
        return pretrained, "as the run began"
    why = f" ({'; '.join(said)})" if said else ""
    raise RunError(
        f"this run began from {name}, weights with the SHA-256 hash {begun['sha256']}, which are not on this "
        f"machine{why}; custom-bert fetch {name} brings them, or --fresh trains in a numbered sibling"
    )


def _need_nothing_pretrained(config: TrainConfig, why: str = "") -> None:
    """Raises ConfigError if settings need a pretrained encoder."""
    if config.optim.embedding_init == "checkpoint":
        raise ConfigError([f"config: optim.embedding_init: checkpoint needs model.init_from{why}"])
    if config.optim.freeze_layers:
        raise ConfigError(
            [f"config: optim.freeze_layers: nothing is trained yet{why}; name a model.init_from"]
        )


def _faults(config: TrainConfig, pretrained: Pretrained) -> list[str]:
    """Returns what settings contradict a pretrained encoder, one line each."""
    encoder, faults = pretrained.encoder, []
    for item in dataclasses.fields(config.model):
        wanted = getattr(config.model, item.name)
        if wanted is None or item.name in OPEN:
            continue
        has: Any = getattr(encoder, item.name, None)
        if wanted != has:
            what = f"has {has}" if item.name != "size" else "has its own"
            faults.append(
                f"config: model.{item.name} {wanted}: {pretrained.source} {what}, and a trained architecture "
                f"cannot be changed; leave it out"
            )
    if config.data.tokenizer:
        faults.append(f"config: data.tokenizer: {pretrained.source} brings its own; leave it out")
    if config.optim.embedding_init not in (None, "checkpoint"):
        faults.append("config: optim.embedding_init: model.init_from brings token vectors; leave it out")
    length, limit = config.data.max_length, encoder.max_position_embeddings
    if length is not None and length > limit:
        faults.append(
            f"config: data.max_length {length}: {pretrained.source} has {limit} positions; lower it, or take "
            f"a checkpoint with more"
        )
    if (config.optim.freeze_layers or 0) > encoder.num_hidden_layers:
        faults.append(
            f"config: optim.freeze_layers {config.optim.freeze_layers}: {pretrained.source} has "
            f"{encoder.num_hidden_layers} layers"
        )
    return faults
