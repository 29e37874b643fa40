"""Writes the reference pages from the code: `python -m custom_bert.docs FOLDER`.

A test compares the pages with the code, so that they cannot differ.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import custom_bert
from custom_bert import errors, files
from custom_bert.cli import COMMANDS
from custom_bert.config import TrainConfig
from custom_bert.config_sources import ALIASES
from custom_bert.errors import UserError
from custom_bert.options.descriptions import describe
from custom_bert.options.option import (
    Command,
    Group,
    Option,
    Section,
    as_words,
    in_words,
    options_of,
    setting_sections,
)
from custom_bert.options.page import usage
from custom_bert.presets import ARCHITECTURE, SIZES, TRAINING


def configuration_page() -> str:
    """Returns docs/reference/configuration.md: every setting, the presets, the sizes, and the older names."""
    lines = [
        "# Configuration",
        "",
        "Made by `make docs` from `custom_bert/config.py` and `custom_bert/presets.py`.",
        "",
        "A setting is given in `config.py`, in a mapping for `train_model`, or on the command line",
        "(`--optim.lr 1e-3`; True and False are written out). In a file or mapping its name may be nested,",
        "as in `{'optim': {'lr': 1e-3}}`, dotted, or plain. The command line overrides `--config`.",
        "",
        "`None` means that a setting is left open. It is then decided by the pretrained encoder of",
        "`model.init_from`, by the task (`masked_lm` has a recipe of its own), by the preset, or by the",
        "rules of `custom_bert/rules/choices.py`, in this order. `--verbose` and `custom-bert info` show",
        "every decision with its reason.",
        "",
    ]
    for section in setting_sections():
        lines += _section(section)
    lines += ["## Presets", "", "| setting | legacy | custom | modern |", "|---|---|---|---|"]
    names = list(ARCHITECTURE["legacy"])
    for name in names:
        lines.append(_row(f"`{name}`", *(f"{ARCHITECTURE[p][name]}" for p in ARCHITECTURE)))
    for name in sorted({name for values in TRAINING.values() for name in values}):
        lines.append(_row(f"`{name}`", *(f"{TRAINING[p].get(name, 'by rule')}" for p in TRAINING)))
    lines += ["", "## Sizes", "", "| size | hidden_size | num_hidden_layers |", "|---|---|---|"]
    lines += [_row(name, str(width), str(depth)) for name, (width, depth) in SIZES.items()]
    lines += ["", "## Older names", "", "Accepted with a note: " + ", ".join(
        f"`{old}` ({new})" for old, new in sorted(ALIASES.items())
    ) + "."]  # fmt: skip
    return "\n".join(lines) + "\n"


def _section(section: Section) -> list[str]:
    title = "Run" if section.title == "run" else f"`{section.title}`: {section.about}"
    lines = [f"## {title}", "", "| setting | type | default | meaning |", "|---|---|---|---|"]
    for option in section.options:
        default = f"`{as_words(option.default)}`" if option.default is not None else "None"
        lines.append(_row(f"`{option.name}`", in_words(option.type), default, option.text))
    return [*lines, ""]


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def commands_page() -> str:
    """Returns docs/reference/commands.md: every command with its options, and the exit codes."""
    lines = ["# Commands", "", "Made by `make docs` from the classes in `custom_bert/commands`.", ""]
    for name, command in COMMANDS.items():
        lines += _command(f"custom-bert {name}", command)
    lines += ["## Exit codes", "", "| code | when |", "|---|---|"]
    lines += [_row(str(code), when) for code, when in EXIT_CODES]
    return "\n".join(lines) + "\n"


EXIT_CODES = (
    (0, "done"),
    (1, "one of several processes ends because another one has failed, which printed the reason"),
    (
        UserError.exit_code,
        "a mistake in the arguments or settings, or a loss that is not finite: lower `optim.lr`",
    ),
    (errors.DataError.exit_code, "data files that cannot be used"),
    (
        errors.RunError.exit_code,
        "a run directory, checkpoint or encoder that is missing, damaged or not the expected one",
    ),
    (errors.LibraryError.exit_code, "a library is needed that is not installed"),
    (errors.WriteError.exit_code, "the system refuses to write, or to read"),
    (errors.WorkerError.exit_code, "a process that labels has died; the same command goes on"),
    (130, "Ctrl-C: a run can be continued"),
    (141, "the reader of the output went away, as `head` does"),
    (143, "SIGTERM: a run can be continued"),
)


def _command(called: str, command: type[Command] | Group) -> list[str]:
    """Returns the section of a command: how it is called, what it does, and its options.

    The section of a group has a section for each of its commands.
    """
    title = f"##{'#' * (called.count(' ') - 1)} {called}"
    if isinstance(command, Group):
        lines = [title, "", command.about, ""]
        for name, one in command.commands.items():
            lines += _command(f"{called} {name}", one)
        return lines
    about = [_text(paragraph) for paragraph in describe(command).about]
    lines = [title, "", f"`{usage(command, called)}`", "", "\n\n".join(about)]
    if command.takes_settings:
        lines += ["", "Every setting of [configuration.md](configuration.md) is an option too."]
    lines += ["", "| argument | meaning |", "|---|---|"]
    own = sorted(options_of(command), key=lambda option: not option.mark.positional)
    return [*lines, *map(_argument, own), ""]


def _argument(option: Option) -> str:
    values = "" if option.flag or option.mark.positional else f" {option.mark.word or in_words(option.type)}"
    unsaid = option.mark.positional or option.required or option.flag or option.default in (None, ())
    default = "" if unsaid else f" Default: {as_words(option.default)}."
    return _row(f"`{option.label}`{values}", _text(option.text + default))


def _text(words: str) -> str:
    return words.replace("<", "&lt;")


def python_page() -> str:
    """Returns docs/reference/python.md: what `import custom_bert` offers, from the docstrings."""
    lines = [
        "# From Python",
        "",
        "Made by `make docs` from the docstrings of what `custom_bert` exports. `TrainConfig` holds the",
        "settings of [configuration.md](configuration.md). A mistake that the user can correct is raised",
        "as a `UserError` of `custom_bert.errors` with one line for each fault: `ConfigError`, `DataError`,",
        "`RunError` or `WriteError`.",
        "",
        "```python",
        "from custom_bert import Classifier, train_model",
        "",
        'files = {"data.train_texts": "texts.txt", "data.train_labels": "labels.txt"}',
        'result = train_model({**files, "out": "runs/mine"})',
        "print(result.accuracy, result.macro_f1)",
        'probabilities = Classifier.load(result.directory).predict_proba(["text one", "text two"])',
        "```",
        "",
        "`TextClassifier` is the same as an estimator of scikit-learn, on texts in memory. It learns in a",
        "temporary directory and keeps its model in memory; [this page](../how-to/scikit-learn.md) shows how",
        "it is used.",
        "",
        "```python",
        "from custom_bert import TextClassifier",
        "",
        "model = TextClassifier(max_minutes=5).fit(texts, labels)",
        'labels = model.predict(["text one", "text two"])',
        "```",
        "",
        "What a caller should know about results is a `CustomBertWarning` of `custom_bert.errors`: text that",
        "the vocabulary does not know, bf16 that would be wrong in this process, or threads lost by a fork.",
        "",
        "**Forks.** A process may load a model and then fork (`gunicorn --preload`, `multiprocessing` with",
        "`fork`), since loading starts no threads. A child that is forked after the process has predicted",
        "or trained has lost its threads, as in every program that computes with OpenMP. The child computes",
        "with one thread and warns of it. If other code has computed with torch in the parent, this cannot",
        "be known, and the child may hang. Then load and use the model in one process, or start processes",
        "by `spawn`.",
        "",
    ]
    from custom_bert.metrics import ClassScores, Scores

    public: list[Any] = [getattr(custom_bert, name) for name in custom_bert.__all__ if name[0] != "_"]
    for item in dict.fromkeys([*public, Scores, ClassScores]):
        if item is TrainConfig:
            continue
        if inspect.isclass(item):
            lines += [f"## {item.__name__}", "", *_docstring(item)]
            for name, member in vars(item).items():
                function = getattr(member, "__func__", member)
                if name[0] != "_" and inspect.isfunction(function):
                    lines += [f"### {item.__name__}.{_signature(function)}", "", *_docstring(function)]
        else:
            lines += [f"## {_signature(item)}", "", *_docstring(item)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _signature(function: Callable[..., Any]) -> str:
    signature, shown = inspect.signature(function), []
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in shown:
            shown.append("*")
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        if parameter.name not in ("self", "cls"):
            shown.append(f"{parameter.name}: {parameter.annotation}{default}")
    return f"{function.__name__}({', '.join(shown)}) -> {signature.return_annotation}"


def _docstring(item: Any) -> list[str]:
    """Returns a docstring in Markdown, with the entries of its sections as lists."""
    lines: list[str] = []
    for line in (inspect.getdoc(item) or "").splitlines():
        if re.fullmatch(r"(Args|Attributes|Returns|Raises):", line):
            lines += [f"{line[:-1]}:", ""]
        elif entry := re.fullmatch(r"    (\w+(?:, \w+)*): (.*)", line):
            lines.append(f"- `{entry[1]}`: {entry[2]}")
        else:
            lines.append(f"  {line.strip()}" if line.startswith(" " * 8) else line.strip())
    return [*lines, ""]


PAGES: dict[str, Callable[[], str]] = {
    "reference/configuration.md": configuration_page,
    "reference/commands.md": commands_page,
    "reference/python.md": python_page,
}
"""The pages that are generated, by the paths of their files in docs/."""


if __name__ == "__main__":
    for name, page in PAGES.items():
        files.write_text(Path(sys.argv[1]) / name, page())
