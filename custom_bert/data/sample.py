"""Sample data that every Python contains: sentences from the docstrings of the standard library.

The label of a sentence is the area that its module belongs to. Sources are read with `ast` and never
imported. Words that would give the label away become `NAME`, so that a classifier has to read the prose:
names of modules, and anything with an underscore, an inner dot, inner capitals or parentheses. The result
depends only on the version of Python.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from custom_bert import files
from custom_bert.errors import WriteError

AREAS: dict[str, str] = {
    "networking": "socket socketserver ssl http urllib ftplib telnetlib nntplib xmlrpc ipaddress webbrowser "
    "wsgiref selectors cgi asyncore asynchat uuid",
    "email": "email smtplib smtpd imaplib poplib mailbox mimetypes mailcap",
    "concurrency": "asyncio threading multiprocessing concurrent queue sched subprocess _threading_local",
    "numbers": "_pydecimal fractions numbers statistics random colorsys calendar datetime _pydatetime "
    "zoneinfo _strptime",
    "files": "os posixpath ntpath genericpath pathlib shutil glob fnmatch tempfile fileinput filecmp "
    "stat _pyio zipfile tarfile gzip bz2 lzma dbm wave aifc sunau",
    "windows": "tkinter turtle curses",
    "editor": "idlelib rlcompleter",
    "markup": "xml html json csv configparser plistlib tomllib pickle pickletools shelve base64",
    "testing": "unittest doctest pdb bdb trace cProfile profile pstats timeit traceback warnings",
    "language": "ast inspect dis importlib tokenize typing types enum dataclasses functools "
    "contextlib abc symtable py_compile compileall code codeop pkgutil modulefinder runpy "
    "pydoc ctypes weakref",
    "programs": "logging argparse optparse getopt cmd distutils venv site zipapp platform sysconfig "
    "ensurepip getpass shlex",
    "text": "difflib re textwrap string codecs encodings locale gettext reprlib pprint collections "
    "_collections_abc heapq bisect copy operator",
}
"""Area -> its top-level modules and packages."""

SKIPPED = {"test", "tests", "idle_test", "__pycache__", "site-packages", "lib2to3", "turtledemo"}
"""Folders that are not read: tests, installed packages, and code without documentation."""

WORDS = (6, 60)
"""The smallest and the largest number of words of a sentence."""

LARGEST = 450
"""The largest number of sentences of an area, so that no area outweighs the others."""

VAL_SHARE = 0.15
SAME_START = 8
"""Sentences that agree in this many first words count as duplicates; shorter ones if they agree in all
words."""

_NAME = re.compile(
    r"""
    ``?[^`]+``?                     # quoted code
    | [\w.]*\w\([^()\s]*\)          # calls
    | \w*_\w*                       # snake_case and dunders
    | \w+(?:\.\w+)+                 # dotted names
    | [a-z]*[A-Z][a-z]+[A-Z]\w*     # CamelCase
    | [A-Z]{3,}\w*                  # CONSTANTS
    | ['"][^'"\s]+['"]              # 'quoted' words
    """,
    re.VERBOSE,
)
_NOT_PROSE = re.compile(r"^\s*(>>>|\.\.\.|:\w|@\w|\.\. |[-*=+|#]{2,}|[-*] |\d+[.)] )|::\s*$|\|")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


@dataclass(frozen=True)
class SampleReport:
    """The numbers of examples that were written.

    Attributes:
        train, val: the number of examples of each split.
        labels: the number of examples of each label, in both splits together.
    """

    train: int
    val: int
    labels: dict[str, int]


def write_sample_data(directory: Path) -> SampleReport:
    """Writes the four data files.

    Args:
        directory: the directory to write into. It is made if it does not exist.

    Raises:
        WriteError: if one of the four files exists already, or the system refuses. No file is ever
            overwritten.
    """
    names = [f"{split}_{kind}.txt" for split in ("train", "val") for kind in ("dataset", "labels")]
    for name in names:
        if (directory / name).exists():
            raise WriteError(
                f"{directory / name}: exists already and is not overwritten; choose another directory"
            )
    examples = make_examples()
    train, val = _divide(examples)
    files.make_directory(directory)
    for split, rows in (("train", train), ("val", val)):
        for kind, column in (("dataset", 0), ("labels", 1)):
            lines = "".join(f"{row[column]}\n" for row in rows)
            files.write_text(directory / f"{split}_{kind}.txt", lines, replace=False)
    counts = {area: sum(label == area for _, label in examples) for area in sorted(AREAS)}
    return SampleReport(len(train), len(val), counts)


def make_examples() -> list[tuple[str, str]]:
    """Returns (sentence, area) pairs without near-duplicates, in an order that mixes the areas."""
    area_of = {module: area for area, modules in AREAS.items() for module in modules.split()}
    masks = {word for module in area_of for word in (module, module.strip("_")) if len(word) > 2} - ORDINARY
    seen: set[str] = set()
    by_area: dict[str, list[str]] = {area: [] for area in AREAS}
    for path, module in _sources(area_of):
        for docstring in _docstrings(path):
            for sentence in _sentences(docstring):
                text = _masked(sentence, masks)
                key = _start(text)
                if key not in seen and _is_prose(text):
                    seen.add(key)
                    by_area[area_of[module]].append(text)
    pairs = [
        (text, area) for area, texts in by_area.items() for text in sorted(texts, key=_shuffle_key)[:LARGEST]
    ]
    return sorted(pairs, key=lambda pair: _shuffle_key(pair[0]))


ORDINARY = frozenset(
    [
        "email",
        "queue",
        "types",
        "numbers",
        "string",
        "code",
        "platform",
        "site",
        "copy",
        "trace",
        "profile",
        "test",
        "locale",
        "calendar",
        "random",
        "statistics",
        "fractions",
        "operator",
        "collections",
        "warnings",
        "wave",
        "stat",
        "glob",
        "html",
        "http",
        "json",
        "csv",
        "xml",
    ]
)
"""Names of modules that are ordinary words of documentation. They are not replaced, because a reader would go
by them too."""


def _sources(area_of: dict[str, str]) -> Iterator[tuple[Path, str]]:
    """Yields the source files of the areas' modules, each with the name of its module."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        module = parts[0].removesuffix(".py")
        if module in area_of and not SKIPPED & set(parts):
            yield path, module


def _docstrings(path: Path) -> Iterator[str]:
    """Yields the docstrings of a source file; none if it cannot be parsed, as some templates cannot."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old modules have invalid escapes, which warn
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring:
                yield docstring


def _sentences(docstring: str) -> Iterator[str]:
    """Yields the sentences of paragraphs of prose: not indented, and no doctest, table, list or directive."""
    for paragraph in re.split(r"\n\s*\n", docstring):
        lines = paragraph.split("\n")
        if any(line.startswith((" ", "\t")) or _NOT_PROSE.search(line) for line in lines):
            continue
        text = " ".join(" ".join(lines).split())
        yield from _SENTENCE_END.split(text)


def _masked(sentence: str, masks: set[str]) -> str:
    """Returns a sentence with NAME in the place of code and of the words in `masks`."""
    text = _NAME.sub("NAME", sentence)
    text = re.sub(r"\w+", lambda word: "NAME" if word[0].lower() in masks else word[0], text)
    return re.sub(r"NAME(?:\W+NAME)+", "NAME", text)  # a list of names becomes one


def _is_prose(text: str) -> bool:
    """Returns whether a text looks like a sentence: its length, few symbols and names, capital and full
    stop."""
    words = text.split()
    plain = sum(word.strip(".,;:!?()'\"").isalpha() for word in words)
    masked = sum("NAME" in word for word in words)
    return (
        WORDS[0] <= len(words) <= WORDS[1]
        and plain >= 0.8 * len(words)
        and masked <= 0.3 * len(words)
        and text[0].isupper()
        and text[-1] in ".!?"
    )


def _start(text: str) -> str:
    """Returns the first `SAME_START` words in lower case, by which near-duplicates are recognised."""
    return " ".join(re.sub(r"[^a-z ]", "", text.lower()).split()[:SAME_START])


def _shuffle_key(text: str) -> bytes:
    """Returns a sort key that mixes texts, in the same order on every machine."""
    return hashlib.sha256(text.encode()).digest()


def _divide(examples: list[tuple[str, str]]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Returns training and validation examples; the same share of every area becomes validation examples."""
    train: list[tuple[str, str]] = []
    val: list[tuple[str, str]] = []
    wanted = {area: round(VAL_SHARE * sum(label == area for _, label in examples)) for area in AREAS}
    for text, area in examples:
        if wanted[area]:
            wanted[area] -= 1
            val.append((text, area))
        else:
            train.append((text, area))
    return train, val
