"""CoNLL files become texts with spans of characters, whatever their columns and line ends."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from data_files import lines

from custom_bert.errors import DataError
from custom_bert.spans.conll import conll_lines, joined, read_conll
from custom_bert.spans.entity import Span
from custom_bert.spans.schemes import Scheme, read_tags, write_tags
from custom_bert.spans.spanned import KnownTypes
from custom_bert.spans.units import word_tags

CONLL2003 = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O
German JJ B-NP B-MISC
call NN I-NP O
. . O O

Peter NNP B-NP B-PER
Blackburn NNP I-NP I-PER

-DOCSTART- -X- O O

BRUSSELS NNP B-NP B-LOC
1996-08-22 CD I-NP O
"""


def written(directory: Path, content: str | bytes, name: str = "train.conll") -> Path:
    path = directory / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_sentences_documents_words_and_spans_are_those_of_the_file(tmp_path: Path) -> None:
    read = read_conll(written(tmp_path, CONLL2003))
    assert read.texts == ["EU rejects German call .", "Peter Blackburn", "BRUSSELS 1996-08-22"]
    assert (
        read.spans
        == read.strict
        == [
            [Span(0, 2, "ORG"), Span(11, 17, "MISC")],
            [Span(0, 15, "PER")],
            [Span(0, 8, "LOC")],
        ]
    )
    assert read.words is not None and read.words[1] == [(0, 5), (6, 15)]
    assert read.lines == [3, 9, 14] and read.document_of == [0, 0, 1]
    assert (read.scheme, read.notes, read.types) == ("BIO", [], ("LOC", "MISC", "ORG", "PER"))


@pytest.mark.parametrize(
    "content",
    [
        CONLL2003.replace(" ", "\t"),
        CONLL2003.replace(" ", "   "),
        CONLL2003.replace("\n", "\r\n"),
        "\ufeff" + CONLL2003,
        CONLL2003.rstrip("\n"),
        CONLL2003.replace("\n\n", "\n \t\n\n"),
        CONLL2003.replace("O\n\nEU", "O\nEU").replace("O O\n\nBR", "O O\nBR"),
    ],
)
def test_tabs_spaces_line_ends_and_blank_lines_make_no_difference(tmp_path: Path, content: str) -> None:
    wanted = read_conll(written(tmp_path, CONLL2003))
    read = read_conll(written(tmp_path, content, "other.conll"))
    assert (read.texts, read.spans, read.words, read.document_of) == (
        wanted.texts,
        wanted.spans,
        wanted.words,
        wanted.document_of,
    )


def test_a_word_may_hold_spaces_where_tabs_separate_columns(tmp_path: Path) -> None:
    read = read_conll(written(tmp_path, "New York\tB-LOC\nis\tO\n"))
    assert read.texts == ["New York is"] and read.spans == [[Span(0, 8, "LOC")]]


def test_words_before_the_first_document_mark_are_of_a_document(tmp_path: Path) -> None:
    read = read_conll(written(tmp_path, "a B-X\n\nb O\n\n-DOCSTART- O\n\nc O\n"))
    assert read.document_of == [0, 0, 1]


def test_a_line_that_begins_with_a_hash_is_a_word(tmp_path: Path) -> None:
    assert read_conll(written(tmp_path, "# O\nKim B-PER\n")).texts == ["# Kim"]


def test_white_space_at_the_ends_of_words_is_no_part_of_a_span(tmp_path: Path) -> None:
    content = "\u00a0Kim\u00a0\tB-PER\n\u00a0\tI-PER\nleft\tO\n\u3000\tB-LOC\n"
    read = read_conll(written(tmp_path, content))
    (text,), ((span,),) = read.texts, read.spans
    assert text[span.start : span.end] == "Kim"
    assert read.notes == [f"{tmp_path}/train.conll: an entity of white space alone, left out (line 4)"]


def test_what_the_scheme_does_not_allow_is_counted_with_lines(tmp_path: Path) -> None:
    content = "\n\n".join(["a B-X\nb I-X", "c O\nd I-X", "e B-X\nf I-Y", "g B-X"]) + "\n"
    read = read_conll(written(tmp_path, content))
    assert read.scheme == "BIO"
    assert read.notes == [
        f"{tmp_path}/train.conll: 2 tags that BIO does not allow, read as seqeval does (lines 5, 8)"
    ]
    assert read.spans[1:3] == [[Span(2, 3, "X")], [Span(0, 1, "X"), Span(2, 3, "Y")]]
    assert read.strict[1:3] == [[], [Span(0, 1, "X")]]


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (
            "1 Kim B-PER\n2 left O\n\n1 No O\n",
            "the first column counts the words 1, 2, 3 of each sentence; the word has to stand there",
        ),
        (
            "a B-X\n" * 501,
            "no blank line, so its 501 words are one sentence; write one between sentences",
        ),
    ],
)
def test_what_looks_wrong_is_said(tmp_path: Path, content: str, note: str) -> None:
    assert read_conll(written(tmp_path, content)).notes == [f"{tmp_path}/train.conll: {note}"]


