"""What the tasks share that a linear model on n-grams can do too: fitting that floor, and measuring it.

Such a task adds the kind of linear model (`floor_of`).

Shapes: N texts, K outputs of the model for each text.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from custom_bert.data.dataset import Dataset
from custom_bert.data.labelled_texts import LabelledTexts
from custom_bert.data.source import Source
from custom_bert.floor.aside import Fit, fitted
from custom_bert.floor.ensemble import Ensemble
from custom_bert.floor.linear import Floor
from custom_bert.floor.storage import read_floor
from custom_bert.rules.resolved import ResolvedConfig
from custom_bert.tasks.floors import FittedFloor, drawn_for_measuring, drawn_for_training, measure_on_test
from custom_bert.tasks.floors import measure as measure_floor
from custom_bert.tasks.learned import LearnedTask
from custom_bert.tasks.parts import Measured


@dataclass(frozen=True)
class FlooredTask(LearnedTask):
    """A task that has a floor.

    Attributes:
        has_thresholds: whether each class has a threshold.
    """

    has_floor: ClassVar[bool] = True
    has_thresholds: ClassVar[bool] = False

    def fit_floor(self, source: Source, config: ResolvedConfig) -> FittedFloor:
        """Fits a linear model on n-grams; of very much text, on lines that are drawn at random."""
        assert isinstance(source, LabelledTexts)
        data = source.dataset
        rows_N = drawn_for_training(data, config.seed)
        val_N = drawn_for_measuring(data.val, config.seed)
        with fitted(self.floor_of(data, rows_N, config), learned_from=len(rows_N)) as (floor, scored):
            measured = measure_floor(scored, data.val, val_N, self.scorer(floor.thresholds_C))
        counts = {"texts": len(rows_N), "of": len(data.train)}
        return FittedFloor(floor, measured, {**counts, "val_texts": len(val_N), "val_of": len(data.val)})

    @abstractmethod
    def floor_of(self, data: Dataset, rows_N: np.ndarray, config: ResolvedConfig) -> Fit:
        """Returns what fits a floor on some training texts, by their indices within the split."""

    def read_floor(self, run: Path) -> Floor:
        """Reads the floor of a run directory, which has to have as many outputs as the task."""
        return read_floor(run, self.num_outputs, sets=self.has_thresholds)

    def floor_on_test(
        self,
        source: Source,
        floor: Floor,
        ensemble: Ensemble | None,
        outputs_NK: np.ndarray | None,
    ) -> tuple[Measured, Measured | None]:
        """Measures the floor on all test texts and, with an ensemble, encoder and floor together."""
        assert isinstance(source, LabelledTexts) and source.dataset.test is not None
        return measure_on_test(floor, source.dataset, self.scorer, ensemble, outputs_NK)
