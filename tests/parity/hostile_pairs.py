"""Pairs of texts made to find differences between tokenizers: empty sides, special tokens as words, white
space of all kinds, letters and accents, very long and very short sides."""

from __future__ import annotations

import random

PIECES = (
    *(
        "a",
        "b",
        "ab",
        "ba",
        "abc",
        "z",
        "The",
        "cab",
        "fa\u00e7ade",
        "e\u0301",
        "\u00c9",
        "\u4f60\u597d",
        "\U0001f642",
    ),
    *(
        "[SEP]",
        "[CLS]",
        "[MASK]",
        "[PAD]",
        "[UNK]",
        "<s>",
        "</s>",
        "<mask>",
        "<pad>",
        "don't",
        "3.14",
        "a-b",
        "##b",
    ),
    *(
        " ",
        "  ",
        "\t",
        "\n",
        "\r\n",
        "\u00a0",
        "\u3000",
        "\u200b",
        "\u2028",
        "\x1f",
        "\ufffd",
        "\ue000",
        "\u0130",
    ),
    *(
        "\U0001f468\u200d\U0001f469",
        "\u202eab",
        "\u0644\u0627",
        "\u0e01\u0e33",
        "\uac00",
        "\u1100\u1161",
        "I\u0307",
    ),
)


def hostile_pairs(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """The same pairs at every call."""
    draw = random.Random(seed)

    def text() -> str:
        words = draw.choice((0, 1, 2, 3, 5, 8, 13, 40))
        between = draw.choice((" ", " ", "", "\t", "  "))
        return between.join(draw.choices(PIECES, k=words))

    return [(text(), text()) for _ in range(count)]
