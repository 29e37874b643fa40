"""Makes commands and their options from the fields of a command's class, and of `TrainConfig`.

An option has the name and the type of its field, and its help is the text beneath the field.
`config_values.coerce` reads the values, so that the command line and a config file refuse the same values in
the same words.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from functools import cache
from types import NoneType
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin

from custom_bert.config import GROUPS, TrainConfig, field_types, to_flat
from custom_bert.config_checks import RANGES
from custom_bert.config_sources import PATHS
from custom_bert.config_values import coerce, from_text, is_table
from custom_bert.errors import UserError, shown
from custom_bert.options.descriptions import describe
from custom_bert.places import expanded


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What the annotation of a command's field says besides the type.

    Attributes:
        word: the word for the value in the help, such as FILE; None for a word that follows from the type.
        positional: whether the value is given by its place instead of a name.
        path: whether the value names a file or directory, in which `~` is the home directory.
        least: the smallest number that is accepted; None for no limit.
    """

    word: str | None = None
    positional: bool = False
    path: bool = False
    least: int | None = None


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option or a positional argument of a command.

    Attributes:
        name: the name of the field, or the dotted name of a setting.
        type: the type of the value, as `config_values.coerce` takes it; `tuple[X, ...]` for several values.
        text: what it means.
        default: the value if it is not given; MISSING if it has to be given.
        setting: whether it is a setting of `TrainConfig`. A setting that is a truth value is written out, as
            True or False; another option that is one is a flag.
        mark: what the annotation says.
    """

    name: str
    type: Any
    text: str
    default: Any = MISSING
    setting: bool = False
    mark: Mark = Mark()

    @property
    def label(self) -> str:
        """Its name in help and messages: `--optim.lr`, or `RUN`."""
        if self.mark.positional:
            return self.mark.word or self.name.upper()
        return f"--{self.name.replace('_', '-')}"

    @property
    def flag(self) -> bool:
        """Whether it is given without a value."""
        return self.type is bool and not self.setting

    @property
    def several(self) -> bool:
        """Whether it takes more than one value."""
        return get_origin(self.type) is tuple

    @property
    def required(self) -> bool:
        """Whether it has to be given."""
        return self.default is MISSING

    @property
    def values(self) -> str:
        """The word or the choices for its value in the help: `NUMBER`, or `cpu | cuda`."""
        if self.flag:
            return ""
        word = "PATH" if self.setting and self.name in PATHS else self.mark.word
        return f"{word or _placeholder(element(self.type))}{' ...' if self.several else ''}"

    def read(self, words: Sequence[str]) -> Any:
        """Returns the value that words on the command line mean.

        Raises:
            UserError: if they are not a value of this option.
        """
        if self.several:
            return tuple(self._read_one(word, element(self.type)) for word in words)
        return self._read_one(words[0], self.type)

    def _read_one(self, word: str, kind: Any) -> Any:
        if word == "None" and _optional(kind):
            return None
        try:
            value = coerce(from_text(word, kind), kind)
        except ValueError as error:
            raise UserError(f"{self.label}: {error}, got {shown(word)}") from error
        if self.mark.least is not None and value < self.mark.least:
            raise UserError(f"{self.label} must be at least {self.mark.least}, got {value}")
        if not self.mark.path:
            return value
        if not value:
            raise UserError(f"{self.label}: expected a path, got {shown(word)}")
        try:
            return expanded(value)
        except ValueError as error:
            raise UserError(f"{value}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Given:
    """What was given on the command line.

    Attributes:
        command: the command, such as `custom-bert bench tune`.
        words: the words after it, with the names of positional arguments in place of their values, so that a
            record of the command has no paths of the machine.
        settings: the settings that were given, by dotted name.
    """

    command: str = ""
    words: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command. Its fields are its options and arguments, and its docstring is its help.

    Attributes:
        takes_settings: whether every setting is an option of the command too. Such a command has a field
            `config`.
        given: what was given on the command line, which the fields alone do not say.
    """

    takes_settings: ClassVar[bool] = False
    given: Given = field(default_factory=Given)

    def run(self) -> None:
        """Runs the command.

        Raises:
            UserError: for a mistake that the user can correct.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Group:
    """Several commands under one name.

    Attributes:
        about: a sentence about them, for the help.
        commands: the commands and groups, by name.
        version: what --version prints; None if there is no such option.
    """

    about: str
    commands: Mapping[str, type[Command] | Group]
    version: str | None = None


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the help: settings that belong together.

    Attributes:
        title: the name of the group of settings, or `run`.
        about: a sentence about them.
        options: the settings, as options.
    """

    title: str
    about: str
    options: tuple[Option, ...]


