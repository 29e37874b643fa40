"""The command serve in a process of its own, as an operator runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from served import Answer, Client, request

ROOT = Path(__file__).resolve().parents[1]


class Process(NamedTuple):
    """A server, and what it prints."""

    process: subprocess.Popen[str]
    address: tuple[str, int]
    first: list[str]

    def client(self) -> Client:
        return Client(self.address, 60.0)

    def ask(self, path: str, body: object = None, **headers: str) -> Answer:
        client = self.client()
        try:
            return client.ask(path, body, **headers)
        finally:
            client.close()

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Sends a signal and returns the exit code and what was printed, from the first line on."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, "\n".join(self.first) + "\n" + out, err

    def memory(self) -> int:
        """Bytes that the process holds in memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found.group(1)) * 1024


@contextmanager
def serving(
    directory: Path, *options: str, token: str | None = None, without: tuple[str, ...] = ()
) -> Iterator[Process]:
    """A server at a port that is free, which has ended after the block. `without` are packages that it cannot
    import, as if they were not installed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment |= {"CUSTOM_BERT_TOKEN": token} if token else {}
    # a shell's background jobs, and with them this process, may ignore SIGINT, which a child inherits
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "".join(f"sys.modules[{name!r}] = None; " for name in without)
    code += "from custom_bert.cli import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "serve", str(directory), "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=environment,
    )
    assert process.stdout is not None and process.stderr is not None
    first: list[str] = []
    try:
        while not first or not first[-1].startswith("Ctrl-C"):
            line = process.stdout.readline()
            assert line, process.stderr.read()
            first.append(line.rstrip("\n"))
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", "\n".join(first))
        assert found
        yield Process(process, ("127.0.0.1", int(found.group(1))), first)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


class Load:
    """Clients in threads that ask again and again until the server is gone.

    Args:
        process: the server.
        clients: their number.
        text: the text of client and question.
    """

    def __init__(self, process: Process, clients: int) -> None:
        self._process, self._lock = process, threading.Lock()
        self.answered = self.wrong = 0
        self.codes: dict[int, int] = {}
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a client waits for ever"

    def _ask(self, number: int) -> None:
        client = None
        try:
            while True:
                client = self._process.client()
                for _ in range(20):
                    text = "the cat sleeps " * (1 + number % 7)
                    client.send(request("/predict", {"texts": [text, "a motor hums"]}))
                    answer = client.answer()
                    with self._lock:
                        self.codes[answer.status] = self.codes.get(answer.status, 0) + 1
                    if answer.status == 200:
                        labels = [one["label"] for one in answer.json["predictions"]]
                        with self._lock:
                            self.answered += 1
                            self.wrong += labels != ["animals", "machines"]
                    if answer.headers.get("connection") == "close":
                        break
                client.close()
        except (OSError, EOFError):
            return
        finally:
            if client is not None:
                client.close()
