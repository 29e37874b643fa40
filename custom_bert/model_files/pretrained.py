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
import hashlib
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.errors import RunError
from custom_bert.model_files.description import FORMATS
from custom_bert.model_files.native import MOMENTS, MOMENTS_RATE, check_size, load_model
from custom_bert.model_files.origin import UNKNOWN, Origin
from custom_bert.model_files.published_config import read_architecture
from custom_bert.model_files.published_files import LARGEST_WEIGHTS, WEIGHTS, read, read_json, read_weights
from custom_bert.model_files.published_heads import READERS
from custom_bert.model_files.published_tensors import without_pooling_layer
from custom_bert.model_files.published_tokenizer import fitting_tokenizer
from custom_bert.presets import EncoderConfig
from custom_bert.tasks.classification import Classification
from custom_bert.tasks.task import Task


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
    published = read_architecture(directory, values)
    family, encoder = published.family, published.encoder
    tensors, digest = read_weights(directory)
    check_size(directory, encoder, 1, sum(t.numel() * t.element_size() for t in tensors.values()))
    notes: list[str] = []
    encoder, tensors = without_pooling_layer(family, encoder, tensors)
    if published.unread:
        notes.append(f"config.json: not read: {', '.join(published.unread)}")
    state = READERS[task.head](directory, family, encoder, tensors, notes)
    tokenizer = fitting_tokenizer(directory, values, encoder.vocab_size)
    notes += (f"tokenizer: {note}" for note in tokenizer.notes)
    return Pretrained(
        source,
        encoder,
        state,
        tokenizer,
        tuple(notes),
        digest,
        origin=origin,
        # with a head for tokens it has learned to predict these, as the encoders that `pretrain` writes
        for_means=family.pooling_layer is not None
        and family.masked.bias not in tensors
        and _is_for_means(directory),
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
