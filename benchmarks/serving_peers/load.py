"""The client of the benchmark: connections that ask again and again, or at given times, and their latencies.

It is written for a small share of the processor: requests are made before the clock starts, and of an answer
only its code and length are read.
"""

from __future__ import annotations

import asyncio
import json
import resource
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np


def requests_of(texts: Sequence[str], host: str = "127.0.0.1") -> list[bytes]:
    """Returns a request for each text."""
    head = f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: "
    bodies = [json.dumps({"texts": [text]}).encode() for text in texts]
    return [head.encode() + str(len(body)).encode() + b"\r\n\r\n" + body for body in bodies]


class Connection(asyncio.Protocol):
    """One connection with one request on its way.

    Args:
        load: what it takes requests from.
    """

    def __init__(self, load: Load) -> None:
        self._load, self._buffer, self.began = load, b"", 0.0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Is ready."""
        self.transport = transport

    def ask(self, request: bytes, began: float) -> None:
        """Sends a request.

        Args:
            request: its bytes.
            began: when it should have been sent, from which its latency counts.
        """
        self.began = began
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Reads an answer."""
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(b"content-length: ") + 16
        length = int(head[at:].split(b"\r", 1)[0])
        if len(self._buffer) < end + 4 + length:
            return
        content, self._buffer = self._buffer[end + 4 :], b""
        self._load.answered(self, int(head[9:12]), content)

    def connection_lost(self, error: Exception | None) -> None:
        """Counts a connection that the server closed."""
        self._load.lost(self)


class Load:
    """Asks, and measures.

    Args:
        requests: what is asked, in turn.
        port: the server's port.
        clients: the number of connections.
        seconds: for how long.
        rate: requests a second, at random times; None if each client asks again when it is answered.
        seed: decides the random times.
    """

    def __init__(
        self,
        requests: Sequence[bytes],
        port: int,
        *,
        clients: int,
        seconds: float,
        rate: float | None = None,
        seed: int = 0,
    ) -> None:
        self._requests, self._port, self._clients = requests, port, clients
        self._seconds, self._rate, self._seed = seconds, rate, seed
        self._next, self.errors, self.latencies = 0, 0, list[float]()
        self._idle: deque[Connection] = deque()
        self._waiting: deque[float] = deque()
        self._end = 0.0
        self._ended = False

    def run(self) -> dict[str, Any]:
        """Returns requests a second, latencies in ms, errors, and how many cores the client took."""
        before = resource.getrusage(resource.RUSAGE_SELF)
        began = time.perf_counter()
        asyncio.run(self._run())
        seconds = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_SELF)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        p50, p99 = np.percentile(self.latencies, [50, 99]) * 1000 if self.latencies else (0.0, 0.0)
        return {
            "rate": len(self.latencies) / self._seconds,
            "p50_ms": float(p50),
            "p99_ms": float(p99),
            "errors": self.errors,
            "answers": len(self.latencies),
            "client_cores": cpu / seconds,
        }

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        connections = [
            (await loop.create_connection(lambda: Connection(self), "127.0.0.1", self._port))[1]
            for _ in range(self._clients)
        ]
        self._end = time.perf_counter() + self._seconds
        if self._rate is None:
            for connection in connections:
                self._ask(connection, time.perf_counter())
            await asyncio.sleep(self._seconds)
        else:
            self._idle.extend(connections)
            await self._at_random_times(self._rate)
        self._ended = True
        for connection in connections:
            connection.transport.abort()

    async def _at_random_times(self, rate: float) -> None:
        draw = np.random.Generator(np.random.PCG64(self._seed))
        at = time.perf_counter()
        while (at := at + float(draw.exponential(1 / rate))) < self._end:
            if (pause := at - time.perf_counter()) > 0:
                await asyncio.sleep(pause)
            if self._idle:
                self._ask(self._idle.popleft(), at)
            else:
                self._waiting.append(at)
        await asyncio.sleep(max(0.0, self._end - time.perf_counter()))
        # the answers of the last requests still count, and what never comes is an error
        last = time.perf_counter() + 10
        while (self._waiting or len(self._idle) < self._clients) and time.perf_counter() < last:
            await asyncio.sleep(0.01)
        self.errors += len(self._waiting) + self._clients - len(self._idle)

    def _ask(self, connection: Connection, began: float) -> None:
        connection.ask(self._requests[self._next % len(self._requests)], began)
        self._next += 1

    def answered(self, connection: Connection, status: int, content: bytes) -> None:
        """Counts an answer, and asks again."""
        now = time.perf_counter()
        if status == 200 and b'"predictions"' in content:
            if self._rate is not None or now <= self._end:
                self.latencies.append(now - connection.began)
        else:
            self.errors += 1
        if self._rate is None:
            if now <= self._end:
                self._ask(connection, now)
        elif self._waiting:
            self._ask(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    def lost(self, connection: Connection) -> None:
        """Counts a connection that the server closed."""
        if not self._ended:
            self.errors += 1
