"""The hand-over of a connection from the HTTP server to whoever streams over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

    from sampan.api.server.connection import Connection


class Taken:
    """A connection that can be had; until `detach` is called it is still an ordinary request that can be answered."""

    __slots__ = ("_connection", "_head", "detached")

    def __init__(self, connection: Connection, head: bytes) -> None:
        self._connection, self._head = connection, head
        self.detached = False

    async def detach(self) -> tuple[socket.socket, bytes]:
        """Send the head in a write of its own; return the raw, non-blocking socket and the bytes already read from it.

        The caller owns the socket. Raises ClientGone.
        """
        self.detached = True
        return await self._connection.release(self._head)
