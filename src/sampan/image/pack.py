"""A tree as a tar stream: what ``docker export`` sends and what becomes a committed image's layer.

Words.  *node*: one name of a tree, as a storage driver's view gives it; one without a status was removed and becomes a
        whiteout (OCI image layer.md: an empty file ``.wh.<name>``), never an opaque mark, which that document advises
        against. Order is that of the nodes: parents first, so a link's target always comes before the link.
Kept.   owner, mode, whole seconds of the time, hard links within what is packed, device numbers, the extended
        attributes ``security.capability`` and ``user.*``. Sockets are left out. Holes become zeros, as under dockerd.
Changes while it is read: a file has exactly as many bytes as its header says, cut or filled up with zeros.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from sampan.image import tar, tarwrite
from sampan.image.tar import Entry
from sampan.linux.overlayfs import WHITEOUT_PREFIX

log = logging.getLogger(__name__)

CHUNK: Final = 1 << 20  # bytes of a piece, about
_ZEROS: Final = bytes(CHUNK)
_WHITEOUT_MODE: Final = 0o600
_KINDS: Final = {
    stat.S_IFREG: tar.REGULAR,
    stat.S_IFDIR: tar.DIRECTORY,
    stat.S_IFLNK: tar.SYMLINK,
    stat.S_IFCHR: tar.CHARACTER,
    stat.S_IFBLK: tar.BLOCK_DEVICE,
    stat.S_IFIFO: tar.FIFO,
}


class Node(Protocol):
    """What is asked of a node; see ``sampan.storage.view.Node``."""

    path: bytes
    status: os.stat_result | None

    def open(self) -> int | None:
        """Return a descriptor to read a file; None when it is gone."""
        ...

    def target(self) -> bytes | None:
        """Return where a link points; None when it is gone."""
        ...

    def attributes(self) -> dict[str, bytes]:
        """Return the extended attributes to be kept."""
        ...


def packed(nodes: Iterable[Node], *, layer: bool = False) -> Iterator[bytes]:
    """Yield the archive in pieces of about CHUNK bytes; the first one as soon as there is a first entry.

    In a ``layer`` a file whose own name begins with ``.wh.`` has no place: it would be a whiteout.
    """
    waiting: list[bytes] = []
    size, limit = 0, 1
    for piece in _pieces(nodes, layer=layer):
        waiting.append(piece)
        size += len(piece)
        if size >= limit:
            yield waiting[0] if len(waiting) == 1 else b"".join(waiting)
            waiting.clear()
            size, limit = 0, CHUNK
    yield b"".join((*waiting, tarwrite.END))


def _pieces(nodes: Iterable[Node], *, layer: bool) -> Iterator[bytes]:
    links: dict[tuple[int, int], bytes] = {}  # of files with several names: the first one
    for node in nodes:
        if node.status is None:
            yield _whiteout(node.path)
            continue
        kind = _KINDS.get(stat.S_IFMT(node.status.st_mode))
        if layer and b"/" + WHITEOUT_PREFIX in b"/" + node.path:
            log.warning("%r is left out of the layer: a name that begins so is a whiteout there", node.path[-80:])
            continue
        if kind is None or (kind == tar.CHARACTER and not node.status.st_rdev):  # 0:0 would be taken for a whiteout
            continue
        yield from _packed_node(node, node.status, kind, links)


def _packed_node(
    node: Node, status: os.stat_result, kind: bytes, links: dict[tuple[int, int], bytes]
) -> Iterator[bytes]:
    entry = _entry(node.path, status, kind)
    if kind != tar.DIRECTORY and status.st_nlink > 1:
        first = links.setdefault((status.st_dev, status.st_ino), node.path)
        if first != node.path:
            entry.kind, entry.link = tar.HARD_LINK, first
            yield tarwrite.header(entry)
            return
    if kind == tar.SYMLINK:
        target = node.target()
        if target is None:
            return
        entry.link = target
    elif kind == tar.REGULAR:
        yield from _file(node, entry, status, links)
        return
    elif kind == tar.DIRECTORY:
        entry.name += b"/"
        entry.xattrs = node.attributes()
    yield tarwrite.header(entry)


def _entry(name: bytes, status: os.stat_result, kind: bytes) -> Entry:
    device = (os.major(status.st_rdev), os.minor(status.st_rdev))
    mode = stat.S_IMODE(status.st_mode)
    return Entry(name, kind, mode, status.st_uid, status.st_gid, status.st_mtime_ns, 0, 0, b"", device)


def _file(node: Node, entry: Entry, status: os.stat_result, links: dict[tuple[int, int], bytes]) -> Iterator[bytes]:
    descriptor = node.open()
    if descriptor is None:
        if links.get((status.st_dev, status.st_ino)) == node.path:  # another name must not link to what isn't there
            del links[status.st_dev, status.st_ino]
        return
    try:
        entry.size = os.fstat(descriptor).st_size
        entry.xattrs = node.attributes()
        yield tarwrite.header(entry)
        yield from _data(descriptor, entry.size)
        yield tarwrite.padding(entry.size)
    finally:
        os.close(descriptor)


def _data(descriptor: int, size: int) -> Iterator[bytes]:
    """Yield exactly ``size`` bytes; of holes without reading them."""
    left = size
    while left:
        piece = os.read(descriptor, min(left, CHUNK))
        if not piece:
            break
        left -= len(piece)
        yield piece
        if len(piece) == CHUNK and left > CHUNK:
            hole = min(_hole(descriptor, size - left), left)
            left -= hole
            yield from _zeros(hole)
    yield from _zeros(left)


def _hole(descriptor: int, at: int) -> int:
    """Pass over a hole; return its length, 0 where there is none."""
    try:
        return os.lseek(descriptor, at, os.SEEK_DATA) - at
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return os.lseek(descriptor, 0, os.SEEK_END) - at  # nothing but a hole up to the end


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        yield _ZEROS if count >= CHUNK else bytes(count)
        count -= CHUNK


def _whiteout(name: bytes) -> bytes:
    directory, slash, last = name.rpartition(b"/")
    hidden = directory + slash + WHITEOUT_PREFIX + last
    return tarwrite.header(Entry(hidden, tar.REGULAR, _WHITEOUT_MODE, 0, 0, 0, 0, 0, b"", (0, 0)))
