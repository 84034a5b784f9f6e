"""The content store: every blob by its digest, with exactly the bytes it came with.

Words.  *blob*: immutable bytes named by their digest. *ingest*: a file that is still growing; nobody sees it as a blob.
Life.   ``ingest()`` → write … → ``commit`` (digest checked, renamed into place) | ``abort``.
Cost.   Nothing is synced file by file: ``sync`` flushes the whole file system once, before the rows that name blobs
        are committed. A blob that no row names is swept at start, so an unsynced one is never believed.
On disk ``<root>/content/blobs/<algorithm>/<hex>``, ``<root>/content/ingest/<random>``,
        ``<root>/content/ingest/sha256-<hex>.partial``: a download that can be resumed. Whoever goes on with one takes
        its lock (flock) first, and touches it: it is removed a day after its last write.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

from sampan.image import digest as digests
from sampan.image.errors import BadArchive, DigestMismatch, MissingContent
from sampan.linux.syscall import call

COPY_CHUNK: Final = 1 << 20  # bytes moved at a time
PARTIAL: Final = ".partial"  # how the name of a download that can be resumed ends
PARTIAL_KEPT_S: Final = 24 * 3600  # seconds since its last write that such a file is kept
_SYNC_FILE_RANGE_WRITE: Final = 2  # linux/fs.h
_PLAIN_SIZE: Final = "user.sampan.plain-size"  # extended attribute of a compressed blob


class Ingest:
    """A blob that is being written. Use as a context manager: what isn't committed is removed."""

    def __init__(self, store: Content) -> None:
        """Create the file in the store's ingest directory."""
        self._store = store
        self._fd, self._path = tempfile.mkstemp(dir=store.ingest_root)
        self._hash = hashlib.sha256(usedforsecurity=False)
        self.size = 0

    def __enter__(self) -> Ingest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    @property
    def digest(self) -> str:
        """The sha256 digest of what was written so far."""
        return "sha256:" + self._hash.hexdigest()

    def write(self, chunk: bytes | memoryview) -> None:
        """Append."""
        self.take_in(chunk)
        self.append(chunk)

    def take_in(self, chunk: bytes | memoryview) -> None:
        """The half of ``write`` that makes the digest; it may run in another thread than the other half."""
        self._hash.update(chunk)

    def append(self, chunk: bytes | memoryview) -> None:
        """The half of ``write`` that writes."""
        view = memoryview(chunk)
        while view:
            written = os.write(self._fd, view)
            self.size += written
            view = view[written:]

    def start_flush(self) -> None:
        """Let the disk begin with what was written, so that less is left for ``sync``; waits for nothing."""
        with contextlib.suppress(OSError):  # a file system that can't
            call("sync_file_range", self._fd, 0, 0, _SYNC_FILE_RANGE_WRITE)

    def commit(self, expected: str | None = None) -> str:
        """Make it a blob and return its digest. Raises DigestMismatch when it isn't the ``expected`` sha256."""
        actual = self.digest
        if expected is not None and expected != actual:
            raise DigestMismatch("blob", expected, actual)
        os.fchmod(self._fd, 0o644)
        os.rename(self._path, self._store.path(actual))
        self._close()
        return actual

    def abort(self) -> None:
        """Remove it, unless it was committed."""
        if self._fd >= 0:
            os.unlink(self._path)
            self._close()

    def _close(self) -> None:
        os.close(self._fd)
        self._fd = -1


