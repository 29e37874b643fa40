"""A class that adds predictions to batches of a table, for tools that bring batches to many machines.

Ray Data hands dictionaries of arrays to `map_batches`, and Spark hands iterators of DataFrames to
`mapInPandas`. Both copy what they call to their workers. So a predictor is copied without its model, and each
process loads that once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from custom_bert.config import Precision
from custom_bert.data.tables.cells import Cells
from custom_bert.data.tables.choosing import free_names, listed
from custom_bert.errors import DataError

if TYPE_CHECKING:
    from custom_bert.inference.classifier import Classifier, Text


class BatchPredictor:
    """Adds predictions to batches of a table: predicted_label and predicted_probability, as `custom-bert
    predict` does, or for numbers predicted_number.

    It can be pickled. The model is loaded when the first batch comes, once in each process.

    Args:
        directory: what `Classifier.load` reads. Every worker has to find it under this path.
        text_column: the column with the texts.
        second_text_column: the column with the second texts, for a model that reads pairs.
        device, precision, encoder_only: see `Classifier.load`.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        text_column: str = "text",
        second_text_column: str | None = None,
        device: str | None = None,
        precision: Precision = "fp32",
        encoder_only: bool = False,
    ) -> None:
        self._directory, self._device = str(directory), device
        self._precision: Precision = precision
        self._encoder_only = encoder_only
        self._columns = [name for name in (text_column, second_text_column) if name is not None]

    @property
    def columns(self) -> dict[str, type]:
        """The columns that are added, with the type of their values: str or float. It loads the model."""
        decoder = self._classifier().decoder
        (empty,) = self._classifier().predict([("", "") if self._classifier().pairs else ""])
        return dict(zip(decoder.table_columns, map(type, empty.cells()), strict=True))

    def __call__(self, batch: Any) -> Any:
        """Returns a batch with predictions, for `map_batches` of Ray Data.

        Args:
            batch: columns by name, each with N values (a dictionary of arrays), or a pandas.DataFrame.

        Returns:
            The same columns, and more (N,): what came, in the form in which it came.

        Raises:
            DataError: if a column is missing, or a value is no text; it says which.
        """
        classifier = self._classifier()
        names = [str(name) for name in batch]
        self._check(names, pairs=classifier.pairs)
        values = [_texts(batch[name], name) for name in self._columns]
        texts = cast("list[Text]", list(zip(*values, strict=True)) if classifier.pairs else values[0])
        cells = [prediction.cells() for prediction in classifier.predict(texts)]
        new = free_names(classifier.decoder.table_columns, tuple(names))
        columns = list(zip(*cells, strict=True)) or [()] * len(new)
        added = dict(zip(new, map(_array, columns), strict=True))
        if isinstance(batch, dict):
            return {**batch, **added}
        return batch.assign(**added)

    def frames(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yields DataFrames with predictions, for `mapInPandas` of Spark.

        Args:
            batches: pandas.DataFrames.

        Raises:
            DataError: as a call does.
        """
        return map(self, batches)

    def _classifier(self) -> Classifier:
        # the id of the process belongs to the key: a model that has computed does not survive a fork
        return _loaded(os.getpid(), self._directory, self._device, self._precision, self._encoder_only)

    def _check(self, names: list[str], *, pairs: bool) -> None:
        """Raises DataError if a batch lacks a column, or has not as many texts as the model reads."""
        for name in self._columns:
            if name not in names:
                raise DataError("the batch", f"has no column {name!r}; it has {listed(tuple(names), '')}")
        if pairs != (len(self._columns) == 2):
            what = (
                "pairs of texts; give second_text_column"
                if pairs
                else "single texts; leave out second_text_column"
            )
            raise DataError(self._directory, f"the model reads {what}")


@lru_cache(maxsize=1)
def _loaded(
    process: int, directory: str, device: str | None, precision: Precision, encoder_only: bool
) -> Classifier:
    """Returns the model of this process. Spark makes a new predictor for each task of a process."""
    from custom_bert.inference.classifier import Classifier

    return Classifier.load(directory, device=device, precision=precision, encoder_only=encoder_only)


def _texts(values: Any, column: str) -> list[str]:
    """Returns the values of a column as texts, as those of a table's file are."""
    cells = np.asarray(values, dtype=object).tolist()
    return Cells("text").strings(
        [None if cell is None or cell != cell else cell for cell in cells],
        range(len(cells)),
        lambda row: f"the batch: row {row + 1}, column {column!r}",
    )


def _array(values: tuple[str | float, ...]) -> np.ndarray:
    """Returns (N,) values of a new column: float64, or strings as objects."""
    strings = bool(values) and isinstance(values[0], str)
    return np.array(values, dtype=object if strings or not values else np.float64)
