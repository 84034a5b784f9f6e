"""Clearing up behind sandboxes that have ended: together where many end at once, since all of it is waiting.

What is handed in while the thread is busy is done in one go when it comes round; an error is told to one of those who
handed it in.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from sampan.network.model import Endpoint

Reap = Callable[[Sequence[Endpoint], Sequence[Endpoint]], None]


class Reaper:
    """A thread that does it."""

    def __init__(self, reap: Reap) -> None:
        """``reap`` is given endpoints whose host ends must go, and endpoints whose flows must be forgotten."""
        self._reap = reap
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="network-reaper")
        self._lock = threading.Lock()
        self._ends: list[Endpoint] = []
        self._published: list[Endpoint] = []

    async def bury(self, ends: Sequence[Endpoint], published: Sequence[Endpoint]) -> None:
        """Return when it is done. Raises OSError: the kernel refused."""
        with self._lock:
            self._ends += ends
            self._published += published
        await asyncio.get_running_loop().run_in_executor(self._thread, self._work)

    def _work(self) -> None:
        with self._lock:
            ends, self._ends = self._ends, []
            published, self._published = self._published, []
        if ends or published:
            self._reap(ends, published)

    def close(self) -> None:
        """End the thread once it has done what there is."""
        self._thread.shutdown()
