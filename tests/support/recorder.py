"""A few lines in place of a daemon: they answer a client so that it goes on, and keep what it sent."""

from __future__ import annotations

import socket
import threading

API_VERSION = "1.45"


class Recorder:
    """Answers a client on a unix socket at `path`."""

    def __init__(self, path: str) -> None:
        self.requests: list[tuple[str, str, bytes]] = []  # method, target, body
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        stream = connection.makefile("rwb")
        while line := stream.readline().decode():
            length = 0
            while header := stream.readline().strip():
                name, _, value = header.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            method, target, _ = line.split()
            self.requests.append((method, target, stream.read(length)))
            body = _answer_to(line)
            status = "201 Created" if "/create" in line else "200 OK"
            stream.write(
                f"HTTP/1.1 {status}\r\nApi-Version: {API_VERSION}\r\nOstype: linux\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            stream.flush()


def _answer_to(line: str) -> bytes:
    """A body for a request line: enough for a client to go on."""
    method, target, _ = line.split()
    path = target.partition("?")[0]
    if path.endswith("/create"):
        return b'{"Id":"0123456789ab","Warnings":[]}'
    if path.endswith("/prune"):
        return b'{"NetworksDeleted":["one","two"]}'
    if path.endswith("/networks"):
        return b'[{"Name":"lan","Id":"0123456789abcdef"}]'
    if path.endswith("/containers/json"):
        return b'[{"Names":["/web","/web/alias"]}]'
    if path.endswith("/images/json"):
        return b'[{"RepoTags":["busybox:1","busybox:2"]}]'
    return b"{}" if method == "GET" else b""
