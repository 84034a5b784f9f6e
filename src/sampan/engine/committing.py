"""``docker commit``: a container's changes and settings as a new image.

Order.  checked → paused → its writable layer read into a blob → goes on → unpacked, made durable, named, told of.
        Nothing names the blob before the image's row does, so a crash in between leaves what the next start sweeps.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sampan.api import schema
from sampan.engine import merge
from sampan.engine.errors import Conflict, Internal
from sampan.image import changes, committing, pack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from sampan.engine.container import Container
    from sampan.engine.core import Core
    from sampan.image.model import Image


@dataclass(frozen=True, slots=True)
class Wish:
    """What a commit is asked to be; ``config`` takes the place of the container's own where it says something."""

    repo: str
    tag: str
    comment: str
    author: str
    pause: bool
    changes: Sequence[str]
    config: schema.ContainerConfig | None


async def commit(core: Core, ref: str, wish: Wish) -> str:
    """Make an image of a container and return its ID.

    Raises NoSuchContainer, Conflict, ImageNotFound (its image was removed), InvalidReference, BadTag, InvalidChange.
    """
    container = core.catalog.get(ref)
    if container.removing:
        raise Conflict(f"You cannot commit container {container.id} which is being removed")
    name = committing.new_name(wish.repo, wish.tag)
    made = committing.Commit(
        container=container.id,
        container_config=schema.to_json(container.stored.config),
        config=_config(container.stored.config, wish),
        author=wish.author,
        comment=wish.comment,
        engine_version=core.settings.version,
    )
    base = core.images.resolve(container.image_id)
    image = await core.run(_commit(core, container, base, made, name, pause=wish.pause))
    if name is not None:
        core.events.publish("image", "tag", image.id, {**image.labels, "name": name})
    core.container_event(container, "commit", comment=wish.comment, imageID=image.id, imageRef=name or "")
    return image.id


def _config(own: schema.ContainerConfig, wish: Wish) -> dict[str, Any]:
    """The container's settings, changed as asked, what was left empty filled up with them again, as dockerd does."""
    changed = changes.apply_changes(wish.changes, schema.to_json(wish.config or own))
    config = schema.convert(changed, schema.ContainerConfig)
    merged: dict[str, Any] = schema.to_json(merge.with_image_defaults(config, schema.to_json(own)))
    return merged


async def _commit(
    core: Core, container: Container, base: Image, made: committing.Commit, name: str | None, *, pause: bool
) -> Image:
    loop, read = asyncio.get_running_loop(), asyncio.Event()

    def was_read() -> None:
        loop.call_soon_threadsafe(read.set)

    async with _paused(core, container, read, pause=pause):
        return await core.thread(
            lambda: core.images.commit(
                base,
                _layer(core, container),
                made,
                name=name,
                read=was_read,
            )
        )


@contextlib.asynccontextmanager
async def _paused(core: Core, container: Container, read: asyncio.Event, *, pause: bool) -> AsyncIterator[None]:
    """Keep the container paused until ``read`` is set or the work inside has failed."""
    run = container.run
    if run is None or not pause:
        yield
        return
    try:
        await core.freezer.freeze(run.monitor)
    except TimeoutError as error:
        raise Internal(f"cannot pause container {container.id}: {error}") from None

    async def thaw() -> None:
        await read.wait()
        await core.freezer.thaw(run.monitor)

    thawing = core.spawn(thaw())
    try:
        yield
    finally:
        read.set()
        await thawing


def _layer(core: Core, container: Container) -> Iterator[bytes]:
    with core.snapshots.written(container.id) as view:
        yield from pack.packed(view.difference(), layer=True)
    if container.removing:
        raise Conflict(f"container {container.id} was removed while it was committed")
