"""Containers for the API: finds the container that is meant and leaves the work to the engine's parts."""

from __future__ import annotations

import builtins
import contextlib
import time
from typing import TYPE_CHECKING

from sampan.api import schema
from sampan.engine import archives, committing, create, inspection, listing, logs, places, reach, removal, top
from sampan.engine.attach import AttachPlan, parse_detach_keys
from sampan.engine.catalog import check_name
from sampan.engine.errors import BadParameter, Conflict, EngineError, Internal, NotFound, NotRunning
from sampan.engine.lifecycle import Lifecycle
from sampan.image.errors import ImageError
from sampan.runtime.supervisor import MonitorGone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Sequence

    from sampan.engine.container import Container
    from sampan.engine.contracts import Actor, Filters, LogOptions
    from sampan.engine.core import Core
    from sampan.engine.execs import Execs


class Containers:
    """All containers of one engine. ``ref`` is an id, an unambiguous prefix of one, or a name."""

    def __init__(self, core: Core, execs: Execs) -> None:
        self._core = core
        self._execs = execs
        self.lifecycle = Lifecycle(core, self.finish_removal)

    async def create(
        self, name: str | None, body: schema.ContainerCreate, platform: str | None = None
    ) -> schema.ContainerCreated:
        """Make a container."""
        return await self._core.run(create.create(self._core, name, body, platform))

    async def start(self, ref: str, *, detach_keys: str | None = None, by: Actor) -> builtins.list[str]:
        """Run a container; return what is to be warned of. Raises NotModified: it runs."""
        container = self._core.catalog.get(ref)
        await self._core.run(self.lifecycle.start(container))
        return container.run.warnings if container.run is not None else []

    async def stop(self, ref: str, *, timeout: int | None, signal: str | None, by: Actor) -> None:
        """Stop a container; ``timeout`` in seconds, negative: no SIGKILL.

        Raises NotModified: it does not run; Internal: all else, as dockerd.
        """
        stopping = self.lifecycle.stop(self._core.catalog.get(ref), timeout, signal, by)
        try:
            await self._core.run(stopping)
        except (BadParameter, Internal) as error:
            raise Internal(f"cannot stop container: {ref}: {error}") from error

    async def restart(self, ref: str, *, timeout: int | None, signal: str | None, by: Actor) -> None:
        """Stop a container if it runs, and start it."""
        container = self._core.catalog.get(ref)
        try:
            await self._core.run(self.lifecycle.restart(container, timeout, signal, by))
        except BadParameter as error:
            raise Internal(f"Cannot restart container {ref}: {error}") from error

    async def kill(self, ref: str, *, signal: str | None, by: Actor) -> None:
        """Send a signal; SIGKILL if none is given."""
        try:
            container = self._core.catalog.get(ref)
            await self._core.run(self.lifecycle.kill(container, signal, by))
        except EngineError as error:
            raise error.within(f"cannot kill container: {ref}: ") from error

    async def remove(
        self,
        ref: str,
        *,
        force: bool = False,
        volumes: bool = False,
        link: bool = False,
        by: Actor,
    ) -> None:
        """Remove a container, a running one with ``force`` only."""
        if link:
            await self._unlink(ref)
            return
        container = self._core.catalog.get(ref)
        await self._core.run(removal.remove(self._core, self.lifecycle, container, force=force, by=by))
        self._execs.forget(container)

    async def _unlink(self, ref: str) -> None:
        """Remove a link, named by "/container/alias" as dockerd has it. Raises BadParameter, NotFound."""
        name, _, alias = ref.strip("/").partition("/")
        if not alias:
            raise BadParameter("Conflict, cannot remove the default link name of the container")
        container = self._core.catalog.get(name)
        links = container.stored.host.links or []
        left = [text for text in links if (text.partition(":")[2] or text).rpartition("/")[2] != alias]
        if len(left) == len(links):
            raise NotFound(f"No such link: {alias}")
        container.stored.host.links = left
        await self._core.durable(self._core.rows.set_config(container.id, container.row("").config))

    async def finish_removal(self, container: Container) -> None:
        """Take an ended container away: --rm."""
        try:
            await removal.finish(self._core, container)
        except BaseException:
            container.removing = False  # it is still there: somebody may try again
            raise
        self._execs.forget(container)

    async def rename(self, ref: str, *, name: str) -> None:
        """Give a container another name."""
        if not ref or not name:
            raise BadParameter("Neither old nor new names may be empty")
        await self._core.run(self._rename(self._core.catalog.get(ref), name))

    async def _rename(self, container: Container, name: str) -> None:
        core = self._core
        async with container.lock:
            if name.removeprefix("/") == container.name:
                raise BadParameter("Renaming a container with the same name as its current name")
            try:
                new = check_name(name, shown="/" + name.removeprefix("/"))
                core.catalog.reserve(new, container.id)
            except EngineError as error:
                raise error.within("Error when allocating new name: ") from None
            try:
                await core.durable(core.rows.rename(container.id, new))
            except BaseException:
                core.catalog.release(new)
                raise
            old, container.name, container.renamed = container.name, new, True
            core.catalog.release(old)
            self._tell_names(container)
        core.container_event(container, "rename", oldName="/" + old)

    def _tell_names(self, container: Container) -> None:
        """Let a renamed container be found by its new name, and no longer by the old."""
        self._core.fabric.rename(container.id, places.namer(self._core.fabric, container))

    async def wait(self, ref: str, condition: str) -> Awaitable[schema.ContainerWait]:
        """Subscribe to a container's end; the second await gives it."""
        return self.lifecycle.wait(self._core.catalog.get(ref), condition)

    async def attach(
        self,
        ref: str,
        *,
        stdin: bool,
        stdout: bool,
        stderr: bool,
        stream: bool,
        logs: bool,
        detach_keys: str | None,
        framed: bool,
    ) -> AttachPlan:
        """Find out whether a client can be attached."""
        container = self._core.catalog.get(ref)
        wanted = {"stdin": stdin and container.stored.config.open_stdin, "stdout": stdout, "stderr": stderr}
        return AttachPlan(
            container,
            wanted=wanted,
            stream=stream,
            framed=framed,
            detach_keys=parse_detach_keys(detach_keys),
            replay=(lambda: self._log_so_far(container, stdout=stdout, stderr=stderr)) if logs else None,
            done=lambda: self._core.container_event(container, "attach"),
        )

    async def _log_so_far(self, container: Container, *, stdout: bool, stderr: bool) -> AsyncIterator[bytes]:
        log = await logs.open_log(self._core, container, logs.AllOutput(stdout=stdout, stderr=stderr))
        async with contextlib.aclosing(log.chunks) as chunks:
            async for chunk in chunks:
                yield chunk

    async def resize(self, ref: str, *, height: int, width: int) -> None:
        """Set the size of a container's terminal; nothing happens where there is none. Raises NotRunning."""
        container = self._core.catalog.get(ref)
        run = container.run
        if run is None:
            raise NotRunning(container.id)
        if container.tty:
            with contextlib.suppress(MonitorGone):  # it ended meanwhile
                await run.monitor.resize(height, width)
        self._core.container_event(container, "resize", height=str(height), width=str(width))

    async def logs(self, ref: str, options: LogOptions) -> logs.LogStream:
        """Return a container's log."""
        return await logs.open_log(self._core, self._core.catalog.get(ref), options)

    async def list(
        self,
        *,
        all: bool,  # noqa: A002 (the API's name)
        limit: int | None,
        size: bool,
        filters: Filters,
    ) -> builtins.list[schema.ContainerSummary]:
        """Return the containers that pass the filters, newest first."""
        core = self._core
        query = listing.parse(core.catalog, core.images, core.fabric, filters, all_=all)
        found = listing.select(builtins.list(core.catalog), query, limit)
        now = time.time_ns()
        rows = [listing.summary(core, one, now) for one in found]
        if size:
            for one, row in zip(found, rows, strict=True):
                row.size_rw, row.size_root_fs = await self._size(one)
        return rows

    async def explain_ports(self, ref: str) -> builtins.list[schema.PortVerdict]:
        """Return who reaches each port of a container, and which rule decides it. Raises NotRunning."""
        return await reach.explain(self._core, self._core.catalog.get(ref))

    async def inspect(self, ref: str, *, size: bool = False) -> schema.ContainerInspect:
        """Return everything about a container."""
        container = self._core.catalog.get(ref)
        return inspection.inspect(self._core, container, size=await self._size(container) if size else None)

    async def _size(self, container: Container) -> tuple[int, int]:
        """Return the bytes of the writable layer and of the whole root."""
        written = await self._core.thread(self._core.snapshots.usage, container.id)
        try:
            image = self._core.images.resolve(container.image_id)
        except ImageError:  # removed by force
            return written, written
        return written, written + image.size

    async def export(self, ref: str) -> AsyncIterator[bytes]:
        """Return a container's file system as a tar stream."""
        return archives.export(self._core, ref)

    async def changes(self, ref: str) -> builtins.list[schema.FilesystemChange]:
        """Return what a container changed in its image's files."""
        return await archives.changes(self._core, ref)

    async def commit(
        self,
        ref: str,
        *,
        repo: str,
        tag: str,
        comment: str,
        author: str,
        pause: bool,
        changes: Sequence[str],
        config: schema.ContainerConfig | None,
    ) -> str:
        """Make an image of a container; return its id."""
        wish = committing.Wish(repo, tag, comment, author, pause, changes, config)
        return await committing.commit(self._core, ref, wish)

    async def top(self, ref: str, ps_args: str) -> schema.ContainerTop:
        """Return a container's processes. Raises Conflict: it does not run."""
        container = self._core.catalog.get(ref)
        if container.run is None:
            raise NotRunning(container.id)
        self._core.container_event(container, "top")
        try:
            pids = await container.run.monitor.pids()
        except MonitorGone:
            raise Conflict(str(NotRunning(container.id))) from None
        return await top.top(pids, ps_args)
