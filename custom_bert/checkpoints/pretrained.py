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
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor

from custom_bert.checkpoints.families import FAMILIES
from custom_bert.checkpoints.native import FORMAT, load_checkpoint
from custom_bert.checkpoints.tables import Family, Keys, correspondence
from custom_bert.config import coerce
from custom_bert.data.tokenizer import TextTokenizer, from_vocab, load_tokenizer
from custom_bert.errors import DataError, RunError
from custom_bert.models.heads import SequenceClassifier
from custom_bert.presets import EncoderConfig, check_encoder

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
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
    values = _json(directory, "config.json")
    if values.get("format") == FORMAT:
        return _own(directory, source)
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
    tensors, digest = _tensors(directory)
    notes: list[str] = []
    ignored = [key for key in keys.ignored() if key not in HARMLESS]
    if ignored:
        notes.append(f"config.json: not read: {', '.join(ignored)}")
    state = _ours(directory, family, encoder, tensors, notes)
    tokenizer = _tokenizer(directory)
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
    digest = hashlib.sha256(_read(directory, WEIGHTS)).hexdigest()
    encoder = checkpoint.model.encoder.config
    return Pretrained(source, encoder, state, checkpoint.tokenizer, (), digest)


def _encoder(fields: dict[str, Any]) -> EncoderConfig:
    """Raises ValueError for what is out of range or of another type."""
    types = get_type_hints(EncoderConfig)
    config = EncoderConfig(**{name: coerce(value, types[name]) for name, value in fields.items()})
    sizes = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    for name in (*sizes, "max_position_embeddings"):
        if not 1 <= getattr(config, name) <= 1 << 24:
            raise ValueError(f"{name} is {getattr(config, name)}")
    if not 0 <= config.pad_token_id < config.vocab_size:
        raise ValueError(f"pad_token_id {config.pad_token_id} is not in a vocabulary of {config.vocab_size}")
    faults = check_encoder(config)
    if faults:
        raise ValueError(faults[0])
    return config


def _tensors(directory: Path) -> tuple[dict[str, Tensor], str]:
    """Every tensor of the directory's safetensors files, and the sha256 of their bytes in order."""
    names = [WEIGHTS]
    if not (directory / WEIGHTS).exists():
        if not (directory / INDEX).exists():
            pickled = sorted(p.name for p in directory.glob("*.bin"))
            way = (
                f"{pickled[0]} is a pickle, which can run code; convert it with transformers: "
                f"AutoModel.from_pretrained(DIR).save_pretrained(DIR)"
                if pickled
                else f"expected {WEIGHTS}"
            )
            raise RunError(f"{directory}: no safetensors weights; {way}")
        index = _json(directory, INDEX)
        shards = index.get("weight_map")
        if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
            raise RunError(f"{directory / INDEX}: expected a weight_map of file names")
        names = sorted(set(shards.values()))
    found: dict[str, Tensor] = {}
    digest = hashlib.sha256()
    for name in names:
        content = _read(directory, name)
        digest.update(content)
        try:
            part = load_tensors(content)
        except SafetensorError as error:
            raise RunError(f"{directory / name}: damaged: {error}") from error
        twice = sorted(part.keys() & found.keys())
        if twice:
            raise RunError(f"{directory / name}: {twice[0]} stands in another shard too")
        found |= part
    return found, digest.hexdigest()


def _read(directory: Path, name: str) -> bytes:
    """The bytes of a regular file directly inside the directory; links may lead elsewhere only as the hub's
    cache lays them, to a file."""
    path = directory / name
    if Path(name).name != name or name in (".", ".."):
        raise RunError(f"{directory}: the file name {name!r} leaves the directory")
    try:
        if not path.is_file():
            raise RunError(f"{path}: no such file")
        return path.read_bytes()
    except OSError as error:
        raise RunError(f"{path}: cannot read: {error.strerror}") from error


