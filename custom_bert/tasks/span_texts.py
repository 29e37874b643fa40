"""Texts with spans as the source of a run: files that were read, their tokens in memory, and the tag of each
unit.

Shapes: N texts of a file, U units of a text, X types.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from custom_bert.data.encoded import EncodedTexts
from custom_bert.data.labelled_texts import KEPT, MEASURED_ON_TRAINING
from custom_bert.data.loader import BatchBuilder
from custom_bert.data.row_targets import RowTargets
from custom_bert.data.source import Tokenised, Tokenising, VocabularyText
from custom_bert.data.store import StoreInfo
from custom_bert.data.unknown import UnknownText
from custom_bert.data.windows import overlap_of
from custom_bert.errors import DataError
from custom_bert.phrases import counted
from custom_bert.spans.entity import Span, tag_names
from custom_bert.spans.findings import doubts
from custom_bert.spans.spanned import Range, SpannedTexts
from custom_bert.spans.units import changed_spans, unit_tags

SCORES_OF = {"val": "validation", "test": "test"}
"""What the scores on the texts of a split are called."""

GROUP = 4096
"""The number of texts that are tokenised at a time."""


@dataclass(frozen=True)
class TextUnits:
    """The units of a text, and what its file says of them: what a scorer needs to know.

    Attributes:
        units_U2: (U, 2) int64 where each unit begins and ends in the text. Units that were cut off the end of
            a long text are not among them.
        spans: the spans of the text.
        strict: those of them whose tags had not to be repaired.
        words: where the words of the file stand; None if it has no words.
        text: the text.
    """

    units_U2: np.ndarray
    spans: Sequence[Span] = ()
    strict: Sequence[Span] = ()
    words: Sequence[Range] | None = None
    text: str = ""

    @staticmethod
    def of(file: SpannedTexts, row: int, units_U2: np.ndarray) -> TextUnits:
        """Returns what a file says of one of its texts, by the index of the text and its units."""
        words = None if file.words is None else file.words[row]
        return TextUnits(units_U2, file.spans[row], file.strict[row], words, file.texts[row])


@dataclass(frozen=True)
class SpanSplit:
    """Some texts of a file, to train on or to measure with.

    Attributes:
        file: the file with all texts.
        rows_N: (N,) int64 the indices of the split's texts, from 0, ascending.
    """

    file: SpannedTexts
    rows_N: np.ndarray

    def __len__(self) -> int:
        return len(self.rows_N)


@dataclass(frozen=True)
class SpanTexts:
    """The texts that a run learns from. It is a `data.source.Source`.

    Attributes:
        train, val: the training and validation texts. They share one file where some were set aside, and are
            the same where none was.
        test: the texts that the finished model is measured on, once; None if there are none.
        types: the types of the training spans, sorted.
        seed: the seed by which validation texts were set aside.
    """

    train: SpanSplit
    val: SpanSplit
    test: SpanSplit | None
    types: tuple[str, ...]
    seed: int

    @property
    def labels(self) -> tuple[str, ...]:
        """The types of spans."""
        return self.types

    @property
    def was_divided(self) -> bool:
        """Whether the validation texts were set aside from the training file."""
        return self.val.file is self.train.file

    @property
    def validates(self) -> bool:
        """Whether there are validation texts that do not train."""
        return self.val is not self.train

    @property
    def pairs(self) -> bool:
        """False, because spans stand in single texts."""
        return False

    @property
    def files(self) -> dict[str, SpannedTexts]:
        """The files by the names of their splits: the training file, and the others where there are any."""
        val = {} if self.was_divided else {"val": self.val.file}
        return {"train": self.train.file, **val, **({} if self.test is None else {"test": self.test.file})}

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What was repaired, and what looks wrong, one line each."""
        notes = [note for file in self.files.values() for note in file.notes]
        others = {SCORES_OF[name]: file for name, file in self.files.items() if name != "train"}
        return (*notes, *doubts(self.train.file, others))

    @cached_property
    def counts(self) -> dict[str, int]:
        """The number of training spans of each type."""
        spans = (self.train.file.spans[row] for row in self.train.rows_N.tolist())
        counts = Counter(span.label for of_text in spans for span in of_text)
        return {name: counts[name] for name in self.types}

    def words_by_type(self) -> list[int]:
        """Returns how many words of the training texts are outside of all spans, and in spans of each type.
        Words stand between white space."""
        outside, inside = 0, Counter[str]()
        for row in self.train.rows_N.tolist():
            text = self.train.file.texts[row]
            outside += len(text.split())
            for span in self.train.file.spans[row]:
                words = len(text[span.start : span.end].split())
                inside[span.label] += words
                outside -= words
        return [max(0, outside), *(inside[name] for name in self.types)]

    def text(self) -> VocabularyText:
        """Returns the texts of the training file, for a vocabulary."""
        file = self.train.file

        def blocks() -> Iterator[list[str]]:
            yield [line for text in file.texts for line in text.splitlines()]

        return VocabularyText(sum(map(len, file.texts)), file.sha256, blocks)

    def tokenised(self, how: Tokenising) -> Tokenised:
        """Returns batch builders over the tokenised texts, which are kept in memory.

        A text without a unit is left out of them: there is nothing to learn or to measure.
        """
        encoded = {id(file): encode_units(file.texts, how) for file in self.files.values()}
        train, val, test = (
            None if split is None else self._builder(split, encoded[id(split.file)], how)
            for split in (self.train, self.val, self.test)
        )
        assert train is not None and val is not None
        infos = {name: _info(encoded[id(file)]) for name, file in self.files.items()}
        warnings = tuple(self._warnings(encoded, infos, how))
        return Tokenised(train, train if self.val is self.train else val, None, infos, warnings, test)

    def _builder(self, split: SpanSplit, encoded: EncodedTexts, how: Tokenising) -> BatchBuilder:
        assert encoded.units is not None
        index = {tag: i for i, tag in enumerate(tag_names(self.types))}
        file, rows = split.file, [row for row in split.rows_N.tolist() if len(encoded.units[row])]
        if not rows:
            raise DataError(file.path, "no text has a word that the tokenizer sees")
        units = [encoded.units[row] for row in rows]
        values = [
            np.array([index[tag] for tag in unit_tags(of_text[:, 1:].tolist(), file.spans[row])])
            for row, of_text in zip(rows, units, strict=True)
        ]
        about = [TextUnits.of(file, row, of_text[:, 1:]) for row, of_text in zip(rows, units, strict=True)]
        targets = RowTargets.of([of_text[:, 0] for of_text in units], values, about)
        return unit_batches(encoded, np.array(rows, dtype=np.int64), targets, how)

    def _warnings(
        self, encoded: dict[int, EncodedTexts], infos: dict[str, StoreInfo], how: Tokenising
    ) -> Iterator[str]:
        """Yields warnings about texts that were cut, unknown characters, and spans that no tags of units can
        say."""
        kept = KEPT[how.long_texts].format(max_length=how.max_length)
        for name, file in self.files.items():
            info, units = infos[name], encoded[id(file)].units
            assert units is not None
            way_out = how.ways_out.training if name == "train" else how.ways_out.other
            if info.truncated:
                share = info.lost_tokens / (info.tokens + info.lost_tokens)
                yield (
                    f"{file.path}: {counted(info.truncated, 'text')} of {info.texts:,} cut to {kept}, "
                    f"{share:.1%} of all tokens lost; nothing is found in what is cut off"
                )
            if info.unknown.hinders_learning:
                yield f"{file.path}: {info.unknown.message(lines=False)}: {way_out}"
            changed = [
                file.lines[row]
                for row, of_text in enumerate(units)
                for _ in changed_spans(of_text[:, 1:].tolist(), file.spans[row])
            ]
            if changed:
                yield (
                    f"{file.path}: {counted(len(changed), 'span')} with an edge inside of what the tokenizer "
                    f"takes for one word, which cannot be found exactly; the first is of the text at line "
                    f"{changed[0]:,}"
                )

    def sizes(self, train: BatchBuilder, val: BatchBuilder) -> str:
        """Returns the numbers of texts, spans and types, in a few words."""
        spans = f"{counted(sum(self.counts.values()), 'span')} of {counted(len(self.types), 'type')}"
        if not self.validates:
            return f"{len(self.train):,} training texts, no other to validate, {spans}"
        aside = " (set aside from the training texts)" if self.was_divided else ""
        test = "" if self.test is None else f", {len(self.test):,} test texts"
        return f"{len(self.train):,} training and {len(self.val):,} validation texts{aside}{test}, {spans}"

    def columns(self) -> list[str]:
        """Returns a line about the scheme of the training file's tags, if it has tags."""
        scheme = self.train.file.scheme
        return [] if scheme is None else [f"a token and its tag a line, in the scheme {scheme}"]

    def notes(self) -> list[str]:
        """Returns lines that say which texts are set aside, and how many spans each type has."""
        lines = []
        if not self.validates:
            lines.append(MEASURED_ON_TRAINING)
        elif self.was_divided:
            lines.append(
                f"no validation file: {len(self.val):,} of {len(self.train.file):,} texts are set aside, "
                f"by documents if there are many, seed {self.seed}"
            )
        if self.test is not None:
            lines.append(f"{len(self.test):,} test texts decide nothing; they are measured once, at the end")
        return [*lines, f"spans: {', '.join(f'{name} {count:,}' for name, count in self.counts.items())}"]

    def hashes(self) -> dict[str, str]:
        """Returns the hashes by which a run recognises its data when it continues."""
        return {"train_spans": self.train.file.sha256, "val_spans": self.val.file.sha256}

    def description(self) -> dict[str, Any]:
        """Returns sizes, hashes and the number of spans of each type, for run.json."""
        test: dict[str, Any] = {}
        if self.test is not None:
            test = {"test_examples": len(self.test), "test_hashes": {"spans": self.test.file.sha256}}
        return {
            "train_examples": len(self.train),
            "val_examples": len(self.val),
            **test,
            "val_set_aside_from_train": self.was_divided,
            **({} if self.validates else {"val_trains": True}),
            "files": {file.path: file.sha256 for file in self.files.values()},
            "labels": self.counts,
        }

    def unread_settings(self) -> dict[str, str]:
        """Returns the share of texts to set aside, if there is a validation file."""
        return {} if self.was_divided else {"data.val_fraction": "there is a validation file"}


