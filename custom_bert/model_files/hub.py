"""Finds a checkpoint: a directory, or an id on the Hugging Face Hub, which is fetched into its cache."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from custom_bert.data.cache import Cache
from custom_bert.errors import RunError, WriteError, first_line
from custom_bert.model_files.published_files import CONVERT
from custom_bert.places import cache_places

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
)
"""The only files that are fetched. None of them holds code or a pickle."""

HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
"""NAME or OWNER/NAME."""


def locate(name: str, say: Callable[[str], None] = lambda line: None) -> Path:
    """Returns the directory of a checkpoint, and fetches it if it is an id.

    Args:
        name: a directory, or an id on the hub such as `google-bert/bert-base-uncased`.
        say: is called with a line before the hub is asked, and if its cache cannot keep the files.

    Raises:
        RunError: if there is neither, if the hub cannot be reached and the cache does not have it, or if the
            weights are a pickle.
        WriteError: if no place can keep the files.
    """
    path = Path(name)
    if path.is_dir():
        return path
    if path.is_absolute() or name.startswith(".") or not HUB_ID.fullmatch(name):
        raise RunError(f"{name}: no such directory, and no id of the form NAME or OWNER/NAME")
    say(f"{name}: no such directory here; asking the Hugging Face Hub")
    directory = _fetched(name, say)
    if not any(directory.glob("*.safetensors")):
        raise RunError(f"{name}: the hub has no model.safetensors of it; if it has a pickle, {CONVERT}")
    return directory


def _fetched(name: str, say: Callable[[str], None]) -> Path:
    """Returns the directory of the files in the cache. Without a connection older ones are taken."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    own, cache = _cache(say)

    def snapshot(root: Path, *, local_files_only: bool = False) -> Path:
        # the library's own cache has its layout at the root; our places have it in a folder
        folder = root if root == own else root / "hub"
        return Path(
            snapshot_download(
                name,
                allow_patterns=list(FILES),
                cache_dir=folder,
                local_files_only=local_files_only,
            )
        )

    def known(root: Path) -> Path | None:
        try:
            return snapshot(root, local_files_only=True)
        except Exception:  # it is not there or not complete; the library has a class for each case
            return None

    def fetch(root: Path) -> Path:
        try:
            with nullcontext() if root == own else _chunks_kept_in(root / "xet"):
                return snapshot(root)
        except (RepositoryNotFoundError, HFValidationError) as error:
            raise RunError(
                f"{name}: no such directory here, and no such public checkpoint on the hub"
            ) from error
        except HfHubHTTPError as error:
            raise RunError(f"{name}: the hub answers: {first_line(error)}") from error
        except Exception as error:  # offline mode, no network, a proxy: each HTTP library has its own
            kept = cache.look(known)
            if kept is not None:
                return kept
            if isinstance(error, OSError) and error.errno in REFUSED:
                raise WriteError(f"{root}: cannot write: {error.strerror}") from error
            raise RunError(
                f"{name}: no such directory here, not in the hub's cache, and the hub cannot be reached "
                f"({first_line(error)}); download it elsewhere and give its directory"
            ) from error

    return cache.get(lambda root: None, fetch)  # the hub may have something newer


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
