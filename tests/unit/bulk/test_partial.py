"""The folder FILE.part: what counts in it, who may use it, and what is said of one that is damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from custom_bert import files
from custom_bert.bulk.partial import DONE, STATE, Done, Partial, opened, part_of, shard_name
from custom_bert.errors import RunError, WriteError

BEGUN = {"model": "abc", "--precision": "fp32"}


def open_part(out: Path, begun: dict[str, str] = BEGUN, rank: int = 0, ranks: int = 1) -> Any:
    said: list[str] = []
    return opened(out, begun, rank=rank, ranks=ranks, warn=said.append)


def add(partial: Partial, index: int, content: bytes = b"label\n") -> None:
    with files.writing(partial.own / shard_name(index)) as sink:
        sink.write(content)
    partial.add(Done(shard=index, rows=1, input="i", size=sink.size, sha256=sink.sha256))


def refusal(out: Path, begun: dict[str, str] = BEGUN) -> str:
    with pytest.raises((RunError, WriteError)) as refused, open_part(out, begun):
        pass
    assert "\n" not in str(refused.value)
    return str(refused.value).replace(str(out.parent), "DIR")


def test_what_is_done_is_there_when_the_folder_is_opened_again(tmp_path: Path) -> None:
    out = tmp_path / "o.txt"
    with open_part(out) as partial:
        add(partial, 0)
        add(partial, 2)
    with open_part(out) as partial:
        assert sorted(partial.done) == [0, 2]


def test_a_shard_counts_only_with_a_whole_line_and_all_of_its_bytes(tmp_path: Path) -> None:
    out = tmp_path / "o.txt"
    with open_part(out) as partial:
        for index in range(4):
            add(partial, index)
    own = part_of(out) / "0-of-1"
    (own / shard_name(1)).write_bytes(b"lab")
    (own / shard_name(2)).unlink()
    log = (own / DONE).read_bytes()
    (own / DONE).write_bytes(log[:-5])  # a kill in the last line
    with open_part(out) as partial:
        assert sorted(partial.done) == [0]
        add(partial, 5)
    with open_part(out) as partial:
        assert sorted(partial.done) == [0, 5]
    assert all(json.loads(line) for line in (own / DONE).read_text(encoding="utf-8").splitlines())


def test_shards_that_are_gone_are_told(tmp_path: Path) -> None:
    out, said = tmp_path / "o.txt", list[str]()
    with open_part(out) as partial:
        add(partial, 0)
    own = part_of(out) / "0-of-1"
    (own / shard_name(0)).unlink()
    with opened(out, BEGUN, rank=0, ranks=1, warn=said.append):
        pass
    assert said == [f"{own}: 1 shard is missing or cut short; its rows are labelled again"]


def test_what_was_begun_with_something_else_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "o.txt"
    with open_part(out):
        pass
    again = "go on with the same, or remove DIR/o.txt.part to begin anew"
    assert refusal(out, {**BEGUN, "model": "x"}) == f"DIR/o.txt.part: was begun with another model; {again}"
    assert refusal(out, {**BEGUN, "--precision": "bf16"}) == (
        f"DIR/o.txt.part: was begun with --precision fp32, and this command has bf16; {again}"
    )
    assert refusal(out, {**BEGUN, "zlib": "1.3"}) == (
        f"DIR/o.txt.part: was begun with zlib nothing, and this command has 1.3; {again}"
    )


def test_another_device_or_library_is_refused(tmp_path: Path) -> None:
    with open_part(tmp_path / "o.txt") as partial:
        partial.check_computed_by({"device": "cpu", "torch": "2"})
        partial.check_computed_by({"device": "cpu", "torch": "2"})
        with pytest.raises(RunError, match="was begun with device cpu, and this command has cuda"):
            partial.check_computed_by({"device": "cuda", "torch": "2"})


@pytest.mark.parametrize(("rank", "ranks"), [(0, 1), (0, 2), (1, 3)])
def test_a_second_process_is_refused_while_the_first_one_works(tmp_path: Path, rank: int, ranks: int) -> None:
    out = tmp_path / "o.txt"
    reason = "another process labels into it; wait for it, or choose another --out"
    with (
        open_part(out, rank=rank, ranks=ranks),
        pytest.raises(RunError, match=reason),
        open_part(out),
    ):
        pass


def test_ranks_work_side_by_side_and_see_what_others_have_done(tmp_path: Path) -> None:
    out = tmp_path / "o.txt"
    with open_part(out, rank=0, ranks=2) as first, open_part(out, rank=1, ranks=2) as second:
        add(first, 0)
        add(second, 1)
        first.read()
        assert sorted(first.done) == [0, 1]
    with open_part(out) as partial:  # goes on with another number
        assert sorted(partial.done) == [0, 1]


def test_a_damaged_folder_is_refused_with_the_way_out(tmp_path: Path) -> None:
    out = tmp_path / "o.txt"
    with open_part(out) as partial:
        add(partial, 0)
    part, anew = part_of(out), "remove DIR/o.txt.part to begin anew"
    log, state = part / "0-of-1" / DONE, part / STATE
    line = log.read_bytes()
    for fault in (
        b"{}",
        b"x",
        line.strip() + line.strip(),
        line.strip().replace(b'"size": 6', b'"size": "6"'),
    ):
        log.write_bytes(fault + b"\n" + line)
        assert refusal(out) == f"DIR/o.txt.part: damaged: 0-of-1/{DONE}:1 is no record of a shard; {anew}"
    state.write_bytes(b"{")
    assert refusal(out) == f"DIR/o.txt.part: damaged: {STATE} cannot be read; {anew}"
    state.write_bytes(b"{}")
    assert refusal(out).startswith(f"DIR/o.txt.part: damaged: {STATE} has another format than ")
    state.unlink()
    assert refusal(out) == (
        "DIR/o.txt.part: no partial output of this program, which would have a state.json; choose another "
        "--out"
    )
    part.rename(tmp_path / "moved")
    part.write_bytes(b"")
    assert refusal(out) == "DIR/o.txt.part: is in the way, and no folder; move it, or choose another --out"
