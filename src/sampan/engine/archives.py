"""What goes out of a container or becomes an image of it: export, diff, commit.

Which files are there is read off the layers without a mount (`sampan.storage.view`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampan.api import schema
from sampan.engine import sending
from sampan.engine.errors import Conflict
from sampan.image import pack
from sampan.storage.view import changed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sampan.engine.container import Container
    from sampan.engine.core import Core


def export(core: Core, ref: str) -> AsyncIterator[bytes]:
    """Return a container's file system as a tar stream, without what is mounted in it. Raises NoSuchContainer."""
    container = core.catalog.get(ref)
    _check(container, "export")
    core.container_event(container, "export")
    return sending.pieces(core, _exported(core, container))


def _exported(core: Core, container: Container) -> Iterator[bytes]:
    with core.snapshots.view(container.id) as view:
        for piece in pack.packed(view.walk()):
            if container.removing:  # its files are going: what would come is no longer the whole
                raise Conflict(f"container {container.id} was removed while it was exported")
            yield piece


async def changes(core: Core, ref: str) -> list[schema.FilesystemChange]:
    """Return what a container changed in its image's files. Raises NoSuchContainer."""
    container = core.catalog.get(ref)
    return await core.thread(_changes, core, container)


def _changes(core: Core, container: Container) -> list[schema.FilesystemChange]:
    with core.snapshots.written(container.id) as view:
        return [
            schema.FilesystemChange(path="/" + node.path.decode("utf-8", "replace"), kind=int(node.kind))
            for node in changed(view.difference())
        ]


def _check(container: Container, what: str) -> None:
    if container.removing:
        raise Conflict(f"You cannot {what} container {container.id} which is being removed")
