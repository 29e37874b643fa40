"""Sample data that every Python contains: paragraphs from the docstrings of the standard library.

The label of a paragraph is the area that its module belongs to. A paragraph follows the headings that stand
above it in its source, so that a reader can tell the area. Words that would give it away become `NAME`:
the names of the areas and of their modules, and code. All paragraphs of a class are in the same split, so
that validation is on classes and functions that training has not seen. The result depends only on the
version of Python.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from custom_bert import files
from custom_bert.data.docstrings import read_paragraphs
from custom_bert.errors import WriteError

AREAS: dict[str, str] = {
    "calculation": "decimal _pydecimal fractions numbers statistics random colorsys calendar datetime "
    "_pydatetime zoneinfo _strptime",
    "concurrency": "asyncio threading _threading_local multiprocessing concurrent queue sched subprocess",
    "graphics": "tkinter turtle turtledemo idlelib curses",
    "internet": "socket ssl http urllib ftplib xmlrpc ipaddress webbrowser wsgiref "
    "email smtplib imaplib poplib mailbox mimetypes",
    "markup": "xml html",
    "storage": "os posixpath ntpath genericpath pathlib shutil glob fnmatch tempfile fileinput filecmp stat "
    "zipfile tarfile gzip bz2 lzma dbm",
    "testing": "unittest doctest trace cProfile profile pstats timeit traceback tracemalloc",
}
"""Area -> its top-level modules and packages. Modules that newer versions of Python lack are left out."""

GIVE_AWAYS = (
    r"calculat\w*|concurren\w*|graphic\w*|internet\w*|mark-?ups?|stor(?:age|ed?|es|ing)|(?:un)?test\w*|idle"
)
"""Matches the names of the areas in every inflection, and the name of the program that idlelib is."""

WORDS = (14, 90)
"""The smallest and the largest number of words of a text."""

LARGEST = 540
"""The largest number of texts of an area, so that no area outweighs the others."""

VAL_SHARE = 0.25

SAME_START = 8
"""Paragraphs that agree in this many first words count as duplicates; shorter ones if they agree in all
words."""

_CODE = re.compile(
    r"""
    ``?[^`]+``?                     # quoted code
    | [\w.]*\w\([^()\s]*\)          # calls
    | \w*_\w*                       # snake_case and dunders
    | \w+(?:\.\w+)+                 # dotted names
    | [a-z]+[A-Z]\w*                # camelCase
    | [A-Z][a-z]+[A-Z]\w*           # CamelCase
    | ['"][^'"\s]+['"]              # 'quoted' words
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Example:
    """One line of the data files.

    Attributes:
        text: what the line of the texts says.
        area: its label.
        owner: the class or function of the standard library that the text documents.
    """

    text: str
    area: str
    owner: str


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
    train, val = divide(examples)
    files.make_directory(directory)
    for split, rows in (("train", train), ("val", val)):
        for kind, column in (("dataset", [row.text for row in rows]), ("labels", [row.area for row in rows])):
            lines = "".join(f"{line}\n" for line in column)
            files.write_text(directory / f"{split}_{kind}.txt", lines, replace=False)
    counts = {area: sum(row.area == area for row in examples) for area in sorted(AREAS)}
    return SampleReport(len(train), len(val), counts)


def make_examples() -> list[Example]:
    """Returns examples without near-duplicates, in an order that mixes the areas."""
    area_of = {module: area for area, modules in AREAS.items() for module in modules.split()}
    masked = _mask(area_of)
    seen: set[str] = set()
    by_area: dict[str, list[Example]] = {area: [] for area in AREAS}
    for paragraph in read_paragraphs(area_of):
        text = _masked(" ".join([*paragraph.headings, paragraph.text]), masked)
        key = _start(_masked(paragraph.text, masked))
        if key not in seen and _is_prose(text):
            seen.add(key)
            area = area_of[paragraph.module]
            by_area[area].append(Example(text, area, paragraph.owner))
    chosen = [row for rows in by_area.values() for row in sorted(rows, key=_by_text)[:LARGEST]]
    return sorted(chosen, key=_by_text)


def divide(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """Returns training and validation examples.

    What has one owner is on one side. About the same share of every area becomes validation examples, from
    several owners each.
    """
    val_owners: set[str] = set()
    for area in AREAS:
        by_owner: dict[str, int] = defaultdict(int)
        for row in examples:
            by_owner[row.owner] += row.area == area
        left = wanted = round(VAL_SHARE * sum(by_owner.values()))
        for owner in sorted(by_owner, key=_shuffled):
            if 0 < by_owner[owner] <= min(left, wanted // 3):
                left -= by_owner[owner]
                val_owners.add(owner)
    train = [row for row in examples if row.owner not in val_owners]
    return train, [row for row in examples if row.owner in val_owners]


def _mask(modules: Iterable[str]) -> re.Pattern[str]:
    """Returns a pattern that matches the names of areas and of modules as words."""
    names = {name for module in modules for name in (module, module.strip("_"))}
    return re.compile(rf"\b(?:{GIVE_AWAYS}|{'|'.join(sorted(names))})\b", re.IGNORECASE)


def _masked(text: str, mask: re.Pattern[str]) -> str:
    """Returns a text with NAME in the place of code and of what the mask matches. It begins with a capital
    letter."""
    text = mask.sub("NAME", _CODE.sub("NAME", text))
    text = re.sub(r"NAME(?:\W+NAME)+", "NAME", text)  # a list of names becomes one
    return text[:1].upper() + text[1:]


def _is_prose(text: str) -> bool:
    """Returns whether a text can be read: by its length, and with few symbols and names."""
    words = text.split()
    plain = sum(word.strip(".,;:!?()'\"*").isalpha() for word in words)
    names = sum("NAME" in word for word in words)
    return (
        WORDS[0] <= len(words) <= WORDS[1]
        and plain >= 0.75 * len(words)
        and names <= 0.3 * len(words)
        and text[0].isalpha()
    )


def _start(text: str) -> str:
    """Returns the first `SAME_START` words in lower case, by which near-duplicates are recognised."""
    return " ".join(re.sub(r"[^a-z ]", "", text.lower()).split()[:SAME_START])


def _shuffled(text: str) -> bytes:
    """Returns a sort key that mixes texts, in the same order on every machine."""
    return hashlib.sha256(text.encode()).digest()


def _by_text(example: Example) -> bytes:
    return _shuffled(example.text)
