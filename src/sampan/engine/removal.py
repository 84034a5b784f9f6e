"""Taking a container away.

Order.  ended → row gone and directory set aside (now it is removed for everyone) → answered → files deleted behind.
        With --rm, of one that ran, the answer waits for no disk: a row that is left means the same, see "Crash".
Crash.  Before the row went: the container is there as it was; one with --rm that ran is removed by the next start.
        After: what is left is swept then.
Full.   A full disk takes no change of the row, so the files go first and make room. If there is none even then, the
        container stays without its files, and its removal can be asked for again.
"""

from __future__ import annotations

import errno
import logging
import sqlite3
from typing import TYPE_CHECKING

from sampan.engine.errors import Conflict, NoSuchContainer

if TYPE_CHECKING:
    from concurrent.futures import Future

    from sampan.engine.container import Container
    from sampan.engine.contracts import Actor
    from sampan.engine.core import Core
    from sampan.engine.lifecycle import Lifecycle

log = logging.getLogger(__name__)


async def remove(core: Core, lifecycle: Lifecycle, container: Container, *, force: bool, by: Actor) -> None:
    """Remove a container; a running one with ``force`` only.

    Raises Conflict: it runs, or somebody removes it already. NoSuchContainer: somebody just did.
    """
    if container.removing:
        raise Conflict(f"removal of container {container.name} is already in progress")
    container.removing = force  # from here on nothing starts it
    try:
        async with container.lock:  # a start in progress comes to its end first
            run = container.run
            if run is None:
                _check_present(core, container)
                container.removing = True
            elif not force:
                raise _is_running(container)
        if run is not None:
            await lifecycle.kill_run(container, run, by)
        await finish(core, container)
    except BaseException:
        container.removing = False
        raise


def _check_present(core: Core, container: Container) -> None:
    if core.catalog.find(container.id) is None:
        raise NoSuchContainer(container.id)


def _is_running(container: Container) -> Conflict:
    return Conflict(
        f'cannot remove container "/{container.name}": container is running: '
        "stop the container before removing or force remove"
    )


async def finish(core: Core, container: Container) -> None:
    """Remove an ended container that is marked as being removed."""
    deleted = core.rows.delete(container.id)  # whoever takes its name is written down behind that
    if container.stored.host.auto_remove and container.state.started:
        _announce(core, container)
        core.background(_vanish(core, container, deleted), f"removing container {container.short_id}")
        return
    await _forget(core, container, deleted)
    _announce(core, container)
    core.background(_delete(core, container), f"deleting the files of container {container.short_id}")


def _announce(core: Core, container: Container) -> None:
    core.catalog.remove(container)
    container.close_pending()
    core.container_event(container, "destroy")
    container.resolve_removal()


async def _vanish(core: Core, container: Container, deleted: Future[None]) -> None:
    await _forget(core, container, deleted)
    await _delete(core, container)


async def _forget(core: Core, container: Container, deleted: Future[None]) -> None:
    """Wait until its row is gone, and set its files aside."""
    mounted = container.clearing is not None and not container.clearing.done()
    try:
        await core.thread(_set_aside, core, container.id, deleted, mounted)
    except (sqlite3.Error, OSError) as error:
        if not _disk_is_full(error):
            raise
        log.warning("container %s: %s: making room with its files", container.short_id, error)
        await core.thread(_make_room, core, container.id)
        await core.thread(_set_aside, core, container.id, core.rows.delete(container.id), mounted)


def _set_aside(core: Core, container_id: str, deleted: Future[None], mounted: bool) -> None:
    deleted.result()
    core.directories.set_aside(container_id)
    if not mounted:
        core.snapshots.discard(container_id)  # an rmi that is asked for next finds its layers free


def _disk_is_full(error: sqlite3.Error | OSError) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return error.sqlite_errorcode == sqlite3.SQLITE_FULL


def _make_room(core: Core, container_id: str) -> None:
    core.directories.set_aside(container_id)
    core.directories.delete(container_id)


async def _delete(core: Core, container: Container) -> None:
    if container.clearing is not None:
        await container.clearing  # the monitor lets go of the root first
    if container.unrecorded:  # its exit was kept there, and is of no use any more
        await core.supervisor.forget(core.run_dir(container.id))
    await core.thread(_clean, core, container)


def _clean(core: Core, container: Container) -> None:
    core.snapshots.discard(container.id)
    core.directories.delete(container.id)
    if container.image_id not in {image.id for image in core.images.list()}:
        core.images.collect()  # it was the last to need the layers of a removed image
