"""How many requests a second does the server answer, and how fast, against LitServe and plain FastAPI?

    python benchmarks/serving.py --run RUN --texts FILE --peers ENVIRONMENT/bin/python

RUN is the run directory of a classifier that can be exported, FILE has one text a line, and ENVIRONMENT is a
virtual environment with litserve, fastapi, uvicorn, httptools, uvloop, transformers and the same torch. All
sides have the same weights: ours loads the run's encoder, and the peers its export, with transformers. Texts
keep the lengths that the file has, each request has one, and the order is the same for all.

First LitServe's batch size and batch timeout are tuned with 64 clients. Then, in rounds, each side is
started anew and asked in closed loops by 1, 8, 64 and 256 clients, and in an open loop at random times at
80 % of what it answered at most. Server and client share the cores, as on a small machine; the client's share
is reported.
With --onnx DIR, our server is also measured on what `custom-bert export --format onnx` wrote.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from common import begin, options_of
from prediction import texts_of
from serving_peers.load import Load, requests_of

from custom_bert.bench.measure import in_child, markdown, ratio_row, shown, write_record
from custom_bert.threads import thread_count

QUESTION = "Requests a second of the server, against LitServe and plain FastAPI"
CLIENTS = (1, 8, 64, 256)
SHARE = 0.8
"""Of the largest rate, at which the open loop asks."""

GRID = [(size, seconds) for size in (8, 16, 32, 64) for seconds in (0.002, 0.01, 0.05)]
"""LitServe's batch sizes and batch timeouts that are tried."""

PEERS = Path(__file__).parent / "serving_peers"


def commands(given: dict[str, Any], port: int, threads: int) -> dict[str, list[str]]:
    """Returns the command that starts each side."""
    ours = [sys.executable, "-m", "custom_bert", "serve", "--port", str(port)]
    peers = [str(given["export"]), str(given["max_length"]), str(port), str(threads)]
    size, seconds = given.get("tuned", (32, 0.01))
    sides = {
        "ours": [*ours, given["run"], "--encoder-only"],
        "LitServe": [given["peers"], str(PEERS / "litserve_server.py"), *peers, str(size), str(seconds)],
        "FastAPI": [given["peers"], str(PEERS / "fastapi_server.py"), *peers],
    }
    if given.get("onnx"):
        sides["ours, ONNX"] = [*ours, given["onnx"]]
    return sides


@contextmanager
def started(command: Sequence[str], port: int) -> Iterator[int]:
    """Starts a server, and yields the number of its process when it answers."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        end = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                    if answer.status == 200:
                        break
            except OSError:
                if time.monotonic() > end or process.poll() is not None:
                    raise RuntimeError(f"{command[0]} does not answer") from None
                time.sleep(0.2)
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        # LitServe leaves a process behind that goes on computing, beside the next side
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    """Returns a port that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def measured(
    given: dict[str, Any], port: int, *, clients: int, seconds: float, rate: float | None = None
) -> dict[str, Any]:
    """Asks a server in a process of its own, and returns what was measured."""
    texts = {name: given[name] for name in ("texts", "lines")}
    return in_child(
        [__file__], "ask", {**texts, "port": port, "clients": clients, "seconds": seconds, "rate": rate}
    )


def ask(given: dict[str, Any]) -> dict[str, Any]:
    """Is the client, in a process of its own."""
    load = Load(
        requests_of(texts_of(given)),
        given["port"],
        clients=given["clients"],
        seconds=given["seconds"],
        rate=given["rate"],
    )
    return load.run()


TASKS = {"ask": ask}


