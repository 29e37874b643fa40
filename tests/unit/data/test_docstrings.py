"""Paragraphs of docstrings: with the headings above them, prose only, and one owner for what is alike."""

from pathlib import Path

import pytest

from custom_bert.data import docstrings
from custom_bert.data.docstrings import Paragraph, read_paragraphs

SOURCE = '''"""A module about clocks.

It tells the time.

    indented = code

>>> a_doctest()
"""

class Wall:
    """A clock that hangs on a wall. It has
    two hands."""

    def wind(self):
        """Winds it up.

        Once a week
        is enough.
        """

    def set(self): "Sets the hands."
    def stop(self): "Stops it."

class Pocket:
    def wind(self): "Winds it by its crown."
    def set(self): "Sets it by its crown."
    def stop(self): "Stops it by its crown."

class Sun:
    def set(self): "Turns the dial."

def now(): "The time"
'''


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "clocks.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "broken.py").write_text("def", encoding="utf-8")
    (tmp_path / "other.py").write_text('"""Another module."""', encoding="utf-8")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "tests").mkdir()
    (tmp_path / "broken" / "tests" / "case.py").write_text('"""A test."""', encoding="utf-8")
    monkeypatch.setattr(docstrings.sysconfig, "get_path", lambda name: str(tmp_path))
    return tmp_path


def found() -> list[Paragraph]:
    return list(read_paragraphs({"clocks", "broken"}))


def test_paragraphs_are_prose_and_follow_the_headings_above_them(library: Path) -> None:
    texts = {one.text: one.headings for one in found()}
    assert texts["It tells the time."] == ("A module about clocks.",)
    assert texts["A clock that hangs on a wall. It has two hands."] == ()
    assert texts["Once a week is enough."] == ("A clock that hangs on a wall.", "Winds it up.")
    assert texts["Turns the dial."] == () and texts["The time"] == ()
    assert not [text for text in texts if "code" in text or "doctest" in text]


def test_only_the_modules_that_are_asked_for_are_read_and_no_tests_of_theirs(library: Path) -> None:
    assert {one.module for one in found()} == {"clocks"}


def test_a_class_has_one_owner_and_so_have_classes_that_document_the_same_methods(library: Path) -> None:
    owners = {one.text: one.owner for one in found()}
    assert owners["Sets the hands."] == owners["Once a week is enough."] == "clocks.py:Wall"
    assert owners["Sets it by its crown."] == "clocks.py:Wall"  # three methods of the same names
    assert owners["Turns the dial."] == "clocks.py:Sun" and owners["The time"] == "clocks.py:now"
    assert owners["It tells the time."] == "clocks.py:"
