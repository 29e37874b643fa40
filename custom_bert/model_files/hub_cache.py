"""Fetches the files of a repository on the Hugging Face Hub into the Hub's cache, and finds them there."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from custom_bert.data.cache import Cache
from custom_bert.errors import RunError, WriteError, first_line
from custom_bert.places import cache_places
from custom_bert.terminal import is_terminal

FILES = (
    "config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "added_tokens.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "1_Pooling/config.json",
)
"""The only files that are fetched. None of them holds code or a pickle."""


def kept(repository: str, revision: str) -> Path | None:
    """Returns the directory of files that were fetched before, without a connection; None if there are none.

    Args:
        repository: the id on the hub.
        revision: the commit, tag or branch; empty for the main branch.
    """
    own, cache = _cache(lambda line: None)
    return cache.look(lambda root: _known(root, own, repository, revision))


def fetched(
    repository: str,
    revision: str,
    say: Callable[[str], None],
    name: str | None = None,
    *,
    anew: bool = False,
    instead: str = "",
) -> Path:
    """Returns the directory of the files in the cache, as the hub has them now.

    Without a connection those that were fetched before are taken.

    Args:
        repository: the id on the hub.
        revision: the commit, tag or branch; empty for the main branch.
        say: is called with a line if the hub's cache cannot keep the files.
        name: what the user asked for, for messages; None for the id.
        anew: whether to download also what the cache has, because it is damaged.
        instead: what else a user without a connection can do, for messages.

    Raises:
        RunError: if the hub does not have it, or it cannot be reached and the cache does not have it either.
        WriteError: if no place can keep the files.
    """
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    name = name or repository
    own, cache = _cache(say)

    def fetch(root: Path) -> Path:
        try:
            with nullcontext() if root == own else _chunks_kept_in(root / "xet"), _quiet():
                return _snapshot(root, own, repository, revision, force_download=anew)
        except (RepositoryNotFoundError, HFValidationError) as error:
            raise RunError(
                f"{name}: no such directory here, and no such public checkpoint on the hub"
            ) from error
        except RevisionNotFoundError as error:
            raise RunError(f"{name}: {repository} has no revision {revision} on the hub") from error
        except HfHubHTTPError as error:
            raise RunError(f"{name}: the hub answers: {first_line(error)}") from error
        except Exception as error:  # offline mode, no network, a proxy: each HTTP library has its own
            before = cache.look(lambda place: _known(place, own, repository, revision))
            if before is not None:
                return before
            if isinstance(error, OSError) and error.errno in REFUSED:
                raise WriteError(f"{root}: cannot write: {error.strerror}") from error
            raise RunError(
                f"{name}: no such directory here, not in the hub's cache, and it cannot be fetched from the "
                f"hub ({_reason(error)}); download it elsewhere and give its directory{instead}"
            ) from error

    return cache.get(lambda root: None, fetch)  # the hub may have something newer


def _reason(error: Exception) -> str:
    """Returns in a line why the hub could not be asked. What is no JSON is no answer of the hub."""
    if isinstance(error, ValueError) and type(error).__name__ == "JSONDecodeError":
        return "something else answers in its place, perhaps a proxy or a page to log in"
    return first_line(error)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the hub's library from printing each attempt, and bars of progress where no line can be
    overwritten. What fails in the end is an error of ours."""
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # it does not say what it exports
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    logger = logging.getLogger("huggingface_hub")
    level, hides_bars = logger.level, not is_terminal() and not are_progress_bars_disabled()
    logger.setLevel(logging.ERROR)
    if hides_bars:
        disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if hides_bars:
            enable_progress_bars()


def _snapshot(
    root: Path,
    own: Path | None,
    repository: str,
    revision: str,
    *,
    local_files_only: bool = False,
    force_download: bool = False,
) -> Path:
    """Returns the directory of a snapshot in one place. The library has an error class for each thing that
    fails."""
    from huggingface_hub import snapshot_download

    # the library's own cache has its layout at the root; our places have it in a folder
    folder = root if root == own else root / "hub"
    return Path(
        snapshot_download(
            repository,
            revision=revision or None,
            allow_patterns=list(FILES),
            cache_dir=folder,
            local_files_only=local_files_only,
            force_download=force_download,
        )
    )


def _known(root: Path, own: Path | None, repository: str, revision: str) -> Path | None:
    """Returns the directory of a snapshot that a place has; None if it has none."""
    try:
        return _snapshot(root, own, repository, revision, local_files_only=True)
    except Exception:  # it is not there; the library has a class for each reason
        return None


@contextmanager
def _chunks_kept_in(folder: Path) -> Iterator[None]:
    """Makes the hub's library keep chunks of files in the folder, unless the user has set a place.

    By default the library keeps them in the home directory, wherever its cache is.
    """
    if XET in os.environ:
        yield
        return
    os.environ[XET] = str(folder)
    try:
        yield
    finally:
        del os.environ[XET]


XET = "HF_XET_CACHE"
"""The environment variable by which huggingface_hub is given that folder."""

REFUSED = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.ENOTDIR,
)
"""Errors of the system that mean that a file cannot be written. None of them means a fault of the network."""


def _cache(say: Callable[[str], None]) -> tuple[Path | None, Cache]:
    """Returns the hub's own cache directory, or None, and all places where fetched files may be kept.

    Without a home directory the hub's own is not used: huggingface_hub would make a directory called `~`.
    """
    from huggingface_hub import constants

    own = None if constants.HF_HUB_CACHE.startswith("~") else Path(constants.HF_HUB_CACHE)
    others = [place for place in cache_places(None, None)[0] if place.shared]
    reasons = [] if own else [f"there is no home directory for {constants.HF_HUB_CACHE}"]
    places = [own] if own else []
    return own, Cache(*places, *others, reasons=reasons, say=say, what="the checkpoint", remedy="set HF_HOME")
