"""Compares the spans that a pipeline of transformers gives with ours, on the validation texts of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from custom_bert import config as configuration
from custom_bert import files
from custom_bert.config import TrainConfig
from custom_bert.decoding.spans import SpanDecoder, SpansPrediction
from custom_bert.errors import DataError, RunError
from custom_bert.inference.classifier import Classifier
from custom_bert.inference.evaluate_spans import chosen_texts
from custom_bert.inference.exports.verify import token_pipeline
from custom_bert.model_files.native import TrainedModel
from custom_bert.phrases import counted
from custom_bert.spans.spanned import KnownTypes

MOST = 5_000
"""The largest number of texts that are compared."""

SHOWN = 10
"""The largest number of texts that are shown where the spans differ."""

Places = list[tuple[int, int, str]]
"""Start, end and label of the spans of a text."""


def spans_compared(folder: Path, run: Path, trained: TrainedModel) -> tuple[str, ...]:
    """Returns paragraphs for the model card: for how many validation texts a pipeline gives the same spans,
    and where it does not; none if nothing could be compared.

    Args:
        folder: the directory of the export.
        run: the run directory.
        trained: the model.
    """
    texts = _validation_texts(run, trained)
    both = token_pipeline(folder, ("simple", "first")) if texts else None
    if both is None:
        return ()
    predictions = Classifier.load(run, device="cpu").predict(texts)
    ours = [_ours(prediction) for prediction in predictions]
    answers = [list(map(_theirs, some)) for some in both(texts)]
    theirs = dict(zip(("simple", "first"), map(list, zip(*answers, strict=True)), strict=True))
    same = {name: [a == b for a, b in zip(ours, found, strict=True)] for name, found in theirs.items()}
    inside = sum(b and not a for a, b in zip(same["simple"], same["first"], strict=True))
    said = (
        f"Compared on {len(texts):,} validation texts: `simple` gives the same spans for "
        f"{sum(same['simple']):,} of them, and `first` for {sum(same['first']):,}."
    )
    if inside:
        said += f" In {counted(inside, 'text')} only tags inside of words differ."
    if not all(same["first"]):
        said += (
            " Where `first` differs, the best tags form no sequence, or the text is longer than what the "
            "pipeline reads."
        )
    rows = [
        f"| {_cell(text)} | {_listed(text, mine)} | {_listed(text, other)} |"
        for text, mine, other in zip(texts, ours, theirs["simple"], strict=True)
        if mine != other
    ][:SHOWN]
    table = ["| text | here | `simple` |", "|---|---|---|", *rows]
    return (said, "\n".join(table)) if rows else (said,)


def _validation_texts(run: Path, trained: TrainedModel) -> list[str]:
    """Returns the first texts that validated a run, if its files are still there."""
    try:
        config = files.read_run_json(run, "run.json")["config"]
        paths = {name: config[name] for name in ("data.train_spans", "data.val_spans") if config[name]}
        data = configuration.replace(TrainConfig(), paths).data
        decoder = trained.task.decoder(None)
        assert isinstance(decoder, SpanDecoder)
        known = KnownTypes(decoder.types, str(run))
        chosen = chosen_texts(run, data, "val", known)
    except (RunError, DataError, KeyError, TypeError):
        return []
    return [chosen.file.texts[row] for row in chosen.rows_N[:MOST].tolist()]


def _ours(prediction: Any) -> Places:
    assert isinstance(prediction, SpansPrediction)
    return [(span.start, span.end, span.label) for span in prediction.spans]


def _theirs(entities: Sequence[dict[str, Any]]) -> Places:
    return [(int(one["start"]), int(one["end"]), str(one["entity_group"])) for one in entities]


def _listed(text: str, spans: Places) -> str:
    return ", ".join(f"{_cell(text[start:end])} ({label})" for start, end, label in spans)


def _cell(text: str) -> str:
    """Returns a text as it may stand in a cell of a table in Markdown."""
    return " ".join(text.split())[:200].replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
