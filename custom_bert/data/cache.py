"""The cache keeps what was prepared from the user's text between runs, in the first place that can be used.

Everything in it can be made again, so a run never stops because of its cache. An entry that cannot be read is
made again. Where the system refuses to write, the next place is taken, and one line says so.

    tokens/       token ids of labelled texts       (`store.py`)
    tokenizers/   trained vocabularies
    corpus/       pieces of running text            (`pieces.py`)
    checked/      results of checks of files        (`corpus.py`)
    kernels/      fused kernels, compiled           (`training/compile.py`), in the user's own places alone
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
"""Age in seconds from which a temporary file counts as left over from an interrupted write."""


class Cache:
    """The places for prepared data, in the order in which they are tried.

    Each place is first read, and then written if it has no entry. So entries of a place that can only be read
    are used, and a place in reserve is neither read nor written while the one before it can be used.

    Args:
        places: the directories, best first.
        reasons: why there is no better place; reported when a place is used.
        say: prints a line. It is called once for each place that cannot be used, with the place that is used
            instead.
        what: the kind of data that is kept, for that line.
        remedy: the way to name another place, for the error.
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
        self._faults, self._reported, self._say = list(reasons), 0, say
        self._what, self._remedy = what, remedy
        self._refused: set[Place] = set()
        self._opened: dict[Place, Path] = {}
        self._cleared: set[Path] = set()

    @classmethod
    def of(cls, configured: str | None, out: str | None, say: Callable[[str], None]) -> Cache:
        """Returns the cache of a run: in data.cache_dir, or in the usual places (`places.cache_places`)."""
        places, reasons = cache_places(configured, out)
        return cls(*places, reasons=reasons, say=say)

    def get(self, read: Callable[[Path], T | None], write: Callable[[Path], T]) -> T:
        """Returns an entry: the one that a place has, or a new one, from the first place that allows either.

        Args:
            read: takes the directory of a place, and returns the entry in it, or None if there is none or it
                is damaged.
            write: takes the directory of a place, and makes the entry in it. If it raises a WriteError, the
                next place is tried, and this one is never written again.

        Raises:
            WriteError: if no place has the entry, and none can be written.
        """
        for place in self._places:
            root = self._readable(place)
            entry = None if root is None else read(root)
            if entry is None and place not in self._refused:
                try:
                    root = self._writable(place)
                    entry = write(root)
                except WriteError as error:
                    self._refused.add(place)
                    self._faults.append(str(error))
            if entry is not None:
                if self._reported < len(self._faults):
                    faults = "; ".join(self._faults[self._reported :])
                    self._say(f"cache: {faults}; {self._what} is kept in {root}")
                    self._reported = len(self._faults)
                return entry
        faults = "; ".join(self._faults)
        raise WriteError(f"cache: {faults}; {self._remedy} to a directory that can be written")

    def look(self, read: Callable[[Path], T | None]) -> T | None:
        """Returns an entry of the first place that has it, places in reserve included; None if none has
        it."""
        roots = [root for place in self._places if (root := self._readable(place)) is not None]
        return next((entry for root in roots if (entry := read(root)) is not None), None)

    def folder(self, root: Path, name: str) -> Path:
        """Returns a folder of a place, and makes it if it does not exist.

        The first call for a folder also removes what interrupted writes left in it.

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
        """Returns the directory of a place, or None if another user could have put something into it."""
        if place in self._opened:
            return self._opened[place]
        return place.path if not place.shared or files.is_private(place.path) else None

    def _writable(self, place: Place) -> Path:
        """Returns the directory of a place, and makes it if it does not exist."""
        if place not in self._opened and place.shared:
            self._opened[place] = files.make_private_directory(place.path)
        elif place not in self._opened:
            files.make_directory(place.path)
            self._opened[place] = place.path
        return self._opened[place]
