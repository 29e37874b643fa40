"""The cache: what was prepared from the user's text, kept between runs in the first place that serves.

Whatever stands there can be made again, so a cache is never a reason to stop: what cannot be read is made
anew, and where the system refuses to write, the next place is taken, and one line says so.

    tokens/       token ids of labelled texts       (`store.py`)
    tokenizers/   trained vocabularies
    corpus/       pieces of running text            (`pieces.py`)
    checked/      what checks of files found        (`corpus.py`)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from custom_bert import files, terminal
from custom_bert.errors import WriteError
from custom_bert.places import Place, cache_places

T = TypeVar("T")

ABANDONED = 24 * 3600.0
"""Seconds after which nobody is still writing an entry."""


class Cache:
    """Places for prepared data, in the order in which they are tried.

    Each place is asked for an entry, and if it has none, to take a new one. So a cache that can only be read
    serves what it has, and a place in reserve is neither read nor written while the one before it serves.

    Args:
        places: the directories, best first.
        reasons: why there is no better one; told when a place is used.
        say: told once, in one line, when a place does not serve, and where data is kept instead.
        what: is kept, for that line.
        remedy: how to name another place, for the error.
    """

    def __init__(
        self,
        *places: Place | Path,
        reasons: Sequence[str] = (),
        say: Callable[[str], None] = terminal.say,
        what: str = "prepared data",
        remedy: str = "set data.cache_dir",
    ) -> None:
        self._places = [place if isinstance(place, Place) else Place(place) for place in places]
        self._faults, self._told, self._say = list(reasons), 0, say
        self._what, self._remedy = what, remedy
        self._refused: set[Place] = set()
        self._opened: dict[Place, Path] = {}
        self._cleared: set[Path] = set()

    @classmethod
    def of(cls, configured: str | None, out: str | None, say: Callable[[str], None]) -> Cache:
        """The cache of a run: in data.cache_dir, or by convention; see `places.cache_places`."""
        places, reasons = cache_places(configured, out)
        return cls(*places, reasons=reasons, say=say)

    def get(self, read: Callable[[Path], T | None], write: Callable[[Path], T]) -> T:
        """An entry: of the first place that has it, or else made in the first that lets it be written.

        Args:
            read: given a place; returns None if the entry is not there, or damaged.
            write: given a place, makes the entry in it; called again elsewhere if it raises a WriteError. A
                place that refused once is not asked to take anything again.

        Raises:
            WriteError: if the entry is nowhere, and no place can be written.
        """
        for place in self._places:
            root = self._readable(place)
            found = None if root is None else read(root)
            if found is None and place not in self._refused:
                try:
                    root = self._writable(place)
                    found = write(root)
                except WriteError as error:
                    self._refused.add(place)
                    self._faults.append(str(error))
            if found is not None:
                if self._told < len(self._faults):
                    faults = "; ".join(self._faults[self._told :])
                    self._say(f"cache: {faults}; {self._what} is kept in {root}")
                    self._told = len(self._faults)
                return found
        faults = "; ".join(self._faults)
        raise WriteError(f"cache: {faults}; {self._remedy} to a directory that can be written")

    def look(self, read: Callable[[Path], T | None]) -> T | None:
        """What `read` finds in the first place that has it, those in reserve included; or None."""
        roots = [root for place in self._places if (root := self._readable(place)) is not None]
        return next((found for root in roots if (found := read(root)) is not None), None)

    def folder(self, root: Path, name: str) -> Path:
        """A folder of a place, made if it is not there, and freed once of what interrupted writes left.

        Raises:
            WriteError: if the system refuses.
        """
        path = root / name
        files.make_directory(path)
        if path not in self._cleared:
            self._cleared.add(path)
            files.remove_litter(path, older_than=ABANDONED)
        return path

    def _readable(self, place: Place) -> Path | None:
        """The directory of a place, or None if somebody else may have put something there."""
        if place in self._opened:
            return self._opened[place]
        return place.path if not place.shared or files.is_private(place.path) else None

    def _writable(self, place: Place) -> Path:
        """The directory of a place, made if it is not there."""
        if place not in self._opened and place.shared:
            self._opened[place] = files.make_private_directory(place.path)
        elif place not in self._opened:
            files.make_directory(place.path)
            self._opened[place] = place.path
        return self._opened[place]