def _json(directory: Path, name: str) -> dict[str, Any]:
    try:
        value = json.loads(_read(directory, name).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise RunError(f"{directory / name}: not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise RunError(f"{directory / name}: expected an object")
    return value


def _ours(
    directory: Path, family: Family, encoder: EncoderConfig, tensors: dict[str, Tensor], notes: list[str]
) -> dict[str, Tensor]:
    """Their tensors under our names, each accounted for; appends to `notes` what was done."""
    with torch.device("meta"):
        model = SequenceClassifier(encoder, 1)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    table = correspondence(family, shapes)
    places = {theirs for names in table.values() for theirs in names}
    tensors = _named(family, tensors, places, notes)

    left_out = {name for name in tensors if any(fnmatch.fnmatchcase(name, p) for p in family.dropped)}
    left_out |= set(tensors) & {
        name for our in table if our.startswith("head.projection") for name in table[our]
    }
    left_out |= {name for name in tensors if name.startswith("classifier.")} - places
    if left_out:
        notes.append(f"not needed for new labels: {', '.join(sorted(left_out))}")
    extra = sorted(tensors.keys() - places - left_out)
    if extra:
        raise RunError(f"{directory}: {family.model_type}: no place for the tensors {', '.join(extra)}")
    state, missing, fresh = {}, [], []
    for our, names in table.items():
        absent = [name for name in names if name not in tensors]
        if our.startswith("head."):
            if absent or our.startswith("head.projection"):
                fresh.append(our)
                continue
        elif absent:
            missing += absent
            continue
        parts = [tensors[name] for name in names]
        joined = torch.cat(parts) if len(parts) > 1 else parts[0]
        if joined.shape != shapes[our]:
            raise RunError(
                f"{directory}: {names[0]} is {tuple(parts[0].shape)}, but config.json describes "
                f"{tuple(shapes[our])} for {our}"
            )
        if not joined.is_floating_point() or not bool(joined.isfinite().all()):
            raise RunError(f"{directory}: {names[0]} holds values that are not finite numbers")
        state[our] = joined.float()
    if missing:
        raise RunError(
            f"{directory}: {family.model_type}: the tensors {', '.join(sorted(missing))} are missing"
        )
    kinds = sorted({str(t.dtype).removeprefix("torch.") for t in tensors.values() if t.is_floating_point()})
    if kinds != ["float32"]:
        notes.append(f"weights in {', '.join(kinds)}, converted to float32")
    notes.append(f"newly initialised: {', '.join(fresh)}")
    return state


def _named(
    family: Family, tensors: dict[str, Tensor], places: set[str], notes: list[str]
) -> dict[str, Tensor]:
    """Older names of the norms' tensors, and a bare encoder's without its prefix, as the table has them."""
    found: dict[str, Tensor] = {}
    renamed = prefixed = 0
    for name, tensor in tensors.items():
        for old, new in ((".gamma", ".weight"), (".beta", ".bias")):
            if name.endswith(old):
                name, renamed = name.removesuffix(old) + new, renamed + 1
        full = f"{family.prefix}.{name}"
        bare = full in places or any(fnmatch.fnmatchcase(full, pattern) for pattern in family.dropped)
        if name not in places and bare:
            name, prefixed = full, prefixed + 1
        found[name] = tensor
    if renamed:
        notes.append(f"{renamed} tensors named gamma and beta, now weight and bias")
    if prefixed:
        notes.append(f"{prefixed} tensors without the prefix {family.prefix}")
    return found


def _tokenizer(directory: Path) -> TextTokenizer:
    """Of tokenizer.json, or of the older files."""
    try:
        if (directory / "tokenizer.json").is_file():
            return load_tokenizer(directory / "tokenizer.json")
        if (directory / "vocab.txt").is_file():
            return _word_piece(directory)
        if (directory / "vocab.json").is_file() and (directory / "merges.txt").is_file():
            return _byte_level(directory)
    except DataError as error:
        raise RunError(str(error)) from error
    raise RunError(
        f"{directory}: no tokenizer; expected tokenizer.json, vocab.txt, or vocab.json and merges.txt"
    )


def _word_piece(directory: Path) -> TextTokenizer:
    settings = (
        _json(directory, "tokenizer_config.json") if (directory / "tokenizer_config.json").exists() else {}
    )
    lowercase = bool(settings.get("do_lower_case", True))
    accents = settings.get("strip_accents")
    content = _read(directory, "vocab.txt").decode("utf-8", errors="strict")
    tokens = content.split("\n")
    while tokens and not tokens[-1]:
        tokens.pop()
    return from_vocab(
        [token.rstrip("\r") for token in tokens],
        lowercase=lowercase,
        strip_accents=lowercase if accents is None else bool(accents),
        split_chinese=bool(settings.get("tokenize_chinese_chars", True)),
        name=str(directory / "vocab.txt"),
    )


def _byte_level(directory: Path) -> TextTokenizer:
    """Byte-level BPE (Radford et al. 2019), as RoBERTa published it."""
    settings = (
        _json(directory, "tokenizer_config.json") if (directory / "tokenizer_config.json").exists() else {}
    )
    try:
        model = models.BPE.from_file(str(directory / "vocab.json"), str(directory / "merges.txt"))
    except Exception as error:  # the library raises bare Exception
        raise RunError(f"{directory}: vocab.json and merges.txt do not fit: {error}") from error
    tokenizer = Tokenizer(model)
    space = bool(settings.get("add_prefix_space", False))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=space)
    tokenizer.decoder = decoders.ByteLevel()
    special = [
        token for token in ("<s>", "<pad>", "</s>", "<unk>") if tokenizer.token_to_id(token) is not None
    ]
    tokenizer.add_special_tokens(special)
    if tokenizer.token_to_id("<mask>") is not None:
        tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    return TextTokenizer(tokenizer, str(directory))
