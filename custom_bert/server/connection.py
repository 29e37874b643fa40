"""A connection: uvicorn's, with bounds on what a client may send and how long it may take.

uvicorn reads requests and writes answers. It waits for ever for a client that sends its request slowly or
does not fetch its answer, collects headers without a bound, and takes the end of what a client sends for the
end of the connection. `Connection` adds these bounds. They cost nothing while clients behave: a sweep over
all connections, now and then, finds those that do not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from custom_bert.server.application import error_line
from custom_bert.server.computing import GONE
from custom_bert.server.limits import Limits

HEAD_BYTES = 64 << 10
"""The largest head of a request: its first line and headers."""

PIPELINED = 16
"""The largest number of requests that a client may send before their answers."""

LINGER = 1.0
"""Seconds for which a client that was refused may go on sending, so that it sees why."""

FRAMING = 8
"""A body in chunks may have this many times the bytes of the largest body, sizes of chunks included."""


class TooManyRequestsError(Exception):
    """A client sends request after request and fetches no answers."""


class Connection(HttpToolsProtocol):
    """One connection.

    Attributes:
        limits: the bounds; a subclass for each server sets them.
    """

    limits = Limits()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts to read, or refuses if there are too many connections."""
        super().connection_made(transport)
        self._reading_since: float | None = time.monotonic()
        self._writing_since: float | None = None
        self._closing_since: float | None = None
        self._refused_since: float | None = None
        self._begun, self._in_head, self._bytes = False, True, 0
        if len(self.connections) > self.limits.connections:
            self._refuse(503, "too many connections; try again", retry_after=5)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells the application, so that nothing is computed for nobody."""
        cycles = [cycle for cycle, _ in self.pipeline]
        super().connection_lost(exc)
        for cycle in [self.cycle, *cycles]:
            if cycle is not None and not cycle.response_complete:
                scope: dict[str, Any] = cast(dict[str, Any], cycle.scope)
                gone = scope.pop(GONE, None)
                if gone is not None:
                    gone()

    def data_received(self, data: bytes) -> None:
        """Reads what has come, as long as it is not too much for one request."""
        if self._refused_since is not None or self.transport.is_closing():
            return
        self._bytes += len(data)
        super().data_received(data)
        if self._in_head:
            if self._bytes > HEAD_BYTES:
                self._refuse(431, f"the head of the request is too large; at most {HEAD_BYTES:,} bytes")
        elif self._bytes > HEAD_BYTES + FRAMING * self.limits.body_bytes:
            self._refuse(413, "the body is too large")

    def on_message_begin(self) -> None:
        """Begins a request."""
        if len(self.pipeline) >= PIPELINED:
            self.transport.abort()
            raise TooManyRequestsError
        super().on_message_begin()
        self._begun, self._in_head, self._bytes = True, True, 0
        self._reading_since = time.monotonic()

    def on_headers_complete(self) -> None:
        """Hands the request to the application, which reads the body."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Notes that the request is whole."""
        super().on_message_complete()
        self._reading_since = None
        self._in_head, self._bytes = True, 0

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Answers a client that has sent everything and closed its side, and then closes the connection."""
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn has None before the first request
        if self._refused_since is not None or cycle is None:
            return None
        if self._reading_since is not None and cycle.more_body:
            self._refuse(400, "the request ended before its body was whole")
        elif not cycle.response_complete:
            cycle.keep_alive = False
            return True
        return None

    def send_400_response(self, msg: str) -> None:
        """Refuses what is not HTTP."""
        self._refuse(400, "this is not a request of HTTP/1.1")

    def pause_writing(self) -> None:
        """Notes that the client does not fetch its answer fast enough."""
        super().pause_writing()
        self._writing_since = time.monotonic()

    def resume_writing(self) -> None:
        """Notes that the client goes on."""
        super().resume_writing()
        self._writing_since = None

    @property
    def _awaited(self) -> bool:
        """Whether an answer of the application is still to come."""
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.disconnected

    def check_time(self, now: float) -> None:
        """Ends the connection of a client that is too slow.

        Args:
            now: the time by `time.monotonic`.
        """
        earliest = now - self.limits.reading_seconds
        if self.transport.is_closing():
            self._closing_since = self._closing_since or now
            if self._closing_since < earliest:
                self.transport.abort()
        elif self._writing_since is not None and self._writing_since < earliest:
            self.transport.abort()
        elif self._refused_since is not None:
            if self._refused_since < now - LINGER and not self._awaited:
                self.transport.close()
        elif self._reading_since is not None and self._reading_since < earliest:
            if self._begun:
                self._refuse(408, f"the request was not there after {self.limits.reading_seconds:g} s")
            else:
                self.transport.close()

    def _refuse(self, status: int, line: str, *, retry_after: int | None = None) -> None:
        """Answers past the application, and lets the connection end.

        A client that is still sending would not see the answer if the connection were closed at once, since
        the system then tells it that its bytes went nowhere. So what it sends is read for a moment and
        thrown away.
        """
        if self._refused_since is not None or self.transport.is_closing():
            return
        self._refused_since = time.monotonic()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete and not cycle.more_body:
            cycle.keep_alive = False  # the answer to an earlier request comes first, and is the last
            return
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        content = error_line(line)
        wait = f"retry-after: {retry_after}\r\n" if retry_after is not None else ""
        head = (
            f"content-type: application/json\r\ncontent-length: {len(content)}\r\n{wait}"
            "connection: close\r\n\r\n"
        )
        self.transport.write(STATUS_LINE[status] + head.encode() + content)
        self.transport.write_eof()
        self.flow.resume_reading()


def connection_class(bounds: Limits) -> type[Connection]:
    """Returns the class of the connections of one server."""

    class BoundedConnection(Connection):
        limits = bounds

    return BoundedConnection


def check_times(connections: Iterable[Any]) -> None:
    """Ends the connections of clients that are too slow."""
    now = time.monotonic()
    for connection in list(connections):
        connection.check_time(now)
