"""The names of a model's outputs, as Hugging Face's files and model cards have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from custom_bert.reports.tables import TABLE_ROWS


def tables_of_names(names: Sequence[str]) -> dict[str, Any]:
    """Returns Hugging Face's tables of the names, in the order of the outputs."""
    return {
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
    }


def first_names(names: Sequence[str]) -> str:
    """Returns the first names for a model card, and how many more there are."""
    left_out = len(names) - TABLE_ROWS
    more = f" and {left_out:,} more, which `config.json` has" if left_out > 0 else ""
    return f"{', '.join(f'`{name}`' for name in names[:TABLE_ROWS])}{more}"
