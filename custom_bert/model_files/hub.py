"""Where a checkpoint is: a directory, or an id on the Hugging Face Hub, fetched into the standard cache."""

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
"""All that is ever fetched: no code, no pickle."""

HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def locate(name: str, say: Callable[[str], None] = lambda line: None) -> Path:
    """The directory of a checkpoint.

    Args:
        name: a directory, or an id on the hub such as `google-bert/bert-base-uncased`.
        say: told before the hub is asked, and when its files are kept elsewhere than in its cache.

    Raises:
        RunError: if there is neither, the hub cannot be reached and the cache does not have it, or what it
            has is a pickle.
        WriteError: if its files can be kept nowhere.
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
    """The hub's files in its cache; what the cache holds already where the hub cannot be reached."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    own, cache = _cache(say)

    def snapshot(root: Path, *, local_files_only: bool = False) -> Path:
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
        except Exception:  # it is not there, or not whole
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
            found = cache.look(known)
            if found is not None:
                return found
            if isinstance(error, OSError) and error.errno in REFUSED:
                raise WriteError(f"{root}: cannot write: {error.strerror}") from error
            raise RunError(
                f"{name}: no such directory here, not in the hub's cache, and the hub cannot be reached "
                f"({first_line(error)}); download it elsewhere and give its directory"
            ) from error

    return cache.get(lambda root: None, fetch)  # the hub may have something newer


@contextmanager
def _chunks_kept_in(folder: Path) -> Iterator[None]:
    """Within, the hub's library keeps the chunks of files there, unless the user has named a place. By itself
    it keeps them in the home directory, wherever its cache is."""
    if XET in os.environ:
        yield
        return
    os.environ[XET] = str(folder)
    try:
        yield
    finally:
        del os.environ[XET]


XET = "HF_XET_CACHE"
"""huggingface_hub's variable."""

REFUSED = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.ENOTDIR,
)
"""What the system says where a file cannot be written, and never of a network."""


def _cache(say: Callable[[str], None]) -> tuple[Path | None, Cache]:
    """The hub's own cache directory, if there is one, and that or where else fetched files may be kept.

    Without a home directory huggingface_hub would make a directory called `~`.
    """
    from huggingface_hub import constants

    own = None if constants.HF_HUB_CACHE.startswith("~") else Path(constants.HF_HUB_CACHE)
    others = [place for place in cache_places(None, None)[0] if place.shared]
    reasons = [] if own else [f"there is no home directory for {constants.HF_HUB_CACHE}"]
    places = [own] if own else []
    return own, Cache(*places, *others, reasons=reasons, say=say, what="the checkpoint", remedy="set HF_HOME")
