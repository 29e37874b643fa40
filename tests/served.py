"""A server of tests: a model that is pretended, a real socket, and a client that may send anything."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from custom_bert.server.access import Gate
from custom_bert.server.application import Application
from custom_bert.server.limits import Limits, RefusalError
from custom_bert.server.measures import Measures
from custom_bert.server.page import page_files
from custom_bert.server.running import Server
from custom_bert.server.service import address_of, opened
from custom_bert.server.serving import Kind, Offer


@dataclass
class Pretended:
    """An offer without a model: the label of a text is the text. `go` holds the computing thread back."""

    pairs: bool = False
    predicts: bool = True
    explains: bool = True
    spans: bool = False
    vectors_loaded: bool = True
    go: threading.Event = field(default_factory=threading.Event)
    batches: list[list[Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.go.set()

    def check(self, kind: Kind) -> None:
        if kind is Kind.VECTORS:
            raise RefusalError(501, "there are no vectors here")

    def explain(self, asked: Any, compute: Callable[[list[str]], Sequence[Any]]) -> dict[str, Any]:
        answers = compute([asked.text] * (1 + len(asked.text.split())))
        return {"text": asked.text, "labels": [], "tried": len(answers) - 1, "complete": True}

    def compute(self, kind: Kind, items: Sequence[Any]) -> list[Any]:
        self.batches.append(list(items))
        self.go.wait(30)
        if "secret that breaks the model" in items:
            raise RuntimeError("secret that breaks the model")
        return [{"label": item, "kind": str(kind)} for item in items]


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


class Client:
    """A connection on which any bytes can be sent."""

    def __init__(self, address: tuple[str, int], timeout: float = 20.0) -> None:
        self.socket = socket.create_connection(address, timeout)
        self._left = b""

    def send(self, content: bytes) -> None:
        self.socket.sendall(content)

    def ask(self, path: str, body: Any = None, **headers: str) -> Answer:
        self.send(request(path, body, **headers))
        return self.answer()

    def answer(self) -> Answer:
        """The next answer on this connection."""
        while b"\r\n\r\n" not in self._left:
            self._more()
        head, self._left = self._left.split(b"\r\n\r\n", 1)
        first, *rest = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
        status, length = int(first.split(" ")[1]), int(headers.get("content-length", "0"))
        if status == 100:
            return self.answer()
        while len(self._left) < length:
            self._more()
        content, self._left = self._left[:length], self._left[length:]
        return Answer(status, headers, content)

    def ended(self) -> bool:
        """Whether the server closes the connection without another byte; it is closed here too."""
        with self.socket:
            try:
                return not self._left and self.socket.recv(1) == b""
            except ConnectionError:
                return True

    def _more(self) -> None:
        got = self.socket.recv(1 << 20)
        if not got:
            raise EOFError("the server closed the connection")
        self._left += got

    def close(self) -> None:
        self.socket.close()


def request(path: str, body: Any = None, **headers: str) -> bytes:
    """The bytes of a request: a POST with JSON, or with bytes as they are, or a GET."""
    content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", "Host: test"]
    lines += [] if body is None else [f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + content


class Running(NamedTuple):
    address: tuple[str, int]
    application: Application
    offer: Pretended
    mistakes: list[BaseException]
    server: Server
    clients: list[Client]

    def client(self, timeout: float = 20.0) -> Client:
        """A new connection, which is closed with the server if the test does not close it."""
        self.clients.append(Client(self.address, timeout))
        return self.clients[-1]

    def ask(self, path: str, body: Any = None, **headers: str) -> Answer:
        client = self.client()
        try:
            return client.ask(path, body, **headers)
        finally:
            client.close()


@contextmanager
def running(
    offer: Pretended | Offer | None = None, limits: Limits | None = None, token: str | None = None
) -> Iterator[Running]:
    """A server in a thread, which has ended at the end of the block."""
    offer, limits = offer or Pretended(), limits or Limits()
    mistakes: list[BaseException] = []
    clients: list[Client] = []
    application = Application(
        offer,  # type: ignore[arg-type]
        limits,
        Gate(token),
        Measures(),
        files={
            **page_files(offer, "a <model>", needs_token=token is not None),  # type: ignore[arg-type]
            "/large": (b"text/plain", b"x" * 1_000_000, ()),
        },
        failed=mistakes.append,
    )
    server = Server(application, limits)
    with opened("127.0.0.1", 0) as listener:
        port = int(address_of(listener).rstrip("/").rpartition(":")[2])
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            until(lambda: server.started)
            yield Running(("127.0.0.1", port), application, offer, mistakes, server, clients)
        finally:
            for client in clients:
                client.close()
            if isinstance(offer, Pretended):
                offer.go.set()
            server.should_exit = True
            thread.join(30)
    assert not thread.is_alive(), "the server does not end"


def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    """Waits until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)
