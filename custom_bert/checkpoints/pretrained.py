"""A published checkpoint as the start of training: a directory in Hugging Face's layout, or a run of ours.

    config.json
    model.safetensors, or shards with model.safetensors.index.json
    tokenizer.json, or vocab.txt, or vocab.json and merges.txt

Loading is data only: safetensors and JSON, regular files inside the directory, every tensor accounted for.
What published checkpoints carry beyond a classifier's encoder is dropped by name and listed; anything else
that is left over or missing is refused, and so is an architecture that we do not compute.
"""

from __future__ import annotations

import fnmatch
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from torch import Tensor

from custom_bert.checkpoints.families import FAMILIES
from custom_bert.checkpoints.native import FORMAT, check_size, load_checkpoint
from custom_bert.checkpoints.published_files import WEIGHTS, read, read_json, read_weights
from custom_bert.checkpoints.published_tokenizer import read_tokenizer
from custom_bert.checkpoints.tables import Family, Keys, correspondence, from_hugging_face
from custom_bert.config import coerce
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.errors import RunError
from custom_bert.models.outline import outline
from custom_bert.presets import EncoderConfig, check_encoder

HARMLESS = frozenset(
    (
        *("architectures", "model_type", "transformers_version", "torch_dtype", "dtype", "_name_or_path"),
        *("initializer_range", "use_cache", "gradient_checkpointing", "tie_word_embeddings"),
        *("id2label", "label2id", "num_labels", "problem_type", "classifier_dropout"),
        *("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"),
    )
)
"""Keys of config.json that say nothing about an encoder's computation; not worth a line."""


@dataclass(frozen=True)
class Pretrained:
    """An encoder that somebody has trained.

    Attributes:
        source: where it came from.
        encoder: the architecture.
        state: tensors by our names, fp32: the encoder's, and of the head what it had.
        tokenizer: its tokenizer.
        notes: what was ignored, renamed, converted or dropped, a line each.
        sha256: of the weights as they were read.
    """

    source: str
    encoder: EncoderConfig
    state: dict[str, Tensor]
    tokenizer: TextTokenizer
    notes: tuple[str, ...]
    sha256: str


def load_pretrained(directory: Path, *, source: str | None = None) -> Pretrained:
    """Reads a checkpoint directory.

    Args:
        directory: the files.
        source: what to call it; None for the directory's path.

    Raises:
        RunError: if something is missing, damaged, left over, or beyond what we compute; one line.
    """
    source = source or str(directory)
    if not directory.is_dir():
        raise RunError(f"{directory}: no such directory")
    values = read_json(directory, "config.json")
    if values.get("format") == FORMAT:
        return _own(directory, source)
    if values.get("auto_map"):
        raise RunError(
            f"{directory / 'config.json'}: auto_map names code that comes with the checkpoint and computes "
            f"something of its own; code is never run"
        )
    family = FAMILIES.get(str(values.get("model_type")))
    if family is None:
        raise RunError(
            f"{directory / 'config.json'}: model_type is {values.get('model_type')!r}; "
            f"known are {', '.join(FAMILIES)}"
        )
    keys = Keys(values)
    try:
        encoder = _encoder(family.read(keys))
    except ValueError as error:
        raise RunError(f"{directory / 'config.json'}: {family.model_type}: {error}") from error
    tensors, digest = read_weights(directory)
    check_size(directory, encoder, 1, sum(t.numel() * t.element_size() for t in tensors.values()))
    notes: list[str] = []
    ignored = [key for key in keys.ignored() if key not in HARMLESS]
    if ignored:
        notes.append(f"config.json: not read: {', '.join(ignored)}")
    state = _ours(directory, family, encoder, tensors, notes)
    tokenizer = read_tokenizer(directory, values, encoder.vocab_size)
    if tokenizer.vocab_size > encoder.vocab_size:
        raise RunError(
            f"{directory}: the tokenizer has {tokenizer.vocab_size:,} entries, but the model has vectors for "
            f"{encoder.vocab_size:,}"
        )
    return Pretrained(source, encoder, state, tokenizer, tuple(notes), digest)


