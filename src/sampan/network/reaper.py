"""Clearing up behind sandboxes that have ended: together where many end at once, since all of it is waiting. And what
else must not hold up a start.

What is handed in while the thread is busy is done in one go when it comes round; an error is told to one of those who
handed it in.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from sampan.network.model import Endpoint, Publication

Reap = Callable[[Sequence[Endpoint], Sequence[Endpoint], Sequence[Publication]], None]


class Reaper:
    """A thread that does it."""

    def __init__(self, reap: Reap) -> None:
        """``reap`` is given endpoints whose host ends must go, endpoints whose flows must be forgotten, and ports that
        have just been published.
        """
        self._reap = reap
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="network-reaper")
        self._lock = threading.Lock()
        self._ends: list[Endpoint] = []
        self._served: list[Endpoint] = []
        self._published: list[Publication] = []

    def follow(self, published: Sequence[Publication]) -> None:
        """Forget flows that are older than ports' publication, soon."""
        with self._lock:
            self._published += published
        self._thread.submit(self._work)

    async def bury(self, ends: Sequence[Endpoint], served: Sequence[Endpoint]) -> None:
        """Return when it is done. Raises OSError: the kernel refused."""
        with self._lock:
            self._ends += ends
            self._served += served
        await asyncio.get_running_loop().run_in_executor(self._thread, self._work)

    def _work(self) -> None:
        with self._lock:
            ends, self._ends = self._ends, []
            served, self._served = self._served, []
            published, self._published = self._published, []
        if ends or served or published:
            self._reap(ends, served, published)

    def close(self) -> None:
        """End the thread once it has done what there is."""
        self._thread.shutdown()
