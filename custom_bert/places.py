"""Where a user's files are: the home directory, `~` in paths, and places for prepared data.

Standard library only. A process may have no home directory: in a container that runs under an arbitrary user
number, HOME is often not set, and the system's list of users does not know that number.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

NAME = "custom-bert"


def home_directory() -> Path | None:
    """The user's home directory, from HOME or the list of users; None if neither gives an absolute path."""
    return _absolute(os.environ.get("HOME")) or _home_of(None)


def _home_of(user: str | None) -> Path | None:
    """The home of a user in the system's list of users; None means the user who runs this process."""
    try:
        entry = pwd.getpwuid(os.getuid()) if user is None else pwd.getpwnam(user)
    except (KeyError, ValueError):  # ValueError: a null byte in the name
        return None
    return _absolute(entry.pw_dir)


def _absolute(path: str | None) -> Path | None:
    """The path, or None if it is empty or relative, since that would depend on the working directory."""
    return Path(path) if path and os.path.isabs(path) else None


def expanded(path: str) -> str:
    """The path with a leading `~` or `~user` replaced by that home directory.

    Raises:
        ValueError: if there is no such home. Going on would make a directory called `~`.
    """
    if not path.startswith("~"):
        return path
    first, slash, rest = path.partition("/")
    user = first[1:]
    home = _home_of(user) if user else home_directory()
    if home is not None:
        return f"{home}{slash}{rest}" if rest else str(home)
    if user and os.path.lexists(path):  # a name that happens to begin with ~, such as an editor's backup
        return path
    if user:
        raise ValueError(f"there is no user {user!r}; give the whole path, or ./{path} if that is its name")
    raise ValueError("there is no home directory that ~ could stand for; set HOME, or give the whole path")


@dataclass(frozen=True)
class Place:
    """A directory in which prepared data may be kept.

    Attributes:
        path: the directory, which may not exist yet.
        shared: whether its parent is a directory that every user may write into, such as /tmp.
    """

    path: Path
    shared: bool = False


def cache_places(configured: str | None, out: str | None) -> tuple[list[Place], list[str]]:
    """The places where prepared data may be kept, best first, and the reasons why better places are missing.

    The first place is the configured one. Next comes the user's cache directory by the XDG Base Directory
    Specification, which says that a relative XDG_CACHE_HOME is ignored. Then come the system's directories
    for temporary files, and last a directory beside the run.

    Args:
        configured: the setting data.cache_dir.
        out: the run directory.
    """
    reasons: list[str] = []
    own = [Path(configured)] if configured else []
    xdg, home = _absolute(os.environ.get("XDG_CACHE_HOME")), home_directory()
    own += [xdg / NAME] if xdg else []
    own += [home / ".cache" / NAME] if home else []
    if not own:
        reasons.append("there is no home directory")
    places = [Place(path) for path in own]
    temporary = (_absolute(os.environ.get("TMPDIR")), Path("/tmp"), Path("/var/tmp"))
    places += [Place(path / f"{NAME}-{os.geteuid()}", shared=True) for path in temporary if path]
    places.append(Place(Path(out or "runs/run").absolute().parent / f"{NAME}-cache"))
    return list(dict.fromkeys(places)), reasons
