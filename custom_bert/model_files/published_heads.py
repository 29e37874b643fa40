"""The tensors of a published checkpoint under the names of our models: as the start of training, whose head
is new, or as a whole classifier.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from custom_bert.errors import RunError
from custom_bert.model_files.published_tensors import check_values, is_fresh, named
from custom_bert.model_files.tables import (
    Correspondence,
    Family,
    correspondence,
    from_hugging_face,
    token_correspondence,
)
from custom_bert.models.heads import EncoderWithHead, SequenceClassifier
from custom_bert.models.outline import language_model_outline, outline
from custom_bert.models.token_tagger import TokenTagger
from custom_bert.presets import EncoderConfig
from custom_bert.tasks.parts import HeadName


def start_of_classifier(
    directory: Path,
    family: Family,
    encoder: EncoderConfig,
    tensors: dict[str, Tensor],
    notes: list[str],
    kind: type[EncoderWithHead] = SequenceClassifier,
    names: Correspondence = correspondence,
) -> dict[str, Tensor]:
    """Returns their tensors under our classifier's names. Those without a place are added to `notes`.

    Args:
        directory: of the checkpoint, for messages.
        family: its family.
        encoder: its architecture.
        tensors: all that it holds.
        notes: what is told of it, to which lines are added.
        kind: the class of our model.
        names: their names of its tensors.
    """
    model = outline(kind, encoder, 1)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    table = names(family, shapes)
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
        wanted = {our: shape for our, shape in shapes.items() if our not in fresh}
        state = from_hugging_face(family, kept, wanted, names)
    except ValueError as error:
        raise RunError(f"{directory}: {error}") from error
    return {our: tensor.float() for our, tensor in state.items()}


def start_of_token_classifier(
    directory: Path, family: Family, encoder: EncoderConfig, tensors: dict[str, Tensor], notes: list[str]
) -> dict[str, Tensor]:
    """Returns their tensors under the names of our token classifier; see `start_of_classifier`.

    The head of a published classifier of texts is left out, since it reads one vector of a text.
    """
    of_texts = correspondence(
        family, (k for k in outline(SequenceClassifier, encoder, 1).state_dict() if k.startswith("head."))
    )
    places = token_correspondence(family, outline(TokenTagger, encoder, 1).state_dict())
    heads = {theirs for names in of_texts.values() for theirs in names}
    heads -= {theirs for names in places.values() for theirs in names}
    tensors = named(directory, family, tensors, heads | {t for names in places.values() for t in names}, notes)
    if unread := sorted(tensors.keys() & heads):
        notes.append(f"not needed for labels of tokens: {', '.join(unread)}")
    kept = {name: tensor for name, tensor in tensors.items() if name not in heads}
    return start_of_classifier(
        directory, family, encoder, kept, notes, TokenTagger, token_correspondence
    )


def whole_classifier(
    directory: Path,
    family: Family,
    encoder: EncoderConfig,
    tensors: dict[str, Tensor],
    outputs: int,
    *,
    units: bool = False,
) -> dict[str, Tensor]:
    """Returns the tensors of a published classifier under our classifier's names, its head included.

    Args:
        directory: of the checkpoint, for messages.
        family: its family.
        encoder: its architecture.
        tensors: all that it holds.
        outputs: the number of outputs that its config.json describes.
        units: whether it gives labels to tokens, and not to texts.

    Raises:
        RunError: if a tensor is missing or left over, has another shape, or holds values that are not finite.
    """
    kind: type[EncoderWithHead] = TokenTagger if units else SequenceClassifier
    names = token_correspondence if units else correspondence
    shapes = {name: tensor.shape for name, tensor in outline(kind, encoder, outputs).state_dict().items()}
    table = names(family, shapes)
    places = {theirs for names in table.values() for theirs in names}
    tensors = named(directory, family, tensors, places, [])
    kept = {
        name: tensor
        for name, tensor in tensors.items()
        if name in places or not any(fnmatch.fnmatchcase(name, pattern) for pattern in family.dropped)
    }
    (projection,) = table["head.projection.bias"]
    missing = sorted({name for our in table if our.startswith("head.") for name in table[our]} - kept.keys())
    if missing:
        raise RunError(
            f"{directory}: {missing[0]} is missing, so it is no "
            f"{family.token_classifier if units else family.classifier}; "
            f"custom-bert train DATA --model.init-from {directory} trains a classifier from its encoder"
        )
    if kept[projection].shape != (outputs,):
        raise RunError(
            f"{directory}: {projection} has {kept[projection].numel():,} outputs, and config.json describes "
            f"{outputs:,}; give each output a name in id2label"
        )
    check_values(directory, kept, [])
    try:
        state = from_hugging_face(family, kept, shapes, names)
    except ValueError as error:
        raise RunError(f"{directory}: {error}") from error
    return {our: tensor.float() for our, tensor in state.items()}


def start_of_language_model(
    directory: Path, family: Family, encoder: EncoderConfig, tensors: dict[str, Tensor], notes: list[str]
) -> dict[str, Tensor]:
    """Returns their tensors under the names of our masked language model; see `start_of_classifier`."""
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
    "sequence_classification": start_of_classifier,
    "token_classification": start_of_token_classifier,
    "masked_language_model": start_of_language_model,
}
"""The function that reads a published checkpoint for each form of head."""
