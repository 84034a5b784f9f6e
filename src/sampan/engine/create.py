"""Making a container: checked, completed by its image, given an identity, a snapshot and a row.

Order.  name reserved → directory → snapshot → row. What has no row is swept at the next start.
Cost.   One hop to a thread, one commit.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

import msgspec

from sampan.api import schema
from sampan.engine import merge, names, places, reach, text, validate
from sampan.engine.catalog import check_name
from sampan.engine.container import SHORT, Container, State, Stored
from sampan.engine.errors import BadParameter
from sampan.storage.snapshots import SnapshotMissing

if TYPE_CHECKING:
    from sampan.engine.core import Core
    from sampan.image.model import Image


def new_id() -> str:
    """Return a new container's id; its short form has a letter, so that nobody takes it for a number."""
    while True:
        fresh = secrets.token_hex(32)
        if not fresh[:SHORT].isdigit():
            return fresh


async def create(
    core: Core, name: str | None, body: schema.ContainerCreate, platform: str | None
) -> schema.ContainerCreated:
    """Make a container. Raises BadParameter, NameTaken, ImageNotFound and their like; then nothing is left."""
    container_id = new_id()
    bare = check_name(name) if name else names.generate(core.catalog.taken)
    core.catalog.reserve(bare, container_id)
    try:
        text.check(body)
        body = msgspec.structs.replace(body, host_config=msgspec.structs.replace(body.host_config))
        body.networking_config = places.settle(core, body)
        container, warnings = await core.thread(_make, core, container_id, bare, body, platform)
        core.catalog.add(container)
    except BaseException:
        core.catalog.release(bare)
        raise
    finally:
        core.making.pop(container_id, None)
    core.container_event(container, "create")
    warnings += await reach.foreseen(core, container)
    return schema.ContainerCreated(id=container_id, warnings=warnings)


def _make(
    core: Core, container_id: str, name: str, body: schema.ContainerCreate, platform: str | None
) -> tuple[Container, list[str]]:
    asked, host = body.config(), body.host_config
    validate.check_config(asked)
    validate.check_asked_volumes(asked)
    validate.check_lines(asked, host)
    validate.check_shared_network(asked, host)
    if not asked.image:
        raise BadParameter("no command specified")
    image = core.images.obtain(asked.image, platform)
    with core.images.present(image.id):  # whoever removes it from here on sees that it is used
        core.making[container_id] = image.id
    config = merge.with_image_defaults(asked, image.defaults)
    text.check(config)
    command = merge.command(config)
    if not command:
        raise BadParameter("no command specified")
    warnings = [] if platform else _foreign(image, core.images.architecture)
    warnings += validate.settle(config, host, core.host, core.settings)
    if not config.hostname:
        own = core.host.hostname if host.network_mode == "host" else container_id[:SHORT]
        config.hostname = own
    stored = Stored(config, host, command[0], command[1:], core.snapshots.name, body.networking_config)
    container = Container(container_id, name, time.time_ns(), image.id, stored, State())
    _keep(core, container, image)
    return container, warnings


def _foreign(image: Image, architecture: str) -> list[str]:
    """Docker's warning of an image for another machine that nobody asked for by its platform."""
    if image.architecture in {"", architecture}:
        return []
    has = "/".join(filter(None, (image.os, image.architecture, image.variant)))
    differs = f"The requested image's platform ({has}) does not match the detected host platform (linux/{architecture})"
    return [f"{differs} and no specific platform was requested"]


def _keep(core: Core, container: Container, image: Image) -> None:
    """Give the container its directory, its snapshot and its row; all or nothing."""
    core.directories.make(container.id)
    try:
        core.snapshots.prepare(container.id, image.chain_ids)
        core.rows.insert(container.row(core.host.boot_id)).result()
    except BaseException as error:
        core.snapshots.discard(container.id)
        core.directories.set_aside(container.id)
        core.directories.delete(container.id)
        if isinstance(error, SnapshotMissing):  # the image was removed at this very moment
            core.images.resolve(container.image_id)
        raise
