"""A program: finds the command that was asked for, runs it, and ends with an exit code.

Errors are one line each; exit codes are those of `errors.py`, 130 after Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from custom_bert import terminal
from custom_bert.config import TrainConfig, to_flat
from custom_bert.config_sources import load
from custom_bert.errors import ConfigError, UserError, did_you_mean, shown
from custom_bert.options.option import Command, Group
from custom_bert.options.page import command_page, group_page, width
from custom_bert.options.parsing import Sorted, read_command, sort_words
from custom_bert.process import prepare_process
from custom_bert.terminal import complain, say


def run_program(group: Group, name: str, argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code.

    Args:
        group: the commands that there are.
        name: how the program is called.
        argv: the words after its name; None for those that this process was given.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    prepare_process()
    runs = False
    try:
        command = _find(group, name, words)
        if isinstance(command, int):
            return command
        runs = True
        with terminal.warnings_told():
            command.run()
        terminal.flush()
        return 0
    except UserError as error:
        if speaks() or (runs and not isinstance(error, ConfigError)):
            for line in str(error).splitlines():
                complain(f"error: {line}")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader went away, as `head` does
        terminal.discard_output()
        return 141
    except OSError as error:  # wherever the system refuses
        where = f"{error.filename}: " if error.filename else ""
        complain(f"error: {where}{error.strerror or error}")
        return 74


def speaks() -> bool:
    """Whether this process says what all of torchrun's find in the same arguments: the first of a machine."""
    return "RANK" not in os.environ or os.environ.get("LOCAL_RANK", "0") == "0"


def say_once(line: str) -> None:
    """Says what all of torchrun's processes find in the same arguments, once on a machine."""
    if speaks():
        say(line)


def _find(group: Group, called: str, words: Sequence[str]) -> Command | int:
    """The command with its values; an exit code where only help or the version was asked for."""
    if not words or words[0] in ("-h", "--help"):
        say(group_page(group, called, width()))
        return 0 if words else UserError.exit_code
    if group.version and words[0] in ("-V", "--version"):
        say(f"{called} {group.version}")
        return 0
    name, *rest = words
    found = group.commands.get(name)
    if found is None:
        hint = did_you_mean(name, list(group.commands))
        raise UserError(f"unknown command {shown(name)}{hint}; see {called} --help")
    called = f"{called} {name}"
    if isinstance(found, Group):
        return _find(found, called, rest)
    given = sort_words(found, rest)
    if given.help:
        say(command_page(found, called, _defaults(found, given), width()))
        return 0
    return read_command(found, called, given)


def _defaults(command: type[Command], given: Sorted) -> Mapping[str, Any]:
    """The settings without options: those of --config, if it is given."""
    if not command.takes_settings:
        return {}
    files = [words[0] for words in given.options.get("config", []) if words]
    return to_flat(load(files[0] if files else TrainConfig()))
