"""Archives of images as ``docker save`` of 25 and later writes them: Docker's and the OCI's layout in one.

Words.  *chosen*: an image and the tags that are saved with it. *plain size*: bytes of a layer's tar, which is what an
        archive has, whatever the blob is packed with.
Form.   ``blobs/sha256/…`` (configurations, layers by diff ID, OCI manifests), ``index.json``, ``manifest.json``,
        ``oci-layout``, ``repositories`` where there are tags. What dockerd has besides, a version 1 document for each
        layer that nothing refers to, is left out. All times are 1970, so equal images make equal archives.
Life.   ``choose`` names what to save; ``archive`` checks that every blob is there before its first byte, then streams:
        configuration and layers as they lie on the disk, the lists last, as only then all sizes are known.
Damage  is found while a layer streams: the archive breaks off before its end, so nobody takes it for whole.
Cost.   A plain blob is read once. A compressed one is unpacked once where its plain size was noted, else twice.
Source. moby image/tarexport/save.go; OCI image-layout.md, image-index.md, manifest.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sampan.image import digest as digests
from sampan.image import reference, tar, tarwrite
from sampan.image.archive import NAME_ANNOTATION, REF_ANNOTATION
from sampan.image.catalog import Catalog
from sampan.image.compress import decompressed
from sampan.image.content import COPY_CHUNK, Content
from sampan.image.errors import ImageError, ImageNotFound, InvalidReference, MissingContent
from sampan.image.layers import Hashing
from sampan.image.model import CONFIG_LIMIT, Image
from sampan.image.reference import Reference
from sampan.image.tar import Entry
from sampan.image.v1 import go_json

MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE: Final = "application/vnd.oci.image.index.v1+json"
CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar"
_LAYOUT: Final = b'{"imageLayoutVersion": "1.0.0"}'


class NoSuchReference(ImageError):
    """A name with a tag, or with a digest, that no image has."""

    status = 404

    def __init__(self) -> None:
        """Say it in dockerd's words."""
        super().__init__("reference does not exist")


class BadName(ImageError):
    """A name against the grammar; dockerd answers this one with 500."""


@dataclass(slots=True)
class Chosen:
    """An image to be saved, with the tags that were asked for."""

    image: Image
    tags: list[Reference]


def choose(catalog: Catalog, names: Iterable[str]) -> list[Chosen]:
    """Return the images that ``names`` mean, each once, by dockerd's rules.

    A name without a tag means all tags of that repository, else an ID or its beginning. Raises ImageNotFound,
    AmbiguousId, NoSuchReference, BadName.
    """
    chosen: dict[str, Chosen] = {}
    for name in names:
        for image, tag in _meant(catalog, name):
            one = chosen.setdefault(image.id, Chosen(image, []))
            if tag is not None and tag not in one.tags:
                one.tags.append(tag)
    return list(chosen.values())


def _meant(catalog: Catalog, name: str) -> Iterator[tuple[Image, Reference | None]]:
    prefix = reference.id_prefix(name)
    if prefix is not None and (len(prefix) == 64 or name.startswith("sha256:")):
        yield catalog.resolve(name), None
        return
    try:
        parsed = reference.parse(name)
    except InvalidReference as error:
        raise BadName(str(error)) from None
    if parsed.tag is None and parsed.digest is None:
        tags = [(reference.parse(tag), image) for image in catalog.by_id.values() for tag in image.tags]
        tags = [(tag, image) for tag, image in tags if tag.name == parsed.name]
        for tag, image in sorted(tags, key=lambda one: str(one[0].tag)):
            yield image, tag
        if not tags:
            yield _by_id(catalog, name), None
        return
    found = next((one for one in catalog.by_id.values() if parsed.familiar in (*one.tags, *one.digests)), None)
    if found is None:
        raise NoSuchReference
    yield found, parsed if parsed.digest is None else None


def _by_id(catalog: Catalog, name: str) -> Image:
    try:
        return catalog.resolve(name)
    except ImageNotFound:
        raise ImageNotFound(name) from None  # in the words of the person who asked, without a tag


def needed(chosen: Iterable[Chosen]) -> set[str]:
    """Return the digests of all blobs that an archive is made of."""
    return {digest for one in chosen for digest in (one.image.id, *one.image.blobs)}


