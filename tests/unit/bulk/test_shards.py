"""Rows are cut into shards by the rows alone, however they were read."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from custom_bert.bulk.shards import Rows, Shard, Text, cut


def read(texts: list[Text], sizes: list[int]) -> Iterator[Rows]:
    """Texts in pieces of some sizes, and the rest in one."""
    start = 0
    for size in [*sizes, len(texts)]:
        some = texts[start : start + size]
        start += size

        def content(a: int, b: int, some: list[Text] = some) -> bytes:
            return "".join(f"{one}\n" for one in some[a:b]).encode()

        yield Rows(texts=some, stored=some, content=content)


def summary(shards: Iterator[Shard]) -> list[tuple[int, int, list[Text], str]]:
    return [(one.index, one.start, one.texts, one.sha256) for one in shards]


@given(
    st.lists(st.text("ab", max_size=6), max_size=30),
    st.lists(st.integers(0, 9), max_size=6),
    st.integers(1, 7),
    st.integers(1, 12),
)
def test_shards_do_not_depend_on_how_the_rows_were_read(
    texts: list[Text], sizes: list[int], rows: int, characters: int
) -> None:
    shards = list(cut(read(texts, sizes), rows, characters))
    assert summary(iter(shards)) == summary(cut(read(texts, []), rows, characters))
    assert [text for shard in shards for text in shard.texts] == texts
    for shard in shards:
        assert list(itertools.chain(*shard.stored)) == shard.texts
        assert 0 < len(shard.texts) <= rows
        assert sum(map(len, shard.texts[:-1])) < characters


def test_a_shard_ends_by_rows_or_by_the_length_of_its_texts() -> None:
    texts: list[Text] = ["ab", ("a", "b"), "abcdef", "", "a"]
    assert [len(one.texts) for one in cut(read(texts, []), 2, 100)] == [2, 2, 1]
    assert [len(one.texts) for one in cut(read(texts, []), 100, 4)] == [2, 1, 2]


def test_other_rows_have_another_hash() -> None:
    (one,), (other,) = (list(cut(read([text], []), 5, 100)) for text in ("a", "b"))
    assert one.sha256 != other.sha256


def test_no_more_is_read_than_a_shard_needs() -> None:
    taken = 0

    def endless() -> Iterator[Rows]:
        nonlocal taken
        while True:
            taken += 1
            yield from read(["a text"] * 8, [])

    first = list(itertools.islice(cut(endless(), 16, 10_000), 3))
    assert [one.start for one in first] == [0, 16, 32]
    assert taken == 6
