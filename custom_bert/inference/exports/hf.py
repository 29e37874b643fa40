"""Writes a run as a directory that Hugging Face's transformers opens without any code of this package.

    config.json  model.safetensors  tokenizer.json  tokenizer_config.json  README.md

A model becomes the family's own class for its task, tensor for tensor. transformers is not needed to write
it. Where transformers is installed, it opens what was written and its outputs are compared with ours. Only
then does the directory get its name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from torch import Tensor

from custom_bert import files
from custom_bert.data.pair_frames import gives_types
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.errors import RunError, WriteError
from custom_bert.inference.exports.card import ensemble_left_out, model_card
from custom_bert.inference.exports.sentence_files import length_file, vector_files
from custom_bert.inference.exports.spans_compared import spans_compared
from custom_bert.inference.exports.verify import verify
from custom_bert.model_files.description import Description
from custom_bert.model_files.families import family_of, inexpressible
from custom_bert.model_files.native import TrainedModel, load_model
from custom_bert.model_files.published_classifier import PAIRS
from custom_bert.model_files.published_files import WEIGHTS
from custom_bert.model_files.tables import (
    Family,
    masked_to_hugging_face,
    to_hugging_face,
    tokens_to_hugging_face,
)
from custom_bert.model_files.tensor_files import write_tensors
from custom_bert.tasks.parts import HeadName


def export_hugging_face(run: str | Path, out: str | Path) -> list[str]:
    """Writes the model of a run directory for transformers.

    Args:
        run: the run directory.
        out: a directory that does not exist yet, or is empty.

    Returns:
        A line about what was written, and a line about what was verified; for a model of spans one about what
        a pipeline finds, and where the run predicts with its floor too, one that the export does not have it.

    Raises:
        RunError: if the run is damaged, no family of Hugging Face expresses the model, or transformers
            computes something else from the written directory.
        WriteError: if `out` is not empty, or the system refuses to write.
    """
    run, out = Path(run), Path(out)
    trained = load_model(run)
    described, task = trained.described, trained.task.in_transformers()
    trained = dataclasses.replace(trained, described=dataclasses.replace(described, task=task))
    family = family_of(described.encoder)
    fault = inexpressible(described.encoder, task.published_long_texts(described.long_texts))
    if fault:
        raise RunError(f"{run}: {fault}; the defaults of every preset can be exported")
    head = HEADS[task.head]
    encoder = described.encoder if head.pools else dataclasses.replace(described.encoder, pooling="cls")
    config = family.config(encoder, task.num_outputs)
    check_free(out)
    with files.new_directory(out) as folder:
        _write(folder, trained, family, head, config)
        verdict = verify(folder, trained, head.auto, head.model(family))
        more = head.compared(folder, run, trained)
        files.write_text(folder / "README.md", model_card(trained, head.model(family), run, out.name, more))
    about = ", ".join(filter(None, (head.model(family), task.summary())))
    return [f"{out}: {about}", verdict, *more[:1], *ensemble_left_out(run)]


def check_free(out: Path) -> None:
    """Raises WriteError if a directory that is to be written exists already, and is not empty."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise WriteError(f"{out}: exists already and is not overwritten")


@dataclass(frozen=True)
class PublishedHead:
    """How transformers represents one of our heads.

    Attributes:
        auto: the name of the class that opens a model of any family with this head.
        model: returns the name of a family's own class with this head.
        tensors: returns our tensors by that class's names.
        pools: whether it reads one vector for a text, for which the encoder may need a layer more.
        files: returns contents of JSON files, by name, that other programs read beside transformers' files.
        compared: compares more than tensors and outputs, and returns paragraphs for the model card.
    """

    auto: str
    model: Callable[[Family], str]
    tensors: Callable[[Family, Mapping[str, Tensor]], dict[str, Tensor]]
    pools: bool
    files: Callable[[Description], Mapping[str, Any]]
    compared: Callable[[Path, Path, TrainedModel], tuple[str, ...]] = lambda folder, run, trained: ()


