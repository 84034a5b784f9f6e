"""A stand-in for a daemon on a unix socket: answers /_ping and POST /auth, and keeps what it was asked.

It stands where a real daemon would have to reach a registry: what a client sends and stores is all that is looked at.
"""

import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

PASSWORD = "secret"  # that it lets in
TOKEN = "an-identity-token"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "FakeDaemon"

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(200, b"")

    def do_GET(self) -> None:
        self._answer(200, b"OK", "text/plain")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        path = self.path.partition("?")[0]
        self.server.asked.append((path, asked))
        if not path.endswith("/auth"):
            self._answer(404, b'{"message":"page not found"}')
        elif asked.get("password") == PASSWORD or asked.get("identitytoken") == TOKEN:
            self._answer(200, json.dumps({"IdentityToken": self.server.token, "Status": "Login Succeeded"}).encode())
        else:
            why = f'Get "https://{asked.get("serveraddress")}/v2/": unauthorized: authentication required'
            self._answer(401, json.dumps({"message": why}).encode())

    def _answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        for name, value in (("Api-Version", "1.45"), ("Ostype", "linux"), ("Content-Type", kind)):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class FakeDaemon(socketserver.ThreadingUnixStreamServer):
    """Serves from `with` on; ``token`` is the identity token that /auth answers with."""

    daemon_threads = True

    def __init__(self, path: Path, token: str = "") -> None:
        super().__init__(str(path), _Handler)
        self.host = f"unix://{path}"
        self.token = token
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> "FakeDaemon":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
