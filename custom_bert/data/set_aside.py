"""Which lines are set aside: to validate, and to choose values on that are not learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from custom_bert.data.dataset import LabelledFile
from custom_bert.data.division import divide, divide_units
from custom_bert.errors import DataError

CHOOSING_SEED = 2
"""It is added to the seed when training lines are set aside to choose values on, so that this draw and
the one for validation are independent."""


@dataclass(frozen=True)
class Aside:
    """Which training lines are set aside to choose values on that are not learned.

    Attributes:
        share: returns the share of a number of training lines; 0 for none.
        use: what they are for, such as "to choose thresholds".
        fewest: the number of lines below which none is set aside.
        purpose: why there have to be such lines, and what to do if there are none, for an error. Empty if a
            run can do without; then rare labels keep all of their lines.
    """

    share: Callable[[int], float]
    use: str = ""
    fewest: int = 1
    purpose: str = ""


NOTHING_ASIDE = Aside(lambda texts: 0.0)


def set_aside_rows(
    file: LabelledFile, rows: np.ndarray, fraction: float, seed: int, purpose: str
) -> np.ndarray:
    """Chooses a stratified share of some rows.

    Raises:
        DataError: if no row can be chosen, and there is a purpose for which that has to be.
    """
    strata_N = file.targets.take(rows).strata_N
    if file.units_N is None:
        chosen, why = (
            divide(strata_N, file.hashes_N[rows], fraction, seed),
            "no label has two different texts",
        )
    else:
        chosen, why = divide_units(strata_N, file.units_N[rows], fraction, seed), "no label has two groups"
        if len(np.unique(file.units_N[rows])) == 1:
            why = "all rows belong together, by their groups and equal texts"
    if purpose and not len(chosen):
        raise DataError(file.texts_path, f"{why}, so none can be set aside for {purpose}")
    aside: np.ndarray = rows[chosen]
    return aside


FREQUENT = 20
"""The number of lines from which on a label can spare one where a run can do without."""


def frequent_rows(file: LabelledFile, rows: np.ndarray) -> np.ndarray:
    """Returns the rows of strata with `FREQUENT` rows or more. The others would lose one row each, which with
    many rare labels would be most of what there is."""
    strata_N = file.targets.take(rows).strata_N
    often_N = np.bincount(strata_N)[strata_N] >= FREQUENT
    if file.units_N is not None:  # lines that belong together stay together
        often_N &= ~np.isin(file.units_N[rows], file.units_N[rows[~often_N]])
    frequent: np.ndarray = rows[often_N]
    return frequent
