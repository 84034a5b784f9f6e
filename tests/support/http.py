"""The Engine API by plain HTTP over a Unix socket: no client of anybody's in between."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection to the Unix socket at ``path``; kept open between requests."""

    def __init__(self, path: str, timeout: float = 60.0) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """One request; returns the status and the answer's JSON (or its text, or None when empty)."""
        data = None if body is None else json.dumps(body)
        self.request(method, f"/v1.45{path}", data, {"Content-Type": "application/json"} if data else {})
        answer = self.getresponse()
        raw = answer.read()
        if "json" in (answer.getheader("Content-Type") or "") and raw:
            return answer.status, json.loads(raw)
        return answer.status, raw.decode() or None


def load(host: str, archive: Path) -> None:
    """POST an image archive to ``host``."""
    connection = UnixConnection(host.removeprefix("unix://"))
    with archive.open("rb") as file:
        connection.request("POST", "/v1.45/images/load", file, {"Content-Type": "application/x-tar"})
        answer = connection.getresponse()
        text = answer.read().decode()
    connection.close()
    assert answer.status == 200 and '"errorDetail"' not in text, text


def ask(host: str, method: str, path: str, body: object = None, timeout: float = 60.0) -> tuple[int, Any]:
    """One request over a connection of its own to ``host`` (``unix:///path``)."""
    connection = UnixConnection(host.removeprefix("unix://"), timeout)
    try:
        return connection.ask(method, path, body)
    finally:
        connection.close()