def archive(content: Content, chosen: Sequence[Chosen]) -> Iterator[bytes]:
    """Yield the archive in pieces of up to COPY_CHUNK bytes and a header. Raises MissingContent, BadArchive.

    A missing blob and a damaged configuration are told before the first piece.
    """
    configs = {one.image.id: content.read(one.image.id, CONFIG_LIMIT) for one in chosen}
    for digest in needed(chosen):
        content.size(digest)
    yield _header("blobs/", tar.DIRECTORY) + _header("blobs/sha256/", tar.DIRECTORY)
    sizes: dict[str, int] = {}  # diff ID → plain size, of layers that are in the archive already
    manifests: dict[str, bytes] = {}
    for one in chosen:
        image = one.image
        yield _file(_blob_name(image.id), configs[image.id])
        for diff_id, blob in zip(image.diff_ids, image.blobs, strict=True):
            if diff_id not in sizes:
                sizes[diff_id] = _plain_size(content, blob, diff_id)
                yield from _layer(content, blob, diff_id, sizes[diff_id])
        manifests[image.id] = manifest = _manifest(image, len(configs[image.id]), sizes)
        yield _file(_blob_name(digests.of(manifest)), manifest)
    yield _file("index.json", _index(chosen, manifests))
    yield _file("manifest.json", _docker_manifest(chosen, sizes))
    yield _file("oci-layout", _LAYOUT)
    if any(one.tags for one in chosen):
        yield _file("repositories", _repositories(chosen))
    yield tarwrite.END


# --- layers --------------------------------------------------------------------------------------------------------


def _plain_size(content: Content, blob: str, diff_id: str) -> int:
    if blob == diff_id:
        return content.size(blob)
    noted = content.plain_size(blob)
    if noted is None:
        noted = sum(map(len, _plain(content, blob, diff_id)))
        content.note_plain_size(blob, noted)
    return noted


def _layer(content: Content, blob: str, diff_id: str, size: int) -> Iterator[bytes]:
    yield _header(_blob_name(diff_id), tar.REGULAR, size)
    left = size
    for piece in _plain(content, blob, diff_id):
        left -= len(piece)
        if left < 0:
            break
        yield piece
    if left:
        raise MissingContent(f"blob {blob} is damaged: it has not the {size} bytes that it had")
    yield tarwrite.padding(size)


def _plain(content: Content, blob: str, diff_id: str) -> Iterator[bytes]:
    """Yield a layer's plain bytes. Raises MissingContent behind the last one when they aren't what they should be."""
    with content.open(blob) as file:
        descriptor = file.fileno()
        source = decompressed(lambda count: os.read(descriptor, count)) if blob != diff_id else file.read
        with Hashing(source, diff_id.partition(":")[0]) as hashing:
            while piece := hashing.read(COPY_CHUNK):
                yield piece
            actual = hashing.digest()
    if actual != diff_id:
        raise MissingContent(f"blob {blob} is damaged: its bytes have another digest")


# --- lists ---------------------------------------------------------------------------------------------------------


def _manifest(image: Image, config_size: int, sizes: dict[str, int]) -> bytes:
    return go_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": CONFIG_TYPE, "digest": image.id, "size": config_size},
            "layers": [
                {"mediaType": LAYER_TYPE, "digest": diff_id, "size": sizes[diff_id]} for diff_id in image.diff_ids
            ],
        }
    )


def _index(chosen: Sequence[Chosen], manifests: dict[str, bytes]) -> bytes:
    listed: list[dict[str, Any]] = []
    for one in chosen:
        content = manifests[one.image.id]
        plain = {"mediaType": MANIFEST_TYPE, "digest": digests.of(content), "size": len(content)}
        names = [{"annotations": {NAME_ANNOTATION: tag.canonical, REF_ANNOTATION: tag.tag}} for tag in one.tags]
        listed += [plain | name for name in names or ({},)]
    return go_json({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": listed or None})


def _docker_manifest(chosen: Sequence[Chosen], sizes: dict[str, int]) -> bytes:
    return _line(
        [
            {
                "Config": _blob_name(one.image.id),
                "RepoTags": [tag.familiar for tag in one.tags] or None,
                "Layers": [_blob_name(diff_id) for diff_id in one.image.diff_ids] or None,
                "LayerSources": {
                    diff_id: {"mediaType": LAYER_TYPE, "size": sizes[diff_id], "digest": diff_id}
                    for diff_id in sorted(one.image.diff_ids)
                },
            }
            for one in chosen
        ]
    )


def _repositories(chosen: Sequence[Chosen]) -> bytes:
    """Each repository's tags with the topmost layer, which old docker knew an image by."""
    found: dict[str, dict[str, str]] = {}
    for one in chosen:
        top = one.image.diff_ids[-1].partition(":")[2] if one.image.diff_ids else ""
        for tag in one.tags:
            found.setdefault(tag.familiar_name, {})[str(tag.tag)] = top
    return _line({name: dict(sorted(tags.items())) for name, tags in sorted(found.items())})


def _line(value: object) -> bytes:
    return go_json(value) + b"\n"


# --- entries -------------------------------------------------------------------------------------------------------


def _blob_name(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _header(name: str, kind: bytes, size: int = 0) -> bytes:
    mode = 0o755 if kind == tar.DIRECTORY else 0o644
    return tarwrite.header(Entry(name.encode(), kind, mode, 0, 0, 0, size, size, b"", (0, 0)))


def _file(name: str, content: bytes) -> bytes:
    return _header(name, tar.REGULAR, len(content)) + content + tarwrite.padding(len(content))
