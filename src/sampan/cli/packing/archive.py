"""The image as an archive that ``docker load`` and ``sampan load`` take: the layer, the configuration, the manifest.

Everything is written in one pass: names come sorted, times are one and the same, owners are root, so the same tree
gives the same bytes. The layer's digest is known when it has passed by, so configuration and manifest come behind it.

Source: POSIX pax archives; Docker image specification v1.2 (manifest.json); OCI image-spec (configuration).
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tarfile
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sampan.cli.errors import explain
from sampan.cli.packing.tree import Directory, File, Link, Twin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from sampan.cli.packing.tree import Entry, Tree

CHUNK = 1 << 20  # bytes read at once
_BLOCK = 512
_END = bytes(2 * _BLOCK)
LAYER = "layer.tar"
LATEST_EPOCH = 253402300799  # the last second of the year 9999, after which RFC 3339 has no words


@dataclass(slots=True)
class Image:
    """What the archive says besides the files."""

    names: list[str]
    architecture: str
    config: dict[str, Any]  # the image configuration's `config`: Env, Cmd …
    created_by: str
    epoch: int = 0  # seconds: the date of everything
    id: str = field(default="", init=False)  # known once the archive is written


def pieces(image: Image, tree: Tree) -> Iterator[bytes]:
    """The archive's bytes; at the end `image.id` is set. Raises CommandError for a file that changes meanwhile."""
    entries = sorted(tree.entries.items(), key=lambda one: os.fsencode(one[0]).split(b"/"))
    entries = list(_twins_behind(entries))
    heads = [_head(path, entry, image.epoch) for path, entry in entries]
    size = sum(len(head) + _padded(_size(entry)) for head, (_, entry) in zip(heads, entries, strict=True)) + len(_END)
    digest = hashlib.sha256()
    yield _header(LAYER, size, image.epoch)
    for head, (path, entry) in zip(heads, entries, strict=True):
        for piece in (head, *()) if not isinstance(entry, File) else _with_content(head, path, entry):
            digest.update(piece)
            yield piece
    digest.update(_END)
    yield _END + bytes(-size % _BLOCK)
    config = _json(_configuration(image, digest.hexdigest()))
    hexadecimal = hashlib.sha256(config).hexdigest()
    yield from _member(f"{hexadecimal}.json", config, image.epoch)
    manifest = [{"Config": f"{hexadecimal}.json", "RepoTags": image.names, "Layers": [LAYER]}]
    yield from _member("manifest.json", _json(manifest), image.epoch)
    yield _END
    image.id = f"sha256:{hexadecimal}"


def _twins_behind(entries: list[tuple[str, Entry]]) -> Iterator[tuple[str, Entry]]:
    """The entries with each file's content under the first of its names."""
    first: dict[str, str] = {}
    files = {path: entry for path, entry in entries if isinstance(entry, File)}
    for path, entry in entries:
        source = entry.path if isinstance(entry, Twin) else path
        if source not in files:
            yield path, entry
        elif source in first:
            yield path, Twin(first[source])
        else:
            first[source] = path
            yield path, files[source]


def _configuration(image: Image, digest: str) -> dict[str, Any]:
    created = datetime.fromtimestamp(image.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "architecture": image.architecture,
        "config": image.config,
        "created": created,
        "history": [{"created": created, "created_by": image.created_by, "comment": "sampan"}],
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }


def _json(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").encode()


def _head(path: str, entry: Entry, epoch: int) -> bytes:
    info = tarfile.TarInfo(path[1:])
    info.mtime, info.mode = epoch, 0o777
    match entry:
        case Directory(mode):
            info.type, info.mode = tarfile.DIRTYPE, mode
        case Link(target):
            info.type, info.linkname = tarfile.SYMTYPE, target
        case Twin(other):
            info.type, info.linkname = tarfile.LNKTYPE, other[1:]
        case File(mode, size):
            info.mode, info.size = mode, size
    return info.tobuf(tarfile.PAX_FORMAT)


def _header(name: str, size: int, epoch: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, epoch, 0o644
    return info.tobuf(tarfile.PAX_FORMAT)


def _member(name: str, content: bytes, epoch: int) -> Iterator[bytes]:
    yield _header(name, len(content), epoch) + content + bytes(-len(content) % _BLOCK)


def _size(entry: Entry) -> int:
    return entry.size if isinstance(entry, File) else 0


def _padded(size: int) -> int:
    return size + -size % _BLOCK


def _with_content(head: bytes, path: str, entry: File) -> Iterator[bytes]:
    """A file's header and content, in few pieces."""
    if not entry.source:
        yield head + entry.content + bytes(-entry.size % _BLOCK)
        return
    left, pending = entry.size, head
    descriptor = os.open(entry.source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _changed(path)
        while left:
            piece = os.read(descriptor, min(left, CHUNK))
            if not piece:
                raise _changed(path)
            left -= len(piece)
            yield pending + piece
            pending = b""
        if os.read(descriptor, 1):
            raise _changed(path)
    finally:
        os.close(descriptor)
    yield pending + bytes(-entry.size % _BLOCK)


def _changed(path: str) -> Exception:
    return explain(f"cannot pack {path}", "it changed while it was read", "again, once nothing writes it")
