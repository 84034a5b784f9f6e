"""The addresses of -H: from text to listening sockets."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from sampan.api.server import http
from sampan.daemon.flags import UsageError

if TYPE_CHECKING:
    import socket

log = logging.getLogger(__name__)

PLAIN_PORT: Final = 2375  # Docker's for TCP without TLS


def listen(host: str, *, group: str, allow_plain_tcp: bool) -> socket.socket:
    """Listen at one address. Raises UsageError: it is none, or may not be used; OSError: it can't be had."""
    if host.startswith("unix://"):
        path = Path(host.removeprefix("unix://"))
        if not path.is_absolute():
            raise UsageError(f"invalid bind address ({host}): the path of a unix socket must be absolute")
        path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        return http.listen_unix(path, group=group)
    if host.startswith("fd://"):
        raise UsageError("fd:// (socket activation) is not there yet: use unix:///path")
    if not host.startswith("tcp://"):
        raise UsageError(f"invalid bind address format: {host}; use unix:///path or tcp://address:port")
    return _listen_tcp(host, allowed=allow_plain_tcp)


def _listen_tcp(host: str, *, allowed: bool) -> socket.socket:
    if not allowed:
        raise UsageError(
            f"{host} is not opened without TLS: whoever reaches it has the power of root on this machine; "
            "TLS is not there yet. To open it all the same, on a network that you trust, add --tls=false"
        )
    try:
        parts = urlsplit(host)
        address, port = parts.hostname or "127.0.0.1", PLAIN_PORT if parts.port is None else parts.port
    except ValueError as error:
        raise UsageError(f"invalid bind address ({host}): {error}") from None
    log.warning("%s is open without TLS (--tls=false): whoever reaches it has the power of root on this machine", host)
    return http.listen_tcp(address, port)


def unlink(host: str) -> None:
    """Remove the socket file of an address at the end."""
    if host.startswith("unix://"):
        Path(host.removeprefix("unix://")).unlink(missing_ok=True)
