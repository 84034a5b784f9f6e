"""What the image will hold, path by path: links as they are, their targets, and every directory on the way.

A path is kept as this machine has it, so ``/bin/sh`` becomes the link ``/bin``, the directory ``/usr/bin``, the link
``/usr/bin/sh`` and the file ``/usr/bin/dash``; the same on a machine where ``/bin`` is a directory.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LINKS = 40  # as the kernel's own limit, path_resolution(7)
MAX_DEPTH = 200  # directories below an included one
_STICKY = {"/tmp", "/var/tmp", "/dev/shm"}  # noqa: S108 (paths in the image)


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory of the image."""

    mode: int = 0o755


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link."""

    target: str


@dataclass(frozen=True, slots=True)
class Twin:
    """Another name of a file that the image has already."""

    path: str


@dataclass(frozen=True, slots=True)
class File:
    """A file: its content is read from `source` when the image is written, or is `content`."""

    mode: int
    size: int
    source: str = ""
    content: bytes = b""


Entry = Directory | Link | Twin | File


class Tree:
    """Paths of the image. All are absolute and normal; parents are always there."""

    def __init__(self, note: Callable[[str], None]) -> None:
        """`note` is told, in a sentence, what was left out."""
        self.entries: dict[str, Entry] = {}
        self._note = note
        self._inodes: dict[tuple[int, int], str] = {}

    def add(self, path: str) -> str:
        """Take a file or directory (as such) of this machine in; return its path without links. Raises OSError."""
        rest, here, links = path.split("/")[::-1], "", MAX_LINKS
        while rest:
            part = rest.pop()
            if part in {"", ".", ".."}:
                here = os.path.dirname(here).rstrip("/") if part == ".." else here
                continue
            step = f"{here}/{part}"
            if isinstance(self.entries.get(step), Directory):
                here = step
                continue
            status = os.lstat(step)
            if not stat.S_ISLNK(status.st_mode):
                self._take(step, status)
                here = step
                continue
            if not (links := links - 1):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            target = os.readlink(step)
            self.entries[step] = Link(target)
            here = "" if target.startswith("/") else here
            rest += target.split("/")[::-1]
        return here or "/"

    def is_directory(self, path: str) -> bool:
        """Whether a path without links is a directory of the image."""
        return path == "/" or isinstance(self.entries.get(path), Directory)

    def _take(self, path: str, status: os.stat_result) -> None:
        if stat.S_ISDIR(status.st_mode):
            self.entries.setdefault(path, Directory(0o1777 if path in _STICKY else 0o755))
        elif not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "neither a file nor a directory", path)
        elif path not in self.entries:
            first = self._inodes.setdefault((status.st_dev, status.st_ino), path)
            self.entries[path] = Twin(first) if first != path else File(_mode(status), status.st_size, path)

    def add_all(self, path: str, wanted: Callable[[str], bool] = lambda _path: True) -> list[str]:
        """Take in a file, or a directory with all that is in it and `wanted`; return the files, without links.

        Links in it are kept as they are, and what they point to only if it is in there too. Other file systems below
        it, sockets, pipes and devices are left out and noted. Raises OSError.
        """
        real = self.add(path)
        if not self.is_directory(real):
            return [real]
        found: list[str] = []
        self._fill(real, os.lstat(real).st_dev, wanted, found, MAX_DEPTH)
        return found

    def _fill(self, path: str, device: int, wanted: Callable[[str], bool], found: list[str], depth: int) -> None:
        if not depth:
            raise OSError(errno.ELOOP, f"more than {MAX_DEPTH} directories deep", path)
        for name in sorted(os.listdir(path)):
            here = f"{path.rstrip('/')}/{name}"
            status = os.lstat(here)
            if not wanted(here):
                continue
            if status.st_dev != device:
                self._note(f"left out {here}: another file system")
            elif stat.S_ISLNK(status.st_mode):
                self.entries[here] = Link(os.readlink(here))
            elif stat.S_ISDIR(status.st_mode):
                self.entries[here] = Directory(stat.S_IMODE(status.st_mode))
                self._fill(here, device, wanted, found, depth - 1)
            elif stat.S_ISREG(status.st_mode):
                self._take(here, status)
                found.append(here)
            else:
                self._note(f"left out {here}: a socket, pipe or device")

    def links_below(self, directory: str) -> list[str]:
        """The links in a directory (a path without links) and below it."""
        below = f"{directory}/"
        return [path for path, entry in self.entries.items() if isinstance(entry, Link) and path.startswith(below)]

    def make(self, path: str, entry: Entry) -> None:
        """Put in what this machine needn't have, unless the path is taken."""
        parent = os.path.dirname(path)
        if parent != "/" and parent not in self.entries:
            self.make(parent, Directory())
        parent = self.inside(parent)
        self.entries.setdefault(f"{parent.rstrip('/')}/{os.path.basename(path)}", entry)

    def inside(self, path: str) -> str:
        """The path without the links that the image has on the way, as far as it has them."""
        for _ in range(MAX_LINKS):
            parts, here = path.split("/")[1:], ""
            for index, part in enumerate(parts):
                here = f"{here}/{part}"
                entry = self.entries.get(here)
                if isinstance(entry, Link):
                    target = os.path.join(os.path.dirname(here), entry.target)
                    path = os.path.normpath("/".join([target, *parts[index + 1 :]]))
                    break
            else:
                return path
        return path


def _mode(status: os.stat_result) -> int:
    """The permissions that a file keeps. Files become root's: a set-id bit of somebody else's would mean root."""
    mode = stat.S_IMODE(status.st_mode)
    return mode if status.st_uid == 0 and status.st_gid == 0 else mode & ~(stat.S_ISUID | stat.S_ISGID)
