"""Hints for the error about a missing data file: what the folder holds instead, and what the user can do."""

from __future__ import annotations

import difflib
import itertools
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from custom_bert.errors import did_you_mean, shown

DATA_FILES = tuple(
    f"{split}_{kind}.txt" for split in ("train", "val", "test") for kind in ("dataset", "labels")
)
"""The names of the files in a folder of data. Those for validation and for the test may be missing."""

READABLE_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
"""Endings of tables that are read as they are. `data.tables.formats` has the formats."""

PACKED_TABLES = tuple(f"{end}{packed}" for end in READABLE_TABLES[:-1] for packed in (".gz", ".zst"))

TABLES = (*READABLE_TABLES, ".json", ".xlsx", ".xls", ".arrow", ".feather")
"""Endings of files that hold texts and labels side by side."""

UNPACK = {
    ".tar.gz": "tar xzf {file} -C {folder}",
    ".tar.xz": "tar xJf {file} -C {folder}",
    ".tgz": "tar xzf {file} -C {folder}",
    ".tar": "tar xf {file} -C {folder}",
    ".zip": "unzip {file} -d {folder}",
    ".gz": "gunzip -k {file}",
    ".zst": "unzstd {file}",
    ".xz": "unxz -k {file}",
    ".bz2": "bunzip2 -k {file}",
}
"""Ending of a packed file -> the command that unpacks it. The first ending that fits is taken, so the longer
endings come first."""

WHAT_TO_WRITE = f"texts, one a line, into {DATA_FILES[0]}, and the label of each into {DATA_FILES[1]}"
"""Continues a sentence that begins with "write"."""

MOST_NAMES = 10_000
"""At most this many names of a folder are read, so that a hint about a huge folder takes no time."""

TEXT_WORDS = ("text", "data", "sentence", "review", "comment", "document", "inputs")
LABEL_WORDS = ("label", "class", "target", "categor", "tags")
"""Words, or their beginnings, in the names that other programs give to files of texts and of labels."""


def missing_file_hint(path: Path) -> str:
    """Returns what the user may have meant, to be written after "no such file"; "" if nothing is similar."""
    folder = path.parent
    if path.is_symlink():
        return f"; it is a link to {shown(os.readlink(path))}, which is not there"
    if os.path.isfile(folder):
        return f"; {folder} is a file, not a folder"
    if not os.path.isdir(folder):
        siblings = [name for name in _names(folder.parent) if os.path.isdir(folder.parent / name)]
        return f"; there is no directory {folder}{did_you_mean(folder.name, siblings)}"
    names = _names(folder)
    # texts.txt may be packed as texts.txt.gz or as texts.gz
    packed = next(
        (name for end in UNPACK for name in (path.name + end, path.stem + end) if name in names), ""
    )
    if packed:
        return f", but there is {shown(packed)}; unpack it: {_unpacking(folder / packed)}"
    stems = {Path(name).stem: name for name in names if _is_text(name)}
    near = difflib.get_close_matches(path.stem, list(stems), n=1, cutoff=0.8)
    return f" (did you mean {shown(stems[near[0]])}?)" if near else ""


def missing_data_hint(path: Path, *, labels: bool) -> str:
    """Returns the same hint for a file of training texts or labels; it also says what else the folder
    holds."""
    hint = missing_file_hint(path)
    if hint or path.name not in DATA_FILES:
        return hint
    folder, what = path.parent, "labels" if labels else "texts"
    names = _names(folder)
    if spans := next((name for name in names if name in ("train.conll", "train.jsonl")), ""):
        return f", but there is {spans}; --task tokens learns spans from it"
    within = next((name for name in names if os.path.isfile(folder / name / path.name)), "")
    if within:
        return f", but there is {folder / within / path.name}; give that folder"
    texts = [name for name in names if name not in DATA_FILES and _is_text(name)]
    similar = [name for name in texts if _has_word(name, LABEL_WORDS if labels else TEXT_WORDS)]
    if similar:
        return f"; rename the file with the {what} (is it {' or '.join(map(shown, similar[:3]))}?)"
    for endings, way_out in (
        ((*READABLE_TABLES, *PACKED_TABLES), f"give such a table instead, or write {WHAT_TO_WRITE}"),
        (TABLES, f"write {WHAT_TO_WRITE}"),
        (tuple(UNPACK), "unpack what you need"),
    ):
        matching = [name for name in names if name.lower().endswith(endings)]
        if matching:
            return f"; the folder holds {_listed(matching)}: {way_out}"
    if not set(names) & set(DATA_FILES):
        return f"; the folder {f'holds {_listed(names)}' if names else 'is empty'}: write {WHAT_TO_WRITE}"
    return f"; write into it the {what[:-1]} of each line of {DATA_FILES[0 if labels else 1]}"


def not_a_folder_hint(path: str) -> str:
    """Returns what is wrong, and what to do, where a file is given in the place of the folder of data
    files."""
    name = Path(path).name
    if name in DATA_FILES:
        return f"is a file; give the folder that holds it, {shown(str(Path(path).parent))}"
    unpacking = _unpacking(Path(path)) if name.lower().endswith(tuple(UNPACK)) else ""
    unpack_first = f"unpack it ({unpacking}) and " if unpacking else ""
    kind = "is a file" if os.path.isfile(path) else "is no folder"  # it may be a pipe or a device
    return f"{kind}; give a folder: {unpack_first}write its {WHAT_TO_WRITE}"


def not_data_hint(path: str) -> str:
    """Returns what is wrong, and what to do, where a file is given that is neither a folder nor a table."""
    if Path(path).name in DATA_FILES:
        return not_a_folder_hint(path)
    unpacking = _unpacking(Path(path)) if path.lower().endswith(tuple(UNPACK)) else ""
    unpack_first = f"unpack it ({unpacking}) and " if unpacking else ""
    kind = "is a file" if os.path.isfile(path) else "is no folder"  # it may be a pipe or a device
    return f"{kind}; {unpack_first}give a folder, or a table that ends with {', '.join(READABLE_TABLES)}"


def _names(folder: Path) -> list[str]:
    """Returns the names in a folder, sorted; none if the folder cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in itertools.islice(entries, MOST_NAMES))
    except (OSError, ValueError):
        return []


def _is_text(name: str) -> bool:
    return Path(name).suffix.lower() in ("", ".txt", ".text")


def _has_word(name: str, words: Sequence[str]) -> bool:
    """Returns whether a name says that the file holds texts (or labels), and not that it is for validation
    or testing."""
    stem = Path(name).stem.lower()
    if re.search(r"(?<![a-z])(val|valid|validation|dev|eval|test)(?![a-z])", stem):
        return False
    in_name = re.findall("[a-z]+", stem)
    return any(one.startswith(word) for one in in_name for word in words) or stem in (
        ("y", "y_train", "train_y") if words is LABEL_WORDS else ("x", "x_train", "train_x")
    )


def _unpacking(path: Path) -> str:
    """Returns the command that unpacks a file, with the names quoted for a shell."""
    command = next(UNPACK[end] for end in UNPACK if path.name.lower().endswith(end))
    return command.format(file=shlex.quote(str(path)), folder=shlex.quote(str(path.parent)))


def _listed(names: Sequence[str]) -> str:
    """Returns the first three names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(map(shown, names[:3])) + more
