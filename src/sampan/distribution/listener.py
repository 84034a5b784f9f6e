"""Whoever asked for a pull or a push: told how it goes, and heard when they leave."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from sampan.distribution.errors import Cancelled
from sampan.image.progress import STEP, bar

if TYPE_CHECKING:
    from sampan.image.progress import Report

_SHORT = 12


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


def short(digest: str) -> str:
    """Return what a layer is called in messages."""
    return digest.partition(":")[2][:_SHORT]
