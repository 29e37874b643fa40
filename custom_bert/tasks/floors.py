"""The floor of a task with labels: fitted on its training texts, measured as its encoder is, alone and in an
ensemble with the encoder.

Shapes: N texts, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from custom_bert.batch import Targets
from custom_bert.data.dataset import Dataset, Split
from custom_bert.floor.aside import Scored, loaded
from custom_bert.floor.ensemble import Ensemble
from custom_bert.floor.limits import measured_portion, training_portion
from custom_bert.floor.linear import Floor
from custom_bert.floor.ngrams import NoFloorError
from custom_bert.tasks.parts import Measured, Scorer


@dataclass(frozen=True)
class FittedFloor:
    """A floor, and how good it is on the validation texts.

    Attributes:
        floor: the floor.
        measured: what was measured of it.
        counts: the numbers of texts that it learned from and was measured on, and of how many, for run.json.
    """

    floor: Floor
    measured: Measured
    counts: dict[str, int]

    def record(self) -> dict[str, Any]:
        """Returns the measures and the numbers of texts, for run.json."""
        return {**self.measured.numbers, **self.counts}


@dataclass(frozen=True)
class Combined:
    """An ensemble of encoder and floor, and how good it is on the validation texts.

    Attributes:
        ensemble: their factors.
        measured: what was measured of it.
        texts: the number of texts that the factors were fitted on; 0 if the floor predicts alone because it
            is better on the validation texts.
    """

    ensemble: Ensemble
    measured: Measured
    texts: int

    def record(self) -> dict[str, Any]:
        """Returns the factors and the number of texts, for run.json."""
        return {"factors": self.ensemble.record(), "fitted_on": self.texts}


def drawn_for_training(data: Dataset, seed: int) -> np.ndarray:
    """Returns the indices, within the training split, of the texts that the floor learns from.

    Raises:
        NoFloorError: if there are too many classes.
    """
    targets, num_classes = data.train.targets, len(data.labels) or 1  # numbers are fitted like one class
    occurring = np.flatnonzero(targets.counts(num_classes))
    firsts = np.array([targets.first_line(int(index)) - 1 for index in occurring], dtype=np.int64)
    portion = training_portion(len(data.train), _mean_characters(data.train), firsts, num_classes, seed)
    if portion is None:
        raise NoFloorError(f"{num_classes:,} classes are too many for its {len(data.train):,} texts")
    return portion.rows_N


def drawn_for_measuring(split: Split, seed: int) -> np.ndarray:
    """Returns the indices, within a split, of the texts that a floor is measured on."""
    return measured_portion(len(split), _mean_characters(split), seed).rows_N


def measure(scored: Scored, split: Split, rows_N: np.ndarray, scorer: Scorer) -> Measured:
    """Measures a floor on some texts of a split.

    Args:
        scored: scores texts with the floor.
        split: the split.
        rows_N: (N,) the indices of the texts within the split, ascending.
        scorer: counts what is right.
    """
    targets, start = split.targets, 0
    for scores_NC in scored(split.texts(rows_N)):
        values = targets.values(rows_N[start : start + len(scores_NC)])
        scorer.add(torch.from_numpy(scores_NC), Targets(torch.from_numpy(values)))
        start += len(scores_NC)
    return scorer.measured()


def combine(
    fit: Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None], Ensemble],
    data: Dataset,
    floor: Floor,
    scorer_of: Callable[[np.ndarray | None], Scorer],
    chosen_NC: np.ndarray | None,
    val_NC: np.ndarray,
) -> Combined:
    """Fits an ensemble on the lines that are set aside for it, and measures it on the validation texts.

    Where these lines are too few, the ensemble is the floor alone.

    Args:
        fit: returns the ensemble for scores of the encoder, scores of the floor, targets, and weights.
        data: the data.
        floor: the floor.
        scorer_of: returns what counts what is right, with the thresholds that it is given.
        chosen_NC: the scores of the encoder for the lines that are set aside; None if these are too few.
        val_NC: the scores of the encoder for the validation texts.
    """
    chosen, texts = data.choosing, 0
    with loaded(floor, learned_from=len(data.train)) as scored:
        if chosen_NC is None:
            ensemble = Ensemble(0.0, 1.0, floor.thresholds_C)
        else:
            assert chosen is not None
            texts, rows_N, wanted = len(chosen), np.arange(len(chosen)), chosen.targets
            floor_NC = np.concatenate(list(scored(chosen.texts(rows_N))))
            ensemble = fit(chosen_NC, floor_NC, wanted.values(rows_N), wanted.weights(rows_N))
        scorer = scorer_of(ensemble.thresholds_C)
        for rows_n, of_floor_nC, targets in _scored(scored, data.val):
            scorer.add(torch.from_numpy(ensemble.scores(val_NC[rows_n], of_floor_nC)), targets)
    return Combined(ensemble, scorer.measured(), texts)


def measure_on_test(
    floor: Floor,
    data: Dataset,
    scorer_of: Callable[[np.ndarray | None], Scorer],
    ensemble: Ensemble | None,
    encoder_NC: np.ndarray | None,
) -> tuple[Measured, Measured | None]:
    """Measures a floor on test texts, alone and together with the encoder.

    Args:
        floor: the floor.
        data: the data, with test texts.
        scorer_of: returns what counts what is right, with the thresholds that it is given.
        ensemble: the factors with which both predict; None if the encoder predicts alone.
        encoder_NC: the scores of the encoder for these texts, if there is an ensemble.

    Returns:
        What was measured of the floor and, with an ensemble, of both together.
    """
    alone = scorer_of(floor.thresholds_C)
    together = None if ensemble is None else scorer_of(ensemble.thresholds_C)
    assert data.test is not None
    with loaded(floor, learned_from=len(data.train)) as scored:
        for rows_n, of_floor_nC, targets in _scored(scored, data.test):
            alone.add(torch.from_numpy(of_floor_nC), targets)
            if ensemble is not None and together is not None and encoder_NC is not None:
                together.add(torch.from_numpy(ensemble.scores(encoder_NC[rows_n], of_floor_nC)), targets)
    return alone.measured(), None if together is None else together.measured()


def _scored(scored: Scored, split: Split) -> Iterator[tuple[np.ndarray, np.ndarray, Targets]]:
    """Yields (n,) the indices of some texts of a split, (n, C) the floor's scores of them, and their targets,
    until all texts have come."""
    targets, start = split.targets, 0
    for scores_nC in scored(split.texts(np.arange(len(split)))):
        rows_n = np.arange(start, start + len(scores_nC))
        yield rows_n, scores_nC, Targets(torch.from_numpy(targets.values(rows_n)))
        start += len(rows_n)


def _mean_characters(split: Split) -> float:
    return split.file.characters / max(1, len(split.file))
