"""The standard streams of one program and the clients attached to them.

Words.  *output*: a pipe or terminal that the program writes. *sink*: an attached client's socket. *framed*: each piece
        behind Docker's 8-byte header (stream, length), as without a terminal.
Flow.   An output is read only while no sink is more than `BACKLOG` behind: a slow client holds the program up, as with
        Docker. The log takes everything and never waits for anyone.
Source. Engine API, "Attach to a container": stream format.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from sampan.runtime.loop import GONE, READ, WRITE, Loop

BACKLOG: Final = 1 << 20  # bytes that wait for one client before its program waits too; dockerd's figure
LEFT_AT_MOST: Final = 4 << 20  # bytes in a pipe whose writer is gone; an unprivileged one holds 1 MiB, pipe(7)
CHUNK: Final = 256 << 10  # bytes a read
NUMBERS: Final = {"stdin": 0, "stdout": 1, "stderr": 2}
_WOULD_BLOCK: Final = (errno.EAGAIN, errno.EWOULDBLOCK)


class Log(Protocol):
    """Where output is kept; see `sampan.logs.writer`."""

    def write(self, stream: str, chunk: bytes, now_ns: int) -> None: ...
    def flush(self, stream: str) -> None: ...


class Sink:
    """One attached client: takes output, gives input."""

    def __init__(self, connection: socket.socket, wanted: set[str], *, framed: bool) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.wanted = wanted  # of stdin, stdout, stderr
        self.framed = framed
        self.early = b""  # input that came right behind the request head
        self.detach_keys = b""
        self.matched = 0  # how many of detach_keys the last input ended with
        self.held = b""  # those bytes: typed, not yet passed on
        self._waiting: deque[bytes | memoryview] = deque()
        self.backlog = 0

    def offer(self, stream: str, chunk: bytes) -> bool:
        """Send ``chunk`` or keep it for later; False when the client is gone."""
        pieces: list[bytes | memoryview] = [chunk]
        if self.framed:
            pieces.insert(0, bytes((NUMBERS[stream], 0, 0, 0)) + len(chunk).to_bytes(4, "big"))
        if not self._waiting:
            try:
                sent = self.connection.sendmsg(pieces, [], socket.MSG_NOSIGNAL)
            except OSError as error:
                if error.errno not in _WOULD_BLOCK:
                    return False
                sent = 0
            pieces = _rest(pieces, sent)
        self._waiting.extend(pieces)
        self.backlog += sum(map(len, pieces))
        return True

    def drain(self) -> bool:
        """Send what waits, as far as the socket takes it; False when the client is gone."""
        while self._waiting:
            piece = self._waiting[0]
            try:
                sent = self.connection.send(piece, socket.MSG_NOSIGNAL)
            except OSError as error:
                return error.errno in _WOULD_BLOCK
            self.backlog -= sent
            if sent == len(piece):
                self._waiting.popleft()
            else:
                self._waiting[0] = memoryview(piece)[sent:]
        return True


def _rest(pieces: list[bytes | memoryview], sent: int) -> list[bytes | memoryview]:
    left: list[bytes | memoryview] = []
    for piece in pieces:
        if sent >= len(piece):
            sent -= len(piece)
        else:
            left.append(memoryview(piece)[sent:] if sent else piece)
            sent = 0
    return left


class Streams:
    """Reads a program's outputs into its log and its sinks, and their input into the program.

    Attributes:
        sinks: the clients attached now.
        ended: called with each sink that goes: because it detached by keys, or its connection ended.
    """

    def __init__(self, loop: Loop, *, terminal: bool, close_stdin_with_client: bool, log: Log | None = None) -> None:
        self._loop = loop
        self._terminal = terminal
        self._close_stdin_with_client = close_stdin_with_client
        self._log = log
        self._outputs: dict[int, str] = {}
        self._paused = False
        self._finishing = False
        self._stdin = -1
        self._input: deque[bytes | memoryview] = deque()
        self._close_stdin_after = False
        self.sinks: list[Sink] = []
        self.logged: Callable[[], None] = lambda: None
        self.detached: Callable[[Sink], None] = lambda _sink: None
        self.idle: Callable[[], None] = lambda: None

    # Outputs

    def add_output(self, descriptor: int, stream: str) -> None:
        """Read ``descriptor`` from now on as ``stdout`` or ``stderr``; it is ours to close."""
        os.set_blocking(descriptor, False)
        self._outputs[descriptor] = stream
        if not self._paused:
            self._watch_output(descriptor)

    def _watch_output(self, descriptor: int) -> None:
        self._loop.watch(descriptor, READ, lambda _events: self._pump(descriptor))

    def _pump(self, descriptor: int) -> None:
        self._read_once(descriptor)

    def _read_once(self, descriptor: int) -> int:
        """Deliver one piece; return its size in bytes, 0 when nothing more is there now."""
        try:
            chunk = os.read(descriptor, CHUNK)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno != errno.EIO:  # EIO: the last user of a terminal's other side is gone
                raise
            chunk = b""
        if not chunk:
            self._end_output(descriptor)
            return 0
        self._deliver(self._outputs[descriptor], chunk)
        return len(chunk)

    def _deliver(self, stream: str, chunk: bytes) -> None:
        if self._log is not None:
            self._log.write(stream, chunk, time.time_ns())
            self.logged()
        for sink in tuple(self.sinks):
            if stream in sink.wanted:
                if not sink.offer(stream, chunk):
                    self.drop(sink)
                elif sink.backlog:
                    self._watch_sink(sink)
        self._balance()

    def _end_output(self, descriptor: int) -> None:
        stream = self._outputs.pop(descriptor)
        self._loop.forget(descriptor)
        if descriptor != self._stdin:
            os.close(descriptor)
        if self._log is not None and stream not in self._outputs.values():
            self._log.flush(stream)
            self.logged()

    def _balance(self) -> None:
        """Pause the outputs while some sink is too far behind."""
        slow = any(sink.backlog > BACKLOG for sink in self.sinks) and not self._finishing
        if slow == self._paused:
            return
        self._paused = slow
        for descriptor in self._outputs:
            if slow:
                self._loop.forget(descriptor)
            else:
                self._watch_output(descriptor)

    def finish(self) -> None:
        """The program is gone: take what it left in its pipes, then let the sinks go as they have everything."""
        self._finishing = True
        for descriptor in tuple(self._outputs):
            left = LEFT_AT_MOST  # what others write meanwhile, to whom it passed its end, is not waited for
            while left > 0 and (size := self._read_once(descriptor)):
                left -= size
            if descriptor in self._outputs:  # somebody outside holds the other end: what he writes is not the program's
                self._end_output(descriptor)
        self._close_stdin()
        for sink in tuple(self.sinks):
            if not sink.backlog:
                self.drop(sink)
        if not self.sinks:
            self.idle()

    # Sinks

    def attach(self, sink: Sink) -> None:
        """Connect a client; its socket is ours to close."""
        self.sinks.append(sink)
        if sink.early and "stdin" in sink.wanted:
            early, sink.early = sink.early, b""
            self._take_input(sink, early)
        if sink in self.sinks:
            self._watch_sink(sink)

    def _watch_sink(self, sink: Sink) -> None:
        reading = "stdin" in sink.wanted and self._stdin >= 0 and not self._input
        events = (READ if reading else 0) | (WRITE if sink.backlog else 0)
        self._loop.watch(sink.connection.fileno(), events, lambda found: self._serve_sink(sink, found))

    def _serve_sink(self, sink: Sink, events: int) -> None:
        if events & WRITE and not sink.drain():
            self.drop(sink)
        elif "stdin" in sink.wanted and self._stdin >= 0 and events & (READ | GONE):
            if not self._input:
                self._read_sink(sink)  # to the end: one that has hung up may have sent more than is read
            elif events & GONE:
                self._loop.forget(sink.connection.fileno())  # until its input is written: see `_wait_for_stdin`
        elif events & GONE:
            self.drop(sink)
        if sink not in self.sinks:
            self._balance()
            return
        if self._finishing and not sink.backlog:
            self.drop(sink)
            return
        if events & WRITE:
            self._watch_sink(sink)
            self._balance()

    def _read_sink(self, sink: Sink) -> None:
        try:
            chunk = sink.connection.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self.drop(sink)
            return
        if chunk:
            self._take_input(sink, chunk)
        else:
            self._end_input(sink)
        if sink in self.sinks:
            self._watch_sink(sink)

    def _end_input(self, sink: Sink) -> None:
        """The client will send no more: it closed half of the connection, or is gone."""
        sink.wanted.discard("stdin")
        if self._close_stdin_with_client and not self._terminal:
            self._close_stdin_after = True
            self._feed()

    def drop(self, sink: Sink) -> None:
        """Let a client go and close its connection."""
        if sink not in self.sinks:
            return
        self.sinks.remove(sink)
        if "stdin" in sink.wanted:
            self._end_input(sink)
        self._loop.forget(sink.connection.fileno())
        _hang_up(sink.connection)
        self._loop.soon(self._balance)
        if self._finishing and not self.sinks:
            self.idle()

    def release(self) -> None:
        """Let every client go without a sign to it: whoever else holds the connection goes on with it."""
        for sink in self.sinks:
            self._loop.forget(sink.connection.fileno())
            sink.connection.close()
        self.sinks.clear()

    # Input

    def set_stdin(self, descriptor: int) -> None:
        """Write the clients' input to ``descriptor`` from now on; it is ours to close."""
        os.set_blocking(descriptor, False)
        self._stdin = descriptor
        for sink in self.sinks:
            self._watch_sink(sink)
        self._feed()

    def _take_input(self, sink: Sink, chunk: bytes) -> None:
        if self._terminal and sink.detach_keys:
            chunk, detached = _match_keys(sink, chunk)
            if detached:
                sink.wanted.discard("stdin")
                self.detached(sink)
                self.drop(sink)
        if chunk:
            self._input.append(chunk)
            self._feed()

    def _feed(self) -> None:
        if self._stdin < 0:
            return
        while self._input:
            piece = self._input[0]
            try:
                done = os.write(self._stdin, piece)
            except BlockingIOError:
                self._wait_for_stdin()
                return
            except OSError:  # the program closed its input: the rest is for nobody
                self._input.clear()
                self._close_stdin()
                return
            if done == len(piece):
                self._input.popleft()
            else:
                self._input[0] = memoryview(piece)[done:]
        if self._close_stdin_after:
            self._close_stdin()

    def _wait_for_stdin(self) -> None:
        reader = self._outputs.get(self._stdin)
        events = WRITE | (READ if reader is not None and not self._paused else 0)
        descriptor = self._stdin

        def ready(found: int) -> None:
            if found & READ and reader is not None:
                self._pump(descriptor)
            if found & (WRITE | GONE) and self._stdin == descriptor:
                self._stop_waiting()
                self._feed()
                for sink in tuple(self.sinks):
                    self._watch_sink(sink)

        self._loop.watch(descriptor, events, ready)

    def _stop_waiting(self) -> None:
        if self._stdin in self._outputs:
            descriptor = self._stdin
            self._loop.watch(descriptor, 0 if self._paused else READ, lambda _events: self._pump(descriptor))
        else:
            self._loop.forget(self._stdin)

    def _close_stdin(self) -> None:
        if self._stdin < 0:
            return
        if self._stdin not in self._outputs:
            self._loop.forget(self._stdin)
            os.close(self._stdin)
        self._stdin = -1
        self._input.clear()


def _hang_up(connection: socket.socket) -> None:
    """End a connection so that the peer reads its end and no reset: unix(7) resets if something sent was not read."""
    with contextlib.suppress(OSError):  # the peer may be gone
        connection.shutdown(socket.SHUT_RDWR)
        while connection.recv(CHUNK):
            pass
    connection.close()


def _match_keys(sink: Sink, chunk: bytes) -> tuple[bytes, bool]:
    """Return the input to pass on and whether the detach keys were typed; keys typed in part are held back.

    As moby's escape proxy: a key that breaks the sequence releases what was held.
    """
    out = bytearray()
    for byte in chunk:
        if byte == sink.detach_keys[sink.matched]:
            sink.matched += 1
            sink.held += bytes((byte,))
            if sink.matched == len(sink.detach_keys):
                return bytes(out), True
            continue
        out += sink.held
        sink.held, sink.matched = b"", 0
        if byte == sink.detach_keys[0]:
            sink.held, sink.matched = bytes((byte,)), 1
            if len(sink.detach_keys) == 1:
                return bytes(out), True
        else:
            out.append(byte)
    return bytes(out), False
