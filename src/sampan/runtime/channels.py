"""A monitor's side of its channels: the one it was born with, and those of later sampands that find its socket.

Requests carry ``op`` and ``seq`` and are answered by ``{"re": seq, …}``; events carry ``event`` and go to all channels.
A sampand that does not read is dropped rather than waited for: it finds everything again when it connects anew.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator

from sampan.runtime import wire
from sampan.runtime.loop import READ, Loop
from sampan.runtime.wire import Message

# Gets the request, its descriptors and the channel to answer on.
RequestHandler = Callable[[Message, list[int], socket.socket], None]
_SEND_BUFFER = 1 << 20  # bytes; some thousand events


class Channels:
    """The channels that are open now."""

    def __init__(self, loop: Loop, handle: RequestHandler, greeting: Callable[[socket.socket], None]) -> None:
        self._loop = loop
        self._handle = handle
        self._greet = greeting
        self._open: dict[int, socket.socket] = {}
        self.closed: Callable[[socket.socket], None] = lambda _channel: None

    def serve(self, listener: socket.socket) -> None:
        """Accept channels of sampands that come later."""
        self._loop.watch(listener.fileno(), READ, lambda _events: self._accept(listener))

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            self.add(listener.accept()[0])

    def add(self, channel: socket.socket) -> None:
        """Serve ``channel``, greeting it first."""
        self.resume(channel)
        self._greet(channel)

    def resume(self, channel: socket.socket) -> None:
        """Serve ``channel``, which was greeted before."""
        channel.setblocking(False)
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._open[channel.fileno()] = channel
        self._loop.watch(channel.fileno(), READ, lambda _events: self._receive(channel))

    def send(self, channel: socket.socket, message: Message, descriptors: list[int] | None = None) -> None:
        """Send, or drop a channel that is gone or does not read."""
        if channel.fileno() not in self._open:
            return
        try:
            wire.send(channel, message, descriptors)
        except OSError:
            self.drop(channel)

    def tell(self, message: Message, descriptors: list[int] | None = None) -> None:
        """Send to every channel."""
        for channel in tuple(self._open.values()):
            self.send(channel, message, descriptors)

    def drop(self, channel: socket.socket) -> None:
        """Close a channel."""
        if self._open.pop(channel.fileno(), None) is None:
            return
        self._loop.forget(channel.fileno())
        self.closed(channel)
        channel.close()

    def _receive(self, channel: socket.socket) -> None:
        try:
            received = wire.receive(channel)
        except BlockingIOError:
            return
        except OSError:
            received = None
        if received is None:
            self.drop(channel)
            return
        self._handle(*received, channel)


def listen(address: str) -> socket.socket:
    """Listen at ``address`` for channels (its directory keeps strangers out)."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    directory, _, name = address.rpartition("/")
    with short_path(directory) as place:  # a socket's address has at most 107 bytes, unix(7)
        listener.bind(f"{place}/{name}")
    listener.listen(8)
    return listener


@contextlib.contextmanager
def short_path(directory: str) -> Iterator[str]:
    """Give a short path of a directory, through /proc."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
