"""Paths inside a root that is not ours: every walk is openat2(2) with RESOLVE_IN_ROOT, so no link leads out.

Words.  *root*: a descriptor of a directory that the walk never leaves; absolute links and ``..`` end there.
Errors. Every function raises OSError that names the path.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Final

from sampan.linux.syscall import call

RESOLVE_NO_XDEV: Final = 0x01
RESOLVE_NO_MAGICLINKS: Final = 0x02
RESOLVE_NO_SYMLINKS: Final = 0x04
RESOLVE_BENEATH: Final = 0x08
RESOLVE_IN_ROOT: Final = 0x10

O_PATH: Final = os.O_PATH | os.O_CLOEXEC
_MAX_LINKS: Final = 40  # as the kernel's own limit, path_resolution(7)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_in_root(root: int, path: str, flags: int = O_PATH, mode: int = 0, *, resolve: int = RESOLVE_IN_ROOT) -> int:
    """Open ``path`` inside ``root``. Magic links (/proc/…/fd/…) are never followed."""
    how = _OpenHow(flags=flags | os.O_CLOEXEC, mode=mode, resolve=resolve | RESOLVE_NO_MAGICLINKS)
    while True:
        try:
            return call("openat2", root, os.fsencode(path) or b".", how, ctypes.sizeof(how), on=path)
        except BlockingIOError:  # EAGAIN: a rename raced with "..", openat2(2)
            continue


def make_directories(root: int, path: str, mode: int = 0o755) -> int:
    """Open the directory ``path`` inside ``root``, made with its parents where missing; return an O_PATH descriptor."""
    return _make(root, path, mode, _MAX_LINKS)


def _make(root: int, path: str, mode: int, links: int) -> int:
    if not links:
        raise OSError(errno.ELOOP, f"{path}: {os.strerror(errno.ELOOP)}")
    try:
        return open_in_root(root, path, O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        parent_path, _, name = path.rstrip("/").rpartition("/")
    if not name or name == "..":
        raise OSError(errno.ENOENT, f"{path}: {os.strerror(errno.ENOENT)}")
    parent = _make(root, parent_path, mode, links)
    try:
        os.mkdir(name, mode, dir_fd=parent)
    except FileExistsError:
        target = _dangling_link(parent, name)
        if target is not None:
            return _make(root, target if target.startswith("/") else f"{parent_path}/{target}", mode, links - 1)
    finally:
        os.close(parent)
    return open_in_root(root, path, O_PATH | os.O_DIRECTORY)


def _dangling_link(parent: int, name: str) -> str | None:
    try:
        return os.readlink(name, dir_fd=parent)
    except OSError as error:
        if error.errno == errno.EINVAL:  # no link: somebody made the directory meanwhile
            return None
        raise


def make_file(root: int, path: str, mode: int = 0o644) -> int:
    """Open the file ``path`` inside ``root``, made empty where missing; return an O_PATH descriptor."""
    try:
        return open_in_root(root, path)
    except FileNotFoundError:
        parent_path, _, name = path.rstrip("/").rpartition("/")
    parent = make_directories(root, parent_path)
    try:
        os.close(
            os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, mode, dir_fd=parent)
        )
    except FileExistsError:  # a link that dangles, or a racing maker: the open below decides
        pass
    finally:
        os.close(parent)
    return open_in_root(root, path)


def read_file(root: int, path: str, limit: int = 1 << 20) -> bytes | None:
    """Return up to ``limit`` bytes of the regular file ``path`` inside ``root``; None where there is none to be read.

    Whatever a container put there instead (a device, a pipe, a loop of links) is no such file.
    """
    try:
        place = open_in_root(root, path)
        try:
            if not _is_regular(place):
                return None
        finally:
            os.close(place)
        return _read(open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK), limit)
    except OSError:
        return None


def _read(descriptor: int, limit: int) -> bytes | None:
    try:
        if not _is_regular(descriptor):  # changed meanwhile
            return None
        pieces: list[bytes] = []
        while limit > 0 and (piece := os.read(descriptor, min(limit, 65536))):
            pieces.append(piece)
            limit -= len(piece)
        return b"".join(pieces)
    finally:
        os.close(descriptor)


def _is_regular(descriptor: int) -> bool:
    return os.fstat(descriptor).st_mode & 0o170000 == 0o100000


def remove_tree(parent: int, name: str) -> None:
    """Remove the directory ``name`` of ``parent`` with all that is in it, however deep.

    A directory that is not empty is first moved up beside ``name``, so that nothing here is as deep as what a hostile
    program can make. Links are removed, not followed. Raises OSError; what is left then has names that begin so.
    """
    rest, made = [name], 0
    while rest:
        directory = os.open(rest[-1], os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    if not entry.is_dir(follow_symlinks=False):
                        os.unlink(entry.name, dir_fd=directory)
                    elif not _removed_empty(directory, entry.name):
                        made += 1
                        aside = f"{name}.{made}"
                        os.rename(entry.name, aside, src_dir_fd=directory, dst_dir_fd=parent)
                        rest.insert(0, aside)
        finally:
            os.close(directory)
        os.rmdir(rest.pop(), dir_fd=parent)


def _removed_empty(parent: int, name: str) -> bool:
    try:
        os.rmdir(name, dir_fd=parent)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True
