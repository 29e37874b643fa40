"""What a server takes on, and how it says in one line that it does not."""

from __future__ import annotations

from dataclasses import dataclass

TOKENS_PER_BATCH = 4096
CHARACTERS_PER_TOKEN = 4
BUDGET = TOKENS_PER_BATCH * CHARACTERS_PER_TOKEN
"""Characters of the texts that are computed together. Tokens are counted where they are made, which is in
the thread that computes; four characters a token is what English texts have."""

OVERHEAD = 16
"""Characters that every text counts beside its own: its special tokens, and what a short text costs."""

EXPLAINED_CHARACTERS = 2_000
"""The longest text that is explained. Each of its words takes one more prediction."""

ESCAPED = 12
"""The largest number of bytes by which JSON writes a character: two escapes, such as `\\ud83d\\ude00`."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that a server takes on.

    Attributes:
        texts: texts of one request. Each text of a pair counts.
        characters: characters of all texts of one request together.
        queue: requests that wait or are computed at one time.
        seconds: how long a request may wait for its answer.
        reading_seconds: how long a client may take to send a request, and to fetch an answer.
        connections: connections that are open at one time.
    """

    texts: int = 1_000
    characters: int = 200_000
    queue: int = 1_024
    seconds: float = 30.0
    reading_seconds: float = 30.0
    connections: int = 2_048

    @property
    def body_bytes(self) -> int:
        """The largest body: whatever the limits of texts and characters allow."""
        return 1024 + 8 * self.texts + ESCAPED * self.characters

    @property
    def waiting_characters(self) -> int:
        """Characters of all requests that wait or are computed, which bounds the memory."""
        return 20 * self.characters

    @property
    def bytes_in_flight(self) -> int:
        """Bytes of all bodies that are being read, which bounds the memory."""
        return 16 * self.body_bytes


class RefusalError(Exception):
    """A request that is not answered as it asks.

    Args:
        status: the status code of HTTP.
        line: what is wrong and what to do, in one line.
        retry_after: seconds after which the same request may be accepted; None if it never will.
        headers: more headers of the answer.
    """

    def __init__(
        self,
        status: int,
        line: str,
        *,
        retry_after: int | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(line)
        self.status, self.line = status, line
        waits = () if retry_after is None else ((b"retry-after", str(retry_after).encode()),)
        self.headers = (*headers, *waits)
