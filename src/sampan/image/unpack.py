"""Unpacking a layer into a directory of its own, so that nothing in the archive can reach outside of it.

Words.  *whiteout*, *opaque*: "gone from here on up" for a name or a whole directory (OCI layer.md), translated to the
        storage driver's flavour. *implied* directory: one that entries lie in, without an entry of its own.
Safety. Every directory is opened component by component, O_NOFOLLOW, relative to its parent's descriptor; files are
        made with O_EXCL. A link of this same layer on the way (``lib → usr/lib``, then ``lib/x``) is followed by
        openat2 with RESOLVE_IN_ROOT, as the container itself would see it. Absolute names and ``..`` are refused.
Kept    owner, mode, time, extended attributes (file capabilities: set after the owner, which would clear them), holes,
        hard links, FIFOs, devices. Refused: 0:0 devices and attributes that steer overlayfs would be someone else's
        whiteouts and redirects, so the former are an error and the latter dropped.
Order.  As in the archive; a later entry replaces an earlier one. Directories get owner, mode and time at the end.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from sampan.image import tar
from sampan.image.errors import BadArchive, ImageError
from sampan.image.tar import Entry, TarReader
from sampan.linux import overlayfs
from sampan.linux.overlayfs import OPAQUE_NAME, WHITEOUT_PREFIX, Flavour
from sampan.linux.path import open_in_root

MAX_DEPTH: Final = 200  # directories below each other; each one holds a descriptor while we are in it
_AUFS_PREFIX: Final = WHITEOUT_PREFIX + WHITEOUT_PREFIX  # AUFS's own files in old layers; skipped as dockerd does
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MACHINE_TROUBLE: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ENFILE, errno.EMFILE))
_KEPT_DIRECTORY: Final = 300  # bytes that a directory takes in a dict, about (CPython 3.11)
_KEPT_NAME: Final = 41  # bytes of a component beside its octets
_MAX_TIME_NS: Final = (1 << 63) - 1

Path = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one layer may cost: enough for large images."""

    entries: int = 2_000_000
    size: int = 1 << 41  # bytes of data
    memory: int = 256 << 20  # bytes to remember directories in: about a million of them


@dataclass(slots=True)
class Unpacked:
    """What came of a layer."""

    size: int = 0  # bytes of files and links, as Docker counts a layer
    entries: int = 0
    implied: tuple[Path, ...] = ()  # parents first; the root is the empty path


class UnpackFailed(ImageError):
    """The machine, not the archive, is why a layer couldn't be unpacked: the disk is full, and the like."""


def unpack(reader: TarReader, root: str | os.PathLike[str], flavour: Flavour, limits: Limits = Limits()) -> Unpacked:
    """Unpack all entries of ``reader`` into the empty directory ``root``.

    Raises BadArchive (broken or hostile archive, limit exceeded) or UnpackFailed; what was unpacked is left behind.
    """
    with Unpacker(root, flavour, limits) as unpacker:
        for entry in reader:
            unpacker.add(entry, reader)
        return unpacker.finish()


