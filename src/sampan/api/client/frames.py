"""Docker's multiplexed stream: stdout and stderr of a container without a terminal, on one connection.

Each frame is eight bytes of header, ``[stream, 0, 0, 0, size as big-endian uint32]``, and `size` bytes of payload.
Streams: 0 stdin (written to stdout, as Docker does), 1 stdout, 2 stderr, 3 an error of the daemon in words.
"""

from __future__ import annotations

from sampan.api.client.errors import ClientError, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

HEADER = 8  # bytes
STDOUT, STDERR, SYSTEM_ERROR = 1, 2, 3


class Demultiplexer:
    """Takes the stream in pieces of any size and calls ``write(stream, [payload pieces])``.

    Pieces are views into what was fed, valid until `feed` returns; neighbours of one stream come together, so that
    a megabyte of small frames costs one write.
    """

    __slots__ = ("_error", "_header", "_left", "_stream", "_write")

    def __init__(self, write: Callable[[int, list[memoryview]], None]) -> None:
        self._write = write
        self._header = b""
        self._left = 0  # bytes of the current frame's payload still to come
        self._stream = STDOUT
        self._error = bytearray()

    def feed(self, data: memoryview) -> None:
        """Take the next bytes. Raises ProtocolError for an unknown stream, ClientError for the daemon's own error."""
        batch: list[memoryview] = []
        batch_stream = self._stream
        position, end = 0, len(data)
        while position < end or (self._left == 0 and self._stream == SYSTEM_ERROR):
            if self._left == 0:
                position = self._next_header(data, position)
                if self._left == 0:
                    continue
            stop = min(position + self._left, end)
            if self._stream != batch_stream and batch:
                self._write(batch_stream, batch)
                batch = []
            batch_stream = self._stream
            self._take(data[position:stop], batch)
            self._left -= stop - position
            position = stop
        if batch:
            self._write(batch_stream, batch)

    def finish(self) -> None:
        """The stream ended. Raises ProtocolError when that was inside a frame."""
        if self._header or self._left:
            raise ProtocolError("unexpected EOF")

    def _take(self, piece: memoryview, batch: list[memoryview]) -> None:
        if self._stream == SYSTEM_ERROR:
            self._error += piece
        else:
            batch.append(piece)

    def _next_header(self, data: memoryview, position: int) -> int:
        """Read a header from `position` on, as far as it is there; returns the position behind it."""
        if self._stream == SYSTEM_ERROR:
            raise ClientError(f"error from daemon in stream: {self._error.decode(errors='replace')}")
        stop = position + HEADER - len(self._header)
        header = self._header + bytes(data[position:stop])
        if len(header) < HEADER:
            self._header = header
            return len(data)
        self._header = b""
        self._stream = header[0] or STDOUT
        if self._stream > SYSTEM_ERROR:
            raise ProtocolError(f"Unrecognized input header: {header[0]}")
        self._left = int.from_bytes(header[4:], "big")
        return stop
