"""pull: from a name to an image that is here, byte for byte what the registry has.

Order.  manifest (one request: where it is known already, that is all) → for an index, the platform's own →
        configuration → every layer: fetched, verified, unpacked, several at once → row and names.
Left.   Where it breaks off, however, blobs that came in are leased for a day, so that the next try has them; where
        what came is not what was promised, nothing is kept.
Messages are dockerd's: distribution/pull_v2.go and distribution/xfer/download.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sampan.distribution import manifest as manifests
from sampan.distribution.errors import BadContent, DistributionError, NotThere, Refused
from sampan.distribution.manifest import Descriptor, Index, Manifest
from sampan.distribution.registry import first
from sampan.image import archive, model, platforms
from sampan.image import digest as digests
from sampan.image.errors import ImageError, ImageNotFound
from sampan.image.model import CONFIG_LIMIT

if TYPE_CHECKING:
    from sampan.distribution.download import Downloads
    from sampan.distribution.listener import Listener
    from sampan.distribution.registry import Repository
    from sampan.image.model import Image
    from sampan.image.reference import Reference
    from sampan.image.store import Held, Images


@dataclass(frozen=True, slots=True)
class Store:
    """Where what comes goes."""

    images: Images
    downloads: Downloads


@dataclass(frozen=True, slots=True)
class Found:
    """What a registry has under a name."""

    content: bytes
    descriptor: Descriptor  # of an index where there is one


class Pull:
    """One pull of one name."""

    def __init__(
        self, store: Store, sources: Sequence[Repository], name: Reference, platform: str, listener: Listener
    ) -> None:
        """``name`` has a tag or a digest; ``sources`` are mirrors first, then the registry itself.

        ``platform`` as it was asked for, or "". Raises InvalidPlatform.
        """
        self._images = store.images
        self._downloads = store.downloads
        self._sources = list(sources)
        self._name = name
        self._platform = platforms.asked(platform, store.images.architecture)
        self._strict = bool(platform)
        self._listener = listener

    def run(self) -> Image:
        """Do it. Raises DistributionError, ImageError; before the first message nothing has been changed."""
        found = self._find(self._name.digest or self._name.tag or "latest")
        self._listener.tell({"status": f"Pulling from {self._name.path}", "id": self._name.tag or self._name.digest})
        image, fresh = self._obtain(found)
        self._listener.tell({"status": f"Digest: {found.descriptor.digest}"})
        what = "Downloaded newer image" if fresh else "Image is up to date"
        self._listener.tell({"status": f"Status: {what} for {self._name.familiar}"})
        return image

    def _find(self, reference: str) -> Found:
        """Ask for a manifest that is one."""

        def ask(source: Repository) -> Found:
            content, descriptor = source.manifest(reference)
            manifests.parse(content, descriptor.media_type, self._name.familiar)
            return Found(content, descriptor)

        try:
            return first(self._sources, ask)
        except DistributionError as error:
            raise _told(error, self._name) from error

    def _obtain(self, found: Found) -> tuple[Image, bool]:
        tags = [self._name.familiar] if self._name.tag and not self._name.digest else []
        pinned = f"{self._name.familiar_name}@{found.descriptor.digest}"
        lease = f"pull {self._name.canonical}"
        known = self._known(pinned)
        if known is not None:
            self._images.give_up(lease)  # of a pull that died behind its last step
            if not set(tags) <= set(known.tags):
                self._images.add_names(known.id, tags)
                return known, True
            return known, False
        try:
            with self._images.leased(lease) as held:
                return self._receive(found, tags, pinned, held), True
        except ImageError as error:
            if not error.passing:  # it would be the same again
                self._images.give_up(lease)
            raise

    def _known(self, pinned: str) -> Image | None:
        """Return the image that was pulled by this digest, if it is for the platform and whole."""
        try:
            image = self._images.resolve(pinned)
        except ImageNotFound:
            return None
        fits = self._platform.runs(image.platform) or not self._strict
        whole = image.manifest and all(map(self._images.content.has, image.blobs))
        return image if fits and whole else None

    def _receive(self, found: Found, tags: list[str], pinned: str, held: Held) -> Image:
        content, manifest = self._of_platform(found)
        config = self._configuration(manifest.config, held)
        document, diff_ids = model.check_config(config)
        actual = platforms.of(document)
        if self._strict and not self._platform.runs(actual):
            text = f"image with reference {self._name.familiar} was found but does not match the specified platform"
            raise NotThere(404, "", f"{text}: wanted {self._platform}, actual: {actual}")
        layers = manifest.layers
        if len(diff_ids) != len(layers):
            raise BadContent(
                f"{self._name.familiar}: its configuration has {len(diff_ids)} layers, its manifest {len(layers)}"
            )
        by_digest = {layer.digest: layer for layer in layers}
        by_diff_id = dict(zip(diff_ids, layers, strict=True))
        lacking = self._lacking(diff_ids, layers, held)
        for blob in by_digest:
            self._listener.say(blob, "Pulling fs layer" if blob in lacking else "Already exists")

        def fetch(_diff_id: str, blob: str) -> None:
            layer = by_digest[blob]
            self._listener.check()

            def progress(done: int) -> None:
                self._listener.step("Downloading", blob, done, layer.size)

            if self._downloads.fetch(self._sources, layer, progress, self._listener):
                held.keep(blob)
                self._listener.say(blob, "Download complete")

        def unpacked(diff_id: str, done: int, total: int) -> None:
            self._listener.step("Extracting", by_diff_id[diff_id].digest, done, total)

        held.pin(digests.of(content))
        stored = self._images.content.put(content)
        candidate = archive.Candidate(config, tuple(layer.digest for layer in layers), (), stored)
        image = self._images.install(candidate, held.pin, tags, [pinned], progress=unpacked, fetch=fetch)
        for blob in lacking:
            self._listener.say(blob, "Pull complete")
        return image

    def _lacking(self, diff_ids: Sequence[str], layers: Sequence[Descriptor], held: Held) -> list[str]:
        """Return the blobs that are to be fetched or unpacked, each once; from here on, what is there stays."""
        found: dict[str, None] = {}
        for chain_id, layer in zip(digests.chain_ids(diff_ids), layers, strict=True):
            held.pin(chain_id)
            held.pin(layer.digest)
            if not self._images.has_layer(chain_id, layer.digest):
                found[layer.digest] = None
        return list(found)

    def _of_platform(self, found: Found) -> tuple[bytes, Manifest]:
        """Return the manifest for the platform, with its bytes."""
        content, kind = found.content, found.descriptor.media_type
        document = manifests.parse(content, kind, self._name.familiar)
        if isinstance(document, Index):
            chosen = manifests.choose(document, self._platform)
            if chosen is None:
                wanted = "/".join(
                    filter(None, (self._platform.os, self._platform.architecture, self._platform.variant))
                )
                raise NotThere(404, "", f"no matching manifest for {wanted} in the manifest list entries")
            child = self._find(chosen.digest)
            if len(child.content) != chosen.size:
                raise BadContent(
                    f"{self._name.familiar}: manifest {chosen.digest} has not the size that its index says"
                )
            content = child.content
            document = manifests.parse(content, chosen.media_type or child.descriptor.media_type, self._name.familiar)
            if isinstance(document, Index):
                raise BadContent(f"{self._name.familiar}: an index within an index")
        return content, document

    def _configuration(self, config: Descriptor, held: Held) -> bytes:
        held.pin(config.digest)
        if self._downloads.fetch(self._sources, config, lambda _done: None, self._listener):
            held.keep(config.digest)
        return self._images.content.read(config.digest, CONFIG_LIMIT)


def _told(error: DistributionError, name: Reference) -> DistributionError:
    """Put an error in dockerd's words for a pull."""
    if isinstance(error, NotThere):
        text = f"manifest for {name.familiar} not found: {error}"
        return NotThere(404, error.code, text)
    if isinstance(error, Refused) and error.http in (401, 403):
        text = (
            f"pull access denied for {name.familiar_name}, repository does not exist or may require 'docker login': "
            + (str(error).partition('": ')[2] or str(error))
        )
        return NotThere(404, error.code, text)
    return error
