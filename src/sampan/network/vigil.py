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
        self._round: asyncio.Task[None] | None = None
        self._closed = False
        self._wait_s = QUIET_S
        self._acted = 0.0
        self._loop = asyncio.get_running_loop()
        self._listen()

    def rules_of_others(self) -> int:
        """Return a number that is another one when others' rules have changed; up to this very moment."""
        self._take(self._notices.read_rules())
        if self._seen and self._round is None:
            self._wake()
        return self._rules

    def _listen(self) -> None:
        for descriptor in self._notices.descriptors():
            self._loop.add_reader(descriptor, self._wake)

    def _ignore(self) -> None:
        for descriptor in self._notices.descriptors():
            self._loop.remove_reader(descriptor)

    def _take(self, seen: set[int]) -> None:
        self._rules += RULES in seen
        self._seen |= seen - {RULES}

    def _wake(self) -> None:
        """Leave what comes in the sockets for a moment: most of it is what this process itself does."""
        self._ignore()
        self._round = self._loop.create_task(self._see_to_it())

    async def _see_to_it(self) -> None:
        try:
            soon = self._loop.time() - self._acted < LONGEST_S
            self._wait_s = min(2 * self._wait_s, LONGEST_S) if soon else QUIET_S
            await asyncio.sleep(self._wait_s)
            self._take(self._notices.read())
            if self._seen:
                seen, self._seen = self._seen, set()
                await self._act(seen)
                self._acted = self._loop.time()
        except Exception:  # nobody waits for it: told here, and the next notice is another try
            log.exception("looking after the networks of the host")
        finally:
            self._round = None
            if not self._closed:
                self._listen()

    async def close(self) -> None:
        """End it."""
        self._closed = True
        self._ignore()
        if self._round is not None:
            self._round.cancel()
            await asyncio.gather(self._round, return_exceptions=True)
        self._notices.close()
