"""A published checkpoint as the start of training: a directory in Hugging Face's layout, or a run of ours.

    config.json
    model.safetensors, or shards with model.safetensors.index.json
    tokenizer.json, or vocab.txt, or vocab.json and merges.txt

Loading reads data only: safetensors and JSON, in regular files inside the directory. Every tensor must have a
place. Tensors that published checkpoints hold beside what we need are dropped by name, and listed. Any other
tensor that is left over or missing is refused, and so is an architecture that we do not compute.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import torch
from torch import Tensor

from custom_bert.config_values import coerce
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.errors import RunError
from custom_bert.model_files.description import FORMATS
from custom_bert.model_files.families import FAMILIES
from custom_bert.model_files.native import MOMENTS, MOMENTS_RATE, check_size, load_model
from custom_bert.model_files.origin import UNKNOWN, Origin
from custom_bert.model_files.published_files import LARGEST_WEIGHTS, WEIGHTS, read, read_json, read_weights
from custom_bert.model_files.published_tensors import check_values, is_fresh, named
from custom_bert.model_files.published_tokenizer import read_tokenizer
from custom_bert.model_files.tables import Family, Keys, correspondence, from_hugging_face
from custom_bert.models.heads import SequenceClassifier
from custom_bert.models.outline import language_model_outline, outline
from custom_bert.presets import EncoderConfig, check_encoder
from custom_bert.tasks.classification import Classification
from custom_bert.tasks.parts import HeadName
from custom_bert.tasks.task import Task

HARMLESS = frozenset(
    (
        *("architectures", "model_type", "transformers_version", "torch_dtype", "dtype", "_name_or_path"),
        *("initializer_range", "use_cache", "gradient_checkpointing", "tie_word_embeddings"),
        *("id2label", "label2id", "num_labels", "problem_type", "classifier_dropout"),
        *("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"),
    )
)
"""Keys of config.json that say nothing about an encoder's computation. They are not listed as unread."""


RESIZE = "in transformers, model.resize_token_embeddings(len(tokenizer)) gives it the others"
"""The advice for a checkpoint whose tokenizer has more entries than its model has vectors."""


@dataclass(frozen=True)
class Pretrained:
    """A pretrained encoder, as the start of training.

    Attributes:
        source: where it came from, for messages.
        encoder: the architecture.
        state: the fp32 tensors by our names: all of the encoder, and those of the task's head that there are.
        tokenizer: its tokenizer.
        notes: what was ignored, renamed, converted or dropped, one line each.
        sha256: the hash of the files of weights.
        moments: the file of AdamW's moments of a pretraining run that may go on; None if there is none.
        lr: the peak learning rate of that run.
        fixed: names of tensors that training leaves as they are, because the run never trained them.
        origin: where it came from, for the record of the run.
        for_means: whether it was made so that the mean of a text's vectors stands for the text.
    """

    source: str
    encoder: EncoderConfig
    state: dict[str, Tensor]
    tokenizer: TextTokenizer
    notes: tuple[str, ...]
    sha256: str
    moments: Path | None = None
    lr: float | None = None
    fixed: frozenset[str] = frozenset()
    origin: Origin = UNKNOWN
    for_means: bool = False

    def record(self) -> dict[str, str]:
        """Returns where the weights came from and their hash, for run.json."""
        return {**self.origin.as_dict(), "sha256": self.sha256}


