"""Texts and their spans, as files give them."""

from __future__ import annotations

from dataclasses import dataclass

from custom_bert.spans.entity import Span, types_of
from custom_bert.spans.schemes import Scheme

Range = tuple[int, int]
"""Where a part of a text begins, and the index after its last character."""


@dataclass(frozen=True, kw_only=True)
class SpannedTexts:
    """The content of a file of texts with spans, read and checked. All lists but `notes` have an item for
    each text.

    Attributes:
        path: the file.
        sha256: the SHA-256 hash of its bytes.
        texts: the texts. A sentence of words is a text with one space between two words.
        spans: the spans of each text, which do not overlap, in order.
        strict: the spans that seqeval's strict mode reads. They lack those whose tags had to be repaired.
        words: where each word of the file stands in its text, without white space at its ends; None if the
            file has no words.
        lines: the number of the line, from 1, at which each text begins.
        document_of: the index, from 0, of the document that each text belongs to.
        scheme: the scheme of the file's tags; None if it has none.
        notes: what was repaired, and what looks wrong, a line each, with counts and line numbers.
    """

    path: str
    sha256: str
    texts: list[str]
    spans: list[list[Span]]
    strict: list[list[Span]]
    words: list[list[Range]] | None
    lines: list[int]
    document_of: list[int]
    scheme: Scheme | None
    notes: list[str]

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def types(self) -> tuple[str, ...]:
        """The different types of the spans, sorted."""
        return types_of(self.spans)


@dataclass(frozen=True)
class KnownTypes:
    """The types of the training file, which are the only ones that other files may have.

    Attributes:
        names: the types.
        path: the training file.
    """

    names: tuple[str, ...]
    path: str
