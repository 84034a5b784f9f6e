"""Blobs from a registry into the content store: once each, resumed, verified.

Life.   `Downloads.fetch` for each blob; two who want the same one wait for each other. What a broken connection left
        is kept, and the next try (of this pull, or of one within a day) asks for the rest only.
Tries.  Each endpoint in turn; behind the last one a pause that grows, for as often as the daemon is set to. A try
        that brought something in doesn't count: a bad line ends no pull.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from urllib3.exceptions import HTTPError

from sampan.distribution.errors import BadContent, Cancelled, DistributionError, Unreachable
from sampan.distribution.listener import HEARD_S, Slots
from sampan.distribution.transport import BLOCK, plain_reason
from sampan.image.errors import DigestMismatch, ImageError
from sampan.image.partial import Partial

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sampan.distribution.config import Registries
    from sampan.distribution.listener import Listener
    from sampan.distribution.manifest import Descriptor
    from sampan.distribution.registry import Repository
    from sampan.image.content import Content

Progress = Callable[[int], None]  # bytes that are there

PAUSE_S: Final = 0.5  # behind the first failed try; each later one twice as long
MAX_PAUSE_S: Final = 15.0
SHORT_PAUSE_S: Final = 0.05  # where the last try brought something


class Downloads:
    """All downloads of one daemon."""

    def __init__(self, content: Content, registries: Callable[[], Registries]) -> None:
        """``registries`` says how many blobs come at once, and how many tries without progress each gets."""
        self._content = content
        self._registries = registries
        self._slots = Slots(lambda: registries().max_downloads)
        self._lock = threading.Lock()
        self._under_way: dict[str, tuple[threading.Lock, int]] = {}  # digest → its lock, who wants it

    def fetch(self, sources: Sequence[Repository], blob: Descriptor, progress: Progress, listener: Listener) -> bool:
        """See that the store has a blob; tell whether it had to be fetched. The caller has pinned it.

        Raises:
            DistributionError: none of the sources gives it. DigestMismatch: what they give is another one.
        """
        with self._alone(blob.digest, listener):
            if self._content.has(blob.digest):
                return False
            with self._slots.one(listener):
                self._persist(sources, blob, progress, listener)
            return True

    def _persist(self, sources: Sequence[Repository], blob: Descriptor, progress: Progress, listener: Listener) -> None:
        failures = 0
        while True:
            before = self._size(blob.digest)
            error = self._any(sources, blob, progress, listener)
            if error is None:
                return
            gained = self._size(blob.digest) > before
            failures = 0 if gained else failures + 1
            if failures >= self._registries().max_attempts or not error.passing:
                raise error
            listener.gone.wait(SHORT_PAUSE_S if gained else min(PAUSE_S * 2 ** (failures - 1), MAX_PAUSE_S))
            listener.check()

    def _any(
        self, sources: Sequence[Repository], blob: Descriptor, progress: Progress, listener: Listener
    ) -> ImageError | None:
        """Try the sources in turn; return None, or the error that says most. Raises Cancelled."""
        said: ImageError | None = None
        for source in sources:
            try:
                self._once(source, blob, progress, listener)
            except Cancelled:
                raise
            except (DistributionError, DigestMismatch) as error:
                if said is None or (isinstance(said, Unreachable) and not isinstance(error, Unreachable)):
                    said = error
            else:
                return None
        return said

    def _size(self, digest: str) -> int:
        with Partial(self._content, digest) as part:
            return part.size

    def _once(self, source: Repository, blob: Descriptor, progress: Progress, listener: Listener) -> None:
        """Fetch what is missing from one source. Raises Unreachable where it broke off; what came stays."""
        with Partial(self._content, blob.digest) as part:
            if part.size > blob.size:
                part.restart()
            if part.size < blob.size or not blob.size:
                try:
                    self._receive(source, blob, part, progress, listener)
                except BadContent:
                    part.restart()  # nothing of what lies is kept
                    raise
            part.commit()

    @staticmethod
    def _receive(source: Repository, blob: Descriptor, part: Partial, progress: Progress, listener: Listener) -> None:
        answer, start = source.open_blob(blob.digest, part.size)
        if start == 0:
            part.restart()
        whole = False
        try:
            while chunk := answer.read(BLOCK, decode_content=False):
                listener.check()
                if part.size + len(chunk) > blob.size:
                    raise BadContent(f"blob {blob.digest} is longer than the {blob.size} bytes that its manifest says")
                part.write(chunk)
                progress(part.size)
            whole = True
        except (HTTPError, OSError) as error:
            raise Unreachable(f"blob {blob.digest}: {plain_reason(error)}") from error
        finally:
            answer.release_conn() if whole else answer.close()
        if part.size < blob.size:
            raise Unreachable(f"blob {blob.digest}: unexpected EOF after {part.size} of {blob.size} bytes")

    @contextmanager
    def _alone(self, digest: str, listener: Listener) -> Iterator[None]:
        with self._lock:
            lock, wanted = self._under_way.get(digest, (threading.Lock(), 0))
            self._under_way[digest] = lock, wanted + 1
        try:
            while not lock.acquire(timeout=HEARD_S):
                listener.check()
            try:
                yield
            finally:
                lock.release()
        finally:
            with self._lock:
                lock, wanted = self._under_way.pop(digest)
                if wanted > 1:
                    self._under_way[digest] = lock, wanted - 1