def encode_units(texts: Sequence[str], how: Tokenising) -> EncodedTexts:
    """Returns the tokens and units of all texts of a file."""
    groups = [
        how.tokenizer.encode(texts[start : start + GROUP], how.max_length, how.long_texts, units=True)
        for start in range(0, len(texts), GROUP)
    ]
    units: list[np.ndarray] = []
    for group in groups:
        assert group.units is not None
        units += group.units
    return EncodedTexts(
        [ids for group in groups for ids in group.sequences],
        np.concatenate([group.special_NS for group in groups]),
        np.concatenate([group.lost_N for group in groups]),
        np.concatenate([group.unknown_N for group in groups]),
        np.concatenate([group.characters_N for group in groups]),
        units=units,
    )


def unit_batches(
    encoded: EncodedTexts, rows_N: np.ndarray, targets: RowTargets, how: Tokenising
) -> BatchBuilder:
    """Returns what builds batches of texts whose units have targets.

    Args:
        encoded: the tokens of texts.
        rows_N: (N,) which of these texts are meant.
        targets: the targets of their units.
        how: how texts become batches.
    """
    windowed = how.long_texts == "windows"
    return BatchBuilder(
        encoded,
        rows_N,
        None,
        how.tokenizer.pad_id,
        how.pin_memory,
        how.max_length if windowed else None,
        how.ahead,
        overlap_of(how.max_length, how.tokenizer.frame.size) if windowed else 0,
        targets,
    )


def _info(encoded: EncodedTexts) -> StoreInfo:
    """Returns the description of tokens in memory, as a store on disk has it."""
    unknown = UnknownText()
    unknown.add(encoded)
    return StoreInfo(
        len(encoded.sequences),
        int(encoded.lengths_N.sum()),
        "<i8",
        int((encoded.lost_N > 0).sum()),
        int(encoded.lost_N.sum()),
        unknown,
    )
