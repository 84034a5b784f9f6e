"""Directories that a layer only implies take mode, owner and time from the layers below.

dockerd and podman leave them 0755 root, even where a lower layer has /tmp as 1777: the first container then can't write
there. Layers are kept by chain ID, which names everything below, so the answer depends on nothing else.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from sampan.linux import overlayfs
from sampan.linux.overlayfs import Flavour

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
DEFAULT_MODE: Final = 0o755  # of a directory that no layer has an entry for


def settle(root: Path, implied: Iterable[tuple[bytes, ...]], below: Sequence[Path], flavour: Flavour) -> None:
    """Give each directory of ``implied`` (paths below ``root``, parents first) its attributes.

    ``below`` are the directories of the lower layers, bottom first, settled already.
    """
    for path in implied:
        descriptor = _descend(root, path)
        if isinstance(descriptor, int):
            try:
                _copy_attributes(descriptor, _status_below(path, below, flavour))
            finally:
                os.close(descriptor)


def _copy_attributes(descriptor: int, status: os.stat_result | None) -> None:
    if status is None:
        os.chmod(descriptor, DEFAULT_MODE)
        return
    os.chown(descriptor, status.st_uid, status.st_gid)
    os.chmod(descriptor, status.st_mode & 0o7777)
    os.utime(descriptor, ns=(status.st_atime_ns, status.st_mtime_ns))


def _status_below(path: tuple[bytes, ...], below: Sequence[Path], flavour: Flavour) -> os.stat_result | None:
    """Return the status of the topmost directory ``path`` that overlayfs would show without our layer."""
    for root in reversed(below):
        found = _descend(root, path, flavour)
        if isinstance(found, int):
            try:
                return os.fstat(found)
            finally:
                os.close(found)
        if found is _HIDDEN:
            return None
    return None


_HIDDEN: Final = object()  # something in this layer hides what lower ones have there


def _descend(root: Path, path: tuple[bytes, ...], flavour: Flavour | None = None) -> int | object | None:
    """Return a descriptor of the directory; without it _HIDDEN where the layer hides that path, else None."""
    descriptor = os.open(root, _DIRECTORY)
    hidden = False
    for name in path:
        if flavour is not None:
            hidden = hidden or overlayfs.is_opaque(descriptor, flavour) or overlayfs.hides(descriptor, name, flavour)
        try:
            next_one = os.open(name, _DIRECTORY, dir_fd=descriptor)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return _HIDDEN if hidden else None
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                return _HIDDEN
            raise
        finally:
            os.close(descriptor)
        descriptor = next_one
    return descriptor