def load_pretrained(
    directory: Path,
    task: type[Task] = Classification,
    *,
    source: str | None = None,
    origin: Origin | None = None,
) -> Pretrained:
    """Reads a checkpoint directory.

    Args:
        directory: of the checkpoint.
        task: the task that is trained. If the checkpoint has the form of its head, that is kept.
        source: the name of the checkpoint for messages; None for the directory's path.
        origin: where it came from; None for the directory.

    Raises:
        RunError: if something is missing, damaged or left over, or if we do not compute the architecture.
    """
    source = source or str(directory)
    origin = origin or Origin(name=source, place=str(directory.absolute()))
    if not directory.is_dir():
        raise RunError(f"{directory}: no such directory")
    values = read_json(directory, "config.json")
    if values.get("format") in FORMATS:
        return _own(directory, source, task, origin)
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
    state = READERS[task.head](directory, family, encoder, tensors, notes)
    tokenizer = read_tokenizer(directory, values, encoder.vocab_size)
    if tokenizer.vocab_size > encoder.vocab_size:
        raise RunError(
            f"{directory}: the tokenizer has {tokenizer.vocab_size:,} entries, but the model has vectors for "
            f"{encoder.vocab_size:,}; {RESIZE}"
        )
    notes += (f"tokenizer: {note}" for note in tokenizer.notes)
    return Pretrained(
        source,
        encoder,
        state,
        tokenizer,
        tuple(notes),
        digest,
        origin=origin,
        for_means=family.pooling_layer is not None and _is_for_means(directory),
    )


def _is_for_means(directory: Path) -> bool:
    """Returns whether sentence-transformers takes the mean of all tokens as the vector of a text, and nothing
    else; False if the directory does not say it.

    Raises:
        RunError: if the file that says it is damaged.
    """
    folder = directory / "1_Pooling"
    if not folder.is_dir():
        return False
    says = read_json(folder, "config.json")
    modes = {key for key, value in says.items() if key.startswith("pooling_mode_") and value is True}
    return modes == {"pooling_mode_mean_tokens"} or says.get("pooling_mode") == "mean"


def _own(directory: Path, source: str, task: type[Task], origin: Origin) -> Pretrained:
    """Reads a run of ours. Of its head it keeps the tensors that the task's head has too, but not those that
    belong to its labels."""
    trained = load_model(directory)
    encoder = trained.described.encoder
    ours = task.blank().outline(encoder).state_dict().keys()
    state = {
        name: tensor
        for name, tensor in trained.model.state_dict().items()
        if name.startswith("encoder.") or (name in ours and task.keeps(name))
    }
    notes: tuple[str, ...] = ()
    if all(name.startswith("encoder.") for name in state):
        notes = ("the encoder is taken, and its head left behind",)
    fixed = trained.described.computed
    if fixed:
        notes += ("its positions are sinusoidal; they become a table, which is not trained",)
    digest = hashlib.sha256(read(directory, WEIGHTS, LARGEST_WEIGHTS)).hexdigest()
    origin = origin.with_that_of(directory)
    tokenizer = trained.tokenizer.reading(pairs=False)  # the new run decides what it reads
    start = Pretrained(source, encoder, state, tokenizer, notes, digest, fixed=fixed, origin=origin)
    if not task.keeps_stable or not (directory / MOMENTS).is_file():
        return start
    lr = read_json(directory, MOMENTS_RATE).get("lr")
    if not isinstance(lr, float) or not 0 < lr <= 1:
        raise RunError(f"{directory / MOMENTS_RATE}: lr {lr!r}; expected a number above 0, at most 1")
    notes += ("training goes on with the moments of AdamW that are there",)
    return dataclasses.replace(start, notes=notes, moments=directory / MOMENTS, lr=lr)


def _encoder(fields: dict[str, Any]) -> EncoderConfig:
    """Makes an architecture of its fields. Raises ValueError for a value of another type or out of range."""
    types = get_type_hints(EncoderConfig)
    config = EncoderConfig(**{name: coerce(value, types[name]) for name, value in fields.items()})
    faults = check_encoder(config)
    if faults:
        raise ValueError(faults[0])
    return config


