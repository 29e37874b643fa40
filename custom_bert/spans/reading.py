"""Reads a file of texts with spans, in either of its two formats."""

from __future__ import annotations

from pathlib import Path

from custom_bert.spans.conll import read_conll
from custom_bert.spans.json_spans import read_json_spans
from custom_bert.spans.spanned import KnownTypes, SpannedTexts

JSON_ENDINGS = (".jsonl", ".ndjson")
"""Endings of files with one JSON object a line. Every other file has columns."""


def read_spans(path: str | Path, known: KnownTypes | None = None) -> SpannedTexts:
    """Reads texts and their spans: JSON from a .jsonl or .ndjson file, columns from any other one.

    Args:
        path: the file.
        known: the types of the training file, if no other may occur; None to read the training file itself,
            which has to have a span.

    Raises:
        DataError: for the first thing that cannot be read, with path and line.
    """
    read = read_json_spans if Path(path).suffix.lower() in JSON_ENDINGS else read_conll
    return read(path, known)
