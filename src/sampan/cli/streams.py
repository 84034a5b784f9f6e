"""Carries a container's streams between our descriptors and a connection that was taken over.

Output is moved by the calling thread, input by a thread of its own (started only where input is wanted): with one
thread for both, a reader of our output that waits for our input would wait for ever. `_thread` instead of `threading`
saves 3 ms of imports.
"""

from __future__ import annotations

import _socket
import _thread
import os
import select

from sampan.api.client.frames import STDERR, Demultiplexer
from sampan.cli.session import wait_for, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sampan.api.client.client import Stream
    from sampan.cli.session import Session

BUFFER = 1 << 20  # bytes; a unix socket hands over about 200 KiB at once
INPUT = 1 << 16  # bytes; what a pipe holds
MAX_PIECES = 512  # for one writev; the kernel takes 1024


class Detached(Exception):
    """The user typed the detach keys."""

    def __init__(self) -> None:
        super().__init__("read escape sequence")


class Carrier:
    """One attachment: `tty` tells whether the container has a terminal, `stdin` whether our input goes there."""

    def __init__(
        self, session: Session, stream: Stream, *, tty: bool, stdin: bool, output: bool = True, detach_keys: str = ""
    ) -> None:
        self._session = session
        self._stream = stream
        self._tty = tty
        self._stdin = stdin
        self._output = output
        self._detached = False
        self._input_lock = _thread.allocate_lock()  # held while the input thread runs
        self._keys = self._detach_keys(detach_keys) if tty and stdin else b""
        self._restore: Callable[[], None] = _nothing

    def start(self) -> None:
        """Make the terminal raw and start carrying input."""
        if not self._stdin:
            # Docker's client closes its half at once where there is no input; the daemon then knows none will come.
            self._close_input()
            return
        if self._tty:
            from sampan.cli.signals import end_on_signals
            from sampan.cli.terminal import RawTerminal

            terminal = RawTerminal(0)
            terminal.enter()
            self._restore = self._session.restore_terminal = terminal.leave
            end_on_signals()
        self._input_lock.acquire()
        _thread.start_new_thread(self._carry_input, ())

    def finish(self) -> None:
        """Carry output until it ends. Raises Detached."""
        try:
            if self._output:
                self._carry_output()
            else:
                self._input_lock.acquire()  # without output, all is done when the input has ended
        finally:
            self._restore()
        if self._detached:
            raise Detached

    def abandon(self) -> None:
        """Give the attachment up and put the terminal back."""
        self._restore()
        self._stream.socket.close()

    def _detach_keys(self, text: str) -> bytes:
        from sampan.cli.terminal import DETACH_KEYS, parse_keys

        if not text:
            return DETACH_KEYS
        try:
            return parse_keys(text)
        except ValueError as error:
            self._session.error_line(f"WARNING: invalid detach escape keys, using default: {error}")
            return DETACH_KEYS

    def _carry_output(self) -> None:
        demultiplexer = None if self._tty else Demultiplexer(_write_frames)
        buffer = memoryview(bytearray(BUFFER))
        receive = self._stream.socket.recv_into
        data = memoryview(self._stream.early)
        while True:
            if demultiplexer is not None:
                demultiplexer.feed(data)
            elif data:
                write_all(1, data)
            try:
                size = receive(buffer)
            except OSError:
                size = 0  # closed by `abandon`, by the detach keys, or by a daemon that went away
            if not size:
                break
            data = buffer[:size]
        if demultiplexer is not None and not self._detached:
            demultiplexer.finish()

    def _carry_input(self) -> None:
        """The input thread: our stdin to the connection, then the end of input."""
        try:
            self._copy_input()
        except OSError as error:
            # The other side closed: the output's end tells everything.
            self._session.debug(f"Error sendStdin: {error}")
        finally:
            self._input_lock.release()

    def _copy_input(self) -> None:
        from sampan.cli.terminal import DetachFilter

        keys = DetachFilter(self._keys) if self._keys else None
        send = self._stream.socket.send
        while data := self._read_input():
            view = memoryview(keys.feed(data) if keys else data)
            while view:
                view = view[send(view, _socket.MSG_NOSIGNAL) :]
            if keys and keys.detached:
                self._detached = True
                self._stream.socket.shutdown(_socket.SHUT_RDWR)
                return
        self._close_input()

    def _read_input(self) -> bytes:
        """Some input, or b"" at its end. What can't be read has ended: the container must hear of that too."""
        while True:
            try:
                return os.read(0, INPUT)
            except BlockingIOError:
                wait_for(0, select.POLLIN)
            except OSError as error:
                self._session.debug(f"Error reading stdin: {error}")
                return b""

    def _close_input(self) -> None:
        try:
            self._stream.socket.shutdown(_socket.SHUT_WR)
        except OSError as error:
            self._session.debug(f"Couldn't send EOF: {error}")


def copy_frames(chunks: object) -> None:
    """Write a multiplexed body (an iterable of bytes) to stdout and stderr."""
    demultiplexer = Demultiplexer(_write_frames)
    for chunk in chunks:  # type: ignore[attr-defined]
        demultiplexer.feed(memoryview(chunk))
    demultiplexer.finish()


def copy_raw(chunks: object) -> None:
    """Write a body (an iterable of bytes) to stdout."""
    for chunk in chunks:  # type: ignore[attr-defined]
        write_all(1, chunk)


def _write_frames(stream: int, pieces: list[memoryview]) -> None:
    descriptor = 2 if stream == STDERR else 1
    for start in range(0, len(pieces), MAX_PIECES):
        batch = pieces[start : start + MAX_PIECES]
        try:
            written = os.writev(descriptor, batch)
        except BlockingIOError:
            written = 0  # `write_all` waits until it may go on
        for piece in batch:
            if written < len(piece):
                write_all(descriptor, piece[written:])
            written = max(0, written - len(piece))


def _nothing() -> None:
    pass
