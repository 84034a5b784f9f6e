"""The event loop of a monitor: descriptors by epoll(7), children by SIGCHLD. One thread, no imports worth naming."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
GONE = select.EPOLLHUP | select.EPOLLERR

Handler = Callable[[int], None]  # called with the events that came
ChildHandler = Callable[[int, int], None]  # called with pid and wait status


def hear_children() -> None:
    """Have SIGCHLD written to the loop's descriptor, in this process and in those that it forks."""
    signal.signal(signal.SIGCHLD, _nothing)


class Loop:
    """Calls handlers as their descriptors become ready, until `stop`. Needs `hear_children`, once, before."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._children: dict[int, ChildHandler] = {}
        self._running = True
        self._deferred: list[Callable[[], None]] = []
        self._wake, self._notify = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(self._notify, warn_on_full_buffer=False)
        self.watch(self._wake, READ, self._reap)

    def watch(self, descriptor: int, events: int, handler: Handler) -> None:
        """Call ``handler`` when one of ``events`` comes, or the other side is gone; replaces an earlier watch."""
        if descriptor in self._handlers:
            self._poll.modify(descriptor, events)
        else:
            self._poll.register(descriptor, events)
        self._handlers[descriptor] = handler

    def forget(self, descriptor: int) -> None:
        """Stop watching. Call it before closing the descriptor; one that is not watched is no error."""
        if self._handlers.pop(descriptor, None) is not None:
            with contextlib.suppress(FileNotFoundError):
                self._poll.unregister(descriptor)

    def on_exit(self, pid: int, handler: ChildHandler) -> None:
        """Call ``handler`` once, when the child ``pid`` has ended and was reaped."""
        self._children[pid] = handler

    def soon(self, action: Callable[[], None]) -> None:
        """Call ``action`` after the handlers of this turn."""
        self._deferred.append(action)

    def stop(self) -> None:
        """Make `run` return after this turn."""
        self._running = False

    def run(self) -> None:
        """Serve until `stop`."""
        self._reap(0)  # a child may have died before SIGCHLD was asked for
        while self._running:
            self.turn()

    def turn(self) -> None:
        """Wait for something to happen and see to all that has."""
        for descriptor, events in self._poll.poll():
            handler = self._handlers.get(descriptor)
            if handler is not None:
                handler(events)
        while self._deferred:
            self._deferred.pop(0)()

    def close(self) -> None:
        """Give the loop's own descriptors back."""
        signal.set_wakeup_fd(-1)
        self._poll.close()
        os.close(self._wake)
        os.close(self._notify)

    def _reap(self, _events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake, 512):
                pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            handler = self._children.pop(pid, None)
            if handler is not None:
                handler(pid, status)


def _nothing(_signum: int, _frame: object) -> None:
    """SIGCHLD needs a handler for the wake-up descriptor to be written; there is nothing else to do."""
