"""From blobs to unpacked layers: all layers of an image at once, verified while they stream.

Words.  *stack*: the layers of one image, bottom first, each with its diff ID and the blob that it comes from.
Life.   ``unpack_stack`` begins every layer that isn't there yet, unpacks them in threads, gives implied directories
        their attributes (bottom to top), and only then commits them, bottom first. An error aborts them all.
"""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from sampan.image import digest as digests
from sampan.image.compress import Source, decompressed
from sampan.image.content import Content
from sampan.image.errors import DigestMismatch, LayerMismatch
from sampan.image.implied import settle
from sampan.image.tar import TarReader
from sampan.image.unpack import Limits, Unpacked, unpack
from sampan.linux.overlayfs import Flavour

THREADS: Final = 4  # layers unpacked at once; more than the cores of a small machine, since they wait for the disk
_HASH_QUEUE: Final = 8  # chunks that may wait for the hashing thread

Progress = Callable[[str, int, int], None]  # diff ID, bytes of its blob read so far, bytes of the blob

Fetch = Callable[[str, str], None]  # diff ID, digest of the blob


def no_progress(diff_id: str, done: int, total: int) -> None:
    """Progress for layers that nobody watches coming in."""


class PendingLayer(Protocol):
    """What a storage driver gives for a layer that is being unpacked."""

    path: Path
    flavour: Flavour

    def commit(self) -> None:
        """Make it visible."""
        ...

    def abort(self) -> None:
        """Remove it; idempotent."""
        ...


class Layers(Protocol):
    """What images need of a storage driver; ``sampan.storage.snapshots.Snapshots`` is one."""

    flavour: Flavour
    root: Path  # lies on the file system that the layers are on

    def layer(self, chain_id: str) -> Path:
        """Return the directory of a committed layer."""
        ...

    def begin(self, chain_id: str, parent: str | None) -> PendingLayer:
        """Start a layer."""
        ...

    def has(self, chain_id: str) -> bool:
        """Tell whether it is committed."""
        ...

    def layers(self) -> Iterable[str]:
        """Yield every committed one."""
        ...

    def used(self) -> set[str]:
        """Return those that containers stand on."""
        ...

    def set_aside(self, chain_id: str) -> None:
        """Take one out of sight, unless a container stands on it."""
        ...

    def purge(self) -> None:
        """Delete those."""
        ...

    def sweep(self) -> None:
        """Remove unfinished ones."""
        ...


@dataclass(slots=True)
class _Work:
    """A layer on its way."""

    index: int
    blob: str
    diff_id: str
    pending: PendingLayer
    result: Unpacked | None = None


def unpack_stack(
    content: Content,
    layers: Layers,
    stack: Sequence[tuple[str, str]],
    *,
    limits: Limits | None = None,
    progress: Progress,
    fetch: Fetch | None = None,
) -> dict[str, int]:
    """Unpack and commit the layers of ``stack`` ((diff ID, blob digest), bottom first) that are missing.

    ``fetch`` brings a blob in that may be missing, from a thread, before its layer is unpacked; also that of a layer
    which is there, so that the image can be handed on as it came.

    Returns the size of each layer that was unpacked, by chain ID. ``progress`` is called from several threads. Raises
    BadArchive, LayerMismatch, UnpackFailed, MissingContent.
    """
    chain = digests.chain_ids(diff_id for diff_id, _ in stack)
    work: list[_Work] = []
    try:
        for index, (diff_id, blob) in enumerate(stack):
            if not layers.has(chain[index]):
                parent = chain[index - 1] if index else None
                work.append(_Work(index, blob, diff_id, layers.begin(chain[index], parent)))
        _unpack_all(content, work, limits or Limits(), progress, fetch)
        if fetch is not None:
            for diff_id, blob in stack:
                if not content.has(blob):
                    fetch(diff_id, blob)
        begun = {item.index: item.pending.path for item in work}
        for item in work:
            below = [begun.get(i) or layers.layer(chain[i]) for i in range(item.index)]
            settle(item.pending.path, item.result.implied if item.result else (), below, layers.flavour)
        for item in work:
            item.pending.commit()
    except BaseException:
        for item in work:
            item.pending.abort()
        raise
    return {chain[item.index]: item.result.size for item in work if item.result}


def _unpack_all(
    content: Content, work: Sequence[_Work], limits: Limits, progress: Progress, fetch: Fetch | None
) -> None:
    def one(item: _Work) -> None:
        if fetch is not None:
            fetch(item.diff_id, item.blob)
        total = content.size(item.blob)

        def report(done: int) -> None:
            progress(item.diff_id, done, total)

        try:
            item.result = unpack_blob(content, item.blob, item.diff_id, item.pending, limits=limits, report=report)
        except DigestMismatch as error:
            raise LayerMismatch(item.index, error.expected, error.actual) from None

    if len(work) == 1:
        one(work[0])
        return
    with ThreadPoolExecutor(THREADS, "unpack") as pool:
        try:
            for future in [pool.submit(one, item) for item in work]:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def unpack_blob(
    content: Content, blob: str, diff_id: str, pending: PendingLayer, *, limits: Limits, report: Callable[[int], None]
) -> Unpacked:
    """Unpack one blob into ``pending`` and check that its plain bytes have the digest ``diff_id``."""
    with content.open(blob) as file:
        plain = decompressed(_reported(file, report))
        if blob == diff_id:  # an uncompressed blob, verified as it came in
            return _unpack_verified(plain, pending, limits)
        with Hashing(plain, diff_id.partition(":")[0]) as hashing:
            result = _unpack_verified(hashing.read, pending, limits)
            actual = hashing.digest()
    if actual != diff_id:
        raise DigestMismatch("layer", diff_id, actual)
    content.note_plain_size(blob, hashing.size)
    return result


def _unpack_verified(source: Source, pending: PendingLayer, limits: Limits) -> Unpacked:
    reader = TarReader(source)
    result = unpack(reader, pending.path, pending.flavour, limits)
    reader.drain()
    return result


def _reported(file: BinaryIO, report: Callable[[int], None]) -> Source:
    """Return a source of a file's bytes that reports how many were read."""
    descriptor, done = file.fileno(), 0

    def read(count: int) -> bytes:
        nonlocal done
        chunk = os.read(descriptor, count)
        done += len(chunk)
        report(done)
        return chunk

    return read


class Hashing:
    """A source that hashes what passes through it, in a thread of its own (hashlib releases the GIL).

    Attributes:
        size: how many bytes have passed.
    """

    def __init__(self, source: Source, algorithm: str) -> None:
        """Hash with ``algorithm`` what is read from ``source``."""
        self._source = source
        self._algorithm = algorithm
        self._hash = hashlib.new(algorithm, usedforsecurity=False)
        self.size = 0
        self._queue: queue.Queue[bytes | None] = queue.Queue(_HASH_QUEUE)
        self._thread = threading.Thread(target=self._run, name="layer-hash", daemon=True)

    def __enter__(self) -> Hashing:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finish()

    def read(self, count: int) -> bytes:
        """Read from the source."""
        chunk = self._source(count)
        if chunk:
            self.size += len(chunk)
            self._queue.put(chunk)
        return chunk

    def digest(self) -> str:
        """Return the digest of everything that was read. Nothing is to be read after."""
        self._finish()
        return f"{self._algorithm}:{self._hash.hexdigest()}"

    def _finish(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (chunk := self._queue.get()) is not None:
            self._hash.update(chunk)
