"""The parts that a task supplies: a loss, a scorer, the result of an evaluation, predictions, a model card.

`tasks.task` says when each of them is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from torch import Tensor, nn

from custom_bert.batch import Targets
from custom_bert.data.loader import Transform
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.models.encoder import Encoder

PhaseName = Literal["pretrain", "train"]
"""The names of a run's phases, which are also the kinds of the records in metrics.jsonl."""

HeadName = Literal["sequence_classification", "token_classification", "masked_language_model"]
"""The heads that a model can have. The name decides how a published checkpoint is read
(`model_files.pretrained`) and how an export is written (`inference.exports.hf`)."""


class EncoderModel(nn.Module):
    """The type of every trained model: a module that holds an encoder beside its head."""

    encoder: Encoder


class Objective(Protocol):
    """The loss that a phase minimises. The setting that had this name in earlier versions is `task` today.

    A step divides the sum of its batches' losses by the sum of their weights. So the gradient does not depend
    on how the examples are divided into microbatches and among ranks.
    """

    def loss_sum(self, output: Tensor, targets: Targets) -> Tensor:
        """Returns the sum of the losses of a batch's targets, a scalar.

        Args:
            output: what the model returned for the batch, in training mode.
            targets: what it should predict.
        """

    def weight(self, targets: Targets) -> Tensor | float:
        """Returns what the batch adds to the divisor: its number of targets, or the sum of their weights."""


@dataclass(frozen=True)
class Gathering:
    """How several processes that each evaluate a part of the examples bring their results together.

    The defaults are for one process, and return what they are given.

    Attributes:
        total: adds up the tensors of all processes, which have one shape (all-reduce).
        joined: concatenates the rows of all processes' tensors, whose numbers may differ (all-gather).
    """

    total: Callable[[Tensor], Tensor] = lambda tensor: tensor
    joined: Callable[[Tensor], Tensor] = lambda rows: rows


ONE_PROCESS = Gathering()
"""For a single process."""


class Measured(Protocol):
    """The result of an evaluation."""

    @property
    def loss(self) -> float:
        """The mean loss of a target, without weights and label smoothing."""

    @property
    def numbers(self) -> dict[str, float]:
        """The measures by name, as metrics.jsonl has them. A terminal shows those that `reports.measures`
        lists."""

    @property
    def weighted_numbers(self) -> dict[str, float]:
        """The measures by name, with each text counted by its weight. By these the best weights are chosen;
        what people and records are shown is `numbers`, which can be compared with other runs."""

    @property
    def scores(self) -> Any:
        """The scores of all classes, which `Classifier.evaluate` returns; None where there are no classes."""

    def as_dict(self) -> dict[str, Any]:
        """Returns the measures and what there is for each class, for JSON and run.json."""

    def lines(self) -> list[str]:
        """Returns the lines of a table for a terminal."""


class Scorer(Protocol):
    """Collects an evaluation, batch by batch."""

    def add(self, outputs: Tensor, targets: Targets) -> None:
        """Counts a batch.

        Args:
            outputs: what the model returned for the batch in evaluation mode, in fp32.
            targets: what it should predict.
        """

    def measured(self, gathering: Gathering = ONE_PROCESS) -> Measured:
        """Returns the result over the batches of all processes.

        Every process has to call this, since the processes wait for each other.
        """


@dataclass(frozen=True, kw_only=True)
class Learning:
    """How a phase of a run learns.

    Attributes:
        objective: the loss.
        transform: how examples change before they form a batch, as by token dropout or masking.
        lr: the peak learning rate.
        epochs: the number of passes over the training data.
        seed: decides the order of the batches.
        dropout: whether the encoder's dropout is on.
        layer_lr_decay: the factor of the learning rate from each layer to the next below; 1 for one rate.
        embedding_lr_factor: the learning rate of the token vectors, as a share of `lr`.
        evaluates: whether evaluations during the phase choose the weights that the run keeps.
    """

    objective: Objective
    transform: Transform
    lr: float
    epochs: int
    seed: int
    dropout: bool
    layer_lr_decay: float = 1.0
    embedding_lr_factor: float = 1.0
    evaluates: bool = True


@dataclass(frozen=True)
class CardFacts:
    """What a model card needs to know of a model of any task.

    Attributes:
        name: the name of the export's directory.
        max_length: the largest number of tokens of a text, or of a sequence of running text.
        tokenizer: the model's tokenizer.
    """

    name: str
    max_length: int
    tokenizer: TextTokenizer

    @property
    def texts(self) -> str:
        """What the model reads, in words."""
        return "pairs of texts" if self.tokenizer.pairs else "texts"

    @property
    def example(self) -> str:
        """What a pipeline of transformers is given, in Python."""
        return '{"text": "a text", "text_pair": "another"}' if self.tokenizer.pairs else '"a text"'


@dataclass(frozen=True)
class Card:
    """The parts of a model card that depend on the task.

    Attributes:
        pipeline: Hugging Face's name of the pipeline that runs the model.
        about: what the model is, without a full stop at the end.
        more: paragraphs about its outputs.
        example: lines of Python that use it.
    """

    pipeline: str
    about: str
    more: tuple[str, ...]
    example: tuple[str, ...]


class LabelLineError(ValueError):
    """A line of a label file has not the form that the task reads.

    Attributes:
        index: the index of the line, from 0.
        fault: what is wrong with it, and what to write.
    """

    def __init__(self, index: int, fault: str) -> None:
        super().__init__(f"label {index}: {fault}")
        self.index, self.fault = index, fault


class UnknownLabelError(ValueError):
    """A label file holds a label that the model does not know.

    Attributes:
        index: the index of the line, from 0.
        label: the label as it stands in that line.
    """

    def __init__(self, index: int, label: str) -> None:
        super().__init__(f"label {index}: {label!r} is not one of this model's labels")
        self.index, self.label = index, label
