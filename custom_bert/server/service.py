"""Runs the server: opens the port, answers until a signal comes, and ends when all it accepted is answered."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import socket
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from custom_bert.errors import CustomBertWarning, UserError, system_reason
from custom_bert.server.access import Gate
from custom_bert.server.application import Application
from custom_bert.server.description import description
from custom_bert.server.limits import Limits
from custom_bert.server.measures import Measures
from custom_bert.server.page import page_files
from custom_bert.server.serving import Loading, load_offer

INSTALL = 'the server needs more packages: pip install "custom-bert[serve]"'

KEPT_OPEN = 75
"""Seconds for which an idle connection is kept. Proxies keep theirs for 60."""

DRAIN = 0.1
"""Seconds in which requests that are on their way are still read, after the signal to end."""

SPARE_FILES = 64
"""Files that a process may open beside its connections."""


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What is served, and where.

    Attributes:
        loading: what is loaded.
        host: the address to listen at.
        port: the port; 0 for one that is free.
        token: what requests have to bring; None for nothing.
        limits: the most that is taken on.
    """

    loading: Loading
    host: str
    port: int
    token: str | None
    limits: Limits


def serve(serving: Serving, *, say: Callable[[str], None], complain: Callable[[str], None]) -> None:
    """Serves until SIGTERM or SIGINT comes, and returns when what was accepted is answered.

    Args:
        serving: what is served, and where.
        say: takes lines about the start and the end.
        complain: takes lines about mistakes.

    Raises:
        UserError: if packages are missing, the port cannot be opened, or the directory cannot be served.
    """
    check_installed()
    listener = opened(serving.host, serving.port)
    with listener:
        address = address_of(listener)
        measures = Measures()
        offer = load_offer(serving.loading, say=say, counted=measures.characters)
        offer.warm_up()
        limits = replace(serving.limits, connections=possible_connections(serving.limits.connections))
        gate = Gate(serving.token)
        application = Application(
            offer,
            limits,
            gate,
            measures,
            files={
                **page_files(offer, name_of(serving.loading.directory), needs_token=gate.needed),
                "/openapi.json": (b"application/json", description(offer, limits, gate.needed), ()),
            },
            failed=lambda error: complain(f"error: {where_raised(error)}"),
        )
        say(f"serving {serving.loading.directory} at {address}")
        say("Ctrl-C ends it" + ("; requests need the token" if gate.needed else ""))
        with quiet():
            _run(application, limits, listener)
    say(f"ended: {measures.answered:,} of {measures.accepted:,} accepted requests were answered")


def check_installed() -> None:
    """Refuses if the packages of the server are not installed.

    Raises:
        UserError: naming what to install.
    """
    try:
        import httptools  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError:
        raise UserError(INSTALL) from None


def opened(host: str, port: int) -> socket.socket:
    """Returns a socket that listens.

    Raises:
        UserError: if the address is none of this machine, or the port is in use or not allowed.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, where = found[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise UserError(f"--host {host}: no address of this machine: {_why(error)}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise UserError(
            f"{host}:{port}: cannot listen there: {_why(error)}; --port takes another port"
        ) from error
    listener.setblocking(False)
    return listener


def _why(error: Exception) -> str:
    return system_reason(error) if isinstance(error, OSError) else str(error)


def name_of(directory: str) -> str:
    """Returns what the page calls a model: the last part of its path."""
    return os.path.basename(os.path.abspath(directory)) or directory


def address_of(listener: socket.socket) -> str:
    """Returns the address that a browser opens."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def possible_connections(wanted: int) -> int:
    """Returns how many connections the system allows this process, at most as many as wanted."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if allowed == resource.RLIM_INFINITY else max(1, min(wanted, allowed - SPARE_FILES))


def where_raised(error: BaseException) -> str:
    """Returns the class of an error and the lines where it was raised, without its message, which may hold a
    text of a request."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    places = [f"{os.path.basename(frame.filename)}:{frame.lineno}" for frame in frames]
    return " ".join([type(error).__name__, *(["at", " > ".join(places)] if places else [])])


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps libraries from logging and warning: what they would print may hold text of a request."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CustomBertWarning)
            yield
    finally:
        logging.disable(before)


def _run(application: Application, limits: Limits, listener: socket.socket) -> None:
    """Runs uvicorn until a signal comes."""
    import uvicorn

    from custom_bert.server.connection import check_times, connection_class

    class Server(uvicorn.Server):
        """Looks after slow clients, and ends without raising the signal again."""

        async def on_tick(self, counter: int) -> bool:
            if counter % 5 == 0:
                check_times(self.server_state.connections)
            ends = await super().on_tick(counter)
            application.ending = application.ending or ends
            return ends

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            asyncio.get_running_loop().set_exception_handler(lambda loop, context: mistake(context))
            await super().startup(sockets)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            application.ending = True
            await asyncio.sleep(DRAIN)
            await super().shutdown(sockets)

    def mistake(context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, Exception) and not isinstance(error, OSError):  # OSError: the network's
            application.failed(error)

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
    with signals_swallowed():
        Server(config).run(sockets=[listener])


@contextmanager
def signals_swallowed() -> Iterator[None]:
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
