"""Manifests and indexes: what a registry says an image consists of.

Words.  *manifest*: one image for one platform: a configuration and layers, by digest. *index* (manifest list):
        manifests for several platforms. *schema 1*: the format before 2016, refused as dockerd 26 does.
Source. OCI image-spec manifest.md, image-index.md; distribution/docs/spec/manifest-v2-2.md.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sampan.distribution.errors import BadContent
from sampan.image import digest as digests
from sampan.image.model import CONFIG_LIMIT, MAX_LAYERS
from sampan.image.platforms import Platform, of

LIMIT: Final = 4 << 20  # bytes of a manifest; registries take no more (OCI distribution-spec, "Pushing Manifests")
MAX_MANIFESTS: Final = 10_000  # in an index
BLOB_LIMIT: Final = 1 << 40  # bytes of one layer that are believed

DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
SCHEMA1: Final = frozenset(
    (
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    )
)
MANIFESTS: Final = frozenset((DOCKER_MANIFEST, OCI_MANIFEST))
INDEXES: Final = frozenset((DOCKER_INDEX, OCI_INDEX))
ACCEPT: Final = ", ".join((OCI_INDEX, DOCKER_INDEX, OCI_MANIFEST, DOCKER_MANIFEST, *sorted(SCHEMA1)))

DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_CONFIGS: Final = frozenset((DOCKER_CONFIG, "application/vnd.oci.image.config.v1+json"))
_LAYERS: Final = frozenset(
    (
        DOCKER_LAYER,
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
    )
)
_ATTESTATION: Final = "vnd.docker.reference.type"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob or manifest that is to be had by its digest."""

    media_type: str
    digest: str  # parsed: safe as a file name and in a URL
    size: int  # bytes


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]  # bottom first


@dataclass(frozen=True, slots=True)
class Index:
    """One image for several platforms."""

    media_type: str
    manifests: tuple[tuple[Descriptor, Platform], ...]


def parse(content: bytes, media_type: str, shown: str) -> Manifest | Index:
    """Parse what a registry gave as ``media_type``; ``shown`` names it in errors. Raises BadContent."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise BadContent(f"{shown}: the registry's answer is no JSON: {_beginning(content)}") from None
    if not isinstance(document, dict):
        raise BadContent(f"{shown}: a manifest must be a JSON object")
    kind = _kind(document, media_type, shown)
    if kind in INDEXES:
        return _index(document, kind, shown)
    return _manifest(document, kind, shown)


def _kind(document: dict[str, Any], media_type: str, shown: str) -> str:
    """Return the media type; where header and content contradict each other, nothing is believed."""
    given = media_type.partition(";")[0].strip().lower()
    own = document.get("mediaType")
    if given in SCHEMA1 or (document.get("schemaVersion") == 1 and own is None):
        raise BadContent(
            f"{shown}: Docker Image Format v1 and Docker Image manifest version 2, schema 1 are not supported: "
            "push the image again with a newer program"
        )
    known = MANIFESTS | INDEXES
    if isinstance(own, str) and own in known and given in known and own != given:
        raise BadContent(f"{shown}: the registry calls it {given}, it calls itself {own}")
    found = own if isinstance(own, str) and own in known else given
    if found not in known:
        if isinstance(document.get("manifests"), list) and "layers" not in document and own is None:
            return OCI_INDEX
        if isinstance(document.get("layers"), list) and "manifests" not in document and own is None:
            return OCI_MANIFEST
        raise BadContent(f"{shown}: unsupported manifest media type {own or given or 'none'}")
    if ("manifests" in document and found in MANIFESTS) or ("layers" in document and found in INDEXES):
        raise BadContent(f"{shown}: it is both an index and a manifest")
    return found


def _manifest(document: dict[str, Any], kind: str, shown: str) -> Manifest:
    config = _descriptor(document.get("config"), shown, "config")
    if config.media_type not in _CONFIGS:
        raise BadContent(f"{shown}: it is no image: its configuration is of type {config.media_type}")
    if config.size > CONFIG_LIMIT:
        raise BadContent(f"{shown}: an image configuration of {config.size} bytes")
    listed = document.get("layers")
    if not isinstance(listed, list):
        raise BadContent(f"{shown}: it lists no layers")
    if len(listed) > MAX_LAYERS:
        raise BadContent(f"{shown}: {len(listed)} layers; {MAX_LAYERS} at most: max depth exceeded")
    layers = tuple(_descriptor(one, shown, "layer") for one in listed)
    for layer in layers:
        if layer.media_type not in _LAYERS:
            raise BadContent(f"{shown}: a layer of unsupported type {layer.media_type}")
        if layer.size > BLOB_LIMIT:
            raise BadContent(f"{shown}: a layer of {layer.size} bytes")
    return Manifest(kind, config, layers)


def _index(document: dict[str, Any], kind: str, shown: str) -> Index:
    listed = document.get("manifests")
    if not isinstance(listed, list) or len(listed) > MAX_MANIFESTS:
        raise BadContent(f"{shown}: it lists no manifests, or more than {MAX_MANIFESTS}")
    found = []
    for one in listed:
        descriptor = _descriptor(one, shown, "manifest")
        annotations, platform = one.get("annotations"), one.get("platform")
        if isinstance(annotations, dict) and _ATTESTATION in annotations:
            continue
        found.append((descriptor, of(platform if isinstance(platform, dict) else {})))
    return Index(kind, tuple(found))


def _descriptor(document: object, shown: str, what: str) -> Descriptor:
    if not isinstance(document, dict):
        raise BadContent(f"{shown}: its {what} is no descriptor")
    digest, size = document.get("digest"), document.get("size")
    if not digests.is_digest(digest):
        raise BadContent(f"{shown}: its {what} has no valid digest")
    if type(size) is not int or size < 0:
        raise BadContent(f"{shown}: its {what} {digest} has no valid size")
    kind = document.get("mediaType")
    return Descriptor(kind if isinstance(kind, str) else "", str(digest), size)


def _beginning(content: bytes) -> str:
    return repr(content[:60].decode("utf-8", "replace"))


def choose(index: Index, wanted: Platform) -> Descriptor | None:
    """Return the manifest that fits best: the variant asked for, else the newest that such a machine runs."""
    fitting = [
        (bool(platform.architecture), platform.version, -position, descriptor)
        for position, (descriptor, platform) in enumerate(index.manifests)
        if wanted.runs(platform)
    ]
    return max(fitting, key=lambda one: one[:3])[3] if fitting else None


def build(config: Descriptor, layers: Sequence[Descriptor]) -> bytes:
    """Return the bytes of a manifest as dockerd writes it: schema 2, indented by three spaces."""

    def shown(one: Descriptor) -> dict[str, object]:
        return {"mediaType": one.media_type, "size": one.size, "digest": one.digest}

    document = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": shown(config),
        "layers": [shown(one) for one in layers],
    }
    return json.dumps(document, indent=3).encode()
