"""The paragraphs of prose in the docstrings of Python's standard library.

Sources are parsed with `ast` and never imported. What is found depends only on the version of Python.
"""

from __future__ import annotations

import ast
import re
import sysconfig
import warnings
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

SKIPPED = {"test", "tests", "idle_test", "__pycache__", "site-packages", "lib2to3"}
"""Folders that are not read: tests, installed packages, and code without documentation."""

ALIKE = 3
"""Classes of one file that document this many methods of the same names are taken for one: their docstrings
say nearly the same."""

_NOT_PROSE = re.compile(r"^\s*(>>>|\.\.\.|:\w|@\w|\.\. |[-*=+|#]{2,}|[-*] |\d+[.)] )|::\s*$|\|")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of a docstring, and what a reader needs to understand it.

    Attributes:
        module: the top-level module or package that it belongs to.
        owner: the source file and the outermost class or function in it. Classes that are alike have one
            owner.
        headings: the first sentence of the docstring of the class around, and the first sentence of its own
            docstring. Each is left out where there is none, and where the paragraph itself begins with it.
        text: the paragraph, in one line.
    """

    module: str
    owner: str
    headings: tuple[str, ...]
    text: str


def read_paragraphs(modules: Collection[str]) -> Iterator[Paragraph]:
    """Yields the paragraphs of the docstrings of some modules, in the order of their files."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root)
        module = place.parts[0].removesuffix(".py")
        if module in modules and not SKIPPED & set(place.parts):
            found = list(_docstrings(_parsed(path), (), ""))
            owner_of = _owners(names for names, _, _ in found)
            for names, above, docstring in found:
                owner = f"{place.as_posix()}:{owner_of.get(names[0], names[0]) if names else ''}"
                for headings, text in _paragraphs(docstring):
                    yield Paragraph(module, owner, tuple(filter(None, (above, *headings))), text)


def _parsed(path: Path) -> ast.Module:
    """Returns the tree of a source file; an empty one if it cannot be parsed, as some templates cannot."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old modules have invalid escapes, which warn
            return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return ast.Module([], [])


def _docstrings(
    node: ast.AST, names: tuple[str, ...], above: str
) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Yields each docstring of a node and of what it contains, with the names of the classes and functions
    down to it, and with the heading of the class around it."""
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        docstring = ast.get_docstring(node)
        if docstring:
            yield names, above, docstring
        above = _heading(docstring or "") if isinstance(node, ast.ClassDef) else ""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _docstrings(child, (*names, child.name), above)
        else:
            yield from _docstrings(child, names, above)


def _owners(documented: Iterable[tuple[str, ...]]) -> dict[str, str]:
    """Returns for each outermost class of a file the first of the classes that are alike, itself included."""
    methods: dict[str, set[str]] = {}
    for names in documented:
        if len(names) > 1:
            methods.setdefault(names[0], set()).add(names[-1])
    owner_of = {name: name for name in methods}
    for first, second in combinations(methods, 2):
        if len(methods[first] & methods[second]) >= ALIKE:
            kept, given_up = owner_of[first], owner_of[second]
            owner_of = {name: kept if owner == given_up else owner for name, owner in owner_of.items()}
    return owner_of


def _heading(docstring: str) -> str:
    """Returns the first sentence of a docstring, with a full stop; nothing if it is no prose."""
    lines = docstring.split("\n\n", 1)[0].split("\n")
    if any(_NOT_PROSE.search(line) for line in lines):
        return ""
    sentence = _SENTENCE_END.split(" ".join(" ".join(lines).split()), maxsplit=1)[0]
    return sentence if sentence[-1:] in ".!?:;," else f"{sentence}."


def _paragraphs(docstring: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yields the paragraphs of prose, each with the heading above it: not indented, and no doctest, table,
    list or directive."""
    for index, paragraph in enumerate(re.split(r"\n\s*\n", docstring)):
        lines = paragraph.split("\n")
        if not any(line.startswith((" ", "\t")) or _NOT_PROSE.search(line) for line in lines):
            yield (_heading(docstring),) if index else (), " ".join(paragraph.split())