class Unpacker:
    """Applies entries to one directory tree."""

    def __init__(self, root: str | os.PathLike[str], flavour: Flavour, limits: Limits) -> None:
        """Open ``root``."""
        self._flavour = flavour
        self._limits = limits
        self._stack: list[tuple[bytes, int]] = []  # the directory we are in: components and their descriptors
        self._directories: dict[Path, int] = {}  # modification times, set at the end
        self._kept = 0  # bytes of memory that directories take, about
        self._implied: dict[Path, None] = {(): None}
        self._result = Unpacked()
        self._make: dict[bytes, Callable[[Entry, TarReader, int, bytes], None]] = {
            tar.REGULAR: self._file,
            tar.HARD_LINK: self._hard_link,
            tar.SYMLINK: self._symlink,
            tar.CHARACTER: self._node,
            tar.BLOCK_DEVICE: self._node,
            tar.FIFO: self._node,
        }
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Unpacker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(0)
        os.close(self._root)

    def add(self, entry: Entry, reader: TarReader) -> None:
        """Apply one entry; its data is read from ``reader``."""
        self._result.entries += 1
        if self._result.entries > self._limits.entries:
            raise BadArchive(f"a layer with more than {self._limits.entries} entries")
        try:
            self._apply(entry, reader)
        except OSError as error:
            raise _explained(f"/{_decode(entry.name).lstrip('/')}", error) from error

    def finish(self) -> Unpacked:
        """Set what directories need at the end and return the result."""
        for path, mtime_ns in self._directories.items():
            try:
                self._finish_directory(path, mtime_ns)
            except OSError as error:
                raise _explained(f"/{_join(path)}", error) from error
        self._result.implied = tuple(sorted(self._implied))
        return self._result

    def _apply(self, entry: Entry, reader: TarReader) -> None:
        path = split_name(entry.name)
        if not path:
            if entry.kind != tar.DIRECTORY:
                raise BadArchive(f"invalid archive: {_shown(entry)} takes the place of the root directory")
            self._directory_attributes(self._root, path, entry)
            return
        parent = self._enter(path[:-1])
        name = path[-1]
        if name.startswith(WHITEOUT_PREFIX):
            self._whiteout(entry, parent, name)
        elif entry.kind == tar.DIRECTORY:
            self._directory(entry, parent, path)
        else:
            make = self._make.get(entry.kind)
            if make is None:
                raise BadArchive(f"unhandled tar header type {entry.kind[0]}")
            make(entry, reader, parent, name)

    # --- directories -----------------------------------------------------------------------------------------------

    def _enter(self, path: Path) -> int:
        """Return a descriptor of the directory, made where it is missing. It is ours; valid until the next call."""
        stack = self._stack
        common = 0
        for (name, _), wanted in zip(stack, path, strict=False):
            if name != wanted:
                break
            common += 1
        self._leave(common)
        for depth in range(common, len(path)):
            stack.append((path[depth], self._open_directory(path[: depth + 1])))
        return stack[-1][1] if stack else self._root

    def _leave(self, depth: int) -> None:
        while len(self._stack) > depth:
            os.close(self._stack.pop()[1])

    def _open_directory(self, path: Path) -> int:
        parent = self._stack[-1][1] if self._stack else self._root
        name = path[-1]
        try:
            return os.open(name, _DIRECTORY, dir_fd=parent)
        except FileNotFoundError:
            os.mkdir(name, 0o755, dir_fd=parent)
            self._implied[path] = None
            self._keep(path)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            return self._beside_directory(path, parent)
        return os.open(name, _DIRECTORY, dir_fd=parent)

    def _beside_directory(self, path: Path, parent: int) -> int:
        """Something else stands where a directory is needed: a link is followed in root, a whiteout gives way."""
        status = os.lstat(path[-1], dir_fd=parent)
        if stat.S_ISLNK(status.st_mode):
            return self._through_link(path)
        if not overlayfs.is_whiteout(status):
            raise BadArchive(f'invalid archive: "/{_join(path)}" is no directory')
        os.unlink(path[-1], dir_fd=parent)
        os.mkdir(path[-1], 0o755, dir_fd=parent)
        descriptor = os.open(path[-1], _DIRECTORY, dir_fd=parent)
        os.chmod(descriptor, 0o755)  # whatever the umask is; nothing below is seen any more
        overlayfs.make_opaque(descriptor, self._flavour)
        return descriptor

    def _through_link(self, path: Path) -> int:
        joined = _join(path)
        try:
            return open_in_root(self._root, joined, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            if error.errno in _MACHINE_TROUBLE:
                raise
            reason = os.strerror(error.errno or 0).lower()
            raise BadArchive(
                f'invalid archive: an entry goes through the link "/{joined}", which leads to no directory of this'
                f" layer ({reason})"
            ) from None

    def _directory(self, entry: Entry, parent: int, path: Path) -> None:
        name = path[-1]
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            self._directory_over(parent, name)
        descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
        try:
            self._directory_attributes(descriptor, path, entry)
        finally:
            os.close(descriptor)

    def _directory_over(self, parent: int, name: bytes) -> None:
        status = os.lstat(name, dir_fd=parent)
        if stat.S_ISDIR(status.st_mode):
            return
        os.unlink(name, dir_fd=parent)
        os.mkdir(name, 0o700, dir_fd=parent)
        if overlayfs.is_whiteout(status):
            self._hide_below(parent, name)

    def _hide_below(self, parent: int, name: bytes) -> None:
        """A whiteout and a directory of one name in one layer: the directory hides what is below."""
        descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
        try:
            overlayfs.make_opaque(descriptor, self._flavour)
        finally:
            os.close(descriptor)

    def _directory_attributes(self, descriptor: int, path: Path, entry: Entry) -> None:
        """All but its time, which every entry within changes: a layer may have directories by the million."""
        self._attributes(descriptor, entry)
        if path not in self._directories:
            self._keep(path)
        self._directories[path] = _mtime_ns(entry)
        self._implied.pop(path, None)

    def _keep(self, path: Path) -> None:
        self._kept += _KEPT_DIRECTORY + sum(_KEPT_NAME + len(name) for name in path)
        if self._kept > self._limits.memory:
            raise BadArchive(f"a layer whose directories take more than {self._limits.memory} bytes of memory")

    def _finish_directory(self, path: Path, mtime_ns: int) -> None:
        try:
            descriptor = open_in_root(self._root, _join(path) or ".", _DIRECTORY)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return  # a later entry took its place
            raise
        try:
            os.utime(descriptor, ns=(mtime_ns, mtime_ns))
        finally:
            os.close(descriptor)

    # --- everything else -------------------------------------------------------------------------------------------

    def _file(self, entry: Entry, reader: TarReader, parent: int, name: bytes) -> None:
        self._account(entry.size, entry.stored)
        try:
            descriptor = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
        except FileExistsError:
            _remove(parent, name)
            descriptor = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
        try:
            if entry.extents is not None:
                _write_sparse(descriptor, entry, reader)
            elif entry.size:
                for piece in reader.data():
                    _write_all(descriptor, piece)
            self._attributes(descriptor, entry)
        finally:
            os.close(descriptor)

    def _hard_link(self, entry: Entry, reader: TarReader, parent: int, name: bytes) -> None:
        target = split_name(entry.link.lstrip(b"/"))
        if not target:
            raise BadArchive(f'invalid archive: hard link {_shown(entry)} → "{_decode(entry.link)}"')
        try:
            source_parent = self._open_existing(target[:-1])
        except FileNotFoundError:
            raise _no_target(entry) from None
        try:
            same = self._same_file(source_parent, target[-1], parent, name)
            if not same:
                _replacing(parent, name, lambda: _link(source_parent, target[-1], parent, name))
            self._link_attributes(entry, parent, name)
        except FileNotFoundError:
            raise _no_target(entry) from None
        finally:
            os.close(source_parent)

    def _link_attributes(self, entry: Entry, parent: int, name: bytes) -> None:
        """As dockerd and containerd, a hard link's own header speaks for the file; what it repeats isn't done again.

        A needless chown(2) would drop the file's capabilities, which such a header seldom has.
        """
        status = os.lstat(name, dir_fd=parent)
        if not stat.S_ISREG(status.st_mode):
            return
        if (status.st_uid, status.st_gid) != (entry.uid, entry.gid):
            os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        os.chmod(name, entry.mode, dir_fd=parent)
        for key, value in entry.xattrs.items():
            _set_xattr(b"/proc/self/fd/%d/%s" % (parent, name), key, value)
        os.utime(name, ns=_times(entry), dir_fd=parent, follow_symlinks=False)

    def _open_existing(self, path: Path) -> int:
        return open_in_root(self._root, _join(path) or ".", os.O_RDONLY | os.O_DIRECTORY)

    def _same_file(self, source_parent: int, source: bytes, parent: int, name: bytes) -> bool:
        try:
            there = os.lstat(name, dir_fd=parent)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.lstat(source, dir_fd=source_parent))

    def _symlink(self, entry: Entry, reader: TarReader, parent: int, name: bytes) -> None:
        if not entry.link:
            raise BadArchive(f"invalid archive: {_shown(entry)} is a link to nothing")
        self._account(len(entry.link), 0)
        _replacing(parent, name, lambda: os.symlink(entry.link, name, dir_fd=parent))
        self._node_attributes(entry, parent, name)

    def _node(self, entry: Entry, reader: TarReader, parent: int, name: bytes) -> None:
        kind = {tar.CHARACTER: stat.S_IFCHR, tar.BLOCK_DEVICE: stat.S_IFBLK, tar.FIFO: stat.S_IFIFO}[entry.kind]
        if entry.kind == tar.CHARACTER and entry.device == (0, 0):
            raise BadArchive(f"invalid archive: {_shown(entry)} is a 0:0 character device, an overlay whiteout")
        device = os.makedev(*entry.device)
        _replacing(parent, name, lambda: os.mknod(name, kind | 0o600, device, dir_fd=parent))
        self._node_attributes(entry, parent, name)

    def _whiteout(self, entry: Entry, parent: int, name: bytes) -> None:
        if name == OPAQUE_NAME:
            overlayfs.make_opaque(parent, self._flavour)
            return
        if name.startswith(_AUFS_PREFIX):
            return
        hidden = name[len(WHITEOUT_PREFIX) :]
        if hidden in (b"", b".", b".."):
            raise BadArchive(f"invalid archive: {_shown(entry)} is a whiteout of no name")
        try:
            status = os.lstat(hidden, dir_fd=parent)
        except FileNotFoundError:
            overlayfs.make_whiteout(parent, hidden, self._flavour)
            return
        # A whiteout concerns the layers below only: what this layer has of that name stays.
        if stat.S_ISDIR(status.st_mode):
            self._hide_below(parent, hidden)

    # --- attributes ------------------------------------------------------------------------------------------------

    def _attributes(self, descriptor: int, entry: Entry) -> None:
        """Owner first: chown(2) clears set-id bits and file capabilities."""
        os.chown(descriptor, entry.uid, entry.gid)
        os.chmod(descriptor, entry.mode)
        for key, value in entry.xattrs.items():
            _set_xattr(descriptor, key, value)
        os.utime(descriptor, ns=_times(entry))

    def _node_attributes(self, entry: Entry, parent: int, name: bytes) -> None:
        """Attributes of what can't be opened safely (links, devices): by name, never through a link."""
        os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        if entry.kind != tar.SYMLINK:
            os.chmod(name, entry.mode, dir_fd=parent)
        for key, value in entry.xattrs.items():
            _set_xattr(b"/proc/self/fd/%d/%s" % (parent, name), key, value)
        os.utime(name, ns=_times(entry), dir_fd=parent, follow_symlinks=False)

    def _account(self, size: int, stored: int) -> None:
        self._result.size += size
        if stored > self._limits.size or self._result.size > self._limits.size:
            raise BadArchive(f"a layer of more than {self._limits.size} bytes")


