"""Clients on a container's streams: attached before its start or while it runs.

Order.  A client of a container that does not run is put in line *before* its head is sent: what it does next (start,
        over another connection) waits behind it, so not a byte of output is lost.
"""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Final

from sampan.engine.errors import BadParameter
from sampan.runtime.supervisor import Attachment, MonitorGone

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable

    from sampan.engine.container import Container
    from sampan.engine.contracts import TakenConnection

DEFAULT_DETACH_KEYS: Final = b"\x10\x11"  # ctrl-p, ctrl-q
HEAD_WAIT_S: Final = 10.0  # for a client to take its head while a start may wait behind it
_FRAME: Final = struct.Struct(">BxxxL")  # stream number, three zeros, length: the Engine API's "Stream format"
STREAMS: Final = {"stdin": 0, "stdout": 1, "stderr": 2}


def frame(stream: str, data: bytes) -> bytes:
    """Return ``data`` as one frame of a multiplexed stream."""
    return _FRAME.pack(STREAMS[stream], len(data)) + data


def parse_detach_keys(text: str | None) -> bytes:
    """Return the bytes of ``ctrl-p,ctrl-q`` or ``a,b``; Docker's default for nothing. Raises BadParameter."""
    if not text:
        return DEFAULT_DETACH_KEYS
    return b"".join(_key(part, text) for part in text.split(","))


def _key(part: str, text: str) -> bytes:
    if len(part) == 1:
        return part.encode()
    name = part.lower().removeprefix("ctrl-")
    if part.lower().startswith("ctrl-") and len(name) == 1 and (name.isalpha() or name in "@[\\]^_"):
        return bytes([ord(name.upper()) & 0x1F])
    raise BadParameter(f"Invalid detach keys ({text}) provided")


class AttachPlan:
    """One client that may be attached, and to what."""

    def __init__(
        self,
        container: Container,
        *,
        wanted: dict[str, bool],
        stream: bool,
        framed: bool,
        detach_keys: bytes,
        replay: Callable[[], AsyncIterator[bytes]] | None,
        done: Callable[[], None],
    ) -> None:
        """``wanted``: of stdin, stdout, stderr. ``replay`` gives the log so far; ``done`` is called once attached."""
        self._container = container
        self._wanted = wanted
        self._stream = stream
        self._framed = framed and not container.tty
        self._keys = detach_keys
        self._replay = replay
        self._done = done

    @property
    def terminal(self) -> bool:
        """Whether the container has a terminal."""
        return self._container.tty

    async def run(self, connection: TakenConnection) -> None:
        """Take the connection over. Raises ConnectionResetError: the client is gone."""
        if self._replay is None and self._stream and not self._container.running:
            async with self._container.lock:
                if not self._container.running and not self._container.removing:
                    async with asyncio.timeout(HEAD_WAIT_S):
                        sock, early = await connection.detach()
                    self._container.pending.append(self._attachment(sock, early))
                    self._done()
                    return
        sock, early = await connection.detach()
        await self._stream_now(sock, early)

    async def _stream_now(self, sock: socket.socket, early: bytes) -> None:
        try:
            if self._replay is not None:
                await _send_all(sock, self._replay())
            run = self._container.run
            if not self._stream or run is None:
                sock.close()
                return
            await run.monitor.attach(self._attachment(sock, early))
        except (OSError, MonitorGone):  # the client left, or the container ended
            sock.close()
        self._done()

    def _attachment(self, sock: socket.socket, early: bytes) -> Attachment:
        return Attachment(
            socket=sock,
            early=early,
            framed=self._framed,
            detach_keys=self._keys if self.terminal else b"",
            **self._wanted,
        )


async def _send_all(sock: socket.socket, chunks: AsyncIterator[bytes]) -> None:
    loop = asyncio.get_running_loop()
    async for chunk in chunks:
        await loop.sock_sendall(sock, chunk)
