"""What the pages say holds: links lead somewhere, commands are understood, pages match code and records."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from documented import (
    DOCS,
    GETTING_STARTED,
    HOW_TO,
    PAGES,
    README,
    ROOT,
    calls,
    command_lines,
    not_there_yet,
    understood,
)

from custom_bert.config import field_types
from custom_bert.docs import PAGES as MADE

TEXT = README.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", MADE)
def test_reference_pages_are_those_that_the_code_makes(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == MADE[name]()


def test_the_tables_of_the_pages_are_those_of_the_records() -> None:
    assert len(re.findall(r"<!-- end -->", TEXT)) >= 3
    command = [sys.executable, str(ROOT / "benchmarks" / "readme.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_and_named_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", text):
        if target.startswith(("http", "mailto")) or target.rpartition("/")[2] in COMING:
            continue
        there = page.parent / target if target else page
        assert there.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), flags=re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{target}#{anchor}"


COMING = {
    page
    for page, uses in {"tables.md": "--text-column", "scikit-learn.md": "TextClassifier"}.items()
    if not_there_yet(uses)
}
"""Pages that come with what they describe."""


@pytest.mark.parametrize("folder", ["how-to", "reference", "how-it-works", "benchmarks", "."])
def test_the_index_leads_to_every_page(folder: str) -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    for page in (DOCS / folder).glob("*.md"):
        name = page.relative_to(DOCS).as_posix()
        assert name == "README.md" or f"({name})" in index, name


def test_the_readme_is_read_in_five_minutes() -> None:
    assert len(re.findall(r"\S*\w\S*", TEXT)) <= 1020
    assert not re.search(r"\b[CGKS]\d\b", TEXT)


@pytest.mark.parametrize("page", sorted((DOCS / "benchmarks").glob("*.md")), ids=lambda p: p.stem)
def test_no_page_calls_a_target_by_a_number(page: Path) -> None:
    assert not re.search(r"\b[CGKS]\d\b", page.read_text(encoding="utf-8"))


def test_the_glossary_is_in_order_and_leads_to_its_own_words() -> None:
    page = (DOCS / "reference" / "glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"^\*\*(.+?)\.\*\*", page, flags=re.MULTILINE)
    assert words == sorted(set(words), key=str.lower)
    of_an_entry = re.compile("|".join(re.escape(word) for word in words), flags=re.IGNORECASE)
    text = re.sub(r"\*\*.+?\*\*", "", page.split("\n\n", 2)[2])
    assert [word for word in re.findall(r"\*([^*]+)\*", text) if not of_an_entry.match(word)] == []


def test_every_entry_of_the_log_says_what_came_of_it_and_is_in_the_index() -> None:
    index = (DOCS / "log" / "README.md").read_text(encoding="utf-8")
    entries = sorted((DOCS / "log").glob("0*.md"), reverse=True)
    assert re.findall(r"\((0\d+-[a-z0-9-]+\.md)\)", index) == [entry.name for entry in entries]
    for entry in entries:
        title = entry.read_text(encoding="utf-8").splitlines()[0]
        outcome = re.fullmatch(r"# (.+) \((kept|not kept|mixed)\)", title)
        assert outcome, title
        assert f"| {outcome[1]} | {outcome[2]} |" in index


@pytest.mark.parametrize("page", [README, DOCS / "how-to" / "settings-that-matter.md"], ids=lambda p: p.stem)
def test_every_setting_that_a_page_names_exists(page: Path) -> None:
    groups = "data|model|batch|optim|runtime"
    text = page.read_text(encoding="utf-8").replace("-", "_")
    named = set(re.findall(rf"`(?:__)?((?:{groups})\.[a-z_]+)", text))
    assert named and named <= set(field_types())


@pytest.mark.parametrize(
    "page", [README, GETTING_STARTED, DOCS / "troubleshooting.md", *HOW_TO], ids=lambda p: p.stem
)
def test_the_program_understands_every_command_of_a_page(page: Path) -> None:
    for line in command_lines(page):
        if not not_there_yet(line):
            for words in calls(line):
                understood(words)


def test_messages_on_the_page_of_troubleshooting_are_those_of_the_code() -> None:
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    written = [
        "".join(part.value if isinstance(part, ast.Constant) else "\0" for part in node.values)
        if isinstance(node, ast.JoinedStr)
        else str(node.value)
        for path in (ROOT / "custom_bert").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.JoinedStr | ast.Constant)
    ]

    def is_written(words: str) -> bool:
        """Whether it stands in one string, or in two that the code puts one after the other."""
        halves = [(words[:at], words[at:].lstrip()) for at in range(len(words)) if words[at] in " :"]
        return any(words in text for text in written) or any(
            all(any(half in text for text in written) for half in both) for both in halves
        )

    messages = re.findall(r"^### `(.+)`$", page, flags=re.MULTILINE)
    assert len(messages) >= 20
    for message in messages:
        for part in message.split("..."):
            words = part.strip(" ;:()")
            assert is_written(words), message


def test_every_file_in_the_tree_exists() -> None:
    page = (DOCS / "how-it-works" / "architecture.md").read_text(encoding="utf-8")
    (tree,) = re.findall(r"```text\n(config\.py.*?)```", page, flags=re.DOTALL)
    folders: list[str] = []
    for line in tree.splitlines():
        name = line.strip().split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        folders = [*folders[:depth], name]
        assert (ROOT / "/".join(folders)).exists(), line
