"""Whoever asked for a pull or a push: told how it goes, and heard when they leave."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sampan.distribution.errors import Cancelled
from sampan.image.progress import STEP, bar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sampan.image.progress import Report

HEARD_S: Final = 0.2  # how long it takes at most until one who waits hears that nobody listens any more
_SHORT: Final = 12


class Listener:
    """Messages from several threads, one at a time, and not more of them than dockerd sends."""

    def __init__(self, report: Report) -> None:
        """Send messages to ``report``."""
        self._report = report
        self._lock = threading.Lock()
        self._last: dict[tuple[str, str], int] = {}
        self.gone = threading.Event()  # to be set when nobody listens any more

    def tell(self, message: dict[str, object]) -> None:
        """Send a message."""
        with self._lock:
            self._report(message)

    def say(self, digest: str, status: str) -> None:
        """Tell the status of a layer."""
        self.tell({"status": status, "progressDetail": {}, "id": short(digest)})

    def step(self, status: str, digest: str, done: int, total: int) -> None:
        """Tell that so many bytes of a layer are done. Raises Cancelled when nobody listens."""
        self.check()
        key = status, digest
        last = self._last.get(key, -STEP)
        if done == last or (done - last < STEP and done < total):
            return
        self._last[key] = done
        detail = {"current": done, "total": total}
        self.tell({"status": status, "progressDetail": detail, "progress": bar(done, total), "id": short(digest)})

    def check(self) -> None:
        """Raise Cancelled when nobody listens any more."""
        if self.gone.is_set():
            raise Cancelled("the client has gone")


class Slots:
    """So many at once, whatever the limit is by now: it may be reloaded."""

    def __init__(self, limit: Callable[[], int]) -> None:
        """``limit`` is asked each time."""
        self._limit = limit
        self._busy = 0
        self._changed = threading.Condition()

    @contextmanager
    def one(self, listener: Listener) -> Iterator[None]:
        """Have one for the body. Raises Cancelled when nobody listens any more."""
        with self._changed:
            while self._busy >= self._limit():
                self._changed.wait(HEARD_S)
                listener.check()
            self._busy += 1
        try:
            yield
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify()


def short(digest: str) -> str:
    """Return what a layer is called in messages."""
    return digest.partition(":")[2][:_SHORT]
