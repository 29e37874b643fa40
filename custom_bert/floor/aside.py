"""Fits a floor in a process of its own, so that its libraries take no memory while the encoder trains.

scikit-learn, scipy and what fitting leaves of the heap are about 150 MB, of the 900 that fine-tuning a small
encoder takes. Both processes talk through a pipe. Nothing is written to disk.

Shapes: N texts, C classes.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

import numpy as np

from custom_bert.errors import first_line, warn_caller
from custom_bert.floor.linear import Floor
from custom_bert.floor.ngrams import NoFloorError

Fit = Callable[[], Floor]
"""Fits a floor. It is a `functools.partial` of a function of this folder, so that another process can call
it."""

WORTH = 1_000
"""With fewer texts than this a floor is fitted in this process: it would take less time than to start another
one, and little memory."""

CODE = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from custom_bert.floor.aside import answer; answer(int(sys.argv[2]))"
)
"""What the process runs. The folder of this package comes last in its path, so that nothing beside it hides a
module of Python's own."""


@contextmanager
def fitted(
    fit: Fit, texts: Sequence[str], *, learned_from: int
) -> Iterator[tuple[Floor, Iterator[np.ndarray]]]:
    """Fits a floor, and scores texts with it.

    Args:
        fit: fits it.
        texts: the texts to score.
        learned_from: the number of texts that it is fitted on, by which the process is chosen.

    Yields:
        The floor, and an iterator of (n, C) float32 scores of `linear.CHUNK` texts at a time.

    Raises:
        NoFloorError: if the texts allow no floor, or the process was killed, as one is that does not fit
            into memory.
    """
    with tempfile.TemporaryFile() as said:
        started = None if learned_from < WORTH or _is_frozen() else _started(said)
        if started is None:
            floor = fit()
            yield floor, floor.scored(texts)
            return
        process, connection = started
        with process, connection:
            try:
                with suppress(ConnectionError):  # `_answers` says why it ended
                    connection.send((fit, list(texts)))
                answers = _answers(process, connection, said)
                yield next(answers), answers
            finally:
                process.kill()  # it has ended by now, unless an exception breaks this off


def scored(floor: Floor, texts: Sequence[str], *, learned_from: int) -> np.ndarray:
    """Returns the (N, C) float32 scores of texts, for which the libraries are needed too.

    Args:
        floor: the floor.
        texts: the texts; so few that all scores fit into memory.
        learned_from: the number of texts that it was fitted on, by which the process is chosen.
    """
    with fitted(partial(_same, floor), texts, learned_from=learned_from) as (_, scores):
        return np.concatenate([np.empty((0, len(floor.bias_C)), np.float32), *scores])


def _same(floor: Floor) -> Floor:
    return floor


def _is_frozen() -> bool:
    """Whether `sys.executable` is a program that holds Python, and would begin again if it were started."""
    return bool(getattr(sys, "frozen", False)) or not sys.executable


def _started(said: IO[bytes]) -> tuple[subprocess.Popen[bytes], Connection] | None:
    """Starts the process, whose messages go into a file. Returns None, and warns, if the system refuses."""
    package = str(Path(__file__).resolve().parents[2])
    own, theirs = Pipe()
    with theirs:
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", CODE, package, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                pass_fds=[theirs.fileno()],
            )
        except OSError as error:
            own.close()
            why = f"since another one cannot start: {first_line(error)}"
            warn_caller(f"the floor is fitted in this process, {why}")
            return None
    return process, own


def _answers(process: subprocess.Popen[bytes], connection: Connection, said: IO[bytes]) -> Iterator[Any]:
    """Yields the floor and then scores. Raises what was raised in the process."""
    while True:
        try:
            found = connection.recv()
        except (EOFError, ConnectionError):
            code = process.wait()
            said.seek(0)
            raise _ended(code, said.read()) from None
        if found is None:
            return
        if isinstance(found, Exception):
            raise found
        yield found


def _ended(code: int, said: bytes) -> Exception:
    """Returns the error for a process that ended without an answer."""
    if code == -signal.SIGKILL:
        return NoFloorError("its process was killed, as one is that does not fit into memory")
    lines = said.decode(errors="replace").strip().splitlines() or ["it said nothing"]
    return RuntimeError(f"the process of the floor ended with {code}: {lines[-1]}")


def answer(descriptor: int) -> None:
    """Is what the process does: receives a request, and sends the answers.

    Args:
        descriptor: the file descriptor of the pipe.
    """
    with Connection(descriptor) as connection, suppress(KeyboardInterrupt):  # the other one has it too
        try:
            fit, texts = connection.recv()
            floor = fit()
            connection.send(floor)
            for scores_nC in floor.scored(texts):
                connection.send(scores_nC)
            connection.send(None)
        except Exception as error:
            connection.send(error)
