"""Writes docs/configuration.md from the dataclasses: `python -m custom_bert.docs FILE`.

The page cannot drift from the code: a test compares the two.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import sys
import typing
from pathlib import Path

from custom_bert import config as configuration
from custom_bert import files
from custom_bert.config import GROUPS, TrainConfig
from custom_bert.config_sources import ALIASES
from custom_bert.presets import ARCHITECTURE, SIZES, TRAINING


def configuration_page() -> str:
    """The page, in Markdown."""
    lines = [
        "# Configuration",
        "",
        "Made by `make docs` from `custom_bert/config.py` and `custom_bert/presets.py`.",
        "",
        "A setting can stand in `config.py` (nested, as `{'optim': {'lr': 1e-3}}`, or by dotted or plain",
        "name), in a mapping given to `train_model`, or on the command line (`--optim.lr 1e-3`). The command",
        "line counts most, then `--config`, then the preset, then the rules of",
        "`custom_bert/training/choices.py`, each of which prints its reason. `None` means that the preset or",
        "a rule decides.",
        "",
        *_section("Run", TrainConfig, ""),
    ]
    hints = typing.get_type_hints(TrainConfig)
    for group in GROUPS:
        lines += _section(f"`{group}`: {inspect.getdoc(hints[group])}", hints[group], f"{group}.")
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


def _section(title: str, owner: type, prefix: str) -> list[str]:
    lines = [f"## {title}", "", "| setting | type | default | meaning |", "|---|---|---|---|"]
    default, hints, described = owner(), typing.get_type_hints(owner), _descriptions(owner)
    for name, hint in hints.items():
        if name not in GROUPS or prefix:
            value = getattr(default, name)
            shown = f"`{value}`" if value is not None else "None"
            lines.append(_row(f"`{prefix}{name}`", _type(hint), shown, described[name]))
    return [*lines, ""]


def _descriptions(owner: type) -> dict[str, str]:
    """The text beneath each field."""
    tree = ast.parse(inspect.getsource(configuration))
    (body,) = [n.body for n in tree.body if isinstance(n, ast.ClassDef) and n.name == owner.__name__]
    found = {}
    for field, text in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            assert isinstance(text, ast.Expr) or field.target.id in GROUPS
            if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found[field.target.id] = " ".join(str(text.value.value).split())
    return found


def _type(hint: object) -> str:
    options = [o for o in typing.get_args(hint) if o is not type(None)]
    if typing.get_origin(hint) is typing.Literal:
        return ", ".join(map(str, typing.get_args(hint)))
    if typing.get_origin(hint) is tuple:
        return "list of texts"
    if options:
        return _type(options[0])
    return {"str": "text", "int": "whole number", "float": "number", "bool": "True or False"}[
        getattr(hint, "__name__", "")
    ]


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    files.write_text(Path(sys.argv[1]), configuration_page())
