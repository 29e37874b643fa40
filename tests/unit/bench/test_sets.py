"""Samples of data sets that benchmarks train on."""

from pathlib import Path

from custom_bert.bench.sets import divided, lines, write_lines, write_undrawn


def _set(folder: Path, count: int) -> Path:
    folder.mkdir()
    for split in ("train", "val"):
        write_lines(folder / f"{split}_dataset.txt", [f"{split} text {i}" for i in range(count)])
        write_lines(folder / f"{split}_labels.txt", [f"label {i}" for i in range(count)])
    return folder


def _rows(folder: Path, split: str) -> dict[str, str]:
    return dict(zip(lines(folder, f"{split}_dataset"), lines(folder, f"{split}_labels"), strict=True))


def test_lines_that_were_not_drawn_train_nothing_and_keep_their_labels(tmp_path: Path) -> None:
    source, target = _set(tmp_path / "set", 100), tmp_path / "divided"
    target.mkdir()
    train, reported = divided(source, 40, 3, target)
    drawn = _rows(train, "train") | _rows(train, "val")
    assert len(drawn) == 40 and len(_rows(train, "val")) == 4
    assert _rows(reported, "test") == _rows(source, "val")
    write_undrawn(source, 40, 25, train)
    undrawn = _rows(train, "val")
    assert len(undrawn) == 25 and not drawn.keys() & undrawn.keys()
    assert all(_rows(source, "train")[text] == label for text, label in (drawn | undrawn).items())
    write_undrawn(source, 40, 1000, train)
    assert drawn.keys() | _rows(train, "val").keys() == _rows(source, "train").keys()
