"""Signals that we get while a container has our terminal or our streams: passed on to it, or its terminal resized.

Handlers do nothing; the interpreter writes each signal's number to a pipe, from which a thread of its own acts. So a
signal reaches the container even while the main thread is blocked, and handlers never nest.
"""

from __future__ import annotations

import _thread
import os
import signal

from sampan.cli.errors import ExitStatus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

# Not passed on: what can't be caught, what is about ourselves (a child, a broken pipe, Go's own preemption signal,
# which Docker leaves out too), and faults of this process.
_OURS = frozenset(
    (
        signal.SIGKILL,
        signal.SIGSTOP,
        signal.SIGCHLD,
        signal.SIGPIPE,
        signal.SIGURG,
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGILL,
    )
)
_ENDING = frozenset((signal.SIGINT, signal.SIGTERM))
PATIENCE = 3  # SIGINTs and SIGTERMs until the client ends, whatever the container does with them; as Docker's
RESIZE_TRIES = 10  # a container's terminal may be some milliseconds late


class SignalWatch:
    """Tells `forward` of signals by name ("TERM"), and `resize` of changes of the terminal's size.

    Either may be None. `resize` says whether it succeeded. With `give_up` SIGINT and SIGTERM do not end the client,
    forwarded or not, before the third: then it is called, and does not return.
    """

    def __init__(
        self,
        forward: Callable[[str], None] | None,
        resize: Callable[[], bool] | None,
        give_up: Callable[[], None] | None = None,
    ) -> None:
        self._forward = forward
        self._give_up = give_up
        self._patience = PATIENCE
        self._resize = resize
        self._reader, writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(writer, False)
        self._writer = writer

    def start(self) -> None:
        """Take the signals over, for as long as the process lives."""
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        if self._forward is not None:
            noted = signal.valid_signals() - _OURS
        else:
            noted = set(_ENDING) if self._give_up is not None else set()
            noted |= {signal.SIGWINCH} if self._resize is not None else set()
        for number in noted:
            signal.signal(number, _note)
        _thread.start_new_thread(self._watch, ())

    def resize_now(self, failed: Callable[[], None]) -> None:
        """Give the container's terminal our size; tries again in the background, and calls `failed` in the end."""
        resize = self._resize
        if resize is not None and not resize():
            _thread.start_new_thread(_try_again, (resize, failed))

    def _watch(self) -> None:
        while numbers := os.read(self._reader, 64):
            for number in numbers:
                if number == signal.SIGWINCH and self._resize is not None:
                    self._resize()  # which raises SIGWINCH in the container by itself
                    continue
                if number in _ENDING:
                    self._patience -= 1
                if not self._patience and self._give_up is not None:
                    self._give_up()
                if self._forward is not None:
                    self._forward(signal_name(number))


def end_on_signals() -> None:
    """Let SIGTERM and SIGHUP end the program in good order, so that a raw terminal is put back."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)


def _end(number: int, _frame: FrameType | None) -> None:
    raise ExitStatus(128 + number)


def signal_name(number: int) -> str:
    """``TERM``, ``RTMIN+3`` … as the API takes it."""
    if signal.SIGRTMIN <= number <= signal.SIGRTMAX:
        return "RTMIN" if number == signal.SIGRTMIN else f"RTMIN+{number - signal.SIGRTMIN}"
    return signal.Signals(number).name.removeprefix("SIG")


def _note(_number: int, _frame: FrameType | None) -> None:
    pass


def _try_again(resize: Callable[[], bool], failed: Callable[[], None]) -> None:
    import time

    for attempt in range(RESIZE_TRIES):
        time.sleep((attempt + 1) * 0.01)
        if resize():
            return
    failed()
