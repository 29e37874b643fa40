"""Starts the server: checks what is there, opens the port, loads the model, and says where to find it."""

from __future__ import annotations

import logging
import os
import resource
import socket
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from custom_bert.errors import CustomBertWarning, LibraryError, UserError, system_reason
from custom_bert.inference.chosen_model import ChosenModel
from custom_bert.server.access import Gate
from custom_bert.server.application import Application
from custom_bert.server.description import description
from custom_bert.server.limits import Limits
from custom_bert.server.measures import Measures
from custom_bert.server.page import page_files
from custom_bert.server.serving import load_offer

INSTALL = 'the server needs more packages: pip install "custom-bert[serve]"'

SPARE_FILES = 64
"""Files that a process may open beside its connections."""


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What is served, and where.

    Attributes:
        model: what is loaded.
        host: the address to listen at.
        port: the port; 0 for one that is free.
        token: what requests have to bring; None for nothing.
        limits: the most that is taken on.
    """

    model: ChosenModel
    host: str
    port: int
    token: str | None
    limits: Limits


def serve(
    serving: Serving,
    *,
    say: Callable[[str], None],
    complain: Callable[[str], None],
    loaded: Callable[[], None] = lambda: None,
) -> None:
    """Serves until SIGTERM or SIGINT comes, and returns when what was accepted is answered.

    Args:
        serving: what is served, and where.
        say: takes lines about the start and the end.
        complain: takes lines about mistakes.
        loaded: is called when the model is loaded.

    Raises:
        UserError: if packages are missing, the port cannot be opened, or the directory cannot be served.
    """
    check_installed()
    listener = opened(serving.host, serving.port)
    with listener:
        address = address_of(listener)
        measures = Measures()
        offer = load_offer(serving.model, say=say, counted=measures.characters)
        loaded()
        offer.warm_up()
        limits = replace(serving.limits, connections=possible_connections(serving.limits.connections))
        gate = Gate(serving.token)
        application = Application(
            offer,
            limits,
            gate,
            measures,
            files={
                **page_files(offer, name_of(serving.model.directory), needs_token=gate.needed),
                "/openapi.json": (b"application/json", description(offer, limits, gate.needed), ()),
            },
            failed=lambda error: complain(f"error: {where_raised(error)}"),
        )
        say(f"serving {serving.model.directory} at {address}")
        say("Ctrl-C ends it" + ("; requests need the token" if gate.needed else ""))
        with quiet():
            from custom_bert.server.running import run

            run(application, limits, listener)
    accepted = application.joiner.accepted
    say(f"ended: {measures.answered:,} of {accepted:,} accepted requests were answered")


def check_installed() -> None:
    """Refuses if the packages of the server are not installed.

    Raises:
        LibraryError: naming what to install.
    """
    try:
        import httptools  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError:
        raise LibraryError(INSTALL) from None


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
