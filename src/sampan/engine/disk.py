"""What is on the disk, and clean-up on request: `system df`, and all that `prune` commands ask for.

Rules.  A clean-up removes things one by one by the very calls that `rm` and `rmi` make, so what is used meanwhile is
        refused and left; it reports what went. There are no volumes and no build cache yet: their lists are empty.
Life.   `tend` runs as long as the engine: once an hour it removes what is only kept for a time, and what nothing needs.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from sampan.api import schema
from sampan.engine import holdings, pruning
from sampan.engine.errors import BadParameter, EngineError, Internal
from sampan.engine.units import SECOND
from sampan.image.errors import ImageError
from sampan.storage.snapshots import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sampan.engine.container import Container
    from sampan.engine.containers import Containers
    from sampan.engine.contracts import Actor, Filters
    from sampan.engine.core import Core
    from sampan.engine.images import ImageService
    from sampan.image.model import Image

log = logging.getLogger(__name__)

TYPES: Final = ("container", "image", "volume", "build-cache")
TEND_S: Final = 3600.0  # seconds between two looks at what is kept for a day
_BUILD_FILTERS: Final = frozenset(
    {"until", "id", "parent", "type", "description", "inuse", "shared", "private", "label", "label!", "all"}
)


class Disk:
    """Disk usage and clean-up of one engine."""

    def __init__(self, core: Core, containers: Containers, images: ImageService) -> None:
        self._core = core
        self._containers = containers
        self._images = images
        self._pruning = pruning.OneAtATime()

    async def usage(self, types: Sequence[str]) -> schema.DiskUsage:
        """Return what `system df` shows, of the types that are asked for; of all without. Raises BadParameter."""
        for kind in types:
            if kind not in TYPES:
                raise BadParameter(f"unknown object type: {kind}")
        wanted = types or TYPES
        usage = schema.DiskUsage()
        if "image" in wanted:
            usage.images = await self._image_rows()
            layers = {chain: size for one in self._core.images.list() for chain, size in _layers(one).items()}
            usage.layers_size = sum(layers.values())
        if "container" in wanted:
            usage.containers = await self._container_rows()
        usage.volumes = [] if "volume" in wanted else None
        usage.build_cache = [] if "build-cache" in wanted else None
        return usage

    async def _image_rows(self) -> list[schema.ImageSummary]:
        rows = await self._images.list(all=False, filters={}, digests=False, shared_size=True)
        for row in rows:
            row.containers = sum(one.image_id == row.id for one in self._core.catalog)
        return rows

    async def _container_rows(self) -> list[schema.ContainerSummary]:
        rows = await self._containers.list(all=True, limit=None, size=False, filters={})
        sizes = {one.id: one.size for one in self._core.images.list()}
        for row in rows:
            written = await self._written(row.id)
            row.size_rw, row.size_root_fs = written, written + sizes.get(row.image_id, 0)
        return rows

    async def _written(self, container_id: str) -> int:
        try:
            return await self._core.thread(self._core.snapshots.usage, container_id)
        except (StorageError, OSError):  # it went away meanwhile
            return 0

    async def holdings(self) -> schema.DiskHoldings:
        """Return everything below the data root with what holds it."""
        return await self._core.thread(holdings.survey, self._core)

    # --- clean-up --------------------------------------------------------------------------------------------------

    async def prune_containers(self, filters: Filters, *, by: Actor) -> schema.ContainersPruned:
        """Remove the containers that don't run. Raises BadParameter; Conflict: another such call is under way."""
        pruning.check(filters, pruning.COMMON)
        before = pruning.moment(filters)
        removed, reclaimed = [], 0
        with self._pruning.run("container"):
            for one in self._core.catalog:
                late = before is not None and one.created > before
                if one.running or late or not pruning.labelled(one.stored.config.labels or {}, filters):
                    continue
                size = await self._written(one.id)
                if await self._remove(one, by):
                    removed.append(one.id)
                    reclaimed += size
        self._told("container", reclaimed)
        return schema.ContainersPruned(containers_deleted=removed or None, space_reclaimed=reclaimed)

    async def _remove(self, container: Container, by: Actor) -> bool:
        try:
            await self._containers.remove(container.id, by=by)
        except EngineError as error:  # it was started, or somebody removes it already
            log.info("container %s is left: %s", container.short_id, error)
            return False
        return True

    async def prune_images(self, filters: Filters) -> schema.ImagesPruned:
        """Remove untagged images; with the filter dangling=false all that no container uses. Raises as the other."""
        pruning.check(filters, pruning.COMMON | {"dangling"})
        dangling = pruning.flag(filters, "dangling", default=True)
        before = pruning.moment(filters, Internal)  # where dockerd answers 500
        removed: list[schema.ImageDelete] = []
        with self._pruning.run("image"):
            images = sorted(self._core.images.list(), key=lambda one: (one.created_s, one.id))
            sizes = {chain: size for one in images for chain, size in _layers(one).items()}
            for one in images:
                if _passes(one, before) and pruning.labelled(one.labels, filters) and not (dangling and one.tags):
                    removed += await self._remove_image(one)
            await self._core.thread(self._core.images.collect)
        reclaimed = sum(sizes.get(one.deleted, 0) for one in removed)
        self._told("image", reclaimed)
        return schema.ImagesPruned(images_deleted=removed or None, space_reclaimed=reclaimed)

    async def _remove_image(self, image: Image) -> list[schema.ImageDelete]:
        """Remove an image name by name, as dockerd does: of one that is used the last name stays."""
        removed: list[schema.ImageDelete] = []
        for ref in (*image.tags, *image.digests) or (image.id.partition(":")[2],):
            try:
                removed += await self._images.remove(ref, force=False, noprune=False)
            except ImageError as error:
                log.debug("image %s is left: %s", ref, error)
        return removed

    async def prune_volumes(self, filters: Filters) -> schema.VolumesPruned:
        """Remove no volume: there are none yet. Raises BadParameter."""
        pruning.check(filters, {"label", "label!", "all"})
        return schema.VolumesPruned()

    async def prune_build_cache(self, filters: Filters) -> schema.CachesPruned:
        """Remove nothing: there is no build cache yet. Raises BadParameter."""
        try:
            pruning.check(filters, _BUILD_FILTERS)
        except BadParameter as error:
            raise error.within("failed to prune build cache: ") from None
        return schema.CachesPruned()

    def _told(self, kind: str, reclaimed: int) -> None:
        self._core.events.publish(kind, "prune", "", {"reclaimed": str(reclaimed)})

    async def tend(self) -> None:
        """Until the engine ends, remove now and then what was kept for a time, and what nothing needs any more."""
        while True:
            await asyncio.sleep(TEND_S)
            try:
                await self._core.thread(self._core.images.collect)
            except (ImageError, OSError):
                log.exception("the clean-up of images failed; it is tried again")


def _layers(image: Image) -> dict[str, int]:
    return dict(zip(image.chain_ids, image.layer_sizes, strict=True))


def _passes(image: Image, before: int | None) -> bool:
    """An image that doesn't say when it was made is older than nothing."""
    return before is None or (bool(image.created) and image.created_s * SECOND <= before)