HEADS: dict[HeadName, PublishedHead] = {
    "sequence_classification": PublishedHead(
        "AutoModelForSequenceClassification",
        lambda family: family.classifier,
        to_hugging_face,
        True,
        length_file,
    ),
    "token_classification": PublishedHead(
        "AutoModelForTokenClassification",
        lambda family: family.token_classifier,
        tokens_to_hugging_face,
        False,
        length_file,
        spans_compared,
    ),
    "masked_language_model": PublishedHead(
        "AutoModelForMaskedLM",
        lambda family: family.masked.model,
        masked_to_hugging_face,
        False,
        vector_files,
    ),
}


def _write(
    folder: Path,
    trained: TrainedModel,
    family: Family,
    head: PublishedHead,
    config: dict[str, Any],
) -> None:
    task = trained.task
    buffers = {buffer for buffer, _ in trained.model.named_buffers()}
    state = {
        key: tensor.contiguous() for key, tensor in trained.model.state_dict().items() if key not in buffers
    }
    write_config(folder, trained, config, head.model(family))
    tensors = head.tensors(family, task.published_tensors(state))
    if head.pools and trained.described.encoder.pooling == "mean_layer":
        assert family.pooling_layer is not None, "its config refuses this pooling"
        tensors |= family.pooling_layer(trained.described.encoder)
    with files.creating(folder / WEIGHTS) as sink:
        write_tensors(sink, tensors, metadata={"format": "pt"})
    write_tokenizer(folder, trained)
    for path, value in head.files(trained.described).items():
        files.make_directory((folder / path).parent)
        files.write_json(folder / path, value)


def write_config(folder: Path, trained: TrainedModel, config: Mapping[str, Any], model: str) -> None:
    """Writes config.json.

    Args:
        folder: where to.
        trained: the model.
        config: the keys that the computation needs, as `Family.config` returns them.
        model: the name of the class of transformers.
    """
    tokenizer = trained.tokenizer
    ids = {"bos": tokenizer.cls_id, "cls": tokenizer.cls_id, "eos": tokenizer.sep_id, "sep": tokenizer.sep_id}
    content = {
        **{key: value for key, value in config.items() if key != "num_labels"},
        **{f"{role}_token_id": token_id for role, token_id in ids.items()},
        "architectures": [model],
        **trained.task.published(trained.model),
        **({PAIRS: True} if tokenizer.pairs else {}),
        "dtype": "float32",
    }
    files.write_json(folder / "config.json", content)


def write_tokenizer(folder: Path, trained: TrainedModel) -> None:
    """Writes tokenizer.json and tokenizer_config.json."""
    tokenizer = trained.tokenizer
    typed = tokenizer.pairs and trained.described.encoder.type_vocab_size > 1
    files.write_text(folder / "tokenizer.json", _tokenizer_json(tokenizer))
    files.write_json(
        folder / "tokenizer_config.json",
        {
            # without this, transformers takes the family's own class, which may split texts in another way
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": trained.described.max_length,
            "model_input_names": ["input_ids", *["token_type_ids"] * typed, "attention_mask"],
            "clean_up_tokenization_spaces": False,
            **tokenizer.special_tokens(),
        },
    )


def _tokenizer_json(tokenizer: TextTokenizer) -> str:
    """Returns a tokenizer.json that puts the same special tokens around a text and between two texts as our
    batches have, and gives the tokens of pairs the same types. A model without types does not ask for them.
    """
    backend = Tokenizer.from_str(tokenizer.to_json())
    start, end = (backend.id_to_token(i) for i in (tokenizer.cls_id, tokenizer.sep_id))
    between = [backend.id_to_token(i) for i in tokenizer.frame.between or (tokenizer.sep_id,)]
    as_ours = backend.encode("").ids == [tokenizer.cls_id, tokenizer.sep_id]
    if not as_ours or (tokenizer.pairs and not gives_types(backend)):
        backend.post_processor = TemplateProcessing(
            single=f"{start} $A {end}",
            pair=f"{start} $A {' '.join(map(str, between))} $B:1 {end}:1",
            special_tokens=[(start, tokenizer.cls_id), (end, tokenizer.sep_id)],
        )
    return str(backend.to_str(pretty=True))
