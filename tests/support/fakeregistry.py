"""A registry that does what a test says: broken, hostile, redirecting, or asking for tokens.

``FakeRegistry.answers`` maps "METHOD /path" to a function of the handler; what it doesn't know is a registry's 404.
What was asked is in ``seen``: method, path and headers.
"""

import hashlib
import http.server
import json
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.netlab import Space

Handler = http.server.BaseHTTPRequestHandler
Action = Callable[[Any], None]

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class FakeRegistry:
    """One at ADDRESS:PORT of a namespace. A context manager."""

    def __init__(
        self, space: Space, port: int = 5000, *, address: str = "127.0.0.1", tls: tuple[Path, Path] | None = None
    ) -> None:
        self.host = f"{address}:{port}"
        self.answers: dict[str, Action] = {}
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        owner = self

        class Answering(Handler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def answer(self) -> None:
                owner.seen.append((self.command, self.path, dict(self.headers)))
                action = owner.answers.get(f"{self.command} {self.path.partition('?')[0]}", missing)
                action(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = answer  # noqa: N815

        self.server = space.call(http.server.ThreadingHTTPServer, (address, port), Answering)
        self.server.daemon_threads = True
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))

    def __enter__(self) -> "FakeRegistry":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def asked(self, method: str = "") -> list[str]:
        """Paths that were asked for."""
        return [path for verb, path, _ in self.seen if method in ("", verb)]

    def blob(self, repository: str, content: bytes) -> str:
        """Serve a blob; return its digest."""
        digest = digest_of(content)
        self.answers[f"GET /v2/{repository}/blobs/{digest}"] = serving(content, "application/octet-stream")
        return digest

    def manifest(self, repository: str, tag: str, content: bytes, kind: str = DOCKER_MANIFEST) -> str:
        """Serve a manifest by its tag and by its digest; return that."""
        digest = digest_of(content)
        for reference in (tag, digest):
            for method in ("GET", "HEAD"):
                self.answers[f"{method} /v2/{repository}/manifests/{reference}"] = serving(content, kind)
        return digest

    def image(self, repository: str, tag: str, *layers: bytes, config: dict[str, Any] | None = None) -> bytes:
        """Serve an image whose layers are these plain tar archives; return its manifest."""
        whole = {"architecture": "amd64", "os": "linux", "config": {}} | (config or {})
        whole.setdefault("rootfs", {"type": "layers", "diff_ids": [digest_of(one) for one in layers]})
        packed = json.dumps(whole).encode()
        content = manifest_of(packed, layers)
        for one in (packed, *layers):
            self.blob(repository, one)
        self.manifest(repository, tag, content)
        return content


def digest_of(content: bytes) -> str:
    """The sha256 digest."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def manifest_of(config: bytes, layers: tuple[bytes, ...], kind: str = DOCKER_MANIFEST) -> bytes:
    """A manifest's bytes."""

    def descriptor(media_type: str, content: bytes) -> dict[str, object]:
        return {"mediaType": media_type, "size": len(content), "digest": digest_of(content)}

    document = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": descriptor(DOCKER_CONFIG, config),
        "layers": [descriptor(DOCKER_LAYER, one) for one in layers],
    }
    return json.dumps(document).encode()


def send(handler: Any, status: int, content: bytes = b"", **headers: str) -> None:
    """Answer."""
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(content)


def serving(content: bytes, kind: str) -> Action:
    """An action that serves content, ranges too."""

    def action(handler: Any) -> None:
        wanted = handler.headers.get("Range", "")
        start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        more = {"Content_Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if wanted else {}
        send(handler, 206 if wanted else 200, content[start:], Content_Type=kind, **more)

    return action


def missing(handler: Any) -> None:
    """A registry's 404."""
    errors = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
    send(handler, 404, json.dumps(errors).encode(), Content_Type="application/json")