class Content:
    """Blobs below ``root`` (``<data root>/content``). Thread-safe: all its steps are atomic renames."""

    def __init__(self, root: Path) -> None:
        """Create the directories that are missing."""
        self.root = root
        self.ingest_root = root / "ingest"
        self._blobs = root / "blobs"
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.ingest_root.mkdir(exist_ok=True)
        (self._blobs / "sha256").mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Return where the blob is or would be. ``digest`` must have come out of ``digest.parse``."""
        algorithm, _, hexadecimal = digest.partition(":")
        return self._blobs / algorithm / hexadecimal

    def has(self, digest: str) -> bool:
        """Tell whether the blob is there."""
        return self.path(digest).exists()

    def open(self, digest: str) -> BinaryIO:
        """Open the blob for reading, unbuffered. Raises MissingContent."""
        try:
            return open(self.path(digest), "rb", buffering=0)
        except FileNotFoundError:
            raise MissingContent(f"blob {digest} is missing from {self._blobs}") from None

    def read(self, digest: str, limit: int) -> bytes:
        """Return the bytes of a small blob, verified. Raises BadArchive above ``limit`` bytes, MissingContent."""
        with self.open(digest) as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise BadArchive(f"{digest} is larger than {limit} bytes")
        hasher = digests.hasher(digest)
        hasher.update(content)
        if hasher.hexdigest() != digest.partition(":")[2]:
            raise MissingContent(f"blob {digest} is damaged: its bytes have another digest")
        return content

    def size(self, digest: str) -> int:
        """Return the blob's length in bytes. Raises MissingContent."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            raise MissingContent(f"blob {digest} is missing from {self._blobs}") from None

    def plain_size(self, digest: str) -> int | None:
        """Return the bytes that a compressed blob unpacks to, where somebody who unpacked all of it noted them."""
        with contextlib.suppress(OSError, ValueError):
            return int(os.getxattr(self.path(digest), _PLAIN_SIZE))
        return None

    def note_plain_size(self, digest: str, size: int) -> None:
        """Note it beside the blob; where the file system keeps no attributes it will be counted again."""
        with contextlib.suppress(OSError):
            os.setxattr(self.path(digest), _PLAIN_SIZE, b"%d" % size)

    def ingest(self) -> Ingest:
        """Start a new blob."""
        return Ingest(self)

    def put(self, content: bytes) -> str:
        """Store ``content`` and return its sha256 digest."""
        with self.ingest() as blob:
            blob.write(content)
            return blob.commit()

    def digests(self) -> Iterator[str]:
        """Yield the digest of every blob."""
        for algorithm in os.listdir(self._blobs):
            for hexadecimal in os.listdir(self._blobs / algorithm):
                yield f"{algorithm}:{hexadecimal}"

    def partial_path(self, digest: str) -> Path:
        """Return where the blob is while it comes in; see `sampan.image.partial`."""
        return self.ingest_root / f"{digest.replace(':', '-')}.partial"

    def delete(self, digest: str) -> None:
        """Remove a blob; idempotent."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(digest))

    def sync(self) -> None:
        """Put everything written to this file system on the disk, layers too when they lie on the same one."""
        sync_filesystem(self.root)

    def sync_blob(self, digest: str) -> None:
        """Put one blob on the disk, and its name. Raises MissingContent."""
        with self.open(digest) as file:
            os.fsync(file.fileno())
        directory = os.open(self.path(digest).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def sweep(self, now_ns: int) -> None:
        """Remove what interrupted ingests left, but for partial downloads of a day. Call while none is running."""
        for name in os.listdir(self.ingest_root):
            if not name.endswith(PARTIAL):
                os.unlink(self.ingest_root / name)
        self.expire(now_ns)

    def expire(self, now_ns: int) -> None:
        """Remove partial downloads that nobody has written to for a day; also while others are being written."""
        for name in os.listdir(self.ingest_root):
            if name.endswith(PARTIAL):
                _expire(self.ingest_root / name, now_ns)


def _expire(path: Path, now_ns: int) -> None:
    """Remove a partial download if it is old and nobody has its lock, as whoever goes on with it would."""
    try:
        status = os.lstat(path)
        if _is_fresh(status, now_ns):
            return
        if not stat.S_ISREG(status.st_mode):  # none of ours
            os.unlink(path)
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _is_fresh(os.fstat(descriptor), now_ns):  # it may have been taken up in between
            os.unlink(path)
    except (BlockingIOError, FileNotFoundError):
        return
    finally:
        os.close(descriptor)


def _is_fresh(status: os.stat_result, now_ns: int) -> bool:
    """A time far ahead is a clock's that was set back since: as good as long ago."""
    return abs(now_ns - status.st_mtime_ns) < PARTIAL_KEPT_S * 1_000_000_000


def sync_filesystem(directory: Path) -> None:
    """syncfs(2) on the file system that holds ``directory``."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        call("syncfs", descriptor, on=directory)
    finally:
        os.close(descriptor)
