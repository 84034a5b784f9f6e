"""Archives of images: what ``docker save``, ``skopeo`` and BuildKit write, read as one stream.

Words.  *docker layout*: ``manifest.json`` names configurations, layers and tags. *OCI layout*: ``index.json`` points at
        manifests by digest (docker 25 and later write both in one). *v1 layout*: ``repositories`` and one directory per
        layer; before docker 1.10. *spool*: what came in, by the name that it had in the archive.
Life.   ``Spool.take`` stores every file of the stream as a blob (never whole in memory; a name below ``blobs/`` is held
        to its digest); ``candidates`` reads the spool and says which images there are; the caller installs those.
Source. moby image/tarexport/load.go for messages; OCI image-layout.md, manifest.md, image-index.md.
"""

from __future__ import annotations

import contextlib
import json
import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from sampan.image import digest as digests
from sampan.image import model, platforms, reference, shape, tar, v1
from sampan.image.compress import Source, decompressed
from sampan.image.content import Content
from sampan.image.errors import BadArchive, InvalidReference, WrongPlatform
from sampan.image.reference import Reference
from sampan.image.tar import Entry, TarReader
from sampan.image.unpack import split_name

JSON_LIMIT: Final = 16 << 20  # bytes of one JSON document in an archive
MAX_FILES: Final = 100_000
MAX_LINKS: Final = 40  # links followed one after another
MAX_NESTING: Final = 4  # indexes within indexes

