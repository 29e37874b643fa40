"""Computes shards: loads the model once, and then predicts and writes one shard after the other.

It computes with one thread, always. More threads may add up numbers in another order, which changes last
bits; with one, it makes no difference how many processes share the work. They are what uses the other cores.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from custom_bert import files
from custom_bert.bulk.identity import computed_by
from custom_bert.bulk.outputs import Form
from custom_bert.bulk.partial import Done, shard_name
from custom_bert.bulk.shards import Shard
from custom_bert.data.unknown import UnknownText
from custom_bert.errors import CustomBertWarning
from custom_bert.inference.chosen_model import ChosenModel
from custom_bert.threads import LIMIT, WISH

if TYPE_CHECKING:
    from custom_bert.inference.classifier import Classifier


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is done with each shard.

    Attributes:
        every: whether predictions have the probabilities of all labels.
        form: how predictions become bytes.
        folder: where the shards are written.
    """

    every: bool
    form: Form
    folder: Path


class Computer:
    """A model that computes shards in this process.

    Args:
        model: the model.

    Attributes:
        by: what computes; see `computed_by`.
        warnings: the lines that loading and computing have warned with, each once.

    Raises:
        UserError: if the model cannot be loaded.
    """

    def __init__(self, model: ChosenModel) -> None:
        self.warnings = list[str]()
        with self._noting_warnings(), one_thread():
            self._classifier: Classifier | None = model.classifier()
            self.by = computed_by(model.device)

    @property
    def classifier(self) -> Classifier:
        """The classifier, until `release`."""
        assert self._classifier is not None
        return self._classifier

    def release(self) -> None:
        """Lets go of the model and its memory, when others compute."""
        self._classifier = None

    def compute(self, shard: Shard, work: Work) -> Done:
        """Predicts for a shard, and writes it durably.

        Raises:
            WriteError: if the system refuses.
        """
        unknown = UnknownText()
        with self._noting_warnings(), one_thread():
            answers = self.classifier.stream(shard.texts, every=work.every, unknown=unknown)
            with files.writing(work.folder / shard_name(shard.index)) as sink:
                work.form.write(shard.stored, answers, sink.write, first=shard.index == 0)
        return Done(
            shard=shard.index,
            rows=len(shard.texts),
            input=shard.sha256,
            size=sink.size,
            sha256=sink.sha256,
            characters=unknown.characters,
            unknown=unknown.unknown,
            mostly_unknown=unknown.mostly_unknown,
            first=tuple(shard.start + index for index in unknown.first),
        )

    @contextmanager
    def _noting_warnings(self) -> Iterator[None]:
        """Notes the package's warnings instead of printing them; others stay what they are."""
        with warnings.catch_warnings():
            warnings.simplefilter("always", CustomBertWarning)
            others = warnings.showwarning

            def note(message: Warning | str, category: type[Warning], *where: object) -> None:
                if not issubclass(category, CustomBertWarning):
                    others(message, category, *cast(tuple[str, int], where[:2]))
                elif str(message) not in self.warnings:
                    self.warnings.append(str(message))

            warnings.showwarning = note  # type: ignore[assignment]
            yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Within the block, models are loaded and computed with one thread."""
    before = {name: os.environ.get(name) for name in (WISH, LIMIT)}
    os.environ.update(dict.fromkeys(before, "1"))
    torch = sys.modules.get("torch")  # otherwise it reads the variable when it is imported
    threads = 0 if torch is None else torch.get_num_threads()
    if torch is not None:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if torch is not None:
            torch.set_num_threads(threads)
