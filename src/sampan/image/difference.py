"""What two images have different, read from their unpacked layers: nothing is mounted, no link is followed.

Words.  *stack*: an image's layer directories, top first. *view* of a directory: the layers of a stack in which it can
        be seen, top first.
Cost.   A directory that both images see in the same layers is not read. Files of equal size in different layers are
        compared byte by byte: dates tell nothing of images that are all dated alike. Memory: the names of one
        directory and of those above it.
Source: OCI image-spec layer.md (whiteouts); Documentation/filesystems/overlayfs.rst (merging of directories).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from sampan.linux.overlayfs import OPAQUE_NAME, WHITEOUT_PREFIX, Flavour, is_opaque, is_whiteout
from sampan.linux.path import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, open_in_root

CHUNK: Final = 1 << 20  # bytes compared at once
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY
_RESOLVE: Final = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
_METADATA: Final = ("st_mode", "st_uid", "st_gid", "st_rdev")

Kind = Literal["A", "C", "D"]
Layers = tuple[int, ...]  # descriptors of layers' roots


@dataclass(frozen=True, slots=True)
class Difference:
    """A path that only one image has, or that both have differently."""

    kind: Kind  # added, changed, deleted, on the way from the first image to the second
    path: str  # absolute; bytes that are no UTF-8 are U+FFFD
    size: int  # bytes that the second one has more of it; directories count nothing


@dataclass(frozen=True, slots=True)
class _Seen:
    """One name in a view of a directory."""

    status: os.stat_result
    layers: Layers  # where it is: of a directory all that it is merged of

    @property
    def size(self) -> int:
        return 0 if self.is_directory else self.status.st_size

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)


def differences(first: Sequence[Path], second: Sequence[Path]) -> Iterator[Difference]:
    """Yield what the stack ``second`` has otherwise than ``first``, sorted by path.

    Below an added or deleted directory every path is told. Dates and extended attributes are not compared. Raises
    OSError when a layer can't be read.
    """
    opened: dict[Path, int] = {}
    try:
        for path in (*first, *second):
            if path not in opened:
                opened[path] = os.open(path, _DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        yield from _walk(tuple(opened[path] for path in first), tuple(opened[path] for path in second))
    finally:
        for descriptor in opened.values():
            os.close(descriptor)


def _walk(first: Layers, second: Layers) -> Iterator[Difference]:
    """Depth first, without recursion: trees may be deep."""
    under_way = [_pairs(b"", first, second)]
    while under_way:
        step = next(under_way[-1], None)
        if step is None:
            under_way.pop()
            continue
        path, old, new = step
        kind = _kind(path, old, new)
        if kind is not None:
            size = (new.size if new else 0) - (old.size if old else 0)
            yield Difference(kind, "/" + path.decode("utf-8", "replace"), size)
        under_way.append(_pairs(path, _below(old), _below(new)))


def _pairs(directory: bytes, first: Layers, second: Layers) -> Iterator[tuple[bytes, _Seen | None, _Seen | None]]:
    """What two views of a directory have under each name; nothing where they are one."""
    if first == second:
        return
    before, after = _view(directory, first), _view(directory, second)
    for name in sorted(before.keys() | after.keys()):
        yield (directory + b"/" + name).lstrip(b"/"), before.get(name), after.get(name)


def _below(seen: _Seen | None) -> Layers:
    return seen.layers if seen is not None and seen.is_directory else ()


def _kind(path: bytes, old: _Seen | None, new: _Seen | None) -> Kind | None:
    if old is None or new is None:
        return "A" if old is None else "D"
    return None if _same(path, old, new) else "C"


def _same(path: bytes, old: _Seen, new: _Seen) -> bool:
    one, other = old.status, new.status
    if (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino):
        return True
    if any(getattr(one, name) != getattr(other, name) for name in _METADATA):
        return False
    if stat.S_ISLNK(one.st_mode):
        return _target(old.layers[0], path) == _target(new.layers[0], path)
    if not stat.S_ISREG(one.st_mode):
        return True
    return one.st_size == other.st_size and _equal(path, old.layers[0], new.layers[0])


def _target(layer: int, path: bytes) -> str:
    link = open_in_root(layer, os.fsdecode(path), os.O_PATH | os.O_NOFOLLOW, resolve=_RESOLVE)  # the link itself
    try:
        return os.readlink("", dir_fd=link)
    finally:
        os.close(link)


def _equal(path: bytes, one: int, other: int) -> bool:
    left = open_in_root(one, os.fsdecode(path), os.O_RDONLY | os.O_NONBLOCK, resolve=_RESOLVE)
    try:
        right = open_in_root(other, os.fsdecode(path), os.O_RDONLY | os.O_NONBLOCK, resolve=_RESOLVE)
        try:
            at = 0
            while chunk := os.pread(left, CHUNK, at):
                if chunk != os.pread(right, CHUNK, at):
                    return False
                at += len(chunk)
            return True
        finally:
            os.close(right)
    finally:
        os.close(left)


def _view(directory: bytes, layers: Layers) -> dict[bytes, _Seen]:
    """The names that a stack shows in a directory."""
    seen: dict[bytes, _Seen] = {}
    closed: set[bytes] = set()  # names of which lower layers show nothing more
    for number, layer in enumerate(layers):
        descriptor = open_in_root(layer, os.fsdecode(directory), _DIRECTORY, resolve=_RESOLVE)
        try:
            hidden: set[bytes] = set()
            for entry in os.listdir(descriptor):
                name = os.fsencode(entry)
                if name.startswith(WHITEOUT_PREFIX):
                    hidden.add(name.removeprefix(WHITEOUT_PREFIX) if name != OPAQUE_NAME else b"")
                elif name not in closed and _meet(seen, name, os.lstat(name, dir_fd=descriptor), layer):
                    hidden.add(name)
            closed |= hidden
            last = number == len(layers) - 1
            if not last and any(is_opaque(descriptor, flavour) for flavour in Flavour):
                break
        finally:
            os.close(descriptor)
    return seen


def _meet(seen: dict[bytes, _Seen], name: bytes, status: os.stat_result, layer: int) -> bool:
    """Take in what a layer has under a name that upper ones left open; tell whether lower ones are hidden by it."""
    if is_whiteout(status):
        return True
    known = seen.get(name)
    if known is None:
        seen[name] = _Seen(status, (layer,))
    elif stat.S_ISDIR(status.st_mode):
        seen[name] = _Seen(known.status, (*known.layers, layer))
    return not stat.S_ISDIR(status.st_mode)
