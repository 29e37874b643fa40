"""Text files that may hold pairs: lines with a tab, or a second file beside the first one."""

from __future__ import annotations

from pathlib import Path

from custom_bert.config import DataConfig
from custom_bert.data.lines import Lines
from custom_bert.data.text import LineReader, status_of
from custom_bert.data.text_pairs import JoinedLines, TabbedLines
from custom_bert.errors import DataError


def second_file(path: str | Path) -> Path:
    """Returns the path of the file with the second texts: `train_dataset_2.txt` of `train_dataset.txt`."""
    return Path(path).with_stem(f"{Path(path).stem}_2")


def has_second_file(path: str | Path) -> bool:
    """Returns whether there is a file with second texts beside a text file."""
    return status_of(second_file(path)) is not None


def are_pairs(data: DataConfig) -> bool:
    """Returns whether the text files that the settings name hold pairs.

    Raises:
        DataError: if they would do so in two ways.
    """
    second = second_file(data.train_texts)
    if has_second_file(data.train_texts):
        if data.pairs:
            raise DataError(
                str(second),
                f"this file has second texts, and data.pairs wants them in the lines of {data.train_texts}; "
                f"leave one out",
            )
        return True
    return data.pairs


def text_lines(path: str | Path, data: DataConfig, *, pairs: bool) -> Lines:
    """Opens a text file, with the file of second texts if the pairs are in two files.

    Args:
        path: the text file.
        data: the settings, whose training texts say in which form all pairs are.
        pairs: whether the texts are pairs.

    Raises:
        DataError: if a file is missing, or there is a file of second texts where it does not belong.
    """
    second = second_file(path)
    if has_second_file(path) and (not pairs or data.pairs):
        reason = "data.pairs is set" if data.pairs else f"there is no {second_file(data.train_texts)}"
        raise DataError(
            str(second), f"a file of second texts, but {reason}; write second texts everywhere or nowhere"
        )
    if not pairs:
        return LineReader(path)
    if data.pairs:
        return tabbed(LineReader(path), "pairs of texts are read", second_file(path))
    if not has_second_file(path):
        beside = f"{path} has first texts, as {second_file(data.train_texts)} says"
        raise DataError(
            str(second), f"no such file, but {beside}; write the second text of each line into it"
        )
    return JoinedLines(LineReader(path), LineReader(second), f"{path} and {second}")


def tabbed(lines: Lines, asked: str, second: Path | None = None) -> TabbedLines:
    """Returns lines of two texts with a tab between them.

    Args:
        lines: the lines.
        asked: why each line has to be a pair, for messages.
        second: the file into which second texts with tabs can be written; None if they cannot.
    """
    others = "write a space for the others"
    if second is not None:
        others = f"a text with a tab needs a file of second texts, {second.name}, or a table"
    return TabbedLines(lines, asked, others)
