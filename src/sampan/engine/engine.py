"""The brain's front door: containers, exec sessions, images, registries, networks, the system and its events."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from sampan.engine import links
from sampan.engine.containers import Containers
from sampan.engine.disk import Disk
from sampan.engine.execs import Execs
from sampan.engine.images import ImageService
from sampan.engine.networks import Networks
from sampan.engine.recovery import recover
from sampan.engine.registry import Registry
from sampan.engine.system import System

if TYPE_CHECKING:
    from sampan.engine.core import Core
    from sampan.engine.events import EventBus

SETTLE_S: Final = 10.0  # seconds that work under way gets when sampand ends


class Engine:
    """One engine. Life: made → recover → serve → close."""

    def __init__(self, core: Core) -> None:
        """Put the parts together; nothing is touched yet."""
        self._core = core
        core.fabric.links_wanted = partial(links.wanted, core)
        self.execs = Execs(core)
        self.containers = Containers(core, self.execs)
        self.images = ImageService(core)
        self.registry = Registry(core)
        self.networks = Networks(core)
        self.disk = Disk(core, self.containers, self.images)
        self.system = System(core)
        self.events: EventBus = core.events

    async def recover(self) -> None:
        """Bring back what the last sampand left, before anything is served."""
        await recover(self._core, self.containers, self.execs)
        await self.networks.take_up()
        self._core.watch(self.disk.tend(), "the hourly clean-up")

    async def close(self) -> None:
        """Finish what is under way and let go; containers go on."""
        self.registry.close()
        await self._core.settle(SETTLE_S)
        await self._core.fabric.end()
        self._core.close()