def split_name(name: bytes) -> Path:
    """Return the components of an entry's name; () is the root. Raises BadArchive when it isn't relative and plain."""
    if name.startswith(b"/"):
        raise BadArchive(f'invalid archive: "{_decode(name)}" is an absolute name')
    parts = tuple(part for part in name.split(b"/") if part not in (b"", b"."))
    if b".." in parts:
        raise BadArchive(f'"{_decode(name)}" is outside of "/"')
    if len(parts) > MAX_DEPTH:
        raise BadArchive(f"invalid archive: a name of more than {MAX_DEPTH} directories")
    return parts


def _set_xattr(target: int | bytes, key: str, value: bytes) -> None:
    if overlayfs.is_private_attribute(key):
        return
    try:
        if isinstance(target, int):
            os.setxattr(target, key, value)
        else:
            os.setxattr(target, key, value, follow_symlinks=False)
    except OSError as error:
        # As dockerd: the file system has no such attributes, or they may not be set here (user.* on links and devices).
        if error.errno not in (errno.ENOTSUP, errno.EPERM):
            raise


def _mtime_ns(entry: Entry) -> int:
    """Modification time; what doesn't fit is the epoch, as dockerd has it."""
    return entry.mtime_ns if 0 <= entry.mtime_ns <= _MAX_TIME_NS else 0


