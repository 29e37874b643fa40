"""Puts parts of a run's record, run.json, into words, for `custom-bert info` and the page of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from custom_bert.phrases import counted
from custom_bert.reports.measures import in_words

TRAINED_ON = {"documents": "{:,} documents", "train_examples": "{:,} texts", "train_tokens": "{:,} tokens"}
"""Amounts of training data by their names in records. Every amount that a record has is shown."""

MEASURED_ON = {"val_examples": "validated on {:,}", "val_tokens": "measured on {:,} held-out tokens"}
"""Amounts of validation data by their names in records. Only the first that a record has is shown."""


def trained_on(record: dict[str, Any]) -> str:
    """Returns words such as `240 texts, 3,134 tokens; validated on 60`; empty if the record has none."""
    data = record.get("data", {})
    trained, held_out = (
        [words.format(data[name]) for name, words in amounts.items() if name in data]
        for amounts in (TRAINED_ON, MEASURED_ON)
    )
    if data.get("val_trains"):
        held_out = ["measured on the same texts"]
    if data.get("pairs"):
        trained = [words.replace(" texts", " pairs of texts") for words in trained]
    return "; ".join(part for part in (", ".join(trained), *held_out[:1]) if part)


def started_from(record: dict[str, Any]) -> str:
    """Returns the pretrained encoder that training started from, with its place, licence and hash; empty if
    there was none."""
    start = record.get("pretrained")
    if not start:
        return ""
    parts = [start["name"], start["repository"], start["revision"], start["license"], start["place"]]
    parts = [part for i, part in enumerate(parts) if part and part not in parts[:i]]
    return f"{', '.join(parts)}; SHA-256 {start['sha256'][:16]}"


def columns_of(record: dict[str, Any]) -> str:
    """Returns which columns of a table a run was trained on; empty if its data was no table."""
    columns = record.get("data", {}).get("columns") or {}
    names = {
        "text": "texts",
        "second_text": "second texts",
        "label": "labels",
        "split": "splits",
        "group": "groups",
    }
    return ", ".join(f"{names[what]} {columns[what]!r}" for what in names if columns.get(what))


def kept_by(record: dict[str, Any]) -> str:
    """Returns what `best_metric` of the record measures, by which the kept weights were chosen."""
    return str(record.get("kept_by", "metric"))  # records of earlier versions do not name it


def floor_line(floor: Mapping[str, Any]) -> str:
    """Returns what training prints of the floor, from its record in run.json."""
    drawn = floor.get("val_texts") != floor.get("val_of")
    on = f" (on {floor['val_texts']:,} of {floor['val_of']:,} validation texts)" if drawn else ""
    return f"{'floor':<10} {in_words(floor)}: a linear model on n-grams{on}"


def ensemble_lines(record: Mapping[str, Any] | None, together: Mapping[str, Any]) -> list[str]:
    """Returns what training prints of an ensemble: a line for the encoder alone, and one for both together.

    Args:
        record: the record of the ensemble in run.json; None if there is none.
        together: the measures of both together.
    """
    if record is None:
        return []
    factors = record["factors"]
    how = f", {factors['encoder']:.2f} x encoder + {factors['floor']:.2f} x floor"
    if not record["fitted_on"]:
        how = ", which is the floor alone: it is better on the validation texts"
    return [encoder_line(record["encoder_alone"]), f"{together_line(together)}{how}"]


def lines_of_test(record: Mapping[str, Any]) -> list[str]:
    """Returns what training and `info` print of the test texts: nothing, or an empty line, a line for what
    predicts and one for each side alone.

    Args:
        record: the content of run.json.
    """
    test = record.get("test")
    if test is None:
        return []
    lines = ["", f"{'test':<10} {in_words(test)}: {counted(test['examples'], 'text')} that decided nothing"]
    return lines + [
        f"{'  ' + side:<10} {in_words(test[side])}: alone" for side in ("floor", "encoder") if side in test
    ]


def encoder_line(measures: Mapping[str, Any]) -> str:
    """Returns what is printed of an encoder that has an ensemble with its floor."""
    return f"{'encoder':<10} {in_words(measures)}: alone, as in an export"


def together_line(measures: Mapping[str, Any]) -> str:
    """Returns what is printed of encoder and floor together."""
    return f"{'together':<10} {in_words(measures)}: as predict does"


def reasons(record: dict[str, Any]) -> dict[str, str]:
    """Returns the reasons of the settings that a rule decided, by dotted name."""
    return {choice["name"]: choice["reason"] for choice in record.get("choices", [])}
