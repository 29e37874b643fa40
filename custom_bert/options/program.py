"""Runs a program: finds the command that was asked for, runs it, and returns an exit code.

Each error is printed as one line. Exit codes are those of `errors.py`, and 130 after Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from custom_bert import terminal
from custom_bert.config import TrainConfig, to_flat
from custom_bert.config_sources import load
from custom_bert.errors import ConfigError, LibraryError, UserError, did_you_mean, shown
from custom_bert.options.option import Command, Group
from custom_bert.options.page import command_page, group_page, width
from custom_bert.options.parsing import Sorted, read_command, sort_words, with_current_names
from custom_bert.process import prepare_process
from custom_bert.terminal import complain, say

LIBRARIES = frozenset(("torch", "safetensors", "sklearn", "scipy", "rich", "huggingface_hub"))
"""Libraries of custom-bert that custom-bert-runtime does without (packaging/runtime)."""


def run_program(group: Group, name: str, argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code.

    Args:
        group: the commands of the program.
        name: the name of the program.
        argv: the words after the name; None for those that this process was given.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    prepare_process()
    runs = False
    try:
        command = _find(group, name, words)
        if isinstance(command, int):
            return command
        runs = True
        with terminal.warnings_printed():
            command.run()
        terminal.flush()
        return 0
    except UserError as error:
        # what is wrong with the arguments, all processes of torchrun find; other errors may be one process's
        if speaks() or (runs and not isinstance(error, ConfigError)):
            for line in str(error).splitlines():
                complain(f"error: {line}")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader went away, as `head` does
        terminal.discard_output()
        return 141  # what a shell reports of a program that SIGPIPE has ended
    except ModuleNotFoundError as error:
        if (missing := (error.name or "").split(".")[0]) not in LIBRARIES:
            raise
        complain(f"error: {name} {words[0]} needs {missing}, which is not installed; pip install custom-bert")
        return LibraryError.exit_code
    except OSError as error:  # a refusal of the system that nothing has turned into a `UserError`
        where = f"{error.filename}: " if error.filename else ""
        complain(f"error: {where}{error.strerror or error}")
        return 74


def speaks() -> bool:
    """Returns whether this process prints what all of torchrun's would print: one on each machine does."""
    return "RANK" not in os.environ or os.environ.get("LOCAL_RANK", "0") == "0"


def say_once(line: str) -> None:
    """Prints a line that all processes of torchrun would print, once on each machine."""
    if speaks():
        say(line)


def _find(group: Group, called: str, words: Sequence[str]) -> Command | int:
    """Returns the command with its values, or an exit code if only help or the version was asked for."""
    if not words or words[0] in ("-h", "--help"):
        say(group_page(group, called, width()))
        return 0 if words else UserError.exit_code
    if group.version and words[0] in ("-V", "--version"):
        say(f"{called} {group.version}")
        return 0
    name, *rest = words
    command = group.commands.get(name)
    if command is None:
        hint = did_you_mean(name, list(group.commands))
        raise UserError(f"unknown command {shown(name)}{hint}; see {called} --help")
    called = f"{called} {name}"
    if isinstance(command, Group):
        return _find(command, called, rest)
    given = sort_words(command, with_current_names(command, rest, say_once))
    if given.help:
        say(command_page(command, called, _defaults(command, given), width()))
        return 0
    return read_command(command, called, given)


def _defaults(command: type[Command], given: Sorted) -> Mapping[str, Any]:
    """Returns the values that settings have without options: those of --config, if it is given."""
    if not command.takes_settings:
        return {}
    files = [words[0] for words in given.options.get("config", []) if words]
    return to_flat(load(files[0] if files else TrainConfig()))
