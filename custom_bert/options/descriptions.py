"""Reads from source code what a class and its fields mean: the docstring, and the text beneath each field.

Python does not keep the texts of fields and, with -OO, no docstrings. If a package is installed without its
sources, descriptions are empty.
"""

from __future__ import annotations

import ast
import itertools
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Description:
    """What a class and its fields mean, in plain text with each paragraph on one line.

    Attributes:
        about: the paragraphs of the class's docstring.
        fields: what each field means, by its name. Fields of base classes are included.
    """

    about: tuple[str, ...]
    fields: Mapping[str, str]


def describe(owner: type) -> Description:
    """Returns the description of a class, which has to be defined at the top level of its module."""
    about: tuple[str, ...] = ()
    fields: dict[str, str] = {}
    for one in reversed(owner.__mro__[:-1]):
        body = _bodies(one.__module__).get(one.__name__)
        if body is not None:
            about = tuple(_one_line(part) for part in (ast.get_docstring(body) or "").split("\n\n") if part)
            fields |= _texts_beneath(body)
    return Description(about, fields)


@cache
def _bodies(module: str) -> dict[str, ast.ClassDef]:
    loader = getattr(sys.modules[module].__spec__, "loader", None)
    get_source = getattr(loader, "get_source", None)
    tree = ast.parse((get_source and get_source(module)) or "")
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def _texts_beneath(body: ast.ClassDef) -> dict[str, str]:
    texts = {}
    for field, text in itertools.pairwise(body.body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match text:
                case ast.Expr(value=ast.Constant(value=str(words))):
                    texts[field.target.id] = _one_line(words)
    return texts


def _one_line(text: str) -> str:
    return " ".join(text.split())
