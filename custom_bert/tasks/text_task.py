"""What the tasks share that learn a target for each text: reading line-aligned files, the model, and how it
learns.

Such a task adds how label files are read (`reader`), the loss (`loss`), the scorer and the decoder. Where the
targets are classes, `tasks.labelled` has more of it.

Shapes: C classes.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from custom_bert.config import TrainConfig
from custom_bert.data.cache import Cache
from custom_bert.data.label_files import LabelReader
from custom_bert.data.labelled_texts import LabelledTexts
from custom_bert.data.loader import Transform
from custom_bert.data.reading import LabelledLines, data_files, read_dataset
from custom_bert.data.set_aside import NOTHING_ASIDE, Aside
from custom_bert.data.source import Source
from custom_bert.data.token_dropout import TokenDropout
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.decoding.decoder import Decoder
from custom_bert.models.heads import SequenceClassifier
from custom_bert.models.outline import from_tensors, outline
from custom_bert.presets import EncoderConfig
from custom_bert.rules.resolved import ResolvedConfig
from custom_bert.tasks.floored import FlooredTask
from custom_bert.tasks.parts import HeadName, Learning, Objective


@dataclass(frozen=True)
class TextTask(FlooredTask):
    """A task that learns a target for each text.

    Attributes:
        model_class: the class of the model.
        card_title: what the model is, for its model card.
        problem_type: the value of Hugging Face's key `problem_type`, by which transformers picks the loss.
    """

    head: ClassVar[HeadName] = "sequence_classification"
    model_class: ClassVar[type[SequenceClassifier]] = SequenceClassifier
    card_title: ClassVar[str]
    problem_type: ClassVar[str]

    @abstractmethod
    def decoder(self, thresholds_C: np.ndarray | None) -> Decoder:
        """Returns what turns the outputs into predictions; see `Task.decoder`."""

    @classmethod
    @abstractmethod
    def reader(cls, config: TrainConfig) -> LabelReader:
        """Returns a new reader for the label files of one data set."""

    @classmethod
    def read(cls, config: TrainConfig, cache: Cache) -> Source:
        """Reads text files and label files; their lines belong together by number."""
        return cls.read_lines(data_files(config.data), config)

    @classmethod
    def read_lines(cls, lines: LabelledLines, config: TrainConfig, *, divide: bool = True) -> LabelledTexts:
        """Reads and divides labelled lines; see `Task.read_lines`.

        Lines to choose values on are set aside even without `divide`, since they do not train either.
        """
        fraction = config.data.val_fraction if divide else None
        assert fraction is not None or not divide
        aside = cls.aside(config)
        dataset = read_dataset(
            lines, cls.reader(config), val_fraction=fraction, aside=aside, seed=config.seed
        )
        return LabelledTexts(dataset, config.seed, aside.use)

    @classmethod
    def aside(cls, config: TrainConfig) -> Aside:
        """Returns which training lines are set aside to choose values on, such as thresholds."""
        return NOTHING_ASIDE

    def stored(self) -> dict[str, Any]:
        """Returns the keys of the decoder, which say what the outputs are."""
        return self.decoder(None).stored()

    def store(self, directory: Path) -> None:
        """Writes the files of the decoder, such as labels.json."""
        self.decoder(None).store(directory)

    # Learning

    def model(self, config: EncoderConfig, tensors: dict[str, Tensor] | None = None) -> SequenceClassifier:
        """Returns a classifier, whose head is drawn where `tensors` lacks a part of it."""
        if tensors is None:
            return self.model_class(config, self.num_outputs)
        return from_tensors(self.model_class, config, self.num_outputs, tensors)

    def outline(self, config: EncoderConfig) -> SequenceClassifier:
        """Returns the classifier on the meta device."""
        return outline(self.model_class, config, self.num_outputs)

    @classmethod
    def keeps(cls, name: str) -> bool:
        """Keeps the layers of the head below the projection.

        The rows of the last projection belong to the earlier run's labels, and so does what stands beside the
        head, such as thresholds.
        """
        return name.startswith(("head.dense.", "head.norm."))

    @abstractmethod
    def loss(self, config: ResolvedConfig, source: Source) -> Objective:
        """Returns the loss on the training split.

        Args:
            config: the settings.
            source: the data, as `read` returned it.
        """

    def learning(self, config: ResolvedConfig, source: Source, tokenizer: TextTokenizer) -> Learning:
        """Learns the targets, with token dropout and R-Drop where the settings have them."""
        optim = config.optim
        rate = optim.token_dropout
        transform = Transform(
            # R-Drop compares two passes of a text, which stand side by side in the batch
            copies=2 if optim.r_drop else 1,
            token_dropout=TokenDropout(rate, config.seed) if rate else None,
        )
        return self.learning_of(config, self.loss(config, source), transform)
