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

from custom_bert import files
from custom_bert.errors import WriteError
from custom_bert.places import Place, cache_places

T = TypeVar("T")

ABANDONED = 24 * 3600.0
"""Seconds after which nobody is still writing an entry."""


class Cache:
    """Places for prepared data, in the order in which they are tried.

    Entries are looked for in all of them, so that a cache which can only be read still serves. A new entry
    goes to the first place that takes it; a place that refused once is not asked again.

    Args:
        places: the directories, best first.
        reasons: why there is no better one; told when something is kept.
        say: told once, in one line, when a place does not serve, and where data is kept instead.
        what: is kept, for that line.
        remedy: how to name another place, for the error.
    """

    def __init__(
        self,
        *places: Place | Path,
        reasons: Sequence[str] = (),
        say: Callable[[str], None] = print,
        what: str = "prepared data",
        remedy: str = "set data.cache_dir",
    ) -> None:
        self._places = [place if isinstance(place, Place) else Place(place) for place in places]
        self._untold, self._faults, self._say = list(reasons), list(reasons), say
        self._what, self._remedy = what, remedy
        self._first = 0  # the place that is written, and its directory once it has been opened
        self._root: Path | None = None
        self._cleared: set[Path] = set()

    @classmethod
    def of(cls, configured: str | None, out: str | None, say: Callable[[str], None]) -> Cache:
        """The cache of a run: in data.cache_dir, or by convention; see `places.cache_places`."""
        places, reasons = cache_places(configured, out)
        return cls(*places, reasons=reasons, say=say)

    def get(self, read: Callable[[Path], T | None], write: Callable[[Path], T]) -> T:
        """What `look` finds, or else what `keep` makes.

        Raises:
            WriteError: if it has to be made, and no place can be written.
        """
        found = self.look(read)
        return self.keep(write) if found is None else found

    def look(self, read: Callable[[Path], T | None]) -> T | None:
        """What `read` finds in the first place that has it, or None.

        Args:
            read: given a place; returns None if the entry is not there, or damaged.
        """
        roots = [place.path for place in self._places if not place.shared or files.is_private(place.path)]
        if self._root is not None and self._root not in roots:
            roots.append(self._root)
        return next((found for root in roots if (found := read(root)) is not None), None)

    def keep(self, write: Callable[[Path], T]) -> T:
        """What `write` returns at the first place that lets it write.

        Args:
            write: given a place, makes an entry in it; called again elsewhere if it raises a WriteError.

        Raises:
            WriteError: if no place can be written.
        """
        while self._first < len(self._places):
            try:
                self._root = self._root or self._opened(self._places[self._first])
                kept = write(self._root)
            except WriteError as error:
                self._first, self._root = self._first + 1, None
                self._untold.append(str(error))
                self._faults.append(str(error))
                continue
            if self._untold:
                self._say(f"cache: {'; '.join(self._untold)}; {self._what} is kept in {self._root}")
                self._untold = []
            return kept
        faults = "; ".join(self._faults)
        raise WriteError(f"cache: {faults}; {self._remedy} to a directory that can be written")

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

    def _opened(self, place: Place) -> Path:
        if place.shared:
            return files.make_private_directory(place.path)
        files.make_directory(place.path)
        return place.path