def answers(port: int, texts: Sequence[str]) -> list[tuple[str, float]]:
    """Returns label and probability of some texts."""
    found = []
    for text in texts:
        body = json.dumps({"texts": [text]}).encode()
        question = urllib.request.Request(
            f"http://127.0.0.1:{port}/predict", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(question, timeout=60) as answer:
            (one,) = json.load(answer)["predictions"]
        found.append((one["label"], one["probability"]))
    return found


def round_of(side: str, given: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Starts a side, and measures it with each number of clients and in the open loop."""
    port, threads = free_port(), thread_count()
    with started(commands(given, port, threads)[side], port):
        sample = answers(port, texts_of(given)[:100])
        measured(given, port, clients=8, seconds=min(3.0, seconds))  # to warm up
        loops = {str(clients): measured(given, port, clients=clients, seconds=seconds) for clients in CLIENTS}
        most = max(one["rate"] for one in loops.values())
        loops["open"] = measured(given, port, clients=512, seconds=seconds, rate=SHARE * most)
    return {"loops": loops, "sample": sample}


def tuned(given: dict[str, Any], seconds: float) -> tuple[int, float]:
    """Returns the batch size and the batch timeout with which LitServe answers most requests."""
    rates = {}
    for size, timeout in GRID:
        port = free_port()
        command = commands({**given, "tuned": (size, timeout)}, port, thread_count())["LitServe"]
        with started(command, port):
            measured(given, port, clients=8, seconds=2.0)
            rates[size, timeout] = measured(given, port, clients=64, seconds=seconds)["rate"]
        print(
            f"LitServe, batches of {size} after {timeout} s: {rates[size, timeout]:,.1f} requests/s",
            flush=True,
        )
    return max(rates, key=lambda pair: rates[pair])


Raw = dict[str, list[dict[str, Any]]]


def table_of(raw: Raw) -> list[str]:
    """Returns the table for people."""
    rows = []
    for name in (*map(str, CLIENTS), "open"):
        for side, rounds in raw.items():
            found = [one["loops"][name] for one in rounds]
            if not found:
                continue
            rows.append(
                [
                    f"open loop, {SHARE:.0%}" if name == "open" else f"{name} clients",
                    side,
                    shown([one["rate"] for one in found], 1),
                    shown([one["p50_ms"] for one in found], 1),
                    shown([one["p99_ms"] for one in found], 1),
                    str(sum(one["errors"] for one in found)),
                    shown([one["client_cores"] for one in found]),
                ]
            )
    head = ["load", "server", "requests/s", "p50, ms", "p99, ms", "errors", "cores of the client"]
    return markdown(head, rows)


def ratios(raw: Raw) -> dict[str, list[float]]:
    """Returns how many times as many requests ours answers, round by round."""
    found: dict[str, list[float]] = {}
    for side in raw:
        for name in map(str, CLIENTS):
            pairs = zip(raw["ours"], raw[side], strict=False)
            rates = [(a["loops"][name]["rate"], b["loops"][name]["rate"]) for a, b in pairs]
            values = [a / b for a, b in rates if b]  # a side may answer nothing in a short time
            if side != "ours" and values:
                found[f"serving: ours / {side}, {name} clients"] = values
    return found


def agreement(raw: Raw) -> dict[str, dict[str, float]]:
    """Returns the share of equal labels with ours, and the largest gap of a probability."""
    wanted = raw["ours"][0]["sample"]
    found = {}
    for side, rounds in raw.items():
        if rounds:
            pairs = list(zip(wanted, rounds[0]["sample"], strict=True))
            same = sum(a[0] == b[0] for a, b in pairs) / len(pairs)
            found[side] = {"labels": same, "gap": max(abs(a[1] - b[1]) for a, b in pairs)}
    return found


def main() -> None:
    """Tunes LitServe, runs the sides in turn, and writes the record after each round."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--peers", type=Path, required=True, help="the Python of the peers' environment")
    parser.add_argument("--onnx", type=Path)
    parser.add_argument("--lines", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    from custom_bert.inference.exports.hf import export_hugging_face
    from custom_bert.model_files.description import read_description

    with tempfile.TemporaryDirectory() as folder:
        export_hugging_face(options.run, Path(folder) / "export")
        given: dict[str, Any] = {
            "run": str(options.run.resolve()),
            "export": f"{folder}/export",
            "onnx": str(options.onnx.resolve()) if options.onnx else "",
            "peers": str(options.peers.absolute()),
            "max_length": read_description(options.run).max_length,
            "texts": str(options.texts.resolve()),
            "lines": options.lines,
        }
        given["tuned"] = tuned(given, min(8.0, options.seconds))
        raw: Raw = {side: [] for side in commands(given, 0, 1)}
        for repeat in range(options.repeats):
            sides = list(raw)
            for side in sides[repeat % len(sides) :] + sides[: repeat % len(sides)]:
                raw[side].append(round_of(side, given, options.seconds))
                loops = raw[side][-1]["loops"]
                rates = ", ".join(f"{name}: {one['rate']:,.1f}" for name, one in loops.items())
                print(f"{repeat + 1} {side}: {rates} requests/s", flush=True)
            size, timeout = given["tuned"]
            write_record(
                options.out,
                question=QUESTION,
                table=[
                    *table_of(raw),
                    "",
                    f"LitServe: batches of {size}, after {timeout} s at the latest.",
                ],
                results=[ratio_row(name, values) for name, values in ratios(raw).items()],
                agreement=agreement(raw),
                tuned={"batch_size": size, "batch_timeout": timeout},
                raw={side: [one["loops"] for one in rounds] for side, rounds in raw.items()},
            )


if __name__ == "__main__":
    begin(main, TASKS)
