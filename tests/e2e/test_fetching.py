"""A hub that cannot be had: refused, answered by something else, or broken off. Each is one line, and what is
left is not taken for a checkpoint."""

from __future__ import annotations

import hashlib
import http.server
import json
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

from custom_bert.cli import main
from custom_bert.errors import RunError
from custom_bert.model_files import hub, hub_cache
from custom_bert.model_files.catalogue import catalogue

MINILM = catalogue()["minilm"]
NAMES = ("config.json", "model.safetensors", "tokenizer.json")
CONTENT = b'{"a": 1}' * 100
PAGE = b"<html>Log in</html>"


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers as the hub does, but for what `mode` spoils. It is a proxy too."""

    mode = "whole"
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""

    def answer(self, code: int, body: bytes, kind: str, size: int | None = None) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if size is None else size))
        self.send_header("X-Repo-Commit", MINILM.revision)
        self.send_header("ETag", f'"{hashlib.sha256(self.path.encode()).hexdigest()}"')
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_CONNECT(self) -> None:
        self.answer(403, PAGE, "text/html")

    def do_GET(self) -> None:
        if self.mode == "page" or (self.mode == "page for files" and not self.path.startswith("/api/")):
            self.send_response(200)
            self.send_header("Content-Length", str(len(PAGE)))
            self.end_headers()
            self.wfile.write(PAGE if self.command != "HEAD" else b"")
        elif self.mode == "forbidden":
            self.answer(403, PAGE, "text/html")
        elif self.path.startswith("/api/") and "/tree/" in self.path:
            files = [{"type": "file", "path": one, "size": len(CONTENT), "oid": "a" * 40} for one in NAMES]
            self.answer(200, json.dumps(files).encode(), "application/json")
        elif self.path.startswith("/api/"):
            about = {"id": MINILM.repository, "modelId": MINILM.repository, "sha": MINILM.revision}
            files = [{"rfilename": one} for one in NAMES]
            self.answer(200, json.dumps({**about, "siblings": files}).encode(), "application/json")
        elif self.mode == "half" and self.path.endswith(".safetensors"):
            self.answer(200, CONTENT[:300], "application/octet-stream", len(CONTENT))
        else:
            self.answer(200, CONTENT, "application/octet-stream")

    do_HEAD = do_GET


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Sets where the hub is, or a proxy before it, and an empty cache."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(tmp_path / "harnesses"), raising=False)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)

    def there(endpoint: str, proxy: str = "") -> None:
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        if proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy)
        huggingface_hub.close_session()  # it read the proxies when it was made

    yield there
    huggingface_hub.close_session()


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("refused", "Connection refused"),
        ("proxy", "403 Forbidden"),
        ("forbidden", "403"),
        ("page", "something else answers in its place, perhaps a proxy or a page to log in"),
        ("page for files", ""),
        ("half", "received 300 bytes, expected 800"),
    ],
)
def test_a_hub_that_cannot_be_had_is_one_line_and_leaves_nothing_that_is_taken_for_a_checkpoint(
    mode: str,
    reason: str,
    port: int,
    at: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    here = f"http://127.0.0.1:{port}"
    monkeypatch.setattr(Hub, "mode", mode)
    if mode == "refused":
        at("http://127.0.0.1:1")
    elif mode == "proxy":
        at("https://huggingface.co", proxy=here)
    else:
        at(here)
    logged: list[logging.LogRecord] = []
    handler = logging.Handler(logging.WARNING)
    monkeypatch.setattr(handler, "emit", logged.append)
    logger = logging.getLogger("huggingface_hub")
    logger.addHandler(handler)
    assert main(["fetch", "minilm"]) == RunError.exit_code
    logger.removeHandler(handler)
    said = capfd.readouterr()
    assert not logged and logger.level != logging.ERROR
    assert said.out == f"minilm: asking the Hugging Face Hub for {MINILM.repository}\n"
    assert said.err.startswith("error: minilm: ") and said.err.count("\n") == 1
    assert "it cannot be fetched from the hub (" in said.err and reason in said.err
    assert "give its directory" in said.err
    assert not list(tmp_path.rglob("*.incomplete")) and not list(tmp_path.rglob("*.safetensors"))
    monkeypatch.setattr(hub, "packaged", lambda checkpoint, say: None)
    assert hub.at_hand(MINILM) is None


def test_what_was_broken_off_is_fetched_by_the_same_command(
    port: int,
    at: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    at(f"http://127.0.0.1:{port}")
    monkeypatch.setattr(Hub, "mode", "half")
    assert main(["fetch", "xtremedistil-l6-h256", "--revision", MINILM.revision]) == RunError.exit_code
    monkeypatch.setattr(Hub, "mode", "whole")
    assert main(["fetch", "xtremedistil-l6-h256", "--revision", MINILM.revision]) == 0
    assert "SHA-256 of the weights: not measured here" in capfd.readouterr().out
    directory = hub_cache.kept(catalogue()["xtremedistil-l6-h256"].repository, MINILM.revision)
    assert directory is not None and (directory / "model.safetensors").read_bytes() == CONTENT


def test_other_weights_than_the_known_ones_are_refused_and_not_used(
    port: int,
    at: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    at(f"http://127.0.0.1:{port}")
    monkeypatch.setattr(Hub, "mode", "whole")
    assert main(["fetch", "minilm"]) == RunError.exit_code
    said = capfd.readouterr().err
    assert said.count("\n") == 1 and "fetched twice; the download is damaged" in said
    monkeypatch.setattr(hub, "packaged", lambda checkpoint, say: None)
    told: list[str] = []
    assert hub.at_hand(MINILM, told.append) is None
    assert len(told) == 1 and "it is not used" in told[0]
