"""How much a directory tree holds, counted as Docker counts: each inode once, directories not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Final

Device = tuple[int, int]

BLOCK: Final = 512  # bytes of what st_blocks counts, whatever the file system's own blocks: inode(7)


def tree_size(root: str | os.PathLike[str]) -> int:
    """Return the bytes of all files and links below ``root``. Whoever vanishes meanwhile isn't counted.

    Cost: one lstat for each name. Other file systems mounted below are counted like directories of this one.
    """
    seen: set[Device] = set()
    total = 0
    for status in _walk(root):
        if stat.S_ISDIR(status.st_mode) or not status.st_size:
            continue
        if status.st_nlink > 1:
            inode = (status.st_dev, status.st_ino)
            if inode in seen:
                continue
            seen.add(inode)
        total += status.st_size
    return total


def allocated(root: str | os.PathLike[str], seen: set[Device]) -> int:
    """Return the bytes of the blocks of ``root`` and all below it, as ``du --block-size=1`` counts.

    Each inode counts once: those in ``seen`` not at all, and it is given the others that have several names.
    """
    try:
        total = os.lstat(root).st_blocks * BLOCK
    except FileNotFoundError:
        return 0
    for status in _walk(root):
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            inode = (status.st_dev, status.st_ino)
            if inode in seen:
                continue
            seen.add(inode)
        total += status.st_blocks * BLOCK
    return total


def _walk(root: str | os.PathLike[str]) -> Iterator[os.stat_result]:
    pending: list[str | os.PathLike[str]] = [root]
    while pending:
        try:
            entries = os.scandir(pending.pop())
        except (FileNotFoundError, NotADirectoryError):
            continue
        with entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISDIR(status.st_mode):
                    pending.append(entry.path)
                yield status
