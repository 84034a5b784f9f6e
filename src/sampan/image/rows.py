"""The rows that images need kept: declared here, implemented by ``sampan.state.images``.

Words.  *name*: a familiar reference with a tag (``busybox:latest``, ``ghcr.io/a/b:1``). *pinned name*: a familiar
name with the digest of a manifest (``busybox@sha256:…``). Both point at one image each.
Every call that writes is one transaction and returns after it is durable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One layer of an image: which stored blob it was unpacked from, and how big it is."""

    diff_id: str  # digest of the uncompressed tar
    blob: str  # digest of the blob in the content store, as it came (compressed or not)
    size: int  # bytes of its files, as Docker counts: each inode once, symbolic links by their length


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image. ``id`` is the digest of its configuration, whose exact bytes are in the content store."""

    id: str
    layers: tuple[LayerRow, ...]  # bottom first
    manifest: str | None = None  # digest of the manifest that it came with, if it came with one
    added_ns: int = 0  # when it was last loaded or tagged, ns since the epoch: Docker's Metadata.LastTagTime
    names: tuple[str, ...] = ()  # sorted
    pinned: tuple[str, ...] = ()  # sorted
    damage: str = ""  # what is wrong with the row, whose layers are not known then


class ImageRows(Protocol):
    """What ``Images`` asks of the database."""

    def all(self) -> list[ImageRow]:
        """Return every image with its names."""
        ...

    def put(self, image: ImageRow) -> None:
        """Insert or replace an image, and point its ``names`` and ``pinned`` names at it; names that it had stay."""
        ...

    def name(self, image_id: str, names: Sequence[str], pinned: Sequence[str] = (), *, now_ns: int = 0) -> None:
        """Point names at an image that exists; they leave the image that had them. ``now_ns``: becomes added_ns."""
        ...

    def unname(self, names: Sequence[str]) -> None:
        """Forget names, pinned ones too; unknown ones are ignored."""
        ...

    def delete(self, image_id: str) -> None:
        """Forget an image and all its names; ignored when unknown."""
        ...