NAME_ANNOTATION: Final = "io.containerd.image.name"
REF_ANNOTATION: Final = "org.opencontainers.image.ref.name"
_INDEXES: Final = frozenset(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
)
_CONFIGS: Final = frozenset(
    ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image that an archive has."""

    config: bytes
    layers: tuple[str, ...]  # digests of blobs in the content store, bottom first
    names: tuple[Reference, ...] = ()  # with tags
    manifest: str | None = None

    @property
    def id(self) -> str:
        """The image's ID: the digest of its configuration."""
        return digests.of(self.config)


class Spool:
    """The files of an archive, as blobs."""

    def __init__(self, content: Content, pin: Callable[[str], None]) -> None:
        """Store blobs in ``content``; ``pin`` is called with the digest of each before it becomes visible."""
        self._content = content
        self._pin = pin
        self._files: dict[str, str] = {}  # name → digest
        self._links: dict[str, str] = {}  # name → name

    def take(self, source: Source) -> None:
        """Read an archive, compressed or not, to its end. Raises BadArchive."""
        reader = TarReader(decompressed(source))
        for count, entry in enumerate(reader):
            if count >= MAX_FILES:
                raise BadArchive(f"an archive of more than {MAX_FILES} files")
            self._take_entry(entry, reader)
        reader.drain()

    def _take_entry(self, entry: Entry, reader: TarReader) -> None:
        name = "/".join(map(_decode, split_name(entry.name)))
        if entry.kind == tar.REGULAR:
            if entry.extents is not None:
                raise BadArchive(f'invalid archive: "{name}" is a sparse file')
            self._links.pop(name, None)
            self._files[name] = self._store(name, reader)
        elif entry.kind in (tar.SYMLINK, tar.HARD_LINK):
            base = posixpath.dirname(name) if entry.kind == tar.SYMLINK else ""
            self._links[name] = posixpath.normpath(posixpath.join(base, _decode(entry.link)))
        elif entry.kind != tar.DIRECTORY:
            raise BadArchive(f'invalid archive: "{name}" is neither file, link nor directory')

    def _store(self, name: str, reader: TarReader) -> str:
        expected = _named_digest(name)
        with self._content.ingest() as blob:
            for piece in reader.data():
                blob.write(piece)
            self._pin(blob.digest)
            return blob.commit(expected)

    def find(self, name: str) -> str | None:
        """Return the digest of the file ``name``, following links, or None."""
        name = posixpath.normpath(name)
        for _ in range(MAX_LINKS):
            if name in self._files:
                return self._files[name]
            if name not in self._links:
                break
            name = self._links[name]
        return None

    def digest(self, name: object) -> str:
        """Return the digest of the file ``name``. Raises BadArchive with Docker's words when there is none."""
        found = self.find(name) if isinstance(name, str) else None
        if found is None:
            raise BadArchive(f"open {name}: no such file or directory")
        return found

    def bytes(self, name: object) -> bytes:
        """Return the content of a small file."""
        return self._content.read(self.digest(name), JSON_LIMIT)

    def blob_name(self, descriptor: object) -> str:
        """Return the name that an OCI layout gives the blob of a descriptor."""
        digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
        if not digests.is_digest(digest):
            raise BadArchive("invalid OCI layout: a descriptor without a digest")
        return "blobs/" + str(digest).replace(":", "/")

    def json(self, name: str, kind: type[Any]) -> Any:
        """Return a parsed JSON document, whose outermost value must be a ``kind``."""
        document = shape.document(self.bytes(name), f"invalid archive: {name}")
        if not isinstance(document, kind):
            raise BadArchive(f"invalid archive: {name} has the wrong type")
        return document


def candidates(spool: Spool, architecture: str) -> list[Candidate]:
    """Return the images of an archive, in its order.

    ``architecture`` (GOARCH) decides which image of a multi-platform index gets the name. Raises BadArchive.
    """
    docker = list(_docker_layout(spool)) if spool.find("manifest.json") else []
    oci = list(_oci_layout(spool, architecture)) if spool.find("index.json") else []
    if not docker and not oci:
        if spool.find("manifest.json") or spool.find("index.json"):
            return []
        return _v1_layout(spool)
    manifests = {candidate.id: candidate.manifest for candidate in oci}
    known = {candidate.id for candidate in docker}
    merged = [replace(candidate, manifest=manifests.get(candidate.id)) for candidate in docker]
    return merged + [candidate for candidate in oci if candidate.id not in known]


def fitting(spool: Spool, platform: str, architecture: str) -> list[Candidate]:
    """Return the images of an archive that are for a platform (os/arch[/variant]), or (for "") all.

    Raises BadArchive; WrongPlatform: all are for others.
    """
    wanted = platforms.asked(platform, architecture)
    found = candidates(spool, wanted.architecture)
    if not platform:
        return found
    there = [platforms.of(model.check_config(one.config)[0]) for one in found]
    fits = [one for one, own in zip(found, there, strict=True) if wanted.runs(own)]
    if found and not fits:
        name = found[0].names[0].familiar if found[0].names else found[0].id
        raise WrongPlatform(name, str(there[0]), platform)
    return fits


def _docker_layout(spool: Spool) -> Iterator[Candidate]:
    for item in spool.json("manifest.json", list):
        if not isinstance(item, dict):
            raise BadArchive("invalid archive: manifest.json has the wrong type")
        names = [_tagged(tag) for tag in _strings(item, "RepoTags")]
        layers = tuple(spool.digest(name) for name in _strings(item, "Layers"))
        yield Candidate(spool.bytes(item.get("Config")), layers, tuple(names))


def _strings(item: dict[str, Any], key: str) -> list[str]:
    value = item.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise BadArchive(f"invalid archive: {key} in manifest.json has the wrong type")
    return value


def _tagged(text: str) -> Reference:
    try:
        name = reference.parse(text)
    except InvalidReference as error:
        raise BadArchive(str(error)) from None
    if name.tag is None:
        raise BadArchive(f'invalid tag "{text}"')
    return replace(name, digest=None)


# --- OCI -----------------------------------------------------------------------------------------------------------


def _oci_layout(spool: Spool, architecture: str) -> Iterator[Candidate]:
    for descriptor in _manifests(spool.json("index.json", dict), "index.json"):
        names = _annotated(descriptor)
        found = list(_described(spool, descriptor, MAX_NESTING))
        best = next((one for one in found if _architecture(one) == architecture), found[0] if found else None)
        for one in found:
            yield replace(one, names=names) if one is best else one


def _manifests(index: dict[str, Any], name: str) -> list[dict[str, Any]]:
    listed = index.get("manifests")
    if not isinstance(listed, list) or not all(isinstance(descriptor, dict) for descriptor in listed):
        raise BadArchive(f"invalid OCI layout: {name} lists no manifests")
    return listed


def _annotated(descriptor: dict[str, Any]) -> tuple[Reference, ...]:
    """The name that a descriptor's annotations give: containerd's full one, or a ref.name that is more than a tag."""
    annotations = descriptor.get("annotations")
    if not isinstance(annotations, dict):
        return ()
    full, short = annotations.get(NAME_ANNOTATION), annotations.get(REF_ANNOTATION)
    for text in (full, short if isinstance(short, str) and (":" in short or "/" in short) else None):
        if isinstance(text, str):
            with contextlib.suppress(InvalidReference):  # any string is allowed there, it need not be a name
                return (replace(reference.parse(text).tagged(), digest=None).tagged(),)
    return ()


def _described(spool: Spool, descriptor: dict[str, Any], nesting: int) -> Iterator[Candidate]:
    """Yield the images behind a descriptor. Inside an index, platforms that the archive lacks are passed over."""
    name = spool.blob_name(descriptor)
    document = spool.json(name, dict)
    if descriptor.get("mediaType") in _INDEXES or (document.get("mediaType") in _INDEXES):
        if not nesting:
            raise BadArchive("invalid OCI layout: indexes nested too deep")
        for nested in _manifests(document, name):
            if not _is_attestation(nested) and spool.find(spool.blob_name(nested)) is not None:
                yield from _described(spool, nested, nesting - 1)
        return
    config = document.get("config")
    if not isinstance(config, dict) or config.get("mediaType") not in _CONFIGS:
        raise BadArchive(f"invalid OCI layout: {name} is the manifest of no image")
    layers = document.get("layers")
    if not isinstance(layers, list):
        raise BadArchive(f"invalid OCI layout: {name} lists no layers")
    yield Candidate(
        spool.bytes(spool.blob_name(config)),
        tuple(spool.digest(spool.blob_name(layer)) for layer in layers),
        manifest=spool.digest(name),
    )


def _is_attestation(descriptor: dict[str, Any]) -> bool:
    annotations = descriptor.get("annotations")
    return isinstance(annotations, dict) and annotations.get("vnd.docker.reference.type") == "attestation-manifest"


def _architecture(candidate: Candidate) -> object:
    try:
        config = json.loads(candidate.config)
    except ValueError:
        return None
    return config.get("architecture") if isinstance(config, dict) else None


# --- v1 ------------------------------------------------------------------------------------------------------------


def _v1_layout(spool: Spool) -> list[Candidate]:
    found: dict[str, Candidate] = {}
    for repository, tags in spool.json("repositories", dict).items():
        if not isinstance(tags, dict):
            raise BadArchive("invalid archive: repositories has the wrong type")
        for tag, top in tags.items():
            name = _tagged(f"{repository}:{tag}")
            one = found.get(str(top)) or _v1_image(spool, str(top))
            found[str(top)] = replace(one, names=(*one.names, name))
    return list(found.values())


def _v1_image(spool: Spool, top: str) -> Candidate:
    documents: list[dict[str, Any]] = []
    layers: list[str] = []
    current: object = top
    while current:
        if not isinstance(current, str) or len(layers) > MAX_FILES or current in (one.get("id") for one in documents):
            raise BadArchive("invalid archive: a layer has itself as parent")
        documents.insert(0, spool.json(f"{current}/json", dict))
        layers.insert(0, spool.digest(f"{current}/layer.tar"))
        current = documents[0].get("parent")
    # Layers of that time were never compressed, so a blob's digest is its diff ID.
    return Candidate(v1.configuration(documents, layers), tuple(layers))


def _decode(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _named_digest(name: str) -> str | None:
    """Return the digest that a name of an OCI layout promises: ``blobs/<algorithm>/<hex>``."""
    parts = name.split("/")
    if len(parts) != 3 or parts[0] != "blobs":
        return None
    digest = f"{parts[1]}:{parts[2]}"
    if not digests.is_digest(digest):
        return None
    if parts[1] != "sha256":
        raise BadArchive(f"unsupported digest algorithm {parts[1]}")
    return digest
