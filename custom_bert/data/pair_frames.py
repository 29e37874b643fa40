"""How a tokenizer puts two texts together, and how many tokens each of them may keep."""

from __future__ import annotations

from tokenizers import Tokenizer

from custom_bert.errors import DataError

FIRST, SECOND = "a", "b"
"""Two short texts. Encoding them as a pair shows where a tokenizer puts special tokens."""


def separators(tokenizer: Tokenizer, name: str, start: int, end: int) -> tuple[int, ...]:
    """Returns the ids of the special tokens between two texts: `[SEP]`, or in RoBERTa `</s></s>`.

    A tokenizer that says nothing about pairs gets what its family has: two where the text begins with `<s>`.

    Args:
        tokenizer: the tokenizer.
        name: the name of the tokenizer in messages.
        start, end: the ids of its start and end tokens.

    Raises:
        DataError: if a pair is anything else than start, first text, special tokens, second text, end.
    """
    encoding = tokenizer.encode(FIRST, SECOND)
    ids = encoding.ids
    places = [i for i, special in enumerate(encoding.special_tokens_mask) if special]
    if not places:
        return (end, end) if tokenizer.id_to_token(start) == "<s>" else (end,)
    inner = places[1:-1]
    sides = [1 if inner and i > inner[-1] else 0 for i in range(len(ids)) if i not in places]
    found = [side for side in encoding.sequence_ids if side is not None]
    whole = places[0] == 0 and places[-1] == len(ids) - 1 and (ids[0], ids[-1]) == (start, end)
    if not whole or not inner or inner != list(range(inner[0], inner[-1] + 1)) or sides != found:
        tokens = " ".join(encoding.tokens)
        raise DataError(
            name,
            f"puts two texts together as {tokens!r}; pairs are read as start, first, separator, second, end",
        )
    return tuple(ids[i] for i in inner)


def gives_types(tokenizer: Tokenizer) -> bool:
    """Returns whether a tokenizer gives the type 1 to the second text and its end, and 0 to all others."""
    encoding = tokenizer.encode(FIRST, SECOND)
    sides = encoding.sequence_ids
    start = sides.index(1) if 1 in sides else len(sides) - 1
    return bool(encoding.type_ids == [0] * start + [1] * (len(sides) - start))


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Returns how many tokens two texts keep: the longer one loses tokens until both are equally long, then
    both do. It is the truncation "longest_first" of the `tokenizers` library, odd tokens included.

    Args:
        first, second: the number of tokens of each text.
        room: the number of tokens that both may keep together.
    """
    if first + second <= room:
        return first, second
    short, long = min(first, second), max(first, second)
    if 2 * short > room:
        short, long = room // 2, room - room // 2
    else:
        long = room - short
    return (long, short) if first > second else (short, long)
