"""A published classifier, ready to predict: a directory in Hugging Face's layout, whoever has written it.

Any model for sequence or token classification of the families that we compute is read. Of texts it predicts
what transformers predicts; from tags of tokens it makes spans as our own models do. It reads single texts,
unless its config.json says `"text_pairs": true`, as our exports of models of pairs do, or
sentence-transformers has saved it as a cross-encoder.

A text is cut to what the tokenizer says (`model_max_length`), or else to the positions of the encoder.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.errors import DataError, NoPredictionsError, RunError, shown
from custom_bert.model_files.description import LONGEST, Description
from custom_bert.model_files.native import TrainedModel, check_size
from custom_bert.model_files.published_config import read_architecture
from custom_bert.model_files.published_files import read_json, read_weights
from custom_bert.model_files.published_heads import whole_classifier
from custom_bert.model_files.published_tensors import without_pooling_layer
from custom_bert.model_files.published_tokenizer import fitting_tokenizer, is_known_class
from custom_bert.presets import EncoderConfig
from custom_bert.tasks.parts import EncoderModel
from custom_bert.tasks.published_labels import read_tags, read_task, read_thresholds

PAIRS = "text_pairs"
"""The key of config.json by which a model reads pairs of texts. transformers keeps it, and does not read it.
"""

CROSS_ENCODER = ("sentence_transformers", "sbert_ce_default_activation_function")
"""Keys that older versions of sentence-transformers write into config.json of a cross-encoder."""

SENTENCE_TRANSFORMERS = "config_sentence_transformers.json"
"""The file in which newer ones name the type of a model."""

TOKENIZER = "tokenizer_config.json"

CLASSIFIER = "ForSequenceClassification"
"""The end of the names of the classes of texts that are read."""

OF_UNITS = "ForTokenClassification"
"""The end of the names of the classes that give tags to tokens. They are read as models of spans, whose long
texts are read in windows."""

TRAIN = "custom-bert train DATA --model.init-from {directory} trains a classifier from it"

ONLY = "only classifiers of whole texts are read"

GENERATIVE = "a generative model; only encoders with a classifier are read"

OTHERS = {
    "ForMaskedLM": f"a masked language model, which knows no labels; {TRAIN}",
    "ForPreTraining": f"a masked language model, which knows no labels; {TRAIN}",
    "Model": f"a bare encoder, which knows no labels; {TRAIN}, and Embedder.load gives vectors",
    "ForQuestionAnswering": f"a model that finds answers in texts; {ONLY}",
    "ForCausalLM": GENERATIVE,
    "LMHeadModel": GENERATIVE,
    "ForConditionalGeneration": GENERATIVE,
}
"""What a class of transformers is whose name ends like this, and what can be done with it."""

ENCODERS = ("ForMaskedLM", "ForPreTraining", "Model")
"""Those that have vectors for texts, though no predictions."""


def is_published(directory: str | Path) -> bool:
    """Returns whether a directory is in Hugging Face's layout: its config.json names a model of transformers,
    and not a format of ours."""
    try:
        values = read_json(Path(directory), "config.json")
    except RunError:
        return False
    return "format" not in values and bool(values.keys() & {"model_type", "architectures"})


def describe_published(directory: str | Path) -> Description:
    """Returns what a published classifier is, without reading its weights.

    Raises:
        RunError: if it is no classifier, or one that is not supported.
    """
    directory = Path(directory)
    values = read_json(directory, "config.json")
    units = _check_kind(directory, values)
    path, encoder = directory / "config.json", read_architecture(directory, values).encoder
    if units:
        task, _ = read_tags(path, values)
        return Description(encoder, task, _max_length(directory, encoder), "windows")
    pairs = _reads_pairs(directory, values)
    return Description(encoder, read_task(path, values), _max_length(directory, encoder), pairs=pairs)


def load_published_classifier(directory: str | Path) -> TrainedModel:
    """Reads a published classifier.

    Raises:
        RunError: if it is no classifier, is incomplete or damaged, or is one that is not supported.
    """
    directory = Path(directory)
    described = describe_published(directory)
    values, task = read_json(directory, "config.json"), described.task
    tokenizer = _tokenizer(directory, values, described.encoder)
    tensors, _ = read_weights(directory)
    check_size(directory, described.encoder, task.num_outputs, sum(one.nbytes for one in tensors.values()))
    family = read_architecture(directory, values).family
    encoder, tensors = without_pooling_layer(family, described.encoder, tensors)
    units = task.labels_units
    state = whole_classifier(directory, family, encoder, tensors, task.num_outputs, units=units)
    if units:
        _, order = read_tags(directory / "config.json", values)
        for name in ("head.projection.weight", "head.projection.bias"):
            state[name] = state[name][list(order)]
    thresholds_C = read_thresholds(directory / "config.json", values, task.output_names)
    if thresholds_C is not None and "thresholds_C" in task.outline(encoder).state_dict():
        state["thresholds_C"] = thresholds_C
    model = cast(EncoderModel, task.model(encoder, state))
    try:
        tokenizer = tokenizer.reading(pairs=described.pairs)
    except DataError as error:
        raise RunError(str(error)) from error
    return TrainedModel(model.eval(), tokenizer, replace(described, encoder=encoder))


def _check_kind(directory: Path, values: dict[str, Any]) -> bool:
    """Returns whether a classifier gives tags to tokens. Refuses what is no classifier, and says what it is.

    Without `architectures`, the tensors decide.
    """
    names = values.get("architectures")
    name = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else CLASSIFIER
    if name.endswith((CLASSIFIER, OF_UNITS)):
        return name.endswith(OF_UNITS)
    path = directory / "config.json"
    endings = [ending for ending in OTHERS if name.endswith(ending)]
    if endings:
        ending = max(endings, key=len)  # GPT2LMHeadModel also ends with Model
        kind = NoPredictionsError if ending in ENCODERS else RunError
        raise kind(f"{path}: {name} is {OTHERS[ending].format(directory=directory)}")
    raise RunError(f"{path}: {name} is no classifier of texts; expected a class such as Bert{CLASSIFIER}")


def _reads_pairs(directory: Path, values: dict[str, Any]) -> bool:
    """Returns whether a classifier reads pairs: what `PAIRS` says, else whether it is a cross-encoder."""
    if PAIRS in values:
        if type(values[PAIRS]) is not bool:
            raise RunError(
                f"{directory / 'config.json'}: {PAIRS} is {shown(values[PAIRS])}; expected true or false"
            )
        return bool(values[PAIRS])
    is_cross_encoder = _optional(directory, SENTENCE_TRANSFORMERS).get("model_type") == "CrossEncoder"
    return is_cross_encoder or any(key in values for key in CROSS_ENCODER)


def _tokenizer(directory: Path, values: dict[str, Any], encoder: EncoderConfig) -> TextTokenizer:
    """Reads the tokenizer, and refuses one that encodes texts in another way than ours does."""
    settings = _optional(directory, TOKENIZER)
    side = settings.get("truncation_side")
    if side not in (None, "right"):
        raise RunError(
            f"{directory / TOKENIZER}: truncation_side is {shown(side)}, which keeps the ends of long texts; "
            f"known is 'right'"
        )
    tokenizer = fitting_tokenizer(directory, values, encoder.vocab_size)
    kind, alone = settings.get("tokenizer_class"), tokenizer.backend.encode("").tokens
    if kind is not None and not is_known_class(kind) and len(alone) != 2:
        around = " ".join(alone) or "nothing"
        raise RunError(
            f"{directory / 'tokenizer.json'}: puts {around} around a text; texts are read with one token "
            f"before and one after"
        )
    return tokenizer


def _max_length(directory: Path, encoder: EncoderConfig) -> int:
    """Returns the number of tokens that are kept of a text."""
    settings = _optional(directory, TOKENIZER)
    most = settings.get("model_max_length", settings.get("max_len"))
    limit = min(encoder.max_position_embeddings, LONGEST)
    if most is None:
        return limit
    if type(most) not in (int, float) or not most >= 3:
        raise RunError(
            f"{directory / TOKENIZER}: model_max_length is {shown(most)}; expected a number of tokens from 3 "
            f"on"
        )
    return min(int(most), limit)


def _optional(directory: Path, name: str) -> dict[str, Any]:
    """Returns the content of a JSON file that need not be there; then it is empty."""
    return read_json(directory, name) if os.path.lexists(directory / name) else {}
