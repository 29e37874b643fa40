"""What looks wrong about training, validation and test files of spans is said, and nothing else is."""

from __future__ import annotations

from pathlib import Path

from custom_bert.spans.findings import doubts
from custom_bert.spans.reading import read_spans
from custom_bert.spans.spanned import KnownTypes, SpannedTexts

GOOD = "\n".join(f"{who} B-PER\nleft O\n{where} B-LOC\ntoday O\n" for who, where in ("ab", "cd", "ef"))


def read(directory: Path, name: str, content: str, known: SpannedTexts | None = None) -> SpannedTexts:
    path = directory / name
    path.write_text(content, encoding="utf-8")
    return read_spans(path, None if known is None else KnownTypes(known.types, known.path))


def said(directory: Path, train: str, val: str = "x B-PER\nleft O\ny B-LOC\ntoday O\n") -> list[str]:
    """The doubts about two files, with their directory left out."""
    first = read(directory, "train.conll", train)
    second = read(directory, "val.conll", val, first)
    return [line.replace(f"{directory}/", "") for line in doubts(first, {"validation": second})]


def test_nothing_is_said_of_good_files(tmp_path: Path) -> None:
    assert said(tmp_path, GOOD) == []


def test_types_with_few_spans_are_named(tmp_path: Path) -> None:
    assert said(tmp_path, GOOD + "\nz B-ORG\n") == [
        "train.conll: 1 type with fewer than 3 spans: 'ORG' (line 16)",
        "val.conll: no span of 1 type of train.conll: 'ORG'",
    ]


def test_types_that_look_the_same_are_named(tmp_path: Path) -> None:
    both = (
        GOOD + "\n" + GOOD.replace("PER", "Per").replace("a ", "g ").replace("c ", "h ").replace("e ", "i ")
    )
    (twins, *_) = said(tmp_path, both)
    assert twins == (
        "train.conll: 1 type like another except for case, spaces or width, counted as different: 'PER' "
        "and 'Per' "
        "(line 16)"
    )


def test_equal_texts_with_other_spans_are_named(tmp_path: Path) -> None:
    again = GOOD + "\na B-PER\nleft O\nb O\ntoday O\n"
    assert said(tmp_path, again) == [
        "train.conll: 1 text with other spans where it stands again (lines 1 and 16)"
    ]


def test_texts_that_train_are_named_unless_they_are_short(tmp_path: Path) -> None:
    long = "a B-PER\nleft O\nb B-LOC\ntoday O\n"
    assert said(tmp_path, GOOD, long) == [
        "val.conll: 1 text also in train.conll (line 1); the validation scores are too high because of "
        "these texts"
    ]
    short = "Kim B-PER\n"
    assert not any("also in" in line for line in said(tmp_path, f"{GOOD}\n{short}", short))
