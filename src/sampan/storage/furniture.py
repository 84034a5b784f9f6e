"""What a container's root has besides its image: places for what is mounted there, and what tells of a container.

The same as in dockerd's init layer. An image that has something else in such a place keeps it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

from sampan.linux import path

_DIRECTORIES: Final = ("dev/pts", "dev/shm", "proc", "sys")
_FILES: Final = (".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf")
_LINKS: Final = (("etc", "mtab", "/proc/mounts"),)
PATHS: Final = frozenset(os.fsencode(name) for name in (*_DIRECTORIES, *_FILES, "dev", "etc", "etc/mtab"))
_MODE: Final = 0o755  # of the files too, as under dockerd


def furnish(root: int) -> None:
    """Add to the root of descriptor ``root`` what is missing; nothing outside of it is touched."""
    for name in _DIRECTORIES:
        with suppress(OSError):
            os.close(path.make_directories(root, name, _MODE))
    for name in _FILES:
        with suppress(OSError):  # a link that leads nowhere is also something
            os.close(path.open_in_root(root, name, path.O_PATH | os.O_NOFOLLOW))
            continue
        with suppress(OSError):
            os.close(path.make_file(root, name, _MODE))
    for directory, name, target in _LINKS:
        with suppress(OSError):
            parent = path.make_directories(root, directory, _MODE)
            try:
                os.symlink(target, name, dir_fd=parent)
            finally:
                os.close(parent)
