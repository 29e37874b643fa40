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
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

import numpy as np

from custom_bert.errors import first_line, warn_caller
from custom_bert.floor.linear import CHUNK, Floor
from custom_bert.floor.ngrams import NoFloorError
from custom_bert.process import release_memory

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


Scored = Callable[[Iterable[str]], Iterator[np.ndarray]]
"""Yields (n, C) float32 scores of some texts, of `linear.CHUNK` at a time, as `Floor.scored` does."""


@contextmanager
def fitted(fit: Fit, *, learned_from: int) -> Iterator[tuple[Floor, Scored]]:
    """Fits a floor. Within the block texts can be scored with it, by the process that fitted it.

    Args:
        fit: fits it.
        learned_from: the number of texts that it is fitted on, by which the process is chosen.

    Yields:
        The floor, and what scores texts.

    Raises:
        NoFloorError: if the texts allow no floor, or the process was killed, as one is that does not fit
            into memory.
    """
    with tempfile.TemporaryFile() as said:
        started = None if learned_from < WORTH or _is_frozen() else _started(said)
        if started is None:
            floor = fit()
            yield floor, floor.scored
            return
        process, connection = started
        with process, connection:
            ask = partial(_answer_to, process, connection, said)

            def scored(texts: Iterable[str]) -> Iterator[np.ndarray]:
                iterator = iter(texts)
                while chunk := list(islice(iterator, CHUNK)):
                    yield ask(chunk)

            try:
                yield ask(fit), scored
            finally:
                process.kill()


@contextmanager
def loaded(floor: Floor, *, learned_from: int) -> Iterator[Scored]:
    """Within the block texts can be scored with a floor that was fitted before.

    Args:
        floor: the floor.
        learned_from: the number of texts that it was fitted on, by which the process is chosen.

    Yields:
        What scores texts.
    """
    with fitted(partial(_same, floor), learned_from=learned_from) as (_, scored):
        yield scored


def _same(floor: Floor) -> Floor:
    return floor


def _is_frozen() -> bool:
    """Whether `sys.executable` is a program that holds Python, and would begin again if it were started."""
    return bool(getattr(sys, "frozen", False)) or not sys.executable


def _started(said: IO[bytes]) -> tuple[subprocess.Popen[bytes], Connection] | None:
    """Starts the process, whose messages go into a file. Returns None, and warns, if the system refuses."""
    release_memory()  # what an evaluation before left free, so that both take no more than training did
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


def _answer_to(
    process: subprocess.Popen[bytes], connection: Connection, said: IO[bytes], question: object
) -> Any:
    """Returns the answer of the process to a question, which is how to fit a floor, or texts to score.
    Raises what was raised in the process."""
    try:
        connection.send(question)
        found = connection.recv()
    except (EOFError, ConnectionError):
        code = process.wait()
        said.seek(0)
        raise _ended(code, said.read()) from None
    if isinstance(found, Exception):
        raise found
    return found


def _ended(code: int, said: bytes) -> Exception:
    """Returns the error for a process that ended without an answer."""
    if code == -signal.SIGKILL:
        return NoFloorError("its process was killed, as one is that does not fit into memory")
    lines = said.decode(errors="replace").strip().splitlines() or ["it said nothing"]
    return RuntimeError(f"the process of the floor ended with {code}: {lines[-1]}")


def answer(descriptor: int) -> None:
    """Is what the process does: it fits a floor, and then scores texts until it is ended.

    Args:
        descriptor: the file descriptor of the pipe.
    """
    # Ctrl-C reaches the other process too, which ends this one, perhaps by closing the pipe
    with Connection(descriptor) as connection, suppress(KeyboardInterrupt, EOFError):
        try:
            floor = connection.recv()()
            connection.send(floor)
            while True:
                connection.send(floor.scores(connection.recv()))
        except EOFError:
            raise
        except Exception as error:
            connection.send(error)
