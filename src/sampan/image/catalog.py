"""All images at one moment, in memory: looked up by name or ID without touching the disk.

A catalog never changes. After each write ``Images`` makes a new one and swaps it in, so readers need no lock.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sampan.image import platforms, reference
from sampan.image.errors import AmbiguousId, ImageNotFound, InvalidReference, WrongPlatform
from sampan.image.model import Image


class Catalog:
    """Images by ID and by name."""

    def __init__(self, images: Iterable[Image]) -> None:
        """Index ``images``."""
        self.by_id: Final = {image.id: image for image in images}
        self._by_name: Final = {name: image for image in self.by_id.values() for name in (*image.tags, *image.digests)}

    def resolve(self, text: str, platform: str | None = None) -> Image:
        """Return the image called ``text``, as dockerd looks for it: a name first, then (a prefix of) an ID.

        Raises ImageNotFound, AmbiguousId, InvalidReference, WrongPlatform.
        """
        image = self._find(text)
        check_platform(text, image.platform, platform)
        return image

    def _find(self, text: str) -> Image:
        name: reference.Reference | None = None
        prefix = reference.id_prefix(text)
        if prefix is None or len(prefix) < 64:
            try:
                name = reference.parse(text).tagged()
            except InvalidReference:
                if prefix is None:
                    raise
            else:
                found = self._named(name)
                if found is not None:
                    return found
        if prefix is not None:
            return self._by_prefix(prefix, name.familiar if name else f"sha256:{prefix}")
        raise ImageNotFound(name.familiar if name else text)

    def _named(self, name: reference.Reference) -> Image | None:
        if name.digest is None:
            return self._by_name.get(name.familiar)
        pinned = f"{name.familiar_name}@{name.digest}"
        return self._by_name.get(pinned) or self._by_own_digest(name)

    def _by_own_digest(self, name: reference.Reference) -> Image | None:
        """``name@digest`` of an image that was loaded, not pulled: its manifest came in the archive."""
        for image in self.by_id.values():
            if name.digest in (image.manifest, image.id):
                repositories = {tag.rpartition(":")[0] for tag in image.tags}
                if name.familiar_name in repositories:
                    return image
        return None

    def _by_prefix(self, prefix: str, shown: str) -> Image:
        exact = self.by_id.get("sha256:" + prefix)
        if exact is not None:
            return exact
        found = [image for identity, image in self.by_id.items() if identity.startswith("sha256:" + prefix)]
        if not found:
            raise ImageNotFound(shown)
        if len(found) > 1:
            raise AmbiguousId(shown)
        return found[0]

    def layer_sizes(self) -> dict[str, int]:
        """Return the size of every layer that an image has, by chain ID."""
        return {
            chain_id: size
            for image in self.by_id.values()
            for chain_id, size in zip(image.chain_ids, image.layer_sizes, strict=True)
        }

    def blobs(self) -> set[str]:
        """Return the digest of every blob that an image needs."""
        return {
            digest
            for image in self.by_id.values()
            for digest in (image.id, image.manifest, *image.blobs)
            if digest is not None
        }


def check_platform(text: str, there: platforms.Platform, wanted: str | None) -> None:
    """Raise WrongPlatform unless what ``text`` names is for the platform that is ``wanted``; None or "" is any."""
    if wanted and not platforms.asked(wanted, platforms.host_architecture()).runs(there):
        raise WrongPlatform(text, str(there), wanted)
