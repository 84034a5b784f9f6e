"""A request's body, read on the event loop, as a file that a thread reads.

Cost.   No trip between loop and thread for each chunk: the loop fills a buffer, the thread empties it, each waits only
        when the buffer is full or empty.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sampan.engine.contracts import BodyStream

HIGH: Final = 8 << 20  # bytes buffered before the client is made to wait
LOW: Final = 2 << 20  # bytes left before it may go on


class Pipe(io.RawIOBase):
    """The thread's end; `fill` is the loop's."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._error: BaseException | None = None
        self._arrived = threading.Condition()
        self._drained = asyncio.Event()

    async def fill(self, body: BodyStream) -> None:
        """Take the whole body in; its error becomes the reader's."""
        try:
            async for chunk in body:
                with self._arrived:
                    self._chunks.append(bytes(chunk))
                    self._size += len(chunk)
                    full = self._size >= HIGH
                    self._arrived.notify()
                if full:
                    self._drained.clear()
                    await self._wait_drained()
        except BaseException as error:
            self._end(error)
            raise
        self._end(None)

    async def _wait_drained(self) -> None:
        with self._arrived:
            if self._size <= LOW or self._ended:
                return
        await self._drained.wait()

    def _end(self, error: BaseException | None) -> None:
        with self._arrived:
            self._ended, self._error = True, error
            self._arrived.notify_all()

    def abandon(self) -> None:
        """Give up: a reader that is not at the end yet gets an error, and `fill` does not wait."""
        with self._arrived:
            if not self._ended:
                self._error = ConnectionAbortedError("abandoned")
            self._ended = True
            self._arrived.notify_all()
        self._drained.set()

    def readable(self) -> bool:
        """It can be read."""
        return True

    def read1(self, size: int = -1) -> bytes:
        """Return what is there, at least one byte; b"" at the end. Raises OSError: the client left in the middle."""
        with self._arrived:
            while not self._chunks and not self._ended:
                self._arrived.wait()
            if not self._chunks:
                if self._error is not None:
                    raise ConnectionAbortedError("the client went away in the middle of the upload") from self._error
                return b""
            chunk = self._chunks.popleft()
            if 0 <= size < len(chunk):
                self._chunks.appendleft(chunk[size:])
                chunk = chunk[:size]
            before, self._size = self._size, self._size - len(chunk)
            low = self._size <= LOW < before
        if low:
            self._loop.call_soon_threadsafe(self._drained.set)
        return chunk

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        """Fill ``buffer`` as far as one chunk goes."""
        chunk = self.read1(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)
