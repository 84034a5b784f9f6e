"""A container's processes made to stand still while its files are read.

On version 1 of control groups by the freezer hierarchy's ``freezer.state``, on version 2 by ``cgroup.freeze``; where
neither is there they run on. The monitor does it, and undoes it when the channel of the sampand that asked has ended:
a sampand that is killed leaves nobody frozen. Several at once share one pause.

Source. Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst; cgroup-v2.rst, "cgroup.freeze".
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Final

from sampan.runtime import guard
from sampan.runtime.handle import MonitorGone

if TYPE_CHECKING:
    from sampan.runtime.handle import Monitor

FREEZE_WAIT_S: Final = 10.0  # for processes in the middle of a system call
POLL_S: Final = 0.002


class Freezer:
    """Who is frozen, and for how many."""

    def __init__(self) -> None:
        self._users: Counter[str] = Counter()

    async def freeze(self, monitor: Monitor) -> None:
        """Stop the processes; returns once they stand. A container that ends meanwhile needs no pause.

        Raises TimeoutError: they did not stand in time, and go on.
        """
        self._users[monitor.id] += 1
        try:
            with contextlib.suppress(MonitorGone):
                await monitor.freeze(frozen=True)
                await _until_frozen(monitor)
        except BaseException:
            await self.thaw(monitor)
            raise

    async def thaw(self, monitor: Monitor) -> None:
        """Let them go on, once all who asked for the pause have said so."""
        self._users[monitor.id] -= 1
        if self._users[monitor.id]:
            return
        del self._users[monitor.id]
        with contextlib.suppress(MonitorGone):
            await monitor.freeze(frozen=False)


async def _until_frozen(monitor: Monitor) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + FREEZE_WAIT_S
    while not await asyncio.to_thread(_is_frozen, str(monitor.run_dir)):
        if loop.time() > deadline:
            raise TimeoutError(f"the processes of container {monitor.id[:12]} could not be paused")
        await asyncio.sleep(POLL_S)


def _is_frozen(run_dir: str) -> bool:
    group = guard.group_of(run_dir)
    return group is None or group.is_frozen()
