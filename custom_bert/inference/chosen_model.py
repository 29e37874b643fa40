"""A model that is chosen and not loaded yet, so that another thread or process can load it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from custom_bert.config import Precision

if TYPE_CHECKING:
    from custom_bert.inference.classifier import Classifier


@dataclass(frozen=True, kw_only=True)
class ChosenModel:
    """What is to be loaded, and where it computes; for the fields see `Classifier.load`."""

    directory: str
    device: str | None = None
    precision: Precision = "fp32"
    encoder_only: bool = False

    def classifier(self) -> Classifier:
        """Loads the classifier; see `Classifier.load` for what is raised."""
        from custom_bert.inference.classifier import Classifier

        return Classifier.load(
            self.directory, device=self.device, precision=self.precision, encoder_only=self.encoder_only
        )
