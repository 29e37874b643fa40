"""Measures a run that finds spans, on files of texts with spans: those that validated or trained it, or test
files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import torch

from custom_bert import files
from custom_bert.batch import Targets
from custom_bert.config import DataConfig
from custom_bert.data.reading import span_names
from custom_bert.data.text import status_of
from custom_bert.decoding.spans import SpanDecoder, UnitOutputs
from custom_bert.errors import DataError, RunError
from custom_bert.inference.classifier import Classifier
from custom_bert.spans.reading import read_spans
from custom_bert.spans.spanned import KnownTypes, SpannedTexts
from custom_bert.spans.units import unit_tags
from custom_bert.tasks.evaluated import Evaluated
from custom_bert.tasks.parts import Measured
from custom_bert.tasks.span_reading import divided, whole
from custom_bert.tasks.span_texts import SpanSplit, TextUnits


def evaluate_spans(
    classifier: Classifier,
    decoder: SpanDecoder,
    run: Path,
    data: DataConfig,
    split: Literal["val", "train", "test"],
) -> Evaluated:
    """Measures a model of spans; see `evaluate_run`.

    Args:
        classifier: the model.
        decoder: its decoder.
        run: the run directory.
        data: where the files are.
        split: what is measured.

    Raises:
        DataError: if the file cannot be used, has a type that the model does not know, or is not the one that
            the run was trained on where texts are to be found again.
        RunError: if the texts that the run had set aside cannot be found again.
    """
    known = KnownTypes(decoder.types, f"the texts that {run} was trained on")
    chosen = chosen_texts(run, data, split, known)
    file, rows = chosen.file, chosen.rows_N.tolist()
    outputs = _outputs(classifier, [file.texts[row] for row in rows])
    measured = measured_spans(classifier, decoder, file, rows, outputs)
    return Evaluated(measured, notes=tuple(f"warning: {note}" for note in file.notes))


def measured_spans(
    classifier: Classifier,
    decoder: SpanDecoder,
    file: SpannedTexts,
    rows: Iterable[int],
    outputs: Iterable[UnitOutputs],
) -> Measured:
    """Returns what is measured of a model's outputs for some texts of a file.

    Args:
        classifier: the model.
        decoder: its decoder.
        file: the file.
        rows: the indices of the texts.
        outputs: the logits of their units.
    """
    scorer, index = classifier.task.scorer(None), decoder.tags.index
    for one, row in zip(outputs, rows, strict=True):
        if not len(one.units_U2):
            continue  # there is nothing to measure, as in training
        tags = unit_tags(one.units_U2.tolist(), file.spans[row])
        about = TextUnits.of(file, row, one.units_U2)
        values = torch.tensor(list(map(index, tags)))
        scorer.add(torch.from_numpy(one.values_UK), Targets(values, None, None, (about,)))
    return scorer.measured()


def _outputs(classifier: Classifier, texts: list[str]) -> Iterator[UnitOutputs]:
    """Yields the logits of the units of each text."""
    for chunk in classifier.scores.of(texts):
        yield from chunk.tolist()


def chosen_texts(run: Path, data: DataConfig, split: str, known: KnownTypes) -> SpanSplit:
    """Returns the texts to measure on; see `evaluate_spans`."""
    path = Path(getattr(data, f"{split}_spans"))
    if split != "train" and status_of(path) is not None:
        return whole(read_spans(path, known))
    if split == "test":
        raise DataError(str(path), f"no such file; write {' or '.join(span_names(split))} to test on it")
    return _of_training(run, data, split, known)


def _of_training(run: Path, data: DataConfig, split: str, known: KnownTypes) -> SpanSplit:
    """Returns the texts that trained a run, or that it had set aside, by dividing its file again."""
    ways = f"write {' or '.join(span_names('val'))} to evaluate on other texts"
    path = Path(data.train_spans)
    if status_of(path) is None:
        raise DataError(str(path), f"no such file; {ways}")
    try:
        record = files.read_run_json(run, "run.json")
        aside = bool(record["data"]["val_set_aside_from_train"])
        trains, digest = bool(record["data"].get("val_trains")), record["identity"]["data"]["train_spans"]
        seed, fraction = int(record["config"]["seed"]), float(record["config"]["data.val_fraction"])
    except (RunError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{run}: no run.json says which texts were held out; {ways}") from error
    file = read_spans(path, known)
    if file.sha256 != digest:
        raise DataError(
            str(path),
            f"not the file that {run} was trained on, so the texts that it held out cannot be identified; "
            f"{ways}",
        )
    if split == "val" and (trains or not aside):
        raise DataError(
            str(path), f"{run} set no texts of it aside; --split train measures those that it learned; {ways}"
        )
    if trains or not aside:
        return whole(file)
    train, val = divided(file, fraction, seed)
    return val if split == "val" else train
