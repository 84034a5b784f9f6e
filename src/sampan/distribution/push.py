"""push: an image to a registry, with the bytes that it came with.

Words.  *mounted*: a blob that the registry has in another repository is taken from there.
Order.  layers, several at once: those that aren't compressed yet are (gzip, once: the image keeps the result); what the
        repository has is passed over, what a repository beside it has is mounted, the rest is uploaded → configuration
        → manifest → its digest becomes a name of the image.
Same.   An image that was pulled is pushed with the manifest it was pulled with, so its digest is the same everywhere.
Messages are dockerd's: distribution/push_v2.go.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar, cast

from sampan.distribution import manifest as manifests
from sampan.distribution.errors import BadContent, DistributionError, NotThere, Refused
from sampan.distribution.manifest import DOCKER_CONFIG, DOCKER_LAYER, Descriptor, Manifest
from sampan.image import digest as digests
from sampan.image import reference
from sampan.image.compress import GZIP, decompressed, gzip_encoder
from sampan.image.errors import ImageNotFound, InvalidReference, MissingContent
from sampan.image.progress import STEP

if TYPE_CHECKING:
    from sampan.distribution.listener import Listener, Slots
    from sampan.distribution.registry import Repository
    from sampan.image.model import Image
    from sampan.image.reference import Reference
    from sampan.image.store import Images, Pin

T = TypeVar("T")

MAX_SOURCES: Final = 3  # repositories that a blob is tried to be mounted from
PAUSE_S: Final = 0.5
_CHUNK: Final = 1 << 20


class Push:
    """One push of one tag."""

    def __init__(
        self,
        images: Images,
        target: Repository,
        name: Reference,
        listener: Listener,
        *,
        slots: Slots,
        attempts: int,
    ) -> None:
        """``name`` has a tag; ``slots`` are the uploads that all pushes may have at once."""
        self._images = images
        self._content = images.content
        self._target = target
        self._name = name
        self._listener = listener
        self._slots = slots
        self._attempts = attempts

    def run(self, workers: int) -> Descriptor:
        """Do it with so many threads; return what was stored. Raises DistributionError, ImageError."""
        with contextlib.ExitStack() as stack:
            try:
                image = stack.enter_context(self._images.holding(self._name.familiar))
            except ImageNotFound:
                text = f"An image does not exist locally with the tag: {self._name.familiar_name}"
                raise NotThere(404, "", text) from None
            pin = stack.enter_context(self._images.receiving())
            stored = self._stored_manifest(image)
            for diff_id in dict.fromkeys(reversed(image.diff_ids)):
                self._say(diff_id, "Preparing")
            layers = self._send_layers(image, pin, workers, as_it_came=stored is not None)
            self._send(Descriptor(DOCKER_CONFIG, image.id, self._content.size(image.id)), "", ())
            if stored is None:
                stored = self._build(image, layers, pin)
            content, media_type = stored
            self._retried(lambda: self._target.put_manifest(self._name.tag or "latest", content, media_type))
        descriptor = Descriptor(media_type, digests.of(content), len(content))
        self._images.add_names(image.id, [], [f"{self._name.familiar_name}@{descriptor.digest}"])
        tag = self._name.tag
        self._listener.tell({"status": f"{tag}: digest: {descriptor.digest} size: {descriptor.size}"})
        aux = {"Tag": tag, "Digest": descriptor.digest, "Size": descriptor.size}
        self._listener.tell({"progressDetail": {}, "aux": aux})
        return descriptor

    def _stored_manifest(self, image: Image) -> tuple[bytes, str] | None:
        """Return the manifest that the image came with, where all that it names is here."""
        if image.manifest is None or not all(map(self._content.has, image.blobs)):
            return None
        try:
            content = self._content.read(image.manifest, manifests.LIMIT)
            document = manifests.parse(content, "", self._name.familiar)
        except (BadContent, MissingContent):
            return None
        if not isinstance(document, Manifest) or document.config.digest != image.id:
            return None
        same = tuple(layer.digest for layer in document.layers) == image.blobs
        return (content, document.media_type) if same else None

    def _build(self, image: Image, layers: Sequence[Descriptor], pin: Pin) -> tuple[bytes, str]:
        config = Descriptor(DOCKER_CONFIG, image.id, self._content.size(image.id))
        content = manifests.build(config, layers)
        pin(digests.of(content))
        self._images.hand_on(image.id, [layer.digest for layer in layers], self._content.put(content))
        return content, manifests.DOCKER_MANIFEST

    # Layers

    def _send_layers(self, image: Image, pin: Pin, workers: int, *, as_it_came: bool) -> list[Descriptor]:
        """Send each layer once; return what stands for them in a manifest, bottom first."""
        beside = self._beside(image)
        pairs = dict(zip(image.diff_ids, image.blobs, strict=True))

        def one(diff_id: str) -> Descriptor:
            self._listener.check()
            blob = pairs[diff_id]
            layer = Descriptor("", blob, self._content.size(blob)) if as_it_came else self._packed(blob, pin)
            with self._slots.one(self._listener):
                self._send(layer, diff_id, beside.get(layer.digest, ()))
            return layer

        with ThreadPoolExecutor(min(workers, max(len(pairs), 1)), "push") as pool:
            futures = {diff_id: pool.submit(one, diff_id) for diff_id in pairs}
            try:
                sent = {diff_id: future.result() for diff_id, future in futures.items()}
            except BaseException:  # those that haven't begun need not
                pool.shutdown(cancel_futures=True)
                raise
        return [sent[diff_id] for diff_id in image.diff_ids]

    def _beside(self, image: Image) -> dict[str, list[str]]:
        """Return other repositories of this registry that should have the image's blobs, as far as it is known here."""
        found: dict[str, list[str]] = {}
        for other in self._images.list():
            shared = set(other.blobs) & set(image.blobs)
            for text in other.digests if shared else ():
                with suppress(InvalidReference):
                    name = reference.parse(text)
                    if (name.domain, name.path) != (self._name.domain, self._name.path) and (
                        name.domain == self._name.domain
                    ):
                        for blob in shared:
                            found.setdefault(blob, []).append(name.path)
        return {blob: list(dict.fromkeys(paths))[:MAX_SOURCES] for blob, paths in found.items()}

    def _packed(self, blob: str, pin: Pin) -> Descriptor:
        """Return a layer as a gzip blob; where it is none, make one."""
        with self._content.open(blob) as file:
            if file.read(len(GZIP)) == GZIP:
                return Descriptor(DOCKER_LAYER, blob, self._content.size(blob))
            file.seek(0)
            source = decompressed(file.read)
            encoder = gzip_encoder()
            with self._content.ingest() as packed:
                while chunk := source(_CHUNK):
                    self._listener.check()
                    packed.write(encoder.compress(chunk))
                packed.write(encoder.flush())
                pin(packed.digest)
                size = packed.size
                return Descriptor(DOCKER_LAYER, packed.commit(), size)

    def _send(self, blob: Descriptor, diff_id: str, beside: Sequence[str]) -> None:
        """See that the repository has a blob."""
        self._listener.check()
        if self._retried(lambda: self._target.has_blob(blob.digest)):
            self._say(diff_id, "Layer already exists")
            return
        for path in beside:
            with suppress(Refused):  # a registry that mounts nothing, or not from there
                if self._target.begin_upload(blob.digest, path) is None:
                    self._say(diff_id, f"Mounted from {path}")
                    return
        self._retried(lambda: self._upload(blob, diff_id))
        self._say(diff_id, "Pushed")

    def _upload(self, blob: Descriptor, diff_id: str) -> None:
        location = self._target.begin_upload()
        assert location is not None  # only a mount makes an upload needless
        with self._content.open(blob.digest) as file:
            body = _Told(file, blob.size, lambda done: self._pushing(diff_id, done, blob.size))
            self._target.put_blob(location, blob.digest, cast("BinaryIO", body), blob.size)

    def _retried(self, work: Callable[[], T]) -> T:
        """Do it again after a pause where another try may do better."""
        failures = 0
        while True:
            self._listener.check()
            try:
                return work()
            except DistributionError as error:
                failures += 1
                if not error.passing or failures >= self._attempts:
                    raise
            time.sleep(PAUSE_S * 2 ** (failures - 1))

    # Messages

    def _pushing(self, diff_id: str, done: int, total: int) -> None:
        self._listener.check()
        if diff_id:
            self._listener.step("Pushing", diff_id, done, total)

    def _say(self, diff_id: str, status: str) -> None:
        if diff_id:  # dockerd says nothing of a configuration
            self._listener.say(diff_id, status)


class _Told:
    """A file that tells how much of it was read."""

    def __init__(self, file: BinaryIO, size: int, told: Callable[[int], None]) -> None:
        self._file = file
        self._size = size
        self._told = told
        self._done = 0
        self._last = -STEP

    def read(self, count: int = -1) -> bytes:
        chunk = self._file.read(count)
        self._done += len(chunk)
        if chunk and (self._done - self._last >= STEP or self._done >= self._size):
            self._last = self._done
            self._told(self._done)
        return chunk

    def seek(self, place: int) -> int:
        self._done = place
        return self._file.seek(place)

    def tell(self) -> int:
        return self._file.tell()
