"""Writes the help of a command, as wide as the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from custom_bert.options.descriptions import describe
from custom_bert.options.option import (
    Command,
    Group,
    Option,
    as_words,
    options_of,
    setting_sections,
)
from custom_bert.terminal import columns as terminal_columns

NARROWEST, WIDEST = 40, 100
"""The least and the largest number of columns. Longer lines are hard to read, and shorter ones cannot hold
the names of settings."""

READABLE = 34
"""The least number of columns for descriptions beside the names. With fewer they are beneath the names."""

UNBROKEN = "\xa0"
"""A space at which no line is broken, which holds `default:` and the value together."""

ABOUT_SETTINGS = (
    "Each setting of a config file is an option too. True and False are written out, and None undoes what "
    "--config sets. Where the default is None, the preset, the data or the machine decides. --verbose prints "
    "what was decided, and why."
)


def width() -> int:
    """Returns the number of columns of the help: the terminal's, within `NARROWEST` and `WIDEST`."""
    return terminal_columns(NARROWEST, WIDEST)


def command_page(command: type[Command], called: str, defaults: Mapping[str, Any], columns: int) -> str:
    """Returns the help of a command.

    Args:
        command: the class of the command.
        called: how the command is called, such as `custom-bert train`.
        defaults: the values that settings have without options, by dotted name.
        columns: the largest number of columns of a line.
    """
    own = options_of(command)
    arguments = [option for option in own if option.mark.positional]
    options = [option for option in own if not option.mark.positional]
    parts = [_fill(f"usage: {usage(command, called)}", columns, hanging=7)]
    parts += [_fill(paragraph, columns) for paragraph in describe(command).about]
    if arguments:
        parts.append(_table("arguments", [(option.label, option.text) for option in arguments], columns))
    rows = [(_head(option), _with_default(option, option.default)) for option in options]
    parts.append(_table("options", [*rows, ("-h, --help", "Print this help.")], columns))
    if command.takes_settings:
        parts.append(_fill(ABOUT_SETTINGS, columns))
        for section in setting_sections():
            rows = [
                (_head(option), _with_default(option, defaults[option.name])) for option in section.options
            ]
            title = _fill(f"{section.title} settings: {section.about}", columns, hanging=2)
            parts.append(f"{title}\n{_beneath(rows, columns)}")
    return "\n\n".join(parts)


def usage(command: type[Command], called: str) -> str:
    """Returns how a command is called, with its arguments and the options that have to be given."""
    own = options_of(command)
    arguments = [_place(option) for option in own if option.mark.positional]
    required = [_head(option) for option in own if option.required and not option.mark.positional]
    others = command.takes_settings or len(own) > len(arguments) + len(required)
    return " ".join([called, *arguments, *required, *(["[options]"] if others else [])])


def group_page(group: Group, called: str, columns: int) -> str:
    """Returns the help of a group: its commands, each with the first paragraph of its help."""
    rows = [
        (name, one.about if isinstance(one, Group) else " ".join(describe(one).about[:1]))
        for name, one in group.commands.items()
    ]
    options = [("-h, --help", "Print this help, or after a command the help of that command.")]
    if group.version:
        options.append(("-V, --version", "Print the version."))
    first = _fill(f"usage: {called} COMMAND ...", columns, hanging=7)
    tables = [_table("commands", rows, columns), _table("options", options, columns)]
    return "\n\n".join([first, _fill(group.about, columns), *tables])


def _place(option: Option) -> str:
    shown = option.label + (" ..." if option.several else "")
    return shown if option.required else f"[{shown}]"


def _head(option: Option) -> str:
    return f"{option.label} {option.values}".rstrip()


def _with_default(option: Option, default: Any) -> str:
    """Returns the description with the default, which is left out where it only means "not given"."""
    if option.required:
        return f"{option.text} (required)"
    if not option.setting and (default is None or option.flag):
        return option.text
    shown = as_words(default) if default != () else "empty"
    return f"{option.text} (default:{UNBROKEN}{shown})".lstrip()


def _table(title: str, rows: Sequence[tuple[str, str]], columns: int) -> str:
    """Returns names with their descriptions beside them, or beneath them if the lines are too short."""
    left = max(len(head) for head, _ in rows) + 4
    if columns - left < READABLE:
        return f"{title}:\n{_beneath(rows, columns)}"
    lines = []
    for head, text in rows:
        first, indent = f"  {head}".ljust(left), " " * left
        lines.append(_wrap(text, columns, first, indent))
    return "\n".join([f"{title}:", *lines])


def _beneath(rows: Iterable[tuple[str, str]], columns: int) -> str:
    return "\n".join(
        f"{_wrap(head, columns, '  ', '      ')}\n{_wrap(text, columns, '      ', '      ')}".rstrip()
        for head, text in rows
    )


def _fill(text: str, columns: int, hanging: int = 0) -> str:
    return _wrap(text, columns, "", " " * hanging)


def _wrap(text: str, columns: int, first: str, rest: str) -> str:
    if not text:
        return first.rstrip()
    lines = textwrap.fill(text, columns, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
    return lines.replace(UNBROKEN, " ")
