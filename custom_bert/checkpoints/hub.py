"""Where a checkpoint is: a directory, or an id on the Hugging Face Hub, fetched into the standard cache."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from custom_bert.checkpoints.published_files import CONVERT
from custom_bert.errors import RunError, first_line

FILES = (
    "config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "added_tokens.json",
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
        say: told before the hub is asked.

    Raises:
        RunError: if there is neither, the hub cannot be reached and the cache does not have it, or what it
            has is a pickle.
    """
    path = Path(name)
    if path.is_dir():
        return path
    if path.is_absolute() or name.startswith(".") or not HUB_ID.fullmatch(name):
        raise RunError(f"{name}: no such directory, and no id of the form NAME or OWNER/NAME")
    say(f"{name}: no such directory here; asking the Hugging Face Hub")
    directory = _fetched(name)
    if not any(directory.glob("*.safetensors")):
        raise RunError(f"{name}: the hub has no model.safetensors of it; if it has a pickle, {CONVERT}")
    return directory


def _fetched(name: str) -> Path:
    """The hub's files in its cache; what the cache holds already where the hub cannot be reached."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(FILES)))
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise RunError(f"{name}: no such directory here, and no such public checkpoint on the hub") from error
    except HfHubHTTPError as error:
        raise RunError(f"{name}: the hub answers: {first_line(error)}") from error
    except Exception as error:  # offline mode, no network, a proxy: each HTTP library has its own
        try:
            return Path(snapshot_download(name, allow_patterns=list(FILES), local_files_only=True))
        except Exception:
            raise RunError(
                f"{name}: no such directory here, not in the hub's cache, and the hub cannot be reached "
                f"({first_line(error)}); download it elsewhere and give its directory"
            ) from error