def _times(entry: Entry) -> tuple[int, int]:
    """Access and modification time."""
    return _mtime_ns(entry), _mtime_ns(entry)


def _write_all(descriptor: int, piece: memoryview) -> None:
    written = os.write(descriptor, piece)
    while written < len(piece):
        piece = piece[written:]
        written = os.write(descriptor, piece)


def _write_sparse(descriptor: int, entry: Entry, reader: TarReader) -> None:
    os.ftruncate(descriptor, entry.size)
    pieces = reader.data()
    piece = memoryview(b"")
    for offset, length in entry.extents or ():
        os.lseek(descriptor, offset, os.SEEK_SET)
        left = length
        while left:
            piece = piece or next(pieces)
            _write_all(descriptor, piece[:left])
            piece, left = piece[left:], left - min(left, len(piece))


def _link(source_parent: int, source: bytes, parent: int, name: bytes) -> None:
    os.link(source, name, src_dir_fd=source_parent, dst_dir_fd=parent, follow_symlinks=False)


def _replacing(parent: int, name: bytes, make: Callable[[], None]) -> None:
    """Do ``make``; when something of this layer has the name already, remove that first."""
    try:
        make()
    except FileExistsError:
        _remove(parent, name)
        make()


def _remove(parent: int, name: bytes) -> None:
    if stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
        shutil.rmtree(name, dir_fd=parent)
    else:
        os.unlink(name, dir_fd=parent)


def _explained(name: str, error: OSError) -> ImageError:
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    text = f'"{name}": {reason}'
    return UnpackFailed(f"write {text}") if error.errno in _MACHINE_TROUBLE else BadArchive(f"invalid archive: {text}")


def _no_target(entry: Entry) -> BadArchive:
    """As Go's os.LinkError puts it."""
    names = (f"/{_decode(name).lstrip('/')}" for name in (entry.link, entry.name))
    return BadArchive(f"link {' '.join(names)}: no such file or directory")


def _shown(entry: Entry) -> str:
    return f'"/{_decode(entry.name).lstrip("/")}"'


def _decode(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _join(path: Path) -> str:
    return os.fsdecode(b"/".join(path))
