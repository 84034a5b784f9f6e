"""What is on the disk, and what clean-ups removed; sizes in bytes."""

from typing import Any

from sampan.api.schema.base import Int64, Struct, shown
from sampan.api.schema.containers import ContainerSummary
from sampan.api.schema.images import ImageDelete, ImageSummary


class DiskUsage(Struct):
    """GET /system/df; a list is None where it was not asked for."""

    layers_size: Int64 = shown(0)
    images: list[ImageSummary] | None = shown(None)
    containers: list[ContainerSummary] | None = shown(None)
    volumes: list[dict[str, Any]] | None = shown(None)
    build_cache: list[dict[str, Any]] | None = shown(None)


class ContainersPruned(Struct):
    """POST /containers/prune: the ids of those that went."""

    containers_deleted: list[str] | None = shown(None)
    space_reclaimed: Int64 = shown(0)


class ImagesPruned(Struct):
    """POST /images/prune."""

    images_deleted: list[ImageDelete] | None = shown(None)
    space_reclaimed: Int64 = shown(0)


class VolumesPruned(Struct):
    """POST /volumes/prune: the names of those that went."""

    volumes_deleted: list[str] = shown([])
    space_reclaimed: Int64 = shown(0)


class CachesPruned(Struct):
    """POST /build/prune."""

    caches_deleted: list[str] | None = shown(None)
    space_reclaimed: Int64 = shown(0)


class Holding(Struct):
    """One thing on the disk, and what holds it."""

    kind: str = shown("")
    """"layer", "blob", "container", "partial download", "unfinished", "database", "directories", "other"."""
    name: str = shown("")
    """A digest, an id, or a path below the data root."""
    size: Int64 = shown(0)
    """Bytes allocated, as du counts: blocks, each inode once."""
    held_by: list[str] = shown([])
    """Empty: nothing, and the next clean-up removes it."""


class DiskHoldings(Struct):
    """GET /sampan/v1/system/disk: everything below the data root; the sizes add up to `size`."""

    root: str = shown("")
    size: Int64 = shown(0)
    holdings: list[Holding] = shown([])
