"""Texts made of what goes wrong with places of characters: accents in every form, letters that become more
when case is folded, emoji, scripts without spaces, invisible characters, and every kind of white space."""

from __future__ import annotations

import random

PARTS = [
    *("a", "B", "word", "Berlin", "Straße", "ß", "ẞ", "é", "e\u0301", "n\u0303", "a\u0323\u0301", "\u0301"),
    *("İ", "ﬁ", "Å", "㎏", "½", "…", "①", "好", "北京", "ひ", "ｶﾞ", "한", "\u1112\u1161\u11ab"),
    *("🙂", "👍🏽", "👩\u200d👧", "\u2764\ufe0f", "🇩🇪", "नमस्ते", "สวัสดี", "مرحبا"),
    *("\u200b", "\u200d", "\ufeff", "\u00ad", "\x00", "\x1c", "\x7f", "\ue000", "\ufffd", "\u202e"),
    *(" ", " ", " ", "  ", "\t", "\n", "\r\n", "\r", "\u00a0", "\u3000", "\u2028", "\x85"),
    *(".", ",", "-", "'", "’s", "[SEP]", "[MASK]", "##a", "<s>", "http://x.y/z", "3.14"),  # noqa: RUF001
]


def hostile(seed: int, count: int) -> list[str]:
    """Texts of up to 14 parts."""
    draw = random.Random(seed)
    return ["".join(draw.choices(PARTS, k=draw.randint(0, 14))) for _ in range(count)]
