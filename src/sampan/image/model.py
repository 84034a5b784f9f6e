"""An image as the engine sees it: configuration, names and layers in one immutable value."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sampan.image import digest, shape
from sampan.image.errors import BadArchive
from sampan.image.platforms import Platform
from sampan.image.rows import ImageRow

CONFIG_LIMIT: Final = 16 << 20  # bytes of an image configuration; real ones have a few KiB
MAX_LAYERS: Final = 127  # what Docker's overlay2 driver takes
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True, slots=True)
class Image:
    """One image. Two values with one ``id`` differ in names only."""

    id: str  # "sha256:…", digest of the configuration's exact bytes
    config: dict[str, Any]  # the OCI image configuration, parsed; not to be changed
    size: int  # bytes of its files over all layers, as Docker counts
    tags: tuple[str, ...]  # familiar names, "busybox:latest", sorted
    digests: tuple[str, ...]  # familiar pinned names, "busybox@sha256:…", sorted
    diff_ids: tuple[str, ...]  # bottom first
    chain_ids: tuple[str, ...]  # bottom first: what Snapshots.prepare takes
    layer_sizes: tuple[int, ...]  # bytes, bottom first
    blobs: tuple[str, ...]  # digests of the layers' blobs in the content store, bottom first
    manifest: str | None  # digest of the manifest it came with
    tagged_ns: int  # when it was last loaded or tagged, ns since the epoch

    @property
    def created(self) -> str:
        """RFC 3339 time of creation as Docker shows it; "" when the configuration has none."""
        value = self.config.get("created")
        return shortest_time(value) if isinstance(value, str) else ""

    @property
    def created_s(self) -> int:
        """Time of creation in seconds since the epoch; 0 when the configuration has none or a broken one."""
        return parse_time(self.created)

    @property
    def architecture(self) -> str:
        """GOARCH name: ``amd64``, ``arm64`` …"""
        return str(self.config.get("architecture") or "")

    @property
    def os(self) -> str:
        """GOOS name, ``linux``."""
        return str(self.config.get("os") or "linux")

    @property
    def variant(self) -> str:
        """Variant of the architecture: ``v8`` … or ""."""
        return str(self.config.get("variant") or "")

    @property
    def platform(self) -> Platform:
        """What it runs on, as it says."""
        return Platform(self.os, self.architecture, self.variant)

    @property
    def defaults(self) -> dict[str, Any]:
        """The ``config`` member of the configuration: what containers take over (Cmd, Env, Labels …)."""
        value = self.config.get("config")
        return value if isinstance(value, dict) else {}

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        value = self.defaults.get("Labels")
        return value if isinstance(value, dict) else {}


def build(row: ImageRow, config: bytes) -> Image:
    """Make the value of a row and its configuration's bytes."""
    diff_ids = tuple(layer.diff_id for layer in row.layers)
    return Image(
        id=row.id,
        config=json.loads(config),
        size=sum(layer.size for layer in row.layers),
        tags=row.names,
        digests=row.pinned,
        diff_ids=diff_ids,
        chain_ids=digest.chain_ids(diff_ids),
        layer_sizes=tuple(layer.size for layer in row.layers),
        blobs=tuple(layer.blob for layer in row.layers),
        manifest=row.manifest,
        tagged_ns=row.added_ns,
    )


def check_config(content: bytes) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Parse an image configuration that came from outside and return it with its diff IDs.

    Raises BadArchive for anything that can't be run later: no JSON object, diff IDs that are none, another OS,
    wrong types.
    """
    config = shape.document(content, "invalid image configuration")
    if not isinstance(config, dict):
        raise BadArchive("invalid image configuration: not a JSON object")
    rootfs = config.get("rootfs")
    if not isinstance(rootfs, dict):
        raise BadArchive("invalid image JSON, no RootFS key")
    diff_ids = rootfs.get("diff_ids") or []
    if not isinstance(diff_ids, list) or not all(map(_is_sha256, diff_ids)):
        raise BadArchive("invalid image configuration: rootfs.diff_ids must be a list of sha256 digests")
    if len(diff_ids) > MAX_LAYERS:
        raise BadArchive("max depth exceeded")
    shape.check(config)
    return config, tuple(diff_ids)


def _is_sha256(text: object) -> bool:
    return digest.is_digest(text) and str(text).startswith("sha256:")


def parse_time(text: str) -> int:
    """Return seconds since the epoch of an RFC 3339 time, 0 when it is none. Fractions may have any length."""
    match = _TIME.fullmatch(text)
    if match is None:
        return 0
    zone = "+00:00" if match[3] == "Z" else match[3]
    try:
        return int(datetime.fromisoformat(match[1] + zone).timestamp())
    except (ValueError, OverflowError):
        return 0


def shortest_time(text: str) -> str:
    """Return an RFC 3339 time as Go writes it again: without trailing zeros in the fraction."""
    match = _TIME.fullmatch(text)
    if match is None:
        return text
    digits = (match[2] or "").rstrip("0")
    return match[1] + (f".{digits}" if digits else "") + match[3]


def format_time(ns: int) -> str:
    """Return RFC 3339 with nanoseconds, in UTC, as Docker writes it: trailing zeros of the fraction cut."""
    seconds, fraction = divmod(ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC)
    digits = f".{fraction:09d}".rstrip("0").rstrip(".")
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + digits + "Z"
