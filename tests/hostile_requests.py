"""Hostile requests: what may come at an open port, and the codes that are right answers to each.

A request is drawn from a generator alone, so that a failure can be had again by its number.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from served import Client, request

from custom_bert.server.limits import Limits

CLOSED = 0
"""In the place of a code: the server closes the connection and says nothing."""

HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\n"


@dataclass(frozen=True)
class Hostile:
    """A request, and which codes are right.

    Attributes:
        name: the kind.
        codes: the codes, of which the answer has one; none if nobody waits for an answer.
        act: sends it.
    """

    name: str
    codes: frozenset[int]
    act: Callable[[Client], None]


def hostile(draw: np.random.Generator, limits: Limits, token: str | None = None) -> Hostile:
    """Returns a request.

    Args:
        draw: decides it.
        limits: those of the server.
        token: that of the server.
    """
    kinds = [
        *BODIES,
        *HEADS,
        "large",
        "chunked",
        "half closed",
        "cut short",
        "gone",
        "reset",
        "noise",
        "good",
    ]
    kinds += ["wrong token"] if token else []
    name = str(draw.choice(kinds))
    key = {"Authorization": f"Bearer {token}"} if token else {}
    auth = f"Authorization: Bearer {token}\r\n".encode() if token else b""
    if name in BODIES:
        codes, make = BODIES[name]
        body = make(draw)
        return Hostile(name, frozenset(codes), lambda client: client.send(request("/predict", body, **key)))
    if name in HEADS:
        codes, content = HEADS[name]
        return Hostile(name, frozenset(codes), lambda client: sent(client, content))
    good = request("/predict", {"texts": ["good", "answer"]}, **key)
    if name == "large":
        length = str(int(draw.integers(limits.body_bytes + 1, 1 << 40))).encode()
        some = b"x" * int(draw.integers(0, 200_000))
        head = HEAD + auth + b"Content-Length: " + length + b"\r\n\r\n"
        return Hostile(name, frozenset({413}), lambda client: sent(client, head + some))
    if name == "chunked":
        chunk = int(draw.integers(1, 70_000))
        count = (9 * limits.body_bytes + (1 << 17)) // chunk + 2
        piece = f"{chunk:x}\r\n".encode() + b" " * chunk + b"\r\n"
        pieces = piece * min(count, 2000)
        head = HEAD + auth + b"Transfer-Encoding: chunked\r\n\r\n"
        if len(pieces) < limits.body_bytes:
            return Hostile(name, frozenset({400}), lambda client: ended(client, head + pieces))
        return Hostile(name, frozenset({413}), lambda client: sent(client, head + pieces))
    if name == "half closed":
        return Hostile(name, frozenset({200}), lambda client: ended(client, good))
    if name == "cut short":
        cut = int(draw.integers(1, len(good)))
        whole = {400, CLOSED}
        return Hostile(name, frozenset(whole), lambda client: ended(client, good[:cut]))
    if name == "gone":
        cut = int(draw.integers(0, len(good) + 1))
        return Hostile(name, frozenset(), lambda client: client.send(good[:cut]))
    if name == "reset":
        cut = int(draw.integers(0, len(good) + 1))
        return Hostile(name, frozenset(), lambda client: reset(client, good[:cut]))
    if name == "noise":
        noise = draw.bytes(int(draw.integers(1, 3000)))
        return Hostile(name, frozenset({400, 431, CLOSED}), lambda client: ended(client, noise))
    if name == "wrong token":
        wrong = {"Authorization": f"Bearer {str(token)[: int(draw.integers(0, len(str(token))))]}"}
        return Hostile(
            name, frozenset({401}), lambda client: client.send(request("/predict", {"text": "a"}, **wrong))
        )
    return Hostile(name, frozenset({200}), lambda client: client.send(good))


def sent(client: Client, content: bytes) -> None:
    """Sends as much as the server takes."""
    try:
        client.send(content)
    except OSError:
        return


def ended(client: Client, content: bytes) -> None:
    """Sends, and closes its side."""
    sent(client, content)
    try:
        client.socket.shutdown(socket.SHUT_WR)
    except OSError:
        return


def reset(client: Client, content: bytes) -> None:
    """Sends, and breaks off."""
    sent(client, content)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def code_of(client: Client) -> int:
    """Returns the code of the answer, or `CLOSED`."""
    try:
        return client.answer().status
    except (EOFError, ConnectionError):
        return CLOSED


def _spoilt(draw: np.random.Generator) -> bytes:
    """A good body with some bytes changed, left out or put in."""
    body = bytearray(json.dumps({"texts": ["good", "änswer"], "probabilities": True}).encode())
    for _ in range(int(draw.integers(1, 6))):
        at = int(draw.integers(0, len(body)))
        way = draw.integers(3)
        if way == 0:
            body[at] = int(draw.integers(256))
        elif way == 1:
            del body[at : at + int(draw.integers(1, 5))]
        else:
            body[at:at] = draw.bytes(int(draw.integers(1, 5)))
        body = body or bytearray(b"x")
    return bytes(body)


def _value(draw: np.random.Generator, depth: int = 0) -> object:
    """Any JSON."""
    way = int(draw.integers(8 if depth < 3 else 6))
    if way == 6:
        return [_value(draw, depth + 1) for _ in range(draw.integers(4))]
    if way == 7:
        return {str(draw.integers(9)): _value(draw, depth + 1) for _ in range(draw.integers(4))}
    return (None, True, 1, -2.5e300, "text", "")[way]


def _nested(draw: np.random.Generator) -> bytes:
    depth, way = int(draw.integers(2_000, 100_000)), int(draw.integers(3))
    return (b"[" * depth, b'{"a":' * depth, b'{"texts":' + b"[" * depth + b"]" * depth + b"}")[way]


def _wrong(draw: np.random.Generator) -> object:
    key = str(draw.choice(["texts", "text"]))
    value = _value(draw)
    # a text, and a list of texts, are right
    while isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        value = _value(draw)
    return {key: value}


BODIES: dict[str, tuple[set[int], Callable[[np.random.Generator], object]]] = {
    "spoilt": ({200, 400, 413, 422}, _spoilt),
    "not JSON": ({400}, lambda draw: b"{" + draw.bytes(int(draw.integers(1, 50)))),
    "NaN": ({400}, lambda draw: b'{"texts": [%s]}' % [b"NaN", b"Infinity", b"-Infinity"][draw.integers(3)]),
    "nested": ({400}, _nested),
    "not UTF-8": ({400}, lambda draw: b'{"text": "' + b"\xc3" * int(draw.integers(1, 9)) + b'"}'),
    "half a pair": ({200}, lambda draw: b'{"text": "\\ud83c a \\udfff"}'),
    "wrong type": ({422}, _wrong),
    "any JSON": ({422}, lambda draw: [_value(draw)]),
    "unknown key": ({422}, lambda draw: {"text": "a", f"key{draw.integers(99)}": 1}),
    "empty": ({400}, lambda draw: b""),
    "large number": ({400}, lambda draw: b'{"texts": [%s]}' % (b"9" * int(draw.integers(4301, 9000)))),
    "many texts": ({413}, lambda draw: {"texts": ["a"] * 5_000}),
    "long text": ({413}, lambda draw: {"text": "a" * 250_000}),
    "null bytes": ({200}, lambda draw: {"text": "a\0b"}),
    "not characters": ({200}, lambda draw: {"text": "\uffff\U000e0001\u202e\ufdfd"}),
}
"""Bodies with the codes that are right for them."""

HEADS: dict[str, tuple[set[int], bytes]] = {
    "negative length": ({400}, HEAD + b"Content-Length: -5\r\n\r\n"),
    "two lengths": ({400}, HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
    "length and chunks": ({400}, HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "bad chunk": ({400}, HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
    "long head": ({431}, b"GET / HTTP/1.1\r\nx: " + b"y" * 600_000),
    "no version": ({200, 400}, b"GET /\r\n\r\n"),
    "not HTTP": ({400}, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "wrong way": ({405}, b"PUT /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"),
    "no place": ({404}, b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n"),
    "header in a header": ({400}, HEAD + b"x: a\nContent-Length : 3\r\n\r\n"),
}
"""Requests as they are sent, with the codes that are right for them."""