def _own(directory: Path, source: str) -> Pretrained:
    """A run of ours; the last projection belongs to its labels and is left behind."""
    checkpoint = load_checkpoint(directory)
    state = {
        name: tensor
        for name, tensor in checkpoint.model.state_dict().items()
        if not name.startswith("head.projection")
    }
    digest = hashlib.sha256(read(directory, WEIGHTS)).hexdigest()
    encoder = checkpoint.model.encoder.config
    return Pretrained(source, encoder, state, checkpoint.tokenizer, (), digest)


def _encoder(fields: dict[str, Any]) -> EncoderConfig:
    """Raises ValueError for what is out of range or of another type."""
    types = get_type_hints(EncoderConfig)
    config = EncoderConfig(**{name: coerce(value, types[name]) for name, value in fields.items()})
    faults = check_encoder(config)
    if faults:
        raise ValueError(faults[0])
    return config


def _ours(
    directory: Path, family: Family, encoder: EncoderConfig, tensors: dict[str, Tensor], notes: list[str]
) -> dict[str, Tensor]:
    """Their tensors under our names, each accounted for; appends to `notes` what was done."""
    model = outline(encoder, 1)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    table = correspondence(family, shapes)
    places = {theirs for names in table.values() for theirs in names}
    tensors = _named(directory, family, tensors, places, notes)

    left_out = {name for name in tensors if any(fnmatch.fnmatchcase(name, p) for p in family.dropped)}
    left_out |= {name for name in tensors if name.startswith("classifier.")} - places
    fresh = [our for our, names in table.items() if _is_fresh(our, names, tensors)]
    left_out |= tensors.keys() & {name for our in fresh for name in table[our]}
    if left_out:
        notes.append(f"not needed for new labels: {', '.join(sorted(left_out))}")
    for name, tensor in tensors.items():
        if name in places and not (tensor.is_floating_point() and bool(tensor.isfinite().all())):
            raise RunError(f"{directory}: {name} holds values that are not finite numbers")
    kinds = sorted({str(t.dtype).removeprefix("torch.") for t in tensors.values() if t.is_floating_point()})
    if kinds != ["float32"]:
        notes.append(f"weights in {', '.join(kinds)}, converted to float32")
    notes.append(f"newly initialised: {', '.join(fresh)}")
    kept = {name: tensor for name, tensor in tensors.items() if name not in left_out}
    try:
        state = from_hugging_face(family, kept, {our: s for our, s in shapes.items() if our not in fresh})
    except ValueError as error:
        raise RunError(f"{directory}: {error}") from error
    return {our: tensor.float() for our, tensor in state.items()}


def _is_fresh(our: str, names: tuple[str, ...], tensors: dict[str, Tensor]) -> bool:
    """Whether it starts anew: the last projection, and of the head what the checkpoint does not have."""
    if our.startswith("head.projection"):
        return True
    return our.startswith("head.") and any(name not in tensors for name in names)


def _named(
    directory: Path, family: Family, tensors: dict[str, Tensor], places: set[str], notes: list[str]
) -> dict[str, Tensor]:
    """Older names of the norms' tensors, and a bare encoder's without its prefix, as the table has them."""
    found: dict[str, Tensor] = {}
    renamed = prefixed = 0
    for theirs, tensor in tensors.items():
        name = theirs
        for old, new in ((".gamma", ".weight"), (".beta", ".bias")):
            if name.endswith(old):
                name, renamed = name.removesuffix(old) + new, renamed + 1
        full = f"{family.prefix}.{name}"
        bare = full in places or any(fnmatch.fnmatchcase(full, pattern) for pattern in family.dropped)
        if name not in places and bare:
            name, prefixed = full, prefixed + 1
        if name in found:
            raise RunError(f"{directory}: {theirs} means {name}, which stands there too")
        found[name] = tensor
    if renamed:
        notes.append(f"{renamed} tensors named gamma and beta, now weight and bias")
    if prefixed:
        notes.append(f"{prefixed} tensors without the prefix {family.prefix}")
    return found
