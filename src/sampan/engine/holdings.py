"""What lies below the data root, how much it takes, and what holds it.

Words.  *size*: bytes allocated, as ``du --block-size=1`` counts them: the blocks of files and directories, each inode
        once. What a person gets back by removing something is blocks, not lengths of files.
        *holder*: an image by its names, a container, an operation in progress, a lease, a cache. What has none goes at
        the next clean-up.
Sum.    Every file and directory below the data root is in exactly one row, so the rows add up to what ``du -s`` says.
Cost.   One lstat for each file below the data root: seconds for millions. No lock is held meanwhile.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sampan.api import schema
from sampan.engine.units import SECOND, rfc3339
from sampan.image.content import PARTIAL, PARTIAL_KEPT_S
from sampan.linux.usage import allocated
from sampan.storage.snapshots import SnapshotMissing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sampan.engine.core import Core
    from sampan.linux.usage import Device

_DATABASE: Final = "state.db"
_AT_WORK: Final = "an operation in progress"
_REMOVAL: Final = "a removal in progress"


def survey(core: Core) -> schema.DiskHoldings:
    """Walk the data root. Blocking."""
    root = core.settings.data_root
    found = sorted(_Survey(core, root).rows(), key=lambda row: (-row.size, row.kind, row.name))
    return schema.DiskHoldings(root=str(root), size=sum(row.size for row in found), holdings=found)


class _Survey:
    """One walk: what holds what is asked first, so that what comes meanwhile may seem to have no holder."""

    def __init__(self, core: Core, root: Path) -> None:
        self._root = root
        self._seen: set[Device] = set()
        self._containers = {one.id: f"container {one.name}" for one in core.catalog}
        self._containers |= dict.fromkeys(core.making, "a creation in progress")
        self._holders = core.images.holders()
        for key, name in self._containers.items():
            for chain_id in _stack(core, key):
                self._holders.setdefault(chain_id, []).append(name)
        self._directories = 0

    def rows(self) -> Iterator[schema.Holding]:
        """Yield everything once."""
        database = 0
        for name in self._inside(""):
            match name:
                case "content":
                    yield from self._content()
                case "layers":
                    yield from self._layers()
                case "containers":
                    yield from map(self._container, self._inside(name))
                case "removed":
                    for one in self._inside(name):
                        yield self._row("removed container", f"{name}/{one}", one, [_REMOVAL])
                case _ if name.startswith(_DATABASE):
                    database += self._size(name)
                case _:
                    yield self._row("other", name, name, ["sampand"])
        yield schema.Holding(kind="database", name=_DATABASE, size=database, held_by=["sampand"])
        yield schema.Holding(kind="directories", name=".", size=self._directories, held_by=["sampand"])

    def _content(self) -> Iterator[schema.Holding]:
        for name in self._inside("content"):
            if name == "blobs":
                for algorithm in self._inside("content/blobs"):
                    for digits in self._inside(f"content/blobs/{algorithm}"):
                        digest = f"{algorithm}:{digits}"
                        yield self._row("blob", f"content/blobs/{algorithm}/{digits}", digest, self._held(digest))
            elif name == "ingest":
                yield from map(self._ingest, self._inside("content/ingest"))
            else:
                yield self._row("other", f"content/{name}", f"content/{name}", ["sampand"])

    def _ingest(self, name: str) -> schema.Holding:
        path = f"content/ingest/{name}"
        if not name.endswith(PARTIAL):
            return self._row("unfinished", path, path, [_AT_WORK])
        try:
            until = os.lstat(self._root / path).st_mtime_ns + PARTIAL_KEPT_S * SECOND
        except FileNotFoundError:
            until = 0
        digest = name.removesuffix(PARTIAL).replace("-", ":", 1)
        holders = [f"cache until {rfc3339(until // SECOND * SECOND)}"] if until else []
        return self._row("partial download", path, digest, [*holders, *self._held(digest)])

    def _layers(self) -> Iterator[schema.Holding]:
        for name in self._inside("layers"):
            if name.startswith("."):
                yield self._row("unfinished", f"layers/{name}", f"layers/{name}", [_AT_WORK])
            else:
                yield self._row("layer", f"layers/{name}", f"sha256:{name}", self._held(f"sha256:{name}"))

    def _container(self, name: str) -> schema.Holding:
        holder = self._containers.get(name)
        return self._row("container", f"containers/{name}", name, [holder] if holder else [])

    def _held(self, digest: str) -> Sequence[str]:
        return self._holders.get(digest, [])

    def _row(self, kind: str, path: str, name: str, holders: Sequence[str]) -> schema.Holding:
        return schema.Holding(kind=kind, name=name, size=self._size(path), held_by=list(dict.fromkeys(holders)))

    def _size(self, path: str) -> int:
        return allocated(self._root / path, self._seen)

    def _inside(self, path: str) -> list[str]:
        """Return the names in a directory, whose own blocks are counted as skeleton."""
        directory = self._root / path
        try:
            self._directories += os.lstat(directory).st_blocks * 512
            return sorted(os.listdir(directory))
        except (FileNotFoundError, NotADirectoryError):
            return []


def _stack(core: Core, container_id: str) -> list[str]:
    try:
        return core.snapshots.stack(container_id)
    except SnapshotMissing:  # it is just being made, or removed
        return []
