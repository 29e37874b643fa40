"""Turns the words of a command line into a command. argparse sorts the words, and the options read them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from custom_bert.config_sources import ALIASES, REMOVED, meant
from custom_bert.errors import UserError, nearest, shown
from custom_bert.options.option import Command, Given, Option, all_options, element, in_words

DASHED = "\0"
"""Is put before a word such as -5 while argparse sorts. No command line can hold this character.

Our options begin with two dashes. argparse takes words with one dash for options too, except some numbers.
Some of its versions also drop the value of --option=--, so such a value is marked as well."""


@dataclass(frozen=True, kw_only=True)
class Sorted:
    """The words of a command line, sorted but not yet read.

    Attributes:
        options: for the name of each option that was given, a list of the words after it for each time that
            it was given; a flag has no words.
        arguments: the words that belong to no option.
        unknown: the words that look like options, and are none.
        help: whether the help is asked for.
    """

    options: dict[str, list[list[str]]]
    arguments: list[str]
    unknown: list[str]
    help: bool


def with_current_names(
    command: type[Command], words: Sequence[str], note: Callable[[str], None]
) -> tuple[str, ...]:
    """Returns the words of a command line with today's names in place of older names of settings.

    Args:
        command: the class of the command. Only one that takes settings has older names.
        words: the words. A word that begins with two dashes is the name of an option, except after a lone --.
        note: called with one line for each older name.
    """
    if not command.takes_settings:
        return tuple(words)
    current, end = list(words), words.index("--") if "--" in words else len(words)
    for i, word in enumerate(words[:end]):
        name, equals, value = word.partition("=")
        setting = ALIASES.get(name[2:].replace("-", "_")) if name.startswith("--") else None
        if setting:
            label = f"--{setting.replace('_', '-')}"
            note(f"{name} is read as {label}")
            current[i] = f"{label}{equals}{value}"
    return tuple(current)


def sort_words(command: type[Command], words: Sequence[str]) -> Sorted:
    """Finds out which words belong to which option.

    A value that begins with two dashes is written --option=--value. After a lone -- there are only arguments.

    Raises:
        UserError: if a flag is given a value.
    """
    end = words.index("--") if "--" in words else len(words)
    try:
        parsed, rest = _parser(command).parse_known_args([_marked(word) for word in words[:end]])
    except argparse.ArgumentError as error:
        # the parser knows no types and no required options, so this is the only error that it can raise
        raise UserError(f"{error.argument_name} takes no value; leave it out") from error
    given: dict[str, Any] = vars(parsed)
    asked = given.pop("help", 0)
    options: dict[str, list[list[str]]] = {}
    for name, times in given.items():
        if isinstance(times, int):
            options[name] = [[]] * times
        else:
            each = [one if isinstance(one, list) else [] if one is None else [one] for one in times]
            options[name] = [[_unmarked(word) for word in one] for one in each]
    is_unknown = [word.startswith(("--", DASHED)) for word in rest]
    return Sorted(
        options=options,
        arguments=[word for word, unknown in zip(rest, is_unknown, strict=True) if not unknown]
        + list(words[end + 1 :]),
        unknown=[_unmarked(word) for word, unknown in zip(rest, is_unknown, strict=True) if unknown],
        help=bool(asked),
    )


def _parser(command: type[Command]) -> argparse.ArgumentParser:
    """Returns a parser that knows the names of options, and how many words follow each.

    It leaves positional arguments over. `read_command` checks everything, in words of its own.
    """
    parser = argparse.ArgumentParser(
        add_help=False, allow_abbrev=False, exit_on_error=False, argument_default=argparse.SUPPRESS
    )
    parser.add_argument("-h", "--help", action="count")
    for option in all_options(command):
        if not option.mark.positional:
            names = dict.fromkeys((option.label, f"--{option.name}"))  # --max-minutes and --max_minutes
            if option.flag:
                parser.add_argument(*names, dest=option.name, action="count")
            else:
                count = "*" if option.several else "?"
                parser.add_argument(*names, dest=option.name, action="append", nargs=count)
    return parser


def _marked(word: str) -> str:
    name, equals, value = word.partition("=")
    if equals and value == "--" and name.startswith("--"):
        return f"{name}={DASHED}--"
    one_dash = word.startswith("-") and not word.startswith("--") and word not in ("-", "-h")
    return DASHED + word if one_dash else word


def _unmarked(word: str) -> str:
    return word.removeprefix(DASHED) if word.startswith(f"{DASHED}-") else word


def read_command(command: type[Command], called: str, given: Sorted) -> Command:
    """Returns the command with the values that were given.

    Args:
        command: the class of the command.
        called: how the command is called, such as `custom-bert train`.
        given: the words that were given.

    Raises:
        UserError: for the first thing that cannot be used.
    """
    if given.unknown:
        name = given.unknown[0].partition("=")[0]
        readable = name if name.isprintable() else shown(name)
        gone = REMOVED.get(name.removeprefix("--").replace("-", "_")) if command.takes_settings else None
        if gone:
            raise UserError(f"{readable} no longer exists: {gone}; leave it out")
        raise UserError(f"unknown option {readable}{_hint(command, name)}; see {called} --help")
    options = all_options(command)
    words = {**_by_place(options, called, given.arguments), **_once(options, given)}
    for option in options:
        if option.required and option.name not in words:
            first = option.text.partition(". ")[0].rstrip(".")
            about = f" ({first[0].lower()}{first[1:]})" if first else ""
            raise UserError(f"{option.label} is missing{about}; see {called} --help")
    by_name = {option.name: option for option in options}
    values = {name: True if by_name[name].flag else by_name[name].read(own) for name, own in words.items()}
    settings = {name: value for name, value in values.items() if by_name[name].setting}
    written: list[str] = []
    for name, own in words.items():
        written += [by_name[name].label, *(() if by_name[name].mark.positional else own)]
    return command(
        given=Given(command=called, words=tuple(written), settings=settings),
        **{name: value for name, value in values.items() if name not in settings},
    )


def _by_place(options: Sequence[Option], called: str, arguments: Sequence[str]) -> dict[str, list[str]]:
    """Returns the words of each positional argument that was given."""
    rest, words = list(arguments), dict[str, list[str]]()
    places = [option for option in options if option.mark.positional]
    for option in places:
        if rest:
            count = len(rest) if option.several else 1
            words[option.name], rest = rest[:count], rest[count:]
    if rest:
        takes = " and ".join(option.label for option in places) or "no arguments"
        raise UserError(f"unexpected argument {shown(rest[0])}; {called} takes {takes}; see {called} --help")
    return words


def _once(options: Sequence[Option], given: Sorted) -> dict[str, list[str]]:
    """Returns the words of each option that was given, in the order on the command line."""
    by_name = {option.name: option for option in options}
    words = {}
    for name, times in given.options.items():
        option = by_name[name]
        if len(times) > 1:
            raise UserError(f"{option.label} is given {len(times)} times; give one")
        if not times[0] and not option.flag:
            raise UserError(f"{option.label} needs a value: {_wanted(option)}")
        words[name] = times[0]
    return words


def _wanted(option: Option) -> str:
    kind = in_words(element(option.type))
    if " | " in option.values:
        return kind if kind == "True or False" else f"one of {kind}"
    if "number" in kind:
        return f"a {kind}"
    return f"{kind}; what begins with -- is written {option.label}=VALUE"


def _hint(command: type[Command], given: str) -> str:
    """Returns which option was probably meant: the setting of a plain or older name, or the nearest name."""
    name = given.lstrip("-").replace("-", "_")
    options = [option for option in all_options(command) if not option.mark.positional]
    labels = {option.name: option.label for option in options}
    candidates = meant(name) if command.takes_settings else []
    if not candidates:
        plain = [option.name.rpartition(".")[2] for option in options if option.setting]
        near = nearest(name, [*labels, *plain])
        candidates = [near] if near in labels else meant(near) if near else []
    return f" (did you mean {' or '.join(labels[one] for one in candidates)}?)" if candidates else ""
