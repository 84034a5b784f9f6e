"""What the engine's parts share: the catalogue, the rooms below, the machine, threads and tasks.

Rules.  What changes a container runs as a task of its own (`run`): a client that goes away cuts nothing short.
        Blocking work goes to `thread`; the database answers through futures that `durable` awaits.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from sampan.engine import netfiles
from sampan.engine.catalog import Catalog
from sampan.engine.events import EventBus
from sampan.linux import hostfiles
from sampan.network.model import DEFAULT_NETWORK
from sampan.runtime.freezer import Freezer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future
    from pathlib import Path
    from typing import Any

    from sampan.engine.container import Container
    from sampan.engine.host import Host, Settings
    from sampan.engine.rows import ContainerRows
    from sampan.image.store import Images
    from sampan.network.fabric import Fabric
    from sampan.network.resolvconf import Resolution
    from sampan.network.sandbox import Sandbox
    from sampan.runtime.supervisor import Supervisor
    from sampan.storage.containers import ContainerDirectories
    from sampan.storage.snapshots import Snapshots

T = TypeVar("T")

log = logging.getLogger(__name__)

THREADS: Final = 16


@dataclass(slots=True, eq=False)
class Core:
    """One engine's parts."""

    host: Host
    settings: Settings
    rows: ContainerRows
    images: Images
    snapshots: Snapshots
    directories: ContainerDirectories
    supervisor: Supervisor
    fabric: Fabric
    engine_id: str
    driver_reason: str = ""  # why the storage driver is the one it is
    events: EventBus = field(default_factory=EventBus)
    catalog: Catalog = field(default_factory=Catalog)
    freezer: Freezer = field(default_factory=Freezer)
    making: dict[str, str] = field(default_factory=dict)  # container id → image id, of creations under way
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    _watchers: set[asyncio.Task[Any]] = field(default_factory=set)
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(THREADS, thread_name_prefix="engine")
    )

    def run_dir(self, container_id: str) -> Path:
        """Return the directory where a container's monitor keeps its records."""
        return self.settings.exec_root / "containers" / container_id

    def resolution(self, container: Container, sandbox: Sandbox) -> Resolution | None:
        """Return what a sandbox's resolver asks; None where it needs none: on the default bridge alone."""
        named = any(network.name != DEFAULT_NETWORK for network, _one in self.fabric.places(sandbox))
        return self.inner_resolution(container, sandbox) if named else None

    def inner_resolution(self, container: Container, sandbox: Sandbox) -> Resolution:
        """Return what a resolver in a sandbox asks."""
        named = [one for network, one in self.fabric.places(sandbox) if network.name != DEFAULT_NETWORK]
        host_file = hostfiles.read("/etc/resolv.conf")
        ipv6 = any(one.ipv6 for one in named)
        return netfiles.resolution(container.stored, host_file, "internal", ipv6=ipv6, defaults=self.settings.dns)

    def has_run_dir(self, container_id: str) -> bool:
        """Tell whether a container's monitor left records."""
        return self.run_dir(container_id).is_dir()

    def run_dirs(self) -> list[Path]:
        """Return all of them."""
        parent = self.settings.exec_root / "containers"
        return [one for one in parent.iterdir() if one.is_dir()] if parent.is_dir() else []

    async def thread(self, fn: Callable[..., T], *arguments: Any) -> T:
        """Run blocking work on a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, fn, *arguments)

    @staticmethod
    async def durable(future: Future[T]) -> T:
        """Wait until a write is on the disk."""
        return await asyncio.wrap_future(future)

    @staticmethod
    async def recorded(future: Future[None], what: str) -> bool:
        """Wait until a write is on the disk; a failure is logged with ``what`` and told by False."""
        try:
            await asyncio.wrap_future(future)
        except Exception:  # whatever the disk says, the caller has something to finish
            log.exception("%s could not be recorded", what)
            return False
        return True

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something that must come to its end, even if the one who asked for it goes away."""
        return await asyncio.shield(self.spawn(work))

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task that is kept until it ends; an error that nobody awaits is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def background(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        """Start work that nobody waits for; its failure is logged with ``what``."""
        return self.spawn(_logged(work, what))

    def container_event(self, container: Container, action: str, **extra: str) -> None:
        """Tell that something happened to a container."""
        self.events.publish("container", action, container.id, container.attributes() | extra)

    def watch(self, work: Coroutine[Any, Any, None], what: str) -> None:
        """Start work that lasts as long as something else does: `settle` does not wait for it, `close` ends it."""
        task = asyncio.get_running_loop().create_task(_logged(work, what))
        self._watchers.add(task)
        task.add_done_callback(self._watchers.discard)

    async def settle(self, seconds: float) -> None:
        """Wait until the work under way has come to its end, at most so long."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    def close(self) -> None:
        """End watchers and threads."""
        for task in self._watchers:
            task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)


async def _logged(work: Coroutine[Any, Any, None], what: str) -> None:
    try:
        await work
    except Exception:  # nobody waits for background work: here is where its errors are told
        log.exception("%s failed", what)
