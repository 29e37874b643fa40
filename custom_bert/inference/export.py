"""A run as a directory that Hugging Face's transformers opens, with nothing of ours in it.

    config.json  model.safetensors  tokenizer.json  tokenizer_config.json  README.md

A classifier becomes the family's own class (`checkpoints/families.py`), tensor for tensor, and a pretrained
encoder its masked language model; transformers is not needed to write it. Where it is installed, it opens
what was written and is compared with ours, before the directory gets its name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from custom_bert import __version__, files
from custom_bert.checkpoints.families import family_of, inexpressible
from custom_bert.checkpoints.native import (
    Checkpoint,
    EncoderCheckpoint,
    load_run,
)
from custom_bert.checkpoints.published_files import WEIGHTS
from custom_bert.checkpoints.tables import Family, masked_to_hugging_face, to_hugging_face
from custom_bert.checkpoints.tensor_files import write_tensors
from custom_bert.data.labels import labels_by_id
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.errors import RunError, WriteError
from custom_bert.inference.verify import verify
from custom_bert.reports.tables import TABLE_ROWS


def export_hugging_face(run: str | Path, out: str | Path) -> list[str]:
    """Writes the classifier or the pretrained encoder of a run directory for transformers.

    Args:
        run: what training wrote.
        out: a directory that does not exist yet, or is empty.

    Returns:
        Lines about what was written, and what was verified.

    Raises:
        RunError: if the run is damaged, its family cannot express the model, or what transformers computes
            from the written directory differs.
        WriteError: if `out` holds something, or the system refuses.
    """
    run, out = Path(run), Path(out)
    found = load_run(run)
    encoder = found.model.encoder.config
    labels = found.labels if isinstance(found, Checkpoint) else ()
    family = family_of(encoder)
    fault = inexpressible(encoder, found.long_texts if isinstance(found, Checkpoint) else "head")
    if fault:
        raise RunError(f"{run}: {fault}; the defaults of every preset can be exported")
    config = family.config(encoder, len(labels))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise WriteError(f"{out}: exists already and is not overwritten")
    with files.new_directory(out) as folder:
        _write(folder, found, family, config, run, out.name)
        verdict = verify(folder, found, family.classifier if labels else family.masked.model)
    if labels:
        about = f"{family.classifier}, {len(labels):,} labels; {labels_by_id(labels)}"
        return [f"{out}: {about}", verdict]
    return [f"{out}: {family.masked.model}", verdict]


def _write(
    folder: Path,
    found: Checkpoint | EncoderCheckpoint,
    family: Family,
    config: dict[str, Any],
    run: Path,
    name: str,
) -> None:
    tokenizer = found.tokenizer
    ids = {"bos": tokenizer.cls_id, "cls": tokenizer.cls_id, "eos": tokenizer.sep_id, "sep": tokenizer.sep_id}
    state = {key: tensor.contiguous() for key, tensor in found.model.state_dict().items()}
    if isinstance(found, Checkpoint):
        about: dict[str, Any] = {
            "architectures": [family.classifier],
            "id2label": {str(i): label for i, label in enumerate(found.labels)},
            "label2id": {label: i for i, label in enumerate(found.labels)},
            "problem_type": "single_label_classification",
        }
        tensors, card = to_hugging_face(family, state), _card(found, family, run, name)
    else:
        about = {"architectures": [family.masked.model], "tie_word_embeddings": True}
        tensors, card = masked_to_hugging_face(family, state), _encoder_card(found, family, run, name)
    files.write_json(
        folder / "config.json",
        {
            **{key: value for key, value in config.items() if key != "num_labels"},
            **{f"{role}_token_id": token_id for role, token_id in ids.items()},
            **about,
            "dtype": "float32",
        },
    )
    with files.creating(folder / WEIGHTS) as sink:
        write_tensors(sink, tensors, metadata={"format": "pt"})
    files.write_text(folder / "tokenizer.json", _tokenizer_json(tokenizer))
    files.write_json(
        folder / "tokenizer_config.json",
        {
            # without the class transformers takes the family's own, which may split texts otherwise
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": found.max_length,
            "model_input_names": ["input_ids", "attention_mask"],
            "clean_up_tokenization_spaces": False,
            **tokenizer.special_tokens(),
        },
    )
    files.write_text(folder / "README.md", card)


def _tokenizer_json(tokenizer: TextTokenizer) -> str:
    """tokenizer.json that frames a text as we do, whatever it did before."""
    backend = Tokenizer.from_str(tokenizer.to_json())
    start, end = (backend.id_to_token(i) for i in (tokenizer.cls_id, tokenizer.sep_id))
    if backend.encode("").ids != [tokenizer.cls_id, tokenizer.sep_id]:
        backend.post_processor = TemplateProcessing(
            single=f"{start} $A {end}",
            pair=f"{start} $A {end} $B:1 {end}:1",
            special_tokens=[(start, tokenizer.cls_id), (end, tokenizer.sep_id)],
        )
    return str(backend.to_str(pretty=True))


def _card(checkpoint: Checkpoint, family: Family, run: Path, name: str) -> str:
    """The model card: what it is, what it was trained on, how well it does, how to use it."""
    encoder, labels = checkpoint.model.encoder.config, checkpoint.labels
    left_out = len(labels) - TABLE_ROWS
    more = f" and {left_out:,} more, which `config.json` has" if left_out > 0 else ""
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: text-classification",
        "tags: [custom-bert]",
        "---",
        "",
        f"# {name}",
        "",
        f"A text classifier with {len(labels):,} labels: {encoder.num_hidden_layers} layers, "
        f"{encoder.hidden_size} wide, texts of up to {checkpoint.max_length} tokens. Trained with "
        f"Custom-BERT {__version__}; opens as `{family.classifier}`.",
        "",
        f"Labels: {', '.join(f'`{label}`' for label in labels[:TABLE_ROWS])}{more}.",
        "",
    ]
    lines += _measured(run)
    lines += [
        "```python",
        "from transformers import pipeline",
        "",
        f'pipeline("text-classification", "{name}", truncation=True)("a text")',
        "```",
        "",
    ]
    return "\n".join(lines)


def _encoder_card(found: EncoderCheckpoint, family: Family, run: Path, name: str) -> str:
    """The model card of a pretrained encoder."""
    encoder, mask = found.model.encoder.config, found.tokenizer.special_tokens().get("mask_token", "")
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: fill-mask",
        "tags: [custom-bert]",
        "---",
        "",
        f"# {name}",
        "",
        f"An encoder pretrained by masked language modelling: {encoder.num_hidden_layers} layers, "
        f"{encoder.hidden_size} wide, sequences of up to {found.max_length} tokens. Trained with Custom-BERT "
        f"{__version__}; opens as `{family.masked.model}`.",
        "",
    ]
    if (run / "run.json").is_file():
        record = files.read_run_json(run, "run.json")
        try:
            data = record["data"]
            lines += [
                f"Trained on {data['documents']:,} documents ({data['train_tokens']:,} tokens), with "
                f"{record['config']['optim.mask_rate']:.0%} of the tokens hidden."
            ]
            if record["status"] == "finished":
                validation = record["validation"]
                lines[-1] += (
                    f" On {data['val_tokens']:,} held-out tokens: accuracy of masked tokens "
                    f"{validation['accuracy']:.4f}, perplexity {validation['perplexity']:.2f}."
                )
            lines.append("")
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{run / 'run.json'}: damaged: not the record of a pretraining run") from error
    lines += [
        "```python",
        "from transformers import pipeline",
        "",
        f'pipeline("fill-mask", "{name}")("one word of this is {mask}")',
        "```",
        "",
    ]
    return "\n".join(lines)


def _measured(run: Path) -> list[str]:
    """Of run.json; nothing if the directory holds weights only."""
    if not (run / "run.json").is_file():
        return []
    record = files.read_run_json(run, "run.json")
    try:
        data = record["data"]
        if record["status"] != "finished":
            return [
                f"Training on {data['train_examples']:,} texts ({data['train_tokens']:,} tokens) was "
                f"{record['status']}; these are the best weights until then.",
                "",
            ]
        validation = record["validation"]
        return [
            f"Trained on {data['train_examples']:,} texts ({data['train_tokens']:,} tokens). On "
            f"{data['val_examples']:,} validation texts: accuracy {validation['accuracy']:.4f}, macro-F1 "
            f"{validation['macro_f1']:.4f}.",
            "",
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{run / 'run.json'}: damaged: not the record of a finished run") from error
