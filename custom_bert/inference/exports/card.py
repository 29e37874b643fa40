"""The model card of an export: what the model is, what it was trained on, how well it does, how to use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from custom_bert import __version__, files
from custom_bert.errors import RunError
from custom_bert.floor.ensemble import has_ensemble
from custom_bert.model_files.native import TrainedModel
from custom_bert.reports.measures import in_words
from custom_bert.tasks.parts import CardFacts


def model_card(trained: TrainedModel, model: str, run: Path, name: str, more: tuple[str, ...] = ()) -> str:
    """Returns the card, in Markdown with a YAML header.

    Args:
        trained: the model that is exported.
        model: the name of the class of transformers that it opens as.
        run: the run directory, whose record says what was measured.
        name: the name of the export.
        more: further paragraphs about its outputs.

    Raises:
        RunError: if the record is damaged.
    """
    facts = CardFacts(name, trained.described.max_length, trained.tokenizer)
    parts = trained.task.card(trained.described.encoder, trained.model, facts)
    paragraphs = [
        f"# {name}",
        f"{parts.about}. Trained with Custom-BERT {__version__}; opens as `{model}`.",
        *parts.more,
        *more,
        *measured_of(trained, run),
        "\n".join(["```python", *parts.example, "```"]),
    ]
    start = start_of(run)
    paragraphs[-1:-1] = licence_of(start)
    base = start.get("repository", "")
    head = [
        "---",
        "library_name: transformers",
        *([f"base_model: {base}"] if base else []),
        f"pipeline_tag: {parts.pipeline}",
        "tags: [custom-bert]",
        "---",
    ]
    return "\n".join([*head, "", "\n\n".join(paragraphs), ""])


def start_of(run: Path) -> dict[str, str]:
    """Returns what run.json says of the pretrained encoder that training started from; empty if of none."""
    if not (run / "run.json").is_file():
        return {}
    record = files.read_run_json(run, "run.json")
    start = record.get("pretrained") if isinstance(record, dict) else None
    if start is None:  # a run from scratch, or of a version that did not say
        return {}
    if not isinstance(start, dict) or not all(isinstance(value, str) for value in start.values()):
        raise RunError(f"{run / 'run.json'}: damaged: not the record of a run")
    return start


def licence_of(start: dict[str, str]) -> list[str]:
    """Returns which pretrained weights the model was made from, and their licence.

    Weights from a directory are not named, since its path is nobody else's business.
    """
    if not start:
        return []
    name, revision = start.get("repository"), start.get("revision")
    weights = f"`{name}`{f' (revision `{revision}`)' if revision else ''}" if name else "pretrained weights"
    terms = start.get("license")
    licence = f"which is licensed under {terms}" if terms else "whose licence the run does not know"
    return [f"Training started from {weights}, {licence}. SHA-256 of the weights: `{start.get('sha256')}`."]


def measured_of(trained: TrainedModel, run: Path, *, with_floor: bool = False) -> list[str]:
    """Returns what run.json says of the training; nothing if there is no run.json, as in `stable/`.

    Args:
        trained: the model.
        run: the run directory.
        with_floor: whether the export has the floor with which the run predicts.
    """
    if not (run / "run.json").is_file():
        return []
    record = files.read_run_json(run, "run.json")
    try:
        amounts = trained.task.amounts(record)
        if record["status"] != "finished":
            return [f"Training on {amounts} was {record['status']}; these are the best weights until then."]
        alone = {} if with_floor else _encoder_alone(record)
        results = trained.task.results({**record, "validation": {**record["validation"], **alone}})
        more = (
            ["Its run predicts with a linear model on n-grams too, which is not part of it."] if alone else []
        )
        return [" ".join([f"Trained on {amounts}. {results}", *more])]
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{run / 'run.json'}: damaged: not the record of a run") from error


def _encoder_alone(record: dict[str, Any]) -> dict[str, float]:
    """Returns the measures of the encoder alone, if the run predicts with its floor too; else nothing."""
    ensemble = record.get("ensemble")
    return ensemble["encoder_alone"] if ensemble else {}


def ensemble_left_out(run: Path) -> list[str]:
    """Returns a line that says by how much the encoder alone differs from what the run predicts with, if it
    predicts with its floor too.

    Raises:
        RunError: if the run's record is damaged.
    """
    record = files.read_run_json(run, "run.json") if has_ensemble(run) else {}
    if not record.get("ensemble"):  # none, or one whose run was broken off before it said so
        return []
    try:
        together, alone = in_words(record["validation"]), in_words(_encoder_alone(record))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{run / 'run.json'}: damaged: not the record of a run") from error
    return [f"the encoder alone, as exported: {alone} on the validation texts; with its floor: {together}"]
