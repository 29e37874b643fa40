"""What the estimators share: being fitted, and writing themselves as a run directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags

from custom_bert.errors import RunError, WriteError
from custom_bert.estimator.description import parameters_described
from custom_bert.estimator.stored_run import ESTIMATOR, StoredRun
from custom_bert.inference.classifier import Classifier

T = TypeVar("T")


class SavedEstimator(BaseEstimator):  # type: ignore[misc]
    """An estimator that holds the bytes of its run's files once it is fitted.

    Attributes:
        run_: the files of the run, as bytes by their names; run.json has what was measured.
    """

    run_: StoredRun
    max_minutes: float | None

    def _described(self) -> dict[str, Any]:
        """Returns the content of estimator.json."""
        return parameters_described(self.get_params(deep=False))

    @classmethod
    def _of_run(
        cls, directory: str | Path, model: Classifier, read: Callable[[StoredRun], tuple[dict[str, Any], T]]
    ) -> tuple[Self, T]:
        """Returns a fitted estimator that holds a run, and what else was read with its parameters.

        Args:
            directory: the run directory.
            model: its model.
            read: returns the parameters that were saved, and what else is of use.

        Raises:
            RunError: if the directory is incomplete or damaged.
        """
        stored = StoredRun.read(Path(directory))
        stored.loaded = (None, model)
        try:
            parameters, more = read(stored)
        except RunError as error:
            raise RunError(f"{directory}: {error}") from error
        known = cls().get_params(deep=False).keys()
        estimator = cls(**{name: value for name, value in parameters.items() if name in known})
        estimator.run_ = stored
        return estimator, more

    def _check_is_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            name = type(self).__name__
            raise NotFittedError(f"this {name} is not fitted yet; call fit, or take {name}.load")

    def save(self, directory: str | Path) -> None:
        """Writes a run directory, which all commands accept and `init_from` can start from.

        Args:
            directory: a directory that does not exist yet, or is empty.

        Raises:
            WriteError: if there is something already, or the system refuses.
            NotFittedError: before `fit`.
        """
        self._check_is_fitted()
        path = Path(directory)
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise WriteError(f"{path}: exists already and is not overwritten; choose another directory")
        self.run_.with_json(ESTIMATOR, self._described()).write(path)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "run_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.non_deterministic = self.max_minutes is not None  # the number of steps is by the clock
        return tags