REFUSED = {
    "one column": (
        "Kim\nleft\n",
        ":1: one column, 'Kim'; expected a word and its tag, with a tab or a space between them",
    ),
    "a column more": (
        "Kim B-PER\nNew York B-LOC\n",
        ":2: 3 columns, while line 1 has 2; if a word holds a space, separate the columns by tabs",
    ),
    "a column more, with tabs": ("Kim\tB-PER\na\tb\tO\n", ":2: 3 columns, while line 1 has 2"),
    "an empty word": (
        "Kim\tB-PER\n\tO\n",
        ":2: the first column is empty; write the word into it, or nothing into the line",
    ),
    "an empty tag": ("Kim\tB-PER\na\t\n", ":2: the last column is empty; write the word's tag into it, or O"),
    "names of columns": (
        "token tag\nKim B-PER\n",
        ":1: 'tag' is no tag; expected O, or a letter of the scheme and a type, as in B-PER; if this line "
        "names the columns, remove it",
    ),
    "a comment": (
        "Kim B-PER\n# comment\n",
        ":2: 'comment' is no tag; expected O, or a letter of the scheme and a type, as in B-PER; if this "
        "line "
        "is a comment, remove it",
    ),
    "zero for O": (
        "Kim B-PER\na 0\n",
        ":2: '0' in the place of the capital letter O, which says that a word is outside",
    ),
    "JSON": (
        '{"text": "Kim", "spans": []}\n',
        ":1: '[]}' is no tag; expected O, or a letter of the scheme and a type, as in B-PER; the line looks "
        "like JSON, whose files end with .jsonl",
    ),
    "no entity": ("Kim O\n", ": every tag is O: no entity stands there, so there is nothing to learn"),
    "no word": ("\n-DOCSTART- O\n\n", ": no line has a word"),
    "an empty file": ("", ": the file is empty; expected one example a line"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, name: str) -> None:
    content, message = REFUSED[name]
    path = written(tmp_path, content)
    with pytest.raises(DataError) as caught:
        read_conll(path)
    assert str(caught.value) == f"{path}{message}"


def test_a_type_that_training_does_not_have_is_refused_elsewhere(tmp_path: Path) -> None:
    path = written(tmp_path, "a O\nb B-LOCATION\n", "val.conll")
    with pytest.raises(DataError) as caught:
        read_conll(path, KnownTypes(("LOC", "LOCATIONS", "PER"), "train.conll"))
    assert str(caught.value) == (
        f"{path}:2: type 'LOCATION' never occurs in train.conll (did you mean 'LOCATIONS'?)"
    )


def test_a_file_without_entities_may_validate_with_a_word_about_it(tmp_path: Path) -> None:
    path = written(tmp_path, "a O\n", "val.conll")
    read = read_conll(path, KnownTypes(("LOC",), "train.conll"))
    assert read.spans == [[]]
    assert read.notes == [f"{path}: every tag is O, so nothing can be found there"]


PARTS = [
    "a",
    "é",
    "e\u0301",
    "ß",
    "好",
    "\U0001f642",
    "\u200b",
    "\u00a0",
    "#",
    "-",
    "\u2028",
    "\x85",
    "👩\u200d👧",
]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    draw = random.Random(0)
    content: list[str] = []
    sentences = []
    for _ in range(500):
        words = ["".join(draw.choices(PARTS, k=draw.randint(1, 4))) for _ in range(draw.randint(1, 6))]
        words = [word if word.strip() else "x" for word in words]
        begin = draw.randrange(len(words))
        entities = [(begin, draw.randint(begin + 1, len(words)), "X")]
        sentences.append((words, entities))
        content += conll_lines(words, entities)
    read = read_conll(written(tmp_path, lines(content)))
    assert read.words is not None
    for text, ranges, spans, (words, entities) in zip(
        read.texts, read.words, read.spans, sentences, strict=True
    ):
        assert text == " ".join(words)
        assert [text[start:end] for start, end in ranges] == [word.strip() for word in words]
        ((begin, end, _),) = entities
        assert [text[one.start : one.end] for one in spans] == [" ".join(words[begin:end]).strip()]
        assert read_tags(word_tags(spans, ranges), "BIO") == (entities, [])


def test_a_word_never_breaks_a_line_or_a_column() -> None:
    found = conll_lines(["a\tb", "c\nd"], [(0, 2, "X")])
    assert found == ["a b\tB-X", "c d\tI-X", ""]


def test_places_of_words_count_characters() -> None:
    assert joined(["\U0001f642", "e\u0301", " ", "b "]) == (
        "\U0001f642 e\u0301   b ",
        [(0, 1), (2, 4), (5, 5), (7, 8)],
    )
    assert write_tags([], 2) == ["O", "O"]


@pytest.mark.parametrize("scheme", ["BIO", "BIOES", "IOB1"])
def test_a_file_in_any_scheme_gives_the_same_spans_and_no_note(tmp_path: Path, scheme: Scheme) -> None:
    entities = [(0, 2, "PER"), (3, 4, "PER"), (4, 5, "LOC"), (5, 6, "LOC")]
    rows = [f"w{i}\t{tag}" for i, tag in enumerate(write_tags(entities, 6, scheme))]
    read = read_conll(written(tmp_path, lines(rows)))
    assert (read.scheme, read.notes) == (scheme, [])
    assert (
        read.spans
        == read.strict
        == [[Span(0, 5, "PER"), Span(9, 11, "PER"), Span(12, 14, "LOC"), Span(15, 17, "LOC")]]
    )
