"""A trained classifier as a directory that Hugging Face's transformers opens, with nothing of ours in it.

    config.json  model.safetensors  tokenizer.json  tokenizer_config.json  README.md

The classifier becomes the family's own class (`checkpoints/families.py`), tensor for tensor; transformers is
not needed to write it. Where it is installed, it opens what was written and is compared with ours, before the
directory gets its name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from custom_bert import __version__, files
from custom_bert.checkpoints.families import family_of, inexpressible
from custom_bert.checkpoints.native import Checkpoint, load_checkpoint
from custom_bert.checkpoints.published_files import WEIGHTS
from custom_bert.checkpoints.tables import Family, to_hugging_face
from custom_bert.checkpoints.tensor_files import write_tensors
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.errors import RunError, WriteError
from custom_bert.inference.verify import verify


def export_hugging_face(run: str | Path, out: str | Path) -> list[str]:
    """Writes the classifier of a run directory for transformers.

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
    checkpoint = load_checkpoint(run)
    encoder = checkpoint.model.encoder.config
    family = family_of(encoder)
    fault = inexpressible(encoder, checkpoint.long_texts)
    if fault:
        raise RunError(f"{run}: {fault}; the defaults of every preset can be exported")
    config = family.config(encoder, len(checkpoint.labels))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise WriteError(f"{out}: exists already and is not overwritten")
    with files.new_directory(out) as folder:
        _write(folder, checkpoint, family, config, run, out.name)
        verdict = verify(folder, checkpoint, family.classifier)
    return [f"{out}: {family.classifier}, {len(checkpoint.labels)} labels", verdict]


def _write(
    folder: Path, checkpoint: Checkpoint, family: Family, config: dict[str, Any], run: Path, name: str
) -> None:
    tokenizer, labels = checkpoint.tokenizer, checkpoint.labels
    ids = {"bos": tokenizer.cls_id, "cls": tokenizer.cls_id, "eos": tokenizer.sep_id, "sep": tokenizer.sep_id}
    files.write_json(
        folder / "config.json",
        {
            "architectures": [family.classifier],
            **{key: value for key, value in config.items() if key != "num_labels"},
            **{f"{role}_token_id": token_id for role, token_id in ids.items()},
            "id2label": {str(i): label for i, label in enumerate(labels)},
            "label2id": {label: i for i, label in enumerate(labels)},
            "problem_type": "single_label_classification",
            "dtype": "float32",
        },
    )
    state = {key: tensor.contiguous() for key, tensor in checkpoint.model.state_dict().items()}
    with files.creating(folder / WEIGHTS) as sink:
        write_tensors(sink, to_hugging_face(family, state), metadata={"format": "pt"})
    files.write_text(folder / "tokenizer.json", _tokenizer_json(tokenizer))
    files.write_json(
        folder / "tokenizer_config.json",
        {
            # without the class transformers takes the family's own, which may split texts otherwise
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": checkpoint.max_length,
            "model_input_names": ["input_ids", "attention_mask"],
            "clean_up_tokenization_spaces": False,
            **tokenizer.special_tokens(),
        },
    )
    files.write_text(folder / "README.md", _card(checkpoint, family, run, name))


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
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: text-classification",
        "tags: [custom-bert]",
        "---",
        "",
        f"# {name}",
        "",
        f"A text classifier with {len(labels)} labels: {encoder.num_hidden_layers} layers, "
        f"{encoder.hidden_size} wide, texts of up to {checkpoint.max_length} tokens. Trained with "
        f"Custom-BERT {__version__}; opens as `{family.classifier}`.",
        "",
        f"Labels: {', '.join(f'`{label}`' for label in labels)}.",
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
