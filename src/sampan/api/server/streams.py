"""The raw streams of attach, exec and logs: their content types and the heads before them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from sampan.api.server.messages import Request

RAW: Final = "application/vnd.docker.raw-stream"
MULTIPLEXED: Final = "application/vnd.docker.multiplexed-stream"
_MULTIPLEXED_SINCE: Final = (1, 42)


def content_type(request: Request, *, terminal: bool) -> str:
    """How the client is told whether stdout and stderr come in frames; older clients know it from `inspect`."""
    return MULTIPLEXED if request.version >= _MULTIPLEXED_SINCE and not terminal else RAW


def upgrade_head(request: Request, *, terminal: bool) -> bytes:
    """The head before a taken-over connection: 101 if the client asked to upgrade, else a 200 without length."""
    if request.upgrades:
        kind = content_type(request, terminal=terminal)
        return f"HTTP/1.1 101 UPGRADED\r\nContent-Type: {kind}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode()
    return f"HTTP/1.1 200 OK\r\nContent-Type: {RAW}\r\n\r\n".encode()


def refusal(error: Exception, status: int) -> bytes:
    """How dockerd refuses an attach: as a taken-over connection, with plain text."""
    reason = HTTPStatus(status).phrase
    return f"HTTP/1.1 {status} {reason}\r\nContent-Type: {RAW}\r\n\r\n{error}\r\n".encode()