def options_of(command: type[Command]) -> tuple[Option, ...]:
    """Returns a command's own options and arguments, in the order of its fields."""
    hints, texts = typing.get_type_hints(command, include_extras=True), describe(command).fields
    options = []
    for item in dataclasses.fields(command):
        if item.name == "given":
            continue
        kind, mark = hints[item.name], Mark()
        if get_origin(kind) is Annotated:
            kind, mark = get_args(kind)
        text = texts.get(item.name, "")
        options.append(Option(name=item.name, type=kind, text=text, default=item.default, mark=mark))
    return tuple(options)


@cache
def setting_sections() -> tuple[Section, ...]:
    """Returns every setting as an option: first those of the run as a whole, then the groups."""
    kinds, defaults, hints = field_types(), to_flat(TrainConfig()), typing.get_type_hints(TrainConfig)
    sections = []
    for group in ("", *GROUPS):
        owner = describe(hints[group] if group else TrainConfig)
        options = []
        for name in kinds:
            if name.rpartition(".")[0] == group:
                text = owner.fields.get(name.rpartition(".")[2], "")
                limits = f" {sentence(RANGES[name][2])}" if name in RANGES else ""
                options.append(
                    Option(
                        name=name,
                        type=kinds[name],
                        text=text + limits,
                        default=defaults[name],
                        setting=True,
                    )
                )
        about = " ".join(owner.about) if group else "What is trained, and where it is kept."
        sections.append(Section(title=group or "run", about=about, options=tuple(options)))
    return tuple(sections)


def all_options(command: type[Command]) -> tuple[Option, ...]:
    """Returns a command's own options and, if it takes settings, every setting."""
    settings = setting_sections() if command.takes_settings else ()
    return (*options_of(command), *(option for section in settings for option in section.options))


def in_words(kind: Any) -> str:
    """Returns what values of a type are called: `whole number`, or the choices."""
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        return "list of texts" if element(kind) is str else in_words(element(kind))
    if any(map(is_table, get_args(kind))):
        return f"{in_words(get_args(kind)[0])}, or a table in JSON"
    names = {str: "text", int: "whole number", float: "number", bool: "True or False"}
    return names[kind] if kind in names else in_words(_without_none(kind))


def as_words(value: Any) -> str:
    """Returns a value as it is written on the command line. A text of white space is shown in quotes."""
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return repr(value) if isinstance(value, str) and not value.strip() else str(value)


def sentence(words: str) -> str:
    """Returns the words as a sentence, with a capital and a full stop."""
    return f"{words[0].upper()}{words[1:]}."


def _placeholder(kind: Any) -> str:
    plain = _without_none(kind)
    if any(map(is_table, get_args(plain))):
        return f"{_placeholder(get_args(plain)[0])} | JSON"
    if get_origin(plain) is Literal:
        return " | ".join(map(str, get_args(plain)))
    return {str: "TEXT", int: "INTEGER", float: "NUMBER", bool: "True | False"}[plain]


def element(kind: Any) -> Any:
    """Returns the type of a single value: X for the type of several, `tuple[X, ...]`, and for X itself."""
    return get_args(kind)[0] if get_origin(kind) is tuple else kind


def _optional(kind: Any) -> bool:
    return NoneType in get_args(kind)


def _without_none(kind: Any) -> Any:
    return next(one for one in get_args(kind) if one is not NoneType) if _optional(kind) else kind
