"""Labelled texts as the source of a run: a checked data set, and its tokens on disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from custom_bert.config import LongTexts
from custom_bert.data.dataset import Dataset, LabelledFile
from custom_bert.data.loader import BatchBuilder
from custom_bert.data.source import Tokenised, Tokenising, VocabularyText
from custom_bert.data.store import StoreInfo, TokenStore, open_store
from custom_bert.data.windows import MAX_WINDOWS
from custom_bert.phrases import counted

KEPT: dict[LongTexts, str] = {
    "head": "{max_length} tokens",
    "head_tail": "{max_length} tokens, a quarter from the beginning and the others from the end",
    "windows": f"{MAX_WINDOWS} windows of {{max_length}} tokens",
}
"""What is kept of a text that is too long, for a warning."""

FILES = ("data.train_texts", "data.train_labels", "data.val_texts", "data.val_labels")
"""The settings that a table takes the place of."""

MEASURED_ON_TRAINING = (
    "data.val_fraction 0: validation measures the texts that train, which says little about other texts"
)
"""What a user has to know where no line is set aside to validate."""

UNEVEN = 10
"""If the largest class has more than this many times the examples of the smallest, there is a warning."""


@dataclass(frozen=True)
class LabelledTexts:
    """A data set that a run learns from. It is a `data.source.Source`.

    Attributes:
        dataset: the data set, read and checked.
        seed: the seed by which validation lines were set aside.
        use: what the lines that are set aside to choose values are for, such as "to choose thresholds".
    """

    dataset: Dataset
    seed: int
    use: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.dataset.labels

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings about the data, one line each."""
        return self.dataset.warnings

    @property
    def validates(self) -> bool:
        """Whether there are validation lines that do not train."""
        return self.dataset.validates

    @property
    def pairs(self) -> bool:
        """Whether the texts are pairs of texts."""
        return self.dataset.train.file.lines.pairs

    def text(self) -> VocabularyText:
        """Returns the texts of the training file, for a vocabulary."""
        file = self.dataset.train.file
        return VocabularyText(file.characters, file.texts_sha256, file.single_texts)

    def tokenised(self, how: Tokenising) -> Tokenised:
        """Returns batch builders over the tokenised texts. The cache keeps their token stores.

        Raises:
            DataError: if a file has changed since it was checked.
        """
        data = self.dataset
        stores = {id(file): _store(file, how) for file in data.files.values()}
        # two splits of one file share its store
        window = how.max_length if how.long_texts == "windows" else None
        train, val, choosing, test = (
            None
            if split is None
            else BatchBuilder(
                stores[id(split.file)],
                split.rows_N,
                split.targets,
                how.tokenizer.pad_id,
                how.pin_memory,
                window,
                how.ahead,
            )
            for split in (data.train, data.val, data.choosing, data.test)
        )
        assert train is not None and val is not None
        truncation = {name: stores[id(file)].info for name, file in data.files.items()}
        return Tokenised(train, val, choosing, truncation, tuple(self._warnings(truncation, how)), test)

    def _warnings(self, truncation: dict[str, StoreInfo], how: Tokenising) -> list[str]:
        """Returns warnings about texts that were cut, unknown characters, and classes of very unequal
        size."""
        warnings = []
        kept = KEPT[how.long_texts].format(max_length=how.max_length)
        what = "pair" if self.pairs else "text"
        for name, file in self.dataset.files.items():
            path, info = file.texts_path, truncation[name]
            way_out = how.ways_out.training if name == "train" else how.ways_out.other
            if info.truncated:
                share = info.lost_tokens / (info.tokens + info.lost_tokens)
                warnings.append(
                    f"{path}: {counted(info.truncated, what)} of {info.texts:,} cut to "
                    f"{kept}, {share:.1%} of all tokens lost"
                )
            if info.unknown.hinders_learning:
                warnings.append(f"{path}: {info.unknown.message(of=file.lines)}: {way_out}")
        counts = self.dataset.label_counts().values()
        if counts and max(counts) > UNEVEN * max(1, min(counts)):
            warnings.append(
                f"{self.dataset.train.file.labels_path}: the largest class has {max(counts):,} examples, the "
                f"smallest {min(counts):,}; optim.class_weights balanced and optim.metric macro_f1 may help"
            )
        return warnings

    def sizes(self, train: BatchBuilder, val: BatchBuilder) -> str:
        """Returns the numbers of texts and targets, in a few words."""
        data, words = self.dataset, self.dataset.train.file.lines.words
        what = "pairs" if self.pairs else "texts"
        amount = data.train.file.targets.amount(self.labels)
        if not data.validates:
            return f"{len(train.rows_N):,} training {what}, no other to validate, {amount}"
        set_aside = f" (set aside from the training {words.line}s)" if data.was_divided else ""
        choosing, test = (
            "" if split is None else f", {len(split):,} {what}"
            for split, what in ((data.choosing, self.use), (data.test, f"test {what}"))
        )
        texts = f"{len(train.rows_N):,} training and {len(val.rows_N):,} validation {what}{set_aside}"
        second = f"; each pair is of {data.train.file.texts_path}" if self.pairs else ""
        return f"{texts}{choosing}{test}, {amount}{second}"

    def columns(self) -> list[str]:
        """Returns a line about the columns of a table, if some of them were guessed."""
        return [] if self.dataset.columns is None else self.dataset.columns.said()

    def notes(self) -> list[str]:
        """Returns lines that say which training lines are set aside, and which id each label has."""
        data, lines, words = self.dataset, [], self.dataset.train.file.lines.words
        if not data.validates:
            lines.append(MEASURED_ON_TRAINING)
        elif data.was_divided:
            lines.append(
                f"{words.no_validation}: {len(data.val):,} of {len(data.train.file):,} {words.line}s are set "
                f"aside, stratified by {data.train.targets.strata}, seed {self.seed}"
            )
        if data.choosing is not None:
            lines.append(f"{len(data.choosing):,} training {words.line}s are set aside {self.use}")
        if data.train.file.targets.weights_N is not None:
            lines.append("texts have weights: the best step is chosen by them; measures count each text once")
        if data.test is not None:
            lines.append(f"{len(data.test):,} test texts decide nothing; they are measured once, at the end")
        return [*lines, data.train.targets.said(data.labels)]

    def hashes(self) -> dict[str, str]:
        """Returns the hashes by which a run recognises its data when it continues."""
        return self.dataset.hashes()

    def description(self) -> dict[str, Any]:
        """Returns sizes, hashes and label counts, for run.json."""
        return self.dataset.description()

    def unread_settings(self) -> dict[str, str]:
        """Returns the data settings that have no effect, with the reasons: with validation data, the share
        of lines to set aside; with a table, the names of files."""
        if self.dataset.columns is None:
            return {} if self.dataset.was_divided else {"data.val_fraction": "there are validation files"}
        files = dict.fromkeys(FILES, "data.table is set")
        return (
            files if self.dataset.was_divided else {**files, "data.val_fraction": "there are validation rows"}
        )


def _store(file: LabelledFile, how: Tokenising) -> TokenStore:
    return open_store(
        file.lines,
        file.texts_sha256,
        how.tokenizer,
        max_length=how.max_length,
        long_texts=how.long_texts,
        cache=how.cache,
    )
