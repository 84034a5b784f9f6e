"""A blob on its way from a registry: kept when the connection breaks, so that the next try goes on where it ended.

On disk ``<root>/content/ingest/<algorithm>-<hex>.partial``; what isn't finished within a day is swept (`content`).
Cost.   What is there already is read once more to be hashed.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Final

from sampan.image import digest as digests
from sampan.image.errors import DigestMismatch

if TYPE_CHECKING:
    from types import TracebackType

    from sampan.image.content import Content

_CHUNK: Final = 1 << 20


class Partial:
    """One such blob, for one writer at a time: the caller sees to that. A context manager that closes it."""

    def __init__(self, content: Content, digest: str) -> None:
        """Open what is there of the blob ``digest`` (as `digest.parse` returns it), or begin it."""
        self._content = content
        self._digest = digest
        self._path = content.partial_path(digest)
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)  # while it is held, nobody takes the file for forgotten
        os.utime(self._fd)
        self._hash = digests.hasher(digest)
        self.size = 0  # bytes that are there
        self._done = False
        while chunk := os.read(self._fd, _CHUNK):
            self._hash.update(chunk)
            self.size += len(chunk)

    def __enter__(self) -> Partial:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, chunk: bytes) -> None:
        """Append."""
        self._hash.update(chunk)
        view = memoryview(chunk)
        while view:
            view = view[os.write(self._fd, view) :]
        self.size += len(chunk)

    def restart(self) -> None:
        """Begin again from nothing."""
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self._hash = digests.hasher(self._digest)
        self.size = 0

    def commit(self) -> None:
        """Make it a blob. Raises DigestMismatch when it is another one; nothing is kept of it then."""
        self._done = True
        actual = f"{self._digest.partition(':')[0]}:{self._hash.hexdigest()}"
        if actual != self._digest:
            os.unlink(self._path)
            raise DigestMismatch("filesystem layer", self._digest, actual)
        os.fchmod(self._fd, 0o644)
        place = self._content.path(self._digest)
        place.parent.mkdir(exist_ok=True)
        os.rename(self._path, place)

    def close(self) -> None:
        """Leave what is there of it; a second time does nothing."""
        if self._fd >= 0:
            if not self.size and not self._done:
                os.unlink(self._path)
            os.close(self._fd)
            self._fd = -1
