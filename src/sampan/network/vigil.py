"""A vigil over what others change on the host that networks stand on: forwarding, addresses, the firewall's table.

Notices come in swarms (switching forwarding tells of every link), so what is to be done waits a moment for the rest.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from sampan.linux.netwatch import RULES, Notices

log = logging.getLogger(__name__)

QUIET_S: Final = 0.05  # after the first notice, before something is done
LONGEST_S: Final = 1.0  # the same, where one round follows another: somebody may insist on the opposite


class Vigil:
    """Waits for notices and acts. For one event loop."""

    def __init__(self, notices: Notices, act: Callable[[set[int]], Awaitable[None]]) -> None:
        """Begin; ``act`` is given what was seen (`sampan.linux.netwatch`), one call at a time."""
        self._notices, self._act = notices, act
        self._seen: set[int] = set()
        self._rules = 0
        self._task: asyncio.Task[None] | None = None
        self._wait_s = QUIET_S
        self._acted = 0.0
        loop = asyncio.get_running_loop()
        for descriptor in notices.descriptors():
            loop.add_reader(descriptor, self._notice)

    def rules_of_others(self) -> int:
        """Return a number that is another one when others' rules have changed; up to this very moment."""
        self._notice()
        return self._rules

    def _notice(self) -> None:
        seen = self._notices.read()
        self._rules += RULES in seen
        self._seen |= seen - {RULES}
        if self._seen and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._rounds())

    async def _rounds(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._seen:
                soon = loop.time() - self._acted < LONGEST_S
                self._wait_s = min(2 * self._wait_s, LONGEST_S) if soon else QUIET_S
                await asyncio.sleep(self._wait_s)
                seen, self._seen = self._seen, set()
                await self._act(seen)
                self._acted = loop.time()
        except Exception:  # nobody waits for it: told here, and the next notice is another try
            log.exception("looking after the networks of the host")
        finally:
            self._task = None

    async def close(self) -> None:
        """End it."""
        loop = asyncio.get_running_loop()
        for descriptor in self._notices.descriptors():
            loop.remove_reader(descriptor)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._notices.close()
