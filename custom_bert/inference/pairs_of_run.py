"""A model that was trained on pairs of texts reads pairs, and no other model does: the checks of what it is
given."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from custom_bert.data.lines import Lines
from custom_bert.data.tables.batches import Table
from custom_bert.data.tables.choosing import listed
from custom_bert.errors import ConfigError, DataError
from custom_bert.inference.chunks import CHUNK
from custom_bert.inference.classifier import Classifier

SINGLE = "the model was trained on single texts"
PAIRS = "the model was trained on pairs of texts"


def check_as_trained(texts: Lines, run: str | Path, *, pairs: bool) -> None:
    """Raises DataError if texts are pairs and a run was trained on single texts, or the other way round.

    Args:
        texts: the lines.
        run: the run directory.
        pairs: whether the run was trained on pairs.
    """
    if texts.pairs and not pairs:
        raise DataError(texts.name, f"pairs of texts, and {run} was trained on single texts")
    if pairs and not texts.pairs:
        raise DataError(
            texts.name,
            f"single texts, and {run} was trained on pairs; name the second column by --second-text-column",
        )


def check_columns(table: Table, second: str | None, *, pairs: bool) -> None:
    """Raises DataError if a table is to be predicted and its columns are not what the model reads.

    Args:
        table: the table.
        second: the column with the second texts; None if there is none.
        pairs: whether the model reads pairs.
    """
    if pairs and second is None:
        has = listed(table.names, "")
        raise DataError(
            str(table.path), f"{PAIRS}; name the second column by --second-text-column; the table has {has}"
        )
    if second is not None and not pairs:
        raise DataError(str(table.path), f"{SINGLE}; leave out --second-text-column {second}")


def check_swapping(classifier: Classifier, run: str | Path) -> None:
    """Raises ConfigError if a model reads no pairs, or gives no labels that could change."""
    if not classifier.pairs:
        raise ConfigError(
            [f"--swap: {run} was trained on single texts, and only the texts of pairs can be swapped"]
        )
    if not classifier.labels:
        raise ConfigError([f"--swap: task {classifier.task.name} has no labels that could change"])


def share_that_changes(classifier: Classifier, pairs: Iterable[tuple[str, str]]) -> float:
    """Returns the share of the pairs that get other labels when their texts are swapped.

    Args:
        classifier: a model that reads pairs and gives labels.
        pairs: at least one pair.
    """
    iterator, total, changed = iter(pairs), 0, 0
    while chunk := list(islice(iterator, CHUNK)):
        here, there = (
            [prediction.cells()[0] for prediction in classifier.predict(order)]
            for order in (chunk, [(second, first) for first, second in chunk])
        )
        total += len(chunk)
        changed += sum(a != b for a, b in zip(here, there, strict=True))
    return changed / max(1, total)
