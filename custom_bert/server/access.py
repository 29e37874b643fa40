"""Who may ask: everybody on this machine, or whoever knows the token.

A token comes from a file or from the environment. On the command line, everybody on the machine would see it
in the list of processes.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import stat
from collections.abc import Callable, Mapping

from custom_bert.errors import UserError, system_reason

VARIABLE = "CUSTOM_BERT_TOKEN"

SHORTEST = 16
"""The fewest characters of a token. Fewer could be guessed."""

HOW = "openssl rand -hex 32 makes one"


def read_token(
    path: str | None, warn: Callable[[str], None], environment: Mapping[str, str] = os.environ
) -> str | None:
    """Returns the token that requests have to bring; None if there is none.

    Args:
        path: a file that holds it; None for the environment's variable CUSTOM_BERT_TOKEN.
        warn: takes a line about a file that others can read.
        environment: the environment.

    Raises:
        UserError: if the file cannot be read, or does not hold a token.
    """
    if path is None:
        return _checked(environment[VARIABLE], VARIABLE) if VARIABLE in environment else None
    try:
        with open(path, "rb") as file:
            content = file.read(4097)
            mode = os.fstat(file.fileno()).st_mode
    except OSError as error:
        raise UserError(f"{path}: cannot read the token: {system_reason(error)}") from error
    if stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH):
        warn(f"{path}: others on this machine can read the token; chmod 600 {path}")
    return _checked(content.decode("latin-1"), path)


def _checked(content: str, where: str) -> str:
    """Returns the token without the line end."""
    token = content.strip(" \t\r\n")
    if not token:
        raise UserError(f"{where}: the token is empty; {HOW}")
    if len(token) < SHORTEST:
        raise UserError(
            f"{where}: the token has {len(token)} characters, and {SHORTEST} are the fewest; {HOW}"
        )
    if len(token) > 4096 or not (token.isascii() and token.isprintable()) or " " in token:
        raise UserError(f"{where}: a token is one word of ASCII characters, at most 4,096 of them; {HOW}")
    return token


def check_host(host: str, token: str | None) -> None:
    """Refuses an address that other machines reach, unless there is a token.

    Raises:
        UserError: if there is none.
    """
    if token is None and not is_local(host):
        raise UserError(
            f"--host {host}: other machines reach this address, and without a token everybody may ask; "
            f"give --token-file FILE, or set {VARIABLE}"
        )


def is_local(host: str) -> bool:
    """Returns whether only this machine reaches an address. A name counts only if it is localhost."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Gate:
    """Compares what requests bring with the token, in a time that does not depend on what is equal.

    Args:
        token: the token; None lets every request in.
    """

    def __init__(self, token: str | None) -> None:
        self.needed = token is not None
        self._digest = _digest(token.encode() if token is not None else b"")

    def opens(self, authorization: bytes) -> bool:
        """Returns whether the value of a header Authorization holds the token."""
        scheme, _, given = authorization.partition(b" ")
        # digests have one length, so that not even the token's length shows
        equal = hmac.compare_digest(_digest(given.strip()), self._digest)
        return not self.needed or (equal and scheme.lower() == b"bearer")


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
