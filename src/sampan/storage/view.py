"""What a container's root holds, read off its layers without a mount.

Words.  *view*: the directories of a stack, topmost first, each with its flavour. *node*: one name of the merged tree.
        *difference*: the nodes of the topmost directory compared with what is below it.
Why no mount. A second live mount of an upper directory corrupts both, with ``index=off`` the kernel lets it happen,
        and even as a lower one it is "undefined"; through a running container's own root one would walk into what is
        mounted there (volumes, /proc). With ``redirect_dir=nofollow,metacopy=off`` a layer's directories say all by
        themselves: the kernel reads and writes the same inodes, so data is never stale, and copy-up is a rename, so
        a name is whole or not there. It works on running and stopped containers alike and takes no lock.
Safety. Whatever is in there was put there by others and may change under the reader: each directory and file is opened
        by openat2 from its layer's root, below it, without any link and on its own file system. What is gone when it
        is looked at is left out; so is what lies deeper than PATH_MAX, with a warning (dockerd leaves it out too).
Cost.   One open, one reading and one stat a name of each directory; no descriptor is kept for the depth of the tree.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from sampan.linux import overlayfs, path
from sampan.linux.overlayfs import WHITEOUT_PREFIX, Flavour
from sampan.storage import furniture

log = logging.getLogger(__name__)

_RESOLVE: Final = path.RESOLVE_BENEATH | path.RESOLVE_NO_SYMLINKS | path.RESOLVE_NO_XDEV
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe put there meanwhile must not block
_GONE: Final = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV))
CAPABILITY: Final = "security.capability"
_KEPT: Final = (CAPABILITY, "user.")  # attributes that belong to a file's content

PATH_MAX: Final = 4096  # bytes with the NUL, linux/limits.h

Place = tuple[Path, Flavour | None]  # None: a plain directory without any marks


class Kind(IntEnum):
    """How a node differs from what is below; the first three are the Engine API's numbers."""

    CHANGED = 0
    ADDED = 1
    REMOVED = 2
    SAME = 3


