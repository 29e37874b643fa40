"""Runs the application in uvicorn until a signal comes, and ends when what it accepted is answered."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn

from custom_bert.server.application import Application
from custom_bert.server.connection import check_times, connection_class
from custom_bert.server.limits import Limits

KEPT_OPEN = 75
"""Seconds for which an idle connection is kept. Proxies keep theirs for 60."""

DRAIN = 0.1
"""Seconds in which requests that are on their way are still read, after the signal to end."""

TICKS = 5
"""Slow clients are looked for once in so many of uvicorn's ticks, which are 0.1 s each."""


class Server(uvicorn.Server):
    """Looks after slow clients, and reports mistakes without what they say, which may be text of a request.

    Args:
        application: what answers.
        limits: the bounds of its connections.
    """

    def __init__(self, application: Application, limits: Limits) -> None:
        self._application = application
        config: Any = uvicorn.Config(
            application,
            http=connection_class(limits),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEPT_OPEN,
            timeout_graceful_shutdown=int(limits.seconds + limits.reading_seconds) + 1,
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to listen."""
        asyncio.get_running_loop().set_exception_handler(self._mistake)
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Looks for slow clients, and returns whether to end."""
        if counter % TICKS == 0:
            check_times(self.server_state.connections)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Reads what is on its way, closes the port, and waits for the answers."""
        self._application.ending = True
        await asyncio.sleep(DRAIN)
        await super().shutdown(sockets)

    def _mistake(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, Exception) and not isinstance(error, OSError):  # which is the network's
            self._application.failed(error)


def run(application: Application, limits: Limits, listener: socket.socket) -> None:
    """Answers at a socket that listens, until SIGTERM or SIGINT comes."""
    with _signals_swallowed():
        Server(application, limits).run(sockets=[listener])


@contextmanager
def _signals_swallowed() -> Iterator[None]:
    """Has the signals that uvicorn raises again at its end do nothing, so that the process ends with 0."""
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(ValueError):  # not in the main thread
            before[number] = signal.signal(number, lambda number, frame: None)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
