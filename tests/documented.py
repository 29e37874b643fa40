"""What the pages show: their code blocks, and the commands in these."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import custom_bert
from custom_bert.cli import PROGRAM
from custom_bert.errors import UserError
from custom_bert.options.option import Command, Group
from custom_bert.options.parsing import read_command, sort_words

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted(DOCS.rglob("*.md")),
    *sorted((ROOT / "benchmarks" / "results").glob("**/README.md")),
]
README = PAGES[0]
GETTING_STARTED = DOCS / "getting-started.md"
HOW_TO = sorted((DOCS / "how-to").glob("*.md"))
OF_ITS_OWN = ("tables.md", "scikit-learn.md", "other-tools.md")
"""How-to pages whose blocks build on each other and on data of their own. They are tried elsewhere."""
CALLED = re.compile(r"\b(?:custom-bert|-m custom_bert) ([a-z][^|<>;)\n]*)")


def blocks(language: str, page: Path) -> list[str]:
    """The code blocks of a page in a language, also those inside a list."""
    found = re.findall(
        rf"^( *)```{language}\n(.*?)^ *```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.M
    )
    return [re.sub(rf"^{indent}", "", block, flags=re.M) for indent, block in found]


def command_lines(page: Path) -> list[str]:
    """The command lines of a page, without what is said beside them; a line that goes on is one."""
    lines = [line for block in blocks("sh", page) for line in re.sub(r"\\\n\s*", " ", block).splitlines()]
    return [re.sub(r"\s+#.*$", "", line) for line in lines if line.strip()]


def calls(line: str) -> list[list[str]]:
    """The words after `custom-bert` in a line, for each time that it calls the program by fixed words."""
    found = [_words(call) for call in CALLED.findall(line)]
    return [words for words in found if not any("$" in word for word in words)]


def _words(call: str) -> list[str]:
    """The words as a shell reads them; of prose with a lone quotation mark, what is between spaces."""
    try:
        return shlex.split(call)
    except ValueError:
        return call.replace('"', "").split()


def understood(words: list[str]) -> None:
    """Reads a call as the program does, without running it.

    Raises:
        UserError: if the program refuses it.
    """
    command: type[Command] | Group = PROGRAM
    called, rest = "custom-bert", words
    while isinstance(command, Group):
        called, command, rest = f"{called} {rest[0]}", command.commands[rest[0]], rest[1:]
    read_command(command, called, sort_words(command, rest))


def not_there_yet(text: str) -> str:
    """What a line or a block uses that this version does not have; empty if it has everything.

    Pages may come before what they describe. As soon as it is there, nothing is left out any more.
    """
    if "TextClassifier" in text and "TextClassifier" not in custom_bert.__all__:
        return "custom_bert.TextClassifier"
    if "--text-column" in text or ".csv" in text:
        try:
            understood(["train", "x.csv", "--text-column", "x", "--label-column", "y"])
        except UserError:
            return "train --text-column"
    return ""
