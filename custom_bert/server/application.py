"""The application: maps a request to its answer, as ASGI describes it (https://asgi.readthedocs.io).

It is written for ASGI itself, not for a framework: a request passes through one function, and bodies are
checked by hand. A framework's routing and validation would come on top of that for every request.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from custom_bert.server.access import Gate
from custom_bert.server.bodies import PREDICTION_KEYS, VECTOR_KEYS, read_texts, read_words
from custom_bert.server.computing import ClientGoneError, Computing, Scope
from custom_bert.server.limits import Limits, RefusalError
from custom_bert.server.measures import Measures
from custom_bert.server.serving import Kind, Offer

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
TEXT = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
SAFE: Headers = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


class Application:
    """Answers requests.

    Args:
        offer: what is computed.
        limits: the most that is taken on.
        gate: who may ask.
        measures: counts.
        files: what is served as it is: the content type, the content and more headers, by path.
        failed: takes an error that is a mistake of ours. Its message may hold text and is never printed.
        clock: the time in seconds.
    """

    def __init__(
        self,
        offer: Offer,
        limits: Limits,
        gate: Gate,
        measures: Measures,
        *,
        files: dict[str, tuple[bytes, bytes, Headers]],
        failed: Callable[[BaseException], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._offer, self._limits, self._gate, self.measures = offer, limits, gate, measures
        self._files, self.failed, self._clock = files, failed, clock
        self._bytes = 0
        self.ending = False
        self._computing = Computing(offer, limits, measures, failed=failed, clock=clock)
        self.joiner = self._computing.joiner
        self._posts = {
            "/predict": self._predict,
            "/explain": self._explain,
            "/embed": self._embed,
        }
        self._gets = {"/health": self._health, "/metrics": self._metrics}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or starts and ends with the server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        began = self._clock()
        path: str = scope["path"]
        headers: Headers = (JSON,)
        try:
            status, headers, content = await self._answer(scope, receive)
        except RefusalError as refusal:
            status, content = refusal.status, error_line(refusal.line)
            headers = (JSON, *refusal.headers)
        except ClientGoneError:
            status, content = 499, b""
        except Exception as error:
            self.failed(error)
            status, content = 500, error_line("a mistake of the server; its log says where")
        known = path in self._posts or path in self._gets or path in self._files
        self.measures.request(path if known else "other", status, self._clock() - began)
        if status == 499:
            return
        length = (b"content-length", str(len(content)).encode())
        start = {"type": "http.response.start", "status": status, "headers": [length, *headers, *SAFE]}
        await send(start)
        await send({"type": "http.response.body", "body": content})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, Headers, bytes]:
        """Returns status, headers and content of the answer.

        Raises:
            RefusalError: if the request is not answered as it asks.
            ClientGoneError: if the client went away.
        """
        path, method = scope["path"], scope["method"]
        if (post := self._posts.get(path)) is not None:
            if method != "POST":
                raise RefusalError(405, f"{path}: send a POST request", headers=((b"allow", b"POST"),))
            length = self._admitted(scope)
            return 200, (JSON,), await post(await self._body(length, receive), scope)
        if method not in ("GET", "HEAD"):
            known = path in self._files or path in self._gets
            allowed = ((b"allow", b"GET, HEAD"),)
            raise RefusalError(405, f"{path}: send a GET request", headers=allowed) if known else _no(path)
        if (file := self._files.get(path)) is not None:
            kind, content, headers = file
            return 200, ((b"content-type", kind), *headers), content
        if (get := self._gets.get(path)) is not None:
            if path != "/health":
                self._admitted(scope)
            return get()
        raise _no(path)

    def _admitted(self, scope: Scope) -> int | None:
        """Checks the token, and returns the length that the body is said to have.

        Raises:
            RefusalError: if the token is missing or another one, or the body is too large.
        """
        length, opened = None, not self._gate.needed
        for name, value in scope["headers"]:
            if name == b"content-length":
                length = int(value)
            elif name == b"authorization" and self._gate.opens(value):
                opened = True
        if not opened:
            raise RefusalError(
                401,
                "the token is missing or wrong; send the header Authorization: Bearer TOKEN",
                headers=((b"www-authenticate", b"Bearer"),),
            )
        if length is not None and length > self._limits.body_bytes:
            raise self._too_large()
        return length

    def _too_large(self) -> RefusalError:
        return RefusalError(413, f"the body is too large; at most {self._limits.body_bytes:,} bytes are read")

    async def _body(self, length: int | None, receive: Receive) -> bytes:
        """Returns the body, and keeps count of the bytes of all bodies that are being read."""
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGoneError
        body: bytes = message.get("body", b"")
        if not message.get("more_body", False):
            if len(body) > self._limits.body_bytes:
                raise self._too_large()
            return body
        chunks, held = [body], len(body)
        self._bytes += held
        try:
            while message.get("more_body", False):
                if held > self._limits.body_bytes:
                    raise self._too_large()
                if self._bytes > self._limits.bytes_in_flight:
                    raise RefusalError(429, "too many large requests are on their way", retry_after=1)
                message = await receive()
                if message["type"] != "http.request":
                    raise ClientGoneError
                chunks.append(message.get("body", b""))
                held += len(chunks[-1])
                self._bytes += len(chunks[-1])
        finally:
            self._bytes -= held
        if held > self._limits.body_bytes:
            raise self._too_large()
        return b"".join(chunks)

    async def _predict(self, body: bytes, scope: Scope) -> bytes:
        self._offer.check(Kind.LABELS)
        asked = read_texts(body, self._limits, pairs=self._offer.pairs, keys=PREDICTION_KEYS)
        kind = Kind.PROBABILITIES if asked.every else Kind.LABELS
        answers = await self._computing.answers(scope, kind, asked.items, asked.sizes)
        return _json({"predictions": answers})

    async def _explain(self, body: bytes, scope: Scope) -> bytes:
        self._offer.check(Kind.WORDS)
        asked = read_words(body, pairs=self._offer.pairs)
        answer = await self._computing.explanation(scope, asked)
        return _json(answer)

    async def _embed(self, body: bytes, scope: Scope) -> bytes:
        self._offer.check(Kind.VECTORS)
        asked = read_texts(body, self._limits, pairs=False, keys=VECTOR_KEYS)
        await self._computing.load_vectors()
        vectors = await self._computing.answers(scope, Kind.VECTORS, asked.items, asked.sizes)
        if vectors and isinstance(vectors[0], RefusalError):
            raise vectors[0]
        # nine digits give every fp32 number back
        rows = ["[" + ",".join([f"{number:.9g}" for number in vector]) + "]" for vector in vectors]
        return f'{{"vectors":[{",".join(rows)}]}}'.encode()

    def _health(self) -> tuple[int, Headers, bytes]:
        if self.ending or self.joiner.closed:
            return 503, (JSON,), _json({"status": "ending"})
        return 200, (JSON,), _json({"status": "ok"})

    def _metrics(self) -> tuple[int, Headers, bytes]:
        gauges = {
            "queue_requests": ("Requests that wait or are computed.", float(self.joiner.jobs)),
            "queue_characters": ("Characters of these requests.", float(self.joiner.characters)),
        }
        return 200, (TEXT,), self.measures.page(self.joiner.accepted, gauges).encode()

    async def _live(self, receive: Receive, send: Send) -> None:
        """Starts the computing thread, and ends it when what was accepted is answered."""
        await receive()
        self._computing.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._computing.end()
        await send({"type": "lifespan.shutdown.complete"})


def error_line(line: str) -> bytes:
    """Returns the body that says in one line why a request is refused."""
    return _json({"error": line})


def _no(path: str) -> RefusalError:
    return RefusalError(404, "there is nothing here; /openapi.json lists what there is")


def _json(value: Any) -> bytes:
    # a name of a file or a label may hold half of a surrogate pair, which UTF-8 cannot express
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
