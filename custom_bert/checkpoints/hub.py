"""Where a checkpoint is: a directory, or an id on the Hugging Face Hub, fetched into the standard cache."""

from __future__ import annotations

import re
from pathlib import Path

from custom_bert.errors import RunError

FILES = (
    "config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)
"""All that is ever fetched: no code, no pickle."""

HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def locate(name: str) -> Path:
    """The directory of a checkpoint.

    Args:
        name: a directory, or an id on the hub such as `google-bert/bert-base-uncased`.

    Raises:
        RunError: if there is neither, or the hub cannot be reached and the cache does not have it.
    """
    path = Path(name)
    if path.is_dir():
        return path
    if path.is_absolute() or name.startswith(".") or not HUB_ID.fullmatch(name):
        raise RunError(f"{name}: no such directory, and no id of the form NAME or OWNER/NAME")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    try:
        return Path(snapshot_download(name, allow_patterns=list(FILES)))
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise RunError(
            f"{name}: no such directory here, not in the hub's cache, and the hub cannot be reached; "
            f"download it elsewhere and give its directory"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise RunError(f"{name}: no such directory here, and no such public checkpoint on the hub") from error
    except HfHubHTTPError as error:
        raise RunError(f"{name}: the hub answers: {str(error).splitlines()[0]}") from error
    except OSError as error:
        raise RunError(f"{name}: cannot be fetched from the hub: {error}") from error
