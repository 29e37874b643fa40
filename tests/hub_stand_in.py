"""A stand-in for the Hugging Face Hub on this machine: repositories are made, files uploaded and read."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0" * 39 + "1"


@dataclass
class Hub:
    """What the stand-in was told.

    Attributes:
        address: its address, for HF_ENDPOINT.
        repositories: the files of each repository, by path.
        private: the names of those that were made private.
        asked: each request: method, path, and the token that it brought.
        refusal: the status with which it refuses to make a repository; 0 to make it.
    """

    address: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    refusal: int = 0

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Returns the status and what is answered: JSON, or the bytes of a file."""
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(filter(None, (asked.get("organization"), asked["name"])))
            if self.refusal:
                return self.refusal, {"error": "no"}
            self.repositories.setdefault(name, {})
            if asked.get("private") or asked.get("visibility") == "private":
                self.private.add(name)
            return 200, {"url": f"{self.address}/{name}", "id": name, "name": name}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path == "/api/whoami-v2":
            return 200, {"name": "somebody", "type": "user", "orgs": []}
        if path.startswith("/api/models/"):
            owner, name, *rest = path.removeprefix("/api/models/").split("/")
            return self._of_models(f"{owner}/{name}", rest, body)
        owner, name, *rest = path.strip("/").split("/")
        if rest[:1] == ["resolve"]:
            return 200, self.repositories[f"{owner}/{name}"]["/".join(rest[2:])]
        return 404, {"error": f"the stand-in does not know {method} {path}"}

    def _of_models(self, repository: str, rest: list[str], body: bytes) -> tuple[int, Any]:
        files = self.repositories.get(repository)
        if files is None:
            return 404, {"error": "Repository not found"}
        if rest[:1] == ["preupload"]:
            paths = [one["path"] for one in json.loads(body)["files"]]
            regular = [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths]
            return 200, {"files": regular, "commitOid": COMMIT}
        if rest[:1] == ["commit"]:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            return 200, {"commitUrl": f"{self.address}/{repository}/commit/{COMMIT}", "commitOid": COMMIT}
        if rest[:1] == ["tree"]:
            return 200, [
                {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for path, content in files.items()
            ]
        names = [{"rfilename": name, "size": len(files[name])} for name in sorted(files)]
        return 200, {
            "id": repository,
            "modelId": repository,
            "sha": COMMIT,
            "private": True,
            "siblings": names,
        }


@contextmanager
def standing_in() -> Iterator[Hub]:
    """Yields a hub that answers until the end of the block."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) if length else self._chunks()
            path = self.path.partition("?")[0]
            hub.asked.append((self.command, path, self.headers.get("Authorization")))
            status, said = hub.answer(self.command, path, body)
            content = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def _chunks(self) -> bytes:
            """Returns a body that was sent in chunks; empty if there is none."""
            found = b""
            if self.headers.get("Transfer-Encoding") == "chunked":
                while size := int(self.rfile.readline(), 16):
                    found += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            return found

        do_GET = do_HEAD = do_POST = do_PUT = _answer

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