def _classifier(
    directory: Path, family: Family, encoder: EncoderConfig, tensors: dict[str, Tensor], notes: list[str]
) -> dict[str, Tensor]:
    """Returns their tensors under our classifier's names. Those without a place are added to `notes`."""
    model = outline(SequenceClassifier, encoder, 1)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    table = correspondence(family, shapes)
    places = {theirs for names in table.values() for theirs in names}
    tensors = named(directory, family, tensors, places, notes)

    left_out = {name for name in tensors if any(fnmatch.fnmatchcase(name, p) for p in family.dropped)}
    left_out |= {name for name in tensors if name.startswith("classifier.")} - places
    fresh = [our for our, names in table.items() if is_fresh(our, names, tensors)]
    left_out |= tensors.keys() & {name for our in fresh for name in table[our]}
    if left_out:
        notes.append(f"not needed for new labels: {', '.join(sorted(left_out))}")
    check_values(directory, {name: tensor for name, tensor in tensors.items() if name in places}, notes)
    notes.append(f"newly initialised: {', '.join(fresh)}")
    kept = {name: tensor for name, tensor in tensors.items() if name not in left_out}
    try:
        state = from_hugging_face(family, kept, {our: s for our, s in shapes.items() if our not in fresh})
    except ValueError as error:
        raise RunError(f"{directory}: {error}") from error
    return {our: tensor.float() for our, tensor in state.items()}


def _language_model(
    directory: Path, family: Family, encoder: EncoderConfig, tensors: dict[str, Tensor], notes: list[str]
) -> dict[str, Tensor]:
    """Returns their tensors under the names of our masked language model; see `_classifier`."""
    shapes = {name: tensor.shape for name, tensor in language_model_outline(encoder).state_dict().items()}
    encoder_shapes = {name: shape for name, shape in shapes.items() if name.startswith("encoder.")}
    table = correspondence(family, encoder_shapes)
    head = family.masked.names(shapes.keys() - encoder_shapes.keys())
    classifier = correspondence(
        family, (k for k in outline(SequenceClassifier, encoder, 1).state_dict() if k.startswith("head."))
    )
    places = {theirs for names in table.values() for theirs in names} | set(head.values())
    others = {theirs for names in classifier.values() for theirs in names} - places
    tensors = named(directory, family, tensors, places | others, notes)

    tied = {name for name in family.masked.tied if name in tensors}
    for name in tied:
        original = (
            table["encoder.embeddings.token.weight"][0] if name.endswith("weight") else family.masked.bias
        )
        if original in tensors and not torch.equal(tensors[name], tensors[original]):
            raise RunError(f"{directory}: {name} is not {original}; a decoder of its own is not supported")
    left_out = {name for name in tensors if any(fnmatch.fnmatchcase(name, p) for p in family.dropped)}
    left_out = {*left_out, *(tensors.keys() & others), *tied}
    left_out = {*left_out, *(name for name in tensors if name.startswith("classifier."))} - places
    fresh = sorted(name for name, theirs in head.items() if theirs not in tensors)
    if fresh and len(fresh) < len(head):
        raise RunError(
            f"{directory}: {head[fresh[0]]} is missing, and the rest of the prediction head is there"
        )
    if left_out - tied:
        notes.append(f"not needed to predict tokens: {', '.join(sorted(left_out - tied))}")
    check_values(directory, {name: tensor for name, tensor in tensors.items() if name in places}, notes)
    if fresh:
        notes.append(f"newly initialised: {', '.join(fresh)}")
    kept = {name: t for name, t in tensors.items() if name not in left_out and name not in head.values()}
    try:
        state = from_hugging_face(family, kept, encoder_shapes)
    except ValueError as error:
        raise RunError(f"{directory}: {error}") from error
    for ours, theirs in head.items():
        if theirs in tensors:
            if tensors[theirs].shape != shapes[ours]:
                raise RunError(
                    f"{directory}: {theirs} is {tuple(tensors[theirs].shape)}, not {tuple(shapes[ours])}"
                )
            state[ours] = tensors[theirs]
    return {our: tensor.float() for our, tensor in state.items()}


Reader = Callable[[Path, Family, EncoderConfig, dict[str, Tensor], list[str]], dict[str, Tensor]]

READERS: dict[HeadName, Reader] = {
    "sequence_classification": _classifier,
    "masked_language_model": _language_model,
}
"""The function that reads a published checkpoint for each form of head."""
