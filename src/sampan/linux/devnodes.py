"""Device nodes of the host: one by its path, or all of /dev."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

# Directories of /dev that hold no devices of the host's, and the console, which each container has of its own.
_SKIPPED_DIRECTORIES: Final = frozenset({"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"})
_SKIPPED_FILES: Final = frozenset({"console"})


class DeviceNode(NamedTuple):
    """A device node; ``type`` is "c" or "b", ``mode`` without the file type."""

    path: str
    type: str
    major: int
    minor: int
    mode: int
    uid: int
    gid: int


def node_at(path: str) -> DeviceNode | None:
    """Return the device at ``path``, links followed; None if it is no device. Raises FileNotFoundError."""
    found = os.stat(path)
    kind = "b" if stat.S_ISBLK(found.st_mode) else "c" if stat.S_ISCHR(found.st_mode) else ""
    if not kind:
        return None
    number = found.st_rdev
    mode = stat.S_IMODE(found.st_mode)
    return DeviceNode(path, kind, os.major(number), os.minor(number), mode, found.st_uid, found.st_gid)


def nodes_below(directory: str) -> Iterator[DeviceNode]:
    """Yield every device node below ``directory``, links left out, sorted by path."""
    for entry in sorted(os.scandir(directory), key=lambda one: one.name):
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in _SKIPPED_DIRECTORIES:
                yield from nodes_below(entry.path)
        elif not entry.is_symlink() and entry.name not in _SKIPPED_FILES:
            try:
                node = node_at(entry.path)
            except FileNotFoundError:  # unplugged while we looked
                continue
            if node is not None:
                yield node