@dataclass(slots=True)
class Node:
    """One name of a tree. ``status`` is None of a removed one."""

    path: bytes  # below the root, without a slash at its beginning
    status: os.stat_result | None
    kind: Kind
    _root: int

    def open(self) -> int | None:
        """Return a descriptor to read a regular file; None when it is gone or something else by now."""
        try:
            descriptor = _open(self._root, self.path, _FILE)
        except OSError as error:
            if error.errno in _GONE or error.errno == errno.ENXIO:
                return None
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            return None
        return descriptor

    def target(self) -> bytes | None:
        """Return where a symbolic link points; None when it is gone."""
        try:
            place = _open(self._root, self.path, os.O_PATH | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno in _GONE:
                return None
            raise
        try:
            return os.readlink(b"", dir_fd=place)
        except OSError:
            return None
        finally:
            os.close(place)

    def attributes(self) -> dict[str, bytes]:
        """Return the extended attributes of a file or directory that are kept: capabilities and those of users."""
        return _attributes(self._root, self.path)


Nodes = Iterator[tuple[Node, list[int]]]  # of one directory, each with the layers that what is in it comes from


class View:
    """A stack of directories that is open; a context manager."""

    def __init__(self, places: Sequence[Place], *, whole: bool = False) -> None:
        """Open ``places``, topmost first. Raises OSError.

        ``whole``: the topmost one has everything, furniture too; what isn't in it was removed.
        """
        self._whole = whole
        self._flavours = [flavour for _, flavour in places]
        with ExitStack() as opening:
            self._roots = []
            for directory, _ in places:
                root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                opening.callback(os.close, root)
                self._roots.append(root)
            self._closing = opening.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def walk(self) -> Iterator[Node]:
        """Yield every node of the merged tree, directories before what is in them, by name; not the root itself."""

        def below(node: Node, layers: list[int]) -> Nodes | None:
            return self._nodes(node.path + b"/", self._read(node.path, layers)) if layers else None

        return _depth_first(self._nodes(b"", self._read(b"", range(len(self._roots)))), below)

    def _nodes(self, prefix: bytes, listing: dict[bytes, Found]) -> Nodes:
        for name in sorted(listing):
            found = listing[name]
            if found.status is not None and _can_be_named(prefix + name):
                root = self._roots[found.layer]
                yield Node(prefix + name, found.status, Kind.ADDED, root), found.directories

    def difference(self) -> Iterator[Node]:
        """Yield the nodes of the topmost directory, and those that it hides, each told how it differs; order as `walk`.

        Of a whole one only what differs, with the directories on its way.
        """
        return changed(map(_unfurnished, self._differences())) if self._whole else self._differences()

    def _differences(self) -> Iterator[Node]:
        def below(node: Node, layers: list[int]) -> Nodes | None:
            is_directory = node.status is not None and stat.S_ISDIR(node.status.st_mode)
            return self._compared(node.path, layers) if is_directory else None

        return _depth_first(self._compared(b"", range(1, len(self._roots))), below)

    def _compared(self, directory: bytes, below: Iterable[int]) -> Nodes:
        prefix = directory + b"/" if directory else b""
        upper, opaque = self._read_one(directory, 0)
        whole = opaque or self._whole
        old = self._read(directory, below, None if whole else upper.keys())
        for name in sorted(upper.keys() | old.keys() if whole else upper):
            new, before = upper.get(name), old.get(name)
            status = None if new is None else new.status
            there = before is not None and before.status is not None
            if status is None:
                if there:
                    yield Node(prefix + name, None, Kind.REMOVED, self._roots[0]), []
                continue
            if not _can_be_named(prefix + name):
                continue
            node = Node(prefix + name, status, Kind.ADDED, self._roots[0])
            if before is not None and before.status is not None:
                node.kind = Kind.CHANGED if self._differs(node, before) else Kind.SAME
            yield node, before.directories if before is not None else []

    def _differs(self, node: Node, before: Found) -> bool:
        """By dockerd's measure: mode, owner, number, capabilities; of what is no directory time and size too."""
        new, old = node.status, before.status
        assert new is not None
        assert old is not None
        if (new.st_mode, new.st_uid, new.st_gid, new.st_rdev) != (old.st_mode, old.st_uid, old.st_gid, old.st_rdev):
            return True
        if not stat.S_ISDIR(new.st_mode) and (new.st_mtime_ns, new.st_size) != (old.st_mtime_ns, old.st_size):
            return True
        if not stat.S_ISREG(new.st_mode):
            return False
        capability = _attributes(self._roots[before.layer], node.path).get(CAPABILITY)
        return node.attributes().get(CAPABILITY) != capability

    def _read(self, directory: bytes, layers: Iterable[int], only: Iterable[bytes] | None = None) -> dict[bytes, Found]:
        """What the given layers (topmost first) have in a directory, merged; ``only`` these names."""
        merged: dict[bytes, Found] = {}
        for layer in layers:
            listing, opaque = self._read_one(directory, layer, only)
            for name, found in listing.items():
                before = merged.get(name)
                if before is None:
                    merged[name] = found
                elif not before.closed:
                    before.directories += found.directories
                    before.closed = found.closed
            if opaque:
                break
        return merged

    def _read_one(
        self, directory: bytes, layer: int, only: Iterable[bytes] | None = None
    ) -> tuple[dict[bytes, Found], bool]:
        """What one layer has in a directory, and whether that hides everything below."""
        try:
            descriptor = _open(self._roots[layer], directory or b".", _DIRECTORY)
        except OSError as error:
            if error.errno not in _GONE:
                raise
            return {}, False
        flavour = self._flavours[layer]
        try:
            opaque = flavour is not None and overlayfs.is_opaque(descriptor, flavour)
            return self._listing(descriptor, layer, only), opaque
        finally:
            os.close(descriptor)

    def _listing(self, descriptor: int, layer: int, only: Iterable[bytes] | None) -> dict[bytes, Found]:
        markers = self._flavours[layer] is Flavour.FILES
        devices = self._flavours[layer] in (Flavour.TRUSTED, Flavour.USER)
        if only is None or markers:
            names: Iterable[bytes] = [os.fsencode(name) for name in os.listdir(descriptor)]
        else:
            names = only
        listing: dict[bytes, Found] = {}
        for name in names:
            if markers and name.startswith(WHITEOUT_PREFIX):
                hidden = listing.setdefault(name[len(WHITEOUT_PREFIX) :], Found(layer, None))
                hidden.closed = True
                continue
            with suppress(FileNotFoundError):
                status = os.lstat(name, dir_fd=descriptor)
                found = Found(layer, None if devices and overlayfs.is_whiteout(status) else status)
                if found.status is not None and stat.S_ISDIR(found.status.st_mode):
                    found.directories.append(layer)
                    found.closed = name in listing  # a marker beside a directory: nothing below shows through
                else:
                    found.closed = True
                listing[name] = found
        return listing


@dataclass(slots=True)
class Found:
    """A name in one layer or several; ``status`` is None of one that is hidden from here on."""

    layer: int
    status: os.stat_result | None
    directories: list[int] = field(default_factory=list)  # layers whose directories are merged under this name
    closed: bool = False  # nothing further below shows through


def _depth_first(first: Nodes, below: Callable[[Node, list[int]], Nodes | None]) -> Iterator[Node]:
    """Yield each node, and then what ``below`` finds in it; a tree may be deeper than calls can be."""
    stack = [first]
    while stack:
        found = next(stack[-1], None)
        if found is None:
            stack.pop()
            continue
        yield found[0]
        inner = below(*found)
        if inner is not None:
            stack.append(inner)


def changed(nodes: Iterable[Node]) -> Iterator[Node]:
    """Yield what differs, and before it as CHANGED the directories on its way: dockerd's list of changes."""
    pending: list[Node] = []
    for node in nodes:
        while pending and not node.path.startswith(pending[-1].path + b"/"):
            pending.pop()
        if node.kind is not Kind.SAME:
            for directory in pending:
                directory.kind = Kind.CHANGED
                yield directory
            pending.clear()
            yield node
        elif node.status is not None and stat.S_ISDIR(node.status.st_mode):
            pending.append(node)


def _unfurnished(node: Node) -> Node:
    """A node that every container has counts as one of the image."""
    if node.kind is Kind.ADDED and node.status is not None and node.path in furniture.PATHS:
        mode, size = node.status.st_mode, node.status.st_size
        if stat.S_ISDIR(mode) or stat.S_ISLNK(mode) or not size:
            node.kind = Kind.SAME
    return node


def _can_be_named(name: bytes) -> bool:
    if len(name) < PATH_MAX - 1:
        return True
    log.warning("what lies deeper than PATH_MAX is left out: %r…", name[:60])
    return False


def _open(root: int, name: bytes, flags: int) -> int:
    return path.open_in_root(root, os.fsdecode(name), flags, resolve=_RESOLVE)


def _attributes(root: int, name: bytes) -> dict[str, bytes]:
    try:
        place = _open(root, name, os.O_PATH | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in _GONE:
            return {}
        raise
    try:
        own = f"/proc/self/fd/{place}"  # of this very inode, whatever has its name by now
        return {key: os.getxattr(own, key) for key in os.listxattr(own) if _is_kept(key)}
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.ENODATA, errno.ENOENT):
            return {}
        raise
    finally:
        os.close(place)


def _is_kept(key: str) -> bool:
    return key.startswith(_KEPT) and not overlayfs.is_private_attribute(key)
