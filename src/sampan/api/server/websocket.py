"""WebSocket (RFC 6455) for `attach/ws`: the handshake, frames, and a relay between a client and a stream's socket.

A taken-over WebSocket can't be handed to a container's monitor as it is: the monitor gets one end of a socket pair, and
the relay here works on the other.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import logging
import socket
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from sampan.api.server.messages import Request, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sampan.api.server.taken import Taken

log = logging.getLogger("sampan.api")

_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA  # opcodes, 5.2
_CONTROL_LIMIT: Final = 125  # bytes in a control frame, 5.5
_READ: Final = 1 << 16  # bytes at a time
_NORMAL: Final = (1000).to_bytes(2, "big")  # status of a close frame, 7.4.1
_PROTOCOL_ERROR: Final = (1002).to_bytes(2, "big")


class FrameError(ValueError):
    """What came is no frame of a WebSocket client."""


def handshake(request: Request) -> bytes:
    """The head that accepts the upgrade. Raises RequestError.

    A browser says which page asks (`Origin`); a page of another host may not: whoever can attach is root.
    """
    headers = request.headers
    key = headers.get("sec-websocket-key", "")
    if headers.get("upgrade", "").lower() != "websocket" or not key:
        raise RequestError("not a WebSocket handshake: the headers Upgrade and Sec-WebSocket-Key are missing")
    if headers.get("sec-websocket-version") != "13":
        raise RequestError("only version 13 of the WebSocket protocol is spoken", 426)
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != headers.get("host"):
        raise RequestError(f"a page of {origin} may not attach to a container", 403)
    accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID.encode(), usedforsecurity=False).digest()).decode()
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n\r\n"
    ).encode()


def frame(opcode: int, payload: bytes) -> bytes:
    """One whole, unmasked frame, as a server sends it."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, size))
    elif size < 1 << 16:
        head = bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big")
    return head + payload


class Deframer:
    """Takes the bytes of a client's frames in any pieces; gives (opcode, payload). Large payloads come in parts."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._opcode = 0
        self._left = 0  # bytes of the current frame's payload still to come
        self._mask = b""
        self._at = 0  # position in the payload, for the mask

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """All that `data` completes. Raises FrameError."""
        self._buffer += data
        while self._left or self._head():
            part = self._part()
            if part is None:
                return
            yield self._opcode, part

    def _head(self) -> bool:
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        opcode, size, extra = buffer[0] & 0x0F, buffer[1] & 0x7F, 0
        if buffer[0] & 0x70 or not buffer[1] & 0x80:
            raise FrameError("reserved bits, or no mask")
        if opcode >= CLOSE and (size > _CONTROL_LIMIT or not buffer[0] & 0x80):
            raise FrameError("a control frame that is long or in parts")
        if size > _CONTROL_LIMIT:
            extra = 2 if size == 126 else 8
        if len(buffer) < 2 + extra + 4:
            return False
        self._left = int.from_bytes(buffer[2 : 2 + extra], "big") if extra else size
        self._mask, self._at = bytes(buffer[2 + extra : 6 + extra]), 0
        self._opcode = opcode or BINARY  # a continuation
        del buffer[: 6 + extra]
        return True

    def _part(self) -> bytes | None:
        """What there is of the payload; of a control frame all or None."""
        size = min(self._left, len(self._buffer))
        if size < self._left and (self._opcode >= CLOSE or not size):
            return None
        part = _unmask(bytes(self._buffer[:size]), self._mask, self._at)
        del self._buffer[:size]
        self._left -= size
        self._at += size
        return part


def _unmask(data: bytes, mask: bytes, at: int) -> bytes:
    """RFC 6455, 5.3, on whole numbers instead of bytes: a hundred times faster."""
    turned = mask[at % 4 :] + mask[: at % 4]
    key = (turned * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(len(data), "big")


class WebSocketTaken:
    """A connection to be taken over whose owner gets a plain socket, while frames go to and from the client."""

    def __init__(self, taken: Taken) -> None:
        self._taken = taken
        self.relay: asyncio.Task[None] | None = None

    async def detach(self) -> tuple[socket.socket, bytes]:
        """Send the head and start the relay; the stream's socket, non-blocking. Raises ConnectionResetError."""
        client, early = await self._taken.detach()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self.relay = asyncio.get_running_loop().create_task(_relay(client, ours, early))
        return theirs, b""


async def _relay(client: socket.socket, stream: socket.socket, early: bytes) -> None:
    """Until the stream ends or the client leaves."""
    with client, stream:
        tasks = [asyncio.ensure_future(_inward(client, stream, early)), asyncio.ensure_future(_outward(stream, client))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, Exception) and not isinstance(outcome, OSError):
                    log.error("a WebSocket broke off", exc_info=outcome)


async def _inward(client: socket.socket, stream: socket.socket, early: bytes) -> None:
    loop, deframer = asyncio.get_running_loop(), Deframer()
    data = early or await loop.sock_recv(client, _READ)
    while data:
        try:
            for opcode, payload in deframer.feed(data):
                if opcode == CLOSE:
                    await loop.sock_sendall(client, frame(CLOSE, payload[:2]))
                    return
                if opcode == PING:
                    await loop.sock_sendall(client, frame(PONG, payload))
                elif opcode in (TEXT, BINARY):
                    with contextlib.suppress(BrokenPipeError):  # the container does not read any more
                        await loop.sock_sendall(stream, payload)
        except FrameError:
            await loop.sock_sendall(client, frame(CLOSE, _PROTOCOL_ERROR))
            return
        data = await loop.sock_recv(client, _READ)


async def _outward(stream: socket.socket, client: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(stream, _READ):
        await loop.sock_sendall(client, frame(BINARY, data))
    await loop.sock_sendall(client, frame(CLOSE, _NORMAL))
