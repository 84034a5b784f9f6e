"""Layers applied on top of each other for real: what overlayfs would show, as plain files.

Everything is done relative to directory descriptors, O_NOFOLLOW: layers are other people's content. Kept: owner, mode,
times, extended attributes, holes, hard links within a layer. copy_file_range shares data where the file system can.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from sampan.linux import overlayfs
from sampan.linux.overlayfs import OPAQUE_NAME, WHITEOUT_PREFIX, Flavour

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
COPY_CHUNK: Final = 1 << 26  # bytes for one copy_file_range


def merge(layers: Iterable[tuple[Path, Flavour]], target: Path) -> None:
    """Apply layers (bottom first, each with its flavour) to the directory ``target``."""
    destination = os.open(target, _DIRECTORY)
    try:
        for path, flavour in layers:
            source = os.open(path, _DIRECTORY)
            try:
                _Merge(source, destination, flavour).directory(source, destination)
            finally:
                os.close(source)
    finally:
        os.close(destination)


class _Merge:
    """One layer going onto what is there."""

    def __init__(self, source_root: int, target_root: int, flavour: Flavour) -> None:
        self._source_root = source_root
        self._target_root = target_root
        self._flavour = flavour
        self._linked: dict[tuple[int, int], bytes] = {}  # inode → path below the target's root of its first name

    def directory(self, source: int, target: int, prefix: bytes = b"") -> None:
        """Merge the directory behind ``source`` into the one behind ``target``."""
        names = [os.fsencode(name) for name in os.listdir(source)]
        if overlayfs.is_opaque(source, self._flavour):
            for hidden in os.listdir(target):
                _remove(target, os.fsencode(hidden))
        if self._flavour is Flavour.FILES:
            names = self._apply_marker_files(names, target)
        for name in names:
            self._entry(source, target, name, prefix + name)
        status = os.fstat(source)
        _copy_attributes(source, target, self._flavour)
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))

    def _apply_marker_files(self, names: list[bytes], target: int) -> list[bytes]:
        """Remove what marker files hide and return the names that are content."""
        for name in names:
            if name.startswith(WHITEOUT_PREFIX) and name != OPAQUE_NAME:
                _remove(target, name[len(WHITEOUT_PREFIX) :])
        return [name for name in names if not name.startswith(WHITEOUT_PREFIX)]

    def _entry(self, source: int, target: int, name: bytes, path: bytes) -> None:
        status = os.lstat(name, dir_fd=source)
        if overlayfs.is_whiteout(status):
            _remove(target, name)
        elif stat.S_ISDIR(status.st_mode):
            self._subdirectory(source, target, name, path)
        else:
            _remove(target, name)
            if not self._hard_link(status, target, name, path):
                _copy(source, target, name, status)

    def _subdirectory(self, source: int, target: int, name: bytes, path: bytes) -> None:
        if not _is_directory(target, name):
            _remove(target, name)
            os.mkdir(name, 0o700, dir_fd=target)
        below = os.open(name, _DIRECTORY, dir_fd=source)
        try:
            onto = os.open(name, _DIRECTORY, dir_fd=target)
            try:
                self.directory(below, onto, path + b"/")
            finally:
                os.close(onto)
        finally:
            os.close(below)

    def _hard_link(self, status: os.stat_result, target: int, name: bytes, path: bytes) -> bool:
        """Make ``name`` another name of a file that this layer brought already; False when it is the first."""
        if status.st_nlink < 2:
            return False
        first = self._linked.setdefault((status.st_dev, status.st_ino), path)
        if first == path:
            return False
        # The path has no link in it: its directories were all made or checked by this merge.
        os.link(first, name, src_dir_fd=self._target_root, dst_dir_fd=target, follow_symlinks=False)
        return True


def _is_directory(parent: int, name: bytes) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode)
    except FileNotFoundError:
        return False


def _remove(parent: int, name: bytes) -> None:
    if _is_directory(parent, name):
        shutil.rmtree(name, dir_fd=parent)
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=parent)


def _copy(source: int, target: int, name: bytes, status: os.stat_result) -> None:
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFREG:
        _copy_file(source, target, name, status)
        return
    if kind == stat.S_IFLNK:
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
    elif kind == stat.S_IFSOCK:
        return  # a socket file without its listener is of no use; tar has no form for it either
    else:
        os.mknod(name, kind | 0o600, status.st_rdev, dir_fd=target)
    os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
    if kind != stat.S_IFLNK:
        os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=target)
    _copy_xattrs(_by_name(source, name), _by_name(target, name))
    os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=target, follow_symlinks=False)


def _by_name(directory: int, name: bytes) -> bytes:
    return b"/proc/self/fd/%d/%s" % (directory, name)


def _copy_file(source: int, target: int, name: bytes, status: os.stat_result) -> None:
    reading = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
    try:
        writing = os.open(name, _NEW_FILE, 0o600, dir_fd=target)
        try:
            _copy_data(reading, writing, status.st_size)
            _copy_attributes(reading, writing, None)
            os.utime(writing, ns=(status.st_atime_ns, status.st_mtime_ns))
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _copy_data(reading: int, writing: int, size: int) -> None:
    """Copy ``size`` bytes, holes as holes."""
    os.ftruncate(writing, size)
    at = 0
    while at < size:
        try:
            at = os.lseek(reading, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                return
            raise
        end = min(os.lseek(reading, at, os.SEEK_HOLE), size)
        while at < end:
            copied = _copy_some(reading, writing, at, min(end - at, COPY_CHUNK))
            if not copied:
                return
            at += copied


def _copy_some(reading: int, writing: int, at: int, count: int) -> int:
    try:
        return os.copy_file_range(reading, writing, count, at, at)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
    return os.pwrite(writing, os.pread(reading, min(count, 1 << 20), at), at)


def _copy_attributes(source: int, target: int, flavour: Flavour | None) -> None:
    """Owner, mode and attributes between two descriptors; the owner first, since chown(2) drops file capabilities."""
    status = os.fstat(source)
    os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, stat.S_IMODE(status.st_mode))
    _copy_xattrs(source, target)


def _copy_xattrs(source: int | bytes, target: int | bytes) -> None:
    by_name = isinstance(source, bytes)
    try:
        names = os.listxattr(source, follow_symlinks=not by_name)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return
        raise
    for name in names:
        if not overlayfs.is_private_attribute(name):
            value = os.getxattr(source, name, follow_symlinks=not by_name)
            _set_xattr(target, name, value)


def _set_xattr(target: int | bytes, name: str, value: bytes) -> None:
    try:
        os.setxattr(target, name, value, follow_symlinks=not isinstance(target, bytes))
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.EPERM):  # as in unpacking: not every file system has them
            raise
